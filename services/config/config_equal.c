/* Where two configurations first differ. */
#include <stdarg.h>
#include <stdio.h>

#include "config/config_tree.h"
#include "config/config_value.h"

/* The way to the struct that is compared; one for each depth, on the stack. */
struct step {
    const struct step *outer;
    const struct mr_config_key *key;
    unsigned index; /* of the item; of no meaning for a mapping */
};

static size_t print_step(const struct step *s, char *path)
{
    char index[16] = "";
    if (!s)
        return 0;
    size_t used = print_step(s->outer, path);
    if (s->key->type == MR_CONFIG_LIST)
        snprintf(index, sizeof index, "[%u]", s->index);
    if (used < CONFIG_TREE_PATH_MAX)
        used += (size_t)snprintf(path + used, CONFIG_TREE_PATH_MAX - used, "%s%s.", s->key->name, index);
    return used;
}

static bool differ_at(const struct step *s, const struct mr_config_key *k, const char *base,
                      struct config_tree_difference *first)
{
    if (!first)
        return false;
    size_t used = print_step(s, first->path);
    if (used < CONFIG_TREE_PATH_MAX)
        snprintf(first->path + used, CONFIG_TREE_PATH_MAX - used, "%s", k->name);
    first->key = k;
    first->value = base + k->offset;
    first->inside = base;
    return false;
}

static bool keys_equal(const struct mr_config_key *keys, const char *a, const char *b, const struct step *outer,
                       struct config_tree_difference *first);

static bool lists_equal(const struct mr_config_key *k, const char *a, const char *b, const struct step *outer,
                        struct config_tree_difference *first)
{
    const char *elements_a = *(char *const *)(a + k->offset), *elements_b = *(char *const *)(b + k->offset);
    unsigned n = *(const unsigned *)(a + k->count_offset);
    struct step step = {outer, k, 0};
    if (n != *(const unsigned *)(b + k->count_offset))
        return differ_at(outer, k, b, first);
    for (; step.index < n; step.index++) {
        size_t at = step.index * k->element_bytes;
        if (!keys_equal(k->keys, elements_a + at, elements_b + at, &step, first))
            return false;
    }
    return true;
}

static bool values_equal(const struct mr_config_key *k, const char *a, const char *b, const struct step *outer,
                         struct config_tree_difference *first)
{
    unsigned n = k->list_max ? *(const unsigned *)(a + k->count_offset) : 1;
    if (k->list_max && n != *(const unsigned *)(b + k->count_offset))
        return differ_at(outer, k, b, first);
    for (unsigned i = 0; i < n; i++) {
        size_t at = k->offset + i * config_value_bytes(k->type);
        if (!config_value_equal(k->type, a + at, b + at))
            return differ_at(outer, k, b, first);
    }
    return true;
}

static bool keys_equal(const struct mr_config_key *keys, const char *a, const char *b, const struct step *outer,
                       struct config_tree_difference *first)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        struct step step = {outer, k, 0};
        bool equal = k->type == MR_CONFIG_MAP    ? keys_equal(k->keys, a + k->offset, b + k->offset, &step, first)
                     : k->type == MR_CONFIG_LIST ? lists_equal(k, a, b, outer, first)
                                                 : values_equal(k, a, b, outer, first);
        if (!equal)
            return false;
    }
    return true;
}

bool config_tree_equal(const struct mr_config_key *keys, const void *a, const void *b,
                       struct config_tree_difference *first)
{
    return keys_equal(keys, a, b, NULL, first);
}
