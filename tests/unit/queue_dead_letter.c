/* Dead letters: the headers that RabbitMQ 3.10 gives them (the expected ones were seen there), cycles, and that none is lost on the way. */
#include "tests/support/durable_folder.h"

#include "queue/core/death.h"
#include "tests/support/cmocka.h"

/* -- headers ------------------------------------------------------------------------------------------------------------------------ */

/* A table as text: name=value, tables in braces, arrays in brackets; times as T. */
static void text_of_table(struct mr_span table, char *to, size_t room);

static void text_of_value(const struct amqp_value *v, char *to, size_t room)
{
    size_t at = 0;
    struct amqp_value item;
    to[0] = 0;
    if (v->type == 'S')
        snprintf(to, room, "%.*s", (int)v->text.length, (const char *)v->text.data);
    else if (v->type == 'T')
        snprintf(to, room, "T");
    else if (v->type == 'F')
        text_of_table(v->text, to, room);
    else if (v->type == 'A') {
        strcat(to, "[");
        for (const char *comma = ""; amqp_array_next(v->text, &at, &item); comma = ",") {
            strcat(to, comma);
            text_of_value(&item, to + strlen(to), room - strlen(to));
        }
        strcat(to, "]");
    } else
        snprintf(to, room, "%ld", (long)v->integer);
}

static void text_of_table(struct mr_span table, char *to, size_t room)
{
    struct mr_span name;
    struct amqp_value v;
    size_t at = 0;
    strcpy(to, "{");
    for (const char *comma = ""; amqp_table_next(table, &at, &name, &v); comma = " ") {
        snprintf(to + strlen(to), room - strlen(to), "%s%.*s=", comma, (int)name.length, (const char *)name.data);
        text_of_value(&v, to + strlen(to), room - strlen(to));
    }
    strcat(to, "}");
}

static uint8_t scratch[200000];
static uint8_t properties_bytes[70000];

/* The death of a message with these properties; what comes out is parsed into *out, its headers are in `text`. */
static char text[100000];
static size_t die(const struct amqp_properties *in, const struct queue_death *death, struct amqp_properties *out)
{
    size_t n = amqp_properties_emit(properties_bytes, sizeof properties_bytes, in);
    size_t length = queue_death_properties(scratch, sizeof scratch, (struct mr_span){properties_bytes, n}, death);
    assert_true(length > 0);
    assert_int_equal(amqp_properties_parse((struct mr_span){scratch, length}, out), 0);
    assert_true(amqp_table_valid(out->headers));
    text_of_table(out->headers, text, sizeof text);
    return length;
}

static struct queue_death death_of(const char *reason, const char *queue)
{
    return (struct queue_death){
        .reason = reason, .queue = TEXT(queue), .exchange = TEXT("ex"), .key = TEXT("rk"), .time_s = 1700000000};
}

static void first_death_has_headers_of_its_own(void **state)
{
    struct amqp_properties p = {
        .flags = AMQP_EXPIRATION | AMQP_DELIVERY_MODE, .expiration = TEXT("10"), .delivery_mode = 2};
    struct amqp_properties out;
    struct queue_death d = death_of("expired", "src");
    (void)state;
    die(&p, &d, &out);
    assert_string_equal(text, "{x-first-death-reason=expired x-first-death-queue=src x-first-death-exchange=ex "
                              "x-death=[{count=1 reason=expired queue=src time=T exchange=ex routing-keys=[rk] "
                              "original-expiration=10}]}");
    assert_int_equal(out.flags, AMQP_HEADERS | AMQP_DELIVERY_MODE);
    assert_int_equal(out.delivery_mode, 2);
}

static size_t copies_table(uint8_t *to, size_t room)
{
    struct amqp_table_out o = {.data = to, .room = room};
    amqp_table_put_integer(&o, "a", 1);
    size_t list = amqp_table_open(&o, "CC", 'A');
    amqp_array_put(&o, &(struct amqp_value){.type = 'S', .text = TEXT("other")});
    amqp_array_put(&o, &(struct amqp_value){.type = 'S', .text = TEXT("more")});
    amqp_table_close(&o, list);
    assert_false(o.failed);
    return o.used;
}

