/* The HTTP cache as its user sees it: requests, responses, and time that goes by. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/hcache_world.h"

#define KEEP  "Cache-Control: max-age=60\r\n"
#define ETAG  "ETag: \"v1\"\r\n"
#define EVER  "Cache-Control: max-age=60, stale-while-revalidate=60\r\n"
#define BLOCK HCACHE_BLOCK_BYTES

static const struct proxy_cache_config small = {
    .bytes = 64 * BLOCK,
    .object_bytes_max = 40 * BLOCK,
    .policy = "lru",
    .heuristic_max = 86400 * MR_SECOND,
    .waiting_max = 8,
};

static struct hcache_world world;

static int open_world(void **state)
{
    hcache_world_open(&world, &small);
    return 0;
}

static int close_world(void **state)
{
    hcache_world_close(&world);
    return 0;
}

static enum hcache_verdict ask(struct hcache_ask *a, const char *target, const char *fields)
{
    hcache_ask_make(&world, a, "GET", target, fields);
    return hcache_ask_lookup(a);
}

/* A request from its beginning to its end: what it got. */
static enum hcache_verdict verdict(const char *method, const char *target, const char *fields)
{
    struct hcache_ask a;
    hcache_ask_make(&world, &a, method, target, fields);
    enum hcache_verdict v = hcache_ask_lookup(&a);
    hcache_end(&a.q);
    return v;
}

#define gets(target, fields) verdict("GET", target, fields)

static bool put(const char *target, const char *request, const char *response, const char *body)
{
    struct hcache_ask a;
    ask(&a, target, request);
    bool kept = hcache_ask_fill(&a, 200, response, body);
    hcache_end(&a.q);
    return kept;
}

static char *text_of(const struct hcache_entry *e)
{
    char *text = calloc(1, hcache_entry_length(e) + 1);
    for (uint64_t at = 0; at < hcache_entry_length(e);) {
        struct mr_span piece = hcache_entry_body(e, at);
        memcpy(text + at, piece.data, piece.length);
        at += piece.length;
    }
    return text;
}

static void assert_body(const char *target, const char *fields, const char *expected)
{
    struct hcache_ask a;
    assert_int_equal(ask(&a, target, fields), HCACHE_HIT);
    char *text = text_of(a.q.entry);
    assert_string_equal(text, expected);
    free(text);
    hcache_end(&a.q);
}

static char *bytes(size_t n, char seed)
{
    char *text = malloc(n + 1);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + (seed + i * 7 + i / 251) % 26);
    text[n] = 0;
    return text;
}

static void a_response_is_kept_and_served(void **state)
{
    struct hcache_ask a;
    assert_int_equal(ask(&a, "/a", ""), HCACHE_MISS);
    assert_true(a.q.fetches);
    assert_true(hcache_ask_fill(&a, 200, KEEP "Content-Length: 5\r\nX-A: b\r\nAge: 3\r\n", "hello"));
    assert_false(a.q.fetches);
    hcache_end(&a.q);
    world.now += 7;
    assert_int_equal(ask(&a, "/a", ""), HCACHE_HIT);
    struct mr_span head = hcache_entry_head(a.q.entry);
    const char *expected = "HTTP/1.1 200 Some\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n" KEEP "X-A: b\r\n";
    assert_int_equal(head.length, strlen(expected));
    assert_memory_equal(head.data, expected, head.length);
    assert_int_equal(hcache_entry_status(a.q.entry), 200);
    assert_int_equal(hcache_entry_age(a.q.entry, world.now), 10);
    hcache_end(&a.q);
    hcache_end(&a.q);
    assert_body("/a", "", "hello");
    assert_int_equal(gets("/A", ""), HCACHE_MISS);
    assert_int_equal(gets("/a?", ""), HCACHE_MISS);
}

static void fields_of_one_hop_are_not_kept(void **state)
{
    struct hcache_ask a;
    assert_true(put(
        "/a", "",
        "Cache-Control: max-age=9, no-cache=\"x-b\", private=\"set-cookie\"\r\nDate: Tue, 14 Nov 2023 22:13:20 GMT\r\n"
        "Connection: close, X-Hop, server\r\nX-Hop: 1\r\nServer: x\r\nKeep-Alive: 5\r\nProxy-Authenticate: x\r\n"
        "Proxy-Authentication-Info: x\r\nTE: x\r\nTrailer: x\r\nUpgrade: h2c\r\n"
        "Content-Length: 0\r\nX-B: 2\r\nSet-Cookie: a=b\r\nX-C: 3\r\n",
        ""));
    ask(&a, "/a", "");
    struct mr_span head = hcache_entry_head(a.q.entry);
    const char *expected = "HTTP/1.1 200 Some\r\nCache-Control: max-age=9, no-cache=\"x-b\", private=\"set-cookie\"\r\n"
                           "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nX-C: 3\r\n";
    assert_int_equal(head.length, strlen(expected));
    assert_memory_equal(head.data, expected, head.length);
    hcache_end(&a.q);
}

static void bodies_of_every_length_come_back(void **state)
{
    static const size_t lengths[] = {0, 1, 3000, 4095, 4096, 4097, 8192, 36000, 37000, 40 * BLOCK - 1, 40 * BLOCK};
    for (unsigned i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *body = bytes(lengths[i], (char)i);
        assert_true(put("/long", "", KEEP, body));
        assert_body("/long", "", body);
        hcache_purge_all(world.cache, false);
        free(body);
        hcache_check(world.cache);
    }
}

static void a_body_above_the_bound_is_not_kept(void **state)
{
    struct hcache_ask a, other;
    char *body = bytes(40 * BLOCK + 1, 3);
    ask(&a, "/long", "");
    assert_int_equal(ask(&other, "/long", ""), HCACHE_WAIT);
    assert_false(hcache_ask_fill(&a, 200, KEEP, body));
    fake_turn(world.worker);
    assert_int_equal(other.calls, 1);
    assert_int_equal(hcache_ask_lookup(&other), HCACHE_MISS);
    assert_false(other.q.fetches); /* it is known now: nobody waits for it */
    hcache_end(&other.q);
    hcache_end(&a.q);
    assert_int_equal(ask(&a, "/long", ""), HCACHE_MISS);
    assert_false(hcache_ask_fill(&a, 200, KEEP "Content-Length: 163841\r\n", ""));
    hcache_end(&a.q);
    free(body);
    assert_int_equal(world.cache->pool.used, 0);
}

