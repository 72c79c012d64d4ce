/* Durable queues: what a confirm promises, what a restart brings back, what the log may keep of the disk and the messages of memory. */
#include "tests/support/durable_folder.h"

#include "tests/support/cmocka.h"

static void expect_body(struct world *x, const struct catalog_queue *q, const char *text, bool redelivered)
{
    assert_int_equal(world_get(x, q, true), QUEUE_DONE);
    assert_string_equal((char *)world_gotten.body, text);
    assert_int_equal(world_gotten.redelivered, redelivered);
}

static void confirm_waits_until_the_disk_has_it(void **state)
{
    struct world x;
    (void)state;
    world_init(&x, inner);
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    fake_offload_hold(x.w, true);
    world_put_text(&x, q, "one");
    world_turns(&x, 10);
    assert_int_equal(x.done, 0);
    fake_offload_hold(x.w, false);
    world_settle(&x);
    assert_int_equal(x.taken, 1);
    queue_set_check(&x.b);
    world_stop(&x, true);
}

static void transient_and_memory_messages_are_confirmed_at_once_and_not_logged(void **state)
{
    struct world x;
    (void)state;
    world_init(&x, inner);
    struct catalog_queue *q = world_declare(&x, 7, "q"), *memory = world_declare(&x, 8, "m");
    memory->arguments.durability = QUEUE_MEMORY;
    world_start(&x);
    fake_offload_hold(x.w, true);
    assert_true(
        world_put(&x, q, &(struct world_letter){.body = "t", .body_bytes = 1, .transient = true}, 0, NULL, NULL));
    world_put_text(&x, memory, "m");
    world_turns(&x, 3);
    assert_int_equal(x.taken, 2);
    fake_offload_hold(x.w, false);
    world_settle(&x);
    world_stop(&x, true);

    struct world y;
    world_init(&y, inner);
    y.catalog = x.catalog;
    world_start(&y);
    assert_int_equal(world_get(&y, &y.catalog.queues[0], true), QUEUE_EMPTY);
    assert_int_equal(world_get(&y, &y.catalog.queues[1], true), QUEUE_EMPTY);
    world_stop(&y, true);
}

static void restart_brings_back_what_was_not_acknowledged_in_order(void **state)
{
    struct world x, y;
    (void)state;
    world_init(&x, inner);
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    struct world_letter l = {.exchange = "ex", .key = "the.key", .body = "zero", .body_bytes = 4};
    l.properties.flags = AMQP_MESSAGE_ID;
    l.properties.message_id = TEXT("id 0");
    assert_true(world_put(&x, q, &l, 0, NULL, NULL));
    for (unsigned i = 1; i < 5; i++)
        world_put_text(&x, q, (char[]){(char)('0' + i), 0});
    world_settle(&x);
    assert_int_equal(world_get(&x, q, false), QUEUE_DONE); /* stays unacknowledged */
    assert_int_equal(world_get(&x, q, false), QUEUE_DONE);
    world_settle_entry(&x, q, world_gotten.entry, SETTLE_ACK);
    assert_int_equal(world_get(&x, q, false), QUEUE_DONE);
    world_settle_entry(&x, q, world_gotten.entry, SETTLE_REJECT); /* no dead-letter exchange: gone */
    world_settle(&x);
    world_pass(&x, 2 * MR_SECOND); /* the log is told of the delivery */
    world_stop(&x, false);

    world_init(&y, inner);
    y.catalog = x.catalog;
    q = &y.catalog.queues[0];
    world_start(&y);
    assert_int_equal(world_queue(&y, q)->ready, 3);
    queue_set_check(&y.b);
    expect_body(&y, q, "zero", true);
    assert_string_equal(world_gotten.exchange, "ex");
    assert_string_equal(world_gotten.key, "the.key");
    struct amqp_properties p;
    assert_int_equal(
        amqp_properties_parse((struct mr_span){world_gotten.properties, world_gotten.properties_length}, &p), 0);
    assert_memory_equal(p.message_id.data, "id 0", 4);
    expect_body(&y, q, "3", false);
    expect_body(&y, q, "4", false);
    assert_int_equal(world_get(&y, q, true), QUEUE_EMPTY);
    world_put_text(&y, q, "new"); /* its id is no old one's */
    world_settle(&y);
    expect_body(&y, q, "new", false);
    world_settle(&y);
    queue_set_check(&y.b);
    world_stop(&y, true);
}