static void copies_stay_but_where_another_key_is_given(void **state)
{
    uint8_t table[200];
    struct amqp_properties p = {.flags = AMQP_HEADERS, .headers = {table, copies_table(table, sizeof table)}}, out;
    struct queue_death d = death_of("rejected", "src");
    struct mr_span keys[4];
    (void)state;
    die(&p, &d, &out);
    assert_string_equal(
        text, "{a=1 CC=[other,more] x-first-death-reason=rejected x-first-death-queue=src x-first-death-exchange=ex "
              "x-death=[{count=1 reason=rejected queue=src time=T exchange=ex routing-keys=[rk,other,more]}]}");
    assert_int_equal(queue_death_copies(out.headers, keys, 4), 2);
    d.key_given = true;
    die(&p, &d, &out);
    assert_string_equal(
        text, "{a=1 x-first-death-reason=rejected x-first-death-queue=src x-first-death-exchange=ex "
              "x-death=[{count=1 reason=rejected queue=src time=T exchange=ex routing-keys=[rk,other,more]}]}");
    assert_int_equal(queue_death_copies(out.headers, keys, 4), 0);
}

static void same_death_again_is_counted_and_comes_first(void **state)
{
    static uint8_t kept[70000];
    struct amqp_properties p = {0}, out;
    struct queue_death a = death_of("rejected", "a"), b = death_of("expired", "b"), a2 = death_of("expired", "a");
    const struct queue_death *order[] = {&a, &b, &a, &a2};
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        die(&p, order[i], &out);
        memcpy(kept, out.headers.data, out.headers.length);
        p = (struct amqp_properties){.flags = AMQP_HEADERS, .headers = {kept, out.headers.length}};
    }
    assert_string_equal(text, "{x-first-death-reason=rejected x-first-death-queue=a x-first-death-exchange=ex x-death=["
                              "{count=1 reason=expired queue=a time=T exchange=ex routing-keys=[rk]},"
                              "{count=2 reason=rejected queue=a time=T exchange=ex routing-keys=[rk]},"
                              "{count=1 reason=expired queue=b time=T exchange=ex routing-keys=[rk]}]}");
    assert_false(queue_death_cycle(out.headers, TEXT("b"))); /* rejected since */
    assert_true(queue_death_cycle(out.headers, TEXT("a")));  /* expired there just now */
    assert_false(queue_death_cycle(out.headers, TEXT("c")));
}

static void header_of_another_type_is_replaced(void **state)
{
    uint8_t table[200];
    struct amqp_table_out o = {.data = table, .room = sizeof table};
    struct amqp_properties p = {.flags = AMQP_HEADERS}, out;
    struct queue_death d = death_of("rejected", "src");
    (void)state;
    amqp_table_put_text(&o, "x-death", TEXT("text"));
    p.headers = (struct mr_span){table, o.used};
    die(&p, &d, &out);
    assert_string_equal(text, "{x-death=[{count=1 reason=rejected queue=src time=T exchange=ex routing-keys=[rk]}]}");
}

static void header_of_many_deaths_is_bounded(void **state)
{
    static uint8_t kept[70000];
    char name[260];
    struct amqp_properties p = {0}, out;
    size_t length = 0;
    (void)state;
    for (unsigned i = 0; i < 300; i++) {
        memset(name, 'q', sizeof name);
        snprintf(name + 240, 16, "%u", i);
        struct queue_death d = death_of("expired", name);
        length = die(&p, &d, &out);
        memcpy(kept, out.headers.data, out.headers.length);
        p = (struct amqp_properties){.flags = AMQP_HEADERS, .headers = {kept, out.headers.length}};
    }
    assert_true(length <= QUEUE_PROPERTIES_MAX);
    assert_true(queue_death_cycle(out.headers, TEXT(name)));
}

/* -- the way ------------------------------------------------------------------------------------------------------------------------- */

/* q (7) dies to the exchange dlx, which leads to r (8) and, where `both`, to s (9). */
static void declare(struct world *x, bool both)
{
    struct catalog_queue *q = world_declare(x, 7, "q");
    q->arguments.dead_letter = true;
    q->arguments.dead_letter_exchange = TEXT("dlx");
    world_declare(x, 8, "r");
    world_declare(x, 9, "s");
    x->catalog.exchanges[x->catalog.exchange_count++] =
        (struct world_exchange){.exchange = {.name = TEXT("dlx")}, .queues = {1, 2}, .count = both ? 2 : 1};
}

static uint64_t ready(struct world *x, unsigned i)
{
    return world_queue(x, &x->catalog.queues[i])->ready;
}

static void get_and_reject(struct world *x)
{
    assert_int_equal(world_get(x, &x->catalog.queues[0], false), QUEUE_DONE);
    world_settle_entry(x, &x->catalog.queues[0], world_gotten.entry, SETTLE_REJECT);
}

static void headers_of_what_was_got(void)
{
    struct amqp_properties p;
    assert_int_equal(
        amqp_properties_parse((struct mr_span){world_gotten.properties, world_gotten.properties_length}, &p), 0);
    text_of_table(p.headers, text, sizeof text);
}

