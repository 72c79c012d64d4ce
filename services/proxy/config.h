/* The configuration of the proxy: what the YAML says, as plain structs (config_keys.c has the tables, config_check.c what no
 * single value shows). Changes while running edit a copy of it; plan.h is what workers see. */
#ifndef SERVICES_PROXY_CONFIG_H
#define SERVICES_PROXY_CONFIG_H

#include <millrace/service.h>

#define PROXY_LISTENERS_MAX 256
#define PROXY_ROUTES_MAX    4096
#define PROXY_UPSTREAMS_MAX 1024
#define PROXY_BACKENDS_MAX  4096 /* of one upstream */
#define PROXY_HEADERS_MAX   8    /* conditions of one route */
#define PROXY_SOURCES_MAX   16
#define PROXY_RULES_MAX     256

enum proxy_mode { PROXY_HTTP, PROXY_FORWARD, PROXY_TCP, PROXY_UDP };

struct proxy_listener_config {
    char *name;
    struct mr_endpoint listen;
    int mode;            /* enum proxy_mode */
    char *upstream;      /* tcp, udp: where all goes; http: where goes what no route takes (NULL: 404) */
    bool proxy_protocol; /* every connection begins with a PROXY header, v1 or v2 */
    uint64_t connections_max;
    mr_time idle_timeout; /* tcp: neither side says anything; udp: a flow ends; http: between requests; 0: by mode */
};

/* First match in the order of the file. What is NULL or empty matches everything. */
struct proxy_route_config {
    char *name, *listener;
    char *host; /* "example.com", "*.example.com" (one label or more) */
    char *path; /* "/exact", "/prefix/" or "/prefix/..." by its end: see route.h */
    char *method;
    unsigned header_count;
    char *header[PROXY_HEADERS_MAX]; /* "Name" (there), "Name: value" (exactly that) */
    char *upstream;                  /* where to */
    char *strip_prefix;              /* taken off the path */
    char *set_host;                  /* Host of the request to the backend; NULL: the client's */
    bool cache;                      /* keep responses, see cache/ */
};

enum proxy_balance {
    BALANCE_ROUND_ROBIN,
    BALANCE_WEIGHTED,
    BALANCE_LEAST_CONNECTIONS,
    BALANCE_TWO_CHOICES,
    BALANCE_MAGLEV
};
enum proxy_backend_state { BACKEND_ENABLED, BACKEND_DRAIN, BACKEND_DISABLED };
enum proxy_protocol_version { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };
enum proxy_health_type { HEALTH_OFF, HEALTH_TCP, HEALTH_HTTP };

struct proxy_backend_config {
    char *name; /* unique in the upstream; preset: the address as text */
    struct mr_endpoint address;
    uint64_t weight; /* 0 .. 65535; 0 takes nothing new */
    int state;       /* enum proxy_backend_state: drain takes only what sticks to it, disabled nothing */
};

struct proxy_health_config {
    int type; /* enum proxy_health_type */
    mr_time interval, timeout;
    uint64_t rise, fall; /* checks in a row that change the verdict */
    double jitter;       /* of the interval, to both sides */
    char *path, *host;
    uint64_t status_minimum, status_maximum;
};

struct proxy_ejection_config {
    uint64_t failures; /* in a row, of connections or responses; 0: off */
    mr_time duration;  /* of the first ejection; doubles with each that follows soon, up to 10 times */
    double share_max;  /* of an upstream's backends that may be out for this reason */
};

struct proxy_upstream_config {
    char *name;
    int balance;         /* enum proxy_balance */
    char *hash;          /* what maglev hashes: "source", "path", "header NAME", "cookie NAME" */
    char *sticky_cookie; /* name of a cookie that we set and follow; NULL: none */
    unsigned backend_count;
    struct proxy_backend_config *backends;
    struct proxy_health_config health;
    struct proxy_ejection_config ejection;
    mr_time slow_start;       /* a backend that comes (back) has its weight grown from a tenth over this; 0: at once */
    uint64_t connections_max; /* to one backend and worker; 0: no bound */
    uint64_t queue_max;       /* requests that wait for one, per worker */
    mr_time queue_timeout;
    uint64_t idle_max; /* idle connections kept to one backend and worker */
    mr_time idle_timeout;
    mr_time age_max;       /* of a connection: it takes no request after that; 0: no bound */
    uint64_t requests_max; /* of a connection; 0: no bound */
    mr_time connect_timeout, response_timeout,
        body_timeout;    /* to open; to the first byte of the answer; silence within it */
    uint64_t retries;    /* tries beside the first */
    double retry_budget; /* retries at most this share of requests, and never less than 10 a second */
    int proxy_protocol;  /* enum proxy_protocol_version: sent first on each connection */
    unsigned source_count;
    struct mr_address sources[PROXY_SOURCES_MAX]; /* local addresses in turn; none: by route */
};

struct
    proxy_rule_config { /* destinations of forward listeners: first match; none: denied when there is any `allow`, else allowed */
    bool allow;
    struct mr_config_prefix destination;
    uint64_t port_first, port_last;
};

struct proxy_forward_config {
    unsigned rule_count;
    struct proxy_rule_config *rules;
    unsigned connect_port_count;
    uint64_t connect_ports[16]; /* CONNECT: preset 443 */
    unsigned host_count;
    struct proxy_host_config {
        char *name;
        struct mr_address address;
    } * hosts; /* names: there is no resolver */
};

struct proxy_cache_config {
    uint64_t bytes; /* of one worker; 0: no cache */
    uint64_t object_bytes_max;
    char *policy;                   /* a name of services/cache/evict */
    mr_time heuristic_max;          /* longest freshness by RFC 9111 4.2.2 */
    mr_time stale_while_revalidate; /* where the response says nothing; 0: not */
    uint64_t waiting_max;           /* requests that wait for one fetch of the same object */
};

struct proxy_limits_config {
    uint64_t sessions;    /* client connections, per worker */
    uint64_t flows;       /* UDP */
    uint64_t connections; /* to backends */
    uint64_t buffers;
    uint64_t line_bytes, header_bytes, header_count, body_bytes;
    uint64_t backends, upstreams; /* slots: what may exist at a time, drained ones included */
    mr_time header_timeout, body_timeout, send_timeout, linger_timeout;
};

struct proxy_config {
    unsigned listener_count, route_count, upstream_count;
    struct proxy_listener_config *listeners;
    struct proxy_route_config *routes;
    struct proxy_upstream_config *upstreams;
    struct proxy_forward_config forward;
    struct proxy_cache_config cache;
    struct proxy_limits_config limits;
    mr_time drain_timeout;       /* what a removed backend or listener's long connections get; then they are reset */
    char *via;                   /* pseudonym in Via and Forwarded; preset "millrace" */
    bool forwarded, x_forwarded; /* add Forwarded (RFC 7239); add X-Forwarded-For, -Proto, -Host */
    bool trust_forwarded;        /* keep what the client sent of them and append; else it is dropped */
};

extern const struct mr_config_key proxy_keys[]; /* ends with name NULL */

/* What a table cannot say: names that are twice there, references to nothing, ... One line in `message`. */
bool proxy_config_check(const void *config, char *message, size_t message_bytes);
bool proxy_config_check_value(const void *config, const void **value, char *message, size_t message_bytes);

/* Presets that depend on other values: names of listeners, routes and backends, idle timeouts by mode, what maglev hashes. On a checked
 * copy whose strings are from malloc; false: no memory. Harmless twice. */
bool proxy_config_fill(struct proxy_config *config);

#endif
