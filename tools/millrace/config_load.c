/* YAML tree to structs, as the tables say. Every error is reported, not only the first. */
#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "tools/millrace/config.h"
#include "tools/millrace/config_value.h"
#include "tools/millrace/yaml_tree.h"

#define NAMES_MAX     64
#define PATH_TEXT_MAX 80 /* "interfaces[0].impair" */

struct config_place {
    const void *value;
    struct config_mark mark;
};

struct loader {
    struct config *config;
    const struct mr_service *const *services;
    struct config_report *report;
};

struct config_mark config_mark_of(const struct config *c, const void *value)
{
    for (unsigned i = 0; i < c->place_count; i++)
        if (c->places[i].value == value)
            return c->places[i].mark;
    return (struct config_mark){0, 0};
}

static void place_value(struct loader *l, const void *value, struct config_mark mark)
{
    struct config *c = l->config;
    if ((c->place_count & (c->place_count - 1)) == 0) { /* full at each power of two */
        unsigned room = c->place_count ? c->place_count * 2 : 1;
        struct config_place *places = realloc(c->places, room * sizeof *places);
        if (!places)
            return;
        c->places = places;
    }
    c->places[c->place_count++] = (struct config_place){value, mark};
}

/* "interfaces[0]: " before what concerns the inside of a section; nothing at the root. */
static const char *inside(const char *path, char *text, size_t n)
{
    snprintf(text, n, "%s%s", path, *path ? ": " : "");
    return text;
}

/* The name of what lies inside `path`; cut when too long, which no table leads to. */
static __attribute__((noinline)) void path_enter(char *inner, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(inner, PATH_TEXT_MAX, format, arguments);
    va_end(arguments);
}

