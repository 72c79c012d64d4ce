/* Opening a port: make the device, configure it from its capabilities, set up its queues, start it, find its events. */
#include "drivers/dpdk/port.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/error.h>
#include <millrace/log.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_mempool.h>
#include <rte_random.h>

#include "drivers/dpdk/chatter.h"
#include "drivers/dpdk/event.h"
#include "drivers/dpdk/steer.h"

#define PORT_NONE   UINT16_MAX
#define DEVARGS_MAX (PATH_MAX * 2 + 256)

static int fail(const struct dpdk_port_config *config, int error, const char *what, int code)
{
    mr_log(MR_LOG_ERROR, "dpdk", "port %s (%s): %s: %s", config->name, config->kind, what,
           rte_strerror(code < 0 ? -code : code));
    return error;
}

/* ---- the device ---- */

/* A device of the kind's driver; the name only has to be unique in this process. */
static int device_create(struct dpdk_port *port, const struct dpdk_port_config *config)
{
    static unsigned serial; /* ports open one after the other, from the control thread */
    char devargs[DEVARGS_MAX];
    if (!kind_devargs(port->kind, config, devargs, sizeof devargs))
        return fail(config, MR_ERROR_INVALID, "parameters are too long", E2BIG);
    snprintf(port->device, sizeof port->device, "%s%u", port->kind->driver, serial++);
    mr_log(MR_LOG_DEBUG, "dpdk", "port %s: device %s,%s", config->name, port->device, devargs);
    int result = rte_eal_hotplug_add("vdev", port->device, devargs);
    if (result != 0) {
        port->device[0] = 0;
        mr_log(MR_LOG_ERROR, "dpdk", "port %s (%s): the device cannot be made; it needs %s", config->name, config->kind,
               port->kind->needs);
        return MR_ERROR_SYSTEM;
    }
    return rte_eth_dev_get_port_by_name(port->device, &port->port_id) == 0 ? MR_OK : MR_ERROR_SYSTEM;
}

static int device_find_pci(struct dpdk_port *port, const struct dpdk_port_config *config)
{
    const char *address = kind_value(config, "address");
    snprintf(port->device, sizeof port->device, "%s", address);
    if (rte_eth_dev_get_port_by_name(address, &port->port_id) == 0)
        return MR_OK;
    mr_log(MR_LOG_ERROR, "dpdk", "port %s (pci): no network card at %s; it needs %s", config->name, address,
           port->kind->needs);
    return MR_ERROR_SYSTEM;
}

static int device_open(struct dpdk_port *port, const struct dpdk_port_config *config)
{
    int result = port->kind->flags & KIND_PCI ? device_find_pci(port, config) : device_create(port, config);
    if (result != MR_OK)
        return result;
    int code = rte_eth_dev_info_get(port->port_id, &port->info);
    if (code != 0)
        return fail(config, MR_ERROR_SYSTEM, "no device information", code);
    if (port->queues > port->info.max_rx_queues || port->queues > port->info.max_tx_queues) {
        mr_log(MR_LOG_ERROR, "dpdk", "port %s: queues %u: the device has %u to receive, %u to send", config->name,
               port->queues, port->info.max_rx_queues, port->info.max_tx_queues);
        return MR_ERROR_UNSUPPORTED;
    }
    return MR_OK;
}

/* ---- configuration ---- */

static unsigned mtu_choose(const struct kind *kind, const struct dpdk_port_config *config)
{
    unsigned mtu = config->mtu;
    if (!mtu && kind->flags & KIND_INTERFACE)
        mtu = host_interface_mtu(kind_value(config, "interface"));
    return mtu ? mtu : RTE_ETHER_MTU;
}

/* Bytes of IP datagram that the device takes at most; some drivers only tell the frame. */
static unsigned mtu_limit(const struct rte_eth_dev_info *info)
{
    if (info->max_mtu && info->max_mtu != UINT16_MAX)
        return info->max_mtu;
    return info->max_rx_pktlen > RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN
               ? info->max_rx_pktlen - RTE_ETHER_HDR_LEN - RTE_ETHER_CRC_LEN
               : UINT16_MAX;
}

