/* Lines about what peers do are counted first and written once a second, so that no peer fills the log or holds up a turn. */
#include "queue/notice.h"

#include <inttypes.h>
#include <millrace/log.h>

static void logins(struct broker *b)
{
    struct broker_notice *n = &b->notice;
    char peer[MR_ENDPOINT_TEXT_MAX];
    uint64_t all = b->counters[QUEUE_COUNTER_LOGINS_REFUSED], refused = all - n->logins_refused;
    n->logins_refused = all;
    if (refused)
        mr_log(MR_LOG_WARNING, "queue", "logins refused: %" PRIu64 ", the last of user '%.*s' from %s", refused,
               n->user_length, n->user, mr_endpoint_text(&n->peer, peer));
}

/* The log's failures and a disk that is low have lines of their own when they begin: log/engine.c, disk.c. */
static void alarms(struct broker *b)
{
    uint32_t now = b->alarms & (BROKER_ALARM_MEMORY | BROKER_ALARM_DISK), before = b->notice.alarms;
    b->notice.alarms = now;
    if (now & ~before & BROKER_ALARM_MEMORY)
        mr_log(MR_LOG_WARNING, "queue", "low on memory: publishers are held up until consumers have made room");
    if (before && !now)
        mr_log(MR_LOG_INFO, "queue", "there is memory and disk again: publishers go on");
}

void broker_notice_second(struct broker *b)
{
    logins(b);
    if (b->index == 0)
        alarms(b);
}
