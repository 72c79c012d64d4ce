/* A stand-in for the stack behind <millrace/stream.h>, timer.h, mailbox.h and datagram.h, so that a service can be
 * tested alone: input in any pieces, output within a budget, time and offload threads turned by hand. It checks the
 * rules of the API as it goes and aborts with a sentence when a service breaks one. Links against services, never
 * together with the stack. */
#ifndef TESTS_SUPPORT_FAKE_STREAM_H
#define TESTS_SUPPORT_FAKE_STREAM_H

#include <millrace/service.h>

struct mr_worker *fake_worker_create(void);
void fake_worker_free(struct mr_worker *w); /* checks that every stream got its on_close and every lend its release */

/* Workers that mr_post to each other: index 0 .. n - 1. Messages of a worker on hold wait, in order, until it is let go. */
void fake_group(struct mr_worker *const *workers, unsigned n);
void fake_post_hold(struct mr_worker *w, bool hold);

void fake_turn(struct mr_worker *w);                   /* completions of offload, due timers, acknowledgements */
void fake_pass(struct mr_worker *w, mr_time duration); /* time goes by, in turns of at most 100 ms */
void fake_offload_refuse(struct mr_worker *w, bool refuse);
void fake_offload_hold(struct mr_worker *w, bool hold); /* completions wait until this is false again */
void fake_service_add(struct mr_worker *w, const char *name, void *state); /* one, for mr_service_find */
unsigned fake_streams_open(const struct mr_worker *w);

bool fake_worker_busy(const struct mr_worker *w); /* messages, completions or deferred work wait for its next turn */

/* A client connects to the service's first listener, or to the one that it opened as the index-th. */
struct mr_stream *fake_open(struct mr_worker *w);
struct mr_stream *fake_open_listener(struct mr_worker *w, unsigned index);

/* The peer's side. Each call of fake_input is one span for mr_stream_peek, in memory of its own. */
void fake_input(struct mr_stream *s, const void *data, size_t n);
void fake_input_quietly(struct mr_stream *s, const void *data,
                        size_t n); /* more follows in this turn: no on_data yet */
void fake_end(struct mr_stream *s);
void fake_reset(struct mr_stream *s);

/* The peer acknowledges nothing by itself from now on; `budget` bytes may be outstanding. */
void fake_throttle(struct mr_stream *s, size_t budget);
void fake_acknowledge(struct mr_stream *s, size_t n);

/* What the service has sent since the last fake_output_clear; a zero follows it. */
const char *fake_output(const struct mr_stream *s, size_t *n);
void fake_output_clear(struct mr_stream *s);
bool fake_shutdown_seen(const struct mr_stream *s); /* our end, after all output */
bool fake_aborted(const struct mr_stream *s);
bool fake_closed(const struct mr_stream *s); /* on_close was delivered; the stream may still be looked at */

/* Datagrams: delivers one from `remote` to the service's only port; what it sent back. */
void fake_datagram(struct mr_worker *w, const struct mr_endpoint *remote, const void *data, size_t n);
unsigned fake_datagrams_sent(const struct mr_worker *w, struct mr_datagram *last);

#endif
