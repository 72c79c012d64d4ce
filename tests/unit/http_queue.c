/* The queues by HTTP, and the order intake: services/http over a fake stack, with a stand-in for <millrace/queue.h> and
 * <millrace/cache.h> that keeps what it was asked, and answers when the test says so. */
#include "tests/support/cmocka.h"

#include <millrace/cache.h>
#include <millrace/queue.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/call.h"
#include "http/connection.h"
#include "http/http.h"
#include "tests/support/fake_stream.h"

/* -- the stand-in ----------------------------------------------------------------------------------------------------- */

#define ASKED_MAX 256

struct asked {
    char what[1024]; /* the call and its arguments, as text */
    mr_queue_done_fn done;
    mr_queue_message_fn message;
    mr_queue_state_fn state;
    mr_cache_done_fn cached;
    void *context;
    bool answered;
};
static struct {
    bool queues, cache;
    int error; /* what the next calls return */
    struct asked asked[ASKED_MAX];
    unsigned n;
    mr_queue_message_fn consumer;
    void *consumer_context;
    unsigned consumers_ended;
} fake;

struct mr_queues *mr_queues_find(struct mr_worker *w)
{
    return fake.queues ? (struct mr_queues *)&fake : NULL;
}
struct mr_cache *mr_cache_find(struct mr_worker *w)
{
    return fake.cache ? (struct mr_cache *)&fake : NULL;
}

static struct asked *remember(void *context)
{
    assert_true(fake.n < ASKED_MAX);
    struct asked *a = &fake.asked[fake.n];
    *a = (struct asked){.context = context};
    fake.n += fake.error == MR_OK;
    return a;
}
#define SAY(a, ...) snprintf((a)->what, sizeof(a)->what, __VA_ARGS__)
#define TEXT(s)     (int)(s).length, (const char *)(s).data

