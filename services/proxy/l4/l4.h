/* Layer 4: TCP connections spliced to a backend's, UDP by flow.
 *
 *   client --stream-- l4_tcp --stream-- backend      payload moves by mr_stream_splice; an end is passed on as an end (half-close), a
 *                                                    reset as a reset; a side that does not read closes the other's window */
#ifndef SERVICES_PROXY_L4_L4_H
#define SERVICES_PROXY_L4_L4_H

#include <millrace/service.h>

struct proxy;
struct proxy_listener;
struct l4_tcp;

int l4_start(struct proxy *p);
void l4_stop(struct proxy *p);
void l4_release(struct proxy *p);

/* For mr_listen of listeners in mode tcp; the stream's context on_open is the struct proxy_listener. */
extern const struct mr_stream_handler l4_tcp_handler;

/* Listeners in mode udp: opens and closes the port. MR_OK or an enum mr_error. */
int l4_udp_open(struct proxy_listener *l);
void l4_udp_close(struct proxy_listener *l);

/* A tunnel between a client that already has a stream and an upstream request that is ready: what CONNECT and an accepted Upgrade become.
 * Both go on with what they hold unread. The request is the tunnel's (q->user and q->context are set anew; it stays where it is until the
 * end). A stream cannot change its handler: whoever has the client's passes its events on by the three functions below, and does
 * nothing else with the stream. `ended` runs once when both are gone, at the earliest after this function has returned; the tunnel is
 * freed then. NULL: the table is full, nothing was taken. */
struct upstream_request;
struct l4_tcp *l4_tunnel(struct proxy *p, struct mr_stream *client, struct upstream_request *q, mr_time idle_timeout,
                         void (*ended)(void *argument), void *argument);
void l4_tunnel_on_data(struct l4_tcp *t);
void l4_tunnel_on_writable(struct l4_tcp *t);
void l4_tunnel_on_close(struct l4_tcp *t, enum mr_close_reason reason);
void l4_tunnel_abort(struct l4_tcp *t); /* resets both; the end comes as ever */
uint64_t l4_tunnel_bytes(const struct l4_tcp *t);

/* What holds a backend slot or listener that drains: calls `each` with the client's address, the age and the bytes so far. Tunnels are their
 * owner's to list and to cut. */
void l4_each(const struct proxy *p,
             void (*each)(void *argument, const struct mr_endpoint *client, uint32_t backend_slot, mr_time age,
                          uint64_t bytes),
             void *argument);
/* Resets the connections of a backend slot whose plan is not the current one, or (UINT32_MAX) those of listeners that were removed, or
 * closed as the instance stops, and whose drain_until is over. UDP flows need none of this: they move to another backend with the next
 * datagram, and end with their listener. */
void l4_cut(struct proxy *p, uint32_t backend_slot);

#endif
