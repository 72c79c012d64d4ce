/* Every key of the configuration file, stated once. */
#include "tools/millrace/config.h"

#define AT(type, member) offsetof(struct type, member)
#define END          \
    {                \
        .name = NULL \
    }

const char *const config_driver_names[] = {"tap",   "af_packet", "af_xdp", "memif", "virtio_user",
                                           "vhost", "pcap",      "pci",    "null",  NULL};
static const char *const poll_names[] = {"adaptive", "always", "interrupt", NULL};
static const char *const level_names[] = {"error", "warning", "info", "debug", NULL};

static const struct mr_config_key root_keys[] = {
    {"name", MR_CONFIG_STRING, AT(config, name), 1, 32, .preset = "default",
     .sentence = "name of this instance; the control socket is called after it"},
    {"congestion", MR_CONFIG_STRING, AT(config, congestion), 1, 32, .preset = "reno",
     .sentence = "congestion control of connections that choose none"},
    END};

static const struct mr_config_key limit_keys[] = {
    {"connections", MR_CONFIG_UNSIGNED, AT(config_limits, connections), 16, 16777216, .preset = "65536",
     .sentence = "established and closing connections"},
    {"half_open", MR_CONFIG_UNSIGNED, AT(config_limits, half_open), 16, 1048576, .preset = "4096",
     .sentence = "connections whose handshake is not finished"},
    {"time_wait", MR_CONFIG_UNSIGNED, AT(config_limits, time_wait), 16, 16777216, .preset = "32768",
     .sentence = "connections in TIME-WAIT; beyond it the oldest is given up"},
    {"neighbours", MR_CONFIG_UNSIGNED, AT(config_limits, neighbours), 16, 65536, .preset = "1024",
     .sentence = "entries of the ARP cache"},
    {"datagram_ports", MR_CONFIG_UNSIGNED, AT(config_limits, datagram_ports), 1, 65536, .preset = "32768",
     .sentence = "bound UDP ports"},
    {"packets", MR_CONFIG_UNSIGNED, AT(config_limits, packets), 1024, 16777216, .preset = "16384", .unit = "packets",
     .sentence = "packet buffers for payload that waits to be consumed or acknowledged, beside those of the queues"},
    END};

static const struct mr_config_key worker_keys[] = {
    {"count", MR_CONFIG_UNSIGNED, AT(config_workers, count), 0, CONFIG_WORKER_MAX, .preset = "0",
     .sentence = "worker threads; 0: one for each of `cores`, or one"},
    {"cores", MR_CONFIG_UNSIGNED, AT(config_workers, cores), 0, 1023, .optional = true,
     .sentence = "cores that the workers are pinned to, one each", .list_max = CONFIG_WORKER_MAX,
     .count_offset = AT(config_workers, core_count)},
    {"poll", MR_CONFIG_CHOICE, AT(config_workers, poll), .preset = "adaptive", .choices = poll_names,
     .sentence =
         "adaptive: spin a little, then sleep until a packet or a deadline; always: never sleep; interrupt: sleep "
         "at once"},
    {"offload_threads", MR_CONFIG_UNSIGNED, AT(config_workers, offload_threads), 1, 64, .preset = "2",
     .sentence = "threads for work that blocks, such as files"},
    END};
static const struct config_section worker_sections[] = {
    {"limits", "What each worker may hold. Memory is taken at start for all of it.", CONFIG_MAP,
     AT(config_workers, limits), .keys = limit_keys},
    END};

static const struct mr_config_key impair_keys[] = {
    {"loss", MR_CONFIG_FRACTION, AT(config_impair, loss), .preset = "0", .sentence = "packets lost"},
    {"duplicate", MR_CONFIG_FRACTION, AT(config_impair, duplicate), .preset = "0", .sentence = "packets sent twice"},
    {"reorder", MR_CONFIG_FRACTION, AT(config_impair, reorder), .preset = "0",
     .sentence = "packets that overtake those before them"},
    {"corrupt", MR_CONFIG_FRACTION, AT(config_impair, corrupt), .preset = "0",
     .sentence = "packets with a flipped bit"},
    {"delay", MR_CONFIG_DURATION, AT(config_impair, delay), 0, 10 * MR_SECOND, .preset = "0",
     .sentence = "added to each packet, in each direction"},
    {"jitter", MR_CONFIG_DURATION, AT(config_impair, jitter), 0, 10 * MR_SECOND, .preset = "0",
     .sentence = "random addition to the delay, up to this"},
    {"rate", MR_CONFIG_RATE, AT(config_impair, rate), .preset = "0",
     .sentence = "bottleneck of each direction; 0: none"},
    {"queue", MR_CONFIG_UNSIGNED, AT(config_impair, queue), 1, 65536, .preset = "1000", .unit = "packets",
     .sentence = "packets that wait at the bottleneck before it drops"},
    {"seed", MR_CONFIG_UNSIGNED, AT(config_impair, seed), .preset = "1", .sentence = "of all random choices above"},
    END};

