/* The connections of a worker that speak AMQP: listener, connection machine, channels. */
#ifndef SERVICES_QUEUE_AMQP_SERVER_H
#define SERVICES_QUEUE_AMQP_SERVER_H

#include "queue/broker.h"

/* Opens the listener. MR_OK or what mr_listen says. */
int amqp_server_start(struct broker *b);
void amqp_server_stop(struct broker *b);    /* connection.close 320 to all, then closes */
void amqp_server_release(struct broker *b); /* after the last stream */
/* b->alarms is another: publishers are held up or go on, connection.blocked and unblocked. */
void amqp_server_alarms_changed(struct broker *b);
void amqp_server_second(struct broker *b);
struct amqp_connection_info {
    struct mr_endpoint peer;
    const char *user, *vhost, *state;
    unsigned channels, consumers;
    uint64_t unacknowledged, published, delivered;
};
void amqp_server_each(struct broker *b, void (*show)(void *context, const struct amqp_connection_info *i),
                      void *context);
void amqp_server_check(const struct broker *b); /* invariants of every connection; tests */

#endif
