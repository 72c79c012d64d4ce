/* What the files of a channel share: channel.c (life), channel_exchange.c and channel_queue.c (declaring), channel_publish.c,
 * channel_confirm.c and channel_tx.c (messages in), channel_consume.c and channel_get.c (messages out), channel_settle.c over
 * channel_unacknowledged.c (what becomes of them), channel_reply.c (direct reply-to).
 *
 * A method that needs another worker's answer holds the whole connection: no frame is read until the answer is there. So the methods of a
 * channel run in their order, and what is unread is bounded by the stream's window. The price is that the other channels of the connection
 * wait as well, for the time of one answer (a commit: of one group of syncs); what is delivered goes on meanwhile. */
#ifndef SERVICES_QUEUE_AMQP_CHANNEL_H
#define SERVICES_QUEUE_AMQP_CHANNEL_H

#include "queue/amqp/session.h"
#include "queue/catalog/catalog.h"
#include "queue/core/queue.h"

enum {
    CHANNEL_UNDER_WAY_MAX =
        16384, /* publications of a channel that are not answered yet; then the connection is held */
    CHANNEL_UNDER_WAY_BYTES_MAX = 16 << 20, /* and their bodies' bytes */
    CHANNEL_TX_MAX = 65536,                 /* messages of one transaction */
    CHANNEL_TX_BYTES_MAX = 64 << 20,
    CHANNEL_CONSUMERS_MAX = 4096,
    CHANNEL_KEYS_MAX = 128, /* of one message: its own, CC and BCC */
    CHANNEL_BATCHES = 4,    /* queues whose acknowledgements are gathered at a time */
    CHANNEL_RESERVE = 32,   /* entries that can be put back without any memory */
};

enum channel_mode { CHANNEL_PLAIN, CHANNEL_CONFIRM, CHANNEL_TX };

/* -- delivered, not acknowledged: by tag, in chunks -------------------------------------------------------------------------------- */

struct channel_entry {
    uint64_t tag, queue_id, entry;
    bool settled;  /* a hole, until its chunk goes */
    bool consumed; /* counts against the channel's prefetch; not so: basic.get */
    bool in_tx;    /* acknowledged, in a transaction that is not committed */
    uint8_t how;   /* enum queue_settle, in_tx */
};
#define CHANNEL_CHUNK_ENTRIES 126u
struct channel_chunk {
    struct channel_chunk *next, *previous;
    uint32_t used, live; /* entries[0 .. used), of which `live` are not settled */
    struct channel_entry entries[CHANNEL_CHUNK_ENTRIES];
};

/* -- messages on their way in ------------------------------------------------------------------------------------------------------ */

struct channel_publication {
    struct publication p;
    struct channel *channel;
    struct channel_publication *next,
        **link;        /* not answered, oldest first; or answered and not told; or of a transaction */
    uint64_t sequence; /* of confirms; 0: none */
    uint64_t bytes;
    bool mandatory;
    bool refused;   /* to be told by nack */
    bool committed; /* tx.commit waits for it */
};

/* Made by the first basic.publish of a channel. */
struct channel_publisher {
    struct message *message; /* being assembled */
    bool mandatory, dropped; /* dropped: there was no memory; the rest of its body is skipped */
    bool may;                /* `allowed` is set */
    uint8_t exchange_length, routing_key_length, allowed_length;
    uint8_t exchange[QUEUE_NAME_MAX], routing_key[QUEUE_NAME_MAX];
    uint8_t allowed[QUEUE_NAME_MAX]; /* the exchange that the user was last found to have the right to write to */
};

/* -- messages on their way out ----------------------------------------------------------------------------------------------------- */

