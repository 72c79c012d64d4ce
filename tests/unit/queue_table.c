/* Field tables of AMQP: each malformed one is refused, what was built is read back, and equality is by value. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "queue/amqp/table.h"
#include "queue/limits.h"
#include "tests/support/guarded.h"

#define SPAN(text) ((struct mr_span){(const uint8_t *)(text), sizeof(text) - 1})

static const struct valid_case {
    const char *bytes;
    size_t n;
    bool valid;
    const char *reason;
} valid_cases[] = {
#define YES(text, reason)                    \
    {                                        \
        text, sizeof(text) - 1, true, reason \
    }
#define NO(text, reason)                      \
    {                                         \
        text, sizeof(text) - 1, false, reason \
    }
    YES("", "empty"),
    YES("\1at\1", "a boolean"),
    YES("\1ab\x80", "the smallest octet"),
    YES("\1aB\xff\1bs\x80\0\1cu\xff\xff\1dI\x80\0\0\0\1ei\xff\xff\xff\xff", "integers up to 32 bits"),
    YES("\1al\x80\0\0\0\0\0\0\0\1bL\0\0\0\0\0\0\0\1\1cT\0\0\0\0\0\0\0\1", "integers of 64 bits"),
    YES("\1af\x3f\xc0\0\0\1bd\x3f\xf8\0\0\0\0\0\0\1cD\2\0\0\0\144", "reals and a decimal"),
    YES("\1aS\0\0\0\3abc\1bx\0\0\0\2\0\xff\1cV", "strings and nothing"),
    YES("\1aF\0\0\0\3\1bV\1cA\0\0\0\2VV", "a table and an array"),
    YES("\0V", "a name without bytes"),
    YES("\1aV\1aV", "a name twice"),
    NO("\1", "a name cut off"),
    NO("\1a", "no type"),
    NO("\1aQ\0", "a type nobody has"),
    NO("\1a\xf4\0", "a type over 127"),
    NO("\1aU\0\1", "the grammar's U, which RabbitMQ does not have either"),
    NO("\1aS\0\0\0\4abc", "a string longer than the table"),
    NO("\1aS\xff\xff\xff\xff", "as long as can be written"),
    NO("\1aF\0\0\0\2\1b", "a malformed table within"),
    NO("\1aF\0\0\0\4\1bV\1cV", "what is within takes a part of the next"),
    NO("\1aA\0\0\0\2I\0", "a malformed array within"),
    NO("\1aA\0\0\0\5F\0\0\0\1", "a malformed table in an array"),
};

static void a_table_is_proved_at_every_length(void **state)
{
    for (unsigned i = 0; i < sizeof valid_cases / sizeof valid_cases[0]; i++) {
        const struct valid_case *c = &valid_cases[i];
        for (size_t n = 0; n <= c->n; n++) {
            uint8_t *input = guarded(c->bytes, n);
            bool valid = amqp_table_valid((struct mr_span){input, n});
            if (n == c->n && valid != c->valid)
                fail_msg("%s: %d", c->reason, valid);
            struct mr_span name;
            struct amqp_value v;
            for (size_t at = 0; valid && amqp_table_next((struct mr_span){input, n}, &at, &name, &v);)
                assert_true(at <= n);
            guarded_free(input, n);
        }
    }
}

/* `depth` tables, each the only entry of the one around it. */
static struct mr_span nested(uint8_t *to, size_t room, unsigned depth)
{
    struct amqp_table_out o = {.data = to, .room = room};
    size_t opened[64];
    for (unsigned i = 1; i < depth; i++)
        opened[i] = amqp_table_open(&o, "t", 'F');
    for (unsigned i = depth; i-- > 1;)
        amqp_table_close(&o, opened[i]);
    assert_false(o.failed);
    return (struct mr_span){to, o.used};
}

static void tables_within_tables_are_limited(void **state)
{
    uint8_t bytes[1024];
    assert_true(amqp_table_valid(nested(bytes, sizeof bytes, QUEUE_TABLE_DEPTH_MAX)));
    assert_false(amqp_table_valid(nested(bytes, sizeof bytes, QUEUE_TABLE_DEPTH_MAX + 1)));
    static uint8_t large[QUEUE_TABLE_MAX + 2];
    for (size_t i = 0; i < sizeof large; i += 2)
        large[i + 1] = 'V';
    assert_true(amqp_table_valid((struct mr_span){large, QUEUE_TABLE_MAX}));
    assert_false(amqp_table_valid((struct mr_span){large, QUEUE_TABLE_MAX + 2}));
}

