/* What each layer offers the next: the whole of one packet's journey as prototypes. Every *_in and *_out consumes. */
#ifndef STACK_CORE_LAYERS_H
#define STACK_CORE_LAYERS_H

#include <millrace/address.h>

#include "stack/core/worker.h"

/* eth/: parses the frame and hands it to arp_in or ip4_in. TCP segments are not processed at once but collected in
 * the burst of tcp_in_gather, so that cache misses of many connections overlap. */
void eth_in(struct mr_worker *w, struct netif *n, struct rte_mbuf *m);
/* `m` starts at the network header; prepends the Ethernet header and queues the frame. */
void eth_out(struct mr_worker *w, struct netif *n, struct rte_mbuf *m, const uint8_t destination[6], uint16_t type);

/* arp/: `m` starts at the ARP header. */
bool arp_init(struct mr_worker *w, uint32_t entries);
void arp_release(struct mr_worker *w);
void arp_in(struct mr_worker *w, struct netif *n, struct rte_mbuf *m);
/* Sends an IPv4 datagram to a neighbour, at once when resolved, else queued (bounded) until the answer comes. */
void arp_out(struct mr_worker *w, struct netif *n, struct rte_mbuf *m, uint32_t next_hop);
/* The MAC of a resolved neighbour, or false: for cached paths. */
bool arp_peek(struct mr_worker *w, struct netif *n, uint32_t next_hop, uint8_t mac[6]);
void arp_announce(struct mr_worker *w, struct netif *n, uint32_t address); /* detection, then gratuitous (RFC 5227) */
void arp_expired(struct mr_worker *w, struct mr_wheel_node *node);
void arp_check(const struct mr_worker *w); /* chains, counts and states of the neighbour table */

/* ip4/: `m` starts at the IP header; afterwards at the transport header, without link-layer padding. */
void ip4_in(struct mr_worker *w, struct netif *n, struct rte_mbuf *m);

/* icmp/: `m` starts at the ICMP header. */
bool icmp_init(struct mr_worker *w);
void icmp_release(struct mr_worker *w);
void icmp_in(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *source, const struct mr_address *destination);
/* Reports `m` (as received, payload at the transport header, meta->ip_offset still valid) to its sender, rate limited,
 * never about groups, fragments or ICMP errors (RFC 1122 3.2.2). Borrows `m`. */
enum icmp_unreachable { ICMP_NET = 0, ICMP_HOST = 1, ICMP_PROTOCOL = 2, ICMP_PORT = 3, ICMP_FRAGMENT_NEEDED = 4 };
void icmp_unreachable_peek(struct mr_worker *w, struct rte_mbuf *m, enum icmp_unreachable code);

/* udp/: `m` starts at the UDP header. */
bool udp_init(struct mr_worker *w, uint32_t ports);
void udp_release(struct mr_worker *w);
void udp_in(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *source, const struct mr_address *destination);
/* Delivers what arrived in this turn, port by port; returns events delivered. */
unsigned udp_deliver(struct mr_worker *w);
/* An ICMP error about a datagram of ours. */
void udp_error(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote, int type, int code);

/* tcp/: `m` starts at the TCP header. Gathers; tcp_in_burst processes what was gathered. */
bool tcp_init(struct mr_worker *w, const struct worker_limits *limits, const char *congestion);
void tcp_release(struct mr_worker *w);
/* An interface was added: what its device does with flows is looked at. False: no memory. */
bool tcp_add_netif(struct mr_worker *w, const struct netif *n);
void tcp_in_gather(struct mr_worker *w, struct rte_mbuf *m, const struct mr_address *source,
                   const struct mr_address *destination);
void tcp_in_burst(struct mr_worker *w);
/* Phase 4 of the loop for TCP nodes. */
void tcp_expired(struct mr_worker *w, struct mr_wheel_node *node);
void tcp_half_open_expired(struct mr_worker *w, struct mr_wheel_node *node);
void tcp_time_wait_expired(struct mr_worker *w, struct mr_wheel_node *node);
/* Phase 5: each ready stream's events, once. Returns events delivered. */
unsigned stream_deliver(struct mr_worker *w);
bool stream_ready(const struct mr_worker *w);
/* What services deferred to here, between their events and output; returns how many ran. */
unsigned turn_end(struct mr_worker *w);
/* Phase 6: each connection that owes something sends it; returns how many did. */
unsigned tcp_output(struct mr_worker *w);
bool tcp_output_pending(const struct mr_worker *w);
/* An ICMP error about a segment of ours: `sequence` is the quoted one, `mtu` of code 4 (RFC 1191). */
void tcp_error(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote, uint32_t sequence,
               int type, int code, uint16_t mtu);
void tcp_stop_listening(struct mr_worker *w);
void tcp_close_all(struct mr_worker *w); /* as their services would: what is queued, then FIN */
bool tcp_idle(const struct mr_worker *w);
void tcp_check(struct mr_worker *w);

/* For `conns`: calls `each` for every connection, half-open and TIME-WAIT records included. */
void tcp_each_connection(struct mr_worker *w, void (*each)(const struct mr_stream_info *info, void *argument), void *argument);

#endif
