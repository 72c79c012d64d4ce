#include "config/config_edit_find.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool config_edit_refuse(const struct config_edit *e, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(e->message, e->message_bytes, format, arguments);
    va_end(arguments);
    return false;
}

static const struct mr_config_key *key_of(const struct mr_config_key *keys, const char *name, size_t length)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++)
        if (strlen(k->name) == length && strncmp(k->name, name, length) == 0)
            return k;
    return NULL;
}

const char *config_edit_name(const struct mr_config_key *keys, const void *element, char *text)
{
    const struct mr_config_key *k = key_of(keys, "name", 4);
    const char *name = k && k->type == MR_CONFIG_STRING ? *(char *const *)((const char *)element + k->offset) : NULL;
    if (name)
        return name;
    k = key_of(keys, "address", 7);
    if (!k || k->type != MR_CONFIG_ENDPOINT)
        return NULL;
    return mr_endpoint_text((const struct mr_endpoint *)((const char *)element + k->offset), text);
}

int config_edit_place(const struct mr_config_key *list, const char *base, const char *name, size_t length)
{
    char text[MR_ENDPOINT_TEXT_MAX];
    const char *elements = *(char *const *)(base + list->offset);
    unsigned count = *(const unsigned *)(base + list->count_offset);
    for (unsigned i = 0; i < count; i++) {
        const char *other = config_edit_name(list->keys, elements + i * list->element_bytes, text);
        if (other && strlen(other) == length && strncmp(other, name, length) == 0)
            return (int)i;
    }
    return -1;
}

static bool ends_word(char c)
{
    return c == 0 || c == '.' || c == '/';
}

/* "[3]", or ".name" with the longest name that fits; *path goes on behind it. */
static int find_element(const struct mr_config_key *list, const char *base, const char **path)
{
    const char *word = *path + 1;
    if (**path == '[') {
        char *end;
        unsigned long place = strtoul(word, &end, 10);
        bool good = *word >= '0' && *word <= '9' && *end == ']' && ends_word(end[1]) &&
                    place < *(const unsigned *)(base + list->count_offset);
        *path = good ? end + 1 : *path;
        return good ? (int)place : -1;
    }
    for (size_t n = strlen(word); n > 0; n--) {
        int place = ends_word(word[n]) ? config_edit_place(list, base, word, n) : -1;
        if (place >= 0) {
            *path = word + n;
            return place;
        }
    }
    return -1;
}

static bool refuse_key(const struct config_edit *e, const struct mr_config_key *keys, const char *path, const char *at)
{
    char known[400] = "";
    size_t used = 0;
    for (const struct mr_config_key *k = keys; k && k->name && used < sizeof known; k++)
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", used ? ", " : "", k->name);
    return config_edit_refuse(e, "there is no key '%.*s'%s%.*s, expected one of %s", (int)strcspn(at, "./["), at,
                              at > path ? " in " : "", at > path ? (int)(at - path - 1) : 0, path, known);
}

bool config_edit_find(const struct config_edit *e, const char *path, struct config_target *out)
{
    const struct mr_config_key *keys = e->keys;
    char *base = e->values;
    const char *at = path;
    for (;;) {
        size_t n = strcspn(at, "./[");
        const struct mr_config_key *k = key_of(keys, at, n);
        if (!k)
            return refuse_key(e, keys, path, at);
        *out = (struct config_target){k, base, -1};
        at += n;
        if (*at == 0)
            return true;
        if (k->type == MR_CONFIG_LIST) {
            out->element = find_element(k, base, &at);
            if (out->element < 0)
                return config_edit_refuse(e, "%.*s has no element '%s'", (int)(at - path), path, at + (*at != '['));
            if (*at == 0)
                return true;
            base = *config_target_elements(k, base) + (size_t)out->element * k->element_bytes;
        } else if (k->type == MR_CONFIG_MAP && *at != '[') {
            base += k->offset;
        } else {
            return config_edit_refuse(e, "%.*s has nothing inside, so '%s' leads nowhere", (int)(at - path), path,
                                      path);
        }
        keys = k->keys;
        at++;
    }
}
