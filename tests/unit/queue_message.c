/* Messages: what was put in is there, in any pieces; every byte of memory comes back; no room leaves things as they were. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "queue/amqp/wire.h"
#include "queue/message.h"

#define SPAN(text) ((struct mr_span){(const uint8_t *)(text), sizeof(text) - 1})

static struct memory memory, other;

static int setup(void **state)
{
    return memory_init(&memory, 64 << 20, 32 << 20) && memory_init(&other, 64 << 20, 32 << 20) ? 0 : 1;
}
static int teardown(void **state)
{
    assert_int_equal(memory.used, 0);
    assert_int_equal(other.used, 0);
    memory_check(&memory);
    memory_release(&memory);
    memory_release(&other);
    return 0;
}

static uint8_t byte_at(uint64_t i)
{
    return (uint8_t)(i * 31 + (i >> 8));
}

static void fill(uint8_t *to, uint64_t from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = byte_at(from + i);
}

/* The body, its sums, and that all pieces but the last are full. */
static void body_is(const struct message *m, uint64_t n)
{
    uint64_t at = 0;
    for (const struct message_piece *p = m->body; p; p = p->next) {
        assert_true(p->length > 0 && p->length <= p->capacity && p->capacity <= MESSAGE_PIECE_MAX);
        assert_true(p->next ? p->length == p->capacity : p == m->last);
        for (uint32_t i = 0; i < p->length; i++, at++)
            if (p->bytes[i] != byte_at(at))
                fail_msg("byte %lu", (unsigned long)at);
    }
    assert_int_equal(at, n);
    assert_int_equal(m->held_bytes, n);
}

static struct mr_span properties(uint8_t *to, size_t room, const char *expiration, uint8_t priority, uint8_t mode)
{
    struct amqp_properties p = {
        .flags = AMQP_EXPIRATION | AMQP_PRIORITY | AMQP_DELIVERY_MODE,
        .expiration = {(const uint8_t *)expiration, strlen(expiration)},
        .priority = priority,
        .delivery_mode = mode,
    };
    return (struct mr_span){to, amqp_properties_emit(to, room, &p)};
}

static void a_message_keeps_its_head(void **state)
{
    uint8_t bytes[64];
    struct mr_span list = properties(bytes, sizeof bytes, "1500", 7, 2);
    struct message *m = message_create(&memory, SPAN("exchange"), SPAN("key"), list, 0);
    assert_int_equal(m->references, 1);
    assert_true(message_exchange(m).length == 8 && memcmp(message_exchange(m).data, "exchange", 8) == 0);
    assert_true(message_routing_key(m).length == 3 && memcmp(message_routing_key(m).data, "key", 3) == 0);
    assert_true(message_properties(m).length == list.length &&
                memcmp(message_properties(m).data, bytes, list.length) == 0);
    assert_true(m->ttl_ms == 1500 && m->priority == 7 && m->persistent && m->deliver_at_ms == 0 &&
                m->published_ms == 0);
    assert_true(message_complete(m)); /* a body of nothing */
    message_seal(m, 99);
    assert_int_equal(m->published_ms, 99);
    assert_int_equal(message_cost(m), memory.used);
    assert_true(message_hold(m) == m);
    message_drop(m);
    assert_true(memory.used > 0);
    message_drop(m);
}

static void properties_that_are_missing_are_presets(void **state)
{
    uint8_t bytes[64];
    struct message *m = message_create(&memory, SPAN(""), SPAN(""), (struct mr_span){0}, 0);
    assert_true(m->ttl_ms == UINT64_MAX && m->priority == 0 && !m->persistent);
    message_drop(m);
    m = message_create(&memory, SPAN(""), SPAN(""), properties(bytes, sizeof bytes, "soon", 0, 1), 0);
    assert_true(m->ttl_ms == UINT64_MAX && !m->persistent);
    message_drop(m);
    m = message_create(&memory, SPAN(""), SPAN(""), properties(bytes, sizeof bytes, "0", 0, 1), 0);
    assert_int_equal(m->ttl_ms, 0);
    message_drop(m);
}

static void the_longest_head_fits_and_a_longer_one_is_refused(void **state)
{
    static uint8_t bytes[QUEUE_PROPERTIES_MAX + 1];
    struct mr_span name = {bytes, QUEUE_NAME_MAX}, none = {0};
    struct mr_span longest = {bytes, QUEUE_PROPERTIES_MAX}, longer = {bytes, sizeof bytes}, name_longer = {bytes, 256};
    struct message *m = message_create(&memory, name, name, longest, 0);
    assert_non_null(m);
    message_drop(m);
    assert_null(message_create(&memory, name, name, longer, 0));
    assert_null(message_create(&memory, name_longer, none, none, 0));
    assert_null(message_create(&memory, none, name_longer, none, 0));
}