static void a_head_as_large_as_a_block_is_kept_and_a_larger_one_is_not(void **state)
{
    char fields[6000], *filler = bytes(3900, 1);
    snprintf(fields, sizeof fields, KEEP "X-Long: %s\r\n", filler);
    assert_true(put("/a", "", fields, "body"));
    assert_body("/a", "", "body");
    snprintf(fields, sizeof fields, KEEP "X-Long: %s\r\nX-More: %.300s\r\n", filler, filler);
    assert_false(put("/b", "", fields, "body"));
    free(filler);
}

static void an_incomplete_body_is_not_kept(void **state)
{
    assert_false(put("/a", "", KEEP "Content-Length: 5\r\n", "hell"));
    assert_false(put("/a", "", KEEP "Content-Length: 5\r\n", "hello!"));
    assert_int_equal(world.cache->pool.used, 0);
}

static void variants_are_told_apart_by_what_vary_names(void **state)
{
    assert_true(put("/v", "Accept-Encoding: gzip\r\n", KEEP "Vary: Accept-Encoding\r\n", "zipped"));
    assert_int_equal(gets("/v", ""), HCACHE_MISS);
    assert_true(put("/v", "", KEEP "Vary: accept-encoding\r\n", "plain"));
    assert_body("/v", "", "plain");
    assert_body("/v", "Accept-Encoding: gzip\r\n", "zipped");
    assert_body("/v", "accept-encoding:  GZIP \r\n", "zipped");
    assert_int_equal(gets("/v", "Accept-Encoding:\r\n"), HCACHE_MISS); /* empty is not absent */
    assert_true(put("/v", "Accept-Encoding: gzip;q=1.0, br\r\n", KEEP "Vary: Accept-Encoding\r\n", "both"));
    assert_body("/v", "Accept-Encoding: gzip; q=1.0\r\nAccept-Encoding: BR\r\n", "both");
}

/* RFC 9110 7.6.1: what Connection names does not reach the backend, so no response is about it. */
static void what_connection_names_is_absent_for_vary(void **state)
{
    assert_true(put("/v", "Accept-Language: de\r\nConnection: close, accept-Language\r\n",
                    KEEP "Vary: Accept-Language\r\n", "english"));
    assert_int_equal(gets("/v", "Accept-Language: de\r\n"), HCACHE_MISS);
    assert_body("/v", "", "english");
    assert_body("/v", "X-A: de\r\nConnection: accept-language\r\nAccept-Language: fr\r\n", "english");
}

/* The backend gets them from the proxy, not from the request: all clients would look alike. */
static void what_varies_by_who_asks_is_not_kept(void **state)
{
    assert_false(put("/v", "", KEEP "Vary: X-Forwarded-For\r\n", "x"));
    assert_false(put("/v", "", KEEP "Vary: accept, forwarded\r\n", "x"));
}

static void values_of_unknown_fields_keep_their_case(void **state)
{
    assert_true(put("/v", "X-A: b c\r\n", KEEP "Vary: x-a\r\n", "1"));
    assert_body("/v", "x-A: b c\r\n", "1");
    assert_int_equal(gets("/v", "X-A: B c\r\n"), HCACHE_MISS);
    assert_int_equal(gets("/v", "X-A: bc\r\n"), HCACHE_MISS);
}

static void a_miss_for_another_variant_says_so(void **state)
{
    struct hcache_ask a;
    char text[HCACHE_STATUS_BYTES];
    put("/v", "X-A: 1\r\n", KEEP "Vary: x-a\r\n", "1");
    ask(&a, "/v", "X-A: 2\r\n");
    size_t n = hcache_status_field(&a.q, "mr", world.now, text);
    assert_int_equal(n, strlen("mr; fwd=vary-miss"));
    assert_memory_equal(text, "mr; fwd=vary-miss", n);
    hcache_end(&a.q);
}

static void the_newest_response_says_how_a_url_varies(void **state)
{
    put("/v", "", KEEP, "any");
    assert_body("/v", "X-A: 1\r\n", "any");
    world.now += 61;
    assert_true(put("/v", "X-A: 1\r\n", KEEP "Vary: x-a\r\n", "one"));
    assert_int_equal(gets("/v", "X-A: 2\r\n"), HCACHE_MISS);
    assert_int_equal(world.cache->entries, 1);
}

static void variants_of_a_url_are_bounded_and_the_oldest_goes(void **state)
{
    char field[64];
    for (unsigned i = 0; i < HCACHE_VARIANTS_MAX + 4; i++) {
        snprintf(field, sizeof field, "X-A: %u\r\n", i);
        assert_true(put("/v", field, KEEP "Vary: x-a\r\n", "v"));
    }
    assert_int_equal(world.cache->entries, HCACHE_VARIANTS_MAX);
    assert_int_equal(gets("/v", "X-A: 3\r\n"), HCACHE_MISS);
    assert_int_equal(gets("/v", "X-A: 4\r\n"), HCACHE_HIT);
}

static void others_wait_for_the_first_and_are_served_in_a_later_run(void **state)
{
    struct hcache_ask first, others[3];
    char text[HCACHE_STATUS_BYTES];
    ask(&first, "/a", "");
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ask(&others[i], "/a", ""), HCACHE_WAIT);
    assert_true(hcache_ask_fill(&first, 200, KEEP, "x"));
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(others[i].calls, 0); /* never from inside a call */
    fake_turn(world.worker);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(others[i].calls, 1);
        assert_int_equal(hcache_ask_lookup(&others[i]), HCACHE_HIT);
        size_t n = hcache_status_field(&others[i].q, "mr", world.now, text);
        assert_memory_equal(text, "mr; fwd=miss; collapsed; ttl=60", n);
        hcache_end(&others[i].q);
    }
    hcache_end(&first.q);
}

static void more_than_the_bound_do_not_wait(void **state)
{
    struct hcache_ask first, others[8];
    ask(&first, "/a", "");
    for (unsigned i = 0; i < 8; i++)
        assert_int_equal(ask(&others[i], "/a", ""), HCACHE_WAIT);
    assert_int_equal(gets("/a", ""), HCACHE_BYPASS);
    hcache_end(&others[3].q);
    struct hcache_ask late;
    assert_int_equal(ask(&late, "/a", ""), HCACHE_WAIT);
    hcache_end(&late.q);
    for (unsigned i = 0; i < 8; i++)
        hcache_end(&others[i].q);
    hcache_end(&first.q);
    fake_turn(world.worker);
}

