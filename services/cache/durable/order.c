/* Worker 0: in which order records enter the log, and who is told that they are durable.
 *
 * A transaction over several shards is one record, sent by the worker that ran it, so the records of a shard come
 * from several mailboxes, and one may overtake another. Each shard numbers its transactions; a record is admitted
 * when it is the next of every shard that it belongs to. What comes early waits with the shard that blocks it,
 * sorted: an admission looks at the heads alone. How much can wait is bounded by what the workers may have unwritten
 * (cache_log_ready).
 *
 * A switch of generations is a cut through all shards. Records behind it wait until the last one before it is
 * admitted. */
#include <assert.h>

#include "cache/durable/log_state.h"

static uint64_t sequence_in(const struct cache_log_record *r, unsigned shard)
{
    for (unsigned i = 0; i < r->part_count; i++)
        if (r->parts[i].shard == shard)
            return r->parts[i].sequence;
    assert(!"a record waits with a shard that it does not belong to");
    return 0;
}

/* The shard whose turn it is not yet, or -1. */
static int blocked_by(const struct cache_log *log, const struct cache_log_record *r)
{
    for (unsigned i = 0; i < r->part_count; i++) {
        assert(r->parts[i].sequence >= log->expected[r->parts[i].shard]);
        if (r->parts[i].sequence != log->expected[r->parts[i].shard])
            return (int)r->parts[i].shard;
    }
    return -1;
}

/* Records of one sender come in order, so the place is nearly always the end; senders are few. */
static void waiting_insert(struct cache_log *log, unsigned shard, struct cache_log_record *r)
{
    struct cache_log_record **at = &log->waiting[shard];
    uint64_t sequence = sequence_in(r, shard);
    while (*at && sequence_in(*at, shard) < sequence)
        at = &(*at)->next;
    r->next = *at;
    *at = r;
}

static bool drained(const struct cache_log *log)
{
    for (unsigned i = 0; i < log->workers; i++)
        if (log->expected[i] != log->cut[i] + 1)
            return false;
    return true;
}

/* Takes the head of the list of each of r's shards that is next now. */
static void unblock(struct cache_log *log, const struct cache_log_record *r, struct cache_log_list *ready)
{
    for (unsigned i = 0; i < r->part_count; i++) {
        unsigned shard = r->parts[i].shard;
        struct cache_log_record *head = log->waiting[shard];
        if (!head || sequence_in(head, shard) != log->expected[shard])
            continue;
        log->waiting[shard] = head->next;
        log_list_add(ready, head);
    }
}

static void cross_switch(struct cache_log *log, struct cache_log_list *ready)
{
    uint64_t generation = atomic_load_explicit(&log->append_generation, memory_order_acquire);
    if (log->admit_generation == generation || !drained(log))
        return;
    log->admit_generation = generation;
    for (struct cache_log_record *r; (r = log_list_take(&log->later));)
        log_list_add(ready, r);
}

void log_admit(struct cache_log *log, struct cache_log_record *arrived)
{
    struct cache_log_list ready = {0};
    if (arrived)
        log_list_add(&ready, arrived);
    cross_switch(log, &ready);
    for (struct cache_log_record *r; (r = log_list_take(&ready));) {
        if (r->generation > log->admit_generation) {
            log_list_add(&log->later, r);
            continue;
        }
        int shard = blocked_by(log, r);
        if (shard >= 0) {
            waiting_insert(log, (unsigned)shard, r);
            continue;
        }
        for (unsigned i = 0; i < r->part_count; i++)
            log->expected[r->parts[i].shard]++;
        r->admitted = true;
        log_list_add(&log->queue, r);
        log->admitted++;
        unblock(log, r, &ready);
        cross_switch(log, &ready);
    }
}

