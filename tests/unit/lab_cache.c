/* `millrace lab cache`: the bound against brute force, the same output from the same seed, what the traces are, and what the
 * command line may say. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include <millrace/random.h>

#include "tools/millrace/command.h"
#include "tools/millrace/lab_cache.h"

/* The most hits that any choice of victims gives, by trying all: `cached` is a set of keys as bits. */
static unsigned brute_force(const struct lab_trace *t, uint64_t i, unsigned cached, unsigned entries)
{
    if (i == t->requests)
        return 0;
    unsigned key = 1u << t->keys[i], best = 0;
    if (cached & key)
        return 1 + brute_force(t, i + 1, cached, entries);
    if ((unsigned)__builtin_popcount(cached) < entries)
        return brute_force(t, i + 1, cached | key, entries);
    for (unsigned left = cached; left; left &= left - 1) {
        unsigned hits = brute_force(t, i + 1, (cached & ~(left & -left)) | key, entries);
        best = hits > best ? hits : best;
    }
    return best;
}

static void the_bound_is_what_brute_force_finds(void **state)
{
    struct mr_random random;
    mr_random_seed(&random, 7);
    for (int round = 0; round < 300; round++) {
        uint32_t keys[14];
        struct lab_trace t = {.keys = keys, .requests = 1 + mr_random_below(&random, 14), .universe = 6};
        for (unsigned i = 0; i < t.requests; i++)
            keys[i] = mr_random_below(&random, t.universe);
        for (unsigned entries = 1; entries <= 4; entries++) {
            uint64_t hits;
            assert_true(lab_belady_hits(&t, entries, &hits));
            assert_int_equal(hits, brute_force(&t, 0, 0, entries));
        }
    }
}

static struct lab_trace trace_of(const char *name, uint64_t requests, uint32_t keys, uint64_t seed)
{
    struct lab_trace t;
    char error[128];
    bool usage;
    if (!lab_trace_make(&t, name, requests, keys, seed, error, sizeof error, &usage))
        fail_msg("%s: %s", name, error);
    return t;
}

/* LRU in the most obvious way: an array in the order of the last use. */
static uint64_t lru_slowly(const struct lab_trace *t, unsigned entries)
{
    uint32_t cached[64];
    unsigned count = 0;
    uint64_t hits = 0;
    for (uint64_t i = 0; i < t->requests; i++) {
        unsigned at = 0;
        while (at < count && cached[at] != t->keys[i])
            at++;
        hits += at < count;
        if (at == count && count < entries)
            count++;
        else if (at == count)
            at = count - 1;
        memmove(cached + 1, cached, at * sizeof *cached);
        cached[0] = t->keys[i];
    }
    return hits;
}

static void lru_in_the_lab_is_lru(void **state)
{
    static const char *const names[] = {"zipf", "scan", "loop", "shift", "mixed"};
    for (unsigned n = 0; n < 5; n++)
        for (unsigned entries = 1; entries <= 64; entries *= 4) {
            struct lab_trace t = trace_of(names[n], 5000, 200, 3);
            uint64_t hits;
            assert_true(lab_cache_hits(&t, cache_evict_find("lru"), entries, 1, &hits));
            assert_int_equal(hits, lru_slowly(&t, entries));
            lab_trace_free(&t);
        }
}

static void no_policy_passes_the_bound_and_all_hit_all_when_all_fits(void **state)
{
    static const char *const names[] = {"zipf:0.8", "scan", "loop", "shift", "mixed"};
    for (unsigned n = 0; n < 5; n++) {
        struct lab_trace t = trace_of(names[n], 20000, 500, 5);
        for (unsigned p = 0; cache_evict_policies[p]; p++)
            for (unsigned entries = 1; entries <= 500; entries = entries * 5 / 2 + 1) {
                uint64_t hits, bound;
                if (cache_evict_policies[p] == cache_evict_find("noeviction"))
                    continue;
                assert_true(lab_cache_hits(&t, cache_evict_policies[p], entries, 1, &hits));
                assert_true(lab_belady_hits(&t, entries, &bound));
                if (hits > bound)
                    fail_msg("%s, %s, %u entries: %lu hits, the bound is %lu", names[n], cache_evict_policies[p]->name,
                             entries, (unsigned long)hits, (unsigned long)bound);
                assert_true(lab_cache_hits(&t, cache_evict_policies[p], t.distinct, 1, &hits));
                assert_int_equal(hits, t.requests - t.distinct);
            }
        lab_trace_free(&t);
    }
}

