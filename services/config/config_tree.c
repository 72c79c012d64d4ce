#include "config/config_tree.h"

#include <stdlib.h>
#include <string.h>

#include "config/config_value.h"

static void free_list(const struct mr_config_key *k, char *base)
{
    char **elements = (char **)(base + k->offset);
    unsigned *count = (unsigned *)(base + k->count_offset);
    for (unsigned i = 0; *elements && i < *count; i++)
        config_tree_free(k->keys, *elements + i * k->element_bytes);
    free(*elements);
    *elements = NULL;
    *count = 0;
}

void config_tree_free(const struct mr_config_key *keys, void *values)
{
    char *base = values;
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        char **text = (char **)(base + k->offset);
        if (k->type == MR_CONFIG_MAP)
            config_tree_free(k->keys, base + k->offset);
        else if (k->type == MR_CONFIG_LIST)
            free_list(k, base);
        for (unsigned i = 0; config_value_is_string(k->type) && i < (k->list_max ? k->list_max : 1); i++) {
            free(text[i]);
            text[i] = NULL;
        }
    }
}

static bool own(const struct mr_config_key *keys, char *base);

static bool own_list(const struct mr_config_key *k, char *base)
{
    char **elements = (char **)(base + k->offset);
    unsigned *count = (unsigned *)(base + k->count_offset), n = *elements ? *count : 0;
    const char *from = *elements;
    *elements = n ? calloc(n, k->element_bytes) : NULL;
    *count = *elements ? n : 0;
    bool good = *count == n;
    for (unsigned i = 0; i < *count; i++) {
        memcpy(*elements + i * k->element_bytes, from + i * k->element_bytes, k->element_bytes);
        good &= own(k->keys, *elements + i * k->element_bytes);
    }
    return good;
}

/* Whatever the struct at `base` points at becomes a copy, or nothing where there is no memory: it shares nothing in the end. */
static bool own(const struct mr_config_key *keys, char *base)
{
    bool good = true;
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        char **text = (char **)(base + k->offset);
        if (k->type == MR_CONFIG_MAP)
            good &= own(k->keys, base + k->offset);
        else if (k->type == MR_CONFIG_LIST)
            good &= own_list(k, base);
        for (unsigned i = 0; config_value_is_string(k->type) && i < (k->list_max ? k->list_max : 1); i++) {
            char *copy = text[i] ? strdup(text[i]) : NULL;
            good &= !copy == !text[i];
            text[i] = copy;
        }
    }
    return good;
}

bool config_tree_copy(const struct mr_config_key *keys, const void *from, void *to, size_t bytes)
{
    memcpy(to, from, bytes);
    bool good = own(keys, to);
    if (!good)
        config_tree_free(keys, to);
    return good;
}

bool config_tree_key_required(const struct mr_config_key *k)
{
    return k->type == MR_CONFIG_MAP ? config_tree_required(k->keys) : !k->preset && !k->optional;
}

bool config_tree_required(const struct mr_config_key *keys)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++)
        if (config_tree_key_required(k))
            return true;
    return false;
}