int mr_queue_publish(struct mr_queues *q, const struct mr_queue_message *m, mr_queue_done_fn done, void *context)
{
    struct asked *a = remember(context);
    a->done = done;
    char body[600] = "";
    for (size_t i = 0; i < m->body.length && i < 200; i++) {
        uint8_t c = m->body.data[i];
        snprintf(body + strlen(body), 5, c >= 0x20 && c < 0x7f ? "%c" : "<%02x>", c);
    }
    SAY(a, "publish '%.*s' '%.*s' body %s type %.*s id %.*s delay %lu ttl %lu priority %u%s", TEXT(m->exchange),
        TEXT(m->key), body, TEXT(m->content_type), TEXT(m->message_id), (unsigned long)m->delay_ms,
        (unsigned long)m->ttl_ms, m->priority, m->transient ? " transient" : "");
    return fake.error;
}
int mr_queue_declare(struct mr_queues *q, struct mr_span name, const struct mr_queue_options *o, mr_queue_done_fn done,
                     void *context)
{
    struct asked *a = remember(context);
    a->done = done;
    SAY(a, "declare %.*s%s%s ttl %lu length %lu priority %u dead %s %s durability %s", TEXT(name),
        o->transient ? " transient" : "", o->auto_delete ? " auto_delete" : "", (unsigned long)o->message_ttl_ms,
        (unsigned long)o->length_max, o->priority_max, o->dead_letter_exchange ? o->dead_letter_exchange : "-",
        o->dead_letter_key ? o->dead_letter_key : "-", o->durability ? o->durability : "-");
    return fake.error;
}
static int ask_name(const char *what, struct mr_span name, mr_queue_done_fn done, void *context)
{
    struct asked *a = remember(context);
    a->done = done;
    SAY(a, "%s %.*s", what, TEXT(name));
    return fake.error;
}
int mr_queue_delete(struct mr_queues *q, struct mr_span name, mr_queue_done_fn done, void *context)
{
    return ask_name("delete", name, done, context);
}
int mr_queue_purge(struct mr_queues *q, struct mr_span name, mr_queue_done_fn done, void *context)
{
    return ask_name("purge", name, done, context);
}
int mr_queue_get(struct mr_queues *q, struct mr_span name, bool automatic, uint64_t within, mr_queue_message_fn done,
                 void *context)
{
    struct asked *a = remember(context);
    a->message = done;
    SAY(a, "get %.*s%s within %lu", TEXT(name), automatic ? " automatic" : "", (unsigned long)within);
    return fake.error;
}
int mr_queue_settle(struct mr_queues *q, uint64_t delivery, enum mr_queue_settle how, mr_queue_done_fn done,
                    void *context)
{
    struct asked *a = remember(context);
    a->done = done;
    SAY(a, "settle %lu %s", (unsigned long)delivery, (const char *const[]){"ack", "reject", "requeue"}[how]);
    return fake.error;
}
int mr_queue_state(struct mr_queues *q, struct mr_span name, mr_queue_state_fn done, void *context)
{
    ask_name("state", name, NULL, context);
    fake.asked[fake.n - (fake.error == MR_OK)].state = done;
    return fake.error;
}
int mr_queue_list(struct mr_queues *q, mr_queue_state_fn done, void *context)
{
    ask_name("list", (struct mr_span){(const uint8_t *)"", 0}, NULL, context);
    fake.asked[fake.n - (fake.error == MR_OK)].state = done;
    return fake.error;
}
int mr_queue_consume(struct mr_queues *q, struct mr_span name, unsigned prefetch, mr_queue_message_fn message,
                     void *context, struct mr_queue_consumer **out)
{
    struct asked *a = remember(context);
    SAY(a, "consume %.*s prefetch %u", TEXT(name), prefetch);
    a->answered = true;
    fake.consumer = message;
    fake.consumer_context = context;
    *out = (struct mr_queue_consumer *)&fake;
    return fake.error;
}
void mr_queue_consumer_end(struct mr_queue_consumer *c)
{
    fake.consumers_ended++;
    fake.consumer = NULL;
}
int mr_cache_increment(struct mr_cache *c, struct mr_span key, int64_t by, mr_cache_done_fn done, void *context)
{
    struct asked *a = remember(context);
    a->cached = done;
    SAY(a, "increment %.*s %ld", TEXT(key), (long)by);
    return fake.error;
}
int mr_cache_get(struct mr_cache *c, struct mr_span key, mr_cache_done_fn done, void *context)
{
    struct asked *a = remember(context);
    a->cached = done;
    SAY(a, "cached %.*s", TEXT(key));
    return fake.error;
}

/* The oldest question without an answer; it must be this one. */
static struct asked *expect(const char *what)
{
    for (unsigned i = 0; i < fake.n; i++)
        if (!fake.asked[i].answered) {
            if (strncmp(fake.asked[i].what, what, strlen(what)) != 0)
                fail_msg("asked '%s' instead of '%s'", fake.asked[i].what, what);
            fake.asked[i].answered = true;
            return &fake.asked[i];
        }
    fail_msg("nothing is asked, expected '%s'", what);
    return NULL;
}
static void expect_nothing(void)
{
    for (unsigned i = 0; i < fake.n; i++)
        if (!fake.asked[i].answered)
            fail_msg("asked '%s'", fake.asked[i].what);
}
static void answer(const char *what, enum mr_queue_outcome outcome)
{
    struct asked *a = expect(what);
    a->done(a->context, outcome);
}

/* -- the fixture ------------------------------------------------------------------------------------------------------ */

struct fixture {
    struct mr_worker *w;
    uint64_t counters[HTTP_COUNTERS];
    struct http_config config;
    struct http *http;
    struct mr_stream *s;
};

