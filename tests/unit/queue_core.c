/* A queue on its owner, as sessions see it: who gets what, in which order, and what becomes of the rest. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "queue/core/queue_state.h"
#include "tests/support/queue_world.h"

static const struct queue_request no_ack = {.no_ack = true};

static int setup(void **state)
{
    struct queue_world *x = malloc(sizeof *x);
    assert_non_null(x);
    queue_world_init(x);
    queue_world_start(x, 2);
    queue_world_declare(x, "q", 1, false, NULL);
    *state = x;
    return 0;
}

/* Nothing is left of it: every byte of the queues was counted and given back. */
static int teardown(void **state)
{
    struct queue_world *x = *state;
    queue_world_settle(x);
    queue_world_check(x);
    queue_world_stop(x);
    queue_world_free(x);
    free(x);
    return 0;
}

static void publish(struct queue_world *x, const char *text)
{
    assert_true(queue_world_publish_text(x, 0, "q", text));
}

static void publish_numbers(struct queue_world *x, const char *name, unsigned n)
{
    char text[16];
    for (unsigned i = 0; i < n; i++) {
        snprintf(text, sizeof text, "%u", i);
        assert_true(queue_world_publish_text(x, 0, name, text));
    }
}

static void assert_got(const struct queue_world_consumer *c, unsigned n, const char *const *bodies)
{
    assert_int_equal(c->count, n);
    for (unsigned i = 0; i < n; i++)
        assert_string_equal(c->got[i].body, bodies[i]);
}
#define ASSERT_GOT(c, ...) \
    assert_got((c), sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *), (const char *[]){__VA_ARGS__})

static void assert_next(struct queue_world *x, const char *body)
{
    char text[24] = "nothing";
    bool redelivered;
    assert_true(queue_world_get(x, 0, "q", text, sizeof text, NULL, &redelivered) || !body);
    assert_string_equal(text, body ? body : "nothing");
}

static struct queue_world_queue *redeclare(struct queue_world *x, const struct queue_arguments *a)
{
    queue_world_ask(x, 0, "q", &(struct queue_request){.verb = QUEUE_DELETE}, NULL, 0);
    queue_world_declare(x, "q", 1, false, a);
    return queue_world_find(x, "q");
}

static void assert_counts(struct queue_world *x, uint64_t ready, uint64_t unacknowledged, uint64_t delayed)
{
    struct queue_status s = queue_world_status(x, "q");
    assert_int_equal(s.ready, ready);
    assert_int_equal(s.unacknowledged, unacknowledged);
    assert_int_equal(s.delayed, delayed);
}

/* -- order ------------------------------------------------------------------------------------------------------------------------- */

static void messages_are_got_in_the_order_they_came(void **state)
{
    struct queue_world *x = *state;
    publish(x, "one");
    publish(x, "two");
    queue_world_settle(x);
    assert_int_equal(x->confirmed, 2);
    assert_next(x, "one");
    assert_next(x, "two");
    assert_next(x, NULL);
}

static void a_requeued_message_is_at_its_place_again(void **state)
{
    struct queue_world *x = *state;
    uint64_t entry;
    char text[24];
    bool redelivered;
    publish_numbers(x, "q", 200);
    for (unsigned i = 0; i < 100; i++)
        assert_true(queue_world_get(x, 0, "q", text, sizeof text, &entry, &redelivered));
    assert_string_equal(text, "99");
    assert_false(redelivered);
    assert_int_equal(queue_world_settle_entry(x, 0, "q", entry, SETTLE_REQUEUE), QUEUE_DONE);
    assert_int_equal(queue_world_settle_entry(x, 0, "q", 7, SETTLE_REQUEUE), QUEUE_DONE);
    assert_counts(x, 102, 98, 0);
    assert_true(queue_world_get(x, 0, "q", text, sizeof text, NULL, &redelivered));
    assert_string_equal(text, "6");
    assert_true(redelivered);
    assert_next(x, "99");
    assert_next(x, "100");
}

static void higher_priorities_come_first_and_the_largest_is_the_limit(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments a = queue_world_arguments();
    a.priority_max = 200;
    redeclare(x, &a);
    static const struct {
        const char *body;
        uint8_t priority;
    } sent[] = {{"low", 0}, {"high", 199}, {"middle", 63}, {"above", 64}, {"highest", 255}, {"low too", 0}};
    for (unsigned i = 0; i < 6; i++)
        queue_world_publish(x, 0, "q",
                            &(struct queue_world_message){.body = sent[i].body, .priority = sent[i].priority}, NULL);
    static const char *const order[] = {"highest", "high", "above", "middle", "low", "low too", NULL};
    for (unsigned i = 0; i < 7; i++)
        assert_next(x, order[i]);
}

