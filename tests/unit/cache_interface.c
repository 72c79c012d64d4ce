/* The cache as other services of the process use it (include/millrace/cache.h), and the page that counts its visits. */
#include "tests/support/cmocka.h"

#include <millrace/cache.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "http/connection.h"
#include "http/http.h"
#include "tests/support/service_group.h"

#define WORKERS    SERVICE_GROUP_MAX
#define SPAN(text) ((struct mr_span){(const uint8_t *)(text), strlen(text)})

struct fixture {
    unsigned count;
    struct service_group group;
    struct mr_worker *w[WORKERS];
    struct cache_config config;
    struct cache *cache[WORKERS];
    struct http_config http_config;
    uint64_t http_counters[HTTP_COUNTERS];
    struct http *http; /* on worker 0 */
};

static struct fixture *begin(unsigned workers, uint64_t memory, const char *policy)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->count = workers;
    f->config = (struct cache_config){.memory_max = memory,
                                      .policy = (char *)(uintptr_t)policy,
                                      .connections_max = 8,
                                      .client_memory_max = 4 << 20,
                                      .query_bytes_max = 1 << 20,
                                      .reply_bytes_max = 1 << 20,
                                      .push_bytes_max = 1 << 20,
                                      .reply_timeout = 60 * MR_SECOND,
                                      .commands_per_turn = 64};
    service_group_start(&f->group, &cache_service, &f->config, workers);
    for (unsigned i = 0; i < workers; i++) {
        f->w[i] = f->group.w[i];
        f->cache[i] = f->group.state[i];
        fake_service_add(f->w[i], "cache", f->cache[i]);
    }
    return f;
}

static void http_add(struct fixture *f)
{
    void *state;
    f->http_config = (struct http_config){.visits_page = true,
                                          .connections_max = 8,
                                          .requests_per_turn = 16,
                                          .line_bytes_max = 1024,
                                          .header_bytes_max = 4096,
                                          .header_count_max = 32,
                                          .body_bytes_max = 1 << 20,
                                          .buffers_max = 4,
                                          .header_timeout = 10 * MR_SECOND,
                                          .idle_timeout = 75 * MR_SECOND,
                                          .body_timeout = 30 * MR_SECOND,
                                          .send_timeout = 30 * MR_SECOND,
                                          .linger_timeout = 5 * MR_SECOND,
                                          .cache_bytes = 1 << 20,
                                          .cache_file_bytes = 64 << 10,
                                          .cache_entries = 8,
                                          .open_files_max = 4,
                                          .loads_max = 4,
                                          .stream_bytes = 4 * HTTP_READ_BYTES};
    assert_int_equal(http_service.start(f->w[0], &f->http_config, f->http_counters, &state), MR_OK);
    f->http = state;
}

static void settle(struct fixture *f)
{
    service_group_turns(&f->group, 20);
}

static void finish(struct fixture *f)
{
    if (f->http)
        http_service.stop(f->w[0], f->http);
    service_group_stop(&f->group);
    for (unsigned i = 0; i < f->count; i++)
        fake_pass(f->w[i], 100 * MR_SECOND);
    settle(f);
    for (unsigned i = 0; i < f->count; i++)
        assert_int_equal(fake_streams_open(f->w[i]), 0);
    if (f->http)
        http_service.release(f->w[0], f->http);
    service_group_end(&f->group);
    free(f);
}

/* What `done` was told last. */
static struct {
    unsigned calls;
    enum mr_cache_kind kind;
    char text[256];
    size_t length;
    int64_t integer;
} told;

static void note(void *context, const struct mr_cache_answer *a)
{
    told.calls++;
    told.kind = a->kind;
    told.integer = a->integer;
    told.length = a->text.length;
    size_t n = a->text.length < sizeof told.text - 1 ? a->text.length : sizeof told.text - 1;
    memcpy(told.text, a->text.data, n);
    told.text[n] = 0;
    assert_ptr_equal(context, &told);
}

static void expect(struct fixture *f, int error, enum mr_cache_kind kind, const char *text)
{
    assert_int_equal(error, MR_OK);
    assert_int_equal(told.calls, 0); /* never from inside the call */
    settle(f);
    assert_int_equal(told.calls, 1);
    assert_int_equal(told.kind, kind);
    if (text)
        assert_string_equal(told.text, text);
    told.calls = 0;
}

