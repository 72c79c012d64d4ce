/* What the files of core/ share: a queue's state, and the functions by which delivery (entry.c, deliver.c, consumer.c, ...) and what the
 * log has of a queue (durable*.c, dead_letter.c, move_peek.c) call each other. Everything runs on the owner's worker.
 *
 *     struct queue -> lanes, one a priority -> a tree of 64-way nodes by sequence -> leaves of 64 entries
 *
 * Each node has two bitmaps: which children there are, and below which something is ready. The next ready entry is found by going down
 * the first set bits; an entry that comes back sets its bits again: its place is where it always was. */
#ifndef SERVICES_QUEUE_CORE_STATE_H
#define SERVICES_QUEUE_CORE_STATE_H

#include "queue/core/queue.h"
#include "queue/log/log.h"

/* -- entries (entry.c, tree.c) ---------------------------------------------------------------------------------------------- */

enum entry_state {
    ENTRY_NONE,      /* the slot is free */
    ENTRY_READY,     /* waits for a consumer */
    ENTRY_DELAYED,   /* not due yet: invisible */
    ENTRY_DELIVERED, /* with a consumer, unacknowledged */
    ENTRY_LEAVING,   /* on its way to another queue (dead letter, move): invisible, kept until that one has it */
};

/* Why an entry leaves for the dead-letter exchange: reasons of x-death. */
enum queue_reason {
    REASON_REJECTED,
    REASON_EXPIRED,
    REASON_MAXLEN,
    REASON_DELIVERY_LIMIT,
};

enum {
    ENTRY_AT_ONCE = 1, /* its time to live is 0: delivered at the end of this turn, or expired */
    ENTRY_NO_ACK = 2,  /* DELIVERED: ends when its delivery comes back */
};

#define ENTRY_NO_LOG UINT64_MAX /* log_offset: no record of it is in the log */

/* 48 bytes. Its id is priority << 56 | sequence; 0 is no entry (sequences begin with 1). */
struct queue_entry {
    struct message *message; /* one reference; NULL: paged out, only the log has it */
    uint64_t log_offset;     /* of the record that put it; ENTRY_NO_LOG */
    uint64_t expires_ms;     /* Unix; UINT64_MAX: never. While DELAYED: when it is due */
    uint32_t log_position;   /* with qlog_segment_of(log_offset) and log_bytes: a struct qlog_place */
    uint32_t log_bytes;
    uint32_t body_bytes;
    uint32_t arrived_s; /* Unix, seconds: for the age of the oldest */
    memory_link
        link; /* DELIVERED: its consumer (0: by get); READY, DELAYED: its position in the heap of timers + 1, or 0 */
    uint16_t deliveries; /* so often given to consumers; stays at UINT16_MAX */
    uint8_t state;       /* enum entry_state */
    uint8_t flags;
};
#ifndef MEMORY_MALLOC
_Static_assert(sizeof(struct queue_entry) == 48, "as the README says");
#endif

static inline uint64_t entry_id(unsigned priority, uint64_t sequence)
{
    return (uint64_t)priority << 56 | sequence;
}
static inline unsigned entry_priority(uint64_t id)
{
    return (unsigned)(id >> 56);
}
static inline uint64_t entry_sequence(uint64_t id)
{
    return id & ((UINT64_C(1) << 56) - 1);
}

/* -- a lane's tree (tree.c) ------------------------------------------------------------------------------------------------- */

#define TREE_BITS 6
#define TREE_WAYS 64u

struct tree_node {
    uint64_t present, ready; /* a bit a child */
    void *child[TREE_WAYS];  /* struct tree_node, or struct tree_leaf at height 1 */
};
struct tree_leaf {
    uint64_t present, ready; /* a bit an entry */
    uint64_t number;         /* sequence / 64 of its first entry */
    struct queue *queue;
    uint8_t priority;
    _Alignas(16) struct queue_entry entries[TREE_WAYS];
};

struct queue_lane {
    void *root;             /* NULL: empty. A leaf at height 0 */
    unsigned height;        /* nodes above a leaf */
    uint64_t next;          /* sequence of the next entry */
    uint64_t ready;         /* entries that are */
    struct tree_leaf *tail; /* where the last entry was added, kept though it is empty; or NULL */
    struct tree_leaf *head; /* of the first ready entry; NULL: none is */
    struct tree_leaf *last; /* of what left ready last: its neighbours are settled next; or NULL */
};

/* -- queues ----------------------------------------------------------------------------------------------------------------- */

struct queue_consumer;
struct durable;     /* durable*.c: what the log has of one queue */
struct durable_set; /* and of all queues of a worker */