/* A frame larger than a packet's room needs a chain, if the device makes them. */
static int room_check(struct dpdk_port *port, const struct dpdk_port_config *config, struct rte_mempool *pool,
                      struct rte_eth_conf *conf)
{
    unsigned room = rte_pktmbuf_data_room_size(pool) - RTE_PKTMBUF_HEADROOM;
    unsigned frame = conf->rxmode.mtu + RTE_ETHER_HDR_LEN;
    if (conf->rxmode.mtu > mtu_limit(&port->info)) {
        mr_log(MR_LOG_ERROR, "dpdk", "port %s: mtu %u: the device takes at most %u", config->name, conf->rxmode.mtu,
               mtu_limit(&port->info));
        return MR_ERROR_UNSUPPORTED;
    }
    if (frame <= room)
        return MR_OK;
    if (port->info.rx_offload_capa & RTE_ETH_RX_OFFLOAD_SCATTER) {
        conf->rxmode.offloads |= RTE_ETH_RX_OFFLOAD_SCATTER;
        return MR_OK;
    }
    mr_log(MR_LOG_ERROR, "dpdk",
           "port %s: mtu %u: a frame has %u bytes, a packet room for %u, and the device makes no chains", config->name,
           conf->rxmode.mtu, frame, room);
    return MR_ERROR_UNSUPPORTED;
}

static int queues_set_up(struct dpdk_port *port, const struct dpdk_port_config *config,
                         struct rte_mempool *const *pools)
{
    uint16_t rx = (uint16_t)(config->rx_descriptors ? config->rx_descriptors : KIND_DESCRIPTORS_DEFAULT);
    uint16_t tx = (uint16_t)(config->tx_descriptors ? config->tx_descriptors : KIND_DESCRIPTORS_DEFAULT);
    int code = rte_eth_dev_adjust_nb_rx_tx_desc(port->port_id, &rx, &tx);
    int socket = rte_eth_dev_socket_id(port->port_id);
    for (uint16_t q = 0; q < port->queues && code == 0; q++) {
        code = rte_eth_rx_queue_setup(port->port_id, q, rx, (unsigned)socket, NULL, pools[q]);
        if (code == 0)
            code = rte_eth_tx_queue_setup(port->port_id, q, tx, (unsigned)socket, NULL);
    }
    if (code == 0)
        return MR_OK;
    return fail(config, code == -ENOMEM ? MR_ERROR_NO_MEMORY : MR_ERROR_UNSUPPORTED, "a queue cannot be set up", code);
}

static int device_start(struct dpdk_port *port, const struct dpdk_port_config *config, struct rte_mempool *const *pools,
                        const struct rte_eth_conf *conf)
{
    int code = rte_eth_dev_configure(port->port_id, port->queues, port->queues, conf);
    if (code != 0)
        return fail(config, MR_ERROR_UNSUPPORTED, "the device refuses its configuration", code);
    int result = queues_set_up(port, config, pools);
    if (result != MR_OK)
        return result;
    code = rte_eth_dev_start(port->port_id);
    return code == 0 ? MR_OK : fail(config, MR_ERROR_SYSTEM, "the device does not start", code);
}

/* Some cards lack the interrupt vectors that receive interrupts take: then they are polled. */
static int device_configure(struct dpdk_port *port, const struct dpdk_port_config *config,
                            struct rte_mempool *const *pools, struct rte_eth_conf *conf)
{
    conf->intr_conf.rxq = port->kind->flags & KIND_INTERRUPT ? 1 : 0;
    int result = device_start(port, config, pools, conf);
    if (result == MR_OK || !conf->intr_conf.rxq || !(port->kind->flags & KIND_PCI))
        return result;
    mr_log(MR_LOG_WARNING, "dpdk", "port %s: trying again without receive interrupts", config->name);
    conf->intr_conf.rxq = 0;
    return device_start(port, config, pools, conf);
}

/* ---- the address ---- */

static bool mac_is_zero(const uint8_t *mac)
{
    static const uint8_t zero[6];
    return memcmp(mac, zero, sizeof zero) == 0;
}

/* The configured address, else the device's, else a random one where the device's is the kernel's end of the link. */
static void mac_choose(const struct dpdk_port *port, const struct dpdk_port_config *config, uint8_t mac[6])
{
    struct rte_ether_addr device = {{0}};
    rte_eth_macaddr_get(port->port_id, &device);
    memcpy(mac, config->mac, 6);
    if (mac_is_zero(mac) && !(port->kind->flags & KIND_OWN_MAC))
        memcpy(mac, device.addr_bytes, 6);
    if (mac_is_zero(mac))
        rte_eth_random_addr(mac);
    /* Frames to an address that the device does not know as its own only pass a device that takes all. */
    if (!(port->kind->flags & KIND_OWN_MAC) && memcmp(mac, device.addr_bytes, 6) != 0)
        rte_eth_promiscuous_enable(port->port_id);
}