enum consumer_state {
    CONSUMER_STARTING, /* its answer is awaited: deliveries are kept */
    CONSUMER_ACTIVE,
    CONSUMER_CANCELLING, /* deliveries are refused */
};
struct channel_consumer {
    struct queue_subscriber subscriber;
    struct channel *channel;
    struct channel_consumer *next, **link;
    uint64_t queue_id;
    uint32_t prefetch;
    uint8_t state;
    bool no_ack;
    bool gone;    /* the queue said so: it knows the subscriber no more */
    bool asked;   /* `request` is under way */
    bool no_wait; /* consume_ok or cancel_ok is not wanted */
    bool told;    /* the method that made `request` waits for it */
    uint8_t tag_length;
    struct queue_request request; /* to consume, then to cancel; the tag lies behind */
};
static inline struct mr_span consumer_tag(const struct channel_consumer *s)
{
    return (struct mr_span){(const uint8_t *)(s + 1), s->tag_length};
}

/* Entries to be settled, one queue's, one way. */
struct channel_batch {
    struct channel *channel;
    uint32_t capacity;
    bool committed; /* tx.commit waits for it */
    struct queue_request request;
};

struct channel {
    struct amqp_channel base;
    struct broker *broker;
    uint32_t references; /* what is on its way and will come back here, and one until the end */
    uint8_t mode;        /* enum channel_mode */
    bool held;           /* a method waits for its answer */
    bool publish_held;   /* as much is under way as may be */
    bool flush_queued;
    bool no_wait; /* of the method that waits */
    uint8_t last_queue_length;
    uint8_t last_queue[QUEUE_NAME_MAX]; /* declared on this channel: what an empty name means */
    uint8_t method_name_length;
    uint8_t method_name[QUEUE_NAME_MAX]; /* of the queue that the waiting method concerns */
    struct broker_item flush;            /* at the end of the turn: settles and confirms go together */
    uint32_t method;                     /* that waits */

    /* in */
    struct channel_publisher *publisher;
    uint64_t sequence; /* of the last publish in confirm mode */
    struct channel_publication *under_way, **under_way_end;
    uint64_t under_way_count, under_way_bytes;
    struct channel_publication *answered, **answered_end; /* to be told by ack or nack */
    struct channel_publication *tx, **tx_end;
    uint64_t tx_count, tx_bytes;
    uint32_t commit_missing; /* answers that tx.commit waits for */
    bool committing, commit_failed;

    /* out */
    struct channel_consumer *consumers;
    uint32_t consumer_count;
    uint32_t prefetch;        /* of consumers to come; 0: none */
    uint32_t prefetch_global; /* of all consumers together; 0: none */
    struct queue_delivery *kept, **kept_end;
    uint64_t tag; /* of the last delivery */
    struct channel_chunk *oldest, *youngest;
    struct channel_chunk *walked; /* where channel_unacknowledged_each is; NULL: nowhere */
    uint64_t unacknowledged, unacknowledged_consumed;
    struct channel_batch *batches[CHANNEL_BATCHES], *reserve; /* being filled, each of another queue */
    bool reserve_out;
    bool untrimmed;     /* there are chunks with little in them */
    bool settle_failed; /* of the method that runs */
    uint8_t settling;   /* enum queue_settle; likewise */

    struct channel_reply *reply; /* the consumer of direct replies; NULL: none */

    struct queue_request request; /* of the method that waits; last: it ends in an array */
};

/* channel.c */
static inline struct channel *channel_of(struct amqp_channel *base)
{
    return (struct channel *)base;
}
static inline bool channel_ended(const struct channel *ch)
{
    return ch->base.ended;
}
static inline void channel_hold(struct channel *ch)
{
    ch->references++;
}
void channel_drop(struct channel *ch);
void channel_send(struct channel *ch, const struct amqp_method *m);
void channel_flush_later(struct channel *ch);
void channel_wait(struct channel *ch, uint32_t method);
void channel_go_on(struct channel *ch); /* the answer is there */
void *channel_alloc(struct channel *ch, size_t bytes);
void channel_free(struct channel *ch, void *p, size_t bytes);
/* False: the channel or connection was closed with what RabbitMQ says. */
/* The same without a word to the client. An empty name is the default exchange. */
bool channel_has_right(const struct channel *ch, enum catalog_right right, struct mr_span name);
bool channel_may(struct channel *ch, enum catalog_right right, const char *kind, struct mr_span name, uint32_t method);
/* One request at a time, the one that a method waits for. `done` begins with channel_request_done, which is false when the channel ended. */
void channel_request(struct channel *ch, enum queue_verb verb, uint64_t queue_id, uint32_t method,
                     void (*done)(struct queue_request *r));
