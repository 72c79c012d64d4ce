/* An interface of a worker: one link queue, the addresses on it, and what waits to be transmitted. */
#ifndef STACK_CORE_NETIF_H
#define STACK_CORE_NETIF_H

#include <millrace/address.h>
#include <millrace/link.h>

#define NETIF_MAX 8
#define NETIF_ADDRESS_MAX 16
#define NETIF_BACKLOG 512 /* frames kept when the link is full; beyond it they are dropped and counted */

struct rte_mbuf;

struct netif_address {
    struct mr_address address;
    uint8_t bits; /* prefix length in bits of its own family */
};

struct netif {
    struct mr_link *link;
    uint8_t index;
    uint8_t mac[6];
    uint16_t mtu;
    uint32_t offloads; /* enum mr_link_offload */
    unsigned address_count;
    struct netif_address address[NETIF_ADDRESS_MAX];
    unsigned backlog_count;
    struct rte_mbuf *backlog[NETIF_BACKLOG];
};

#endif
