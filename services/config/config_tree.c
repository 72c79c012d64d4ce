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

const struct mr_config_key *config_tree_find(const struct mr_config_key *keys, const char *name)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++)
        if (!strcmp(k->name, name))
            return k;
    return NULL;
}

bool config_tree_presets(const struct mr_config_key *keys, const char *folder, void *values)
{
    char why[CONFIG_EXPECTED_MAX], *base = values;
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        if (k->type == MR_CONFIG_MAP && !config_tree_presets(k->keys, folder, base + k->offset))
            return false;
        if (!k->preset || k->type == MR_CONFIG_MAP || k->type == MR_CONFIG_LIST)
            continue;
        if (!config_value_parse(k, k->preset, folder, base + k->offset, why))
            return false;
        if (k->list_max)
            *(unsigned *)(base + k->count_offset) = 1;
    }
    return true;
}