void log_arrive(struct cache_log *log, struct cache_log_record *first)
{
    while (first) {
        struct cache_log_record *r = first;
        first = r->next;
        r->next = NULL;
        if (r->kind == LOG_RECORD) {
            log_admit(log, r);
        } else if (r->kind == LOG_SNAPSHOT_RECORD) {
            log_list_add(&log->base_queue, r);
        } else {
            base_control(log, r->kind);
            log_home(log, r);
        }
    }
    log_pump(log);
    base_pump(log);
    log_owed_send(log);
}

void log_arrived(struct mr_worker *w, void *argument)
{
    struct cache_log_record *first = argument;
    log_arrive(first->origin->log, first);
}

/* Messages that worker 0 owes; a full mailbox is tried again. */

void log_owe(struct cache_log *log, unsigned worker, unsigned what)
{
    log->owed[worker] |= (uint8_t)what;
}

void log_home(struct cache_log *log, struct cache_log_record *r)
{
    log_list_add(&log->home[r->origin->index], r);
    log_owe(log, r->origin->index, OWED_HOME);
}

void log_notify(struct cache_log *log)
{
    for (unsigned i = 0; i < log->workers; i++)
        if (log->worker[i] && !atomic_exchange(&log->worker[i]->notified, true))
            log_owe(log, i, OWED_NOTICE);
}

static void notice_arrived(struct mr_worker *w, void *argument)
{
    struct cache_log_worker *lw = argument;
    atomic_store(&lw->notified, false);
    if (lw->hooks.durable)
        lw->hooks.durable(lw->hooks.context);
}

static void flush_arrived(struct mr_worker *w, void *argument)
{
    snapshot_flush(argument);
}

static bool post(struct cache_log *log, unsigned to, mr_message_fn fn, void *argument)
{
    struct mr_worker *w = log->worker[0]->worker;
    if (to != 0)
        return mr_post(w, to, fn, argument) == MR_OK;
    fn(w, argument);
    return true;
}

static bool home_send(struct cache_log *log, unsigned i)
{
    struct cache_log_record *first = log->home[i].first;
    log->home[i] = (struct cache_log_list){0};
    if (!first || post(log, i, log_home_arrived, first))
        return true;
    for (struct cache_log_record *next; first; first = next) {
        next = first->next;
        log_list_add(&log->home[i], first);
    }
    return false;
}

/* Home before notice: who is told that there is room finds it. What the hooks of worker 0 do here comes back at the
 * end of a turn. */
static void owed_send_to(struct cache_log *log, unsigned i)
{
    static const struct {
        unsigned what;
        mr_message_fn fn;
    } messages[] = {{OWED_NOTICE, notice_arrived}, {OWED_FLUSH, flush_arrived}};
    if (log->owed[i] & OWED_HOME) {
        log->owed[i] &= (uint8_t)~OWED_HOME;
        if (!home_send(log, i))
            log_owe(log, i, OWED_HOME);
    }
    for (unsigned k = 0; k < sizeof messages / sizeof *messages; k++) {
        if (!(log->owed[i] & messages[k].what))
            continue;
        log->owed[i] &= (uint8_t)~messages[k].what;
        if (!post(log, i, messages[k].fn, log->worker[i]))
            log_owe(log, i, messages[k].what);
    }
}

void log_owed_send(struct cache_log *log)
{
    bool left = false;
    if (!log->worker[0]->worker)
        return;
    for (unsigned i = 0; i < log->workers; i++) {
        if (log->owed[i])
            owed_send_to(log, i);
        left |= log->owed[i] != 0;
    }
    if (left)
        log_timer_set(log, &log->owed_retry, LOG_OWED_RETRY);
}

void log_order_check(const struct cache_log *log)
{
    for (unsigned i = 0; i < log->workers; i++) {
        uint64_t before = log->expected[i];
        for (const struct cache_log_record *r = log->waiting[i]; r; r = r->next) {
            assert(sequence_in(r, i) > before);
            before = sequence_in(r, i);
        }
        assert(atomic_load(&log->durable[i]) < log->expected[i]);
    }
    for (const struct cache_log_record *r = log->later.first; r; r = r->next)
        assert(r->generation > log->admit_generation);
}