static int begin_with(void **state, bool orders)
{
    struct fixture *f = calloc(1, sizeof *f);
    void *http;
    memset(&fake, 0, sizeof fake);
    fake.queues = fake.cache = true;
    f->w = fake_worker_create();
    f->config = (struct http_config){.orders_page = orders,
                                     .queue_api = (char *)(uintptr_t) "/queues",
                                     .queue_body_bytes_max = 4096,
                                     .queue_calls_max = 2,
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
                                     .cache_entries = 32,
                                     .open_files_max = 4,
                                     .loads_max = 16,
                                     .stream_bytes = 4 * HTTP_READ_BYTES};
    assert_int_equal(http_service.start(f->w, &f->config, f->counters, &http), MR_OK);
    f->http = http;
    f->s = fake_open(f->w);
    *state = f;
    return 0;
}

static int begin(void **state)
{
    return begin_with(state, false);
}
static int begin_orders(void **state)
{
    return begin_with(state, true);
}

static void check(struct fixture *f)
{
    for (uint32_t i = 0; i < f->http->connections_used; i++)
        http_connection_check(&f->http->connections[i]);
}

static unsigned calls_free(const struct http *http)
{
    unsigned n = 0;
    for (const struct http_call *call = http->free_calls; call; call = call->next)
        n++;
    return n;
}

/* Every call came back to its pool, whatever happened. */
static int finish(void **state)
{
    struct fixture *f = *state;
    check(f);
    http_service.stop(f->w, f->http);
    assert_null(fake.consumer);
    fake_pass(f->w, 200 * MR_SECOND);
    assert_int_equal(fake_streams_open(f->w), 0);
    assert_int_equal(calls_free(f->http), f->config.queue_calls_max);
    assert_int_equal(f->http->files.outstanding, 0);
    http_service.release(f->w, f->http);
    fake_worker_free(f->w);
    free(f);
    return 0;
}

static void say(struct fixture *f, const char *method_and_path, const char *fields, const char *body)
{
    static char text[70000];
    int n = snprintf(text, sizeof text, "%s HTTP/1.1\r\nHost: h\r\n%sContent-Length: %zu\r\n\r\n%s", method_and_path,
                     fields, strlen(body), body);
    fake_output_clear(f->s);
    fake_input(f->s, text, (size_t)n);
    check(f);
}
static void ask(struct fixture *f, const char *method_and_path, const char *body)
{
    say(f, method_and_path, "", body);
}

/* What came back: its status, and the whole body or a part of it. */
static void told(struct fixture *f, int status, const char *part)
{
    size_t n;
    fake_turn(f->w);
    check(f);
    const char *text = fake_output(f->s, &n);
    if (strncmp(text, "HTTP/1.1 ", 9) != 0 || atoi(text + 9) != status || !strstr(text, part))
        fail_msg("expected %d and %s: %s", status, part, text);
}

/* -- queues ----------------------------------------------------------------------------------------------------------- */

static void a_queue_is_declared_with_its_options(void **state)
{
    struct fixture *f = *state;
    ask(f, "PUT /queues/jobs", "");
    answer("declare jobs ttl 0 length 0 priority 0 dead - - durability -", MR_QUEUE_DONE);
    told(f, 200, "{}");
    ask(f, "PUT /queues/a%2Fb%20c",
        "{\"transient\":true,\"auto_delete\":true,\"message_ttl_ms\":5,\"length_max\":7,\"priority_max\":9,"
        "\"dead_letter_exchange\":\"d\\u00e9ad\",\"dead_letter_key\":\"k\",\"durability\":\"memory\"}");
    answer("declare a/b c transient auto_delete ttl 5 length 7 priority 9 dead d\xc3\xa9"
           "ad k durability memory",
           MR_QUEUE_REFUSED);
    told(f, 409, "{\"error\":\"refused");
}

static void a_body_that_is_not_understood_is_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *body, *error;
    } bodies[] = {
        {"[", "not an object of JSON"},
        {"[]", "not an object of JSON"},
        {"{\"length_max\":\"7\"}", "another type, or too large: length_max"},
        {"{\"length_max\":-7}", "another type, or too large: length_max"},
        {"{\"priority_max\":256}", "another type, or too large: priority_max"},
        {"{\"transient\":1}", "another type, or too large: transient"},
        {"{\"durability\":\"a\\u0000b\"}", "another type, or too large: durability"},
        {"{\"lenght_max\":7}", "no such member: lenght_max"},
    };
    for (unsigned i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        ask(f, "PUT /queues/q", bodies[i].body);
        told(f, 400, bodies[i].error);
    }
    expect_nothing();
}