static void delivery_is_told_at_a_stop_even_within_the_second(void **state)
{
    struct world x, y;
    (void)state;
    world_init(&x, inner);
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    world_put_text(&x, q, "a");
    world_settle(&x);
    assert_int_equal(world_get(&x, q, false), QUEUE_DONE);
    world_stop(&x, true);
    world_init(&y, inner);
    y.catalog = x.catalog;
    world_start(&y);
    expect_body(&y, &y.catalog.queues[0], "a", true);
    world_settle(&y);
    world_stop(&y, true);
}

static void times_go_on_while_the_process_does_not_run(void **state)
{
    struct world x, y;
    (void)state;
    world_init(&x, inner);
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    struct world_letter l = {.body = "delayed", .body_bytes = 7, .delay_ms = 3000};
    assert_true(world_put(&x, q, &l, 0, NULL, NULL));
    struct world_letter short_lived = {.body = "short", .body_bytes = 5};
    short_lived.properties.flags = AMQP_EXPIRATION;
    short_lived.properties.expiration = TEXT("1000");
    assert_true(world_put(&x, q, &short_lived, 0, NULL, NULL));
    struct world_letter both = {.body = "both", .body_bytes = 4, .delay_ms = 3500};
    both.properties = short_lived.properties;
    assert_true(world_put(&x, q, &both, 0, NULL, NULL));
    world_settle(&x);
    world_stop(&x, true);

    world_init(&y, inner);
    y.catalog = x.catalog;
    q = &y.catalog.queues[0];
    world_start(&y); /* its clock begins where the other one's began */
    assert_int_equal(world_queue(&y, q)->delayed, 2);
    world_pass(&y, 2 * MR_SECOND);
    assert_int_equal(world_get(&y, q, true), QUEUE_EMPTY); /* the short one is over */
    world_pass(&y, 1200 * MR_MILLISECOND);
    expect_body(&y, q, "delayed", false);
    world_pass(&y, 2 * MR_SECOND);
    assert_int_equal(world_get(&y, q, true), QUEUE_EMPTY); /* 1 s after it was due, the other one ended */
    world_settle(&y);
    queue_set_check(&y.b);
    world_stop(&y, true);
}

static void priorities_come_back_as_they_were(void **state)
{
    struct world x, y;
    (void)state;
    world_init(&x, inner);
    struct catalog_queue *q = world_declare(&x, 7, "q");
    q->arguments.priority_max = 5;
    world_start(&x);
    for (unsigned i = 0; i < 6; i++) {
        char body[2] = {(char)('0' + i), 0};
        struct world_letter l = {.body = body, .body_bytes = 1};
        l.properties.flags = AMQP_PRIORITY;
        l.properties.priority = (uint8_t)(i % 3);
        assert_true(world_put(&x, q, &l, 0, NULL, NULL));
    }
    world_settle(&x);
    world_stop(&x, true);
    world_init(&y, inner);
    y.catalog = x.catalog;
    world_start(&y);
    for (const char *expected = "251403"; *expected; expected++)
        expect_body(&y, &y.catalog.queues[0], (char[]){*expected, 0}, false);
    world_settle(&y);
    world_stop(&y, true);
}

static void entry_that_nobody_acknowledges_does_not_pin_the_disk(void **state)
{
    struct world x, y;
    static char body[500];
    (void)state;
    memset(body, 'b', sizeof body);
    world_init(&x, inner);
    x.segment_bytes = 4096;
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    world_put_text(&x, q, "the old one");
    world_settle(&x);
    assert_int_equal(world_get(&x, q, false), QUEUE_DONE);
    uint64_t most = 0;
    for (unsigned i = 0; i < 400; i++) {
        struct world_letter l = {.body = body, .body_bytes = sizeof body};
        assert_true(world_put(&x, q, &l, 0, NULL, NULL));
        world_settle(&x);
        assert_int_equal(world_get(&x, q, true), QUEUE_DONE);
        if (durable_log_bytes(world_queue(&x, q)) > most)
            most = durable_log_bytes(world_queue(&x, q));
    }
    world_settle(&x);
    assert_true(most <= 6 * 4096); /* 200 KB went through */
    world_pass(&x, 2 * MR_SECOND);
    world_stop(&x, false);
    world_init(&y, inner);
    y.catalog = x.catalog;
    y.segment_bytes = 4096;
    world_start(&y);
    assert_int_equal(world_queue(&y, &y.catalog.queues[0])->ready, 1);
    expect_body(&y, &y.catalog.queues[0], "the old one", true);
    world_settle(&y);
    world_stop(&y, true);
}