/* Whoever owns the key, here or on the other worker: the answer comes later, once. */
static void values_are_set_and_got_wherever_they_live(void **state)
{
    for (unsigned workers = 1; workers <= WORKERS; workers++) {
        struct fixture *f = begin(workers, 4 << 20, "allkeys-s3fifo");
        struct mr_cache *c = mr_cache_find(f->w[0]);
        assert_non_null(c);
        for (unsigned i = 0; i < 10; i++) {
            char key[16], value[16];
            sprintf(key, "key:%u", i);
            sprintf(value, "value %u", i);
            expect(f, mr_cache_get(c, SPAN(key), note, &told), MR_CACHE_NONE, NULL);
            expect(f, mr_cache_set(c, SPAN(key), SPAN(value), 0, note, &told), MR_CACHE_STATUS, "OK");
            expect(f, mr_cache_get(c, SPAN(key), note, &told), MR_CACHE_STRING, value);
        }
        expect(f, mr_cache_increment(c, SPAN("n"), 5, note, &told), MR_CACHE_INTEGER, NULL);
        assert_int_equal(told.integer, 5);
        expect(f, mr_cache_increment(c, SPAN("n"), -7, note, &told), MR_CACHE_INTEGER, NULL);
        assert_int_equal(told.integer, -2);
        expect(f, mr_cache_set(c, SPAN(""), SPAN(""), 0, note, &told), MR_CACHE_STATUS, "OK");
        expect(f, mr_cache_get(c, SPAN(""), note, &told), MR_CACHE_STRING, "");
        finish(f);
    }
}

/* A time to live ends; errors come with their code; lists as RESP2 has them. */
static void answers_say_what_happened(void **state)
{
    struct fixture *f = begin(1, 4 << 20, "allkeys-s3fifo");
    struct mr_cache *c = mr_cache_find(f->w[0]);
    expect(f, mr_cache_set(c, SPAN("k"), SPAN("v"), 500, note, &told), MR_CACHE_STATUS, "OK");
    fake_pass(f->w[0], 400 * MR_MILLISECOND);
    expect(f, mr_cache_get(c, SPAN("k"), note, &told), MR_CACHE_STRING, "v");
    fake_pass(f->w[0], 200 * MR_MILLISECOND);
    expect(f, mr_cache_get(c, SPAN("k"), note, &told), MR_CACHE_NONE, NULL);
    struct mr_span push[] = {SPAN("RPUSH"), SPAN("l"), SPAN("a"), SPAN("b")};
    expect(f, mr_cache_command(c, 4, push, note, &told), MR_CACHE_INTEGER, NULL);
    struct mr_span range[] = {SPAN("LRANGE"), SPAN("l"), SPAN("0"), SPAN("-1")};
    expect(f, mr_cache_command(c, 4, range, note, &told), MR_CACHE_LIST, "*2\r\n$1\r\na\r\n$1\r\nb\r\n");
    expect(f, mr_cache_get(c, SPAN("l"), note, &told), MR_CACHE_ERROR,
           "WRONGTYPE Operation against a key holding the wrong kind of value");
    finish(f);
}

static void a_long_answer_is_an_error_and_a_longer_value_is_refused(void **state)
{
    static char large[CACHE_SMALL_MAX + 1];
    struct fixture *f = begin(1, 4 << 20, "allkeys-s3fifo");
    struct mr_cache *c = mr_cache_find(f->w[0]);
    struct mr_span append[] = {SPAN("APPEND"), SPAN("k"), {(const uint8_t *)large, 16000}};
    for (unsigned i = 0; i < 4; i++)
        expect(f, mr_cache_command(c, 3, append, note, &told), MR_CACHE_INTEGER, NULL);
    expect(f, mr_cache_get(c, SPAN("k"), note, &told), MR_CACHE_STRING, NULL);
    assert_int_equal(told.length, 64000);
    expect(f, mr_cache_command(c, 3, append, note, &told), MR_CACHE_INTEGER, NULL);
    expect(f, mr_cache_get(c, SPAN("k"), note, &told), MR_CACHE_ERROR, "ERR the answer is longer than 65536 bytes");
    append[2].length = CACHE_SMALL_MAX + 1;
    assert_int_equal(mr_cache_command(c, 3, append, note, &told), MR_ERROR_INVALID);
    finish(f);
}

