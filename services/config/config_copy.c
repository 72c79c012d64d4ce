/* Copies: first the struct as it lies, then whatever it points at is made anew. */
#include <stdlib.h>
#include <string.h>

#include "config/config_tree.h"
#include "config/config_value.h"

/* Forgets what belongs to another struct. */
static void disown(const struct mr_config_key *keys, char *base)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        if (k->type == MR_CONFIG_MAP)
            disown(k->keys, base + k->offset);
        else if (k->type == MR_CONFIG_LIST)
            *(void **)(base + k->offset) = NULL; /* no elements: the number does not count */
        else if (config_value_is_string(k->type))
            memset(base + k->offset, 0, (k->list_max ? k->list_max : 1) * sizeof(char *));
    }
}

static bool copy_owned(const struct mr_config_key *keys, char *to, const char *from);

static bool copy_strings(const struct mr_config_key *k, char *to, const char *from)
{
    for (unsigned i = 0; i < (k->list_max ? k->list_max : 1); i++) {
        const char *text = ((char *const *)(from + k->offset))[i];
        char **copy = (char **)(to + k->offset) + i;
        if (text && !(*copy = strdup(text)))
            return false;
    }
    return true;
}

static bool copy_list(const struct mr_config_key *k, char *to, const char *from)
{
    const char *elements = *(char *const *)(from + k->offset);
    unsigned n = elements ? *(const unsigned *)(from + k->count_offset) : 0;
    char *copies = n ? calloc(n, k->element_bytes) : NULL;
    *(void **)(to + k->offset) = copies;
    *(unsigned *)(to + k->count_offset) = copies ? n : 0;
    for (unsigned i = 0; copies && i < n; i++)
        if (!config_tree_copy(k->keys, k->element_bytes, copies + i * k->element_bytes,
                              elements + i * k->element_bytes))
            return false;
    return copies || !n;
}

static bool copy_owned(const struct mr_config_key *keys, char *to, const char *from)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        bool good = k->type == MR_CONFIG_MAP          ? copy_owned(k->keys, to + k->offset, from + k->offset)
                    : k->type == MR_CONFIG_LIST       ? copy_list(k, to, from)
                    : config_value_is_string(k->type) ? copy_strings(k, to, from)
                                                      : true;
        if (!good)
            return false;
    }
    return true;
}

bool config_tree_copy(const struct mr_config_key *keys, size_t bytes, void *to, const void *from)
{
    memcpy(to, from, bytes);
    disown(keys, to);
    if (copy_owned(keys, to, from))
        return true;
    config_tree_free(keys, to);
    return false;
}

void *config_tree_clone(const struct mr_config_key *keys, size_t bytes, const void *from)
{
    void *to = malloc(bytes ? bytes : 1);
    if (to && config_tree_copy(keys, bytes, to, from))
        return to;
    free(to);
    return NULL;
}
