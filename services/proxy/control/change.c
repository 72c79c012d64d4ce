/* Commands that change the configuration: short forms of paths over the tables of its keys. */
#include <stdio.h>
#include <string.h>

#include "proxy/control/words.h"

/* What has a short form. */
static const struct kind {
    const char *name, *list,
        *place; /* `place`: the key that `add` takes as a word of its own, after the name; NULL: none */
    bool in_upstream;
} kinds[] = {
    {"backend", "backends", "address", true},
    {"upstream", "upstreams", NULL, false},
    {"listener", "listeners", "listen", false},
    {"route", "routes", NULL, false},
};

static const struct kind *kind_find(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(kinds[i].name, name))
            return &kinds[i];
    return NULL;
}

static bool refuse(const struct config_edit *e, const char *format, const char *word)
{
    snprintf(e->message, e->message_bytes, format, word);
    return false;
}

static bool path_fits(const struct config_edit *e, int length)
{
    return length < CONFIG_EDIT_PATH_MAX || refuse(e, "%s", "a name is too long");
}

/* Of an element that is there: "app/b1" is "upstreams.app.backends.b1". */
static bool element_path(const struct config_edit *e, const struct kind *k, const char *name, char *path)
{
    const char *slash = strchr(name, '/');
    if (!k->in_upstream)
        return path_fits(e, snprintf(path, CONFIG_EDIT_PATH_MAX, "%s.%s", k->list, name));
    if (!slash)
        return refuse(e, "expected UPSTREAM/NAME instead of '%.60s'", name);
    return path_fits(
        e, snprintf(path, CONFIG_EDIT_PATH_MAX, "upstreams.%.*s.%s.%s", (int)(slash - name), name, k->list, slash + 1));
}

/* Every value that stands behind this key, so that a key which comes several times makes a list; once for all of them. */
static bool set_key(const struct config_edit *e, const char *path, int at, int argc, const char *const *argv)
{
    const char *values[64];
    unsigned count = 0;
    char key[CONFIG_EDIT_PATH_MAX];
    for (int i = 0; i < at; i += 2)
        if (!strcmp(argv[i], argv[at]))
            return true; /* done with the first of them */
    for (int i = at; i < argc && count < sizeof values / sizeof *values; i += 2)
        if (!strcmp(argv[i], argv[at]))
            values[count++] = argv[i + 1];
    return path_fits(e, snprintf(key, sizeof key, "%s.%s", path, argv[at])) && config_edit_set(e, key, values, count);
}

static bool set_pairs(const struct config_edit *e, const char *path, int argc, const char *const *argv)
{
    if (argc % 2)
        return refuse(e, "'%.60s' has no value, expected KEY VALUE", argv[argc - 1]);
    for (int i = 0; i < argc; i += 2)
        if (!set_key(e, path, i, argc, argv))
            return false;
    return true;
}

bool control_set(const struct config_edit *e, int argc, const char *const *argv)
{
    const struct kind *k = kind_find(argv[1]);
    char path[CONFIG_EDIT_PATH_MAX];
    if (!k)
        return config_edit_set(e, argv[1], argv + 2, (unsigned)(argc - 2));
    if (argc < 5)
        return refuse(e, "expected: set %s NAME KEY VALUE...", k->name);
    return element_path(e, k, argv[2], path) && set_pairs(e, path, argc - 3, argv + 3);
}

bool control_unset(const struct config_edit *e, int argc, const char *const *argv)
{
    return config_edit_unset(e, argv[1]);
}

bool control_remove(const struct config_edit *e, int argc, const char *const *argv)
{
    char path[CONFIG_EDIT_PATH_MAX];
    if (argc == 2)
        return config_edit_remove(e, argv[1]);
    const struct kind *k = kind_find(argv[1]);
    if (!k)
        return refuse(e, "expected backend, upstream, listener or route instead of '%.60s'", argv[1]);
    return element_path(e, k, argv[2], path) && config_edit_remove(e, path);
}

/* A new element of `list`, then "before NAME", then its keys. */
static bool add_element(const struct config_edit *e, const char *list, const char *name, const char *place_key,
                        const char *place, int argc, const char *const *argv)
{
    const char *before = argc >= 2 && !strcmp(argv[0], "before") ? argv[1] : NULL;
    char path[CONFIG_EDIT_PATH_MAX], key[CONFIG_EDIT_PATH_MAX];
    unsigned at;
    if (!config_edit_add(e, list, name, before, &at) || !path_fits(e, snprintf(path, sizeof path, "%s[%u]", list, at)))
        return false;
    if (place &&
        (!path_fits(e, snprintf(key, sizeof key, "%s.%s", path, place_key)) || !config_edit_set(e, key, &place, 1)))
        return false;
    return set_pairs(e, path, before ? argc - 2 : argc, before ? argv + 2 : argv);
}

bool control_add(const struct config_edit *e, int argc, const char *const *argv)
{
    const struct kind *k = kind_find(argv[1]);
    char list[CONFIG_EDIT_PATH_MAX];
    if (!k)
        return add_element(e, argv[1], NULL, NULL, NULL, argc - 2, argv + 2);
    int words = k->place ? 4 : 3; /* until the keys begin */
    if (argc < words)
        return refuse(e,
                      k->in_upstream ? "expected: add %s UPSTREAM ADDRESS [KEY VALUE]..."
                      : k->place     ? "expected: add %s NAME ADDRESS [KEY VALUE]..."
                                     : "expected: add %s NAME [KEY VALUE]...",
                      k->name);
    if (k->in_upstream && !path_fits(e, snprintf(list, sizeof list, "upstreams.%s.%s", argv[2], k->list)))
        return false;
    return add_element(e, k->in_upstream ? list : k->list, k->in_upstream ? NULL : argv[2], k->place,
                       k->place ? argv[3] : NULL, argc - words, argv + words);
}
