/* The configuration of a process: one YAML file as plain structs.
 *
 * The tables of config_keys.c (and those of the services) state every key once; loading, messages, the reference page and
 * the JSON Schema are made from them. */
#ifndef TOOLS_MILLRACE_CONFIG_H
#define TOOLS_MILLRACE_CONFIG_H

#include <millrace/service.h>

#include "stack/core/netif.h"
#include "stack/core/worker.h"
#include "tools/millrace/config_report.h"

#define CONFIG_WORKER_MAX     64
#define CONFIG_ROUTE_MAX      256
#define CONFIG_FILE_BYTES_MAX (4 * 1024 * 1024)

enum config_driver {
    CONFIG_TAP,
    CONFIG_AF_PACKET,
    CONFIG_AF_XDP,
    CONFIG_MEMIF,
    CONFIG_VIRTIO_USER,
    CONFIG_VHOST,
    CONFIG_PCAP,
    CONFIG_PCI,
    CONFIG_NULL,
};
extern const char *const config_driver_names[];

enum config_poll { CONFIG_POLL_ADAPTIVE, CONFIG_POLL_ALWAYS, CONFIG_POLL_INTERRUPT };
#define CONFIG_PARAMETER_MAX 7 /* of a driver, one less than drivers/dpdk takes: the name may be added */

struct config_limits {
    uint64_t connections, half_open, time_wait, neighbours, datagram_ports;
    uint64_t packets;
};

struct config_workers {
    uint64_t count; /* at least 1 after loading */
    unsigned core_count;
    uint64_t cores[CONFIG_WORKER_MAX];
    int poll; /* enum config_poll */
    uint64_t offload_threads;
    struct config_limits limits;
};

struct config_impair {
    double loss, duplicate, reorder, corrupt;
    mr_time delay, jitter;
    uint64_t rate;  /* bits per second; 0: unlimited */
    uint64_t queue; /* packets that wait for the rate */
    uint64_t seed;
};

struct config_pair {
    char *name, *value;
};

struct config_interface {
    char *name;
    int driver; /* enum config_driver */
    unsigned parameter_count;
    struct config_pair parameter[CONFIG_PARAMETER_MAX];
    char *mac;
    unsigned address_count;
    struct mr_config_prefix address[NETIF_ADDRESS_MAX];
    struct mr_config_prefix host_address; /* any: none */
    uint64_t mtu, queues, descriptors;
    char *capture;
    struct config_impair impair;
};

struct config_route {
    struct mr_config_prefix prefix;
    struct mr_address via; /* any: on-link */
    char *interface;
};

struct config_service {
    const struct mr_service *service;
    void *values; /* the service's own struct */
    struct config_mark mark;
};

struct config_log {
    int level; /* enum mr_log_level */
};

struct config_control {
    bool enabled;
    char *path; /* NULL: by the instance's name */
};

struct config_place;

struct config {
    char *name; /* of the instance */
    char *congestion;
    char *file;   /* as given */
    char *folder; /* of the file: relative paths start there */
    struct config_workers workers;
    unsigned interface_count;
    struct config_interface interface[NETIF_MAX];
    unsigned route_count;
    struct config_route route[CONFIG_ROUTE_MAX];
    unsigned service_count;
    struct config_service service[WORKER_SERVICE_MAX];
    struct config_log log;
    struct config_control control;

    /* Where each value of the file stands, for messages of later checks. */
    struct config_place *places;
    unsigned place_count;
};

/* `services` ends with NULL. NULL when anything is wrong; the report says what. */
struct config *config_load(const char *file, const struct mr_service *const *services, struct config_report *report);
struct config *config_parse(const char *file, const char *text, size_t bytes, const struct mr_service *const *services,
                            struct config_report *report);
void config_free(struct config *c);

/* By convention the endpoints that a service listens on are in keys whose name starts with "listen", or whose preset is
 * port 0: those may be off. A choice `mode` beside one says what is spoken there; its word `udp` means datagrams. */
bool config_key_listens(const struct mr_config_key *k);
bool config_key_may_be_off(const struct mr_config_key *k);

struct config_listener {
    const struct mr_service *service;
    const struct mr_config_key *key;
    const char *mode; /* NULL: there is none */
    const struct mr_endpoint *endpoint;
};
typedef void (*config_listener_fn)(const struct config_listener *l, void *argument);

/* Each of them, nested ones included, in the order of the tables. */
void config_each_listener(const struct mr_service *service, const void *values, config_listener_fn fn, void *argument);

/* What no single value shows: addresses, gateways, listeners, drivers and their parameters. Does not touch the system
 * except through the services' own checks. */
void config_check(const struct config *c, struct config_report *report);

/* The place of the value stored at `value`, of a nested mapping or item by the address of its struct, else line 0. */
struct config_mark config_mark_of(const struct config *c, const void *value);

/* A section of the file: keys with values, and further sections inside. */
enum config_section_kind { CONFIG_MAP, CONFIG_LIST, CONFIG_PAIRS, CONFIG_SERVICES };
struct config_section {
    const char *name, *sentence;
    enum config_section_kind kind;
    size_t offset;                         /* in the parent's struct */
    size_t count_offset, element_bytes;    /* CONFIG_LIST, CONFIG_PAIRS */
    unsigned list_max;                     /* CONFIG_LIST, CONFIG_PAIRS */
    const struct mr_config_key *keys;      /* ends with name NULL; may be NULL */
    const struct config_section *sections; /* ends with name NULL; may be NULL */
};
extern const struct config_section config_root;

#endif
