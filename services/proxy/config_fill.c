/* Presets that depend on other values. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/config.h"

static bool name_set(char **name, const char *text)
{
    if (!*name)
        *name = strdup(text);
    return *name;
}

static bool listener_fill(struct proxy_listener_config *l)
{
    static const mr_time idle[] = {[PROXY_HTTP] = 75 * MR_SECOND,
                                   [PROXY_FORWARD] = 75 * MR_SECOND,
                                   [PROXY_TCP] = 600 * MR_SECOND,
                                   [PROXY_UDP] = 60 * MR_SECOND};
    char text[MR_ENDPOINT_TEXT_MAX];
    if (l->idle_timeout == 0)
        l->idle_timeout = idle[l->mode];
    return name_set(&l->name, mr_endpoint_text(&l->listen, text));
}

static bool route_name_taken(const struct proxy_config *config, const char *name)
{
    for (unsigned i = 0; i < config->route_count; i++)
        if (config->routes[i].name && !strcmp(config->routes[i].name, name))
            return true;
    return false;
}

/* "example.com/api/", with "#2" behind it for a second route of these, which differs in something else. A name that goes by place would
 * change its meaning when another route is put in front. */
static bool route_fill(struct proxy_config *config, struct proxy_route_config *r)
{
    char base[96], name[112];
    if (r->name)
        return true;
    snprintf(base, sizeof base, "%s%s", r->host ? r->host : "*", r->path ? r->path : "/*");
    snprintf(name, sizeof name, "%s", base);
    for (unsigned n = 2; route_name_taken(config, name); n++)
        snprintf(name, sizeof name, "%s#%u", base, n);
    return name_set(&r->name, name);
}

static bool upstream_fill(struct proxy_upstream_config *u)
{
    char text[MR_ENDPOINT_TEXT_MAX];
    bool good = u->balance != BALANCE_MAGLEV || name_set(&u->hash, "source");
    for (unsigned i = 0; good && i < u->backend_count; i++)
        good = name_set(&u->backends[i].name, mr_endpoint_text(&u->backends[i].address, text));
    return good;
}

bool proxy_config_fill(struct proxy_config *config)
{
    bool good = true;
    for (unsigned i = 0; good && i < config->listener_count; i++)
        good = listener_fill(&config->listeners[i]);
    for (unsigned i = 0; good && i < config->route_count; i++)
        good = route_fill(config, &config->routes[i]);
    for (unsigned i = 0; good && i < config->upstream_count; i++)
        good = upstream_fill(&config->upstreams[i]);
    return good;
}
