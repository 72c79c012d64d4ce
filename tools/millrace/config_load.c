/* A configuration file to structs: the file, its sections, its services; config_load_keys.c does what lies in them. */
#include <errno.h>
#include <libgen.h>
#include <stdlib.h>
#include <string.h>

#include "tools/millrace/config_load.h"

static void load_section(struct loader *l, const struct config_section *s, const struct yaml_node *node,
                         const char *path, struct config_mark mark, char *parent);

/* Keys and sections of one mapping; `map` NULL: everything takes its preset. `mark` is where missing keys are reported. */
static void load_map(struct loader *l, const struct mr_config_key *keys, const struct config_section *sections,
                     const struct yaml_node *map, const char *path, struct config_mark mark, char *base)
{
    struct load_names names = {0};
    char inner[LOAD_PATH_MAX];
    load_names_add(&names, keys);
    for (const struct config_section *s = sections; s && s->name && names.count < LOAD_NAMES_MAX; s++)
        names.name[names.count++] = s->name;
    if (map)
        load_names_check(l, &names, map, path);
    load_keys(l, keys, map, path, mark, base);
    for (const struct config_section *s = sections; s && s->name; s++) {
        load_path(inner, "%s%s%s", path, *path ? "." : "", s->name);
        const struct yaml_node *value = load_get(map, s->name);
        load_section(l, s, value, inner, value ? value->mark : mark, base);
    }
}

static void load_list(struct loader *l, const struct config_section *s, const struct yaml_node *node, const char *path,
                      char *parent)
{
    char inner[LOAD_PATH_MAX];
    bool good;
    const struct yaml_node *list = load_expect(l, node, YAML_SEQUENCE, path, &good);
    unsigned n = list ? list->count : 0;
    if (n > s->list_max) {
        config_report_add(l->report, list->items[s->list_max]->mark, "%s has %u items, expected at most %u", path, n,
                          s->list_max);
        n = s->list_max;
    }
    for (unsigned i = 0; i < n; i++) {
        char *element = parent + s->offset + i * s->element_bytes;
        load_path(inner, "%s[%u]", path, i);
        const struct yaml_node *map = load_expect(l, list->items[i], YAML_MAPPING, inner, &good);
        if (good)
            load_map(l, s->keys, s->sections, map, inner, list->items[i]->mark, element);
    }
    *(unsigned *)(parent + s->count_offset) = n;
}

static const struct mr_service *find_service(struct loader *l, const struct yaml_node *name, const char *path)
{
    struct load_names names = {0};
    for (; l->services[names.count] && names.count < LOAD_NAMES_MAX; names.count++) {
        if (!strcmp(l->services[names.count]->name, name->text))
            return l->services[names.count];
        names.name[names.count] = l->services[names.count]->name;
    }
    load_report_unknown(l, name->mark, path, "service", name->text, &names);
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
    char inner[LOAD_PATH_MAX];
    load_path(inner, "%s.%s", path, service->name);
    const struct yaml_node *map = load_expect(l, values, YAML_MAPPING, inner, &good);
    char *memory = calloc(1, service->config_bytes + 1);
    if (!memory)
        return;
    c->service[c->service_count++] = (struct config_service){service, memory, name->mark};
    if (good)
        load_map(l, service->keys, NULL, map, inner, name->mark, memory);
}

static void load_services(struct loader *l, const struct yaml_node *node, const char *path)
{
    char inner[LOAD_PATH_MAX];
    bool good;
    const struct yaml_node *list = load_expect(l, node, YAML_SEQUENCE, path, &good);
    for (unsigned i = 0; list && i < list->count; i++) {
        if (i == WORKER_SERVICE_MAX) {
            config_report_add(l->report, list->items[i]->mark, "%s has %u items, expected at most %d", path,
                              list->count, WORKER_SERVICE_MAX);
            return;
        }
        load_path(inner, "%s[%u]", path, i);
        load_service(l, list->items[i], inner);
    }
}

/* Names and values as text: what they mean is for whoever takes them to say. */
static void load_pairs(struct loader *l, const struct config_section *s, const struct yaml_node *node, const char *path,
                       char *parent)
{
    bool good;
    const struct yaml_node *map = load_expect(l, node, YAML_MAPPING, path, &good);
    struct config_pair *pair = (struct config_pair *)(parent + s->offset);
    unsigned *n = (unsigned *)(parent + s->count_offset);
    for (unsigned i = 0; map && i + 1 < map->count; i += 2) {
        const struct yaml_node *name = map->items[i], *value = map->items[i + 1];
        if (name->kind != YAML_SCALAR || value->kind != YAML_SCALAR || yaml_is_null(value)) {
            config_report_add(l->report, name->mark, "%s: expected a name with a single value", path);
        } else if (load_get(map, name->text) != value) {
            config_report_add(l->report, name->mark, "%s: key '%.60s' is given twice", path, name->text);
        } else if (*n == s->list_max) {
            config_report_add(l->report, name->mark, "%s has too many keys, expected at most %u", path, s->list_max);
            return;
        } else {
            pair[*n] = (struct config_pair){strdup(name->text), strdup(value->text)};
            load_place(l, &pair[(*n)++], name->mark);
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
        map = load_expect(l, node, YAML_MAPPING, path, &good);
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
        const struct yaml_node *map = load_expect(&l, root, YAML_MAPPING, "the file", &good);
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
