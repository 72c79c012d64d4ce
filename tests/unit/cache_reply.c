/* Replies: each form in both versions of RESP, over scratch and blocks of every size; values lent; memory and limits that end. */
#include "tests/support/cmocka.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/resp/reply.h"
#include "cache/store/store.h"

static struct cache_store store;
static struct memory memory; /* of blocks */
static uint8_t scratch[256];

static int set_up(void **state)
{
    static const uint64_t secret[2] = {1, 2};
    assert_true(cache_store_init(&store, UINT64_C(64) << 20, "noeviction", secret, 3));
    assert_true(memory_init(&memory, UINT64_C(64) << 20, UINT64_C(32) << 20));
    cache_store_turn(&store, 1000000);
    return 0;
}

static int tear_down(void **state)
{
    memory_release(&memory);
    cache_store_release(&store);
    return 0;
}

static void begin(struct cache_reply *r, size_t scratch_bytes, uint8_t protocol)
{
    cache_reply_init(r, &memory, scratch_bytes ? scratch : NULL, scratch_bytes, protocol, UINT64_C(16) << 20);
}

/* All bytes in order, as a connection would send them; a zero follows. */
static char *sent(struct cache_reply *r, size_t *n)
{
    cache_reply_settle(r);
    size_t length = r->scratch_used;
    for (const struct cache_reply_block *b = r->first; b; b = b->next)
        length += b->length;
    char *text = malloc(length + 1), *p = text;
    memcpy(p, scratch, r->scratch_used);
    p += r->scratch_used;
    for (const struct cache_reply_block *b = r->first; b; b = b->next) {
        memcpy(p, b->data, b->length);
        p += b->length;
    }
    *p = 0;
    *n = length;
    return text;
}

static void assert_sent(struct cache_reply *r, const void *expected, size_t length)
{
    size_t n;
    char *text = sent(r, &n);
    assert_int_equal(n, length);
    assert_memory_equal(text, expected, length);
    free(text);
}

static void end(struct cache_reply *r)
{
    cache_reply_free(r);
    assert_int_equal(memory.used, 0);
}

/* -- forms ------------------------------------------------------------------------------------------------------------------ */

static void all_forms(struct cache_reply *r)
{
    struct cache_argument a = {(const uint8_t *)"arg", 3, NULL};
    cache_reply_ok(r);
    cache_reply_simple(r, "PONG");
    cache_reply_error(r, "ERR no %s\r\nhere %d", "line", 5);
    cache_reply_integer(r, 0);
    cache_reply_integer(r, -1);
    cache_reply_integer(r, INT64_MAX);
    cache_reply_integer(r, INT64_MIN);
    cache_reply_bulk(r, "a\0b", 3);
    cache_reply_bulk(r, NULL, 0);
    cache_reply_bulk_text(r, "0123456789");
    cache_reply_bulk_integer(r, -120);
    cache_reply_argument(r, &a);
    cache_reply_null(r);
    cache_reply_null_array(r);
    cache_reply_array(r, 100);
    cache_reply_map(r, 3);
    cache_reply_set(r, 4);
    cache_reply_push(r, 5);
    cache_reply_double(r, 3.1);
    cache_reply_double(r, -INFINITY);
    cache_reply_bool(r, true);
    cache_reply_bool(r, false);
    cache_reply_verbatim(r, "txt", "hello", 5);
    cache_reply_big_number(r, "12345678901234567890");
}

#define SHARED                                                                                               \
    "+OK\r\n+PONG\r\n-ERR no line  here 5\r\n:0\r\n:-1\r\n:9223372036854775807\r\n:-9223372036854775808\r\n" \
    "$3\r\na\0b\r\n$0\r\n\r\n$10\r\n0123456789\r\n$4\r\n-120\r\n$3\r\narg\r\n"
static const char resp2[] = SHARED "$-1\r\n*-1\r\n*100\r\n*6\r\n*4\r\n*5\r\n$18\r\n3.1000000000000001\r\n$4\r\n-inf\r\n"
                                   ":1\r\n:0\r\n$5\r\nhello\r\n$20\r\n12345678901234567890\r\n";
static const char resp3[] = SHARED "_\r\n_\r\n*100\r\n%3\r\n~4\r\n>5\r\n,3.1000000000000001\r\n,-inf\r\n"
                                   "#t\r\n#f\r\n=9\r\ntxt:hello\r\n(12345678901234567890\r\n";