static void entries_far_apart_keep_one_leaf_each(void **state)
{
    struct queue_world *x = *state;
    char text[24];
    uint64_t kept[3];
    for (unsigned part = 0; part < 3; part++) {
        publish(x, "kept");
        assert_true(queue_world_get(x, 0, "q", text, sizeof text, &kept[part], NULL));
        for (unsigned i = 0; i < 5000; i++) {
            publish(x, "passes");
            assert_next(x, "passes");
        }
    }
    assert_counts(x, 0, 3, 0);
    assert_true(queue_world_status(x, "q").memory_bytes < 20000);
    queue_world_settle_entry(x, 0, "q", kept[2], SETTLE_REQUEUE);
    queue_world_settle_entry(x, 0, "q", kept[0], SETTLE_REQUEUE);
    assert_true(queue_world_get(x, 0, "q", text, sizeof text, &kept[1], NULL));
    assert_int_equal(kept[1], kept[0]);
}

/* -- consumers ----------------------------------------------------------------------------------------------------------------------- */

static void consumers_take_turns(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer a = {0}, b = {0};
    assert_int_equal(queue_world_consume(x, &a, 0, "q", NULL), QUEUE_DONE);
    assert_int_equal(queue_world_consume(x, &b, 1, "q", NULL), QUEUE_DONE);
    publish_numbers(x, "q", 6);
    queue_world_settle(x);
    ASSERT_GOT(&a, "0", "2", "4");
    ASSERT_GOT(&b, "1", "3", "5");
    queue_world_consumer_free(&a);
    queue_world_consumer_free(&b);
}

static void prefetch_bounds_what_is_unacknowledged(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {0};
    queue_world_consume(x, &c, 0, "q", &(struct queue_request){.prefetch = 2});
    publish_numbers(x, "q", 5);
    queue_world_settle(x);
    ASSERT_GOT(&c, "0", "1");
    queue_world_settle_entry(x, 0, "q", c.got[1].entry, SETTLE_ACK);
    queue_world_settle(x);
    ASSERT_GOT(&c, "0", "1", "2");
    struct queue_request more = {.verb = QUEUE_PREFETCH, .prefetch = 0, .subscriber = &c.subscriber};
    queue_world_ask(x, 0, "q", &more, NULL, 0);
    queue_world_settle(x);
    ASSERT_GOT(&c, "0", "1", "2", "3", "4");
    queue_world_consumer_free(&c);
}

static void a_consumer_of_higher_priority_is_served_while_it_can(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer low = {0}, high = {0};
    queue_world_consume(x, &low, 0, "q", &(struct queue_request){.priority = -1});
    queue_world_consume(x, &high, 1, "q", &(struct queue_request){.priority = 10, .prefetch = 2});
    publish_numbers(x, "q", 4);
    queue_world_settle(x);
    ASSERT_GOT(&high, "0", "1");
    ASSERT_GOT(&low, "2", "3");
    queue_world_consumer_free(&low);
    queue_world_consumer_free(&high);
}

static void no_more_than_the_transit_window_is_on_its_way(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {.hold = true};
    queue_world_consume(x, &c, 0, "q", &no_ack);
    publish_numbers(x, "q", QUEUE_TRANSIT_MAX + 50);
    queue_world_settle(x);
    assert_int_equal(c.count, QUEUE_TRANSIT_MAX);
    assert_int_equal(queue_world_return(&c, 10), 10);
    queue_world_settle(x);
    assert_int_equal(c.count, QUEUE_TRANSIT_MAX + 10);
    assert_counts(x, 40, QUEUE_TRANSIT_MAX, 0);
    c.hold = false;
    queue_world_return(&c, UINT32_MAX);
    queue_world_settle(x);
    assert_int_equal(c.count, QUEUE_TRANSIT_MAX + 50);
    assert_counts(x, 0, 0, 0);
    queue_world_consumer_free(&c);
}

static void transit_bytes_let_one_large_message_pass_at_a_time(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {.hold = true};
    char *body = calloc(1, QUEUE_TRANSIT_BYTES);
    queue_world_consume(x, &c, 0, "q", NULL);
    for (unsigned i = 0; i < 2; i++)
        queue_world_publish(x, 0, "q", &(struct queue_world_message){.body = body, .body_bytes = QUEUE_TRANSIT_BYTES},
                            NULL);
    queue_world_settle(x);
    assert_int_equal(c.count, 1);
    queue_world_return(&c, 1);
    queue_world_settle(x);
    assert_int_equal(c.count, 2);
    queue_world_return(&c, 1);
    queue_world_consumer_free(&c);
    free(body);
}

