/* Private to durable*.c: what a queue's log is told, and who waits for it. */
#ifndef SERVICES_QUEUE_CORE_DURABLE_STATE_H
#define SERVICES_QUEUE_CORE_DURABLE_STATE_H

#include "queue/core/durable_record.h"
#include "queue/core/letter.h"
#include "queue/core/queue_state.h"
#include "queue/core/waiter.h"

#define GONE_RANGES_MAX    256u       /* of one record */
#define DELIVERED_MAX      512u       /* ids gathered until they are written */
#define CARRY_READS_MAX    16u        /* of a queue at a time */
#define CARRY_LOOK_MAX     4096u      /* entries looked at for it, a turn */
#define READ_AHEAD_ENTRIES 32u        /* of a queue, on their way back to memory */
#define READ_AHEAD_BYTES   (1u << 20) /* and their records; one is always allowed */
#define PAGE_OUT_MAX       8192u      /* entries looked at, a second */
#define PAGE_KEEP          64u        /* the next ones of a queue stay in memory */
#define FRESH_MAX          256u       /* put in this turn while memory is short: looked at when it ends */

struct recovery;

struct durable_gone {
    struct durable_gone *next;
    unsigned count;
    struct queue_record_range ranges[GONE_RANGES_MAX];
};

struct durable_segment {
    uint64_t first; /* offset */
    uint64_t live;  /* entries whose record is in it */
};

struct durable_read {
    struct durable *durable; /* NULL: the queue is gone meanwhile */
    struct memory *memory;
    struct durable_read *next, **link;
    uint64_t id, offset;
    uint32_t bytes;
    bool carry; /* to be written again, not to be delivered */
};

/* The log of a queue. */
struct durable {
    const void *tag; /* durable_tag: tells our logs from others of the engine by their context */
    struct queue *queue;
    struct broker *broker;
    struct qlog *log; /* NULL: it could not be opened; nothing is taken then */
    struct durable *next, **link;
    struct recovery *recovery; /* while the log is opened */

    struct durable_segment *segments; /* oldest first; the last one is written to */
    unsigned segment_count, segment_room;
    uint64_t live_bytes; /* of records whose entry is alive */

    struct queue_put *waiting, **waiting_end; /* in the order of their records */

    struct durable_gone *gone, *gone_last; /* not told to the log yet */
    uint64_t *delivered;                   /* ids, likewise; DELIVERED_MAX, or NULL */
    unsigned delivered_count;
    struct durable *dirty_next;
    bool dirty;

    uint64_t carry_cursor; /* entries up to this id are not in the first segment */
    unsigned carry_reads;
    bool carry_paused;      /* a record could not be read or written: again by the next second */
    uint64_t carried_until; /* nothing is trimmed until the log is safe up to here; 0: nothing was carried */

    struct durable_read *reads;
    unsigned page_reads;
    uint64_t page_bytes;
    uint64_t page_again; /* could not be read: asked for again by the next second; 0: none */
    int read_error;
    uint64_t page_cursor; /* entries up to this id were looked at for paging out */
};

struct durable_set {
    struct broker *broker;
    struct mr_deferred turn_end;
    struct durable *all, *dirty;
    struct mr_span *spans; /* of one record: head, addresses, pieces of the body; malloc, at start */
    unsigned span_room;
    uint64_t
        *found; /* ids of the logs that were there at start, ascending; malloc. Later of those that nobody could open */
    unsigned found_count, found_room;
    bool found_failed;
    struct {
        struct durable *durable;
        uint64_t id;
    } fresh[FRESH_MAX];
    unsigned fresh_count;
    struct letter_set letters;
    struct queue_waiter *waiters;
};

/* In the flags of an entry, beside those of queue_state.h: its message is on the way back. */
#define ENTRY_READING 0x80

extern const char durable_tag;

/* durable.c */
void durable_dirty(struct durable *d); /* looked at when the turn ends */

/* durable_mark.c: what has gone and what was delivered */
void durable_gone_add(struct durable *d, uint64_t id);
bool durable_gone_flush(struct durable *d); /* false: no room in the log now */
void durable_delivered_flush(struct durable *d);
void durable_marks_free(struct durable *d);

/* durable_segment.c: which segments are needed */
bool durable_segment_reserve(struct durable *d); /* room for one more; false: no memory */
void durable_segment_add(struct durable *d, uint64_t offset, const struct qlog_place *place);
void durable_segment_drop(struct durable *d, uint64_t offset, uint32_t bytes);
struct qlog_place durable_place(const struct durable *d, const struct queue_entry *e);
void durable_trim(struct durable *d); /* also carries forward what holds a mostly dead log back */
void durable_carried(struct durable *d, const struct durable_read *r, struct mr_span payload);

/* durable_page.c */
bool durable_read_start(struct durable *d, uint64_t id, const struct queue_entry *e, bool carry);
void durable_reads_cancel(struct durable *d);
bool durable_memory_short(const struct broker *b);
void durable_fresh(struct durable *d, uint64_t id);
void durable_fresh_page_out(struct durable_set *set);
void durable_page_second(struct durable_set *set);

/* durable_recover.c. False: the log could not be read */
bool durable_recover(struct durable *d, const char *name, const struct qlog_options *options);

#endif