static void a_queue_is_deleted_and_purged(void **state)
{
    struct fixture *f = *state;
    ask(f, "DELETE /queues/q", "");
    answer("delete q", MR_QUEUE_IN_USE);
    told(f, 409, "{\"error\":");
    ask(f, "POST /queues/q/purge", "");
    answer("purge q", MR_QUEUE_DONE);
    told(f, 200, "{}");
}

static const struct mr_queue_state one_state = {
    .name = {(const uint8_t *)"q\"1", 3}, .ready = 3, .bytes = 1234567890123};
#define ONE_STATE                                                                                                  \
    "{\"name\":\"q\\\"1\",\"ready\":3,\"unacknowledged\":0,\"delayed\":0,\"consumers\":0,\"bytes\":1234567890123," \
    "\"oldest_ms\":0,\"publish_rate\":0,\"deliver_rate\":0,\"acknowledge_rate\":0}"

static void a_queue_is_looked_at(void **state)
{
    struct fixture *f = *state;
    ask(f, "GET /queues/q", "");
    struct asked *a = expect("state q");
    a->state(a->context, MR_QUEUE_DONE, &one_state);
    told(f, 200, "\r\n\r\n" ONE_STATE);
    ask(f, "GET /queues/none", "");
    a = expect("state none");
    a->state(a->context, MR_QUEUE_NOT_FOUND, NULL);
    told(f, 404, "{\"error\":");
}

static void queues_are_listed_as_far_as_there_is_room(void **state)
{
    struct fixture *f = *state;
    for (unsigned n = 0; n <= 40; n += n < 2 ? 1 : 38) {
        ask(f, "GET /queues", "");
        struct asked *a = expect("list");
        for (unsigned i = 0; i < n; i++)
            a->state(a->context, MR_QUEUE_DONE, &one_state);
        a->state(a->context, MR_QUEUE_DONE, NULL);
        told(f, 200,
             n == 0   ? "{\"queues\":[],\"truncated\":false}"
             : n == 1 ? "{\"queues\":[" ONE_STATE "],\"truncated\":false}"
             : n == 2 ? ONE_STATE "],\"truncated\":false}"
                      : ONE_STATE "],\"truncated\":true}");
    }
}

/* -- messages --------------------------------------------------------------------------------------------------------- */

static void a_message_is_answered_when_it_is_confirmed(void **state)
{
    struct fixture *f = *state;
    size_t n;
    ask(f, "POST /queues/jobs/messages",
        "{\"body\":\"caf\\u00e9\",\"content_type\":\"text/plain\",\"message_id\":\"m1\",\"ttl_ms\":9,\"delay_ms\":8,"
        "\"priority\":7}");
    fake_pass(f->w, MR_SECOND);
    fake_output(f->s, &n);
    assert_int_equal(n, 0);
    answer("publish '' 'jobs' body caf<c3><a9> type text/plain id m1 delay 8 ttl 9 priority 7", MR_QUEUE_DONE);
    told(f, 201, "{}");
    ask(f, "POST /exchanges/amq.topic/messages",
        "{\"routing_key\":\"a.b\",\"body\":\"AP8K\",\"encoding\":\"base64\",\"persistent\":false}");
    answer("publish 'amq.topic' 'a.b' body <00><ff><0a> type  id  delay 0 ttl 0 priority 0 transient",
           MR_QUEUE_UNROUTED);
    told(f, 404, "no queue is bound");
}