static void what_was_not_written_goes_back_as_if_never_delivered(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {.hold = true, .refuse = true};
    char text[24];
    uint64_t entry;
    bool redelivered = true;
    queue_world_consume(x, &c, 0, "q", &no_ack);
    publish(x, "one");
    queue_world_settle(x);
    assert_int_equal(queue_world_cancel(&c), QUEUE_DONE);
    queue_world_return(&c, 1);
    assert_true(queue_world_get(x, 0, "q", text, sizeof text, &entry, &redelivered));
    assert_false(redelivered);
    queue_world_consumer_free(&c);
}

static void after_a_cancel_nothing_comes_and_the_unacknowledged_stays(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {0};
    queue_world_consume(x, &c, 0, "q", NULL);
    publish(x, "one");
    queue_world_settle(x);
    assert_int_equal(queue_world_cancel(&c), QUEUE_DONE);
    publish(x, "two");
    queue_world_settle(x);
    ASSERT_GOT(&c, "one");
    assert_counts(x, 1, 1, 0);
    assert_int_equal(queue_world_settle_entry(x, 0, "q", c.got[0].entry, SETTLE_ACK), QUEUE_DONE);
    assert_counts(x, 1, 0, 0);
    queue_world_consumer_free(&c);
}

static void an_exclusive_consumer_is_alone(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer a = {0}, b = {0};
    struct queue_request exclusive = {.exclusive = true};
    assert_int_equal(queue_world_consume(x, &a, 0, "q", &exclusive), QUEUE_DONE);
    assert_int_equal(queue_world_consume(x, &b, 1, "q", NULL), QUEUE_ACCESS_REFUSED);
    queue_world_cancel(&a);
    assert_int_equal(queue_world_consume(x, &b, 1, "q", NULL), QUEUE_DONE);
    assert_int_equal(queue_world_consume(x, &a, 0, "q", &exclusive), QUEUE_ACCESS_REFUSED);
}

static void a_single_active_consumer_is_followed_by_the_next(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments arguments = queue_world_arguments();
    struct queue_world_consumer a = {0}, b = {0}, c = {0}, other = {0};
    arguments.single_active_consumer = true;
    redeclare(x, &arguments);
    assert_int_equal(queue_world_consume(x, &other, 0, "q", &(struct queue_request){.exclusive = true}),
                     QUEUE_ACCESS_REFUSED);
    queue_world_consume(x, &a, 0, "q", NULL);
    queue_world_consume(x, &b, 1, "q", NULL);
    queue_world_consume(x, &c, 1, "q", &(struct queue_request){.priority = 5});
    publish(x, "one");
    queue_world_settle(x);
    ASSERT_GOT(&a, "one");
    queue_world_cancel(&a);
    publish(x, "two");
    queue_world_settle(x);
    ASSERT_GOT(&c, "two");
    queue_world_cancel(&c);
    publish(x, "three");
    queue_world_settle(x);
    ASSERT_GOT(&b, "three");
    queue_world_consumer_free(&a);
    queue_world_consumer_free(&b);
    queue_world_consumer_free(&c);
}

/* What is ready goes to who takes over at once, though the first has not acknowledged. */
static void a_single_active_consumer_that_is_full_is_followed(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments arguments = queue_world_arguments();
    struct queue_world_consumer a = {0}, b = {0};
    arguments.single_active_consumer = true;
    redeclare(x, &arguments);
    queue_world_consume(x, &a, 0, "q", &(struct queue_request){.prefetch = 1});
    queue_world_consume(x, &b, 1, "q", NULL);
    publish_numbers(x, "q", 2);
    queue_world_settle(x);
    ASSERT_GOT(&a, "0");
    assert_int_equal(b.count, 0);
    queue_world_cancel(&a);
    queue_world_settle(x);
    ASSERT_GOT(&b, "1");
    queue_world_consumer_free(&a);
    queue_world_consumer_free(&b);
}

/* -- settling ------------------------------------------------------------------------------------------------------------------------- */

static void a_tag_that_is_not_delivered_is_reported_and_the_others_settled(void **state)
{
    struct queue_world *x = *state;
    char text[24];
    uint64_t entries[3];
    publish_numbers(x, "q", 3);
    queue_world_get(x, 0, "q", text, sizeof text, &entries[0], NULL);
    queue_world_get(x, 0, "q", text, sizeof text, &entries[2], NULL);
    entries[1] = entries[2] + 1; /* ready */
    struct queue_request r =
        queue_world_ask(x, 0, "q", &(struct queue_request){.verb = QUEUE_SETTLE, .settle = SETTLE_ACK}, entries, 3);
    assert_int_equal(r.result, QUEUE_UNKNOWN_TAG);
    assert_int_equal(r.count, 2);
    assert_counts(x, 1, 0, 0);
}

