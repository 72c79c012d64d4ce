/* What queues hold: one, or every one of a virtual host, some asked at a time. */
#include "queue/interface/interface.h"

static void state_of(const struct catalog_queue *q, const struct queue_status *s, struct mr_queue_state *out)
{
    *out = (struct mr_queue_state){
        .name = q->name,
        .ready = s->ready,
        .unacknowledged = s->unacknowledged,
        .delayed = s->delayed,
        .consumers = s->consumers,
        .bytes = s->bytes,
        .oldest_ms = s->oldest_ms,
        .publish_rate = s->publish_rate,
        .deliver_rate = s->deliver_rate,
        .acknowledge_rate = s->acknowledge_rate,
    };
}

struct looking {
    mr_queue_state_fn done;
    void *context;
    struct listing *listing; /* NULL: of one queue */
    struct queue_status status;
};

/* False: it was deleted meanwhile, or the call failed; nothing was shown. */
static bool show(const struct looking *l, const struct queue_request *r)
{
    struct mr_queue_state state;
    const struct catalog_queue *q = catalog_queue_by_id(r->home->catalog, r->queue_id);
    if (r->result != QUEUE_DONE || !q)
        return false;
    state_of(q, &l->status, &state);
    l->done(l->context, MR_QUEUE_DONE, &state);
    return true;
}

static void look_answered(struct queue_request *r)
{
    struct looking *l = r->context;
    if (!show(l, r))
        l->done(l->context, r->result == QUEUE_DONE ? MR_QUEUE_NOT_FOUND : interface_outcome(r->result), NULL);
    memory_free(&r->home->memory, l, sizeof *l);
    interface_request_free(r);
}

static bool look(struct broker *b, uint64_t queue_id, const struct looking *what, void (*done)(struct queue_request *r))
{
    struct looking *l = memory_alloc(&b->memory, sizeof *l);
    struct queue_request *r = l ? interface_request(b, queue_id, QUEUE_STATUS, 0, done, l) : NULL;
    if (!r) {
        if (l)
            memory_free(&b->memory, l, sizeof *l);
        return false;
    }
    *l = *what;
    r->status = &l->status;
    queue_request_send(r);
    return true;
}

struct state_saying {
    struct broker_item item;
    mr_queue_state_fn done;
    void *context;
    enum mr_queue_outcome outcome;
};

static void state_say(struct broker *here, struct broker_item *item)
{
    struct state_saying s = *(struct state_saying *)item;
    memory_free(&here->memory, item, sizeof s);
    s.done(s.context, s.outcome, NULL);
}

int mr_queue_state(struct mr_queues *q, struct mr_span name, mr_queue_state_fn done, void *context)
{
    struct broker *b = q->broker;
    enum mr_queue_outcome outcome;
    if (!interface_name_fits(name))
        return MR_ERROR_INVALID;
    const struct catalog_queue *queue = interface_queue(q, name, &outcome);
    struct looking l = {.done = done, .context = context};
    if (queue)
        return look(b, queue->id, &l, look_answered) ? MR_OK : MR_ERROR_NO_MEMORY;
    struct state_saying *s = memory_alloc(&b->memory, sizeof *s);
    if (!s)
        return MR_ERROR_NO_MEMORY;
    *s = (struct state_saying){.item.run = state_say, .done = done, .context = context, .outcome = outcome};
    broker_send(b, b->index, &s->item);
    return MR_OK;
}

/* -- all ---------------------------------------------------------------------------------------------------------------------------- */

#define BLOCK_IDS 500u

struct id_block {
    struct id_block *next;
    unsigned count, used;
    uint64_t ids[BLOCK_IDS];
};

struct listing {
    struct broker_item item; /* when there is nothing to ask */
    struct broker *broker;
    mr_queue_state_fn done;
    void *context;
    struct id_block *blocks;
    unsigned asked;
    bool failed;
};

static void collect(void *context, const struct catalog_queue *q)
{
    struct listing *l = context;
    if (!l->blocks || l->blocks->count == BLOCK_IDS) {
        struct id_block *block = memory_alloc(&l->broker->memory, sizeof *block);
        l->failed |= !block;
        if (!block)
            return;
        block->next = l->blocks;
        block->count = block->used = 0;
        l->blocks = block;
    }
    l->blocks->ids[l->blocks->count++] = q->id;
}

static void blocks_free(struct listing *l)
{
    while (l->blocks) {
        struct id_block *next = l->blocks->next;
        memory_free(&l->broker->memory, l->blocks, sizeof *l->blocks);
        l->blocks = next;
    }
}

static void list_answered(struct queue_request *r);

/* Asks as many as may be; false: none is left, and none is awaited. */
static bool list_go_on(struct listing *l)
{
    const struct looking what = {.done = l->done, .context = l->context, .listing = l};
    while (l->asked < INTERFACE_LIST_WINDOW && l->blocks && !l->failed) {
        struct id_block *block = l->blocks;
        if (block->used == block->count) {
            l->blocks = block->next;
            memory_free(&l->broker->memory, block, sizeof *block);
            continue;
        }
        if (!look(l->broker, block->ids[block->used], &what, list_answered)) {
            l->failed = l->asked == 0; /* else an answer gives back memory */
            break;
        }
        block->used++;
        l->asked++;
    }
    return l->asked > 0;
}

static void list_end(struct listing *l)
{
    struct listing was = *l;
    blocks_free(l);
    memory_free(&was.broker->memory, l, sizeof *l);
    was.done(was.context, was.failed ? MR_QUEUE_NO_MEMORY : MR_QUEUE_DONE, NULL);
}

static void list_answered(struct queue_request *r)
{
    struct looking *what = r->context;
    struct listing *l = what->listing;
    show(what, r);
    memory_free(&r->home->memory, what, sizeof *what);
    interface_request_free(r);
    l->asked--;
    if (!list_go_on(l))
        list_end(l);
}

static void list_empty(struct broker *here, struct broker_item *item)
{
    list_end((struct listing *)item);
}

int mr_queue_list(struct mr_queues *q, mr_queue_state_fn done, void *context)
{
    struct broker *b = q->broker;
    struct listing *l = memory_alloc(&b->memory, sizeof *l);
    if (!l)
        return MR_ERROR_NO_MEMORY;
    *l = (struct listing){.item.run = list_empty, .broker = b, .done = done, .context = context};
    catalog_queue_each(b->catalog, q->vhost, collect, l);
    if (!l->failed && list_go_on(l))
        return MR_OK;
    if (l->failed) {
        blocks_free(l);
        memory_free(&b->memory, l, sizeof *l);
        return MR_ERROR_NO_MEMORY;
    }
    broker_send(b, b->index, &l->item);
    return MR_OK;
}
