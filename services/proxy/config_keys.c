/* Every key of the proxy's configuration, stated once: parsing, messages, the reference and the editor's schema come from here. */
#include <stddef.h>

#include "http/limits.h"
#include "proxy/balance/balance.h"
#include "proxy/config.h"

#define SECONDS(n) ((n)*MR_SECOND)
#define DAY        SECONDS(86400)

/* One line a key; `structure` is what the table is of. */
#define KEY(structure, member, kind, ...)                                                                    \
    {                                                                                                        \
        .name = #member, .type = MR_CONFIG_##kind, .offset = offsetof(struct structure, member), __VA_ARGS__ \
    }
#define RANGE(least, most) .minimum = (least), .maximum = (most)
/* Structs, each with `table`; a list of values has only `list_max`. */
#define ELEMENTS(structure, count, most, element, table)                                                      \
    .optional = true, .list_max = (most), .count_offset = offsetof(struct structure, count), .keys = (table), \
    .element_bytes = sizeof(struct element)

static const char *const mode_choices[] = {"http", "forward", "tcp", "udp", NULL};
static const char *const backend_state_choices[] = {"enabled", "drain", "disabled", NULL};
static const char *const protocol_choices[] = {"off", "v1", "v2", NULL};
static const char *const health_choices[] = {"off", "tcp", "http", NULL};

#define LISTENER(member, kind, ...) KEY(proxy_listener_config, member, kind, __VA_ARGS__)
static const struct mr_config_key listener_keys[] = {
    LISTENER(name, STRING, .optional = true, .sentence = "what commands and routes call it; without it, its address"),
    LISTENER(listen, ENDPOINT, .sentence = "address and port to listen on"),
    LISTENER(mode, CHOICE, .preset = "http", .choices = mode_choices,
             .sentence = "http: requests by routes; forward: a client's proxy (CONNECT, absolute form); tcp, udp: all "
                         "to one upstream"),
    LISTENER(upstream, STRING, .optional = true,
             .sentence = "where to: everything (tcp, udp), or what no route takes (http; without it that is a 404)"),
    LISTENER(proxy_protocol, BOOL, .preset = "false",
             .sentence =
                 "each connection, or datagram, begins with a PROXY header, version 1 or 2; one that does not is "
                 "closed, or dropped"),
    LISTENER(connections_max, UNSIGNED, RANGE(1, 4 << 20), .preset = "65536", .unit = "connections",
             .sentence = "open connections, or flows, per worker; more are refused"),
    LISTENER(
        idle_timeout, DURATION, RANGE(0, DAY), .preset = "0s",
        .sentence =
            "silence that ends a connection, between requests in http; 0s: 75s (http, forward), 10m (tcp), 1m (udp)"),
    {0},
};

#define ROUTE(member, kind, ...) KEY(proxy_route_config, member, kind, __VA_ARGS__)
static const struct mr_config_key route_keys[] = {
    ROUTE(name, STRING, .optional = true, .sentence = "what commands call it; without it, its host and path"),
    ROUTE(listener, STRING, .optional = true, .sentence = "only what comes to this listener"),
    ROUTE(host, STRING, .optional = true,
          .sentence = "only this host: example.com, or *.example.com for every name below it"),
    ROUTE(path, STRING, .optional = true,
          .sentence = "only this path: /a exactly, /a/ all below it, /a* all that begins so"),
    ROUTE(method, STRING, .optional = true, .sentence = "only this method"),
    ROUTE(header, STRING, .optional = true, .list_max = PROXY_HEADERS_MAX,
          .count_offset = offsetof(struct proxy_route_config, header_count),
          .sentence = "only with these fields: \"Name\" (it is there) or \"Name: value\" (it is that)"),
    ROUTE(upstream, STRING, .sentence = "where to"),
    ROUTE(strip_prefix, STRING, .optional = true, .sentence = "taken off the front of the path"),
    ROUTE(set_host, STRING, .optional = true,
          .sentence = "Host of the request to the backend; without it the client's"),
    ROUTE(cache, BOOL, .preset = "false", .sentence = "keep responses as RFC 9111 permits"),
    {0},
};

#define BACKEND(member, kind, ...) KEY(proxy_backend_config, member, kind, __VA_ARGS__)
static const struct mr_config_key backend_keys[] = {
    BACKEND(name, STRING, .optional = true, .sentence = "unique in its upstream; without it, its address"),
    BACKEND(address, ENDPOINT, .sentence = "address and port"),
    BACKEND(weight, UNSIGNED, RANGE(0, 65535), .preset = "1",
            .sentence = "its share beside the others; 0: takes nothing new"),
    BACKEND(state, CHOICE, .preset = "enabled", .choices = backend_state_choices,
            .sentence =
                "drain: only requests that stick to it; disabled: none, and what is under way has drain_timeout"),
    {0},
};

