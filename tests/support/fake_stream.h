/* A stand-in for the stack behind <millrace/stream.h>, timer.h, turn.h, mailbox.h, control.h and datagram.h, so that a
 * service can be tested alone: input in any pieces, output within a budget, connections made or refused, time and offload
 * threads turned by hand. It checks the rules of the API as it goes and aborts with a sentence when a service breaks one.
 * Links against services, never together with the stack.
 *
 * An event of a stream (fake_input, fake_end, ...) reaches the service at once. What that does to other streams, their
 * acknowledgements and their on_close, comes with fake_turn: no event is delivered from inside a call of the API. */
#ifndef TESTS_SUPPORT_FAKE_STREAM_H
#define TESTS_SUPPORT_FAKE_STREAM_H

#include <millrace/service.h>

/* -- workers (fake_worker.c) ------------------------------------------------------------------------------------------ */

struct mr_worker *fake_worker_create(void);
void fake_worker_free(struct mr_worker *w); /* checks that every stream got its on_close and every lend its release */

/* Workers that mr_post to each other: index 0 .. n - 1. Messages of a worker on hold wait, in order, until it is let go. */
void fake_group(struct mr_worker *const *workers, unsigned n);
void fake_post_hold(struct mr_worker *w, bool hold);
void fake_post_error(struct mr_worker *w, int error); /* what mr_post from `w` returns; MR_OK: as usual */

void fake_turn(struct mr_worker *w);                   /* completions of offload, due timers, acknowledgements */
void fake_pass(struct mr_worker *w, mr_time duration); /* time goes by, in turns of at most 100 ms */
void fake_offload_refuse(struct mr_worker *w, bool refuse);
void fake_offload_hold(struct mr_worker *w, bool hold); /* completions wait until this is false again */
void fake_service_add(struct mr_worker *w, const char *name, void *state); /* for mr_service_find */

bool fake_worker_busy(const struct mr_worker *w); /* messages, completions or deferred work wait for its next turn */

/* A control thread for the `command` and `reconfigure` of a service: pass &c->control. Workers answer at once, or, with
 * `error` set, never do. */
struct fake_control {
    struct mr_control control;
    struct mr_worker *const *workers;
    int error;
};
void fake_control_init(struct fake_control *c, struct mr_worker *const *workers, unsigned n);

/* -- streams (fake_peer.c; the service's side is fake_stream.c) --------------------------------------------------------- */

/* A client connects to the service's first listener, to the one that it opened as the index-th, or to the one that it bound to
 * exactly `local` (NULL: it has none). */
struct mr_stream *fake_open(struct mr_worker *w);
struct mr_stream *fake_open_listener(struct mr_worker *w, unsigned index);
struct mr_stream *fake_open_from(struct mr_worker *w, const struct mr_endpoint *local,
                                 const struct mr_endpoint *remote);
void fake_listen_error(struct mr_worker *w, int error); /* what every mr_listen returns from now on; MR_OK: as usual */

/* Connections that the service makes wait until the peer accepts (on_open) or fake_lose tells how it failed: MR_CLOSE_REFUSED,
 * _TIMEOUT, _UNREACHABLE. The i-th that was ever made on this worker, from 0; mr_stream_remote tells where to. Then as
 * accepted ones. */
unsigned fake_connect_count(const struct mr_worker *w);
struct mr_stream *fake_connected(const struct mr_worker *w, unsigned i);
void fake_connect_accept(struct mr_stream *s);
void fake_connect_automatic(struct mr_worker *w, bool automatic); /* fake_turn accepts all that wait */
void fake_connect_error(struct mr_worker *w, int error);          /* what mr_connect returns at once; MR_OK: as usual */

/* The peer's side. Each call of fake_input is one span for mr_stream_peek, in memory of its own. */
void fake_input(struct mr_stream *s, const void *data, size_t n);
void fake_input_quietly(struct mr_stream *s, const void *data,
                        size_t n); /* more follows in this turn: no on_data yet */
void fake_end(struct mr_stream *s);
void fake_reset(struct mr_stream *s);
void fake_lose(struct mr_stream *s, enum mr_close_reason reason); /* the connection is over for this reason */

/* The peer acknowledges nothing by itself from now on; `budget` bytes may be outstanding. */
void fake_throttle(struct mr_stream *s, size_t budget);
void fake_acknowledge(struct mr_stream *s, size_t n);

/* What the service has sent since the last fake_output_clear; a zero follows it. */
const char *fake_output(const struct mr_stream *s, size_t *n);
void fake_output_clear(struct mr_stream *s);
bool fake_shutdown_seen(const struct mr_stream *s); /* our end, after all output */
bool fake_aborted(const struct mr_stream *s);
bool fake_reset_seen(const struct mr_stream *s); /* aborted, or closed with bytes unread: the peer sees a reset */
bool fake_closed(const struct mr_stream *s);     /* on_close was delivered; the stream may still be looked at */
enum mr_close_reason fake_close_reason(const struct mr_stream *s); /* that on_close had */
size_t fake_unread(const struct mr_stream *s);                     /* bytes that the service has left unread */
size_t fake_window(const struct mr_stream *s);    /* what a peer could send now; fake_input does not look */
uint64_t fake_spliced(const struct mr_stream *s); /* bytes that mr_stream_splice moved here */
unsigned fake_streams_open(const struct mr_worker *w);

/* -- datagrams (fake_datagram.c) ---------------------------------------------------------------------------------------- */

/* Delivers one from `remote` to the oldest open port, or to `p`. */
void fake_datagram(struct mr_worker *w, const struct mr_endpoint *remote, const void *data, size_t n);
void fake_datagram_to(struct mr_port *p, const struct mr_endpoint *remote, const void *data, size_t n);
struct mr_port *fake_port(const struct mr_worker *w, unsigned i); /* the i-th of those open, oldest first; NULL */
unsigned fake_ports_open(const struct mr_worker *w);

struct fake_sent {
    struct mr_port *port; /* for comparison: it may be closed by now */
    struct mr_datagram datagram;
};
/* How many the service has sent, and the last of them; the i-th of all. */
unsigned fake_datagrams_sent(const struct mr_worker *w, struct mr_datagram *last);
const struct fake_sent *fake_datagram_sent(const struct mr_worker *w, unsigned i);

void fake_datagram_error(struct mr_worker *w, int error);         /* what mr_datagram_open returns; MR_OK: as usual */
void fake_datagram_room(struct mr_worker *w, unsigned datagrams); /* so many more are taken; UINT32_MAX: as usual */

#endif