static void each_outcome_has_its_status(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum mr_queue_outcome outcome;
        int status;
    } outcomes[] = {{MR_QUEUE_DONE, 201},    {MR_QUEUE_NOT_FOUND, 404}, {MR_QUEUE_UNROUTED, 404},
                    {MR_QUEUE_REFUSED, 409}, {MR_QUEUE_IN_USE, 409},    {MR_QUEUE_NO_MEMORY, 503}};
    for (unsigned i = 0; i < sizeof outcomes / sizeof outcomes[0]; i++) {
        ask(f, "POST /queues/q/messages", "{\"body\":\"\"}");
        answer("publish '' 'q' body  type", outcomes[i].outcome);
        told(f, outcomes[i].status, outcomes[i].status == 201 ? "{}" : "{\"error\":");
    }
    fake.error = MR_ERROR_NO_MEMORY;
    ask(f, "POST /queues/q/messages", "{\"body\":\"\"}");
    told(f, 503, "limit");
    fake.error = MR_ERROR_INVALID;
    ask(f, "POST /queues/q/messages", "{\"body\":\"\"}");
    told(f, 400, "longer");
    fake.error = MR_OK;
    ask(f, "POST /queues/q/messages", "{}");
    told(f, 400, "body");
    ask(f, "POST /queues/q/messages", "{\"body\":\"A\",\"encoding\":\"base64\"}");
    told(f, 400, "body");
    ask(f, "POST /queues/q/messages", "{\"body\":\"A\",\"routing_key\":\"r\"}");
    told(f, 400, "routing_key");
    expect_nothing();
}

static void show(struct asked *a, uint64_t delivery, const char *body, size_t n)
{
    struct mr_queue_message m = {.key = {(const uint8_t *)"q", 1},
                                 .body = {(const uint8_t *)body, n},
                                 .delivery = delivery,
                                 .published_ms = 5,
                                 .redelivered = delivery == 2};
    a->message(a->context, MR_QUEUE_DONE, &m);
}

#define MESSAGE(first, redelivered, encoding, body)                                                          \
    "{" first "\"exchange\":\"\",\"routing_key\":\"q\",\"redelivered\":" redelivered ",\"persistent\":true," \
    "\"priority\":0,\"published_ms\":5,\"encoding\":\"" encoding "\",\"body\":\"" body "\"}"

static void messages_are_got_and_acknowledged_with_the_answer(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST /queues/q/get?count=3", "");
    show(expect("get q within 0"), 1, "one", 3);
    show(expect("get q within 0"), 2, "\0\xff", 2);
    struct asked *a = expect("get q");
    a->message(a->context, MR_QUEUE_EMPTY, NULL);
    expect("settle 1 ack");
    expect("settle 2 ack");
    expect_nothing();
    told(f, 200,
         "\r\n\r\n{\"messages\":[" MESSAGE("", "false", "utf-8", "one") "," MESSAGE("", "true", "base64", "AP8=") "]}");
    ask(f, "POST /queues/q/get", "");
    a = expect("get q");
    a->message(a->context, MR_QUEUE_EMPTY, NULL);
    told(f, 200, "\r\n\r\n{\"messages\":[]}");
    ask(f, "POST /queues/none/get", "");
    a = expect("get none");
    a->message(a->context, MR_QUEUE_NOT_FOUND, NULL);
    told(f, 404, "{\"error\":");
    expect_nothing();
}

static void messages_are_settled_by_their_delivery(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST /queues/q/get?ack=manual&settle_within_ms=500", "");
    show(expect("get q within 500"), UINT64_MAX, "x", 1);
    told(f, 200, MESSAGE("\"delivery\":\"18446744073709551615\",", "false", "utf-8", "x"));
    expect_nothing();
    ask(f, "POST /queues/q/ack", "{\"delivery\":\"18446744073709551615\"}");
    answer("settle 18446744073709551615 ack", MR_QUEUE_DONE);
    told(f, 200, "{}");
    ask(f, "POST /queues/q/nack", "{\"delivery\":5}");
    answer("settle 5 requeue", MR_QUEUE_REFUSED);
    told(f, 409, "no such delivery");
    ask(f, "POST /queues/q/nack", "{\"delivery\":5,\"requeue\":false}");
    answer("settle 5 reject", MR_QUEUE_DONE);
    told(f, 200, "{}");
    ask(f, "POST /queues/q/ack", "{}");
    told(f, 400, "delivery");
}