#define HEALTH(member, kind, ...) KEY(proxy_health_config, member, kind, __VA_ARGS__)
static const struct mr_config_key health_keys[] = {
    HEALTH(type, CHOICE, .preset = "off", .choices = health_choices,
           .sentence = "how backends are checked: not, by opening a connection, or by a GET"),
    HEALTH(interval, DURATION, RANGE(10 * MR_MILLISECOND, SECONDS(3600)), .preset = "2s",
           .sentence = "between two checks of a backend"),
    HEALTH(timeout, DURATION, RANGE(MR_MILLISECOND, SECONDS(600)), .preset = "2s", .sentence = "for one check"),
    HEALTH(rise, UNSIGNED, RANGE(1, 1000), .preset = "2", .unit = "checks",
           .sentence = "good ones in a row that bring a backend back"),
    HEALTH(fall, UNSIGNED, RANGE(1, 1000), .preset = "3", .unit = "checks",
           .sentence = "bad ones in a row that put it out"),
    HEALTH(jitter, FRACTION, .preset = "10%",
           .sentence = "of the interval, to both sides, so that checks do not come at once"),
    HEALTH(path, STRING, .preset = "/", .sentence = "http: what is asked for"),
    HEALTH(host, STRING, .optional = true, .sentence = "http: Host of the check; without it the backend's address"),
    HEALTH(status_minimum, UNSIGNED, RANGE(100, 599), .preset = "200", .sentence = "http: least status that is good"),
    HEALTH(status_maximum, UNSIGNED, RANGE(100, 599), .preset = "399",
           .sentence = "http: greatest status that is good"),
    {0},
};

#define EJECTION(member, kind, ...) KEY(proxy_ejection_config, member, kind, __VA_ARGS__)
static const struct mr_config_key ejection_keys[] = {
    EJECTION(failures, UNSIGNED, RANGE(0, 1000000), .preset = "5", .unit = "failures",
             .sentence = "in a row (no connection, a reset, no answer, 502, 503 or 504) that put a backend out for a "
                         "while; 0: never"),
    EJECTION(duration, DURATION, RANGE(MR_MILLISECOND, SECONDS(3600)), .preset = "10s",
             .sentence = "how long the first time; it doubles with each that follows soon, up to ten times"),
    EJECTION(share_max, FRACTION, .preset = "50%",
             .sentence = "of an upstream's backends that may be out for this at a time"),
    {0},
};

#define UPSTREAM(member, kind, ...) KEY(proxy_upstream_config, member, kind, __VA_ARGS__)
#define TIMEOUT(member, least, value, text) \
    UPSTREAM(member, DURATION, RANGE((least), DAY), .preset = value, .sentence = text)
