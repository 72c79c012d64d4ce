/* Keys with their values: single ones, lists of them, and those that nest. */
#include <stdlib.h>
#include <string.h>

#include "services/config/config_value.h"
#include "tools/millrace/config_load.h"

static void load_value(struct loader *l, const struct mr_config_key *k, const struct yaml_node *node, const char *path,
                       void *out)
{
    char why[CONFIG_EXPECTED_MAX], where[LOAD_PATH_MAX];
    load_inside(path, where);
    bool word = k->type == MR_CONFIG_CHOICE && node->kind == YAML_SCALAR && *node->text; /* the driver `null` is one */
    if (node->kind != YAML_SCALAR || (yaml_is_null(node) && !word)) {
        config_report_add(l->report, node->mark, "%s%s is %s, expected %s", where, k->name, yaml_kind_text(node),
                          config_value_expected(k, why));
        return;
    }
    if (config_value_parse(k, node->text, l->config->folder, out, why)) {
        load_place(l, out, node->mark);
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

/* Too many, or none where one is needed; returns how many are taken. */
static unsigned check_count(struct loader *l, const struct mr_config_key *k, const struct yaml_node *node, unsigned n,
                            const char *path)
{
    char where[LOAD_PATH_MAX];
    load_inside(path, where);
    if (n > k->list_max)
        config_report_add(l->report, node->mark, "%s%s has %u values, expected at most %u", where, k->name, n,
                          k->list_max);
    if (n == 0 && !k->optional)
        config_report_add(l->report, node->mark, "%s%s is an empty list, expected at least one value", where, k->name);
    return n < k->list_max ? n : k->list_max;
}

/* A list of values, or a single one as a list of one. */
static void load_values(struct loader *l, const struct mr_config_key *k, const struct yaml_node *node, const char *path,
                        char *base)
{
    struct yaml_node *const *items = node->kind == YAML_SEQUENCE ? node->items : (struct yaml_node *const *)&node;
    unsigned n = check_count(l, k, node, node->kind == YAML_SEQUENCE ? node->count : 1, path);
    for (unsigned i = 0; i < n; i++)
        load_value(l, k, items[i], path, base + k->offset + i * config_value_bytes(k->type));
    *(unsigned *)(base + k->count_offset) = n;
}

/* Names are checked, then keys loaded: what a mapping of keys alone is. */
static void load_struct(struct loader *l, const struct mr_config_key *keys, const struct yaml_node *map,
                        const char *path, struct config_mark mark, char *base)
{
    struct load_names names = {0};
    load_names_add(&names, keys);
    if (map)
        load_names_check(l, &names, map, path);
    load_keys(l, keys, map, path, mark, base);
}

static void load_map(struct loader *l, const struct mr_config_key *k, const struct yaml_node *node, const char *path,
                     struct config_mark mark, char *base)
{
    bool good;
    const struct yaml_node *map = load_expect(l, node, YAML_MAPPING, path, &good);
    if (!good)
        return;
    load_struct(l, k->keys, map, path, map ? map->mark : mark, base + k->offset);
    if (map)
        load_place(l, base + k->offset, map->mark);
}

/* The array is made for as many as there are, so that no element moves: their addresses are their places. */
static void load_list(struct loader *l, const struct mr_config_key *k, const struct yaml_node *node, const char *path,
                      const char *outer, char *base)
{
    char inner[LOAD_PATH_MAX];
    bool good;
    const struct yaml_node *list = load_expect(l, node, YAML_SEQUENCE, path, &good);
    unsigned n = good ? check_count(l, k, node, list ? list->count : 0, outer) : 0;
    char *elements = n ? calloc(n, k->element_bytes) : NULL;
    if (n && !elements) {
        config_report_add(l->report, node->mark, "not enough memory");
        return;
    }
    *(void **)(base + k->offset) = elements;
    *(unsigned *)(base + k->count_offset) = n;
    for (unsigned i = 0; i < n; i++) {
        const struct yaml_node *item = list->items[i];
        load_path(inner, "%s[%u]", path, i);
        const struct yaml_node *map = load_expect(l, item, YAML_MAPPING, inner, &good);
        if (good)
            load_struct(l, k->keys, map, inner, item->mark, elements + i * k->element_bytes);
        load_place(l, elements + i * k->element_bytes, item->mark);
    }
    load_place(l, base + k->offset, node->mark);
}

static void load_key(struct loader *l, const struct mr_config_key *k, const struct yaml_node *node, const char *path,
                     char *base)
{
    char inner[LOAD_PATH_MAX];
    load_path(inner, "%s%s%s", path, *path ? "." : "", k->name);
    if (k->type == MR_CONFIG_MAP)
        load_map(l, k, node, inner, node->mark, base);
    else if (k->type == MR_CONFIG_LIST)
        load_list(l, k, node, inner, path, base);
    else if (k->list_max)
        load_values(l, k, node, path, base);
    else
        load_value(l, k, node, path, base + k->offset);
}

static void load_absent(struct loader *l, const struct mr_config_key *k, struct config_mark mark, const char *path,
                        char *base)
{
    char why[CONFIG_EXPECTED_MAX], inner[LOAD_PATH_MAX];
    if (k->type == MR_CONFIG_MAP) {
        load_path(inner, "%s%s%s", path, *path ? "." : "", k->name);
        load_map(l, k, NULL, inner, mark, base);
    } else if (k->preset) {
        if (config_value_parse(k, k->preset, l->config->folder, base + k->offset, why) && k->list_max)
            *(unsigned *)(base + k->count_offset) = 1;
    } else if (!k->optional) {
        config_report_add(l->report, mark, "%s%s is missing, expected %s", load_inside(path, inner), k->name,
                          config_value_expected(k, why));
    }
}

void load_keys(struct loader *l, const struct mr_config_key *keys, const struct yaml_node *map, const char *path,
               struct config_mark mark, char *base)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        const struct yaml_node *value = load_get(map, k->name);
        if (value)
            load_key(l, k, value, path, base);
        else
            load_absent(l, k, mark, path, base);
    }
}