static void a_rejected_message_without_a_dead_letter_exchange_is_gone(void **state)
{
    struct queue_world *x = *state;
    char text[24];
    uint64_t entry;
    publish(x, "one");
    queue_world_get(x, 0, "q", text, sizeof text, &entry, NULL);
    assert_int_equal(queue_world_settle_entry(x, 0, "q", entry, SETTLE_REJECT), QUEUE_DONE);
    assert_counts(x, 0, 0, 0);
    assert_int_equal(x->b[1]->counters[QUEUE_COUNTER_REJECTED], 1);
}

static void a_message_returned_more_often_than_the_delivery_limit_is_gone(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments a = queue_world_arguments();
    char text[24];
    uint64_t entry;
    a.delivery_limit = 2;
    redeclare(x, &a);
    publish(x, "one");
    for (unsigned i = 0; i < 3; i++) {
        assert_true(queue_world_get(x, 0, "q", text, sizeof text, &entry, NULL));
        queue_world_settle_entry(x, 0, "q", entry, SETTLE_REQUEUE);
    }
    assert_counts(x, 0, 0, 0);
}

/* -- time ------------------------------------------------------------------------------------------------------------------------------- */

static void publish_timed(struct queue_world *x, const char *text, uint64_t ttl_ms, uint64_t delay_ms)
{
    struct queue_world_message m = {
        .body = text, .ttl_ms = ttl_ms, .has_ttl = ttl_ms != UINT64_MAX, .delay_ms = delay_ms};
    assert_true(queue_world_publish(x, 0, "q", &m, NULL));
    queue_world_settle(x);
}

static void a_message_expires_on_time_wherever_it_stands(void **state)
{
    struct queue_world *x = *state;
    publish_timed(x, "stays", UINT64_MAX, 0);
    publish_timed(x, "second", 200, 0);
    publish_timed(x, "first", 100, 0);
    queue_world_pass(x, 99);
    assert_counts(x, 3, 0, 0);
    queue_world_pass(x, 1);
    assert_counts(x, 2, 0, 0);
    queue_world_pass(x, 99);
    assert_counts(x, 2, 0, 0);
    queue_world_pass(x, 1);
    assert_counts(x, 1, 0, 0);
    assert_int_equal(x->b[1]->counters[QUEUE_COUNTER_EXPIRED], 2);
    assert_next(x, "stays");
}

static void of_two_times_to_live_the_lower_counts(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments a = queue_world_arguments();
    a.message_ttl_ms = 100;
    redeclare(x, &a);
    publish_timed(x, "own", 50, 0);
    publish_timed(x, "long", 500, 0);
    publish_timed(x, "none", UINT64_MAX, 0);
    queue_world_pass(x, 50);
    assert_counts(x, 2, 0, 0);
    queue_world_pass(x, 50);
    assert_counts(x, 0, 0, 0);
}

static void a_time_to_live_of_zero_needs_a_consumer_at_once(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {0};
    publish_timed(x, "lost", 0, 0);
    assert_counts(x, 0, 0, 0);
    queue_world_consume(x, &c, 0, "q", NULL);
    publish_timed(x, "taken", 0, 0);
    ASSERT_GOT(&c, "taken");
    for (unsigned i = 0; i < 200; i++) /* more than one share of a turn */
        queue_world_publish(x, 0, "q", &(struct queue_world_message){.body = "many", .has_ttl = true}, NULL);
    queue_world_settle(x);
    assert_int_equal(c.count, 201);
    queue_world_consumer_free(&c);
}

static void what_is_delivered_does_not_expire_until_it_is_back(void **state)
{
    struct queue_world *x = *state;
    char text[24];
    uint64_t entry;
    publish_timed(x, "one", 100, 0);
    queue_world_get(x, 0, "q", text, sizeof text, &entry, NULL);
    queue_world_pass(x, 200);
    assert_counts(x, 0, 1, 0);
    queue_world_settle_entry(x, 0, "q", entry, SETTLE_REQUEUE);
    queue_world_pass(x, 1);
    assert_counts(x, 0, 0, 0);
}

static void a_delayed_message_is_invisible_until_it_is_due_and_lives_from_there(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {0};
    publish_timed(x, "later", 50, 100);
    assert_counts(x, 0, 0, 1);
    assert_next(x, NULL);
    queue_world_pass(x, 100);
    assert_counts(x, 1, 0, 0);
    queue_world_pass(x, 50);
    assert_counts(x, 0, 0, 0);
    queue_world_consume(x, &c, 0, "q", NULL);
    publish_timed(x, "late", UINT64_MAX, 20);
    publish_timed(x, "soon", UINT64_MAX, 10);
    queue_world_pass(x, 10);
    ASSERT_GOT(&c, "soon");
    queue_world_pass(x, 10);
    ASSERT_GOT(&c, "soon", "late");
    queue_world_consumer_free(&c);
}