static void a_message_without_room_in_the_answer_goes_back(void **state)
{
    struct fixture *f = *state;
    static char large[4000], larger[5000];
    memset(large, 'a', sizeof large);
    memset(larger, 'b', sizeof larger);
    ask(f, "POST /queues/q/get?count=2", "");
    show(expect("get q"), 1, large, 3500);
    show(expect("get q"), 2, large, 3500);
    expect("settle 2 requeue");
    expect("settle 1 ack");
    expect_nothing();
    told(f, 200, "aaaaaaaa\"}]}");
    ask(f, "POST /queues/q/get", "");
    show(expect("get q"), 3, larger, sizeof larger);
    expect("settle 3 requeue");
    told(f, 409, "longer than queue_body_bytes_max");
    expect_nothing();
}

static void who_goes_while_a_message_is_got_leaves_it_there(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST /queues/q/get?count=3", "");
    show(expect("get q"), 1, "one", 3);
    fake_reset(f->s);
    fake_turn(f->w);
    show(expect("get q"), 2, "two", 3);
    expect("settle 1 requeue");
    expect("settle 2 requeue");
    expect_nothing();
}

static void a_body_too_long_is_refused_announced_or_not(void **state)
{
    struct fixture *f = *state;
    static char body[5000], chunk[5100];
    memset(body, ' ', sizeof body - 1);
    ask(f, "POST /queues/q/messages", body);
    told(f, 413, "queue_body_bytes_max");
    f->s = fake_open(f->w);
    int n =
        snprintf(chunk, sizeof chunk,
                 "POST /queues/q/messages HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1387\r\n%s", body);
    fake_input(f->s, chunk, (size_t)n);
    told(f, 413, "");
    expect_nothing();
}

static void a_body_that_never_ends_gives_its_call_back(void **state)
{
    struct fixture *f = *state;
    static const char half[] = "POST /queues/q/messages HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{\"body\"";
    fake_input(f->s, half, sizeof half - 1);
    assert_int_equal(calls_free(f->http), 1);
    fake_pass(f->w, 31 * MR_SECOND);
    told(f, 408, "");
    assert_int_equal(calls_free(f->http), 2);
    f->s = fake_open(f->w);
    fake_input(f->s, half, sizeof half - 1);
    fake_reset(f->s);
    fake_turn(f->w);
    assert_int_equal(calls_free(f->http), 2);
}

static void an_answer_that_comes_too_late_finds_nobody(void **state)
{
    struct fixture *f = *state;
    ask(f, "POST /queues/q/messages", "{\"body\":\"a\"}");
    fake_pass(f->w, 31 * MR_SECOND);
    told(f, 503, "");
    assert_int_equal(calls_free(f->http), 1);
    answer("publish", MR_QUEUE_DONE);
    assert_int_equal(calls_free(f->http), 2);
}

static void too_many_requests_are_told_so(void **state)
{
    struct fixture *f = *state;
    struct mr_stream *first = f->s;
    ask(f, "POST /queues/q/messages", "{\"body\":\"a\"}");
    f->s = fake_open(f->w);
    ask(f, "POST /queues/q/messages", "{\"body\":\"b\"}");
    f->s = fake_open(f->w);
    ask(f, "POST /queues/q/messages", "{\"body\":\"c\"}");
    told(f, 503, "queue_calls_max");
    answer("publish '' 'q' body a", MR_QUEUE_DONE);
    answer("publish '' 'q' body b", MR_QUEUE_DONE);
    f->s = first;
    told(f, 201, "");
}

static void without_a_queue_service_each_says_so(void **state)
{
    struct fixture *f = *state;
    fake.queues = false;
    static const char *const requests[] = {
        "GET /queues", "GET /queues/q", "PUT /queues/q", "POST /queues/q/messages", "POST /exchanges/e/messages",
        "GET /orders"};
    for (unsigned i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        ask(f, requests[i], "");
        told(f, 503, "no queue service runs in this process");
    }
}