/* Sizes around those of pieces, each in steps of several sizes. */
static void a_body_comes_in_any_pieces(void **state)
{
    static const uint64_t sizes[] = {1,
                                     100,
                                     MESSAGE_PIECE_MAX - 1,
                                     MESSAGE_PIECE_MAX,
                                     MESSAGE_PIECE_MAX + 1,
                                     2 * MESSAGE_PIECE_MAX,
                                     3 * MESSAGE_PIECE_MAX + 17};
    static const size_t steps[] = {7, 1000, MESSAGE_PIECE_MAX, MESSAGE_PIECE_MAX + 1, 131064};
    static uint8_t bytes[131064];
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (unsigned j = 0; j < sizeof steps / sizeof steps[0]; j++) {
            struct message *m = message_create(&memory, SPAN("e"), SPAN("k"), (struct mr_span){0}, sizes[i]);
            for (uint64_t at = 0; at < sizes[i];) {
                assert_false(message_complete(m));
                size_t n = sizes[i] - at < steps[j] ? (size_t)(sizes[i] - at) : steps[j];
                fill(bytes, at, n);
                assert_true(message_append(m, bytes, n));
                at += n;
            }
            assert_true(message_complete(m));
            message_seal(m, 1);
            body_is(m, sizes[i]);
            assert_int_equal(message_cost(m), memory.used);
            message_drop(m);
            assert_int_equal(memory.used, 0);
        }
}

/* Memory is taken as bytes come: what was announced alone costs nothing. */
static void an_announced_body_takes_no_room(void **state)
{
    struct message *m = message_create(&memory, SPAN("e"), SPAN("k"), (struct mr_span){0}, UINT64_MAX);
    assert_int_equal(message_cost(m), memory.used);
    assert_true(memory.used < 512);
    assert_true(message_append(m, "x", 1));
    assert_true(memory.used < 512 + 2 * MESSAGE_PIECE_MAX);
    message_drop(m);
}

static void without_room_a_message_stays_as_it_was(void **state)
{
    static uint8_t bytes[200000];
    struct message *m = message_create(&memory, SPAN("e"), SPAN("k"), (struct mr_span){0}, 300000);
    fill(bytes, 0, 1000);
    assert_true(message_append(m, bytes, 1000));
    uint64_t used = memory.used, limit = memory.limit;
    memory.limit = used + 3 * MESSAGE_PIECE_MAX;
    assert_false(message_append(m, bytes, sizeof bytes));
    assert_int_equal(memory.used, used);
    body_is(m, 1000);
    memory.limit = limit;
    fill(bytes, 1000, sizeof bytes);
    assert_true(message_append(m, bytes, sizeof bytes));
    body_is(m, 1000 + sizeof bytes);
    memory.limit = memory.used;
    assert_null(message_create(&memory, SPAN("e"), SPAN("k"), (struct mr_span){0}, 1));
    memory.limit = limit;
    message_drop(m);
}

static void a_copy_is_the_same_in_other_memory(void **state)
{
    static uint8_t bytes[100000];
    uint8_t list[64];
    fill(bytes, 0, sizeof bytes);
    struct message *m =
        message_create(&memory, SPAN("e"), SPAN("k"), properties(list, sizeof list, "10", 3, 2), sizeof bytes);
    assert_true(message_append(m, bytes, sizeof bytes));
    message_seal(m, 1234);
    m->deliver_at_ms = 5;
    message_hold(m);
    struct message *copy = message_copy(&other, m);
    assert_true(copy->references == 1 && copy->published_ms == 1234 && copy->deliver_at_ms == 5 && copy->ttl_ms == 10);
    assert_true(copy->priority == 3 && copy->persistent && copy->memory == &other);
    assert_memory_equal(copy->head, m->head, m->head_bytes);
    body_is(copy, sizeof bytes);
    struct message *letter = message_readdress(&other, m, SPAN("dead"), SPAN("letter"), (struct mr_span){0});
    assert_true(letter->ttl_ms == UINT64_MAX && letter->published_ms == 0 && letter->priority == 0);
    assert_true(message_complete(letter) && message_exchange(letter).length == 4);
    body_is(letter, sizeof bytes);
    message_drop(letter);
    message_drop(copy);
    assert_int_equal(other.used, 0);
    uint64_t limit = other.limit;
    other.limit = 64 << 10; /* the head, one piece, but not all */
    assert_null(message_copy(&other, m));
    assert_int_equal(other.used, 0);
    other.limit = limit;
    message_drop(m);
    message_drop(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_message_keeps_its_head, setup, teardown),
        cmocka_unit_test_setup_teardown(properties_that_are_missing_are_presets, setup, teardown),
        cmocka_unit_test_setup_teardown(the_longest_head_fits_and_a_longer_one_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(a_body_comes_in_any_pieces, setup, teardown),
        cmocka_unit_test_setup_teardown(an_announced_body_takes_no_room, setup, teardown),
        cmocka_unit_test_setup_teardown(without_room_a_message_stays_as_it_was, setup, teardown),
        cmocka_unit_test_setup_teardown(a_copy_is_the_same_in_other_memory, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