/* Consumers of one x-priority that could take a delivery now, in the order of their turns. */
struct queue_rank {
    struct queue_rank *next; /* lower */
    int32_t priority;
    uint32_t consumers; /* able or not */
    struct queue_consumer *able, *able_last;
};

struct queue_consumer {
    struct broker_item item; /* tells the session `cancelled` */
    struct queue *queue;     /* NULL: cancelled, or its queue is gone */
    struct queue_subscriber *subscriber;
    struct broker *home, *owner;
    struct queue_consumer *next, *before; /* of the queue, in the order they came */
    struct queue_rank *rank;
    struct queue_consumer *able_next, *able_before;
    bool is_able, no_ack, exclusive;
    uint32_t prefetch; /* 0: no limit */
    uint32_t unacknowledged;
    uint32_t transit; /* deliveries that have not come back */
    uint64_t transit_bytes;
    uint32_t
        held; /* entries and deliveries that name it, and its own notice under way: it is freed at 0 when cancelled */
};

struct queue_counts {
    uint64_t published, delivered, acknowledged, redelivered, expired, dead_lettered, dropped;
};
#define QUEUE_RATE_SECONDS 5

struct queue {
    struct queue *hash_next;
    struct queue *work_next; /* on the list of those that can deliver */
    bool working;
    struct broker *broker;
    const struct catalog_queue *declared; /* the replica's: valid until queue_removed */
    uint64_t id;
    bool deleting; /* queue_delete asked the catalog */
    bool ended;    /* it is gone: its entries are freed, some each turn. `declared` is not to be looked at any more */
    bool had_consumer;
    bool deserted; /* exclusive, and there was no memory to delete it: its connection, which ends, asks only once */

    uint64_t ready, unacknowledged, delayed, leaving; /* entries by state */
    uint64_t ready_bytes;                             /* bodies of ready entries */
    uint64_t body_bytes;                              /* bodies of all entries */
    uint64_t message_memory;                          /* of messages that are in memory, as message_cost says */
    uint64_t structure_memory;                        /* of leaves and nodes */
    uint64_t paged;                                   /* entries whose message only the log has */
    struct queue_counts counts;
    struct queue_counts at_second[QUEUE_RATE_SECONDS + 1]; /* at the end of the last seconds, the youngest first */
    unsigned seconds;                                      /* of them, but for the youngest */

    struct queue_consumer *consumers, *consumers_last;
    uint32_t consumer_count, able_count;
    struct queue_rank *ranks;
    struct queue_consumer *active; /* of a single-active-consumer queue, or the exclusive one */

    struct broker_item *waiting, **waiting_end; /* gets whose message is being read back: the items of their requests */
    struct broker_item *purge;                  /* under way, a part each turn: the items of who asked */
    uint64_t purge_left;
    struct mr_timer expiry;  /* x-expires */
    struct durable *durable; /* NULL: nothing of it is in a log */

    unsigned lane_count;
    uint64_t lanes_ready[QUEUE_PRIORITIES / 64]; /* a bit a lane with something ready */
    struct queue_lane lanes[];                   /* by priority */
};

#define QUEUE_BUCKETS    4096u
#define QUEUE_MISSED_MAX 256u

struct queue_set {
    struct broker *broker;
    struct queue *buckets[QUEUE_BUCKETS];
    uint64_t count;
    bool starting; /* before the worker turns: logs are opened, and may block */
    bool stopped;
    struct broker_item work; /* delivers, at the end of the turn */
    bool work_sent;
    struct queue *working, **working_end;
    struct queue *ended;               /* linked by work_next */
    uint64_t missed[QUEUE_MISSED_MAX]; /* ids declared when there was no memory for them: tried again each second */
    unsigned missed_count;
    struct entry_heap *heap; /* what expires or becomes due, by time (timer.c) */
    struct mr_timer timer;   /* for the first of them */
    uint64_t timer_ms;       /* that it is armed for */
    struct durable_set *durable;
};

/* What core gives durable*.c, dead_letter.c and move_peek.c -------------------------------------------------------------------- */

/* NULL: there is no such entry. The pointer is good until the entry is removed. */
struct queue_entry *queue_entry_find(const struct queue *q, uint64_t id);
/* The first ready entry behind `after` in the order of delivery (0: the head); 0: none. */
uint64_t queue_entry_next_ready(const struct queue *q, uint64_t after);
/* The first entry of any state with an id above `after` (0: the first of all); 0: none. For going over everything. */
uint64_t queue_entry_next(const struct queue *q, uint64_t after);

/* An entry of the log comes back at start, READY or DELAYED, with the id it had. `m` (one reference, taken on success) may be NULL: it stays in the
 * log. `arrived_ms` is when it was put; times to live count from there. False: no memory, or the id is taken or not of this queue.
 * Then the caller sets what is known of the message: */
