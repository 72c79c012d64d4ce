/* A configuration as a whole: is something missing? */
#include <stdio.h>
#include <string.h>

#include "config/config_edit_find.h"
#include "config/config_value.h"

static void path_append(char *path, const char *format, const char *text)
{
    size_t used = strlen(path);
    snprintf(path + used, CONFIG_EDIT_PATH_MAX - used, format, text);
}

static void path_append_element(char *path, const struct mr_config_key *k, const char *element, unsigned at)
{
    char text[MR_ENDPOINT_TEXT_MAX], place[16];
    const char *name = config_edit_name(k->keys, element, text);
    snprintf(place, sizeof place, "%u", at);
    path_append(path, name ? ".%s" : "[%s]", name ? name : place);
}

/* Numbers have no value that means "not given"; tables give them presets. */
static bool is_missing(const struct mr_config_key *k, const char *base)
{
    static const struct mr_endpoint none;
    if (k->preset || k->optional)
        return false;
    if (k->list_max || k->type == MR_CONFIG_LIST)
        return *(const unsigned *)(base + k->count_offset) == 0;
    if (config_value_is_string(k->type))
        return *(char *const *)(base + k->offset) == NULL;
    return k->type == MR_CONFIG_ENDPOINT && memcmp(base + k->offset, &none, sizeof none) == 0;
}

static bool complete(const struct config_edit *e, const struct mr_config_key *keys, const char *base, char *path)
{
    char expected[CONFIG_EXPECTED_MAX];
    size_t outer = strlen(path);
    for (const struct mr_config_key *k = keys; k && k->name; k++, path[outer] = 0) {
        path_append(path, outer ? ".%s" : "%s", k->name);
        if (k->type == MR_CONFIG_MAP && !complete(e, k->keys, base + k->offset, path))
            return false;
        if (k->type != MR_CONFIG_MAP && is_missing(k, base))
            return config_edit_refuse(e, "%s is missing, expected %s", path, config_value_expected(k, expected));
        if (k->type != MR_CONFIG_LIST)
            continue;
        const char *element = *(char *const *)(base + k->offset);
        size_t list = strlen(path);
        for (unsigned i = 0; i < *(const unsigned *)(base + k->count_offset); i++, element += k->element_bytes) {
            path_append_element(path, k, element, i);
            if (!complete(e, k->keys, element, path))
                return false;
            path[list] = 0;
        }
    }
    return true;
}

bool config_edit_complete(const struct config_edit *e)
{
    char path[CONFIG_EDIT_PATH_MAX] = "";
    return complete(e, e->keys, e->values, path);
}