static const struct amqp_value values[] = {
    {.type = 't', .boolean = true},
    {.type = 'b', .integer = -128},
    {.type = 'B', .integer = 255},
    {.type = 's', .integer = -32768},
    {.type = 'u', .integer = 65535},
    {.type = 'I', .integer = INT32_MIN},
    {.type = 'i', .integer = UINT32_MAX},
    {.type = 'l', .integer = INT64_MIN},
    {.type = 'L', .integer = INT64_MAX},
    {.type = 'T', .integer = 1700000000},
    {.type = 'f', .real = 1.5},
    {.type = 'd', .real = -2.25e100},
    {.type = 'D', .decimal = {.scale = 2, .value = -314}},
    {.type = 'S', .text = {(const uint8_t *)"text", 4}},
    {.type = 'x', .text = {(const uint8_t *)"\0\xff", 2}},
    {.type = 'F', .text = {(const uint8_t *)"\1aV", 3}},
    {.type = 'A', .text = {(const uint8_t *)"Vt\1", 3}},
    {.type = 'V'},
};
#define VALUES (sizeof values / sizeof values[0])

static void what_was_put_is_read_back(void **state)
{
    uint8_t bytes[1024];
    struct amqp_table_out o = {.data = bytes, .room = sizeof bytes};
    char names[VALUES][2];
    for (unsigned i = 0; i < VALUES; i++) {
        names[i][0] = (char)('a' + i), names[i][1] = 0;
        amqp_table_put(&o, (struct mr_span){(const uint8_t *)names[i], 1}, &values[i]);
    }
    size_t array = amqp_table_open(&o, "array", 'A');
    for (unsigned i = 0; i < VALUES; i++)
        amqp_array_put(&o, &values[i]);
    size_t within = amqp_array_open_table(&o);
    amqp_table_put_text(&o, "text", SPAN("T"));
    amqp_table_put_integer(&o, "integer", -1);
    amqp_table_put_bool(&o, "bool", false);
    amqp_table_close(&o, within);
    amqp_table_close(&o, array);
    assert_false(o.failed);

    uint8_t *input = guarded(bytes, o.used);
    struct mr_span table = {input, o.used}, name;
    struct amqp_value v;
    assert_true(amqp_table_valid(table));
    size_t at = 0;
    for (unsigned i = 0; i < VALUES; i++) {
        assert_true(amqp_table_next(table, &at, &name, &v));
        assert_true(name.length == 1 && name.data[0] == 'a' + i);
        assert_true(v.type == values[i].type && amqp_value_equal(&v, &values[i]));
        struct amqp_value found;
        assert_true(amqp_table_find(table, names[i], &found) && amqp_value_equal(&found, &v));
        int64_t integer = 0;
        assert_int_equal(amqp_value_integer(&v, &integer), strchr("bBsuIilL", v.type) != NULL);
        assert_true(strchr("bBsuIilL", v.type) == NULL || integer == values[i].integer);
    }
    assert_true(amqp_table_next(table, &at, &name, &v) && v.type == 'A' && name.length == 5);
    assert_false(amqp_table_next(table, &at, &name, &v));
    assert_true(amqp_table_find(table, "array", &v));
    struct mr_span elements = v.text;
    at = 0;
    for (unsigned i = 0; i < VALUES; i++)
        assert_true(amqp_array_next(elements, &at, &v) && amqp_value_equal(&v, &values[i]));
    assert_true(amqp_array_next(elements, &at, &v) && v.type == 'F');
    assert_false(amqp_array_next(elements, &at, &(struct amqp_value){0}));
    struct amqp_value x;
    assert_true(amqp_table_find(v.text, "text", &x) && x.type == 'S' && x.text.length == 1);
    assert_true(amqp_table_find(v.text, "integer", &x) && x.type == 'l' && x.integer == -1);
    assert_true(amqp_table_find(v.text, "bool", &x) && x.type == 't' && !x.boolean);
    assert_false(amqp_table_find(v.text, "Bool", &x));
    guarded_free(input, table.length);
}

/* In less room some entries are missing, but none is there in part, and failure stays. */
static void what_does_not_fit_is_not_put(void **state)
{
    uint8_t bytes[64];
    for (size_t room = 0; room <= 22; room++) {
        struct amqp_table_out o = {.data = bytes, .room = room};
        size_t table = amqp_table_open(&o, "t", 'F');
        amqp_table_put_integer(&o, "n", 5);
        amqp_table_close(&o, table);
        amqp_table_put_bool(&o, "b", true);
        assert_int_equal(o.failed, room < 22);
        assert_true(o.used <= room);
        size_t used = o.used;
        amqp_table_put(&o, SPAN(""), &(struct amqp_value){.type = 'V'});
        assert_true(o.failed && o.used == used);
    }
    struct amqp_table_out o = {.data = bytes, .room = sizeof bytes};
    amqp_table_put(&o, SPAN("x"), &(struct amqp_value){.type = 'Q'});
    assert_true(o.failed && o.used == 0);
}