static void an_unused_queue_expires_and_use_renews_it(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments a = queue_world_arguments();
    struct queue_world_consumer c = {0};
    a.expires_ms = 1000;
    redeclare(x, &a);
    queue_world_pass(x, 900);
    assert_next(x, NULL); /* a get */
    queue_world_pass(x, 900);
    struct queue_request again = {.verb = QUEUE_STATUS, .connection = 7};
    queue_world_ask(x, 0, "q", &again, NULL, 0);
    queue_world_pass(x, 900);
    queue_world_consume(x, &c, 0, "q", NULL);
    queue_world_pass(x, 5000);
    queue_world_cancel(&c);
    queue_world_pass(x, 999);
    assert_non_null(queue_world_find(x, "q"));
    queue_world_pass(x, 1);
    queue_world_pass(x, 1);
    assert_null(queue_world_find(x, "q"));
}

/* -- length ------------------------------------------------------------------------------------------------------------------------------ */

static void beyond_its_length_a_queue_drops_its_head(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments a = queue_world_arguments();
    a.length_max = 3;
    redeclare(x, &a);
    publish_numbers(x, "q", 5);
    queue_world_settle(x);
    assert_int_equal(x->confirmed, 5);
    assert_counts(x, 3, 0, 0);
    assert_next(x, "2");
    assert_int_equal(x->b[1]->counters[QUEUE_COUNTER_OVERFLOWED], 2);
}

static void beyond_its_bytes_a_queue_drops_its_head(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments a = queue_world_arguments();
    a.length_bytes_max = 10;
    redeclare(x, &a);
    publish(x, "12345");
    publish(x, "67890");
    publish(x, "x");
    queue_world_settle(x);
    assert_counts(x, 2, 0, 0);
    assert_next(x, "67890");
}

static void reject_publish_refuses_the_newest(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments a = queue_world_arguments();
    a.length_max = 2;
    a.overflow = OVERFLOW_REJECT_PUBLISH;
    redeclare(x, &a);
    publish_numbers(x, "q", 3);
    queue_world_settle(x);
    assert_int_equal(x->confirmed, 2);
    assert_int_equal(x->rejected, 1);
    assert_next(x, "0");
}

/* Consumers take what is there before the length counts, though it comes in one turn. */
static void a_burst_to_an_able_consumer_does_not_overflow(void **state)
{
    struct queue_world *x = *state;
    struct queue_arguments a = queue_world_arguments();
    struct queue_world_consumer c = {0};
    a.length_max = 1;
    for (unsigned i = 0; i < 2; i++) {
        a.overflow = i ? OVERFLOW_REJECT_PUBLISH : OVERFLOW_DROP_HEAD;
        redeclare(x, &a);
        queue_world_consume(x, &c, 0, "q", NULL);
        publish_numbers(x, "q", 20);
        queue_world_settle(x);
        assert_int_equal(c.count, 20);
        queue_world_consumer_free(&c);
    }
    assert_int_equal(x->rejected, 0);
}

/* -- the end of a queue -------------------------------------------------------------------------------------------------------------------- */

static void a_purge_takes_what_is_ready_and_says_how_many(void **state)
{
    struct queue_world *x = *state;
    char text[24];
    uint64_t entry;
    publish_numbers(x, "q", 5000);
    queue_world_get(x, 0, "q", text, sizeof text, &entry, NULL);
    struct queue_request r = queue_world_ask(x, 0, "q", &(struct queue_request){.verb = QUEUE_PURGE}, NULL, 0);
    assert_int_equal(r.count, 4999);
    assert_counts(x, 0, 1, 0);
}

/* The second is answered when nothing is left either, and has taken what the first one did not count. */
static void a_purge_behind_another_is_a_purge_too(void **state)
{
    struct queue_world *x = *state;
    publish_numbers(x, "q", 40000);
    queue_world_send(x, 0, queue_world_queue(x, "q")->id, &(struct queue_request){.verb = QUEUE_PURGE}, NULL, 0);
    struct queue_request r = queue_world_ask(x, 0, "q", &(struct queue_request){.verb = QUEUE_PURGE}, NULL, 0);
    assert_int_equal(r.result, QUEUE_DONE);
    assert_int_equal(queue_world_queue(x, "q")->ready, 0);
}

static void a_queue_is_deleted_only_unused_and_empty_when_so_asked(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {0};
    struct queue_request d = {.verb = QUEUE_DELETE, .if_unused = true, .if_empty = true};
    queue_world_consume(x, &c, 0, "q", &(struct queue_request){.prefetch = 1});
    assert_int_equal(queue_world_ask(x, 1, "q", &d, NULL, 0).result, QUEUE_IN_USE);
    publish_numbers(x, "q", 3);
    d.if_unused = false;
    assert_int_equal(queue_world_ask(x, 1, "q", &d, NULL, 0).result, QUEUE_NOT_EMPTY);
    d.if_empty = false;
    struct queue_request r = queue_world_ask(x, 0, "q", &d, NULL, 0);
    assert_int_equal(r.result, QUEUE_DONE);
    assert_int_equal(r.count, 2);
    queue_world_settle(x);
    assert_true(c.cancelled);
    assert_null(queue_world_queue(x, "q"));
    assert_int_equal(queue_world_ask(x, 0, "q", &d, NULL, 0).result, QUEUE_GONE);
    queue_world_consumer_free(&c);
}

