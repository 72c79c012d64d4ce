/* basic.ack, nack, reject, recover. What is settled in one turn goes to its queue in one request, as long as the way is the same; anything
 * else that the channel asks of a queue is asked behind it. */
#include "queue/amqp/channel.h"

#include <stddef.h>

enum { BATCH_FIRST = 16 };

static size_t batch_bytes(uint32_t capacity)
{
    return sizeof(struct channel_batch) + capacity * sizeof(uint64_t);
}

/* -- batches --------------------------------------------------------------------------------------------------------------------------- */

static struct channel_batch *batch_of(struct queue_request *r)
{
    return (struct channel_batch *)((uint8_t *)r - offsetof(struct channel_batch, request));
}

static void batch_done(struct queue_request *r)
{
    struct channel_batch *batch = batch_of(r);
    struct channel *ch = batch->channel;
    bool committed = batch->committed;
    if (batch == ch->reserve) {
        ch->reserve_out = false;
        if (channel_ended(ch))
            channel_settle_end(ch);
    } else {
        channel_free(ch, batch, batch_bytes(batch->capacity));
    }
    if (committed)
        channel_tx_answered(ch, false);
    channel_drop(ch);
}

static void batch_send(struct channel *ch, struct channel_batch **slot)
{
    struct channel_batch *batch = *slot;
    *slot = NULL;
    channel_hold(ch);
    batch->committed = ch->committing;
    ch->commit_missing += batch->committed;
    queue_request_send(&batch->request);
}

void channel_settle_flush(struct channel *ch)
{
    for (unsigned i = 0; i < CHANNEL_BATCHES; i++)
        if (ch->batches[i])
            batch_send(ch, &ch->batches[i]);
}

static struct channel_batch *batch_begin(struct channel *ch, uint64_t queue_id, enum queue_settle how)
{
    struct channel_batch *batch = channel_alloc(ch, batch_bytes(BATCH_FIRST));
    uint32_t capacity = BATCH_FIRST;
    if (!batch && !ch->reserve_out) {
        batch = ch->reserve;
        capacity = CHANNEL_RESERVE;
        ch->reserve_out = true;
    }
    if (!batch)
        return NULL;
    batch->channel = ch;
    batch->capacity = capacity;
    batch->request = (struct queue_request){.home = ch->broker,
                                            .verb = QUEUE_SETTLE,
                                            .queue_id = queue_id,
                                            .done = batch_done,
                                            .connection = ch->base.connection->id,
                                            .settle = how};
    channel_flush_later(ch);
    return batch;
}

/* Room for one more; false: it is full for good. */
static bool batch_grow(struct channel *ch, struct channel_batch **slot)
{
    struct channel_batch *batch = *slot;
    if (batch->request.entry_count < batch->capacity)
        return true;
    if (batch == ch->reserve || batch->capacity * 2 > QUEUE_SETTLE_MAX)
        return false;
    struct channel_batch *larger =
        memory_resize(&ch->broker->memory, batch, batch_bytes(batch->capacity), batch_bytes(batch->capacity * 2));
    if (!larger)
        return false;
    larger->capacity *= 2;
    *slot = larger;
    return true;
}

/* The batch of this queue, else a place for one. Two of a queue are never open: their order would be lost. */
static struct channel_batch **batch_slot(struct channel *ch, uint64_t queue_id)
{
    struct channel_batch **empty = NULL;
    for (unsigned i = 0; i < CHANNEL_BATCHES; i++) {
        if (ch->batches[i] && ch->batches[i]->request.queue_id == queue_id)
            return &ch->batches[i];
        if (!ch->batches[i])
            empty = &ch->batches[i];
    }
    if (empty)
        return empty;
    batch_send(ch, &ch->batches[queue_id % CHANNEL_BATCHES]);
    return &ch->batches[queue_id % CHANNEL_BATCHES];
}

bool channel_settle_add(struct channel *ch, const struct channel_entry *e, enum queue_settle how)
{
    struct channel_batch **slot = batch_slot(ch, e->queue_id), *batch;
    if (*slot && ((*slot)->request.settle != how || !batch_grow(ch, slot)))
        batch_send(ch, slot);
    if (!*slot && !(*slot = batch_begin(ch, e->queue_id, how)))
        return false;
    batch = *slot;
    batch->request.entries[batch->request.entry_count++] = e->entry;
    return true;
}

