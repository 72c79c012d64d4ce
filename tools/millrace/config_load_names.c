/* Names of keys, and the words of messages about them. */
#include <stdarg.h>
#include <string.h>

#include "tools/millrace/config_load.h"

#define PAIRS_MAX \
    (LOAD_NAMES_MAX * 4) /* of a mapping: more are no slips, and finding doubles takes the square of them */

void load_path(char inner[LOAD_PATH_MAX], const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(inner, LOAD_PATH_MAX, format, arguments);
    va_end(arguments);
}

const char *load_inside(const char *path, char text[LOAD_PATH_MAX])
{
    load_path(text, "%s%s", path, *path ? ": " : "");
    return text;
}

void load_names_add(struct load_names *n, const struct mr_config_key *keys)
{
    for (const struct mr_config_key *k = keys; k && k->name && n->count < LOAD_NAMES_MAX; k++)
        n->name[n->count++] = k->name;
}

void load_report_unknown(struct loader *l, struct config_mark mark, const char *path, const char *what,
                         const char *word, const struct load_names *names)
{
    const char *nearest = config_nearest(word, names->name, names->count);
    char where[LOAD_PATH_MAX], all[CONFIG_MESSAGE_MAX - LOAD_PATH_MAX] = "";
    size_t used = 0;
    for (unsigned i = 0; i < names->count && used < sizeof all; i++)
        used += (size_t)snprintf(all + used, sizeof all - used, "%s%s", i ? ", " : "", names->name[i]);
    load_inside(path, where);
    if (nearest)
        config_report_add(l->report, mark, "%sunknown %s '%.60s', did you mean '%s'?", where, what, word, nearest);
    else
        config_report_add(l->report, mark, "%sunknown %s '%.60s', expected one of %s", where, what, word, all);
}

struct yaml_node *load_get(const struct yaml_node *map, const char *name)
{
    for (unsigned i = 0; map && i + 1 < map->count; i += 2)
        if (map->items[i]->kind == YAML_SCALAR && !strcmp(map->items[i]->text, name))
            return map->items[i + 1];
    return NULL;
}

static bool is_known(const struct load_names *names, const char *word)
{
    for (unsigned i = 0; i < names->count; i++)
        if (!strcmp(names->name[i], word))
            return true;
    return false;
}

/* The key before the `i`th that has its name, or NULL. */
static const struct yaml_node *same_before(const struct yaml_node *map, unsigned i)
{
    for (unsigned j = 0; j < i; j += 2)
        if (map->items[j]->kind == YAML_SCALAR && !strcmp(map->items[j]->text, map->items[i]->text))
            return map->items[j];
    return NULL;
}

void load_names_check(struct loader *l, const struct load_names *names, const struct yaml_node *map, const char *path)
{
    char where[LOAD_PATH_MAX];
    load_inside(path, where);
    for (unsigned i = 0; i + 1 < map->count; i += 2) {
        const struct yaml_node *key = map->items[i];
        if (i == 2 * PAIRS_MAX) {
            config_report_add(l->report, key->mark, "%stoo many keys, expected at most %d", where, PAIRS_MAX);
            return;
        }
        if (key->kind != YAML_SCALAR) {
            config_report_add(l->report, key->mark, "%sa key is %s, expected a name", where, yaml_kind_text(key));
            continue;
        }
        if (!is_known(names, key->text))
            load_report_unknown(l, key->mark, path, "key", key->text, names);
        const struct yaml_node *first = same_before(map, i);
        if (first)
            config_report_add(l->report, key->mark, "%skey '%.60s' is given twice, first on line %u", where, key->text,
                              first->mark.line);
    }
}

const struct yaml_node *load_expect(struct loader *l, const struct yaml_node *node, enum yaml_kind kind,
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
