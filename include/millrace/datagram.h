/* Datagrams (UDP) in bursts. */
#ifndef MILLRACE_DATAGRAM_H
#define MILLRACE_DATAGRAM_H

#include <millrace/address.h>
#include <millrace/error.h>
#include <millrace/types.h>

struct mr_port;

struct mr_datagram {
    struct mr_endpoint local;  /* received: where it was sent to; sending: address any = chosen by route, port ignored */
    struct mr_endpoint remote; /* the peer */
    struct mr_span payload;    /* received: borrowed until the handler returns */
};

struct mr_datagram_handler {
    /* Everything that arrived for the port in this turn, at most 64 at a time, in order. */
    void (*on_datagrams)(struct mr_port *p, const struct mr_datagram *burst, unsigned n);
};

/* Binds `local`; port 0 chooses an ephemeral one.
 * MR_OK, MR_ERROR_IN_USE, MR_ERROR_NO_ADDRESS, MR_ERROR_NO_PORT, MR_ERROR_NO_MEMORY */
int mr_datagram_open(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_datagram_handler *handler,
                     void *context, struct mr_port **out);

/* The same for a flow to one remote endpoint: only what comes from there is delivered, the rest is dropped and counted. `local`
 * may be NULL or have address any (chosen by route) and port 0: an ephemeral port, such that the device hands the answers to this
 * worker where ports decide that (mr_link_rss). A port is bound once: so many flows as there are ports, 28,232 of a worker.
 * MR_OK, MR_ERROR_INVALID (port 0, address any), MR_ERROR_NO_ROUTE and those above. */
int mr_datagram_open_to(struct mr_worker *w, const struct mr_endpoint *local, const struct mr_endpoint *remote,
                        const struct mr_datagram_handler *handler, void *context, struct mr_port **out);

/* Copies and sends the burst; returns how many were taken. It stops at the first that cannot be sent (too long for
 * the path's MTU, no route, no memory); the reason is counted. */
unsigned mr_datagram_send(struct mr_port *p, const struct mr_datagram *burst, unsigned n);

void mr_datagram_close(struct mr_port *p);

void *mr_port_context(const struct mr_port *p);
struct mr_worker *mr_port_worker(const struct mr_port *p);
void mr_port_local(const struct mr_port *p, struct mr_endpoint *out);

#endif
