/* confirm.select, and telling what became of publishes: once a turn, with `multiple` as far as everything older is answered. */
#include "queue/amqp/channel.h"

void channel_confirm_select(struct channel *ch, const struct amqp_method *m)
{
    if (ch->mode == CHANNEL_TX) {
        amqp_channel_error(&ch->base, AMQP_PRECONDITION_FAILED, m->id, "cannot switch from tx to confirm mode");
        return;
    }
    ch->mode = CHANNEL_CONFIRM;
    if (!m->confirm_select.nowait)
        channel_send(ch, &(struct amqp_method){.id = AMQP_confirm_select_ok});
}

void channel_confirm_answered(struct channel *ch, struct channel_publication *p, bool refused)
{
    p->refused = refused;
    p->next = NULL;
    *ch->answered_end = p;
    ch->answered_end = &p->next;
    channel_flush_later(ch);
}

static void tell(struct channel *ch, uint64_t tag, bool multiple, bool refused)
{
    struct amqp_method m = {.id = refused ? AMQP_basic_nack : AMQP_basic_ack};
    if (refused)
        m.basic_nack = (struct amqp_basic_nack){.delivery_tag = tag, .multiple = multiple, .requeue = true};
    else
        m.basic_ack = (struct amqp_basic_ack){.delivery_tag = tag, .multiple = multiple};
    channel_send(ch, &m);
}

/* The oldest publish that waits for its answer; those without a number were published before confirm.select. */
static uint64_t oldest_waiting(const struct channel *ch)
{
    for (const struct channel_publication *p = ch->under_way; p; p = p->next)
        if (p->sequence)
            return p->sequence;
    return UINT64_MAX;
}

/* The answers of one kind: those that are older than everything that waits or was answered otherwise by one method, the others each. */
static void tell_all(struct channel *ch, const struct channel_publication *all, bool refused)
{
    uint64_t below = oldest_waiting(ch), last = 0, count = 0;
    const struct channel_publication *p;
    for (p = all; p; p = p->next)
        if (p->refused != refused)
            below = p->sequence < below ? p->sequence : below;
    for (p = all; p; p = p->next)
        if (p->refused == refused && p->sequence < below) {
            last = p->sequence > last ? p->sequence : last;
            count++;
        }
    if (count)
        tell(ch, last, count > 1 || refused, refused); /* RabbitMQ: a single nack has the bit as well */
    for (p = all; p; p = p->next)
        if (p->refused == refused && p->sequence >= below)
            tell(ch, p->sequence, false, refused);
}

void channel_confirm_flush(struct channel *ch)
{
    struct channel_publication *all = ch->answered, *next;
    ch->answered = NULL;
    ch->answered_end = &ch->answered;
    tell_all(ch, all, true);
    tell_all(ch, all, false);
    for (struct channel_publication *p = all; p; p = next) {
        next = p->next;
        ch->broker->counters[p->refused ? QUEUE_COUNTER_REFUSED : QUEUE_COUNTER_CONFIRMED]++;
        channel_publication_free(ch, p);
    }
}

void channel_confirm_end(struct channel *ch)
{
    struct channel_publication *p;
    while ((p = ch->answered)) {
        ch->answered = p->next;
        channel_publication_free(ch, p);
    }
    ch->answered_end = &ch->answered;
}
