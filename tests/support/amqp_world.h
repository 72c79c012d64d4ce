/* AMQP connections on one worker with a recorder in place of channels, virtual hosts and users: what a channel is told is written down, and a few
 * methods make it do what the connection's side is to be tested with.
 *
 *     basic.qos       answered with qos-ok                    queue.purge NAME   refused: 404 on the channel
 *     basic.get NAME  get-ok with a message of NAME bytes     queue.delete       refused: 541 on the connection
 *     tx.select       holds the connection                    tx.commit          waits for output room
 */
#ifndef TESTS_SUPPORT_AMQP_WORLD_H
#define TESTS_SUPPORT_AMQP_WORLD_H

#include <string.h>

#include "queue/amqp/connection.h"
#include "tests/support/amqp_bytes.h"
#include "tests/support/fake_stream.h"

struct amqp_world {
    struct mr_worker *w;
    struct broker b;
    struct broker_shared shared;
    struct queue_config config;
    uint64_t counters[QUEUE_COUNTERS];
    char log[64 << 10]; /* what channels were told, a line each */
    size_t log_used;
    bool drain_later;               /* channels that end are drained by amqp_world_drain */
    struct amqp_channel *ended[64]; /* those */
    unsigned ended_count;
    struct amqp_channel *waits;
    unsigned writable_again;       /* a channel that is told of room waits again, so often */
    unsigned lent;                 /* contents not released */
    uint64_t body_bytes, body_sum; /* of contents */
};
extern struct amqp_world amqp_world;

void amqp_world_start(void);
void amqp_world_end(void); /* all streams must be closed; nothing may be left in memory */
void amqp_world_drain(void);
const char *amqp_world_log(void); /* and clears it */

/* What the service has said since the last call, a line a frame; aborts when it is not well formed. */
const char *amqp_world_said(struct mr_stream *s);

#endif