static void a_response_that_may_not_be_kept_lets_all_go_at_once(void **state)
{
    struct hcache_ask first, others[4];
    ask(&first, "/a", "");
    for (unsigned i = 0; i < 4; i++)
        ask(&others[i], "/a", "");
    assert_false(hcache_ask_fill(&first, 200, "Cache-Control: private\r\n", "x"));
    fake_turn(world.worker);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(others[i].calls, 1);
        assert_int_equal(hcache_ask_lookup(&others[i]), HCACHE_MISS);
    }
    for (unsigned i = 0; i < 4; i++)
        hcache_end(&others[i].q);
    hcache_end(&first.q);
    assert_int_equal(gets("/a", ""), HCACHE_MISS);
    assert_int_equal(ask(&first, "/a", ""), HCACHE_MISS);
    assert_int_equal(gets("/a", ""), HCACHE_MISS);        /* for a while nobody waits for it */
    assert_true(hcache_ask_fill(&first, 200, KEEP, "x")); /* but it is kept when it may be */
    hcache_end(&first.q);
    assert_body("/a", "", "x");
}

static void a_fetch_that_dies_goes_to_the_next_alone(void **state)
{
    struct hcache_ask first, others[3];
    ask(&first, "/a", "");
    for (unsigned i = 0; i < 3; i++)
        ask(&others[i], "/a", "");
    hcache_end(&first.q);
    fake_turn(world.worker);
    assert_int_equal(others[0].calls, 1);
    assert_int_equal(others[1].calls + others[2].calls, 0);
    assert_int_equal(hcache_ask_lookup(&others[0]), HCACHE_MISS);
    assert_true(others[0].q.fetches);
    struct hcache_answer r;
    hcache_answer_make(&r, 200, KEEP, HTTP_GET);
    struct hcache_fill *f = hcache_fill_begin(&others[0].q, &r.response, (const uint8_t *)r.head, world.now);
    assert_non_null(f);
    hcache_fill_abort(f); /* its connection broke */
    hcache_end(&others[0].q);
    hcache_end(&others[1].q); /* handed to it, but it is gone before it is called */
    fake_turn(world.worker);
    assert_int_equal(others[1].calls, 0);
    assert_int_equal(others[2].calls, 1);
    assert_int_equal(hcache_ask_lookup(&others[2]), HCACHE_MISS);
    assert_true(hcache_ask_fill(&others[2], 200, KEEP, "x"));
    hcache_end(&others[2].q);
}

/* Whoever fetches may do so for a client that hardly takes anything: it must not hold up all others. */
static void a_fetch_that_lasts_too_long_is_taken_over(void **state)
{
    struct hcache_ask slow, waits, next;
    struct hcache_answer r;
    ask(&slow, "/a", "");
    hcache_answer_make(&r, 200, KEEP, HTTP_GET);
    struct hcache_fill *f = hcache_fill_begin(&slow.q, &r.response, (const uint8_t *)r.head, world.now);
    assert_non_null(f);
    world.now += HCACHE_FETCH_SECONDS - 1;
    assert_int_equal(ask(&waits, "/a", ""), HCACHE_WAIT);
    world.now++;
    assert_int_equal(ask(&next, "/a", ""), HCACHE_MISS);
    assert_true(next.q.fetches);
    assert_false(slow.q.fetches);
    assert_true(hcache_ask_fill(&next, 200, KEEP, "next"));
    fake_turn(world.worker);
    assert_int_equal(waits.calls, 1);
    assert_int_equal(hcache_ask_lookup(&waits), HCACHE_HIT);
    hcache_end(&waits.q);
    hcache_end(&next.q);
    assert_true(hcache_fill_append(f, (const uint8_t *)"slow", 4));
    hcache_fill_end(f);
    hcache_end(&slow.q);
    assert_body("/a", "", "slow");
}

static void waiters_of_another_variant_do_not_wait_again(void **state)
{
    struct hcache_ask first, others[3];
    char field[32];
    ask(&first, "/v", "X-A: 0\r\n");
    for (unsigned i = 0; i < 3; i++) {
        snprintf(field, sizeof field, "X-A: %u\r\n", i + 1);
        assert_int_equal(ask(&others[i], "/v", field), HCACHE_WAIT);
    }
    assert_true(hcache_ask_fill(&first, 200, KEEP "Vary: x-a\r\n", "0"));
    hcache_end(&first.q);
    fake_turn(world.worker);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(hcache_ask_lookup(&others[i]), HCACHE_MISS);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(hcache_ask_fill(&others[i], 200, KEEP "Vary: x-a\r\n", "1"));
        hcache_end(&others[i].q);
    }
    assert_int_equal(world.cache->entries, 4);
}

static void a_fill_goes_on_when_its_request_ends(void **state)
{
    struct hcache_ask first, other;
    struct hcache_answer r;
    hcache_answer_make(&r, 200, KEEP, HTTP_GET);
    ask(&first, "/a", "");
    ask(&other, "/a", "");
    struct hcache_fill *f = hcache_fill_begin(&first.q, &r.response, (const uint8_t *)r.head, world.now);
    hcache_end(&first.q);
    assert_int_equal(hcache_entry_status(hcache_fill_entry(f)), 200);
    assert_true(hcache_fill_append(f, (const uint8_t *)"x", 1));
    hcache_fill_end(f);
    fake_turn(world.worker);
    assert_int_equal(hcache_ask_lookup(&other), HCACHE_HIT);
    hcache_end(&other.q);
}

static void stale_entries_are_validated_by_one_and_freshened(void **state)
{
    struct hcache_ask a, other;
    char text[512];
    put("/a", "", KEEP "ETag: W/\"v1\"\r\nLast-Modified: Mon, 13 Nov 2023 22:13:20 GMT\r\nX-A: 1\r\n", "x");
    world.now += 60;
    assert_int_equal(ask(&a, "/a", ""), HCACHE_VALIDATE);
    assert_int_equal(ask(&other, "/a", ""), HCACHE_WAIT);
    size_t n = hcache_validators(&a.q, text, sizeof text);
    const char *expected = "If-None-Match: W/\"v1\"\r\nIf-Modified-Since: Mon, 13 Nov 2023 22:13:20 GMT\r\n";
    assert_int_equal(n, strlen(expected));
    assert_memory_equal(text, expected, n);
    hcache_ask_validated(
        &a, "Cache-Control: max-age=30\r\nX-A: 2\r\nX-B: 3\r\nContent-Type: no/no\r\nContent-Length: 9\r\n");
    assert_int_equal(a.q.verdict, HCACHE_HIT);
    n = hcache_status_field(&a.q, "mr", world.now, text);
    assert_memory_equal(text, "mr; fwd=stale; fwd-status=304; ttl=30", n);
    struct mr_span head = hcache_entry_head(a.q.entry);
    expected = "HTTP/1.1 200 Some\r\nDate: Tue, 14 Nov 2023 22:14:20 GMT\r\nETag: W/\"v1\"\r\n"
               "Last-Modified: Mon, 13 Nov 2023 22:13:20 GMT\r\nCache-Control: max-age=30\r\nX-A: 2\r\nX-B: 3\r\n";
    assert_int_equal(head.length, strlen(expected));
    assert_memory_equal(head.data, expected, head.length);
    hcache_end(&a.q);
    fake_turn(world.worker);
    assert_int_equal(hcache_ask_lookup(&other), HCACHE_HIT);
    hcache_end(&other.q);
    world.now += 29;
    assert_int_equal(gets("/a", ""), HCACHE_HIT);
    world.now += 1;
    assert_int_equal(gets("/a", ""), HCACHE_VALIDATE);
}