static void each_form_in_both_versions(void **state)
{
    /* The bytes do not depend on how much of them fits into the scratch. */
    for (size_t bytes = 0; bytes <= sizeof scratch; bytes += 16) {
        struct cache_reply r;
        begin(&r, bytes, 2);
        assert_true(cache_reply_empty(&r));
        all_forms(&r);
        assert_false(cache_reply_empty(&r));
        assert_sent(&r, resp2, sizeof resp2 - 1);
        end(&r);
        begin(&r, bytes, 3);
        all_forms(&r);
        assert_sent(&r, resp3, sizeof resp3 - 1);
        end(&r);
    }
}

static void every_count_of_digits_is_written(void **state)
{
    uint64_t value = 1;
    for (unsigned digits = 1; digits <= 18; digits++, value *= 10)
        for (int delta = -1; delta <= 1; delta++) {
            struct cache_reply r;
            char expected[40];
            begin(&r, sizeof scratch, 2);
            cache_reply_integer(&r, (int64_t)value + delta);
            int n = snprintf(expected, sizeof expected, ":%lld\r\n", (long long)value + delta);
            assert_sent(&r, expected, (size_t)n);
            end(&r);
        }
}

static void long_bytes_go_on_in_blocks(void **state)
{
    static char bytes[200000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i * 3 + i / 254);
    for (size_t n = 1; n < sizeof bytes; n = n * 5 + 1) {
        struct cache_reply r;
        char head[24];
        int h = snprintf(head, sizeof head, "$%zu\r\n", n);
        char *expected = malloc(n + 40);
        memcpy(expected, head, (size_t)h);
        memcpy(expected + h, bytes, n);
        memcpy(expected + h + n, "\r\n", 2);
        begin(&r, 100, 2);
        cache_reply_bulk(&r, bytes, n);
        assert_sent(&r, expected, (size_t)h + n + 2);
        end(&r);
        free(expected);
    }
}

/* -- values ----------------------------------------------------------------------------------------------------------------- */

static void values_are_copied_when_short_and_lent_when_long(void **state)
{
    static char bytes[300000];
    struct mr_span key = {(const uint8_t *)"k", 1};
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)('a' + i % 26);
    for (size_t n = 0; n < sizeof bytes; n = n * 3 + 7) {
        struct cache_reply r;
        struct cache_entry *e = cache_store_set(&store, 0, key, (struct mr_span){(const uint8_t *)bytes, n});
        assert_non_null(e);
        begin(&r, sizeof scratch, 2);
        cache_reply_string(&r, e);
        assert_int_equal(r.lent > 0, n >= CACHE_LEND_MIN);
        cache_store_delete(&store, 0, key); /* what is lent stays until it is sent */
        for (unsigned i = 0; i < 50; i++)
            cache_store_background(&store);
        char *expected = malloc(n + 40);
        int h = sprintf(expected, "$%zu\r\n", n);
        memcpy(expected + h, bytes, n);
        memcpy(expected + h + n, "\r\n", 2);
        assert_sent(&r, expected, (size_t)h + n + 2);
        free(expected);
        end(&r);
    }
}

static void ranges_of_values_are_cut(void **state)
{
    static const char digits[] = "0123456789";
    struct mr_span key = {(const uint8_t *)"k", 1};
    char bytes[100000];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = digits[i % 10];
    struct cache_entry *e = cache_store_set(&store, 0, key, (struct mr_span){(const uint8_t *)bytes, sizeof bytes});
    for (size_t at = 0; at < sizeof bytes; at += 9973) {
        struct cache_reply r;
        begin(&r, sizeof scratch, 2);
        size_t n = sizeof bytes - at < 5000 ? sizeof bytes - at : 5000;
        cache_reply_value_raw(&r, e, at, n);
        assert_sent(&r, bytes + at, n);
        end(&r);
    }
    e = cache_store_set_integer(&store, 0, key, -12345);
    struct cache_reply r;
    begin(&r, sizeof scratch, 2);
    cache_reply_string_range(&r, e, 1, 3);
    cache_reply_string(&r, e);
    assert_sent(&r, "$3\r\n123\r\n$6\r\n-12345\r\n", 21);
    end(&r);
    cache_store_delete(&store, 0, key);
}