static const struct mr_config_key interface_keys[] = {
    {"name", MR_CONFIG_STRING, AT(config_interface, name), 1, 15,
     .sentence = "name of the interface; for `tap` the kernel shows it under this name"},
    {"driver", MR_CONFIG_CHOICE, AT(config_interface, driver), .preset = "tap", .choices = config_driver_names,
     .sentence = "where packets come from, see the table of drivers"},
    {"mac", MR_CONFIG_STRING, AT(config_interface, mac), 17, 17, .optional = true,
     .sentence = "Ethernet address such as 02:00:00:00:00:02; without it, the device's"},
    {"address", MR_CONFIG_PREFIX, AT(config_interface, address), .sentence = "addresses of ours, one or a list",
     .list_max = NETIF_ADDRESS_MAX, .count_offset = AT(config_interface, address_count)},
    {"host_address", MR_CONFIG_PREFIX, AT(config_interface, host_address), .optional = true,
     .sentence = "address that the kernel gets on its side (tap)"},
    {"mtu", MR_CONFIG_UNSIGNED, AT(config_interface, mtu), 576, 1500, .preset = "1500", .unit = "bytes",
     .sentence = "largest IP datagram"},
    {"queues", MR_CONFIG_UNSIGNED, AT(config_interface, queues), 0, CONFIG_WORKER_MAX, .preset = "0",
     .sentence = "queue pairs of the device; 0: one for each worker"},
    {"descriptors", MR_CONFIG_UNSIGNED, AT(config_interface, descriptors), 64, 4096, .preset = "512",
     .sentence = "length of each queue, a power of two"},
    {"capture", MR_CONFIG_PATH, AT(config_interface, capture), .optional = true,
     .sentence = "pcapng file that gets every packet from the start; see also `millrace capture`"},
    END};
static const struct config_section interface_sections[] = {
    {"parameters", "What the driver is to use, see the table of drivers.", CONFIG_PAIRS,
     AT(config_interface, parameter), .count_offset = AT(config_interface, parameter_count),
     .element_bytes = sizeof(struct config_pair), .list_max = CONFIG_PARAMETER_MAX},
    {"impair", "Makes the link as bad as one likes, for tests.", CONFIG_MAP, AT(config_interface, impair),
     .keys = impair_keys},
    END};

static const struct mr_config_key route_keys[] = {
    {"prefix", MR_CONFIG_PREFIX, AT(config_route, prefix), .sentence = "destinations; `default` is 0.0.0.0/0"},
    {"via", MR_CONFIG_ADDRESS, AT(config_route, via), .optional = true,
     .sentence = "gateway, on the subnet of an interface"},
    {"interface", MR_CONFIG_STRING, AT(config_route, interface), 1, 15, .optional = true,
     .sentence = "without a gateway: the interface on which the destinations answer themselves"},
    END};

static const struct mr_config_key log_keys[] = {{"level", MR_CONFIG_CHOICE, AT(config_log, level), .preset = "info",
                                                 .choices = level_names,
                                                 .sentence = "least urgent level that is written to standard error"},
                                                END};

static const struct mr_config_key control_keys[] = {
    {"enabled", MR_CONFIG_BOOL, AT(config_control, enabled), .preset = "true",
     .sentence = "serve `millrace status, stat, conns, set, capture, drain`"},
    {"path", MR_CONFIG_PATH, AT(config_control, path), 1, 107, .optional = true,
     .sentence = "Unix-domain socket; without it /run/millrace/NAME.sock, or under $XDG_RUNTIME_DIR when not root"},
    END};

static const struct config_section root_sections[] = {
    {"workers", "The threads that carry packets.", CONFIG_MAP, AT(config, workers), .keys = worker_keys,
     .sections = worker_sections},
    {"interfaces", "Where packets come from and go to; at least one.", CONFIG_LIST, AT(config, interface),
     .count_offset = AT(config, interface_count), .element_bytes = sizeof(struct config_interface),
     .list_max = NETIF_MAX, .keys = interface_keys, .sections = interface_sections},
    {"routes", "Destinations that are on no interface's own subnet.", CONFIG_LIST, AT(config, route),
     .count_offset = AT(config, route_count), .element_bytes = sizeof(struct config_route),
     .list_max = CONFIG_ROUTE_MAX, .keys = route_keys},
    {"services", "What is served: a list of `NAME: {keys}`; the same service may stand there several times.",
     CONFIG_SERVICES, .offset = AT(config, service)},
    {"log", "Log lines on standard error.", CONFIG_MAP, AT(config, log), .keys = log_keys},
    {"control", "The control socket.", CONFIG_MAP, AT(config, control), .keys = control_keys},
    END};

const struct config_section config_root = {
    .name = "", .kind = CONFIG_MAP, .keys = root_keys, .sections = root_sections};