static void a_head_that_a_304_lets_grow_moves_to_a_block_of_its_own(void **state)
{
    struct hcache_ask a;
    char fields[3000], *filler = bytes(2500, 2);
    put("/a", "", KEEP ETAG, "body");
    world.now += 60;
    ask(&a, "/a", "");
    snprintf(fields, sizeof fields, KEEP "X-Long: %s\r\n", filler);
    hcache_ask_validated(&a, fields);
    assert_int_equal(a.q.verdict, HCACHE_HIT);
    assert_non_null(memmem(hcache_entry_head(a.q.entry).data, hcache_entry_head(a.q.entry).length, filler, 2500));
    hcache_end(&a.q);
    assert_int_equal(world.cache->pool.used, 2);
    assert_body("/a", "", "body");
    free(filler);
}

static void a_304_about_something_else_ends_the_entry(void **state)
{
    struct hcache_ask a;
    put("/a", "", KEEP ETAG, "x");
    world.now += 60;
    ask(&a, "/a", "");
    hcache_ask_validated(&a, "ETag: \"v2\"\r\n");
    assert_int_equal(a.q.verdict, HCACHE_MISS);
    assert_true(a.q.fetches);
    assert_true(hcache_ask_fill(&a, 200, KEEP, "y"));
    hcache_end(&a.q);
    assert_body("/a", "", "y");
}

static void a_304_freshens_every_variant_of_its_strong_etag(void **state)
{
    struct hcache_ask a;
    put("/v", "X-A: 1\r\n", KEEP ETAG "Vary: x-a\r\n", "x");
    put("/v", "X-A: 2\r\n", KEEP ETAG "Vary: x-a\r\n", "x");
    put("/v", "X-A: 3\r\n", KEEP "ETag: \"v3\"\r\nVary: x-a\r\n", "y");
    world.now += 60;
    ask(&a, "/v", "X-A: 1\r\n");
    hcache_ask_validated(&a, ETAG);
    hcache_end(&a.q);
    assert_int_equal(gets("/v", "X-A: 1\r\n"), HCACHE_HIT);
    assert_int_equal(gets("/v", "X-A: 2\r\n"), HCACHE_HIT);
    assert_int_equal(gets("/v", "X-A: 3\r\n"), HCACHE_VALIDATE);
}

static void a_304_that_forbids_keeping_is_good_for_its_request_only(void **state)
{
    struct hcache_ask a;
    put("/a", "", KEEP ETAG, "x");
    world.now += 60;
    ask(&a, "/a", "");
    hcache_ask_validated(&a, "Cache-Control: private\r\n" ETAG);
    assert_int_equal(a.q.verdict, HCACHE_HIT);
    hcache_end(&a.q);
    assert_int_equal(gets("/a", ""), HCACHE_MISS);
}

static void a_whole_response_to_a_validation_replaces_the_entry(void **state)
{
    struct hcache_ask a;
    put("/a", "", KEEP ETAG, "old");
    world.now += 60;
    assert_int_equal(ask(&a, "/a", ""), HCACHE_VALIDATE);
    assert_true(hcache_ask_fill(&a, 200, KEEP, "new"));
    char *text = text_of(a.q.entry); /* still held */
    assert_string_equal(text, "old");
    free(text);
    hcache_end(&a.q);
    assert_body("/a", "", "new");
    assert_int_equal(world.cache->pool.used, 1);
    world.now += 60;
    ask(&a, "/a", "");
    assert_false(hcache_ask_fill(&a, 200, "Cache-Control: no-store\r\n", "secret"));
    hcache_end(&a.q);
    assert_int_equal(world.cache->entries, 0);
}

static void what_is_always_asked_for_lets_nobody_wait(void **state)
{
    struct hcache_ask a, b;
    put("/a", "", "Cache-Control: no-cache\r\n" ETAG, "x");
    assert_int_equal(ask(&a, "/a", ""), HCACHE_VALIDATE);
    assert_int_equal(ask(&b, "/a", ""), HCACHE_VALIDATE);
    hcache_ask_validated(&a, "");
    assert_int_equal(a.q.verdict, HCACHE_HIT);
    hcache_end(&a.q);
    hcache_end(&b.q);
}

static void a_client_that_reloads_asks_alone(void **state)
{
    struct hcache_ask a;
    put("/a", "", KEEP ETAG, "x");
    assert_int_equal(ask(&a, "/a", "Cache-Control: no-cache\r\n"), HCACHE_VALIDATE);
    assert_int_equal(gets("/a", ""), HCACHE_HIT);
    hcache_ask_validated(&a, ETAG);
    hcache_end(&a.q);
}

static void stale_while_revalidate_lets_one_fetch_and_serves_all(void **state)
{
    struct hcache_ask first, second;
    char text[HCACHE_STATUS_BYTES];
    put("/a", "", EVER, "old");
    world.now += 60;
    assert_int_equal(ask(&first, "/a", ""), HCACHE_STALE);
    assert_true(first.q.fetches);
    size_t n = hcache_status_field(&first.q, "mr", world.now, text);
    assert_memory_equal(text, "mr; hit; ttl=0", n);
    assert_int_equal(ask(&second, "/a", ""), HCACHE_STALE);
    assert_false(second.q.fetches);
    assert_true(hcache_ask_fill(&first, 200, EVER, "new"));
    hcache_end(&first.q);
    assert_body("/a", "", "new");
    char *body = text_of(second.q.entry);
    assert_string_equal(body, "old");
    free(body);
    hcache_end(&second.q);
    world.now += 120;
    assert_int_equal(gets("/a", ""), HCACHE_VALIDATE);
}