static void what_is_no_resource_or_method_is_said(void **state)
{
    struct fixture *f = *state;
    ask(f, "GET /queues/q/other", "");
    told(f, 404, "no such resource");
    ask(f, "PUT /queues//messages", "");
    told(f, 404, "no such resource");
    ask(f, "PATCH /queues/q", "");
    told(f, 405, "Allow: GET, HEAD, PUT, DELETE, OPTIONS");
    ask(f, "OPTIONS /queues/q/get", "");
    told(f, 204, "Allow: POST, OPTIONS");
    ask(f, "GET /queuesque", "");
    told(f, 404, "text/html"); /* the document root's */
    ask(f, "PUT /queues/a%00b", "");
    told(f, 400, "name");
    static const char *const queries[] = {"count=0", "count=101",         "count=", "ack=never", "count",
                                          "other=1", "settle_within_ms=0"};
    for (unsigned i = 0; i < sizeof queries / sizeof queries[0]; i++) {
        char request[64];
        snprintf(request, sizeof request, "POST /queues/q/get?%s", queries[i]);
        ask(f, request, "");
        told(f, 400, "count");
    }
    expect_nothing();
}

/* A browser names the page that made it ask; such of other sites may look but not change. */
static void pages_of_other_sites_change_nothing(void **state)
{
    struct fixture *f = *state;
    say(f, "POST /queues/q/purge", "Origin: http://elsewhere\r\n", "");
    told(f, 403, "another site");
    say(f, "POST /orders", "Origin: null\r\n", "item=x&quantity=1");
    told(f, 403, "another site");
    expect_nothing();
    say(f, "POST /queues/q/purge", "Origin: http://h\r\n", "");
    answer("purge q", MR_QUEUE_DONE);
    told(f, 200, "{}");
}

/* -- orders ----------------------------------------------------------------------------------------------------------- */

static void number_cached(struct asked *a, int64_t n)
{
    struct mr_cache_answer answer = {.kind = MR_CACHE_INTEGER, .integer = n};
    a->cached(a->context, &answer);
}
static void text_cached(struct asked *a, enum mr_cache_kind kind, const char *text)
{
    struct mr_cache_answer answer = {.kind = kind, .text = {(const uint8_t *)text, strlen(text)}};
    a->cached(a->context, &answer);
}

/* The worker behind the page, from its first tick on. */
static void worker_begins(struct fixture *f)
{
    fake_pass(f->w, MR_SECOND / 5);
    answer("declare orders ttl 0", MR_QUEUE_DONE);
    assert_non_null(fake.consumer);
}
static void order_comes(uint64_t delivery)
{
    struct mr_queue_message m = {.body = {(const uint8_t *)"{}", 2}, .delivery = delivery};
    fake.consumer(fake.consumer_context, MR_QUEUE_DONE, &m);
}

static void an_order_goes_the_whole_way(void **state)
{
    struct fixture *f = *state;
    worker_begins(f);
    ask(f, "GET /orders", "");
    text_cached(expect("cached orders:taken"), MR_CACHE_NONE, "");
    told(f, 200, "<b id=taken>0</b>");
    ask(f, "POST /orders", "quantity=12&item=A+%22tea%22%20%C3%A9");
    answer("publish '' 'orders' body {\"item\":\"A \\\"tea\\\" <c3><a9>\",\"quantity\":12} type application/json",
           MR_QUEUE_DONE);
    told(f, 201, "Your order is taken");
    order_comes(77);
    number_cached(expect("increment orders:taken 1"), 1);
    answer("settle 77 ack", MR_QUEUE_DONE);
    ask(f, "GET /orders/count", "");
    text_cached(expect("cached orders:taken"), MR_CACHE_STRING, "1");
    told(f, 200, "\r\n\r\n1");
}