static void what_cannot_be_asked_is_refused_at_once(void **state)
{
    struct fixture *f = begin(2, 4 << 20, "allkeys-s3fifo");
    struct mr_cache *c = mr_cache_find(f->w[0]);
    static const struct {
        unsigned argc;
        const char *argv[4];
        int error;
    } cases[] = {
        {1, {"NOSUCH"}, MR_ERROR_UNKNOWN},
        {1, {"GET"}, MR_ERROR_INVALID},             /* arity */
        {3, {"BLPOP", "l", "0"}, MR_ERROR_INVALID}, /* would wait */
        {3, {"PUBLISH", "c", "m"}, MR_ERROR_INVALID},
        {3, {"MGET", "key:1", "key:2"}, MR_ERROR_INVALID}, /* two owners */
        {2, {"KEYS", "*"}, MR_ERROR_INVALID},
        {2, {"SCAN", "0"}, MR_ERROR_INVALID},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_span argv[4];
        for (unsigned k = 0; k < cases[i].argc; k++)
            argv[k] = SPAN(cases[i].argv[k]);
        assert_int_equal(mr_cache_command(c, cases[i].argc, argv, note, &told), cases[i].error);
    }
    assert_int_equal(mr_cache_command(c, 0, NULL, note, &told), MR_ERROR_INVALID);
    struct mr_span same[] = {SPAN("MGET"), SPAN("{a}1"), SPAN("{a}2")}; /* one owner by their braces */
    expect(f, mr_cache_command(c, 3, same, note, &told), MR_CACHE_LIST, "*2\r\n$-1\r\n$-1\r\n");
    settle(f);
    assert_int_equal(told.calls, 0);
    finish(f);
}

/* -- the page --------------------------------------------------------------------------------------------------------------- */

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n"

/* worker 0: the cache's listener was made first, HTTP's second. */
static struct mr_stream *browser_open(struct fixture *f)
{
    return fake_open_listener(f->w[0], f->config.memcached.port ? 2 : 1);
}

static void each_visit_is_counted(void **state)
{
    for (unsigned workers = 1; workers <= WORKERS; workers++) {
        struct fixture *f = begin(workers, 4 << 20, "allkeys-s3fifo");
        http_add(f);
        struct mr_stream *s = browser_open(f);
        for (unsigned visit = 1; visit <= 3; visit++) {
            char expected[32];
            fake_input(s, GET("/visits/here"), strlen(GET("/visits/here")));
            settle(f);
            sprintf(expected, "<b>%u</b>", visit);
            assert_non_null(strstr(fake_output(s, &(size_t){0}), expected));
            assert_memory_equal(fake_output(s, &(size_t){0}), "HTTP/1.1 200", 12);
            fake_output_clear(s);
        }
        fake_input(s, GET("/visits/there") GET("/visits/here"), 2 * strlen(GET("/visits/here")) + 1);
        settle(f);
        const char *output = fake_output(s, &(size_t){0}), *first = strstr(output, "<b>1</b>");
        assert_non_null(first); /* its own count, and pipelined answers in order */
        assert_non_null(strstr(first, "<b>4</b>"));
        fake_end(s);
        settle(f);
        finish(f);
    }
}

/* The browser goes while the cache is asked: nobody is answered, nothing is left. */
static void a_visitor_who_has_gone_is_counted_and_not_answered(void **state)
{
    struct fixture *f = begin(1, 4 << 20, "allkeys-s3fifo");
    http_add(f);
    struct mr_stream *s = browser_open(f);
    fake_input(s, GET("/visits"), strlen(GET("/visits")));
    assert_int_equal(f->http->connections[0].state, EXPECT_ANSWER);
    fake_reset(s);
    struct mr_stream *other = browser_open(f); /* takes the same place */
    settle(f);
    assert_int_equal(strlen(fake_output(other, &(size_t){0})), 0);
    fake_input(other, GET("/visits"), strlen(GET("/visits")));
    settle(f);
    assert_non_null(strstr(fake_output(other, &(size_t){0}), "<b>2</b>"));
    http_connection_check(&f->http->connections[0]);
    fake_end(other);
    settle(f);
    finish(f);
}

static void without_a_cache_or_without_room_the_page_says_so(void **state)
{
    struct fixture *f = begin(1, 1 << 20, "noeviction");
    http_add(f);
    struct mr_stream *s = browser_open(f);
    cache_store_set_limit(&f->cache[0]->store, 1);
    fake_input(s, GET("/visits"), strlen(GET("/visits")));
    settle(f);
    assert_memory_equal(fake_output(s, &(size_t){0}), "HTTP/1.1 503", 12);
    assert_non_null(strstr(fake_output(s, &(size_t){0}), "OOM command not allowed"));
    fake_output_clear(s);
    fake_service_add(f->w[0], "other", NULL);
    fake_input(s, GET("/visits"), strlen(GET("/visits")));
    settle(f);
    assert_memory_equal(fake_output(s, &(size_t){0}), "HTTP/1.1 503", 12);
    fake_end(s);
    settle(f);
    finish(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_set_and_got_wherever_they_live),
        cmocka_unit_test(answers_say_what_happened),
        cmocka_unit_test(a_long_answer_is_an_error_and_a_longer_value_is_refused),
        cmocka_unit_test(what_cannot_be_asked_is_refused_at_once),
        cmocka_unit_test(each_visit_is_counted),
        cmocka_unit_test(a_visitor_who_has_gone_is_counted_and_not_answered),
        cmocka_unit_test(without_a_cache_or_without_room_the_page_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