static void load_value(struct loader *l, const struct mr_config_key *k, const struct yaml_node *node, const char *path,
                       void *out)
{
    char why[CONFIG_EXPECTED_MAX], where[PATH_TEXT_MAX];
    inside(path, where, sizeof where);
    bool word = k->type == MR_CONFIG_CHOICE && node->kind == YAML_SCALAR && *node->text; /* the driver `null` is one */
    if (node->kind != YAML_SCALAR || (yaml_is_null(node) && !word)) {
        config_report_add(l->report, node->mark, "%s%s is %s, expected %s", where, k->name, yaml_kind_text(node),
                          config_value_expected(k, why));
        return;
    }
    if (config_value_parse(k, node->text, l->config->folder, out, why)) {
        place_value(l, out, node->mark);
        return;
    }
    const char *nearest = NULL;
    unsigned n = 0;
    while (k->type == MR_CONFIG_CHOICE && k->choices[n])
        n++;
    if (n)
        nearest = config_nearest(node->text, k->choices, n);
    config_report_add(l->report, node->mark, "%s%s is '%.60s', expected %s%s%s%s", where, k->name, node->text, why,
                      nearest ? "; did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
}

/* A list of values, or a single one as a list of one. */
static void load_values(struct loader *l, const struct mr_config_key *k, const struct yaml_node *node, const char *path,
                        char *base)
{
    if (!k->list_max) {
        load_value(l, k, node, path, base + k->offset);
        return;
    }
    unsigned *count = (unsigned *)(base + k->count_offset);
    struct yaml_node *const *items = node->kind == YAML_SEQUENCE ? node->items : (struct yaml_node *const *)&node;
    unsigned n = node->kind == YAML_SEQUENCE ? node->count : 1;
    if (n > k->list_max) {
        config_report_add(l->report, node->mark, "%s: %s has %u values, expected at most %u", path, k->name, n,
                          k->list_max);
        n = k->list_max;
    }
    if (n == 0 && !k->optional)
        config_report_add(l->report, node->mark, "%s: %s is an empty list, expected at least one value", path, k->name);
    for (unsigned i = 0; i < n; i++)
        load_value(l, k, items[i], path, base + k->offset + i * config_value_bytes(k->type));
    *count = n;
}

static void load_preset(struct loader *l, const struct mr_config_key *k, struct config_mark mark, const char *path,
                        char *base)
{
    char why[CONFIG_EXPECTED_MAX], where[PATH_TEXT_MAX];
    if (k->preset) {
        if (config_value_parse(k, k->preset, l->config->folder, base + k->offset, why) && k->list_max)
            *(unsigned *)(base + k->count_offset) = 1;
    } else if (!k->optional) {
        config_report_add(l->report, mark, "%s%s is missing, expected %s", inside(path, where, sizeof where), k->name,
                          config_value_expected(k, why));
    }
}

static unsigned section_names(const struct mr_config_key *keys, const struct config_section *sections,
                              const char *names[NAMES_MAX])
{
    unsigned n = 0;
    for (const struct mr_config_key *k = keys; k && k->name && n < NAMES_MAX; k++)
        names[n++] = k->name;
    for (const struct config_section *s = sections; s && s->name && n < NAMES_MAX; s++)
        names[n++] = s->name;
    return n;
}

static void report_unknown(struct loader *l, struct config_mark mark, const char *path, const char *what,
                           const char *word, const char *const *names, unsigned n)
{
    const char *nearest = config_nearest(word, names, n);
    char where[PATH_TEXT_MAX], all[CONFIG_MESSAGE_MAX - 128] = "";
    size_t used = 0;
    for (unsigned i = 0; i < n && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names[i]);
    inside(path, where, sizeof where);
    if (nearest)
        config_report_add(l->report, mark, "%sunknown %s '%.60s', did you mean '%s'?", where, what, word, nearest);
    else
        config_report_add(l->report, mark, "%sunknown %s '%.60s', expected one of %s", where, what, word, all);
}

/* The value of `name` in a mapping, or NULL. */
static struct yaml_node *mapping_get(const struct yaml_node *map, const char *name)
{
    for (unsigned i = 0; map && i + 1 < map->count; i += 2)
        if (map->items[i]->kind == YAML_SCALAR && !strcmp(map->items[i]->text, name))
            return map->items[i + 1];
    return NULL;
}

/* Keys that are no key of the tables, stand there twice, or are no text. */
static void check_names(struct loader *l, const struct mr_config_key *keys, const struct config_section *sections,
                        const struct yaml_node *map, const char *path)
{
    const char *names[NAMES_MAX];
    unsigned n = section_names(keys, sections, names);
    char where[PATH_TEXT_MAX];
    inside(path, where, sizeof where);
    for (unsigned i = 0; i + 1 < map->count; i += 2) {
        const struct yaml_node *key = map->items[i];
        if (key->kind != YAML_SCALAR) {
            config_report_add(l->report, key->mark, "%sa key is %s, expected a name", where, yaml_kind_text(key));
            continue;
        }
        bool known = false;
        for (unsigned j = 0; j < n && !known; j++)
            known = !strcmp(names[j], key->text);
        if (!known)
            report_unknown(l, key->mark, path, "key", key->text, names, n);
        for (unsigned j = 0; j < i; j += 2)
            if (map->items[j]->kind == YAML_SCALAR && !strcmp(map->items[j]->text, key->text)) {
                config_report_add(l->report, key->mark, "%skey '%.60s' is given twice, first on line %u", where,
                                  key->text, map->items[j]->mark.line);
                break;
            }
    }
}

static void load_section(struct loader *l, const struct config_section *s, const struct yaml_node *node,
                         const char *path, struct config_mark mark, char *parent);

/* Keys and sections of one mapping; `map` NULL: everything takes its preset. `mark` is where missing keys are reported. */
static void load_map(struct loader *l, const struct mr_config_key *keys, const struct config_section *sections,
                     const struct yaml_node *map, const char *path, struct config_mark mark, char *base)
{
    char inner[PATH_TEXT_MAX];
    if (map)
        check_names(l, keys, sections, map, path);
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        const struct yaml_node *value = mapping_get(map, k->name);
        if (value)
            load_values(l, k, value, path, base);
        else
            load_preset(l, k, mark, path, base);
    }
    for (const struct config_section *s = sections; s && s->name; s++) {
        path_enter(inner, "%s%s%s", path, *path ? "." : "", s->name);
        const struct yaml_node *value = mapping_get(map, s->name);
        load_section(l, s, value, inner, value ? value->mark : mark, base);
    }
}

/* NULL when nothing was written there; *good false when it is of another kind. */
static const struct yaml_node *expect_kind(struct loader *l, const struct yaml_node *node, enum yaml_kind kind,
                                           const char *path, bool *good)
{
    *good = true;
    if (!node || yaml_is_null(node))
        return NULL;
    if (node->kind == kind)
        return node;
    config_report_add(l->report, node->mark, "%s is %s, expected %s", path, yaml_kind_text(node),
                      kind == YAML_MAPPING ? "a mapping of keys" : "a list, each item after a dash");
    *good = false;
    return NULL;
}