/* -- at the end ------------------------------------------------------------------------------------------------------------------------ */

static bool put_back(struct channel *ch, struct channel_entry *e)
{
    if (!channel_settle_add(ch, e, SETTLE_REQUEUE)) {
        ch->settle_failed = true; /* the reserve is out: at the end its answer goes on with this one */
        return false;
    }
    channel_unacknowledged_settle(ch, e);
    return true;
}

void channel_settle_end(struct channel *ch)
{
    channel_unacknowledged_each(ch, UINT64_MAX, put_back);
    channel_settle_flush(ch);
    ch->untrimmed = true;
    channel_unacknowledged_trim(ch);
    if (!ch->unacknowledged && ch->oldest) {
        channel_free(ch, ch->oldest, sizeof *ch->oldest);
        ch->oldest = ch->youngest = NULL;
    }
}

/* -- methods --------------------------------------------------------------------------------------------------------------------------- */

static bool settle_one(struct channel *ch, struct channel_entry *e)
{
    if (e->in_tx)
        return true;
    if (ch->mode == CHANNEL_TX) {
        e->in_tx = true;
        e->how = ch->settling;
        return true;
    }
    if (!channel_settle_add(ch, e, ch->settling)) {
        ch->settle_failed = true;
        return false;
    }
    channel_unacknowledged_settle(ch, e);
    return true;
}

/* Tag 0 with `multiple`: all that there are. Any other tag must be one of them, also the last of several. */
static void settle(struct channel *ch, uint64_t tag, bool multiple, enum queue_settle how, uint32_t method)
{
    struct channel_entry *e = NULL;
    bool all = multiple && tag == 0;
    if (!all && !(e = channel_unacknowledged_find(ch, tag))) {
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, method, "unknown delivery tag %llu",
                           (unsigned long long)tag);
        return;
    }
    ch->settling = (uint8_t)how;
    ch->settle_failed = false;
    if (multiple)
        channel_unacknowledged_each(ch, all ? UINT64_MAX : tag, settle_one);
    else
        settle_one(ch, e);
    channel_unacknowledged_trim(ch);
    if (ch->settle_failed)
        channel_no_memory(ch, method);
    else
        channel_consume_pump(ch);
}

void channel_basic_ack(struct channel *ch, const struct amqp_method *m)
{
    settle(ch, m->basic_ack.delivery_tag, m->basic_ack.multiple, SETTLE_ACK, m->id);
}

void channel_basic_nack(struct channel *ch, const struct amqp_method *m)
{
    const struct amqp_basic_nack *n = &m->basic_nack;
    settle(ch, n->delivery_tag, n->multiple, n->requeue ? SETTLE_REQUEUE : SETTLE_REJECT, m->id);
}

void channel_basic_reject(struct channel *ch, const struct amqp_method *m)
{
    settle(ch, m->basic_reject.delivery_tag, false, m->basic_reject.requeue ? SETTLE_REQUEUE : SETTLE_REJECT, m->id);
}

/* Everything back to its queue, at once even in a transaction, but for what the transaction has acknowledged. */
static bool recover_one(struct channel *ch, struct channel_entry *e)
{
    return e->in_tx || put_back(ch, e);
}

static bool recover(struct channel *ch, bool requeue, uint32_t method)
{
    if (!requeue) {
        amqp_channel_error(&ch->base, AMQP_NOT_IMPLEMENTED, method, "requeue=false");
        return false;
    }
    ch->settle_failed = false;
    channel_unacknowledged_each(ch, UINT64_MAX, recover_one);
    channel_unacknowledged_trim(ch);
    if (ch->settle_failed)
        channel_no_memory(ch, method);
    else
        channel_consume_pump(ch);
    return !channel_ended(ch);
}

void channel_basic_recover(struct channel *ch, const struct amqp_method *m)
{
    if (recover(ch, m->basic_recover.requeue, m->id))
        channel_send(ch, &(struct amqp_method){.id = AMQP_basic_recover_ok});
}

void channel_basic_recover_async(struct channel *ch, const struct amqp_method *m)
{
    recover(ch, m->basic_recover_async.requeue, m->id);
}