/* Its entries go in parts, so that the worker is not held up; another queue of the same name may be there meanwhile. */
static void a_long_queue_is_freed_over_some_turns(void **state)
{
    struct queue_world *x = *state;
    uint64_t before = x->b[1]->memory.used;
    struct queue_arguments a = queue_world_arguments();
    a.message_ttl_ms = 1000;
    redeclare(x, &a);
    publish_numbers(x, "q", 20000);
    queue_world_settle(x);
    redeclare(x, NULL);
    publish(x, "new");
    for (unsigned i = 0; i < 4; i++) {
        queue_world_turn(x, 0);
        queue_world_turn(x, 1);
        queue_world_check(x);
    }
    queue_world_settle(x);
    assert_next(x, "new");
    assert_int_equal(x->b[1]->counters[QUEUE_COUNTER_EXPIRED], 0);
    assert_int_equal(x->b[1]->counters[QUEUE_COUNTER_READY], 0);
    queue_world_pass(x, 1000);
    assert_true(x->b[1]->memory.used < before + (64u << 10));
}

static void a_queue_that_had_no_memory_is_made_up_for(void **state)
{
    struct queue_world *x = *state;
    uint64_t limit = x->b[1]->memory.limit;
    x->b[1]->memory.limit = x->b[1]->memory.used;
    queue_world_declare(x, "late", 1, false, NULL);
    assert_null(queue_world_queue(x, "late"));
    publish_numbers(x, "late", 1);
    queue_world_pass(x, 1000);
    assert_int_equal(x->failed, 1);
    x->b[1]->memory.limit = limit;
    queue_world_pass(x, 1000);
    assert_non_null(queue_world_queue(x, "late"));
}

static void deliveries_outlive_their_queue(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {.hold = true};
    char text[24];
    queue_world_consume(x, &c, 0, "q", NULL);
    publish(x, "one");
    queue_world_settle(x);
    queue_world_ask(x, 0, "q", &(struct queue_request){.verb = QUEUE_DELETE}, NULL, 0);
    queue_world_settle(x);
    assert_true(c.cancelled);
    queue_world_body(c.held->message, text, sizeof text);
    assert_string_equal(text, "one");
    queue_world_return(&c, 1);
    queue_world_consumer_free(&c);
}

static void an_auto_delete_queue_goes_with_its_last_consumer(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer a = {0}, b = {0};
    queue_world_find(x, "q")->declared.auto_delete = true;
    queue_world_pass(x, 2000);
    assert_non_null(queue_world_find(x, "q")); /* it never had one */
    queue_world_consume(x, &a, 0, "q", NULL);
    queue_world_consume(x, &b, 1, "q", NULL);
    queue_world_cancel(&a);
    queue_world_settle(x);
    assert_non_null(queue_world_find(x, "q"));
    x->refuse_deletes = 1;
    queue_world_cancel(&b);
    queue_world_settle(x);
    assert_non_null(queue_world_find(x, "q"));
    queue_world_pass(x, 1000); /* asked again */
    assert_null(queue_world_find(x, "q"));
}

static void an_exclusive_queue_answers_its_connection_alone(void **state)
{
    struct queue_world *x = *state;
    queue_world_find(x, "q")->declared.exclusive = 5;
    struct queue_request r = {.verb = QUEUE_STATUS, .connection = 6};
    assert_int_equal(queue_world_ask(x, 0, "q", &r, NULL, 0).result, QUEUE_ACCESS_REFUSED);
    r.connection = 5;
    assert_int_equal(queue_world_ask(x, 0, "q", &r, NULL, 0).result, QUEUE_DONE);
    r.connection = 0;
    assert_int_equal(queue_world_ask(x, 0, "q", &r, NULL, 0).result, QUEUE_DONE);
}

static void a_message_for_a_queue_that_is_gone_fails(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_publication p;
    queue_world_publish(x, 0, "q", &(struct queue_world_message){.body = "late"}, &p);
    queue_world_send(x, 1, queue_world_find(x, "q")->declared.id, &(struct queue_request){.verb = QUEUE_DELETE}, NULL,
                     0);
    queue_world_turn(x, 1);
    queue_world_settle(x);
    assert_true(p.answered);
    assert_int_equal(p.failed, 1);
}

/* -- messages that only the log has ---------------------------------------------------------------------------------------------------------- */