static void load_list(struct loader *l, const struct config_section *s, const struct yaml_node *node, const char *path,
                      char *parent)
{
    char inner[PATH_TEXT_MAX];
    bool good;
    const struct yaml_node *list = expect_kind(l, node, YAML_SEQUENCE, path, &good);
    unsigned n = list ? list->count : 0;
    if (n > s->list_max) {
        config_report_add(l->report, list->items[s->list_max]->mark, "%s has %u items, expected at most %u", path, n,
                          s->list_max);
        n = s->list_max;
    }
    for (unsigned i = 0; i < n; i++) {
        char *element = parent + s->offset + i * s->element_bytes;
        path_enter(inner, "%s[%u]", path, i);
        const struct yaml_node *map = expect_kind(l, list->items[i], YAML_MAPPING, inner, &good);
        if (good)
            load_map(l, s->keys, s->sections, map, inner, list->items[i]->mark, element);
    }
    *(unsigned *)(parent + s->count_offset) = n;
}

static const struct mr_service *find_service(struct loader *l, const struct yaml_node *name, const char *path)
{
    const char *names[NAMES_MAX];
    unsigned n = 0;
    for (; l->services[n] && n < NAMES_MAX; n++) {
        if (!strcmp(l->services[n]->name, name->text))
            return l->services[n];
        names[n] = l->services[n]->name;
    }
    report_unknown(l, name->mark, path, "service", name->text, names, n);
    return NULL;
}

/* `- http: {keys}`, or `- echo` for a service whose keys all have presets. */
static void load_service(struct loader *l, const struct yaml_node *item, const char *path)
{
    struct config *c = l->config;
    const struct yaml_node *name = item, *values = NULL;
    bool good;
    if (item->kind == YAML_MAPPING && item->count == 2) {
        name = item->items[0];
        values = item->items[1];
    }
    if (name->kind != YAML_SCALAR || yaml_is_null(name)) {
        config_report_add(
            l->report, item->mark,
            "%s is %s, expected one service name with its keys inside, such as `- http: {listen: \":80\"}`", path,
            item->kind == YAML_MAPPING ? "a mapping of several names" : yaml_kind_text(item));
        return;
    }
    const struct mr_service *service = find_service(l, name, path);
    if (!service)
        return;
    char inner[PATH_TEXT_MAX];
    path_enter(inner, "%s.%s", path, service->name);
    const struct yaml_node *map = expect_kind(l, values, YAML_MAPPING, inner, &good);
    char *memory = calloc(1, service->config_bytes + 1);
    if (!memory)
        return;
    c->service[c->service_count++] = (struct config_service){service, memory, name->mark};
    if (good)
        load_map(l, service->keys, NULL, map, inner, name->mark, memory);
}

static void load_services(struct loader *l, const struct yaml_node *node, const char *path)
{
    char inner[PATH_TEXT_MAX];
    bool good;
    const struct yaml_node *list = expect_kind(l, node, YAML_SEQUENCE, path, &good);
    for (unsigned i = 0; list && i < list->count; i++) {
        if (i == WORKER_SERVICE_MAX) {
            config_report_add(l->report, list->items[i]->mark, "%s has %u items, expected at most %d", path,
                              list->count, WORKER_SERVICE_MAX);
            return;
        }
        path_enter(inner, "%s[%u]", path, i);
        load_service(l, list->items[i], inner);
    }
}

/* Names and values as text: what they mean is for whoever takes them to say. */
static void load_pairs(struct loader *l, const struct config_section *s, const struct yaml_node *node, const char *path,
                       char *parent)
{
    bool good;
    const struct yaml_node *map = expect_kind(l, node, YAML_MAPPING, path, &good);
    struct config_pair *pair = (struct config_pair *)(parent + s->offset);
    unsigned *n = (unsigned *)(parent + s->count_offset);
    for (unsigned i = 0; map && i + 1 < map->count; i += 2) {
        const struct yaml_node *name = map->items[i], *value = map->items[i + 1];
        if (name->kind != YAML_SCALAR || value->kind != YAML_SCALAR || yaml_is_null(value)) {
            config_report_add(l->report, name->mark, "%s: expected a name with a single value", path);
        } else if (mapping_get(map, name->text) != value) {
            config_report_add(l->report, name->mark, "%s: key '%.60s' is given twice", path, name->text);
        } else if (*n == s->list_max) {
            config_report_add(l->report, name->mark, "%s has too many keys, expected at most %u", path, s->list_max);
            return;
        } else {
            pair[*n] = (struct config_pair){strdup(name->text), strdup(value->text)};
            place_value(l, &pair[(*n)++], name->mark);
        }
    }
}

