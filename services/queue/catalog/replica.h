/* A replica as the files of this folder share it.
 *
 *     virtual host -> exchanges by name -> bindings -> queues, by name and by id
 *
 * The same changes in the same order make the same replica: what follows from a change (bindings of what was deleted, exchanges that go with
 * their last binding) is worked out by each for itself. */
#ifndef SERVICES_QUEUE_CATALOG_REPLICA_H
#define SERVICES_QUEUE_CATALOG_REPLICA_H

#include <millrace/service.h>
#include <millrace/turn.h>
#include <string.h>

#include "queue/catalog/catalog.h"

struct qlog;

#define CATALOG_OF(pointer, type, member) ((type *)(void *)((uint8_t *)(pointer)-offsetof(type, member)))
#define CATALOG_BINDINGS_PER_QUEUE        16u /* so many times queues_max */

static inline bool span_equal(struct mr_span a, struct mr_span b)
{
    return a.length == b.length && (!a.length || !memcmp(a.data, b.data, a.length));
}
static inline struct mr_span span_of(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

/* -- lists: circular, with a head -------------------------------------------------------------------------------------------------------- */

struct catalog_ring {
    struct catalog_ring *next, *previous;
};
static inline void ring_init(struct catalog_ring *r)
{
    r->next = r->previous = r;
}
static inline bool ring_empty(const struct catalog_ring *r)
{
    return r->next == r;
}
static inline void ring_append(struct catalog_ring *head, struct catalog_ring *r)
{
    r->next = head;
    r->previous = head->previous;
    head->previous->next = r;
    head->previous = r;
}
static inline void ring_remove(struct catalog_ring *r)
{
    r->previous->next = r->next;
    r->next->previous = r->previous;
    ring_init(r);
}

/* -- index.c: linear hashing (Litwin 1980): one bucket is split for each entry added, so no change waits for a rehash ------------------------- */

struct catalog_link {
    struct catalog_link *next;
    uint64_t hash;
};
enum { CATALOG_SEGMENT = 4096, CATALOG_SEGMENTS = 1024 };
struct catalog_index {
    struct memory *memory;
    uint32_t buckets; /* in use */
    uint32_t mask;    /* a power of two less one: buckets <= mask + 1, > mask / 2 + 1 or the first */
    uint64_t count;
    struct catalog_link **segments[CATALOG_SEGMENTS];
};
bool catalog_index_init(struct catalog_index *x, struct memory *memory);
void catalog_index_insert(struct catalog_index *x, struct catalog_link *link); /* link->hash is set. Never fails */
void catalog_index_remove(struct catalog_index *x, struct catalog_link *link);
/* The first of the bucket of `hash`; follow `next`, and compare the hash first. */
struct catalog_link *catalog_index_bucket(const struct catalog_index *x, uint64_t hash);
struct catalog_link *catalog_index_at(const struct catalog_index *x, uint32_t bucket);
/* By who does not know the seed no two names can be chosen that meet. */
uint64_t catalog_hash(uint64_t seed, struct mr_span s);

/* -- what is declared --------------------------------------------------------------------------------------------------------------------- */

struct catalog_node; /* of a topic exchange's trie */

struct exchange_entry {
    struct catalog_exchange public; /* first: the public pointer is ours */
    struct catalog_link link;       /* exchanges */
    struct catalog_ring all;
    struct catalog_ring from, to; /* bindings whose source, whose destination it is */
    struct catalog_node *root;    /* topic */
    uint64_t marked;              /* routing: of which call */
    struct exchange_entry *work;  /* routing: still to be looked at */
    struct exchange_entry *gone;  /* retired; or going with the change */
    bool predeclared, going;
};

struct queue_entry_replica {
    struct catalog_queue public;
    struct catalog_link by_name, by_id;
    struct catalog_ring all;
    struct catalog_ring to; /* bindings */
    uint64_t marked;
    struct queue_entry_replica *gone;
};

/* Bindings of a direct exchange with the same key. */
struct catalog_group {
    struct catalog_link link; /* groups */
    const struct exchange_entry *exchange;
    struct catalog_ring bindings;
    uint8_t key_length;
    uint8_t key[];
};

struct catalog_node {
    struct catalog_link link; /* edges: by parent and word */
    struct catalog_node *parent, *star, *hash;
    struct catalog_ring bindings; /* whose pattern ends here */
    uint32_t children;
    uint64_t stamp;               /* matching: the last step that reached it */
    struct catalog_node *next[2]; /* matching: of the same step, by its parity */
    bool repeats;                 /* its word is "#" */
    uint8_t word_length;
    uint8_t word[];
};

struct catalog_bound {
    struct catalog_link link; /* bindings: by source, destination, key, arguments */
    struct catalog_ring all, of_source, of_target, of_key;
    struct exchange_entry *source;
    struct queue_entry_replica *queue; /* the destination: this, or ... */
    struct exchange_entry *exchange;   /* ... this */
    union {
        struct catalog_group *group; /* direct */
        struct catalog_node *node;   /* topic */
    };
    struct mr_span arguments;
    bool any, with_x; /* headers: x-match */
    uint8_t key_length;
    uint8_t key[];
};

struct catalog {
    struct broker *b; /* NULL: the source, which belongs to no worker */
    const struct catalog_hooks *hooks;
    struct memory memory;
    char **vhosts; /* as configured */
    unsigned vhost_count;
    bool keep_unbound; /* the log says itself which exchanges went with their last binding */
    uint64_t seed; /* of the hash tables: random, so that nobody chooses chains */
    struct catalog_index exchanges, queues, ids, bindings, groups, edges;
    struct catalog_ring all_exchanges, all_queues, all_bindings; /* in the order of the changes */
    uint64_t exchange_count, queue_count, binding_count;
    uint64_t queues_max;
    enum queue_durability durability; /* preset */

    /* routing */
    const struct catalog_queue **routed; /* room for every queue that there may be */
    unsigned routed_count;
    uint64_t serial;        /* of catalog_route */
    uint64_t step;          /* of matching in tries */
    uint16_t *header_slots; /* of the message that is routed: one more than where an entry begins; 0: free */

    /* what may still be looked at in this turn */
    struct exchange_entry *gone_exchanges, *old_exchanges;
    struct queue_entry_replica *gone_queues, *old_queues;
    struct mr_deferred reclaim;

    /* worker 0 */
    struct qlog *log;                   /* NULL: nothing is durable */
    uint64_t id_next;                   /* of queues */
    struct catalog_change *synced_wait; /* applied everywhere; in order of log_offset */
    struct catalog_change **synced_end;
    struct catalog_change *parked, **parked_end; /* the log takes nothing at present: they and all after them wait */
    struct mr_timer parked_timer;
};

/* `decides`: worker 0 and the source. The others have room for twice as much, so that they never run short of what it had room for. */
struct catalog *catalog_create(const struct queue_config *config, unsigned workers, bool decides);
void catalog_free(struct catalog *c);
bool catalog_routed_room(struct catalog *c, uint64_t queues);       /* also when queues_max was lowered since */
unsigned catalog_vhost_add(struct catalog *c, struct mr_span name); /* with what is predeclared; UINT_MAX: no memory */
struct exchange_entry *catalog_exchange_entry(const struct catalog *c, unsigned vhost, struct mr_span name);
struct queue_entry_replica *catalog_queue_entry(const struct catalog *c, unsigned vhost, struct mr_span name);
struct queue_entry_replica *catalog_id_entry(const struct catalog *c, uint64_t id);
struct catalog_bound *catalog_binding_find(const struct catalog *c, const struct catalog_change *change);
bool catalog_binding_durable(const struct catalog_bound *b);
/* The change that makes an entry; its spans are the entry's. */
struct catalog_change catalog_exchange_change(const struct exchange_entry *x);
struct catalog_change catalog_queue_change(const struct queue_entry_replica *q);
struct catalog_change catalog_binding_change(const struct catalog_bound *b);

/* apply.c: a change that was found legal. Applied again it changes nothing. False: no memory, and nothing has changed. */
bool catalog_apply(struct catalog *c, const struct catalog_change *change);
unsigned catalog_owner(const char *vhost, struct mr_span name, unsigned workers);

/* binding.c: the index of the source's type. False: no memory, nothing has changed. */
bool catalog_binding_attach(struct catalog *c, struct catalog_bound *b);
void catalog_binding_detach(struct catalog *c, struct catalog_bound *b);

/* topic.c */
struct catalog_node *catalog_topic_root(struct catalog *c);
void catalog_topic_free(struct catalog *c, struct catalog_node *root); /* nothing is bound any more */
struct catalog_node *catalog_topic_add(struct catalog *c, struct catalog_node *root, struct mr_span pattern);
void catalog_topic_prune(struct catalog *c,
                         struct catalog_node *node); /* and those above, as far as they are of no use */
/* The nodes that match: the first; follow with catalog_topic_next. Valid until the next call. */
struct catalog_node *catalog_topic_match(struct catalog *c, struct catalog_node *root, struct mr_span key);
struct catalog_node *catalog_topic_next(const struct catalog *c, const struct catalog_node *node);

/* headers.c */
bool catalog_headers_legal(struct catalog_change *change); /* x-match; else change->result and text are set */
void catalog_headers_prepare(struct catalog_bound *b);
/* The headers of a message, by name where there are many. Valid until the next one is made of the same catalog. */
#define CATALOG_HEADER_SLOTS 65536u /* QUEUE_TABLE_MAX holds at most half as many entries */
struct catalog_headers {
    struct mr_span table;
    const struct catalog *catalog;
    uint32_t mask; /* of the slots in use; 0: so few that they are looked through */
};
struct catalog_headers catalog_headers_of(const struct catalog *c, struct mr_span table);
bool catalog_headers_match(const struct catalog_bound *b, const struct catalog_headers *headers);

/* legal.c: by the replica of worker 0. False: change->result and text say why. */
bool catalog_legal(const struct catalog *c, struct catalog_change *change);
bool catalog_refuse(struct catalog_change *change, enum catalog_result result, const char *format, ...)
    __attribute__((format(printf, 3, 4))); /* false */

/* arguments.c */
bool catalog_arguments_parse(struct catalog_change *change, const char *vhost, struct queue_arguments *out);
/* Of a table that was parsed before; `preset`: durability where it does not say. */
void catalog_arguments_read(struct mr_span table, enum queue_durability preset, struct queue_arguments *out);
/* Nothing that matters differs from what `current` was declared with; else false. */
bool catalog_arguments_equal(struct catalog_change *change, const char *vhost, struct mr_span current);
/* One argument of a queue or exchange, `kind`. */
bool catalog_argument_equal(struct catalog_change *change, const char *kind, const char *vhost, const char *name,
                            struct mr_span current);

/* log.c: worker 0, and what was read at start. */
enum catalog_record {
    RECORD_START = 1, /* u64: how often it was started; high bits of ids */
    RECORD_EXCHANGE,
    RECORD_EXCHANGE_DELETE,
    RECORD_QUEUE,
    RECORD_QUEUE_DELETE,
    RECORD_BIND,
    RECORD_UNBIND,
    RECORD_SNAPSHOT,     /* all that is declared follows, and nothing before it counts */
    RECORD_SNAPSHOT_END, /* ... up to here */
};
enum { RECORD_HEAD_MAX = 11 + 4 * 256 };
struct catalog_record_out {
    uint8_t kind;
    size_t head_bytes;
    uint8_t head[RECORD_HEAD_MAX];
    struct mr_span arguments;
};
void catalog_record_make(const struct catalog *c, enum catalog_record kind, const struct catalog_change *change,
                         struct catalog_record_out *out);
/* Bytes of a log: proves every length. False: malformed. *vhost is the name: whoever asks makes it change->vhost. */
uint64_t catalog_record_number(const uint8_t *from); /* 8 bytes */
bool catalog_record_parse(uint8_t kind, struct mr_span payload, struct catalog_change *change, struct mr_span *vhost);
/* Appends; nothing when there is no log. qlog_ready was asked. */
void catalog_log(struct catalog *c, enum catalog_record kind, const struct catalog_change *change);

/* source.c */
struct catalog_source {
    struct catalog *state; /* durable entries */
    uint64_t starts;       /* this one included */
    const struct queue_config *config;
};
#define CATALOG_LOG "catalog"
struct qlog_options;
void catalog_log_options(const struct queue_config *config, struct qlog_options *out);
/* Each entry as the change that makes it, exchanges first. False: `make` returned false. */
bool catalog_each_change(const struct catalog *c, bool (*make)(void *context, const struct catalog_change *change),
                         void *context);

/* change.c: worker 0 */
void catalog_changes_start(struct catalog *c);

/* users.c */
bool catalog_users_open(struct queue_config *config); /* compiles what users may; false: no memory, or no expression */
void catalog_users_close(struct queue_config *config);

#endif