bool channel_request_done(struct channel *ch);
void channel_no_memory(struct channel *ch, uint32_t method);

#define SPAN(s)      (int)(s).length, (const char *)(s).data
#define TEXT_SPAN(t) ((struct mr_span){(const uint8_t *)(t), sizeof(t) - 1})
static inline bool span_equal(struct mr_span a, struct mr_span b)
{
    return a.length == b.length && (!a.length || !__builtin_memcmp(a.data, b.data, a.length));
}
static inline bool span_begins(struct mr_span s, struct mr_span with)
{
    return s.length >= with.length && !__builtin_memcmp(s.data, with.data, with.length);
}

/* channel_name.c */
static inline void channel_name_keep(struct channel *ch, struct mr_span name)
{
    __builtin_memcpy(ch->method_name, name.data, name.length);
    ch->method_name_length = (uint8_t)name.length;
}
static inline struct mr_span channel_name_kept(const struct channel *ch)
{
    return (struct mr_span){ch->method_name, ch->method_name_length};
}
/* Without CR and LF, which RabbitMQ takes out of names. */
struct mr_span channel_name(uint8_t buffer[QUEUE_NAME_MAX], struct mr_span name);
struct mr_span channel_name_generated(struct channel *ch, uint8_t buffer[QUEUE_NAME_MAX], const char *prefix);
/* What the name of a queue means here: an empty one the last declared. False: the channel was closed. */
bool channel_queue_name(struct channel *ch, struct mr_span *name, uint32_t method);
/* The queue by its name, usable by this connection; NULL: the channel was closed. */
const struct catalog_queue *channel_queue_find(struct channel *ch, struct mr_span name, uint32_t method);
/* What a request that failed means for the channel. */
void channel_queue_error(struct channel *ch, const struct queue_request *r, struct mr_span name, uint32_t method);

/* channel_change.c: changes of the catalog, one at a time, the method waiting. */
struct channel_change {
    struct channel *channel;
    uint32_t bytes, method;
    bool no_wait;
    void (*then)(struct channel *ch, struct channel_change *c); /* it was done, and the channel is still there */
    struct catalog_change change;
    uint8_t data[];
};
/* With copies of the names and arguments. NULL: the channel was closed. */
struct channel_change *channel_change_create(struct channel *ch, uint32_t method, enum catalog_verb verb,
                                             struct mr_span name, struct mr_span source, struct mr_span key,
                                             struct mr_span arguments);
void channel_change_send(struct channel_change *c, bool no_wait,
                         void (*then)(struct channel *ch, struct channel_change *c));

/* Methods, each in the file of its concern. */
void channel_exchange_declare(struct channel *ch, const struct amqp_method *m);
void channel_exchange_delete(struct channel *ch, const struct amqp_method *m);
void channel_exchange_bind(struct channel *ch, const struct amqp_method *m);
void channel_exchange_unbind(struct channel *ch, const struct amqp_method *m);
void channel_queue_declare(struct channel *ch, const struct amqp_method *m);
void channel_queue_bind(struct channel *ch, const struct amqp_method *m);
void channel_queue_unbind(struct channel *ch, const struct amqp_method *m);
void channel_queue_purge(struct channel *ch, const struct amqp_method *m);
void channel_queue_delete(struct channel *ch, const struct amqp_method *m);
void channel_basic_publish(struct channel *ch, const struct amqp_method *m);
void channel_basic_qos(struct channel *ch, const struct amqp_method *m);
void channel_basic_consume(struct channel *ch, const struct amqp_method *m);
void channel_basic_cancel(struct channel *ch, const struct amqp_method *m);
void channel_basic_get(struct channel *ch, const struct amqp_method *m);
void channel_basic_ack(struct channel *ch, const struct amqp_method *m);
void channel_basic_nack(struct channel *ch, const struct amqp_method *m);
void channel_basic_reject(struct channel *ch, const struct amqp_method *m);
void channel_basic_recover(struct channel *ch, const struct amqp_method *m);
void channel_basic_recover_async(struct channel *ch, const struct amqp_method *m);
void channel_confirm_select(struct channel *ch, const struct amqp_method *m);
void channel_tx_select(struct channel *ch, const struct amqp_method *m);
void channel_tx_commit(struct channel *ch, const struct amqp_method *m);
void channel_tx_rollback(struct channel *ch, const struct amqp_method *m);