static void rejected_message_is_in_every_queue_of_the_exchange(void **state)
{
    struct world x;
    (void)state;
    world_init(&x, inner);
    declare(&x, true);
    world_start(&x);
    world_put_text(&x, &x.catalog.queues[0], "body");
    world_settle(&x);
    get_and_reject(&x);
    world_settle(&x);
    assert_int_equal(ready(&x, 0), 0);
    assert_int_equal(x.counters[QUEUE_COUNTER_DEAD_LETTERED], 1);
    for (unsigned i = 1; i < 3; i++) {
        assert_int_equal(world_get(&x, &x.catalog.queues[i], true), QUEUE_DONE);
        assert_string_equal((char *)world_gotten.body, "body");
        assert_string_equal(world_gotten.exchange, "dlx");
        assert_string_equal(world_gotten.key, "k");
        headers_of_what_was_got();
        assert_string_equal(text, "{x-first-death-reason=rejected x-first-death-queue=q x-first-death-exchange= "
                                  "x-death=[{count=1 reason=rejected queue=q time=T exchange= routing-keys=[k]}]}");
    }
    world_settle(&x);
    queue_set_check(&x.b);
    world_stop(&x, true);
}

static void source_keeps_the_entry_until_the_target_is_safe(void **state)
{
    struct world x, y;
    char copy[128];
    (void)state;
    world_init(&x, inner);
    declare(&x, false);
    world_start(&x);
    world_put_text(&x, &x.catalog.queues[0], "body");
    world_settle(&x);
    fake_offload_hold(x.w, true);
    world_disk.sync_error = EIO; /* what is written from now on is not safe */
    get_and_reject(&x);
    world_turns(&x, 20);
    assert_int_equal(world_queue(&x, &x.catalog.queues[0])->leaving, 1);
    snprintf(copy, sizeof copy, "%s/copy", folder);
    world_copy(inner, copy, 0);
    world_disk.sync_error = 0;
    fake_offload_hold(x.w, false);
    world_pass(&x, MR_SECOND);
    world_settle(&x);
    assert_int_equal(world_queue(&x, &x.catalog.queues[0])->leaving, 0);
    assert_int_equal(ready(&x, 1), 1);

    world_init(&y, copy); /* the crash was before: it is where it was */
    declare(&y, false);
    world_start(&y);
    assert_int_equal(ready(&y, 0) + ready(&y, 1), 1);
    assert_int_equal(ready(&y, 0), 1);
    world_stop(&y, true);
    world_stop(&x, true);

    world_init(&y, inner); /* ... and after: it is there alone */
    declare(&y, false);
    world_start(&y);
    assert_int_equal(ready(&y, 0), 0);
    assert_int_equal(ready(&y, 1), 1);
    world_stop(&y, true);
}

static void full_target_gets_it_when_there_is_room(void **state)
{
    struct world x;
    (void)state;
    world_init(&x, inner);
    declare(&x, true);
    x.catalog.queues[1].arguments.length_max = 1;
    x.catalog.queues[1].arguments.overflow = OVERFLOW_REJECT_PUBLISH;
    world_start(&x);
    world_put_text(&x, &x.catalog.queues[1], "in the way");
    world_put_text(&x, &x.catalog.queues[0], "body");
    world_settle(&x);
    get_and_reject(&x);
    world_pass(&x, 3 * MR_SECOND);
    assert_int_equal(ready(&x, 1), 1);
    assert_int_equal(ready(&x, 2), 1); /* once, however often the other one is tried */
    assert_int_equal(world_queue(&x, &x.catalog.queues[0])->leaving, 1);
    assert_int_equal(world_get(&x, &x.catalog.queues[1], true), QUEUE_DONE);
    world_pass(&x, 2 * MR_SECOND);
    assert_int_equal(world_get(&x, &x.catalog.queues[1], true), QUEUE_DONE);
    assert_string_equal((char *)world_gotten.body, "body");
    assert_int_equal(world_queue(&x, &x.catalog.queues[0])->leaving, 0);
    assert_int_equal(ready(&x, 2), 1);
    world_settle(&x);
    queue_set_check(&x.b);
    world_stop(&x, true);
}