static void consumed_log_is_trimmed_to_a_segment(void **state)
{
    struct world x;
    static char body[1000];
    (void)state;
    world_init(&x, inner);
    x.segment_bytes = 4096;
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    for (unsigned i = 0; i < 100; i++)
        assert_true(world_put(&x, q, &(struct world_letter){.body = body, .body_bytes = sizeof body}, 0, NULL, NULL));
    world_settle(&x);
    assert_true(durable_log_bytes(world_queue(&x, q)) > 100000);
    struct queue_request *r = world_request(&x, q, QUEUE_PURGE, 0);
    queue_request_send(r);
    world_settle(&x);
    assert_int_equal(world_queue(&x, q)->ready, 0);
    assert_true(durable_log_bytes(world_queue(&x, q)) <= 2 * 4096);
    queue_set_check(&x.b);
    world_stop(&x, true);
}

#define MANY 300u

static void fill(uint8_t *body, unsigned i)
{
    for (unsigned k = 0; k < 8000; k++)
        body[k] = (uint8_t)(i * 31 + k);
}

static void bodies_leave_memory_and_come_back_in_order(void **state)
{
    struct world x;
    static uint8_t body[8000];
    (void)state;
    world_init(&x, inner);
    x.memory_limit = 2 << 20; /* for 2.4 MB of bodies */
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    for (unsigned i = 0; i < MANY; i++) {
        fill(body, i);
        assert_true(world_put(&x, q, &(struct world_letter){.body = body, .body_bytes = sizeof body}, 0, NULL, NULL));
        world_settle(&x);
    }
    assert_int_equal(x.taken, MANY);
    assert_true(x.counters[QUEUE_COUNTER_PAGED_OUT] > 50);
    assert_int_equal(x.b.alarms, 0);
    assert_true(x.b.memory.used < x.memory_limit / 4 * 3);
    queue_set_check(&x.b);
    for (unsigned i = 0; i < MANY; i++) {
        fill(body, i);
        assert_int_equal(world_get(&x, q, true), QUEUE_DONE);
        assert_int_equal(world_gotten.body_length, sizeof body);
        assert_memory_equal(world_gotten.body, body, sizeof body);
    }
    assert_true(x.counters[QUEUE_COUNTER_PAGED_IN] > 50);
    world_settle(&x);
    queue_set_check(&x.b);
    world_stop(&x, true);
}

static void delayed_bodies_leave_memory_too(void **state)
{
    struct world x;
    static uint8_t body[8000];
    (void)state;
    world_init(&x, inner);
    x.memory_limit = 2 << 20;
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    for (unsigned i = 0; i < MANY; i++) {
        fill(body, i);
        struct world_letter l = {.body = body, .body_bytes = sizeof body, .delay_ms = 5000};
        assert_true(world_put(&x, q, &l, 0, NULL, NULL));
        world_settle(&x);
    }
    assert_int_equal(x.taken, MANY);
    assert_int_equal(world_get(&x, q, true), QUEUE_EMPTY);
    world_pass(&x, 6 * MR_SECOND);
    for (unsigned i = 0; i < MANY; i++) {
        fill(body, i);
        assert_int_equal(world_get(&x, q, true), QUEUE_DONE);
        assert_memory_equal(world_gotten.body, body, sizeof body);
    }
    world_settle(&x);
    queue_set_check(&x.b);
    world_stop(&x, true);
}

static void what_was_there_before_memory_was_short_leaves_it(void **state)
{
    struct world x;
    static uint8_t body[8000];
    (void)state;
    world_init(&x, inner);
    x.memory_limit = 4 << 20;
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    for (unsigned i = 0; i < 200; i++) {
        fill(body, i);
        assert_true(world_put(&x, q, &(struct world_letter){.body = body, .body_bytes = sizeof body}, 0, NULL, NULL));
        world_settle(&x);
    }
    assert_int_equal(x.counters[QUEUE_COUNTER_PAGED_OUT], 0);
    void *others[20]; /* of somebody else: above half with what is there */
    for (unsigned i = 0; i < 20; i++)
        assert_non_null(others[i] = memory_alloc(&x.b.memory, 60000));
    assert_true(durable_memory_short(&x.b));
    world_pass(&x, 2 * MR_SECOND);
    assert_true(x.counters[QUEUE_COUNTER_PAGED_OUT] > 10);
    assert_false(durable_memory_short(&x.b));
    for (unsigned i = 0; i < 20; i++)
        memory_free(&x.b.memory, others[i], 60000);
    for (unsigned i = 0; i < 200; i++) {
        fill(body, i);
        assert_int_equal(world_get(&x, q, true), QUEUE_DONE);
        assert_memory_equal(world_gotten.body, body, sizeof body);
    }
    world_settle(&x);
    queue_set_check(&x.b);
    world_stop(&x, true);
}

