/* Items between workers: order, full mailboxes, the own worker; publications answered once; alarms told to all. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "queue/amqp/server.h"
#include "queue/core/queue.h"
#include "tests/support/fake_stream.h"

#define WORKERS 3u
#define QUEUES  1200u /* more than one allocation has puts */

static struct {
    struct mr_worker *w[WORKERS];
    struct broker b[WORKERS];
    struct broker_shared shared;
    uint64_t counters[WORKERS][QUEUE_COUNTERS];
    struct catalog_queue queues[QUEUES];
    const struct catalog_queue *routed[QUEUES];
    unsigned route_to;
    unsigned alarm_changes[WORKERS];
    uint64_t arrived[QUEUES];
} x;

/* -- what stands around ----------------------------------------------------------------------------------------------------------- */

void amqp_server_alarms_changed(struct broker *b)
{
    x.alarm_changes[b->index]++;
}

unsigned catalog_route(struct catalog *c, const struct catalog_exchange *exchange, const struct mr_span *keys,
                       unsigned key_count, struct mr_span headers, const struct catalog_queue *const **out)
{
    *out = x.routed;
    return x.route_to;
}

/* Queue 3 refuses, queue 4 fails. */
void queue_put_arrived(struct broker *here, struct broker_item *item)
{
    struct queue_put *put = (struct queue_put *)item;
    assert_ptr_equal(here, &x.b[x.queues[put->queue_id].owner]);
    x.arrived[put->queue_id]++;
    put->result = put->queue_id == 3 ? PUT_REJECTED : put->queue_id == 4 ? PUT_FAILED : PUT_TAKEN;
    put->item.run = broker_put_answered;
    broker_send(here, put->publication->home->index, item);
}

static int setup(void **state)
{
    memset(&x, 0, sizeof x);
    x.shared.workers = WORKERS;
    for (unsigned i = 0; i < WORKERS; i++)
        x.w[i] = fake_worker_create();
    fake_group(x.w, WORKERS);
    for (unsigned i = 0; i < WORKERS; i++) {
        x.b[i] = (struct broker){
            .worker = x.w[i], .counters = x.counters[i], .shared = &x.shared, .index = i, .workers = WORKERS};
        x.shared.instance[i] = &x.b[i];
        assert_true(memory_init(&x.b[i].memory, 16 << 20, 4 << 20));
        assert_true(broker_shard_start(&x.b[i]));
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        x.queues[i] = (struct catalog_queue){.id = i, .owner = i % WORKERS};
        x.routed[i] = &x.queues[i];
    }
    return 0;
}

static int teardown(void **state)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        broker_shard_release(&x.b[i]);
        assert_int_equal(x.b[i].memory.used, 0);
        memory_release(&x.b[i].memory);
        fake_worker_free(x.w[i]);
    }
    return 0;
}

static void turns(unsigned n)
{
    while (n--)
        for (unsigned i = 0; i < WORKERS; i++)
            fake_turn(x.w[i]);
}

/* -- items ------------------------------------------------------------------------------------------------------------------------- */

struct numbered {
    struct broker_item item;
    unsigned number;
};

static unsigned seen;
static void number_seen(struct broker *here, struct broker_item *item)
{
    assert_int_equal(((struct numbered *)item)->number, seen);
    seen++;
}

static void items_keep_their_order_when_a_mailbox_is_full(void **state)
{
    static struct numbered items[30];
    seen = 0;
    for (unsigned i = 0; i < 30; i++) {
        items[i] = (struct numbered){.item = {.run = number_seen}, .number = i};
        fake_post_error(x.w[0], i % 10 < 7 ? MR_ERROR_NO_MEMORY : MR_OK);
        broker_send(&x.b[0], 1, &items[i].item);
        if (i % 3 == 0)
            turns(1);
    }
    fake_post_error(x.w[0], MR_OK);
    turns(3);
    assert_int_equal(seen, 30);
}

static void item_for_the_own_worker_runs_when_the_turn_ends(void **state)
{
    struct numbered n = {.item = {.run = number_seen}};
    seen = 0;
    broker_send(&x.b[2], 2, &n.item);
    assert_int_equal(seen, 0);
    fake_turn(x.w[2]);
    assert_int_equal(seen, 1);
}

static void again(struct broker *here, struct broker_item *item)
{
    seen++;
    broker_send(here, here->index, item);
}

static void last(struct broker *here, struct broker_item *item)
{
    seen++;
}

static void item_that_sends_itself_for_ever_does_not_keep_the_turn(void **state)
{
    struct broker_item item = {.run = again};
    seen = 0;
    broker_send(&x.b[0], 0, &item);
    fake_turn(x.w[0]);
    unsigned once = seen;
    assert_in_range(once, 1, 100);
    fake_turn(x.w[0]);
    assert_true(seen > once);
    item.run = last;
    seen = 0;
    turns(3);
    assert_int_equal(seen, 1);
}

/* -- publications ------------------------------------------------------------------------------------------------------------------ */

static unsigned done_count;
static void done(struct publication *p)
{
    assert_int_equal(p->missing, 0);
    done_count++;
}

static struct message *message_new(struct broker *b)
{
    struct mr_span none = {NULL, 0};
    struct message *m = message_create(&b->memory, none, none, (struct mr_span){(const uint8_t *)"\0", 2}, 0);
    assert_non_null(m);
    message_seal(m, 1000);
    return m;
}