static void a_failed_backend_is_stood_in_for_without_asking_again_at_once(void **state)
{
    struct hcache_ask a, b;
    put("/a", "", "Cache-Control: max-age=60, stale-if-error=60\r\n", "old");
    world.now += 60;
    assert_int_equal(ask(&a, "/a", ""), HCACHE_VALIDATE);
    assert_int_equal(ask(&b, "/a", ""), HCACHE_WAIT);
    assert_true(hcache_serve_on_error(&a.q, world.now));
    assert_int_equal(a.q.verdict, HCACHE_STALE);
    hcache_end(&a.q);
    fake_turn(world.worker);
    assert_int_equal(hcache_ask_lookup(&b), HCACHE_STALE);
    assert_false(b.q.fetches);
    hcache_end(&b.q);
    world.now += HCACHE_FAILED_SECONDS;
    assert_int_equal(gets("/a", ""), HCACHE_VALIDATE);
    put("/b", "", KEEP, "old");
    world.now += 60;
    ask(&a, "/b", "");
    assert_false(hcache_serve_on_error(&a.q, world.now));
    hcache_end(&a.q);
}

static void a_fetch_that_fails_behind_a_stale_answer_is_not_tried_again_at_once(void **state)
{
    struct hcache_ask a;
    put("/a", "", EVER, "old");
    world.now += 60;
    assert_int_equal(ask(&a, "/a", ""), HCACHE_STALE);
    assert_true(hcache_serve_on_error(&a.q, world.now));
    assert_false(a.q.fetches);
    hcache_end(&a.q);
    assert_int_equal(ask(&a, "/a", ""), HCACHE_STALE);
    assert_false(a.q.fetches);
    hcache_end(&a.q);
    world.now += HCACHE_FAILED_SECONDS;
    assert_int_equal(ask(&a, "/a", ""), HCACHE_STALE);
    assert_true(a.q.fetches);
    hcache_end(&a.q);
}

static void only_if_cached_is_answered_or_504(void **state)
{
    assert_int_equal(gets("/a", "Cache-Control: only-if-cached\r\n"), HCACHE_UNAVAILABLE);
    put("/a", "", KEEP, "x");
    assert_int_equal(gets("/a", "Cache-Control: only-if-cached\r\n"), HCACHE_HIT);
    world.now += 60;
    assert_int_equal(gets("/a", "Cache-Control: only-if-cached\r\n"), HCACHE_UNAVAILABLE);
    assert_int_equal(gets("/a", "Cache-Control: only-if-cached, max-stale\r\n"), HCACHE_HIT);
}

static const struct {
    const char *method, *fields;
    enum hcache_verdict expected;
    const char *reason;
} unfit[] = {
    {"POST", "Content-Length: 0\r\n", HCACHE_BYPASS, "not a safe method"},
    {"OPTIONS", "", HCACHE_BYPASS, "not a method that is kept"},
    {"GET", "Cache-Control: no-store\r\n", HCACHE_BYPASS, "no-store"},
    {"GET", "If-Match: \"v1\"\r\n", HCACHE_BYPASS, "a condition for the origin"},
    {"GET", "If-Unmodified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n", HCACHE_BYPASS, "another"},
    {"GET", "Connection: upgrade\r\nUpgrade: websocket\r\n", HCACHE_BYPASS, "another protocol"},
    {"GET", "Content-Length: 3\r\n", HCACHE_BYPASS, "a GET with content"},
    {"GET", "Transfer-Encoding: chunked\r\n", HCACHE_BYPASS, "... of unknown length"},
    {"GET", "Content-Length: 0\r\n", HCACHE_HIT, "... of none"},
    {"HEAD", "", HCACHE_HIT, "HEAD is answered by what GET left"},
    {"GET", "Range: bytes=0-1\r\n", HCACHE_HIT, "a part of what is there"},
    {"GET", "Authorization: Basic x\r\n", HCACHE_HIT, "what is kept may be had by all (3.5)"},
};

static void requests_that_are_not_for_a_cache_go_past_it(void **state)
{
    put("/a", "", KEEP ETAG, "x");
    for (unsigned i = 0; i < sizeof unfit / sizeof *unfit; i++)
        if (verdict(unfit[i].method, "/a", unfit[i].fields) != unfit[i].expected)
            fail_msg("%s", unfit[i].reason);
    assert_int_equal(verdict("HEAD", "/b", ""), HCACHE_BYPASS);
    assert_int_equal(gets("/b", "Range: bytes=0-1\r\n"), HCACHE_BYPASS);
    char *target = bytes(2100, 0);
    target[0] = '/';
    target[2090] = 0;
    assert_int_equal(gets(target, ""), HCACHE_BYPASS);
    free(target);
}

static void requests_of_one_user_neither_wait_nor_let_wait(void **state)
{
    struct hcache_ask a, b;
    assert_int_equal(ask(&a, "/a", "Authorization: x\r\n"), HCACHE_MISS);
    assert_false(a.q.fetches);
    assert_int_equal(ask(&b, "/a", ""), HCACHE_MISS);
    assert_true(b.q.fetches);
    assert_false(hcache_ask_fill(&a, 200, KEEP, "mine"));
    assert_true(hcache_ask_fill(&b, 200, KEEP, "all's"));
    hcache_end(&a.q);
    hcache_end(&b.q);
    assert_body("/a", "", "all's");
}

static void a_head_request_lets_nobody_wait(void **state)
{
    struct hcache_ask a, b;
    put("/a", "", "Cache-Control: max-age=60, stale-while-revalidate=10\r\n" ETAG, "x");
    world.now += 60;
    hcache_ask_make(&world, &a, "HEAD", "/a", "");
    assert_int_equal(hcache_ask_lookup(&a), HCACHE_STALE);
    assert_false(a.q.fetches);
    hcache_end(&a.q);
    world.now += 10;
    hcache_ask_make(&world, &a, "HEAD", "/a", "");
    assert_int_equal(hcache_ask_lookup(&a), HCACHE_VALIDATE);
    assert_int_equal(ask(&b, "/a", ""), HCACHE_VALIDATE);
    assert_true(b.q.fetches);
    hcache_ask_validated(&a, ETAG); /* but its 304 is as good as another */
    assert_int_equal(a.q.verdict, HCACHE_HIT);
    hcache_end(&a.q);
    hcache_end(&b.q);
    assert_body("/a", "", "x");
}