static void message_that_cannot_be_read_now_is_waited_for(void **state)
{
    struct world x, y;
    (void)state;
    world_init(&x, inner);
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    world_put_text(&x, q, "one");
    world_settle(&x);
    world_stop(&x, true);
    world_init(&y, inner);
    y.catalog = x.catalog;
    q = &y.catalog.queues[0];
    world_start(&y);
    world_settle(&y);
    world_disk.read_error = EIO;
    struct queue_request *r = world_request(&y, q, QUEUE_GET, 0);
    r->no_ack = true;
    r->done = world_got_done;
    r->context = &world_gotten;
    world_gotten.answered = false;
    queue_request_send(r);
    world_pass(&y, 3 * MR_SECOND);
    assert_false(world_gotten.answered);
    assert_int_equal(durable_error(world_queue(&y, q)), EIO);
    world_disk.read_error = 0;
    world_pass(&y, 2 * MR_SECOND);
    assert_true(world_gotten.answered);
    assert_int_equal(world_gotten.result, QUEUE_DONE);
    assert_string_equal((char *)world_gotten.body, "one");
    assert_int_equal(durable_error(world_queue(&y, q)), 0);
    world_settle(&y);
    queue_set_check(&y.b);
    world_stop(&y, true);
}

static void log_that_cannot_be_written_holds_confirms_and_raises_the_alarm(void **state)
{
    struct world x;
    (void)state;
    world_init(&x, inner);
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    world_settle(&x);
    world_disk.write_error = ENOSPC;
    world_put_text(&x, q, "one");
    world_turns(&x, 20);
    assert_int_equal(x.done, 0);
    assert_int_equal(durable_error(world_queue(&x, q)), ENOSPC);
    assert_int_equal(x.b.alarms, BROKER_ALARM_LOG);
    assert_string_equal(broker_alarm_text(x.b.alarms), "the log cannot be written");
    world_disk.write_error = 0;
    world_disk.sync_error = EIO;
    world_pass(&x, MR_SECOND);
    assert_int_equal(x.done, 0);
    world_disk.sync_error = 0;
    world_pass(&x, MR_SECOND);
    assert_int_equal(x.taken, 1);
    assert_int_equal(x.b.alarms, 0);
    assert_int_equal(durable_error(world_queue(&x, q)), 0);
    world_settle(&x);
    world_stop(&x, true);
}

static void log_of_a_queue_that_is_no_more_is_deleted_at_start(void **state)
{
    struct world x, y;
    char path[160];
    struct stat s;
    (void)state;
    world_init(&x, inner);
    world_declare(&x, 7, "q");
    world_declare(&x, 0xabc, "r");
    world_start(&x);
    world_put_text(&x, &x.catalog.queues[1], "one");
    world_settle(&x);
    world_stop(&x, true);
    snprintf(path, sizeof path, "%s/q-0000000000000abc", inner);
    assert_int_equal(stat(path, &s), 0);
    world_init(&y, inner);
    world_declare(&y, 7, "q");
    world_start(&y);
    world_settle(&y);
    assert_int_not_equal(stat(path, &s), 0);
    world_stop(&y, true);
}

static void damaged_log_lets_its_queue_take_nothing(void **state)
{
    struct world x, y;
    char command[300];
    (void)state;
    world_init(&x, inner);
    x.segment_bytes = 4096;
    struct catalog_queue *q = world_declare(&x, 7, "q");
    world_start(&x);
    static char body[3000];
    for (unsigned i = 0; i < 5; i++)
        assert_true(world_put(&x, q, &(struct world_letter){.body = body, .body_bytes = sizeof body}, 0, NULL, NULL));
    world_settle(&x);
    world_stop(&x, true);
    snprintf(
        command, sizeof command,
        "cd '%s/q-0000000000000007' && f=$(ls | sort | head -1) && printf X | dd of=$f bs=1 seek=1000 conv=notrunc "
        "2>/dev/null",
        inner);
    assert_int_equal(system(command), 0);
    world_init(&y, inner);
    y.catalog = x.catalog;
    y.segment_bytes = 4096;
    q = &y.catalog.queues[0];
    world_start(&y);
    assert_int_equal(durable_error(world_queue(&y, q)), EBADMSG);
    world_put_text(&y, q, "new");
    world_settle(&y);
    assert_int_equal(y.failed, 1);
    world_stop(&y, true);
}

