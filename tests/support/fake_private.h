/* Private to fake_*.c: what a worker of the stand-in holds. */
#ifndef TESTS_SUPPORT_FAKE_PRIVATE_H
#define TESTS_SUPPORT_FAKE_PRIVATE_H

#include "tests/support/fake_stream.h"

#include <millrace/turn.h>
#include <pthread.h>

#define FAKE_BUDGET        (256u << 10) /* what mr_stream_options presets for either direction */
#define FAKE_LISTENERS_MAX 64
#define FAKE_SERVICES_MAX  8
#define FAKE_ADDRESS       0xc6120002u /* 198.18.0.2, ours when a service names none */
#define FAKE_PEER          0xc6120001u

struct fake_piece { /* received, unread */
    struct fake_piece *next;
    uint8_t *bytes;
    size_t length, taken;
};

struct fake_lend {
    struct fake_lend *next;
    const void *data;
    size_t length;
    uint64_t end; /* in the stream of sent bytes */
    uint64_t sum; /* of the bytes, which must not change */
    void (*release)(void *argument);
    void *argument;
};

struct fake_job {
    struct fake_job *next;
    struct mr_worker *to; /* of a held message */
    mr_message_fn done;
    void *argument;
};

struct mr_listener {
    const struct mr_stream_handler *handler;
    struct mr_stream_options options;
    struct mr_endpoint local;
    void *context;
    bool open;
};

struct mr_port {
    struct mr_port *next; /* in the order in which they were opened */
    struct mr_worker *worker;
    const struct mr_datagram_handler *handler;
    void *context;
    struct mr_endpoint local;
    struct mr_endpoint remote; /* port 0: anyone's */
    bool open;
};

struct fake_named {
    const char *name; /* what mr_service_find finds */
    void *state;
};

struct mr_worker {
    mr_time now;
    uint64_t random;
    struct mr_deferred *deferred;
    struct fake_named service[FAKE_SERVICES_MAX];
    unsigned services;
    struct mr_timer *timers; /* unsorted, chained through node.next */

    pthread_mutex_t jobs_lock; /* workers may be turned by threads of their own */
    struct fake_job *jobs, **jobs_end;
    struct fake_job *held, **held_end; /* messages posted while on hold */
    struct mr_worker *const *group;
    unsigned index, count;
    bool post_hold;
    int post_error;
    bool refuse, hold; /* of mr_offload */

    struct mr_stream *streams;
    struct mr_listener listener[FAKE_LISTENERS_MAX];
    unsigned connects; /* that the service made */
    uint16_t connect_port;
    int connect_error, listen_error;
    bool connect_automatic;

    struct mr_port *ports;
    uint16_t datagram_port;
    int datagram_error;
    unsigned datagram_room;
    struct fake_sent *sent;
    unsigned sent_count, sent_room;
};

struct mr_stream {
    struct mr_stream *next;
    struct mr_worker *worker;
    const struct mr_stream_handler *handler;
    void *context;
    struct mr_endpoint local, remote;
    struct fake_piece *pieces, **pieces_end;
    size_t readable;
    unsigned connect;                    /* the how many-th mr_connect, from 1; 0: accepted */
    bool opened;                         /* on_open was delivered */
    bool peer_ended, shutdown, finished; /* finished: closed or aborted by the service */
    bool aborted, unread_at_close, close_delivered, refused, throttled, nodelay;
    enum mr_close_reason reason;
    uint64_t sent, acknowledged, spliced;
    size_t budget, receive_budget;
    struct fake_lend *lends, **lends_end;
    char *output;
    size_t output_length, output_room;
};

/* Aborts with a sentence about the rule unless `holds`. */
void fake_demand(bool holds, const char *rule);

void fake_deferred_run(struct mr_worker *w); /* every event of a stream is a turn of its own */
/* Gives back what was lent up to byte `upto` of the sent ones. */
void fake_lends_release(struct mr_stream *s, uint64_t upto);
void fake_streams_turn(struct mr_worker *w);
void fake_streams_free(struct mr_worker *w);
void fake_ports_free(struct mr_worker *w);

#endif