/* ---- links ---- */

static void links_prepare(struct dpdk_port *port)
{
    for (uint16_t q = 0; q < port->queues; q++)
        port->links[q] = (struct dpdk_link){.port = port, .port_id = port->port_id, .queue = q, .event_fd = -1};
}

static void links_fill(struct dpdk_port *port, const struct dpdk_port_config *config, const struct rte_eth_conf *conf,
                       struct mr_link *out)
{
    uint8_t mac[6];
    mac_choose(port, config, mac);
    for (uint16_t q = 0; q < port->queues && conf->intr_conf.rxq; q++)
        event_interrupt_find(&port->links[q]);
    bool rss = rss_read(port) || steer_tap(port);
    for (uint16_t q = 0; q < port->queues; q++) {
        link_init(&out[q], &port->links[q]);
        memcpy(out[q].mac, mac, sizeof mac);
        out[q].mtu = (uint16_t)conf->rxmode.mtu;
        out[q].offloads = offload_report(conf);
        out[q].rss = rss ? &port->links[q].rss : NULL;
    }
    port->open_links = port->queues;
    mr_log(MR_LOG_INFO, "dpdk",
           "port %s open kind=%s queues=%u mtu=%u mac=%02x:%02x:%02x:%02x:%02x:%02x offloads=0x%x interrupt=%s rss=%s",
           port->name, port->kind->name, port->queues, conf->rxmode.mtu, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
           out[0].offloads, port->links[0].event_fd >= 0 ? "yes" : "no", rss ? "yes" : "no");
}

static int port_open(struct dpdk_port *port, const struct dpdk_port_config *config, struct rte_mempool *const *pools,
                     struct mr_link *links)
{
    struct event_sockets before, after;
    if (port->kind->socket_domain)
        event_sockets_list(port->kind->socket_domain, &before);
    int result = device_open(port, config);
    if (result != MR_OK)
        return result;
    links_prepare(port);

    struct rte_eth_conf conf = {.rxmode.mtu = mtu_choose(port->kind, config)};
    offload_choose(port->kind, &port->info, port->queues, &conf);
    result = room_check(port, config, pools[0], &conf);
    if (result == MR_OK)
        result = device_configure(port, config, pools, &conf);
    if (result != MR_OK)
        return result;
    if (config->mtu) {
        int code = rte_eth_dev_set_mtu(port->port_id, (uint16_t)config->mtu);
        if (code != 0 && code != -ENOTSUP)
            return fail(config, MR_ERROR_UNSUPPORTED, "the device refuses the mtu", code);
    }
    if (port->kind->socket_domain) {
        event_sockets_list(port->kind->socket_domain, &after);
        event_sockets_assign(&before, &after, port->links, port->queues);
    }
    links_fill(port, config, &conf, links);
    return MR_OK;
}

int dpdk_port_open(const struct dpdk_port_config *config, struct rte_mempool *const *pools, struct mr_link *links)
{
    struct dpdk_complaint complaint;
    int result = dpdk_port_check(config, &complaint);
    if (result != MR_OK) {
        mr_log(MR_LOG_ERROR, "dpdk", "port %s: %s: %s", config->name ? config->name : "", complaint.key,
               complaint.text);
        return result;
    }
    struct dpdk_port *port = calloc(1, sizeof *port);
    if (!port)
        return MR_ERROR_NO_MEMORY;
    port->kind = kind_find(config->kind);
    port->port_id = PORT_NONE;
    port->queues = (uint16_t)(config->queues ? config->queues : 1);
    snprintf(port->name, sizeof port->name, "%s", config->name);
    chatter_hold();
    result = port_open(port, config, pools, links);
    chatter_release(result != MR_OK);
    if (result != MR_OK)
        port_close(port);
    return result;
}

void port_close(struct dpdk_port *port)
{
    if (port->port_id != PORT_NONE) {
        rte_eth_dev_stop(port->port_id);
        rte_eth_dev_close(port->port_id);
    }
    if (port->device[0] && !(port->kind->flags & KIND_PCI))
        rte_eal_hotplug_remove("vdev", port->device);
    free(port);
}