static const struct {
    const char *entry, *request;
    int expected;
    const char *reason;
} conditions[] = {
    {ETAG, "", 200, "no condition"},
    {ETAG, "If-None-Match: \"v1\"\r\n", 304, "the same ETag"},
    {ETAG, "If-None-Match: W/\"v1\"\r\n", 304, "weakly"},
    {ETAG, "If-None-Match: \"v0\", \"v1\"\r\n", 304, "among others"},
    {ETAG, "If-None-Match: \"v2\"\r\n", 200, "another"},
    {ETAG, "If-None-Match: *\r\n", 304, "any"},
    {"ETag: W/\"v1\"\r\n", "If-None-Match: \"v1\"\r\n", 304, "ours is weak"},
    {"", "If-None-Match: \"\"\r\n", 200, "we have none"},
    {"Last-Modified: Mon, 13 Nov 2023 22:13:20 GMT\r\n", "If-Modified-Since: Mon, 13 Nov 2023 22:13:20 GMT\r\n", 304,
     "not since"},
    {"Last-Modified: Mon, 13 Nov 2023 22:13:20 GMT\r\n", "If-Modified-Since: Mon, 13 Nov 2023 22:13:19 GMT\r\n", 200,
     "since"},
    {"Date: Mon, 13 Nov 2023 22:13:20 GMT\r\n", "If-Modified-Since: Mon, 13 Nov 2023 22:13:20 GMT\r\n", 304,
     "by Date (4.3.2)"},
    {ETAG "Last-Modified: Mon, 13 Nov 2023 22:13:20 GMT\r\n",
     "If-None-Match: \"v2\"\r\nIf-Modified-Since: Mon, 13 Nov 2023 22:13:20 GMT\r\n", 200,
     "the ETag goes before the date"},
};

static void conditions_of_clients_are_answered_from_the_entry(void **state)
{
    for (unsigned i = 0; i < sizeof conditions / sizeof *conditions; i++) {
        struct hcache_ask a;
        char fields[256];
        snprintf(fields, sizeof fields, "Cache-Control: max-age=900000\r\n%s", conditions[i].entry);
        assert_true(put("/a", "", fields, "x"));
        assert_int_equal(ask(&a, "/a", conditions[i].request), HCACHE_HIT);
        if (hcache_entry_condition(a.q.entry, &a.request, a.q.head, world.now) != conditions[i].expected)
            fail_msg("line %u: %s", i, conditions[i].reason);
        hcache_end(&a.q);
        hcache_purge_all(world.cache, false);
    }
}

static const struct {
    const char *entry, *request;
    int expected;
    uint64_t first, last;
    const char *reason;
} ranges[] = {
    {"", "", 200, 0, 0, "none"},
    {"", "Range: bytes=2-4\r\n", 206, 2, 4, "a part"},
    {"", "Range: bytes=2-\r\n", 206, 2, 9, "the rest"},
    {"", "Range: bytes=-3\r\n", 206, 7, 9, "the last bytes"},
    {"", "Range: bytes=10-\r\n", 416, 0, 0, "behind the end"},
    {"", "Range: bytes=0-1,3-4\r\n", 200, 0, 0, "several: the whole"},
    {ETAG, "Range: bytes=2-4\r\nIf-Range: \"v1\"\r\n", 206, 2, 4, "of the same"},
    {ETAG, "Range: bytes=2-4\r\nIf-Range: \"v2\"\r\n", 200, 0, 0, "of another"},
    {"ETag: W/\"v1\"\r\n", "Range: bytes=2-4\r\nIf-Range: \"v1\"\r\n", 200, 0, 0, "weak: not for parts"},
    {"Last-Modified: Mon, 13 Nov 2023 22:13:20 GMT\r\n",
     "Range: bytes=2-4\r\nIf-Range: Mon, 13 Nov 2023 22:13:20 GMT\r\n", 200, 0, 0,
     "a date with no Date to compare is weak"},
    {"Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nLast-Modified: Mon, 13 Nov 2023 22:13:20 GMT\r\n",
     "Range: bytes=2-4\r\nIf-Range: Mon, 13 Nov 2023 22:13:20 GMT\r\n", 206, 2, 4, "an old date is strong"},
};

static void single_ranges_are_answered_from_the_entry(void **state)
{
    for (unsigned i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        struct hcache_ask a;
        char fields[256];
        uint64_t first = 0, last = 0;
        snprintf(fields, sizeof fields, KEEP "%s", ranges[i].entry);
        assert_true(put("/a", "", fields, "0123456789"));
        assert_int_equal(ask(&a, "/a", ranges[i].request), HCACHE_HIT);
        int got = hcache_entry_range(a.q.entry, &a.request, a.q.head, world.now, &first, &last);
        if (got != ranges[i].expected || (got == 206 && (first != ranges[i].first || last != ranges[i].last)))
            fail_msg("line %u: %s: %d", i, ranges[i].reason, got);
        hcache_end(&a.q);
        hcache_purge_all(world.cache, false);
    }
}

static struct mr_span span(const char *text)
{
    return hcache_span(text);
}

static uint64_t purge_url(const char *target, bool soft)
{
    return hcache_purge_url(world.cache, span("http"), span("a.example"), span(target), soft);
}

static void a_url_is_purged_with_all_its_variants(void **state)
{
    put("/v", "X-A: 1\r\n", KEEP "Vary: x-a\r\n", "1");
    put("/v", "X-A: 2\r\n", KEEP "Vary: x-a\r\n", "2");
    put("/w", "", KEEP, "3");
    assert_int_equal(purge_url("/v", false), 2);
    assert_int_equal(purge_url("/v", false), 0);
    assert_int_equal(gets("/v", "X-A: 1\r\n"), HCACHE_MISS);
    assert_int_equal(gets("/w", ""), HCACHE_HIT);
    assert_int_equal(world.cache->pool.used, 1);
}

static void a_tag_is_purged_wherever_it_is(void **state)
{
    put("/a", "", KEEP "Cache-Tag: x, y\r\n", "1");
    put("/b", "", KEEP "Surrogate-Key: y z\r\n", "2");
    put("/c", "", KEEP "Cache-Tag: z\r\n", "3");
    assert_int_equal(hcache_purge_tag(world.cache, span("none"), false), 0);
    assert_int_equal(hcache_purge_tag(world.cache, span("y"), false), 2);
    assert_int_equal(hcache_purge_tag(world.cache, span("y"), false), 0);
    assert_int_equal(gets("/a", ""), HCACHE_MISS);
    assert_int_equal(gets("/b", ""), HCACHE_MISS);
    assert_int_equal(gets("/c", ""), HCACHE_HIT);
    put("/a", "", KEEP "Cache-Tag: x, y\r\n", "1");
    assert_int_equal(gets("/a", ""), HCACHE_HIT); /* fetched after it */
    assert_int_equal(hcache_purge_tag(world.cache, span("z"), false), 1);
    hcache_purge_all(world.cache, false);
    gets("/a", "");
    gets("/c", "");
    assert_int_equal(world.cache->tags.used, 0);
}