static void an_order_that_makes_no_sense_is_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const forms[] = {
        "",
        "item=x",
        "quantity=1",
        "item=&quantity=1",
        "item=x&quantity=0",
        "item=x&quantity=1001",
        "item=x&quantity=-1",
        "item=x&quantity=99999",
        "item=%ff&quantity=1",
        "item=%2&quantity=1",
        "item",
        "item=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa&quantity=1"};
    for (unsigned i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        ask(f, "POST /orders", forms[i]);
        told(f, 400, "an order is");
    }
    ask(f, "POST /orders/count", "");
    told(f, 404, "");
    ask(f, "GET /orders/other", "");
    told(f, 404, "");
    expect_nothing();
}

static void an_order_that_cannot_be_counted_goes_back_a_while_later(void **state)
{
    struct fixture *f = *state;
    worker_begins(f);
    order_comes(5);
    text_cached(expect("increment"), MR_CACHE_ERROR, "OOM");
    expect_nothing();
    fake_pass(f->w, 2 * MR_SECOND);
    answer("settle 5 requeue", MR_QUEUE_DONE);
    order_comes(6);
    struct asked *a = expect("increment");
    fake.error = MR_ERROR_NO_MEMORY; /* the queue cannot be told now: it is told later, and the order is counted once */
    number_cached(a, 1);
    fake.error = MR_OK;
    fake_pass(f->w, 2 * MR_SECOND);
    answer("settle 6 ack", MR_QUEUE_DONE);
    fake_pass(f->w, 2 * MR_SECOND);
    expect_nothing();
}

static void the_worker_begins_again_when_its_queue_was_deleted(void **state)
{
    struct fixture *f = *state;
    fake.cache = false;
    fake_pass(f->w, 2 * MR_SECOND);
    expect_nothing(); /* without a cache nothing could be counted */
    fake.cache = true;
    fake_pass(f->w, MR_SECOND);
    answer("declare orders", MR_QUEUE_DONE);
    fake.consumer(fake.consumer_context, MR_QUEUE_NOT_FOUND, NULL);
    fake_pass(f->w, 2 * MR_SECOND);
    answer("declare orders", MR_QUEUE_REFUSED); /* it is there, as somebody else wants it */
    assert_non_null(fake.consumer);
    assert_int_equal(fake.consumers_ended, 0); /* the first had ended by itself; the end of the test ends the other */
}

int main(void)
{
#define TEST(name)   cmocka_unit_test_setup_teardown(name, begin, finish)
#define ORDERS(name) cmocka_unit_test_setup_teardown(name, begin_orders, finish)
    const struct CMUnitTest tests[] = {
        TEST(a_queue_is_declared_with_its_options),
        TEST(a_body_that_is_not_understood_is_refused),
        TEST(a_queue_is_deleted_and_purged),
        TEST(a_queue_is_looked_at),
        TEST(queues_are_listed_as_far_as_there_is_room),
        TEST(a_message_is_answered_when_it_is_confirmed),
        TEST(each_outcome_has_its_status),
        TEST(messages_are_got_and_acknowledged_with_the_answer),
        TEST(messages_are_settled_by_their_delivery),
        TEST(a_message_without_room_in_the_answer_goes_back),
        TEST(who_goes_while_a_message_is_got_leaves_it_there),
        TEST(a_body_too_long_is_refused_announced_or_not),
        TEST(a_body_that_never_ends_gives_its_call_back),
        TEST(an_answer_that_comes_too_late_finds_nobody),
        TEST(too_many_requests_are_told_so),
        ORDERS(without_a_queue_service_each_says_so),
        TEST(what_is_no_resource_or_method_is_said),
        ORDERS(pages_of_other_sites_change_nothing),
        ORDERS(an_order_goes_the_whole_way),
        ORDERS(an_order_that_makes_no_sense_is_refused),
        ORDERS(an_order_that_cannot_be_counted_goes_back_a_while_later),
        ORDERS(the_worker_begins_again_when_its_queue_was_deleted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
