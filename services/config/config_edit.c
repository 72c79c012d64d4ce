#include "config/config_edit.h"

#include <stdlib.h>
#include <string.h>

#include "config/config_edit_find.h"
#include "config/config_tree.h"
#include "config/config_value.h"

/* Strings of a key, one or a list of them. */
static void free_strings(const struct mr_config_key *k, void *values, unsigned count)
{
    char **texts = values;
    for (unsigned i = 0; config_value_is_string(k->type) && i < count; i++) {
        free(texts[i]);
        texts[i] = NULL;
    }
}

/* All of the values are good before any is written. */
static bool set_values(const struct config_edit *e, const struct config_target *t, const char *path,
                       const char *const *values, unsigned count)
{
    const struct mr_config_key *k = t->key;
    unsigned room = k->list_max ? k->list_max : 1;
    size_t bytes = config_value_bytes(k->type);
    char expected[CONFIG_EXPECTED_MAX];
    if (count > room)
        return config_edit_refuse(e, "%s takes %s%u value%s, %u given", path, room > 1 ? "at most " : "", room,
                                  room > 1 ? "s" : "", count);
    char *made = calloc(room, bytes);
    if (!made)
        return config_edit_refuse(e, "no memory");
    for (unsigned i = 0; i < count; i++)
        if (!config_value_parse(k, values[i], NULL, made + i * bytes, expected)) {
            free_strings(k, made, i);
            free(made);
            return config_edit_refuse(e, "%s is '%.60s', expected %s", path, values[i], expected);
        }
    free_strings(k, t->base + k->offset, room);
    memcpy(t->base + k->offset, made, room * bytes);
    free(made);
    if (k->list_max)
        *config_target_count(k, t->base) = count;
    return true;
}

static bool is_value(const struct config_target *t)
{
    return t->element < 0 && t->key->type != MR_CONFIG_MAP && t->key->type != MR_CONFIG_LIST;
}

bool config_edit_set(const struct config_edit *e, const char *path, const char *const *values, unsigned count)
{
    struct config_target t;
    if (!config_edit_find(e, path, &t))
        return false;
    if (!is_value(&t))
        return config_edit_refuse(e, "%s is %s: set a key inside it", path,
                                  t.key->type == MR_CONFIG_MAP ? "a mapping" : "a list");
    return set_values(e, &t, path, values, count);
}

bool config_edit_unset(const struct config_edit *e, const char *path)
{
    struct config_target t;
    if (!config_edit_find(e, path, &t))
        return false;
    if (!is_value(&t))
        return config_edit_refuse(e, "%s is no single value", path);
    if (!t.key->preset && !t.key->optional)
        return config_edit_refuse(e, "%s has no preset: it must be given", path);
    return set_values(e, &t, path, &t.key->preset, t.key->preset ? 1 : 0);
}

static bool set_presets(const struct mr_config_key *keys, char *base)
{
    char expected[CONFIG_EXPECTED_MAX];
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        if (k->type == MR_CONFIG_MAP && !set_presets(k->keys, base + k->offset))
            return false;
        if (!k->preset)
            continue;
        if (!config_value_parse(k, k->preset, NULL, base + k->offset, expected))
            return false;
        if (k->list_max)
            *config_target_count(k, base) = 1;
    }
    return true;
}

/* A whole new array, so that a failure changes nothing; elements move, what they own does not. */
static char *array_with_room(const struct mr_config_key *k, char *base, unsigned at)
{
    size_t bytes = k->element_bytes;
    char *old = *config_target_elements(k, base);
    unsigned count = *config_target_count(k, base);
    char *array = calloc(count + 1, bytes);
    if (array && count) {
        memcpy(array, old, at * bytes);
        memcpy(array + (at + 1) * bytes, old + at * bytes, (count - at) * bytes);
    }
    return array;
}

static bool name_element(const struct config_edit *e, const struct mr_config_key *list, char *element, const char *name)
{
    struct config_edit inner = {list->keys, element, e->message, e->message_bytes};
    return !name || config_edit_set(&inner, "name", &name, 1);
}

bool config_edit_add(const struct config_edit *e, const char *path, const char *name, const char *before, unsigned *at)
{
    struct config_target t;
    if (!config_edit_find(e, path, &t))
        return false;
    const struct mr_config_key *k = t.key;
    if (k->type != MR_CONFIG_LIST || t.element >= 0)
        return config_edit_refuse(e, "%s is no list: nothing can be added to it", path);
    unsigned *count = config_target_count(k, t.base);
    int place = before ? config_edit_place(k, t.base, before, strlen(before)) : (int)*count;
    if (place < 0)
        return config_edit_refuse(e, "%s has no element '%s'", path, before);
    if (name && config_edit_place(k, t.base, name, strlen(name)) >= 0)
        return config_edit_refuse(e, "%s has '%s' already", path, name);
    if (*count == k->list_max)
        return config_edit_refuse(e, "%s has %u elements, and may not have more", path, *count);
    char *array = array_with_room(k, t.base, (unsigned)place), *element = array + (size_t)place * k->element_bytes;
    if (!array)
        return config_edit_refuse(e, "no memory");
    if (!set_presets(k->keys, element) || !name_element(e, k, element, name)) {
        config_tree_free(k->keys, element);
        free(array);
        return false;
    }
    free(*config_target_elements(k, t.base));
    *config_target_elements(k, t.base) = array;
    ++*count;
    *at = (unsigned)place;
    return true;
}

bool config_edit_remove(const struct config_edit *e, const char *path)
{
    struct config_target t;
    if (!config_edit_find(e, path, &t))
        return false;
    if (t.element < 0)
        return config_edit_refuse(e, "%s is no element of a list: it cannot be removed", path);
    size_t bytes = t.key->element_bytes;
    unsigned *count = config_target_count(t.key, t.base);
    char *element = *config_target_elements(t.key, t.base) + (size_t)t.element * bytes;
    config_tree_free(t.key->keys, element);
    memmove(element, element + bytes, (*count - (unsigned)t.element - 1) * bytes);
    --*count;
    return true;
}