static void a_soft_purge_serves_what_it_made_stale(void **state)
{
    struct hcache_ask a;
    put("/a", "", KEEP ETAG "Cache-Tag: x\r\n", "1");
    assert_int_equal(hcache_purge_tag(world.cache, span("x"), true), 1);
    assert_int_equal(ask(&a, "/a", ""), HCACHE_STALE);
    assert_true(a.q.fetches);
    assert_int_equal(gets("/a", ""), HCACHE_STALE);
    hcache_ask_validated(&a, ETAG);
    assert_int_equal(a.q.verdict, HCACHE_STALE);
    hcache_end(&a.q);
    assert_int_equal(gets("/a", ""), HCACHE_HIT);
    assert_int_equal(purge_url("/a", true), 1);
    assert_int_equal(gets("/a", ""), HCACHE_STALE);
    put("/b", "", KEEP, "2");
    assert_int_equal(hcache_purge_all(world.cache, true), 2);
    assert_int_equal(gets("/b", ""), HCACHE_STALE);
    assert_int_equal(hcache_purge_all(world.cache, false), 2);
    assert_int_equal(gets("/b", ""), HCACHE_MISS);
}

static const struct {
    bool tag;
    const char *what, *reason;
} purges[] = {
    {false, "/a", "of its URL"},
    {true, "x", "of its tag"},
    {true, "y", "of a tag that nobody has: it may be on its way"},
    {false, NULL, "of everything"},
};

static void what_was_asked_for_before_a_purge_is_not_kept(void **state)
{
    for (unsigned i = 0; i < sizeof purges / sizeof *purges; i++)
        for (int filling = 0; filling < 2; filling++) {
            struct hcache_ask a, waiter;
            struct hcache_answer r;
            struct hcache_fill *f = NULL;
            hcache_answer_make(
                &r, 200, purges[i].what && *purges[i].what == 'y' ? KEEP "Cache-Tag: y\r\n" : KEEP "Cache-Tag: x\r\n",
                HTTP_GET);
            assert_int_equal(ask(&a, "/a", ""), HCACHE_MISS);
            ask(&waiter, "/a", "");
            if (filling)
                f = hcache_fill_begin(&a.q, &r.response, (const uint8_t *)r.head, world.now);
            if (purges[i].tag)
                hcache_purge_tag(world.cache, span(purges[i].what), false);
            else if (purges[i].what)
                purge_url(purges[i].what, false);
            else
                hcache_purge_all(world.cache, false);
            if (!filling)
                f = hcache_fill_begin(&a.q, &r.response, (const uint8_t *)r.head, world.now);
            if (f)
                hcache_fill_end(f);
            hcache_end(&a.q);
            if (world.cache->entries)
                fail_msg("%s, %s", purges[i].reason, filling ? "while it comes" : "before it comes");
            fake_turn(world.worker);
            assert_int_equal(waiter.calls, 1);
            hcache_end(&waiter.q);
        }
}

static void a_validation_that_a_purge_overtook_is_a_miss(void **state)
{
    struct hcache_ask a;
    put("/a", "", KEEP ETAG, "x");
    world.now += 60;
    assert_int_equal(ask(&a, "/a", ""), HCACHE_VALIDATE);
    purge_url("/a", false);
    hcache_ask_validated(&a, ETAG);
    assert_int_equal(a.q.verdict, HCACHE_MISS);
    hcache_end(&a.q);
}

static const struct {
    int status;
    const char *fields;
    const char *gone;
    bool expected;
} invalidations[] = {
    {200, "", "/a", true},
    {303, "", "/a", true},
    {404, "", "/a", false},
    {500, "", "/a", false},
    {201, "Location: /b\r\n", "/b", true},
    {201, "Location: /b#x\r\n", "/b", true},
    {201, "Location: http://a.example/b\r\n", "/b", true},
    {201, "Location: HTTP://A.example/b\r\n", "/b", true},
    {201, "Location: //a.example/b\r\n", "/b", true},
    {201, "Location: http://b.example/b\r\n", "/b", false},
    {201, "Location: http://a.example.org/b\r\n", "/b", false},
    {201, "Location: http://a.example.org\r\n", "/", false},
    {201, "Location: https://a.example/b\r\n", "/b", false},
    {201, "Location: http://a.example\r\n", "/", true},
    {201, "Location: b\r\n", "/b", false},
    {200, "Content-Location: /b\r\n", "/b", true},
    {400, "Content-Location: /b\r\n", "/b", false},
};

static void an_unsafe_method_that_succeeds_invalidates(void **state)
{
    for (unsigned i = 0; i < sizeof invalidations / sizeof *invalidations; i++) {
        struct hcache_answer r;
        assert_true(put(invalidations[i].gone, "", KEEP, "x"));
        hcache_answer_make(&r, invalidations[i].status, invalidations[i].fields, HTTP_POST);
        hcache_invalidate_response(world.cache, span("http"), span("a.example"), span("/a"), &r.response,
                                   (const uint8_t *)r.head);
        if ((gets(invalidations[i].gone, "") == HCACHE_MISS) != invalidations[i].expected)
            fail_msg("line %u: %d %s", i, invalidations[i].status, invalidations[i].fields);
        hcache_purge_all(world.cache, false);
    }
}

static void the_least_used_goes_and_memory_stays_within_its_bound(void **state)
{
    char target[32], *body = bytes(3 * BLOCK, 1);
    for (unsigned i = 0; i < 100; i++) {
        snprintf(target, sizeof target, "/%u", i);
        assert_true(put(target, "", KEEP, body));
        assert_int_equal(gets("/0", ""), HCACHE_HIT);
        assert_true(world.cache->pool.used <= 64);
    }
    hcache_check(world.cache);
    assert_int_equal(gets("/1", ""), HCACHE_MISS);
    assert_true(world.counters[PROXY_CACHE_EVICTIONS] > 80);
    free(body);
}