static const struct equal_case {
    struct mr_span a, b;
    bool equal;
    const char *reason;
} equal_cases[] = {
#define SAME(a, b, reason)             \
    {                                  \
        SPAN(a), SPAN(b), true, reason \
    }
#define DIFFER(a, b, reason)            \
    {                                   \
        SPAN(a), SPAN(b), false, reason \
    }
    SAME("", "", "empty"),
    SAME("\1at\1\1bV", "\1bV\1at\1", "another order"),
    SAME("\1aI\0\0\0\5", "\1al\0\0\0\0\0\0\0\5", "integers of two widths"),
    SAME("\1ab\xff", "\1aI\xff\xff\xff\xff", "both are -1"),
    DIFFER("\1ab\xff", "\1aB\xff", "-1 and 255"),
    SAME("\1af\x3f\xc0\0\0", "\1ad\x3f\xf8\0\0\0\0\0\0", "reals of two widths"),
    SAME("\1af\x7f\xc0\0\0\1bV", "\1bV\1af\x7f\xc0\0\0", "not a number, like itself"),
    DIFFER("\1aI\0\0\0\1", "\1at\1", "an integer and a boolean"),
    DIFFER("\1al\0\0\0\0\0\0\0\1", "\1aT\0\0\0\0\0\0\0\1", "an integer and a time"),
    DIFFER("\1aS\0\0\0\1x", "\1ax\0\0\0\1x", "text and bytes"),
    DIFFER("\1aV", "\1bV", "names"),
    DIFFER("\1aV", "\1aV\1bV", "one more"),
    DIFFER("\1aV\1aV", "\1aV\1bV", "a name twice"),
    SAME("\1aF\0\0\0\7\1bV\1ct\1", "\1aF\0\0\0\7\1ct\1\1bV", "another order within"),
    DIFFER("\1aF\0\0\0\3\1bV", "\1aF\0\0\0\3\1cV", "names within"),
    SAME("\1aA\0\0\0\4b\1t\1\1bV", "\1bV\1aA\0\0\0\4B\1t\1", "arrays by value"),
    DIFFER("\1aA\0\0\0\3Vt\1", "\1aA\0\0\0\3t\1V", "arrays keep their order"),
    DIFFER("\1aA\0\0\0\1V", "\1aA\0\0\0\2VV", "a longer array"),
    SAME("\1aD\1\0\0\0\5\1bV", "\1bV\1aD\1\0\0\0\5", "decimals"),
    DIFFER("\1aD\1\0\0\0\5", "\1aD\2\0\0\0\5", "their scale"),
};

static void equality_is_by_value_whatever_the_order(void **state)
{
    for (unsigned i = 0; i < sizeof equal_cases / sizeof equal_cases[0]; i++) {
        const struct equal_case *c = &equal_cases[i];
        assert_true(amqp_table_valid(c->a) && amqp_table_valid(c->b));
        if (amqp_table_equal(c->a, c->b) != c->equal || amqp_table_equal(c->b, c->a) != c->equal)
            fail_msg("%s", c->reason);
        assert_true(amqp_table_equal(c->a, c->a) && amqp_table_equal(c->b, c->b));
    }
}

static double cpu_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Tables that differ as late as possible, within each other or with thousands of names: no doubling, no square. */
static void equality_of_hostile_tables_ends_soon(void **state)
{
    static uint8_t a[QUEUE_TABLE_MAX], b[QUEUE_TABLE_MAX];
    double before = cpu_seconds();
    for (unsigned order = 0; order < 2; order++) {
        struct amqp_table_out o = {.data = order ? b : a, .room = sizeof a};
        size_t opened[QUEUE_TABLE_DEPTH_MAX];
        for (unsigned i = 0; i + 1 < QUEUE_TABLE_DEPTH_MAX; i++)
            opened[i] = amqp_table_open(&o, "t", 'F');
        for (unsigned i = 0; i < 9000; i++) {
            uint16_t n = (uint16_t)(order ? 8999 - i : i);
            amqp_table_put(&o, (struct mr_span){(const uint8_t *)&n, 2}, &(struct amqp_value){.type = 't'});
        }
        for (unsigned i = QUEUE_TABLE_DEPTH_MAX - 1; i-- > 0;)
            amqp_table_close(&o, opened[i]);
        assert_false(o.failed);
        assert_true(amqp_table_valid((struct mr_span){o.data, o.used}));
        if (order)
            assert_false(amqp_table_equal((struct mr_span){a, o.used}, (struct mr_span){b, o.used}));
    }
    assert_true(cpu_seconds() - before < 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_table_is_proved_at_every_length),
        cmocka_unit_test(tables_within_tables_are_limited),
        cmocka_unit_test(what_was_put_is_read_back),
        cmocka_unit_test(what_does_not_fit_is_not_put),
        cmocka_unit_test(equality_is_by_value_whatever_the_order),
        cmocka_unit_test(equality_of_hostile_tables_ends_soon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