static void a_loop_longer_than_the_cache_defeats_lru(void **state)
{
    struct lab_trace t = trace_of("loop", 10000, 100, 1);
    uint64_t lru, tinylfu, bound;
    assert_true(lab_cache_hits(&t, cache_evict_find("lru"), 90, 1, &lru));
    assert_true(lab_cache_hits(&t, cache_evict_find("tinylfu"), 90, 1, &tinylfu));
    assert_true(lab_belady_hits(&t, 90, &bound));
    assert_int_equal(lru, 0);
    assert_true(tinylfu > 5000);
    assert_true(bound > tinylfu && bound < 9000);
    lab_trace_free(&t);
}

/* The share of the most popular key is 1 / (1 + 1/2 + ... + 1/n) when the skew is 1. */
static void zipf_is_as_popular_as_its_law_says(void **state)
{
    struct lab_trace t = trace_of("zipf:1", 1000000, 1000, 11);
    double harmonic = 0, count[4] = {0};
    for (unsigned k = 1; k <= 1000; k++)
        harmonic += 1.0 / k;
    for (uint64_t i = 0; i < t.requests; i++)
        if (t.keys[i] < 4)
            count[t.keys[i]]++;
    for (unsigned k = 0; k < 4; k++) {
        double expected = 1e6 / (k + 1) / harmonic;
        assert_true(count[k] > expected * 0.98 && count[k] < expected * 1.02);
    }
    lab_trace_free(&t);
}

enum form { TABLE, JSON, SVG };

static char *output_of(const char *seed, enum form form)
{
    char *arguments[] = {"cache",   "--trace",     "mixed",  "--requests",           "30000", "--keys", "3000",
                         "--sizes", "1%,10%,1000", "--seed", (char *)(uintptr_t)seed};
    char error[128], *text = NULL;
    size_t bytes;
    struct lab_cache *lab = malloc(sizeof *lab);
    if (!lab_cache_parse(lab, sizeof arguments / sizeof *arguments, arguments, error, sizeof error))
        fail_msg("%s", error);
    assert_int_equal(lab_cache_measure(lab, error, sizeof error), EXIT_GOOD);
    FILE *out = open_memstream(&text, &bytes);
    (form == TABLE ? lab_cache_print : form == JSON ? lab_cache_print_json : lab_cache_print_svg)(lab, out);
    fclose(out);
    free(lab);
    return text;
}

static void the_same_seed_gives_the_same_output(void **state)
{
    for (enum form form = TABLE; form <= SVG; form++) {
        char *first = output_of("42", form), *second = output_of("42", form), *other = output_of("43", form);
        assert_string_equal(first, second);
        assert_string_not_equal(first, other);
        free(first);
        free(second);
        free(other);
    }
}

static void json_has_every_policy_and_the_bound(void **state)
{
    char *text = output_of("1", JSON);
    json_t *all = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(all);
    assert_int_equal(json_integer_value(json_object_get(all, "requests")), 30000);
    json_t *sizes = json_object_get(all, "sizes");
    assert_int_equal(json_array_size(sizes), 3);
    assert_int_equal(json_integer_value(json_object_get(json_array_get(sizes, 2), "entries")), 1000);
    json_t *hits = json_object_get(json_array_get(sizes, 2), "hits");
    assert_int_equal(json_object_size(hits), 8);
    assert_true(json_integer_value(json_object_get(hits, "belady")) >=
                json_integer_value(json_object_get(hits, "allkeys-s3fifo")));
    json_decref(all);
    free(text);
}

static void a_file_has_a_key_a_line(void **state)
{
    char path[] = "/tmp/millrace-lab-XXXXXX", error[128];
    int fd = mkstemp(path);
    static const char lines[] = "apple\nbanana\r\n\napple\ncherry\nbanana";
    assert_int_equal(write(fd, lines, sizeof lines - 1), sizeof lines - 1);
    struct lab_trace t = trace_of(path, 1, 1, 1);
    static const uint32_t expected[] = {0, 1, 0, 2, 1};
    assert_int_equal(t.requests, 5);
    assert_int_equal(t.distinct, 3);
    assert_memory_equal(t.keys, expected, sizeof expected);
    lab_trace_free(&t);
    assert_int_equal(ftruncate(fd, 0), 0);
    close(fd);
    bool usage;
    assert_false(lab_trace_make(&t, path, 1, 1, 1, error, sizeof error, &usage));
    assert_non_null(strstr(error, "has no keys"));
    unlink(path);
    assert_false(lab_trace_make(&t, path, 1, 1, 1, error, sizeof error, &usage));
    assert_non_null(strstr(error, "No such file"));
    assert_false(usage);
}