static char folder[] = "/tmp/queue-core-XXXXXX";

static int setup_paged(void **state)
{
    struct queue_world *x = malloc(sizeof *x);
    assert_non_null(x);
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    assert_non_null(mkdtemp(folder));
    queue_world_init(x);
    x->config.folder = folder;
    queue_world_start(x, 2);
    queue_world_declare(x, "q", 1, true, NULL);
    for (unsigned i = 0; i < 3; i++) {
        char text[2] = {(char)('0' + i), 0};
        assert_true(
            queue_world_publish(x, 0, "q", &(struct queue_world_message){.body = text, .persistent = true}, NULL));
    }
    queue_world_settle(x);
    for (uint64_t id = 1; id <= 3; id++)
        assert_true(queue_entry_page_out(queue_world_queue(x, "q"), id));
    assert_int_equal(queue_world_queue(x, "q")->paged, 3);
    *state = x;
    return 0;
}

static int teardown_paged(void **state)
{
    char command[64];
    snprintf(command, sizeof command, "rm -rf --one-file-system '%s'", folder);
    return teardown(state) || system(command);
}

static void paged_messages_come_back_in_order(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {0};
    char text[24];
    assert_true(queue_world_get(x, 0, "q", text, sizeof text, NULL, NULL));
    assert_string_equal(text, "0");
    queue_world_consume(x, &c, 0, "q", NULL);
    queue_world_publish(x, 0, "q", &(struct queue_world_message){.body = "3"}, NULL);
    queue_world_settle(x);
    ASSERT_GOT(&c, "1", "2", "3");
    queue_world_consumer_free(&c);
}

static void got_result(struct queue_request *r)
{
    *(enum queue_result *)r->context = r->result;
}

/* Who waits for a message to be read gets the next one, or is told that there is none, when that one goes away meanwhile. */
static void a_get_does_not_wait_for_what_was_purged(void **state)
{
    struct queue_world *x = *state;
    enum queue_result result = QUEUE_DONE;
    struct queue_request get = {.home = x->b[1],
                                .verb = QUEUE_GET,
                                .queue_id = queue_world_find(x, "q")->declared.id,
                                .done = got_result,
                                .context = &result};
    fake_offload_hold(x->w[1], true); /* and what other workers send, so all of this is on the owner */
    queue_request_send(&get);
    for (unsigned i = 0; i < 4; i++)
        queue_world_turn(x, 1);
    assert_non_null(queue_world_queue(x, "q")->waiting);
    queue_world_send(x, 1, get.queue_id, &(struct queue_request){.verb = QUEUE_PURGE}, NULL, 0);
    for (unsigned i = 0; i < 4; i++)
        queue_world_turn(x, 1);
    assert_int_equal(result, QUEUE_EMPTY);
    fake_offload_hold(x->w[1], false);
    queue_world_settle(x);
}

static void a_damaged_message_is_told_and_does_not_hold_up_the_queue(void **state)
{
    struct queue_world *x = *state;
    char command[160], text[24];
    snprintf(command, sizeof command,
             "for f in %s/q-*/*.log; do printf xxxx | dd of=$f bs=1 seek=%u conv=notrunc status=none; done", folder,
             queue_entry_find(queue_world_queue(x, "q"), 1)->log_position + 40);
    assert_int_equal(system(command), 0);
    struct queue_request r =
        queue_world_ask(x, 0, "q", &(struct queue_request){.verb = QUEUE_GET, .no_ack = true}, NULL, 0);
    assert_int_equal(r.result, QUEUE_UNREADABLE);
    assert_true(queue_world_get(x, 0, "q", text, sizeof text, NULL, NULL));
    assert_string_equal(text, "1");
}

/* -- what is seen --------------------------------------------------------------------------------------------------------------------------- */

static void status_shows_counts_rates_and_age(void **state)
{
    struct queue_world *x = *state;
    char text[24];
    uint64_t entry;
    for (unsigned second = 0; second < 7; second++) {
        publish_numbers(x, "q", 10);
        queue_world_pass(x, 1000);
    }
    queue_world_get(x, 0, "q", text, sizeof text, &entry, NULL);
    queue_world_settle_entry(x, 0, "q", entry, SETTLE_REQUEUE);
    queue_world_get(x, 0, "q", text, sizeof text, &entry, NULL);
    queue_world_settle_entry(x, 0, "q", entry, SETTLE_ACK);
    struct queue_status s = queue_world_status(x, "q");
    assert_int_equal(s.published, 70);
    assert_int_equal(s.publish_rate, 10);
    assert_int_equal(s.delivered, 2);
    assert_int_equal(s.redelivered, 1);
    assert_int_equal(s.acknowledged, 1);
    assert_int_equal(s.ready, 69);
    assert_int_equal(s.oldest_ms, 7000);
    queue_world_pass(x, 5000);
    assert_int_equal(queue_world_status(x, "q").publish_rate, 0);
    assert_int_equal(x->b[1]->counters[QUEUE_COUNTER_OLDEST_SECONDS], 12);
}

