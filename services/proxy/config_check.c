/* What no single value of the configuration shows: names that stand twice, references to nothing, words with a syntax of their own.
 * The first fault is told in one line that names the item, and `value` points at it so that the loader can give its line. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/evict/evict.h"
#include "http/char_class.h"
#include "proxy/config.h"
#include "proxy/health/health.h"
#include "proxy/route/route.h"

struct check {
    const struct proxy_config *config;
    const void **value;
    char *message;
    size_t bytes;
};

static bool fault(struct check *c, const void *value, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool fault(struct check *c, const void *value, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->message, c->bytes, format, arguments);
    va_end(arguments);
    if (c->value)
        *c->value = value;
    return false;
}

/* RFC 9110 5.6.2 */
static bool is_token(const char *text, size_t n)
{
    const uint8_t *at = (const uint8_t *)text;
    return n > 0 && http_char_skip(at, at + n, HTTP_CHAR_TOKEN) == at + n;
}

/* Nothing that would end a line or a field of what we write. */
static bool is_plain(const char *text)
{
    for (const char *c = text; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            return false;
    return true;
}

/* Names stand in tables, messages and commands. */
static bool name_possible(const char *name)
{
    size_t n = strlen(name);
    return n > 0 && n <= 128 && !strpbrk(name, " \t") && is_plain(name);
}

/* -- names that stand twice: sorted, so that 4096 of them cost no square --------------------------------------------------- */

struct named {
    const char *name;
    const void *value;
};

static int named_compare(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->value < y->value ? -1 : x->value > y->value;
}

/* Frees `names`. `where`: "", or " of upstream 'x'". */
static bool names_differ(struct check *c, struct named *names, unsigned n, const char *what, const char *where)
{
    bool good = true;
    if (n > 1)
        qsort(names, n, sizeof *names, named_compare);
    for (unsigned i = 0; good && i < n; i++) {
        if (!name_possible(names[i].name))
            good = fault(c, names[i].value, "%s '%.140s'%s: expected a name of 1 to 128 characters without spaces",
                         what, names[i].name, where);
        else if (i > 0 && !strcmp(names[i].name, names[i - 1].name))
            good =
                fault(c, names[i].value, "%s '%s'%s stands twice, expected another name", what, names[i].name, where);
    }
    free(names);
    return good;
}

static struct named *names_room(struct check *c, unsigned n)
{
    struct named *names = calloc(n ? n : 1, sizeof *names);
    if (!names)
        fault(c, c->config, "no memory to check %u names", n);
    return names;
}

/* -- references ------------------------------------------------------------------------------------------------------------ */

static const struct proxy_upstream_config *upstream_find(const struct proxy_config *config, const char *name)
{
    for (unsigned i = 0; i < config->upstream_count; i++)
        if (!strcmp(config->upstreams[i].name, name))
            return &config->upstreams[i];
    return NULL;
}

/* What could have been meant: "", or ", expected one of a, b, ...". */
#define KNOWN_BYTES 160

static void known_add(char text[KNOWN_BYTES], const char *name)
{
    static const char more[] = ", ...";
    size_t length = strlen(text), room = KNOWN_BYTES - sizeof more - length;
    const char *before = length ? ", " : ", expected one of ";
    if (length >= sizeof more - 1 && !strcmp(text + length - sizeof more + 1, more))
        return;
    if (strlen(before) + strlen(name) <= room)
        snprintf(text + length, KNOWN_BYTES - length, "%s%s", before, name);
    else if (length)
        snprintf(text + length, KNOWN_BYTES - length, "%s", more);
}

static bool upstream_unknown(struct check *c, char *const *value, const char *what, const char *name)
{
    char known[KNOWN_BYTES] = "";
    for (unsigned i = 0; i < c->config->upstream_count; i++)
        known_add(known, c->config->upstreams[i].name);
    return fault(c, value, "%s '%s': there is no upstream '%s'%s", what, name, *value, known);
}

/* As messages call it: by its name, or else by its address. */
static const char *listener_label(const struct proxy_listener_config *l, char text[MR_ENDPOINT_TEXT_MAX])
{
    return l->name ? l->name : mr_endpoint_text(&l->listen, text);
}

static const struct proxy_listener_config *listener_find(const struct proxy_config *config, const char *name)
{
    char text[MR_ENDPOINT_TEXT_MAX];
    for (unsigned i = 0; i < config->listener_count; i++)
        if (!strcmp(listener_label(&config->listeners[i], text), name))
            return &config->listeners[i];
    return NULL;
}

/* -- listeners ------------------------------------------------------------------------------------------------------------- */

static bool same_place(const struct proxy_listener_config *a, const struct proxy_listener_config *b)
{
    bool both = mr_address_equal(&a->listen.address, &b->listen.address) || mr_address_is_any(&a->listen.address) ||
                mr_address_is_any(&b->listen.address);
    return both && a->listen.port == b->listen.port && (a->mode == PROXY_UDP) == (b->mode == PROXY_UDP);
}

static bool listener_good(struct check *c, unsigned index)
{
    const struct proxy_listener_config *l = &c->config->listeners[index];
    char text[MR_ENDPOINT_TEXT_MAX], other[MR_ENDPOINT_TEXT_MAX];
    const char *name = listener_label(l, text);
    bool carries = l->mode == PROXY_TCP || l->mode == PROXY_UDP;
    if (l->listen.port == 0)
        return fault(c, &l->listen, "listener '%s': expected a port from 1 to 65535", name);
    if (carries && !l->upstream)
        return fault(c, l, "listener '%s' in mode %s: expected `upstream`, where everything goes", name,
                     l->mode == PROXY_TCP ? "tcp" : "udp");
    if (l->mode == PROXY_FORWARD && l->upstream)
        return fault(c, &l->upstream, "listener '%s' in mode forward has an upstream: there clients say where to",
                     name);
    if (l->upstream && !upstream_find(c->config, l->upstream))
        return upstream_unknown(c, &l->upstream, "listener", name);
    for (unsigned i = 0; i < index; i++)
        if (same_place(l, &c->config->listeners[i]))
            return fault(c, &l->listen, "listener '%s' has the port of listener '%s'", name,
                         listener_label(&c->config->listeners[i], other));
    return true;
}

static bool listeners_good(struct check *c)
{
    unsigned n = c->config->listener_count;
    char(*texts)[MR_ENDPOINT_TEXT_MAX] = calloc(n ? n : 1, sizeof *texts);
    struct named *names = names_room(c, n);
    bool good = names && texts;
    for (unsigned i = 0; good && i < n; i++)
        good = listener_good(c, i);
    for (unsigned i = 0; good && i < n; i++)
        names[i] = (struct named){listener_label(&c->config->listeners[i], texts[i]), &c->config->listeners[i]};
    if (good)
        good = names_differ(c, names, n, "listener", "");
    else
        free(names);
    free(texts);
    return good;
}

/* -- routes ---------------------------------------------------------------------------------------------------------------- */

/* route_compile writes a host in lower case, so it is given one of its own. */
static bool route_compiles(struct check *c, const struct proxy_route_config *route, const char *name)
{
    struct proxy_route_config copy = *route;
    struct plan_route compiled = {.config = &copy};
    char why[256];
    copy.host = route->host ? strdup(route->host) : NULL;
    if (route->host && !copy.host)
        return fault(c, route, "no memory to check route '%s'", name);
    bool good = route_compile(&compiled, why, sizeof why);
    free(copy.host);
    return good || fault(c, route, "route '%s': %s", name, why);
}

static bool route_good(struct check *c, const struct proxy_route_config *r, unsigned index)
{
    char number[32];
    snprintf(number, sizeof number, "number %u", index + 1);
    const char *name = r->name ? r->name : number;
    const struct proxy_listener_config *l = r->listener ? listener_find(c->config, r->listener) : NULL;
    if (!upstream_find(c->config, r->upstream))
        return upstream_unknown(c, &r->upstream, "route", name);
    if (r->listener && !l)
        return fault(c, &r->listener, "route '%s': there is no listener '%s'", name, r->listener);
    if (l && l->mode != PROXY_HTTP)
        return fault(c, &r->listener, "route '%s': listener '%s' is not in mode http", name, r->listener);
    if (r->method && !is_token(r->method, strlen(r->method)))
        return fault(c, &r->method, "route '%s': method '%s' can be none", name, r->method);
    if (r->strip_prefix && r->strip_prefix[0] != '/')
        return fault(c, &r->strip_prefix, "route '%s': strip_prefix '%s': expected it to begin with '/'", name,
                     r->strip_prefix);
    if (r->set_host && (!*r->set_host || strpbrk(r->set_host, " \t/?#@,") || !is_plain(r->set_host)))
        return fault(c, &r->set_host, "route '%s': set_host '%s': expected a name, or a name and port", name,
                     r->set_host);
    return route_compiles(c, r, name);
}

static bool routes_good(struct check *c)
{
    unsigned n = 0;
    struct named *names = names_room(c, c->config->route_count);
    bool good = names;
    for (unsigned i = 0; good && i < c->config->route_count; i++) {
        const struct proxy_route_config *r = &c->config->routes[i];
        good = route_good(c, r, i);
        if (r->name)
            names[n++] = (struct named){r->name, r};
    }
    if (good)
        return names_differ(c, names, n, "route", "");
    free(names);
    return false;
}

/* -- upstreams ------------------------------------------------------------------------------------------------------------- */

/* "source", "path", "header NAME", "cookie NAME" */
static bool hash_possible(const char *hash)
{
    static const char *const named[] = {"header ", "cookie ", NULL};
    for (unsigned i = 0; named[i]; i++)
        if (!strncmp(hash, named[i], strlen(named[i])))
            return is_token(hash + strlen(named[i]), strlen(hash + strlen(named[i])));
    return !strcmp(hash, "source") || !strcmp(hash, "path");
}

static bool backend_good(struct check *c, const struct proxy_upstream_config *u, const struct proxy_backend_config *b)
{
    char text[MR_ENDPOINT_TEXT_MAX];
    const char *name = b->name ? b->name : mr_endpoint_text(&b->address, text);
    if (b->address.port == 0 || mr_address_is_any(&b->address.address))
        return fault(c, &b->address, "backend '%s' of upstream '%s': expected an address and a port to connect to",
                     name, u->name);
    return true;
}

static bool backends_good(struct check *c, const struct proxy_upstream_config *u)
{
    unsigned n = u->backend_count;
    char where[160];
    char(*texts)[MR_ENDPOINT_TEXT_MAX] = calloc(n ? n : 1, sizeof *texts);
    struct named *names = names_room(c, n);
    bool good = names && texts, weighty = n == 0;
    for (unsigned i = 0; good && i < n; i++) {
        const struct proxy_backend_config *b = &u->backends[i];
        names[i] = (struct named){b->name ? b->name : mr_endpoint_text(&b->address, texts[i]), b};
        weighty |= b->weight > 0;
        good = backend_good(c, u, b);
    }
    if (good && !weighty)
        good = fault(c, u, "upstream '%s': every backend has weight 0, so nothing could be sent", u->name);
    snprintf(where, sizeof where, " of upstream '%s'", u->name);
    if (good)
        good = names_differ(c, names, n, "backend", where);
    else
        free(names);
    free(texts);
    return good;
}

static bool health_good(struct check *c, const struct proxy_upstream_config *u)
{
    const struct proxy_health_config *h = &u->health;
    if (h->type != HEALTH_HTTP)
        return true;
    if (h->path[0] != '/' || strchr(h->path, ' ') || strchr(h->path, '#') || !is_plain(h->path))
        return fault(c, &h->path, "upstream '%s': health path '%s': expected one that begins with '/'", u->name,
                     h->path);
    if (h->host && (!*h->host || strchr(h->host, ' ') || !is_plain(h->host)))
        return fault(c, &h->host, "upstream '%s': health host '%s' can be none", u->name, h->host);
    if (strlen(h->path) > HEALTH_PATH_MAX || (h->host && strlen(h->host) > HEALTH_HOST_MAX))
        return fault(c, &h->path, "upstream '%s': health path and host: expected at most %u and %u characters", u->name,
                     HEALTH_PATH_MAX, HEALTH_HOST_MAX);
    if (h->status_minimum > h->status_maximum)
        return fault(c, &h->status_minimum, "upstream '%s': health status_minimum is greater than status_maximum",
                     u->name);
    return true;
}

static bool upstream_good(struct check *c, const struct proxy_upstream_config *u)
{
    const struct mr_address any4 = mr_address_ip4(0);
    if (u->hash && !hash_possible(u->hash))
        return fault(c, &u->hash, "upstream '%s': hash '%s': expected source, path, \"header NAME\" or \"cookie NAME\"",
                     u->name, u->hash);
    if (u->hash && u->balance != BALANCE_MAGLEV)
        return fault(c, &u->hash, "upstream '%s': hash is for `balance: maglev`", u->name);
    if (u->sticky_cookie && !is_token(u->sticky_cookie, strlen(u->sticky_cookie)))
        return fault(c, &u->sticky_cookie, "upstream '%s': sticky_cookie '%s' cannot name a cookie", u->name,
                     u->sticky_cookie);
    for (unsigned i = 0; i < u->source_count; i++)
        if (mr_address_is_any(&u->sources[i]) || mr_address_equal(&u->sources[i], &any4))
            return fault(c, &u->sources, "upstream '%s': sources: expected addresses of ours", u->name);
    return health_good(c, u) && backends_good(c, u);
}

static bool upstreams_good(struct check *c)
{
    uint64_t backends = 0;
    unsigned n = c->config->upstream_count;
    struct named *names = names_room(c, n);
    bool good = names;
    for (unsigned i = 0; good && i < n; i++) {
        names[i] = (struct named){c->config->upstreams[i].name, &c->config->upstreams[i]};
        backends += c->config->upstreams[i].backend_count;
        good = upstream_good(c, &c->config->upstreams[i]);
    }
    if (!good) {
        free(names);
        return false;
    }
    if (!names_differ(c, names, n, "upstream", ""))
        return false;
    if (n > c->config->limits.upstreams)
        return fault(c, &c->config->limits.upstreams, "%u upstreams, but limits.upstreams is %llu", n,
                     (unsigned long long)c->config->limits.upstreams);
    if (backends > c->config->limits.backends)
        return fault(c, &c->config->limits.backends, "%llu backends, but limits.backends is %llu",
                     (unsigned long long)backends, (unsigned long long)c->config->limits.backends);
    return true;
}

/* -- the rest -------------------------------------------------------------------------------------------------------------- */

static bool forward_good(struct check *c)
{
    const struct proxy_forward_config *f = &c->config->forward;
    for (unsigned i = 0; i < f->rule_count; i++)
        if (f->rules[i].port_first > f->rules[i].port_last)
            return fault(c, &f->rules[i].port_first, "forward: rule %u: port_first is greater than port_last", i + 1);
    struct named *names = names_room(c, f->host_count);
    for (unsigned i = 0; names && i < f->host_count; i++)
        names[i] = (struct named){f->hosts[i].name, &f->hosts[i]};
    return names && names_differ(c, names, f->host_count, "forward: host", "");
}

static bool cache_good(struct check *c)
{
    const struct proxy_cache_config *k = &c->config->cache;
    char known[KNOWN_BYTES] = "";
    for (unsigned i = 0; cache_evict_policies[i]; i++)
        known_add(known, cache_evict_policies[i]->name);
    if (k->bytes > 0 && !cache_evict_find(k->policy))
        return fault(c, &k->policy, "cache: there is no policy '%s'%s", k->policy, known);
    if (k->bytes > 0 && k->object_bytes_max > k->bytes)
        return fault(c, &k->object_bytes_max, "cache: object_bytes_max is larger than bytes");
    return true;
}

static bool limits_good(struct check *c)
{
    const struct proxy_limits_config *l = &c->config->limits;
    if (l->line_bytes > l->header_bytes)
        return fault(c, &l->line_bytes, "limits: line_bytes is larger than header_bytes");
    if (!is_token(c->config->via, strlen(c->config->via)))
        return fault(c, &c->config->via, "via: '%s': expected a word without spaces", c->config->via);
    return true;
}

bool proxy_config_check_value(const void *configuration, const void **value, char *message, size_t message_bytes)
{
    struct check c = {configuration, value, message, message_bytes};
    if (c.config->listener_count == 0)
        return fault(&c, c.config, "no listeners: expected at least one, where clients come in");
    return limits_good(&c) && upstreams_good(&c) && listeners_good(&c) && routes_good(&c) && forward_good(&c) &&
           cache_good(&c);
}

bool proxy_config_check(const void *config, char *message, size_t message_bytes)
{
    return proxy_config_check_value(config, NULL, message, message_bytes);
}