/* The log of a queue that found no memory at start is not begun anew when there is some: the others go on, and nothing in it is lost. */
static void log_of_a_queue_that_had_no_memory_at_start_is_left_alone(void **state)
{
    struct world x, y;
    (void)state;
    world_init(&x, inner);
    world_declare(&x, 7, "q");
    world_declare(&x, 8, "r");
    world_start(&x);
    world_put_text(&x, &x.catalog.queues[1], "one");
    world_settle(&x);
    world_stop(&x, true);

    world_init(&y, inner);
    y.catalog = x.catalog;
    y.left_out = 1;
    world_start(&y);
    queue_added(&y.b, &y.catalog.queues[1]);
    world_put_text(&y, &y.catalog.queues[0], "two");
    world_put_text(&y, &y.catalog.queues[1], "three");
    world_settle(&y);
    assert_int_equal(qlog_engine_error(y.b.engine), 0);
    assert_int_equal(y.taken, 1);
    assert_int_equal(y.failed, 1);
    world_stop(&y, true);
}

static unsigned shown;
static char shown_bodies[64];
static void show(void *context, uint64_t entry, const struct message *m)
{
    (void)context;
    if (m && m->body)
        strncat(shown_bodies, (const char *)m->body->bytes, m->body->length);
    shown += entry == 0;
}

static uint64_t moved;
static enum queue_result moved_result;
static void move_done(void *context, uint64_t n, enum queue_result result)
{
    (void)context;
    moved = n;
    moved_result = result;
}

static void peek_and_move_take_messages_that_only_the_log_has(void **state)
{
    struct world x, y;
    (void)state;
    world_init(&x, inner);
    world_declare(&x, 7, "q");
    world_declare(&x, 8, "r");
    world_start(&x);
    for (unsigned i = 0; i < 5; i++)
        world_put_text(&x, &x.catalog.queues[0], (char[]){(char)('a' + i), 0});
    world_settle(&x);
    world_stop(&x, true);

    world_init(&y, inner);
    y.catalog = x.catalog;
    world_start(&y);
    shown = 0;
    shown_bodies[0] = 0;
    queue_peek(&y.b, 7, 3, show, NULL);
    assert_int_equal(shown, 0);
    world_settle(&y);
    assert_int_equal(shown, 1);
    assert_string_equal(shown_bodies, "abc");
    assert_int_equal(world_queue(&y, &y.catalog.queues[0])->ready, 5);
    moved = 99;
    queue_move(&y.b, 7, &y.catalog.queues[1], 3, move_done, NULL);
    world_settle(&y);
    assert_int_equal(moved, 3);
    assert_int_equal(moved_result, QUEUE_DONE);
    queue_set_check(&y.b);
    world_stop(&y, true);

    struct world z;
    world_init(&z, inner);
    z.catalog = x.catalog;
    world_start(&z);
    expect_body(&z, &z.catalog.queues[0], "d", false);
    expect_body(&z, &z.catalog.queues[0], "e", false);
    expect_body(&z, &z.catalog.queues[1], "a", false);
    expect_body(&z, &z.catalog.queues[1], "b", false);
    expect_body(&z, &z.catalog.queues[1], "c", false);
    world_settle(&z);
    world_stop(&z, true);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(confirm_waits_until_the_disk_has_it),
        TEST(transient_and_memory_messages_are_confirmed_at_once_and_not_logged),
        TEST(restart_brings_back_what_was_not_acknowledged_in_order),
        TEST(delivery_is_told_at_a_stop_even_within_the_second),
        TEST(times_go_on_while_the_process_does_not_run),
        TEST(priorities_come_back_as_they_were),
        TEST(entry_that_nobody_acknowledges_does_not_pin_the_disk),
        TEST(consumed_log_is_trimmed_to_a_segment),
        TEST(bodies_leave_memory_and_come_back_in_order),
        TEST(delayed_bodies_leave_memory_too),
        TEST(what_was_there_before_memory_was_short_leaves_it),
        TEST(message_that_cannot_be_read_now_is_waited_for),
        TEST(log_that_cannot_be_written_holds_confirms_and_raises_the_alarm),
        TEST(log_of_a_queue_that_is_no_more_is_deleted_at_start),
        TEST(damaged_log_lets_its_queue_take_nothing),
        TEST(log_of_a_queue_that_had_no_memory_at_start_is_left_alone),
        TEST(peek_and_move_take_messages_that_only_the_log_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