static const struct mr_config_key upstream_keys[] = {
    UPSTREAM(name, STRING, .sentence = "what listeners, routes and commands call it"),
    UPSTREAM(balance, CHOICE, .preset = "weighted", .choices = balance_names,
             .sentence = "which backend takes the next request or connection"),
    UPSTREAM(hash, STRING, .optional = true,
             .sentence = "what maglev hashes: source (the preset), path, \"header NAME\", \"cookie NAME\""),
    UPSTREAM(sticky_cookie, STRING, .optional = true,
             .sentence = "name of a cookie that we set, and that brings a client back to its backend"),
    UPSTREAM(backends, LIST,
             ELEMENTS(proxy_upstream_config, backend_count, PROXY_BACKENDS_MAX, proxy_backend_config, backend_keys),
             .sentence = "who answers"),
    UPSTREAM(health, MAP, .keys = health_keys, .sentence = "active checks"),
    UPSTREAM(ejection, MAP, .keys = ejection_keys, .sentence = "passive checks: who fails requests is put out"),
    TIMEOUT(slow_start, 0, "0s",
            "a backend that comes, or comes back, has its weight grown from a tenth over this; 0s: whole at once"),
    UPSTREAM(connections_max, UNSIGNED, RANGE(0, 4 << 20), .preset = "0", .unit = "connections",
             .sentence = "to one backend, per worker; 0: no bound"),
    UPSTREAM(queue_max, UNSIGNED, RANGE(0, 1 << 20), .preset = "1024", .unit = "requests",
             .sentence = "that wait for a connection, per worker; more are a 503"),
    TIMEOUT(queue_timeout, MR_MILLISECOND, "5s", "how long they wait; then they are a 503"),
    UPSTREAM(idle_max, UNSIGNED, RANGE(0, 65536), .preset = "1024", .unit = "connections",
             .sentence = "kept open to one backend, per worker"),
    TIMEOUT(idle_timeout, MR_MILLISECOND, "30s", "how long one is kept; less than the backend keeps it"),
    TIMEOUT(age_max, 0, "1h", "a connection so old takes no more requests; 0s: no bound"),
    UPSTREAM(requests_max, UNSIGNED, RANGE(0, UINT32_MAX), .preset = "0", .unit = "requests",
             .sentence = "of one connection; 0: no bound"),
    TIMEOUT(connect_timeout, MR_MILLISECOND, "5s", "to open a connection; later is a 504"),
    TIMEOUT(response_timeout, MR_MILLISECOND, "60s",
            "from the request to the first byte of the answer; later is a 504"),
    TIMEOUT(body_timeout, MR_MILLISECOND, "60s", "silence within an answer; then the client's connection is cut, too"),
    UPSTREAM(retries, UNSIGNED, RANGE(0, 8), .preset = "2", .unit = "tries",
             .sentence = "beside the first, of requests that may be sent twice"),
    UPSTREAM(retry_budget, FRACTION, .preset = "20%",
             .sentence = "retries at most this share of requests, and never less than 10 a second"),
    UPSTREAM(proxy_protocol, CHOICE, .preset = "off", .choices = protocol_choices,
             .sentence = "the PROXY header sent first on each connection, which then serves one client alone"),
    UPSTREAM(sources, ADDRESS, .optional = true, .list_max = PROXY_SOURCES_MAX,
             .count_offset = offsetof(struct proxy_upstream_config, source_count),
             .sentence =
                 "local addresses of connections, in turn: each has 64 k ports to a backend; without it by route"),
    {0},
};

#define RULE(member, kind, ...) KEY(proxy_rule_config, member, kind, __VA_ARGS__)
static const struct mr_config_key rule_keys[] = {
    RULE(allow, BOOL, .sentence = "true: may be reached; false: may not"),
    RULE(destination, PREFIX, .sentence = "addresses that this is about"),
    RULE(port_first, UNSIGNED, RANGE(1, 65535), .preset = "1", .sentence = "least port that this is about"),
    RULE(port_last, UNSIGNED, RANGE(1, 65535), .preset = "65535", .sentence = "greatest port"),
    {0},
};

#define HOST(member, kind, ...) KEY(proxy_host_config, member, kind, __VA_ARGS__)
static const struct mr_config_key host_keys[] = {
    HOST(name, STRING, .sentence = "as clients ask for it"),
    HOST(address, ADDRESS, .sentence = "where it is"),
    {0},
};

#define FORWARD(member, kind, ...) KEY(proxy_forward_config, member, kind, __VA_ARGS__)
static const struct mr_config_key forward_keys[] = {
    FORWARD(rules, LIST, ELEMENTS(proxy_forward_config, rule_count, PROXY_RULES_MAX, proxy_rule_config, rule_keys),
            .sentence = "destinations, the first that matches counts; what none matches is denied when any rule "
                        "allows, else allowed"),
    FORWARD(connect_ports, UNSIGNED, RANGE(1, 65535), .preset = "443", .list_max = 16,
            .count_offset = offsetof(struct proxy_forward_config, connect_port_count),
            .sentence = "ports that CONNECT may reach"),
    FORWARD(hosts, LIST, ELEMENTS(proxy_forward_config, host_count, 4096, proxy_host_config, host_keys),
            .sentence = "addresses of names: there is no resolver"),
    {0},
};

#define CACHE(member, kind, ...) KEY(proxy_cache_config, member, kind, __VA_ARGS__)
static const struct mr_config_key cache_keys[] = {
    CACHE(bytes, BYTES, RANGE(0, UINT64_C(63) << 30), .preset = "64MiB",
          .sentence = "of one worker, for routes with `cache`; 0: none"),
    CACHE(object_bytes_max, BYTES, RANGE(1, UINT64_C(1) << 32), .preset = "1MiB",
          .sentence = "longer responses pass and are not kept"),
    CACHE(policy, STRING, .preset = "allkeys-s3fifo",
          .sentence = "which go when room is needed: a name of services/cache/evict/"),
    CACHE(heuristic_max, DURATION, RANGE(0, 365 * DAY), .preset = "24h",
          .sentence = "longest freshness of what says nothing but Last-Modified (RFC 9111 4.2.2)"),
    CACHE(stale_while_revalidate, DURATION, RANGE(0, 365 * DAY), .preset = "0s",
          .sentence =
              "how long a stale one is served while it is fetched anew, where it says nothing itself (RFC 5861)"),
    CACHE(waiting_max, UNSIGNED, RANGE(0, 1 << 20), .preset = "1024", .unit = "requests",
          .sentence = "that wait for one fetch of what they all ask for; more fetch for themselves"),
    {0},
};