/* Many more keys than the table of names begins with. */
static void a_file_with_many_keys_numbers_them_in_order(void **state)
{
    char path[] = "/tmp/millrace-lab-XXXXXX";
    FILE *out = fdopen(mkstemp(path), "w");
    for (unsigned round = 0; round < 2; round++)
        for (unsigned k = 0; k < 50000; k++)
            fprintf(out, "key:%u\n", k * 7919);
    fclose(out);
    struct lab_trace t = trace_of(path, 1, 1, 1);
    unlink(path);
    assert_int_equal(t.requests, 100000);
    assert_int_equal(t.distinct, 50000);
    for (uint32_t i = 0; i < 100000; i++)
        assert_int_equal(t.keys[i], i % 50000);
    lab_trace_free(&t);
}

static void each_wrong_argument_has_its_message(void **state)
{
    static const struct bad {
        const char *arguments[3], *expected;
    } bad[] = {
        {{"--size", "1%"}, "unexpected '--size'"},
        {{"zipf"}, "unexpected 'zipf'"},
        {{"--seed"}, "--seed needs a number"},
        {{"--seed", "-1"}, "--seed needs a number"},
        {{"--requests", "0"}, "--requests needs a number from 1 to 500000000"},
        {{"--requests", "10k"}, "--requests needs a number from 1 to 500000000"},
        {{"--keys", "100000001"}, "--keys needs a number from 1 to 100000000"},
        {{"--sizes", "0%"}, "--sizes needs shares of the distinct keys or numbers of entries, such as 0.1%,1%,500"},
        {{"--sizes", "101%"}, "--sizes needs shares of the distinct keys or numbers of entries, such as 0.1%,1%,500"},
        {{"--sizes", "1%,,2%"}, "--sizes needs shares of the distinct keys or numbers of entries, such as 0.1%,1%,500"},
        {{"--sizes", "nan%"}, "--sizes needs shares of the distinct keys or numbers of entries, such as 0.1%,1%,500"},
        {{"--policies", "mru"}, "--policies needs names of policies that evict, such as s3fifo,lru"},
        {{"--policies", "noeviction"}, "--policies needs names of policies that evict, such as s3fifo,lru"},
        {{"--svg", ""}, "--svg needs a file to write"},
    };
    struct lab_cache *lab = malloc(sizeof *lab);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        char error[256] = "", *arguments[4] = {"cache"};
        int count = 1;
        for (; count < 4 && bad[i].arguments[count - 1]; count++)
            arguments[count] = (char *)(uintptr_t)bad[i].arguments[count - 1];
        assert_false(lab_cache_parse(lab, count, arguments, error, sizeof error));
        assert_string_equal(error, bad[i].expected);
    }
    free(lab);
}

static void a_wrong_skew_is_a_wrong_command_line(void **state)
{
    static const char *const bad[] = {"zipf:", "zipf:x", "zipf:-1", "zipf:11", "zipf:nan", "loop:2", "scan:"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct lab_cache lab;
        char error[256], *arguments[] = {"cache", "--trace", (char *)(uintptr_t)bad[i]};
        assert_true(lab_cache_parse(&lab, 3, arguments, error, sizeof error));
        assert_int_equal(lab_cache_measure(&lab, error, sizeof error), EXIT_USAGE);
        assert_non_null(strstr(error, "a skew from 0 to 10"));
    }
}

static void tiny_traces_work(void **state)
{
    static const char *const names[] = {"zipf", "scan", "loop", "shift", "mixed"};
    for (unsigned n = 0; n < 5; n++)
        for (uint32_t keys = 1; keys < 50; keys++) {
            struct lab_trace t = trace_of(names[n], 1 + keys * 7, keys, keys);
            for (uint64_t i = 0; i < t.requests; i++)
                assert_true(t.keys[i] < keys);
            lab_trace_free(&t);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_bound_is_what_brute_force_finds),
        cmocka_unit_test(lru_in_the_lab_is_lru),
        cmocka_unit_test(no_policy_passes_the_bound_and_all_hit_all_when_all_fits),
        cmocka_unit_test(a_loop_longer_than_the_cache_defeats_lru),
        cmocka_unit_test(zipf_is_as_popular_as_its_law_says),
        cmocka_unit_test(the_same_seed_gives_the_same_output),
        cmocka_unit_test(json_has_every_policy_and_the_bound),
        cmocka_unit_test(a_file_has_a_key_a_line),
        cmocka_unit_test(a_file_with_many_keys_numbers_them_in_order),
        cmocka_unit_test(each_wrong_argument_has_its_message),
        cmocka_unit_test(a_wrong_skew_is_a_wrong_command_line),
        cmocka_unit_test(tiny_traces_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