struct queue_restored {
    uint64_t id;
    struct message *message;
    uint64_t arrived_ms;
    uint64_t deliver_at_ms; /* 0: at once */
    uint64_t ttl_ms;        /* of the message; UINT64_MAX: none */
    uint64_t body_bytes;
    uint32_t deliveries;
    uint64_t log_offset;
    struct qlog_place place;
};
bool queue_entry_restore(struct queue *q, const struct queue_restored *r);
/* No entry gets an id up to this one any more: the log knows it. */
void queue_sequence_reach(struct queue *q, uint64_t id);

/* Ends an entry in any state: taken from the log (durable_remove), its message dropped. Who decides it has counted it. */
void queue_entry_remove(struct queue *q, uint64_t id);
/* A READY entry becomes LEAVING; ends with queue_entry_remove or queue_entry_put_back (READY again, at its place). */
void queue_entry_leave(struct queue *q, uint64_t id);
void queue_entry_put_back(struct queue *q, uint64_t id);

/* Paging. Out: drops the message of a READY or DELAYED entry that the log has (log_offset); true when it did. A delayed message with a time to live
 * of its own stays in memory: only it knows that time. */
bool queue_entry_page_out(struct queue *q, uint64_t id);
/* In: what durable_page_in was asked for (or read ahead of that). `m`: one reference, taken; NULL with an errno: the log has it
 * damaged, the entry ends. An entry that is gone, or has its message, by now: `m` is dropped. */
void queue_entry_paged_in(struct queue *q, uint64_t id, struct message *m, int error);

/* The put is over: PUT_TAKEN, PUT_REJECTED, PUT_FAILED. Sends it home. */
void queue_put_answer(struct broker *b, struct queue_put *put, int result);
/* There is something to deliver, or room for it: looked at when the turn ends. */
void queue_work(struct queue *q);
/* Calls `visit` for every queue of this worker; it may not remove any. */
void queue_set_each(const struct broker *b, void (*visit)(void *context, struct queue *q), void *context);

/* What durable*.c and dead_letter.c give core ---------------------------------------------------------------------------------- */

bool durable_set_start(
    struct broker *b); /* of queue_set_start, _ready, _stop, _release, _second: each the log's part */
void durable_set_ready(struct broker *b);
void durable_set_stop(struct broker *b);
void durable_set_release(struct broker *b);
void durable_set_second(struct broker *b);
/* A queue was added: opens its log and restores entries while b->queues->starting, else begins a new one. */
void durable_added(struct queue *q);
/* The queue is gone from the catalog: puts that wait are answered, its log is deleted, q->durable freed. All entries still exist; they are
 * freed afterwards without durable_remove. */
void durable_removed(struct queue *q);
/* The worker ends: q->durable is freed, the log stays. */
void durable_release(struct queue *q);

enum durable_outcome {
    DURABLE_NOTHING, /* nothing to wait for: core answers */
    DURABLE_WAITS,   /* `put` is durable's, which answers it when the record is safe */
    DURABLE_FAILED,  /* the log takes no more: the entry is undone, PUT_FAILED */
};
/* An entry was added (READY or DELAYED): writes its record when the queue and the message are to survive, and sets log_offset, log_position,
 * log_bytes. `put` NULL: nobody waits. */
enum durable_outcome durable_put(struct queue *q, uint64_t id, struct queue_entry *e, struct queue_put *put);
/* The entry ends (or a purge ends many, one call each); only for entries whose log_offset is set. */
void durable_remove(struct queue *q, uint64_t id, const struct queue_entry *e);
/* Its count of deliveries is another; likewise. */
void durable_deliveries(struct queue *q, uint64_t id, const struct queue_entry *e);
/* The message is wanted: queue_entry_paged_in follows, never from inside the call. Asked again while it is on its way: nothing more happens. */
void durable_page_in(struct queue *q, uint64_t id);
uint64_t durable_log_bytes(const struct queue *q);
int durable_error(const struct queue *q);

/* An entry that is LEAVING goes to the dead-letter exchange of its queue, which has one; ends it with queue_entry_remove(q, id) when
 * that is safe (or has no queue). When it cannot be published now it is tried again. */
void queue_dead_letter(struct queue *q, uint64_t id, enum queue_reason reason);
/* The refused message of overflow reject-publish-dlx: never was an entry. One reference is taken. */
void queue_dead_letter_message(struct queue *q, struct message *m, enum queue_reason reason);

/* Between the files of the queue on its owner ---------------------------------------------------------------------------------- */