static void an_entry_evicted_while_it_is_sent_stays_until_released(void **state)
{
    struct hcache_ask a;
    char *body = bytes(39 * BLOCK, 1);
    put("/held", "", KEEP, body);
    ask(&a, "/held", "");
    struct hcache_entry *e = a.q.entry;
    hcache_entry_hold(e);
    hcache_end(&a.q);
    assert_false(put("/other", "", KEEP, body)); /* there is no room: what is held cannot go */
    assert_int_equal(gets("/held", ""), HCACHE_MISS);
    char *text = text_of(e);
    assert_string_equal(text, body);
    free(text);
    assert_true(world.cache->pool.used >= 39);
    hcache_entry_release(e);
    assert_int_equal(world.cache->pool.used, 0);
    assert_true(put("/other", "", KEEP, body));
    free(body);
}

static void fills_in_progress_share_the_memory_and_fail_alone(void **state)
{
    struct hcache_ask asks[3];
    struct hcache_fill *fills[3];
    struct hcache_answer r;
    char target[8], *piece = bytes(BLOCK, 1);
    unsigned whole = 0;
    hcache_answer_make(&r, 200, KEEP, HTTP_GET);
    for (unsigned i = 0; i < 3; i++) {
        snprintf(target, sizeof target, "/%u", i);
        ask(&asks[i], target, "");
        fills[i] = hcache_fill_begin(&asks[i].q, &r.response, (const uint8_t *)r.head, world.now);
    }
    for (unsigned n = 0; n < 30; n++)
        for (unsigned i = 0; i < 3; i++)
            if (fills[i] && !hcache_fill_append(fills[i], (const uint8_t *)piece, BLOCK))
                fills[i] = NULL;
    for (unsigned i = 0; i < 3; i++) {
        whole += fills[i] != NULL;
        if (fills[i])
            hcache_fill_end(fills[i]);
        hcache_end(&asks[i].q);
    }
    assert_int_equal(whole, 2);
    free(piece);
}

static void statistics_count_what_happened(void **state)
{
    struct hcache_statistics s;
    put("/a", "", KEEP, "x");
    gets("/a", "");
    gets("/a", "Cache-Control: no-store\r\n");
    hcache_purge_all(world.cache, true);
    gets("/a", "");
    hcache_statistics(world.cache, &s);
    assert_int_equal(s.entries, 1);
    assert_int_equal(s.bytes, BLOCK);
    assert_int_equal(s.misses, 1);
    assert_int_equal(s.stores, 1);
    assert_int_equal(s.hits, 1);
    assert_int_equal(s.stale, 1);
    assert_int_equal(s.bypasses, 1);
    assert_int_equal(s.purged, 1);
    assert_int_equal(world.counters[PROXY_CACHE_ENTRIES], 1);
}

static void every_policy_keeps_its_books(void **state)
{
    for (const struct cache_evict_policy *const *p = cache_evict_policies; *p; p++) {
        struct proxy_cache_config config = small;
        char target[32];
        config.policy = (char *)(uintptr_t)(*p)->name;
        hcache_world_close(&world);
        hcache_world_open(&world, &config);
        for (unsigned i = 0; i < 300; i++) {
            snprintf(target, sizeof target, "/%u", i % 90);
            if (gets(target, "") == HCACHE_MISS)
                put(target, "", KEEP, "x");
            hcache_check(world.cache);
        }
        if (strcmp((*p)->name, "noeviction") != 0)
            assert_true(world.counters[PROXY_CACHE_EVICTIONS] > 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_response_is_kept_and_served),
        TEST(fields_of_one_hop_are_not_kept),
        TEST(bodies_of_every_length_come_back),
        TEST(a_body_above_the_bound_is_not_kept),
        TEST(a_head_as_large_as_a_block_is_kept_and_a_larger_one_is_not),
        TEST(an_incomplete_body_is_not_kept),
        TEST(variants_are_told_apart_by_what_vary_names),
        TEST(what_connection_names_is_absent_for_vary),
        TEST(what_varies_by_who_asks_is_not_kept),
        TEST(values_of_unknown_fields_keep_their_case),
        TEST(a_miss_for_another_variant_says_so),
        TEST(the_newest_response_says_how_a_url_varies),
        TEST(variants_of_a_url_are_bounded_and_the_oldest_goes),
        TEST(others_wait_for_the_first_and_are_served_in_a_later_run),
        TEST(more_than_the_bound_do_not_wait),
        TEST(a_response_that_may_not_be_kept_lets_all_go_at_once),
        TEST(a_fetch_that_dies_goes_to_the_next_alone),
        TEST(a_fetch_that_lasts_too_long_is_taken_over),
        TEST(waiters_of_another_variant_do_not_wait_again),
        TEST(a_fill_goes_on_when_its_request_ends),
        TEST(stale_entries_are_validated_by_one_and_freshened),
        TEST(a_head_that_a_304_lets_grow_moves_to_a_block_of_its_own),
        TEST(a_304_about_something_else_ends_the_entry),
        TEST(a_304_freshens_every_variant_of_its_strong_etag),
        TEST(a_304_that_forbids_keeping_is_good_for_its_request_only),
        TEST(a_whole_response_to_a_validation_replaces_the_entry),
        TEST(what_is_always_asked_for_lets_nobody_wait),
        TEST(a_client_that_reloads_asks_alone),
        TEST(stale_while_revalidate_lets_one_fetch_and_serves_all),
        TEST(a_failed_backend_is_stood_in_for_without_asking_again_at_once),
        TEST(a_fetch_that_fails_behind_a_stale_answer_is_not_tried_again_at_once),
        TEST(only_if_cached_is_answered_or_504),
        TEST(requests_that_are_not_for_a_cache_go_past_it),
        TEST(requests_of_one_user_neither_wait_nor_let_wait),
        TEST(a_head_request_lets_nobody_wait),
        TEST(conditions_of_clients_are_answered_from_the_entry),
        TEST(single_ranges_are_answered_from_the_entry),
        TEST(a_url_is_purged_with_all_its_variants),
        TEST(a_tag_is_purged_wherever_it_is),
        TEST(a_soft_purge_serves_what_it_made_stale),
        TEST(what_was_asked_for_before_a_purge_is_not_kept),
        TEST(a_validation_that_a_purge_overtook_is_a_miss),
        TEST(an_unsafe_method_that_succeeds_invalidates),
        TEST(the_least_used_goes_and_memory_stays_within_its_bound),
        TEST(an_entry_evicted_while_it_is_sent_stays_until_released),
        TEST(fills_in_progress_share_the_memory_and_fail_alone),
        TEST(statistics_count_what_happened),
        TEST(every_policy_keeps_its_books),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
