/* Why publishers are held up. Each worker has alarms of its own; each tells all, and what one of them has holds up the publishers of all:
 * whoever publishes may reach any queue. The news travel in items made at start, one a pair of workers: what changes while an item is away is told
 * when it comes back, so the last state always arrives, and no memory is needed when there is none. */
#include "queue/shard/alarm.h"

#include "queue/amqp/server.h"
#include "queue/shard/shard.h"

struct broker_alarm_news {
    struct broker_item item;
    struct broker *from, *to;
    uint8_t alarms; /* told */
    bool away;
};

static void news_send(struct broker *b, unsigned to);

static void news_returned(struct broker *here, struct broker_item *item)
{
    struct broker_alarm_news *n = (struct broker_alarm_news *)item;
    n->away = false;
    if (n->alarms != here->alarms_own)
        news_send(here, n->to->index);
}

static void alarms_apply(struct broker *b, unsigned from, uint8_t alarms)
{
    uint32_t before = b->alarms, all = 0;
    b->alarms_of[from] = alarms;
    for (unsigned i = 0; i < b->workers; i++)
        all |= b->alarms_of[i];
    b->alarms = all;
    b->counters[QUEUE_COUNTER_BLOCKED] += all && !before;
    b->counters[QUEUE_COUNTER_BLOCKED_NOW] = all != 0;
    if (all != before)
        amqp_server_alarms_changed(b);
}

static void news_arrived(struct broker *here, struct broker_item *item)
{
    struct broker_alarm_news *n = (struct broker_alarm_news *)item;
    alarms_apply(here, n->from->index, n->alarms);
    item->run = news_returned;
    broker_send(here, n->from->index, item);
}

static void news_send(struct broker *b, unsigned to)
{
    struct broker_alarm_news *n = &b->news[to];
    if (n->away)
        return; /* told when it is back */
    *n = (struct broker_alarm_news){.item = {.run = news_arrived},
                                    .from = b,
                                    .to = b->shared->instance[to],
                                    .alarms = (uint8_t)b->alarms_own,
                                    .away = true};
    broker_send(b, to, &n->item);
}

void broker_alarm_set(struct broker *b, enum broker_alarm alarm, bool on)
{
    uint32_t own = on ? b->alarms_own | alarm : b->alarms_own & ~(uint32_t)alarm;
    if (own == b->alarms_own)
        return;
    b->alarms_own = own;
    for (unsigned i = 0; i < b->workers; i++)
        news_send(b, i);
}

/* Two marks, so that one message more or less does not block and unblock every connection. */
void broker_memory_look(struct broker *b)
{
    if (b->memory.used > b->memory.limit / 4 * 3)
        broker_alarm_set(b, BROKER_ALARM_MEMORY, true);
    else if (b->memory.used < b->memory.limit / 8 * 5)
        broker_alarm_set(b, BROKER_ALARM_MEMORY, false);
}

const char *broker_alarm_text(uint32_t alarms)
{
    static const struct {
        uint32_t alarm;
        const char *text;
    } texts[] = {{BROKER_ALARM_MEMORY, "low on memory"},
                 {BROKER_ALARM_DISK, "low on disk"},
                 {BROKER_ALARM_LOG, "the log cannot be written"}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (alarms & texts[i].alarm)
            return texts[i].text;
    return NULL;
}

bool broker_alarms_start(struct broker *b)
{
    b->news = memory_alloc(&b->memory, b->workers * sizeof *b->news);
    for (unsigned i = 0; b->news && i < b->workers; i++)
        b->news[i] = (struct broker_alarm_news){.away = false};
    return b->news != NULL;
}

void broker_alarms_release(struct broker *b)
{
    if (b->news)
        memory_free(&b->memory, b->news, b->workers * sizeof *b->news);
    b->news = NULL;
}