/* tree.c */
struct queue_entry *lane_add(struct queue *q, unsigned priority,
                             uint64_t sequence); /* zeroed, present; NULL: no memory */
void lane_remove(struct queue *q, uint64_t id);
struct tree_leaf *lane_leaf(const struct queue *q, uint64_t id); /* NULL: none */
void lane_ready_set(struct queue *q, uint64_t id, bool ready);
uint64_t lane_first(const struct queue *q, unsigned priority, uint64_t from,
                    bool ready_only);               /* id, sequence >= from; 0: none */
void lane_trim(struct queue *q);                    /* leaves that were kept for what would come */
void lane_free(struct queue *q, unsigned priority); /* every node; entries are over */

/* timer.c */
bool queue_timer_start(struct queue_set *set);
void queue_timer_release(struct queue_set *set);
bool queue_timer_add(struct queue_set *set, struct tree_leaf *leaf,
                     unsigned slot); /* at entry->expires_ms; false: no memory */
void queue_timer_remove(struct queue_set *set, struct queue_entry *e);
void queue_timer_arm(struct queue_set *set); /* the worker's timer follows the first of the heap */
void queue_timer_run(struct queue_set *set); /* what is due now */
void queue_timer_check(const struct queue_set *set);

/* entry.c */
/* `m`: one reference, taken when the result is not 0; `put` as of durable_put, whose outcome it says. 0: no memory, or DURABLE_FAILED. */
uint64_t queue_entry_add(struct queue *q, struct message *m, struct queue_put *put, enum durable_outcome *outcome);
bool queue_entry_set_state(struct queue *q, uint64_t id, struct queue_entry *e, enum entry_state state);
void queue_entry_due(struct queue *q, uint64_t id, struct queue_entry *e); /* DELAYED, and its time has come */
/* Ends an entry that no consumer is to have: counted by its reason; to the dead-letter exchange, or away. */
void queue_entry_die(struct queue *q, uint64_t id, struct queue_entry *e, enum queue_reason reason);
bool queue_entry_expired(const struct queue *q, const struct queue_entry *e);
/* The queue is gone: frees up to `limit` entries, of which nothing is told to the log. True: none is left. */
bool queue_entries_free(struct queue *q, uint64_t limit);
void queue_entry_free(struct queue *q, uint64_t id, struct queue_entry *e); /* one of them */

/* deliver.c */
unsigned queue_deliver(struct queue *q,
                       unsigned limit); /* steps made; stops for want of consumers, room, messages, or at the limit */
bool queue_over(const struct queue *q, uint64_t more,
                uint64_t more_bytes); /* the limits of its length, with so much more */
void queue_limit(struct queue *q);    /* drop-head until the length is what it may be */
/* A DELIVERED entry goes back to its place. `counted`: a consumer gave it back; else it was never written to one. */
void queue_requeue(struct queue *q, uint64_t id, struct queue_entry *e, bool counted);
struct queue_delivery *queue_delivery_make(struct queue *q, uint64_t id, struct queue_entry *e,
                                           struct queue_consumer *c,
                                           bool no_ack); /* the entry is DELIVERED then; NULL: no memory */

/* consumer.c */
enum queue_result consumer_add(struct queue *q, struct queue_request *r);
void consumer_remove(struct queue *q, struct queue_consumer *c); /* no delivery goes to it any more */
void consumer_look(struct queue_consumer *c);                    /* on or off the list of the able, by its credit */
struct queue_consumer *consumer_next(struct queue *q);           /* whose turn it is; NULL: nobody can */
void consumer_turn_over(struct queue_consumer *c);               /* it had its turn */
void consumer_unhold(struct queue_consumer *c);
void consumers_cancel(struct queue *q); /* the queue is gone: each is told */

/* request.c */
void queue_request_answer(struct broker *from, struct queue_request *r, enum queue_result result);
void queue_requests_wake(struct queue *q);                          /* a message was read back */
void queue_requests_end(struct queue *q, enum queue_result result); /* the queue is gone */
void queue_get_failed(struct queue *q); /* the head could not be read: whoever waits first is told */
bool queue_purge_step(struct queue *q); /* a part of a purge; true: there is more */
void queue_used(struct queue *q);       /* x-expires counts from here */
/* delete.c */
bool queue_delete_begin(struct queue *q,
                        struct queue_request *r); /* `r` is answered when every replica knows; NULL: nobody asked */

void queue_unused(struct mr_worker *w, struct mr_timer *t); /* its timer */

/* queue_set.c */
void queue_set_missed(struct queue_set *set); /* once a second: queues that there was no memory for */
void queue_set_work(struct queue_set *set);   /* looks at what is due and to be delivered when the turn ends */

#endif