static void circle_without_a_rejection_ends(void **state)
{
    struct world x;
    (void)state;
    world_init(&x, inner);
    declare(&x, false);
    x.catalog.queues[0].arguments.message_ttl_ms = 50;
    x.catalog.queues[1].arguments.message_ttl_ms = 50;
    x.catalog.queues[1].arguments.dead_letter = true;
    x.catalog.queues[1].arguments.dead_letter_exchange = TEXT("");
    x.catalog.queues[1].arguments.dead_letter_key_given = true;
    x.catalog.queues[1].arguments.dead_letter_key = TEXT("q");
    world_start(&x);
    world_put_text(&x, &x.catalog.queues[0], "body");
    world_pass(&x, 2 * MR_SECOND);
    world_settle(&x);
    assert_int_equal(ready(&x, 0) + ready(&x, 1), 0);
    assert_int_equal(x.counters[QUEUE_COUNTER_DEAD_LETTERED], 1); /* to r; back to q would be a circle */
    assert_int_equal(x.counters[QUEUE_COUNTER_DEAD_LETTERS_LOST], 1);
    queue_set_check(&x.b);
    world_stop(&x, true);
}

static void missing_exchange_drops_and_counts(void **state)
{
    struct world x;
    (void)state;
    world_init(&x, inner);
    declare(&x, false);
    x.catalog.queues[0].arguments.dead_letter_exchange = TEXT("nobody");
    world_start(&x);
    world_put_text(&x, &x.catalog.queues[0], "body");
    world_settle(&x);
    get_and_reject(&x);
    world_settle(&x);
    assert_int_equal(world_queue(&x, &x.catalog.queues[0])->leaving, 0);
    assert_int_equal(x.counters[QUEUE_COUNTER_DEAD_LETTERS_LOST], 1);
    world_stop(&x, true);
}

static void messages_of_the_log_alone_die_in_order(void **state)
{
    struct world x, y;
    (void)state;
    world_init(&x, inner);
    declare(&x, false);
    world_start(&x);
    for (unsigned i = 0; i < 200; i++) {
        char body[8];
        snprintf(body, sizeof body, "%u", i);
        world_put_text(&x, &x.catalog.queues[0], body);
    }
    world_settle(&x);
    world_stop(&x, true);

    world_init(&y, inner);
    declare(&y, false);
    y.catalog.queues[0].arguments.message_ttl_ms = 100;
    world_start(&y);
    world_pass(&y, MR_SECOND);
    world_settle(&y);
    assert_int_equal(ready(&y, 1), 200);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(world_get(&y, &y.catalog.queues[1], true), QUEUE_DONE);
        assert_int_equal(atoi((char *)world_gotten.body), i);
    }
    world_settle(&y);
    queue_set_check(&y.b);
    world_stop(&y, true);
}

static void refused_publish_goes_to_the_exchange_when_the_queue_says_so(void **state)
{
    struct world x;
    (void)state;
    world_init(&x, inner);
    declare(&x, false);
    x.catalog.queues[0].arguments.length_max = 1;
    x.catalog.queues[0].arguments.overflow = OVERFLOW_REJECT_PUBLISH_DLX;
    world_start(&x);
    world_put_text(&x, &x.catalog.queues[0], "first");
    world_settle(&x);
    world_put_text(&x, &x.catalog.queues[0], "second");
    world_settle(&x);
    assert_int_equal(x.rejected, 1);
    assert_int_equal(world_get(&x, &x.catalog.queues[1], true), QUEUE_DONE);
    assert_string_equal((char *)world_gotten.body, "second");
    headers_of_what_was_got();
    assert_non_null(strstr(text, "reason=maxlen"));
    world_settle(&x);
    world_stop(&x, true);
}

static void queue_that_goes_leaves_its_letters_to_their_targets(void **state)
{
    struct world x;
    (void)state;
    world_init(&x, inner);
    declare(&x, false);
    world_start(&x);
    world_put_text(&x, &x.catalog.queues[0], "body");
    world_settle(&x);
    fake_offload_hold(x.w, true);
    get_and_reject(&x);
    world_turns(&x, 5);
    x.catalog.queues[0].deleted = true;
    queue_removed(&x.b, &x.catalog.queues[0]);
    fake_offload_hold(x.w, false);
    world_settle(&x);
    assert_int_equal(ready(&x, 1), 1);
    world_stop(&x, true);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_death_has_headers_of_its_own),
        cmocka_unit_test(copies_stay_but_where_another_key_is_given),
        cmocka_unit_test(same_death_again_is_counted_and_comes_first),
        cmocka_unit_test(header_of_another_type_is_replaced),
        cmocka_unit_test(header_of_many_deaths_is_bounded),
        TEST(rejected_message_is_in_every_queue_of_the_exchange),
        TEST(source_keeps_the_entry_until_the_target_is_safe),
        TEST(full_target_gets_it_when_there_is_room),
        TEST(circle_without_a_rejection_ends),
        TEST(missing_exchange_drops_and_counts),
        TEST(messages_of_the_log_alone_die_in_order),
        TEST(refused_publish_goes_to_the_exchange_when_the_queue_says_so),
        TEST(queue_that_goes_leaves_its_letters_to_their_targets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
