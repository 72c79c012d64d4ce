/* A change on its way. One item does it all, without memory of its own:
 *
 *     asker --> worker 0: legal? applied, logged --> worker 1: applied --> ... --> last worker --> worker 0: on the disk? --> asker
 *
 * Between two workers items keep their order, so every worker applies the changes as worker 0 has decided them. What is refused goes back at
 * once. While the log takes nothing more, changes wait on worker 0, the first and all behind it. */
#include <millrace/log.h>
#include <stdlib.h>

#include "queue/catalog/replica.h"
#include "queue/log/log.h"

#define PARKED_RETRY (100 * MR_MILLISECOND)

static void arrived_home(struct broker *here, struct broker_item *item)
{
    struct catalog_change *change = (struct catalog_change *)item;
    (void)here;
    change->done(change);
}

static void go_home(struct broker *here, struct catalog_change *change)
{
    change->item.run = arrived_home;
    broker_send(here, change->home->index, &change->item);
}

/* -- back on worker 0 ------------------------------------------------------------------------------------------------------------------------ */

static void applied_everywhere(struct broker *here, struct broker_item *item)
{
    struct catalog_change *change = (struct catalog_change *)item;
    struct catalog *c = here->catalog;
    if (!c->log || change->log_offset <= qlog_synced(c->log)) {
        go_home(here, change);
        return;
    }
    change->next = NULL; /* offsets come in order: the ring keeps it */
    *c->synced_end = change;
    c->synced_end = &change->next;
}

static void synced_answer(struct catalog *c)
{
    while (c->synced_wait && c->synced_wait->log_offset <= qlog_synced(c->log)) {
        struct catalog_change *change = c->synced_wait;
        c->synced_wait = change->next;
        if (!c->synced_wait)
            c->synced_end = &c->synced_wait;
        go_home(c->b, change);
    }
}

/* -- on every worker ------------------------------------------------------------------------------------------------------------------------- */

static void go_on(struct broker *here, struct catalog_change *change);

static void apply_here(struct broker *here, struct broker_item *item)
{
    struct catalog_change *change = (struct catalog_change *)item;
    if (!catalog_apply(here->catalog, change)) {
        /* Worker 0 had room in half of what is here: the replicas would differ from now on. */
        mr_log(MR_LOG_ERROR, "queue", "worker %u has no memory for what worker 0 has declared: used=%llu limit=%llu",
               here->index, (unsigned long long)here->catalog->memory.used,
               (unsigned long long)here->catalog->memory.limit);
        abort();
    }
    go_on(here, change);
}

static void go_on(struct broker *here, struct catalog_change *change)
{
    bool last = here->index + 1 == here->workers;
    change->item.run = last ? applied_everywhere : apply_here;
    if (last && here->index == 0)
        applied_everywhere(here, &change->item);
    else
        broker_send(here, last ? 0 : here->index + 1, &change->item);
}

/* -- decided on worker 0 --------------------------------------------------------------------------------------------------------------------- */

/* Sets `created`, and the id of a queue that is or will be there. */
static void look_before(struct catalog *c, struct catalog_change *change)
{
    const struct queue_entry_replica *q;
    switch (change->verb) {
    case CATALOG_QUEUE_DECLARE:
        q = catalog_queue_entry(c, change->vhost, change->name);
        change->created = !q;
        change->queue_id = q ? q->public.id : c->id_next++;
        break;
    case CATALOG_EXCHANGE_DECLARE:
        change->created = !catalog_exchange_entry(c, change->vhost, change->name);
        break;
    case CATALOG_BIND:
    case CATALOG_EXCHANGE_BIND:
        change->created = !catalog_binding_find(c, change);
        break;
    default:
        break;
    }
}

/* What was declared before may not be on the disk yet, by whomever it was declared. */
static bool durable_there(const struct catalog *c, const struct catalog_change *change)
{
    const struct catalog_bound *b;
    switch (change->verb) {
    case CATALOG_QUEUE_DECLARE:
    case CATALOG_EXCHANGE_DECLARE:
        return change->durable;
    case CATALOG_BIND:
    case CATALOG_EXCHANGE_BIND:
        b = catalog_binding_find(c, change);
        return b && catalog_binding_durable(b);
    default:
        return false;
    }
}

static void decide(struct catalog *c, struct catalog_change *change)
{
    uint64_t before = c->log ? qlog_next(c->log) : 0;
    if (!catalog_legal(c, change)) {
        go_home(c->b, change);
        return;
    }
    look_before(c, change);
    if (!catalog_apply(c, change)) {
        change->created = false;
        catalog_refuse(change, CATALOG_NO_MEMORY, "no memory for what is declared");
        go_home(c->b, change);
        return;
    }
    uint64_t after = c->log ? qlog_next(c->log) : 0;
    change->log_offset = after != before || durable_there(c, change) ? after : 0;
    go_on(c->b, change);
}

static bool log_takes(const struct catalog *c)
{
    return !c->log || qlog_ready(c->b->engine);
}

static void parked_go_on(struct catalog *c)
{
    while (c->parked && log_takes(c)) {
        struct catalog_change *change = c->parked;
        c->parked = change->next;
        if (!c->parked)
            c->parked_end = &c->parked;
        decide(c, change);
    }
    if (c->parked)
        mr_timer_set(c->b->worker, &c->parked_timer, mr_now(c->b->worker) + PARKED_RETRY);
}

static void parked_expired(struct mr_worker *w, struct mr_timer *t)
{
    (void)w;
    parked_go_on(t->context);
}

static void asked(struct broker *here, struct broker_item *item)
{
    struct catalog_change *change = (struct catalog_change *)item;
    struct catalog *c = here->catalog;
    if (!c->parked && log_takes(c)) {
        decide(c, change);
        return;
    }
    change->next = NULL;
    *c->parked_end = change;
    c->parked_end = &change->next;
    mr_timer_set(here->worker, &c->parked_timer, mr_now(here->worker) + PARKED_RETRY);
}

void catalog_change(struct broker *b, struct catalog_change *change)
{
    change->home = b;
    change->result = CATALOG_OK;
    change->text[0] = '\0';
    change->created = false;
    change->item.run = asked;
    broker_send(b, 0, &change->item);
}

void catalog_log_advanced(struct broker *b, struct qlog *log)
{
    struct catalog *c = b->catalog;
    if (!c || !c->log)
        return;
    if (log == c->log)
        synced_answer(c);
    if (c->parked)
        parked_go_on(c);
}

void catalog_changes_start(struct catalog *c)
{
    c->synced_end = &c->synced_wait;
    c->parked_end = &c->parked;
    mr_timer_init(&c->parked_timer, parked_expired, c);
}