/* Full memory fails puts and nothing else; what is freed can be used again. */
static void without_memory_puts_fail_and_nothing_is_lost(void **state)
{
    struct queue_world *x = *state;
    struct queue_world_consumer c = {0};
    static char body[1000];
    uint64_t before = x->b[1]->memory.used, limit = x->b[1]->memory.limit;
    x->b[1]->memory.limit = before + (256u << 10);
    for (unsigned i = 0; i < 1000; i++) {
        queue_world_publish(x, 0, "q", &(struct queue_world_message){.body = body, .body_bytes = sizeof body}, NULL);
        queue_world_settle(x);
    }
    assert_true(x->failed > 500 && x->confirmed > 100);
    assert_int_equal(x->failed + x->confirmed, 1000);
    assert_true(x->alarms_changed > 0);
    queue_world_check(x);
    assert_int_equal(queue_world_status(x, "q").ready, x->confirmed);
    x->b[1]->memory.limit += 4u << 10; /* a consumer; deliveries as they come back */
    assert_int_equal(queue_world_consume(x, &c, 1, "q", &no_ack), QUEUE_DONE);
    queue_world_pass(x, 3000);
    assert_int_equal(c.count, x->confirmed);
    queue_world_cancel(&c);
    queue_world_consumer_free(&c);
    queue_world_pass(x, 1000); /* kept leaves go */
    x->b[1]->memory.limit = limit;
    assert_true(x->b[1]->memory.used <= before + 64);
}

int main(void)
{
#define CASE(name)  cmocka_unit_test_setup_teardown(name, setup, teardown)
#define PAGED(name) cmocka_unit_test_setup_teardown(name, setup_paged, teardown_paged)
    const struct CMUnitTest tests[] = {
        CASE(messages_are_got_in_the_order_they_came),
        CASE(a_requeued_message_is_at_its_place_again),
        CASE(higher_priorities_come_first_and_the_largest_is_the_limit),
        CASE(entries_far_apart_keep_one_leaf_each),
        CASE(consumers_take_turns),
        CASE(prefetch_bounds_what_is_unacknowledged),
        CASE(a_consumer_of_higher_priority_is_served_while_it_can),
        CASE(no_more_than_the_transit_window_is_on_its_way),
        CASE(transit_bytes_let_one_large_message_pass_at_a_time),
        CASE(what_was_not_written_goes_back_as_if_never_delivered),
        CASE(after_a_cancel_nothing_comes_and_the_unacknowledged_stays),
        CASE(an_exclusive_consumer_is_alone),
        CASE(a_single_active_consumer_is_followed_by_the_next),
        CASE(a_single_active_consumer_that_is_full_is_followed),
        CASE(a_tag_that_is_not_delivered_is_reported_and_the_others_settled),
        CASE(a_rejected_message_without_a_dead_letter_exchange_is_gone),
        CASE(a_message_returned_more_often_than_the_delivery_limit_is_gone),
        CASE(a_message_expires_on_time_wherever_it_stands),
        CASE(of_two_times_to_live_the_lower_counts),
        CASE(a_time_to_live_of_zero_needs_a_consumer_at_once),
        CASE(what_is_delivered_does_not_expire_until_it_is_back),
        CASE(a_delayed_message_is_invisible_until_it_is_due_and_lives_from_there),
        CASE(an_unused_queue_expires_and_use_renews_it),
        CASE(beyond_its_length_a_queue_drops_its_head),
        CASE(beyond_its_bytes_a_queue_drops_its_head),
        CASE(reject_publish_refuses_the_newest),
        CASE(a_burst_to_an_able_consumer_does_not_overflow),
        CASE(a_purge_takes_what_is_ready_and_says_how_many),
        CASE(a_purge_behind_another_is_a_purge_too),
        CASE(a_queue_is_deleted_only_unused_and_empty_when_so_asked),
        CASE(a_long_queue_is_freed_over_some_turns),
        CASE(a_queue_that_had_no_memory_is_made_up_for),
        CASE(deliveries_outlive_their_queue),
        CASE(an_auto_delete_queue_goes_with_its_last_consumer),
        CASE(an_exclusive_queue_answers_its_connection_alone),
        CASE(a_message_for_a_queue_that_is_gone_fails),
        PAGED(paged_messages_come_back_in_order),
        PAGED(a_get_does_not_wait_for_what_was_purged),
        PAGED(a_damaged_message_is_told_and_does_not_hold_up_the_queue),
        CASE(status_shows_counts_rates_and_age),
        CASE(without_memory_puts_fail_and_nothing_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