#define LIMIT(member, kind, least, most, value, word, text) \
    KEY(proxy_limits_config, member, kind, RANGE((least), (most)), .preset = value, .unit = word, .sentence = text)
static const struct mr_config_key limits_keys[] = {
    LIMIT(sessions, UNSIGNED, 1, 4 << 20, "65536", "connections", "of clients, per worker; more are refused"),
    LIMIT(flows, UNSIGNED, 1, 4 << 20, "65536", "flows", "of UDP, per worker; more are dropped"),
    LIMIT(connections, UNSIGNED, 1, 4 << 20, "65536", "connections", "to backends, per worker; what needs more waits"),
    LIMIT(buffers, UNSIGNED, 1, 1 << 20, "8192", "buffers",
          "for heads in pieces, per worker, each as long as header_bytes and some; more are a 503"),
    LIMIT(line_bytes, BYTES, 64, 65535, "8KiB", NULL, "first line of a message; longer is a 414, or a 502"),
    LIMIT(header_bytes, BYTES, 1024, 60000, "16KiB", NULL, "first line and fields together; longer is a 431, or a 502"),
    LIMIT(header_count, UNSIGNED, 1, HTTP_FIELDS_MAX, "100", "fields", "of a message; more are a 431, or a 502"),
    LIMIT(body_bytes, BYTES, 0, INT64_MAX, "16GiB", NULL, "of a request; longer is a 413"),
    LIMIT(backends, UNSIGNED, 1, 1 << 20, "4096", "backends", "of all upstreams, at a time, those that drain included"),
    LIMIT(upstreams, UNSIGNED, 1, 4096, "1024", "upstreams", "at a time, those that drain included"),
    LIMIT(header_timeout, DURATION, MR_MILLISECOND, SECONDS(3600), "30s", NULL,
          "for a first request to begin, and for a head from its first byte to its last; later is a 408"),
    LIMIT(body_timeout, DURATION, MR_MILLISECOND, SECONDS(3600), "30s", NULL,
          "silence within a request body; longer is a 408"),
    LIMIT(send_timeout, DURATION, MR_MILLISECOND, SECONDS(3600), "30s", NULL,
          "how long a client may take nothing of an answer before it is cut"),
    LIMIT(linger_timeout, DURATION, MR_MILLISECOND, SECONDS(3600), "5s", NULL,
          "how long to wait for a client's end after our own"),
    {0},
};

#define PROXY(member, kind, ...) KEY(proxy_config, member, kind, __VA_ARGS__)
const struct mr_config_key proxy_keys[] = {
    PROXY(listeners, LIST,
          ELEMENTS(proxy_config, listener_count, PROXY_LISTENERS_MAX, proxy_listener_config, listener_keys),
          .sentence = "where clients come in"),
    PROXY(routes, LIST, ELEMENTS(proxy_config, route_count, PROXY_ROUTES_MAX, proxy_route_config, route_keys),
          .sentence = "which upstream a request goes to; the first that matches"),
    PROXY(upstreams, LIST,
          ELEMENTS(proxy_config, upstream_count, PROXY_UPSTREAMS_MAX, proxy_upstream_config, upstream_keys),
          .sentence = "groups of backends"),
    PROXY(forward, MAP, .keys = forward_keys, .sentence = "what listeners in mode forward may reach"),
    PROXY(cache, MAP, .keys = cache_keys, .sentence = "the HTTP cache"),
    PROXY(limits, MAP, .keys = limits_keys, .sentence = "what is held at most; tables are sized by it at start"),
    PROXY(drain_timeout, DURATION, RANGE(0, DAY), .preset = "30s",
          .sentence =
              "what connections of a removed listener or backend get to end by themselves; then they are reset"),
    PROXY(via, STRING, .preset = "millrace", .sentence = "what Via and Forwarded call us"),
    PROXY(forwarded, BOOL, .preset = "false", .sentence = "tell backends the client by Forwarded (RFC 7239)"),
    PROXY(x_forwarded, BOOL, .preset = "true", .sentence = "tell it by X-Forwarded-For, -Proto and -Host"),
    PROXY(trust_forwarded, BOOL, .preset = "false",
          .sentence = "keep what the client sent of those and append to it; else it is dropped"),
    {0},
};
