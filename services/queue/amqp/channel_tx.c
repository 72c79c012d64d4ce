/* Transactions (class tx): publishes and acknowledgements of a channel wait for tx.commit, and commit-ok for all of them: every message is
 * as safe as its queue promises. As with RabbitMQ a commit is not atomic over queues: what one of them refuses does not take the
 * others back; the channel is closed with "partial tx completion". */
#include "queue/amqp/channel.h"

void channel_tx_select(struct channel *ch, const struct amqp_method *m)
{
    if (ch->mode == CHANNEL_CONFIRM) {
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, m->id, "cannot switch from confirm to tx mode");
        return;
    }
    ch->mode = CHANNEL_TX;
    channel_send(ch, &(struct amqp_method){.id = AMQP_tx_select_ok});
}

static bool transactional(struct channel *ch, uint32_t method)
{
    if (ch->mode != CHANNEL_TX)
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, method, "channel is not transactional");
    return ch->mode == CHANNEL_TX;
}

bool channel_tx_keep(struct channel *ch, struct channel_publication *p)
{
    if (ch->tx_count == CHANNEL_TX_MAX || ch->tx_bytes + p->bytes > CHANNEL_TX_BYTES_MAX) {
        channel_publication_free(ch, p);
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, AMQP_basic_publish,
                           "a transaction has at most %u messages and %u bytes", CHANNEL_TX_MAX, CHANNEL_TX_BYTES_MAX);
        return false;
    }
    p->next = NULL;
    *ch->tx_end = p;
    ch->tx_end = &p->next;
    ch->tx_count++;
    ch->tx_bytes += p->bytes;
    return true;
}

static struct channel_publication *tx_take(struct channel *ch)
{
    struct channel_publication *all = ch->tx;
    ch->tx = NULL;
    ch->tx_end = &ch->tx;
    ch->tx_count = ch->tx_bytes = 0;
    return all;
}

void channel_tx_end(struct channel *ch)
{
    for (struct channel_publication *p = tx_take(ch), *next; p; p = next) {
        next = p->next;
        channel_publication_free(ch, p);
    }
}

/* -- commit -------------------------------------------------------------------------------------------------------------------------- */

static bool commit_entry(struct channel *ch, struct channel_entry *e)
{
    if (!e->in_tx)
        return true;
    if (!channel_settle_add(ch, e, e->how)) {
        ch->commit_failed = true;
        return false;
    }
    channel_unacknowledged_settle(ch, e);
    return true;
}

void channel_tx_answered(struct channel *ch, bool failed)
{
    ch->commit_failed |= failed;
    if (--ch->commit_missing)
        return;
    ch->committing = false;
    channel_go_on(ch);
    if (ch->commit_failed && !channel_ended(ch))
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, AMQP_tx_commit, "partial tx completion");
    else
        channel_send(ch, &(struct amqp_method){.id = AMQP_tx_commit_ok});
    channel_consume_pump(ch);
    channel_drop(ch);
}

void channel_tx_commit(struct channel *ch, const struct amqp_method *m)
{
    if (!transactional(ch, m->id))
        return;
    channel_settle_flush(ch); /* what basic.recover has put back is not of the transaction */
    channel_wait(ch, m->id);
    ch->committing = true;
    ch->commit_failed = false;
    ch->commit_missing = 1; /* this one */
    for (struct channel_publication *p = tx_take(ch), *next; p; p = next) {
        next = p->next;
        p->committed = true;
        ch->commit_missing += channel_publish_go(ch, p);
    }
    channel_unacknowledged_each(ch, UINT64_MAX, commit_entry);
    channel_settle_flush(ch);
    channel_unacknowledged_trim(ch);
    channel_tx_answered(ch, false);
}

/* -- rollback ------------------------------------------------------------------------------------------------------------------------ */

static bool rollback_entry(struct channel *ch, struct channel_entry *e)
{
    (void)ch;
    e->in_tx = false;
    return true;
}

void channel_tx_rollback(struct channel *ch, const struct amqp_method *m)
{
    if (!transactional(ch, m->id))
        return;
    channel_tx_end(ch);
    channel_unacknowledged_each(ch, UINT64_MAX, rollback_entry);
    channel_send(ch, &(struct amqp_method){.id = AMQP_tx_rollback_ok});
}
