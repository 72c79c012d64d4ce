/* Layer 7: client connections of http and forward listeners.
 *
 * A request is parsed into struct http_request, decided upon, and written anew from its parsed form: no byte of the client's framing
 * reaches a backend, so the two cannot disagree about where a message ends. Bodies stream through (spliced), never collected. */
#ifndef SERVICES_PROXY_HTTP_SESSION_H
#define SERVICES_PROXY_HTTP_SESSION_H

#include <millrace/service.h>

struct proxy;

int session_start(struct proxy *p);
void session_stop(struct proxy *p);
void session_release(struct proxy *p);

/* For mr_listen of listeners in mode http and forward; the stream's context on_open is the struct proxy_listener. */
extern const struct mr_stream_handler session_handler;

/* As l4_each and l4_cut, for requests under way. */
void session_each(const struct proxy *p,
                  void (*each)(void *argument, const struct mr_endpoint *client, uint32_t backend_slot, mr_time age,
                               uint64_t bytes),
                  void *argument);
void session_cut(struct proxy *p, uint32_t backend_slot);

#endif
