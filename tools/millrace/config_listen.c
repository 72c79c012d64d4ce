/* Which values of a service are endpoints that it listens on. */
#include <string.h>

#include "tools/millrace/config.h"

bool config_key_may_be_off(const struct mr_config_key *k)
{
    return k->type == MR_CONFIG_ENDPOINT && k->preset && !strcmp(k->preset, ":0");
}

bool config_key_listens(const struct mr_config_key *k)
{
    return k->type == MR_CONFIG_ENDPOINT && (!strncmp(k->name, "listen", 6) || config_key_may_be_off(k));
}

/* The word of a choice `mode` beside the endpoint, or NULL. */
static const char *mode_of(const struct mr_config_key *keys, const char *base)
{
    for (const struct mr_config_key *k = keys; k->name; k++)
        if (k->type == MR_CONFIG_CHOICE && !strcmp(k->name, "mode"))
            return k->choices[*(const int *)(base + k->offset)];
    return NULL;
}

static void each_in_keys(const struct mr_config_key *keys, const char *base, struct config_listener *l,
                         config_listener_fn fn, void *argument)
{
    for (const struct mr_config_key *k = keys; k && k->name; k++) {
        const char *value = base + k->offset;
        unsigned n = k->list_max ? *(const unsigned *)(base + k->count_offset) : 1;
        if (k->type == MR_CONFIG_MAP)
            each_in_keys(k->keys, value, l, fn, argument);
        for (unsigned i = 0; k->type == MR_CONFIG_LIST && i < n; i++)
            each_in_keys(k->keys, *(const char *const *)value + i * k->element_bytes, l, fn, argument);
        for (unsigned i = 0; config_key_listens(k) && i < n; i++) {
            l->key = k;
            l->mode = mode_of(keys, base);
            l->endpoint = (const struct mr_endpoint *)value + i;
            fn(l, argument);
        }
    }
}

void config_each_listener(const struct mr_service *service, const void *values, config_listener_fn fn, void *argument)
{
    struct config_listener l = {.service = service};
    each_in_keys(service->keys, values, &l, fn, argument);
}
