/* The whole queue service on a few workers, and clients that speak AMQP to it frame by frame. What the service says is shown as text, a
 * line a method with its fields in order, contents behind it:
 *
 *     1 queue.declare_ok q 0 0
 *     1 basic.deliver tag 1 false exchange key [body]
 *
 * Generated names are shown as amq.gen-* and amq.ctag-*, headers by the properties that amqp_client_said was asked to show. */
#ifndef TESTS_SUPPORT_AMQP_CLIENT_H
#define TESTS_SUPPORT_AMQP_CLIENT_H

#include "queue/amqp/session.h"
#include "queue/amqp/table.h"
#include "queue/broker.h"
#include "tests/support/service_group.h"

struct amqp_client {
    struct service_group g;
    struct queue_config config;
    char generated[256]; /* the last such name shown */
    char reply_to[256];  /* of the last content shown that had one */
};
extern struct amqp_client amqp_client;

void amqp_client_start(unsigned workers); /* amqp_client.config is the defaults, changed by the caller before */
void amqp_client_defaults(void);
void amqp_client_end(void); /* streams are closed; aborts when a session has left something in memory */
struct broker *amqp_client_broker(unsigned worker);
void amqp_client_turns(void); /* until nothing is under way */

struct mr_stream *amqp_client_connect(unsigned worker, const char *user, const char *password); /* open, nothing said */
void amqp_client_hang_up(struct mr_stream *s);

/* Bytes of a peer, given to the stream by amqp_client_send. */
void queue_put(uint16_t channel, const struct amqp_method *m);
void queue_put_content(uint16_t channel, const struct amqp_properties *p, const void *body, size_t n, size_t frame);
const char *amqp_client_send(struct mr_stream *s);         /* ... all turns, and what was said then */
const char *amqp_client_send_quietly(struct mr_stream *s); /* ... without a turn */
const char *amqp_client_said(struct mr_stream *s);

#endif
