/* What queues keep in logs, as the rest of core/ sees it: one log a durable queue, with a record for each persistent message, and records
 * of what has gone. README.md has the promises. Everything on the owner's worker.
 *
 *     queue_durable_put -> record in the log -> ... safe -> the put is answered
 *     queue_durable_gone -> gathered -> one record a turn -> the log is trimmed behind the oldest entry alive */
#ifndef SERVICES_QUEUE_CORE_DURABLE_H
#define SERVICES_QUEUE_CORE_DURABLE_H

#include "queue/core/queue.h"
#include "queue/log/log.h"

struct queue_entry;
struct queue_store; /* a queue's log and what waits for it; struct queue has a pointer, NULL: it keeps nothing */

/* In each struct queue_entry. All zero: it has no record. */
struct queue_stored {
    struct queue_entry *next, *previous; /* of the queue's entries with a record, as they lie in the log */
    uint64_t offset;
    struct qlog_place place; /* bytes 0: no record */
    bool reading;            /* its body is on the way back */
    bool marked;             /* the log knows that it was delivered */
};

/* -- the life of a queue ------------------------------------------------------------------------------------------------------------ */

bool queue_durable_start(struct broker *b); /* in queue_set_start: looks which logs there are. False: no memory */
/* In queue_set_ready: logs without a queue are deleted. Publishing and delivering begin after it. */
void queue_durable_ready(struct broker *b);
void queue_durable_stop(struct broker *b);    /* in queue_set_stop: what was gathered is appended */
void queue_durable_release(struct broker *b); /* in queue_set_release, before the queues go */

/* In queue_added, for every queue, as the last step. Sets q->store when the queue is durable and there is a folder; before
 * queue_durable_ready its log is opened and its entries are restored by queue_entry_restore, in order of their ids. */
void queue_durable_attach(struct queue *q);
/* In queue_removed: puts that wait are answered, the log is deleted; the entries of the queue may be freed from then on. */
void queue_durable_detach(struct queue *q);

/* -- entries ------------------------------------------------------------------------------------------------------------------------ */

enum queue_durable_result {
    QUEUE_DURABLE_NONE,   /* nothing to wait for: the caller answers the put */
    QUEUE_DURABLE_WAIT,   /* answered when it is safe */
    QUEUE_DURABLE_FAILED, /* no room in the log: the caller undoes the entry and answers PUT_FAILED */
};
/* `e` is new in q, its message whole. `put` may be NULL (nobody waits). */
enum queue_durable_result queue_durable_put(struct queue *q, struct queue_entry *e, struct queue_put *put);
/* `e` was given to a consumer (state says so). Nothing waits for it; the log is told within a second, or never when it is gone by then. */
void queue_durable_delivered(struct queue *q, struct queue_entry *e);
/* `e` is about to be freed, for whatever reason: acknowledged, dropped, purged, dead-lettered. Call it for every entry. */
void queue_durable_gone(struct queue *q, struct queue_entry *e);

/* Bodies away from memory: e->message is NULL then. True: it is there. False: it is read, and queue_loaded(q, e) is called when it is there or
 * when it cannot be read (q->error; tried again each second). The next few ready entries come along. */
bool queue_durable_load(struct queue *q, struct queue_entry *e);
/* After `e` came to rest in ready: lets its body go when memory is short and the log has it. */
void queue_durable_rest(struct queue *q, struct queue_entry *e);

/* -- engine and time ---------------------------------------------------------------------------------------------------------------- */

void queue_log_state(struct broker *b, int error); /* the engine's hook: BROKER_ALARM_LOG */
/* In queue_set_second: disk space, delivered marks, reads again, segments that are mostly dead, gauges of logs. */
void queue_durable_second(struct broker *b);
void queue_durable_status(const struct queue *q, struct queue_status *out); /* log_bytes, error */
void queue_durable_check(const struct queue *q);

/* -- dead letters (dead_letter.c) --------------------------------------------------------------------------------------------------- */

enum queue_death { DEATH_REJECTED, DEATH_EXPIRED, DEATH_MAXLEN, DEATH_DELIVERY_LIMIT };
#define QUEUE_DEATH_NAMES ((const char *const[]){"rejected", "expired", "maxlen", "delivery_limit", NULL})

/* In each struct queue_entry: while it dies. */
struct queue_dying {
    struct queue_entry *next; /* of the queue's dying, in order of death */
    struct queue_letter *letter;
    uint8_t reason;
};

/* Takes `e`, which is in no list of the queue any more. It ends (queue_entry_end) at once when the queue has no dead-letter exchange, else when every target
 * has the copy as safe as it promises. Until then it is neither ready nor unacknowledged, and comes back after a crash. */
void queue_dead_letter(struct queue *q, struct queue_entry *e, enum queue_death reason);
/* For overflow reject-publish-dlx: a message that never became an entry. Nobody waits. */
void queue_dead_letter_message(struct queue *q, struct message *m, enum queue_death reason);
void queue_dead_letter_detach(struct queue *q); /* in queue_removed, before the entries are freed */

#endif