static int publish(struct publication *p, unsigned queues)
{
    static const struct catalog_exchange exchange;
    x.route_to = queues;
    *p = (struct publication){.home = &x.b[0], .message = message_new(&x.b[0]), .done = done};
    return broker_publish(&x.b[0], 0, &exchange, NULL, 0, p);
}

static void publication_is_answered_once_after_all_of_its_queues(void **state)
{
    struct publication p;
    done_count = 0;
    assert_int_equal(publish(&p, QUEUES), QUEUES);
    fake_turn(x.w[0]);
    assert_int_equal(done_count, 0); /* other workers have not turned */
    turns(4);
    assert_int_equal(done_count, 1);
    assert_int_equal(p.targets, QUEUES);
    assert_int_equal(p.rejected, 1);
    assert_int_equal(p.failed, 1);
    assert_null(p.message);
    for (unsigned i = 0; i < QUEUES; i++)
        assert_int_equal(x.arrived[i], 1);
}

static void unrouted_publication_stays_the_callers(void **state)
{
    struct publication p;
    done_count = 0;
    assert_int_equal(publish(&p, 0), 0);
    turns(3);
    assert_int_equal(done_count, 0);
    message_drop(p.message);
}

static void publication_without_memory_sends_nothing(void **state)
{
    struct publication p;
    x.b[0].memory.limit = x.b[0].memory.used + 8192;
    assert_int_equal(publish(&p, QUEUES), -1);
    turns(3);
    for (unsigned i = 0; i < QUEUES; i++)
        assert_int_equal(x.arrived[i], 0);
    message_drop(p.message);
}

static void publication_that_nobody_waits_for_is_copied(void **state)
{
    struct publication p = {.home = &x.b[1], .message = message_new(&x.b[1])};
    assert_int_equal(broker_publish_to(&x.b[1], &x.queues[5], &p), 1);
    memset(&p, 0xff, sizeof p);
    turns(4);
    assert_int_equal(x.arrived[5], 1); /* and teardown finds no byte left */
}

/* -- alarms ------------------------------------------------------------------------------------------------------------------------- */

static void alarm_of_one_worker_is_everybodys_until_all_are_over(void **state)
{
    broker_alarm_set(&x.b[0], BROKER_ALARM_DISK, true);
    broker_alarm_set(&x.b[2], BROKER_ALARM_MEMORY, true);
    turns(4);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(x.b[i].alarms, BROKER_ALARM_DISK | BROKER_ALARM_MEMORY);
    assert_string_equal(broker_alarm_text(x.b[1].alarms), "low on memory");
    broker_alarm_set(&x.b[2], BROKER_ALARM_MEMORY, false);
    turns(4);
    assert_string_equal(broker_alarm_text(x.b[1].alarms), "low on disk");
    broker_alarm_set(&x.b[0], BROKER_ALARM_DISK, false);
    turns(4);
    for (unsigned i = 0; i < WORKERS; i++) {
        assert_int_equal(x.b[i].alarms, 0);
        assert_int_equal(x.counters[i][QUEUE_COUNTER_BLOCKED], 1);
        assert_true(x.alarm_changes[i] >= 2);
    }
    assert_null(broker_alarm_text(0));
}

static void alarm_that_changes_while_its_news_travel_arrives_as_it_is_last(void **state)
{
    fake_post_hold(x.w[0], true);
    broker_alarm_set(&x.b[0], BROKER_ALARM_LOG, true);
    turns(2);
    broker_alarm_set(&x.b[0], BROKER_ALARM_LOG, false);
    broker_alarm_set(&x.b[0], BROKER_ALARM_DISK, true);
    fake_post_hold(x.w[0], false);
    turns(6);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_int_equal(x.b[i].alarms, BROKER_ALARM_DISK);
}

static void memory_alarm_has_two_marks(void **state)
{
    struct memory *m = &x.b[1].memory;
    m->limit = 16 * (m->used + 1000);
    uint64_t before = m->used;
    m->used = m->limit / 16 * 13;
    broker_memory_look(&x.b[1]);
    turns(4);
    assert_int_equal(x.b[0].alarms, BROKER_ALARM_MEMORY);
    m->used = m->limit / 16 * 11; /* between the marks */
    broker_memory_look(&x.b[1]);
    turns(4);
    assert_int_equal(x.b[0].alarms, BROKER_ALARM_MEMORY);
    m->used = before;
    broker_memory_look(&x.b[1]);
    turns(4);
    assert_int_equal(x.b[0].alarms, 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(items_keep_their_order_when_a_mailbox_is_full),
        TEST(item_for_the_own_worker_runs_when_the_turn_ends),
        TEST(item_that_sends_itself_for_ever_does_not_keep_the_turn),
        TEST(publication_is_answered_once_after_all_of_its_queues),
        TEST(unrouted_publication_stays_the_callers),
        TEST(publication_without_memory_sends_nothing),
        TEST(publication_that_nobody_waits_for_is_copied),
        TEST(alarm_of_one_worker_is_everybodys_until_all_are_over),
        TEST(alarm_that_changes_while_its_news_travel_arrives_as_it_is_last),
        TEST(memory_alarm_has_two_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