/* channel_publish.c */
void channel_publish_end(struct channel *ch); /* what is not published yet is forgotten */
/* Routes and sends; it is answered or freed. True: an answer will come, in `answered` or for the commit. */
bool channel_publish_go(struct channel *ch, struct channel_publication *p);
void channel_publication_free(struct channel *ch, struct channel_publication *p);

/* channel_confirm.c */
void channel_confirm_answered(struct channel *ch, struct channel_publication *p, bool refused);
void channel_confirm_flush(struct channel *ch);
void channel_confirm_end(struct channel *ch);

/* channel_tx.c */
bool channel_tx_keep(struct channel *ch,
                     struct channel_publication *p);       /* false: the channel was closed, and it is freed */
void channel_tx_answered(struct channel *ch, bool failed); /* one that the commit waits for */
void channel_tx_end(struct channel *ch);

/* channel_consume.c */
void channel_consume_pump(struct channel *ch); /* writes what is kept, as far as may be */
void channel_consume_end(struct channel *ch);
void channel_delivery_release(void *delivery); /* what was lent to the stream goes back */

/* channel_unacknowledged.c */
bool channel_unacknowledged_reserve(struct channel *ch); /* room for one more; false: no memory */
void channel_unacknowledged_add(struct channel *ch, const struct queue_delivery *d, uint64_t tag, bool consumed);
struct channel_entry *channel_unacknowledged_find(struct channel *ch,
                                                  uint64_t tag); /* NULL: settled, in a transaction, never was */
/* Those up to `tag`, oldest first, transactions' as well; `visit` may settle what it is shown, and returns false to stop. */
void channel_unacknowledged_each(struct channel *ch, uint64_t tag,
                                 bool (*visit)(struct channel *ch, struct channel_entry *e));
void channel_unacknowledged_settle(struct channel *ch, struct channel_entry *e); /* it is a hole from now on */
void channel_unacknowledged_trim(struct channel *ch); /* chunks with holes alone go; entries move */
void channel_unacknowledged_check(const struct channel *ch);

/* channel_settle.c */
void channel_settle_flush(struct channel *ch); /* what was settled in this turn is on its way */
bool channel_settle_add(struct channel *ch, const struct channel_entry *e,
                        enum queue_settle how); /* false: no memory */
void channel_settle_end(struct channel *ch);    /* everything is put back */

/* channel_reply.c: the pseudo queue amq.rabbitmq.reply-to. */
#define REPLY_QUEUE TEXT_SPAN("amq.rabbitmq.reply-to")
bool channel_reply_named(struct mr_span name); /* it, or one of its addresses */
void channel_reply_consume(struct channel *ch, const struct amqp_method *m);
bool channel_reply_cancel(struct channel *ch, struct mr_span tag); /* false: another consumer's tag */
bool channel_reply_tagged(const struct channel *ch, struct mr_span tag);
void channel_reply_end(struct channel *ch);
/* The address of this channel's consumer; length 0: there is none. */
struct mr_span channel_reply_address(struct channel *ch, uint8_t buffer[QUEUE_NAME_MAX]);
bool channel_reply_exists(struct channel *ch, struct mr_span address);
void channel_reply_send(struct channel *ch, struct message *m); /* to its routing key; nobody there: forgotten */

#endif