static void load_section(struct loader *l, const struct config_section *s, const struct yaml_node *node,
                         const char *path, struct config_mark mark, char *parent)
{
    bool good;
    const struct yaml_node *map;
    switch (s->kind) {
    case CONFIG_MAP:
        map = expect_kind(l, node, YAML_MAPPING, path, &good);
        if (good)
            load_map(l, s->keys, s->sections, map, path, mark, parent + s->offset);
        break;
    case CONFIG_LIST:
        load_list(l, s, node, path, parent);
        break;
    case CONFIG_PAIRS:
        load_pairs(l, s, node, path, parent);
        break;
    case CONFIG_SERVICES:
        load_services(l, node, path);
        break;
    }
}

static bool config_set_file(struct config *c, const char *file)
{
    c->file = strdup(file);
    char *copy = strdup(file);
    if (copy)
        c->folder = strdup(strchr(copy, '/') ? dirname(copy) : "");
    free(copy);
    return c->file && c->folder;
}

struct config *config_parse(const char *file, const char *text, size_t bytes, const struct mr_service *const *services,
                            struct config_report *report)
{
    struct config *c = calloc(1, sizeof *c);
    struct loader l = {c, services, report};
    if (!c || !config_set_file(c, file)) {
        config_report_add(report, (struct config_mark){0, 0}, "not enough memory");
        config_free(c);
        return NULL;
    }
    struct yaml_node *root = yaml_tree_parse(text, bytes, report);
    if (report->count == 0) {
        bool good;
        const struct yaml_node *map = expect_kind(&l, root, YAML_MAPPING, "the file", &good);
        if (good)
            load_map(&l, config_root.keys, config_root.sections, map, "", (struct config_mark){0, 0}, (char *)c);
    }
    yaml_tree_free(root);
    if (c->workers.count == 0)
        c->workers.count = c->workers.core_count ? c->workers.core_count : 1;
    if (report->count == 0)
        config_check(c, report);
    if (report->count == 0)
        return c;
    config_free(c);
    return NULL;
}

static char *read_whole(const char *file, size_t *bytes, struct config_report *report)
{
    const struct config_mark whole = {0, 0};
    FILE *f = fopen(file, "re");
    if (!f) {
        config_report_add(report, whole, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    char *text = malloc(CONFIG_FILE_BYTES_MAX + 1);
    *bytes = text ? fread(text, 1, CONFIG_FILE_BYTES_MAX + 1, f) : 0;
    bool failed = ferror(f);
    fclose(f);
    if (!text || failed)
        config_report_add(report, whole, "cannot be read: %s", strerror(text ? errno : ENOMEM));
    else if (*bytes > CONFIG_FILE_BYTES_MAX)
        config_report_add(report, whole, "is larger than %d bytes", CONFIG_FILE_BYTES_MAX);
    else
        return text;
    free(text);
    return NULL;
}

struct config *config_load(const char *file, const struct mr_service *const *services, struct config_report *report)
{
    size_t bytes;
    char *text = read_whole(file, &bytes, report);
    if (!text)
        return NULL;
    struct config *c = config_parse(file, text, bytes, services, report);
    free(text);
    return c;
}

static void free_keys(const struct mr_config_key *keys, char *base)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        if (!config_value_is_string(k->type))
            continue;
        unsigned n = k->list_max ? k->list_max : 1;
        for (unsigned i = 0; i < n; i++)
            free(((char **)(base + k->offset))[i]);
    }
}

static void free_pairs(const struct config_section *s, char *parent)
{
    struct config_pair *pair = (struct config_pair *)(parent + s->offset);
    for (unsigned i = 0; i < s->list_max; i++) {
        free(pair[i].name);
        free(pair[i].value);
    }
}

static void free_section(const struct config_section *s, char *base)
{
    free_keys(s->keys, base);
    for (const struct config_section *inner = s->sections; inner && inner->name; inner++) {
        if (inner->kind == CONFIG_PAIRS)
            free_pairs(inner, base);
        unsigned n = inner->kind == CONFIG_LIST ? inner->list_max : inner->kind == CONFIG_MAP;
        for (unsigned i = 0; i < n; i++)
            free_section(inner, base + inner->offset + i * inner->element_bytes);
    }
}

void config_free(struct config *c)
{
    if (!c)
        return;
    free_section(&config_root, (char *)c);
    for (unsigned i = 0; i < c->service_count; i++) {
        free_keys(c->service[i].service->keys, c->service[i].values);
        free(c->service[i].values);
    }
    free(c->places);
    free(c->file);
    free(c->folder);
    free(c);
}