/* -- what is known later ---------------------------------------------------------------------------------------------------- */

static void deferred_lengths_stand_in_front(void **state)
{
    static const char kinds[] = "*%~>";
    static const char *const expected2[] = {"+a\r\n*2\r\n:1\r\n:2\r\n+z\r\n", "+a\r\n*4\r\n:1\r\n:2\r\n+z\r\n",
                                            "+a\r\n*2\r\n:1\r\n:2\r\n+z\r\n", "+a\r\n*2\r\n:1\r\n:2\r\n+z\r\n"};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned protocol = 2; protocol <= 3; protocol++) {
            struct cache_reply r;
            char expected[64];
            begin(&r, sizeof scratch, (uint8_t)protocol);
            cache_reply_simple(&r, "a");
            struct cache_reply_block *header = cache_reply_defer(&r);
            cache_reply_integer(&r, 1);
            cache_reply_integer(&r, 2);
            cache_reply_defer_end(&r, header, kinds[i], 2);
            cache_reply_simple(&r, "z");
            snprintf(expected, sizeof expected, "+a\r\n%c2\r\n:1\r\n:2\r\n+z\r\n", kinds[i]);
            const char *text = protocol == 3 ? expected : expected2[i];
            assert_sent(&r, text, strlen(text));
            end(&r);
        }
}

static void deferred_lengths_nest_over_many_blocks(void **state)
{
    struct cache_reply r;
    size_t n;
    char expected[120000], *p = expected;
    begin(&r, sizeof scratch, 2);
    struct cache_reply_block *outer = cache_reply_defer(&r);
    p += sprintf(p, "*10\r\n");
    for (unsigned i = 0; i < 10; i++) {
        struct cache_reply_block *inner = cache_reply_defer(&r);
        p += sprintf(p, "*%u\r\n", i * 100);
        for (unsigned k = 0; k < i * 100; k++) {
            cache_reply_bulk_integer(&r, k);
            char digits[16];
            p += sprintf(p, "$%d\r\n%s\r\n", sprintf(digits, "%u", k), digits);
        }
        cache_reply_defer_end(&r, inner, '*', i * 100);
    }
    cache_reply_defer_end(&r, outer, '*', 10);
    char *text = sent(&r, &n);
    assert_int_equal(n, (size_t)(p - expected));
    assert_memory_equal(text, expected, n);
    free(text);
    end(&r);
}

/* -- limits ----------------------------------------------------------------------------------------------------------------- */

static void reply_beyond_its_limit_fails_and_grows_no_more(void **state)
{
    struct cache_reply r;
    cache_reply_init(&r, &memory, scratch, sizeof scratch, 2, 10000);
    for (unsigned i = 0; i < 1000 && !r.failed; i++)
        cache_reply_bulk_text(&r, "some text that is not very short");
    assert_true(r.failed);
    assert_true(r.bytes <= 10000);
    uint64_t bytes = r.bytes;
    all_forms(&r);
    cache_reply_defer_end(&r, cache_reply_defer(&r), '*', 1);
    assert_int_equal(r.bytes, bytes);
    end(&r);
}

static void reply_without_memory_fails_anywhere(void **state)
{
    uint64_t limit = memory.limit;
    unsigned failed = 0;
    for (uint64_t bytes = 0; bytes < 4000; bytes += 50) {
        struct cache_reply r;
        begin(&r, 64, 3);
        memory.limit = bytes;
        for (unsigned i = 0; i < 8; i++)
            all_forms(&r);
        failed += r.failed;
        memory.limit = limit;
        end(&r);
    }
    assert_true(failed > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_form_in_both_versions),
        cmocka_unit_test(every_count_of_digits_is_written),
        cmocka_unit_test(long_bytes_go_on_in_blocks),
        cmocka_unit_test(values_are_copied_when_short_and_lent_when_long),
        cmocka_unit_test(ranges_of_values_are_cut),
        cmocka_unit_test(deferred_lengths_stand_in_front),
        cmocka_unit_test(deferred_lengths_nest_over_many_blocks),
        cmocka_unit_test(reply_beyond_its_limit_fails_and_grows_no_more),
        cmocka_unit_test(reply_without_memory_fails_anywhere),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
