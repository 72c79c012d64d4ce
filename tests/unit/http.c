/* The HTTP connection machine and its files, over a fake stack and a temporary document root. */
#include "tests/support/cmocka.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "http/condition.h"
#include "http/connection.h"
#include "http/http.h"
#include "tests/support/fake_stream.h"

#define HOST      "Host: h\r\n"
#define GET(path) "GET " path " HTTP/1.1\r\n" HOST "\r\n"

struct fixture {
    struct mr_worker *w;
    uint64_t counters[HTTP_COUNTERS];
    struct http *http;
    struct http_config config;
    char root[64], outside[80];
};

static void write_file(const char *root, const char *name, const void *data, size_t n)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    close(fd);
}

#define LARGE_BYTES (600u << 10)
static uint8_t large[LARGE_BYTES];

static void root_fill(struct fixture *f)
{
    char path[128];
    strcpy(f->root, "/tmp/millrace-http-XXXXXX");
    assert_non_null(mkdtemp(f->root));
    snprintf(f->outside, sizeof f->outside, "%s.outside", f->root);
    write_file("", f->outside + 1, "secret", 6);
    write_file(f->root, "index.html", "<p>index", 8);
    write_file(f->root, "hello.txt", "hello, world\n", 13);
    write_file(f->root, "empty.txt", "", 0);
    write_file(f->root, "with space.txt", "space", 5);
    write_file(f->root, ".hidden", "hidden", 6);
    for (size_t i = 0; i < sizeof large; i++)
        large[i] = (uint8_t)(i * 7 + i / 251);
    write_file(f->root, "large.bin", large, sizeof large);
    write_file(f->root, "middle.bin", large, 10000);
    snprintf(path, sizeof path, "%s/folder", f->root);
    mkdir(path, 0755);
    write_file(f->root, "folder/index.html", "<p>folder", 9);
    snprintf(path, sizeof path, "%s/bare", f->root);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/fifo", f->root);
    mkfifo(path, 0644);
    snprintf(path, sizeof path, "%s/inside.txt", f->root);
    assert_int_equal(symlink("hello.txt", path), 0);
    snprintf(path, sizeof path, "%s/escape.txt", f->root);
    assert_int_equal(symlink(f->outside, path), 0);
    snprintf(path, sizeof path, "%s/up", f->root);
    assert_int_equal(symlink("..", path), 0);
}

static struct http_config config_default(void)
{
    return (struct http_config){.status_page = true,
                                .test_endpoints = true,
                                .connections_max = 8,
                                .requests_per_turn = 128,
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
}

static struct fixture *http_begin(void (*change)(struct http_config *config))
{
    struct fixture *f = calloc(1, sizeof *f);
    void *state;
    root_fill(f);
    f->w = fake_worker_create();
    f->config = config_default();
    f->config.root = f->root;
    if (change)
        change(&f->config);
    assert_int_equal(http_service.start(f->w, &f->config, f->counters, &state), MR_OK);
    f->http = state;
    return f;
}

static void check_all(struct fixture *f)
{
    for (uint32_t i = 0; i < f->http->connections_used; i++)
        http_connection_check(&f->http->connections[i]);
}

static void http_finish(struct fixture *f)
{
    char command[256];
    check_all(f);
    http_service.stop(f->w, f->http);
    fake_pass(f->w, 200 * MR_SECOND); /* whatever is left runs into its timeouts */
    assert_int_equal(fake_streams_open(f->w), 0);
    assert_int_equal(f->http->connections_open, 0);
    assert_int_equal(f->http->reads_free, f->http->read_count);
    assert_null(f->http->read_waiters);
    http_service.release(f->w, f->http);
    fake_worker_free(f->w);
    snprintf(command, sizeof command, "rm -rf %s %s", f->root, f->outside);
    assert_int_equal(system(command), 0);
    free(f);
}

static void say(struct mr_stream *s, const char *text)
{
    fake_input(s, text, strlen(text));
}

/* Turns until nothing moves: offload threads answer, files stream. */
static void settle(struct fixture *f)
{
    for (int i = 0; i < 40; i++)
        fake_turn(f->w);
    check_all(f);
}

/* One request on a connection of its own that ends behind it; the whole response. */
static const char *ask(struct fixture *f, const char *request, size_t *n)
{
    static char *answer;
    struct mr_stream *s = fake_open(f->w);
    say(s, request);
    settle(f);
    const char *output = fake_output(s, n);
    free(answer);
    size_t length;
    output = fake_output(s, &length);
    answer = malloc(length + 1);
    memcpy(answer, output, length + 1);
    fake_end(s);
    settle(f);
    assert_true(fake_closed(s));
    return answer;
}

static int status_of(const char *response)
{
    assert_memory_equal(response, "HTTP/1.1 ", 9);
    return atoi(response + 9);
}

static void assert_status(const char *response, int status)
{
    if (strncmp(response, "HTTP/1.1 ", 9) != 0 || atoi(response + 9) != status)
        fail_msg("expected %d, the response is: %.300s", status, response);
}

static const char *body_of(const char *response)
{
    const char *end = strstr(response, "\r\n\r\n");
    assert_non_null(end);
    return end + 4;
}

static bool has(const char *response, const char *line)
{
    return strstr(response, line) != NULL;
}

static unsigned count(const char *text, const char *part)
{
    unsigned n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part))
        n++;
    return n;
}

/* Files. */

static void file_get_returns_it_with_its_fields(void **state)
{
    struct fixture *f = http_begin(NULL);
    const char *r = ask(f, GET("/hello.txt"), NULL);
    assert_status(r, 200);
    assert_string_equal(body_of(r), "hello, world\n");
    assert_true(has(r, "\r\nContent-Length: 13\r\n"));
    assert_true(has(r, "\r\nContent-Type: text/plain; charset=utf-8\r\n"));
    assert_true(has(r, "\r\nLast-Modified: ") && has(r, "\r\nETag: \"") && has(r, "\r\nDate: "));
    assert_int_equal(f->counters[HTTP_COUNTER_FILES_LOADED], 1);
    r = ask(f, GET("/hello.txt"), NULL);
    assert_string_equal(body_of(r), "hello, world\n");
    assert_int_equal(f->counters[HTTP_COUNTER_FILES_LOADED], 1); /* the second came from memory */
    http_finish(f);
}

static void paths_reach_what_they_may_and_no_more(void **state)
{
    static const struct {
        const char *path;
        int status;
        const char *body; /* NULL: not looked at */
        const char *reason;
    } table[] = {
        {"/", 200, "<p>index", "the index of the root"},
        {"/index.html", 200, "<p>index", "the same by name"},
        {"/folder/", 200, "<p>folder", "the index of a folder"},
        {"/folder", 301, NULL, "a folder without its slash"},
        {"//folder", 301, NULL, "... behind two slashes: not a redirect to another host"},
        {"/bare/", 404, NULL, "a folder without an index is not listed"},
        {"/empty.txt", 200, "", "an empty file"},
        {"/with%20space.txt", 200, "space", "an escaped name"},
        {"/%68ello.txt", 200, "hello, world\n", "an escape that was not needed"},
        {"//hello.txt", 200, "hello, world\n", "slashes are folded"},
        {"/folder///index.html", 200, "<p>folder", "... anywhere"},
        {"/hello.txt?a=/../b", 200, "hello, world\n", "a query does not matter"},
        {"http://h/hello.txt", 200, "hello, world\n", "absolute-form"},
        {"http://h", 200, "<p>index", "absolute-form without a path"},
        {"/inside.txt", 200, "hello, world\n", "a symbolic link within the root"},
        {"/escape.txt", 404, NULL, "a symbolic link out of it"},
        {"/up/hello.txt", 404, NULL, "a folder that links upwards"},
        {"/nothing.txt", 404, NULL, "no such file"},
        {"/hello.txt/", 404, NULL, "a file is not a folder"},
        {"/hello.txt/x", 404, NULL, "... nor has it children"},
        {"/fifo", 404, NULL, "a FIFO is not a file, and does not block"},
        {"/.hidden", 404, NULL, "a dot file"},
        {"/%2ehidden", 404, NULL, "... escaped"},
        {"/folder/../hello.txt", 400, NULL, "a step upwards, though it would stay inside"},
        {"/../hello.txt", 400, NULL, "a step out of the root"},
        {"/..", 400, NULL, "... at the end"},
        {"/%2e%2e/hello.txt", 400, NULL, "... escaped"},
        {"/.%2E/hello.txt", 400, NULL, "... half escaped"},
        {"/folder/..", 400, NULL, "upwards at the end"},
        {"/./hello.txt", 404, NULL, "a dot segment"},
        {"/folder%2fhello.txt", 404, NULL, "an escaped slash"},
        {"/..%2fhello.txt", 400, NULL, "... behind a step upwards"},
        {"/%2e%2e%2f%2e%2e%2fetc/passwd", 400, NULL, "all of it escaped"},
        {"/..%5chello.txt", 404, NULL, "an escaped backslash"},
        {"/%252e%252e/hello.txt", 404, NULL, "escaped twice: decoded once"},
        {"/hello.txt%00.html", 400, NULL, "a NUL"},
        {"/hello.txt%0d%0aX:%20y", 400, NULL, "a line end"},
        {"/%ff%fe", 404, NULL, "not UTF-8: a name like any other"},
        {"/...", 404, NULL, "three dots begin with a dot"},
    };
    struct fixture *f = http_begin(NULL);
    f->http->config.cache_entries = 32;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char request[512];
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\n" HOST "Connection: close\r\n\r\n", table[i].path);
        const char *r = ask(f, request, NULL);
        if (status_of(r) != table[i].status || (table[i].body && strcmp(body_of(r), table[i].body) != 0))
            fail_msg("%s (%s): expected %d: %.300s", table[i].path, table[i].reason, table[i].status, r);
        assert_false(has(r, "secret"));
        if (table[i].status == 301)
            assert_true(has(r, "\r\nLocation: /folder/\r\n"));
    }
    http_finish(f);
}

static void open_without_openat2_stays_inside(void **state)
{
    /* The kernel's RESOLVE_BENEATH refuses what leads out, links and steps alike. */
    struct fixture *f = http_begin(NULL);
    static const char *const out[] = {"escape.txt", "up/hello.txt", "../x", "folder/../../x", "/etc/passwd"};
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        assert_true(http_file_open_beneath(f->http->files.root, out[i]) < 0);
    int fd = http_file_open_beneath(f->http->files.root, "folder/index.html");
    assert_true(fd >= 0);
    close(fd);
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        assert_true(http_file_open_by_components(f->http->files.root, out[i]) < 0);
    assert_true(http_file_open_by_components(f->http->files.root, "inside.txt") < 0); /* it follows no link at all */
    fd = http_file_open_by_components(f->http->files.root, "folder/index.html");
    assert_true(fd >= 0);
    close(fd);
    http_finish(f);
}

static void head_has_the_fields_and_no_body(void **state)
{
    struct fixture *f = http_begin(NULL);
    for (int cached = 0; cached < 2; cached++) {
        const char *r = ask(f, "HEAD /hello.txt HTTP/1.1\r\n" HOST "\r\n", NULL);
        assert_status(r, 200);
        assert_true(has(r, "\r\nContent-Length: 13\r\n"));
        assert_string_equal(body_of(r), "");
    }
    assert_string_equal(body_of(ask(f, "HEAD /nothing HTTP/1.1\r\n" HOST "\r\n", NULL)), "");
    assert_string_equal(body_of(ask(f, "HEAD /large.bin HTTP/1.1\r\n" HOST "\r\n", NULL)), "");
    assert_string_equal(body_of(ask(f, "HEAD /bytes/9 HTTP/1.1\r\n" HOST "\r\n", NULL)), "");
    http_finish(f);
}

static void field_of(const char *response, const char *name, char *value)
{
    const char *at = strstr(response, name);
    assert_non_null(at);
    at += strlen(name);
    size_t n = strcspn(at, "\r");
    memcpy(value, at, n);
    value[n] = 0;
}

static void conditions_are_evaluated_in_order(void **state)
{
    struct fixture *f = http_begin(NULL);
    char etag[80], modified[80], request[512];
    const char *r = ask(f, GET("/hello.txt"), NULL);
    field_of(r, "ETag: ", etag);
    field_of(r, "Last-Modified: ", modified);
    const struct {
        const char *name, *value, *more;
        int status;
    } table[] = {
        {"If-None-Match", etag, "", 304},
        {"If-None-Match", "*", "", 304},
        {"If-None-Match", "\"other\"", "", 200},
        {"If-None-Match", "W/\"x\", W/\"y\", \"z\"", "", 200},
        {"If-Modified-Since", modified, "", 304},
        {"If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", "", 200},
        {"If-Modified-Since", "Sunday, 06-Nov-94 08:49:37 GMT", "", 200},
        {"If-Modified-Since", "Sun Nov  6 08:49:37 1994", "", 200},
        {"If-Modified-Since", "Fri, 31 Dec 9999 23:59:59 GMT", "", 304},
        {"If-Modified-Since", "yesterday", "", 200},
        {"If-Modified-Since", modified, "If-None-Match: \"other\"\r\n", 200}, /* the tag decides alone */
        {"If-Match", etag, "", 200},
        {"If-Match", "*", "", 200},
        {"If-Match", "\"other\"", "", 412},
        {"If-Unmodified-Since", modified, "", 200},
        {"If-Unmodified-Since", "Sun, 06 Nov 1994 08:49:37 GMT", "", 412},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        snprintf(request, sizeof request, "GET /hello.txt HTTP/1.1\r\n" HOST "%s: %s\r\n%s\r\n", table[i].name,
                 table[i].value, table[i].more);
        r = ask(f, request, NULL);
        if (status_of(r) != table[i].status)
            fail_msg("%s: %s: expected %d: %s", table[i].name, table[i].value, table[i].status, r);
        if (table[i].status == 304) {
            assert_string_equal(body_of(r), "");
            assert_true(has(r, etag));
        }
    }
    snprintf(request, sizeof request, "GET /hello.txt HTTP/1.1\r\n" HOST "If-None-Match: \"a\" , W/%s\r\n\r\n", etag);
    assert_status(ask(f, request, NULL), 304); /* weak comparison */
    snprintf(request, sizeof request, "GET /hello.txt HTTP/1.1\r\n" HOST "If-Match: W/%s\r\n\r\n", etag);
    assert_status(ask(f, request, NULL), 412); /* strong comparison */
    http_finish(f);
}

static void ranges_return_their_part(void **state)
{
    static const struct {
        const char *range;
        int status;
        const char *body, *content_range;
    } table[] = {
        {"bytes=0-4", 206, "hello", "bytes 0-4/13"},
        {"bytes=7-", 206, "world\n", "bytes 7-12/13"},
        {"bytes=-6", 206, "world\n", "bytes 7-12/13"},
        {"bytes=-99", 206, "hello, world\n", "bytes 0-12/13"},
        {"bytes=5-99", 206, ", world\n", "bytes 5-12/13"},
        {"BYTES=0-0", 206, "h", "bytes 0-0/13"},
        {"bytes=0-18446744073709551616", 206, "hello, world\n", "bytes 0-12/13"},
        {"bytes=13-", 416, "", "bytes */13"},
        {"bytes=99999999999999999999-", 416, "", "bytes */13"},
        {"bytes=-0", 416, "", "bytes */13"},
        {"bytes=0-1,3-4", 200, "hello, world\n", NULL},
        {"bytes=4-1", 200, "hello, world\n", NULL},
        {"bytes=-", 200, "hello, world\n", NULL},
        {"bytes=a-b", 200, "hello, world\n", NULL},
        {"bytes", 200, "hello, world\n", NULL},
        {"lines=0-1", 200, "hello, world\n", NULL},
        {"bytes=0-1\r\nIf-Range: \"other\"", 200, "hello, world\n", NULL},
        {"bytes=0-1\r\nIf-Range: Sun, 06 Nov 1994 08:49:37 GMT", 200, "hello, world\n", NULL},
    };
    struct fixture *f = http_begin(NULL);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char request[512], line[100];
        snprintf(request, sizeof request, "GET /hello.txt HTTP/1.1\r\n" HOST "Range: %s\r\n\r\n", table[i].range);
        const char *r = ask(f, request, NULL);
        if (status_of(r) != table[i].status || strcmp(body_of(r), table[i].body) != 0)
            fail_msg("%s: expected %d %s: %s", table[i].range, table[i].status, table[i].body, r);
        snprintf(line, sizeof line, "\r\nContent-Range: %s\r\n", table[i].content_range ? table[i].content_range : "");
        assert_int_equal(has(r, line), table[i].content_range != NULL);
        snprintf(line, sizeof line, "\r\nContent-Length: %zu\r\n", strlen(table[i].body));
        assert_true(has(r, line));
    }
    assert_status(ask(f, "GET /empty.txt HTTP/1.1\r\n" HOST "Range: bytes=0-\r\n\r\n", NULL), 416);
    http_finish(f);
}

static void large_file_streams_within_its_memory(void **state)
{
    /* A file larger than what may be held arrives whole at a peer that takes it in small steps. */
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    size_t n;
    fake_throttle(s, 200000);
    say(s, GET("/large.bin") GET("/hello.txt"));
    for (int i = 0; i < 500; i++) {
        fake_turn(f->w);
        fake_acknowledge(s, 9999);
        check_all(f);
    }
    const char *r = fake_output(s, &n);
    const char *body = body_of(r);
    assert_true(n > LARGE_BYTES);
    assert_memory_equal(body, large, LARGE_BYTES);
    assert_memory_equal(body + LARGE_BYTES, "HTTP/1.1 200 OK", 15); /* the pipelined one, behind it */
    fake_end(s);
    fake_acknowledge(s, SIZE_MAX);
    http_finish(f);
}

static void large_file_range_and_many_readers(void **state)
{
    /* More connections than reads: all are served, by turns. */
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s[8];
    for (int i = 0; i < 8; i++) {
        s[i] = fake_open(f->w);
        fake_throttle(s[i], 150000);
        say(s[i], i == 3 ? "GET /large.bin HTTP/1.1\r\n" HOST "Range: bytes=1000-300999\r\n\r\n" : GET("/large.bin"));
    }
    for (int round = 0; round < 400; round++) {
        fake_turn(f->w);
        for (int i = 0; i < 8; i++)
            fake_acknowledge(s[i], 20000);
        check_all(f);
    }
    for (int i = 0; i < 8; i++) {
        size_t n;
        const char *r = fake_output(s[i], &n);
        const char *body = body_of(r);
        size_t length = i == 3 ? 300000 : LARGE_BYTES;
        assert_int_equal(n - (size_t)(body - r), length);
        assert_memory_equal(body, large + (i == 3 ? 1000 : 0), length);
        fake_end(s[i]);
        fake_acknowledge(s[i], SIZE_MAX);
    }
    assert_int_equal(f->http->files.descriptors, 1); /* one open file for all */
    http_finish(f);
}

static void large_file_that_shrinks_cuts_the_connection(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    char path[128];
    fake_throttle(s, 100000);
    say(s, GET("/large.bin"));
    fake_turn(f->w);
    snprintf(path, sizeof path, "%s/large.bin", f->root);
    assert_int_equal(truncate(path, 1000), 0);
    for (int i = 0; i < 100; i++) {
        fake_turn(f->w);
        fake_acknowledge(s, 50000);
    }
    assert_true(fake_aborted(s));
    assert_int_equal(f->counters[HTTP_COUNTER_FILES_CUT], 1);
    http_finish(f);
}

static void reset_while_streaming_frees_all(void **state)
{
    struct fixture *f = http_begin(NULL);
    for (int turns = 0; turns < 6; turns++) {
        struct mr_stream *s = fake_open(f->w);
        fake_throttle(s, 100000);
        say(s, GET("/large.bin"));
        for (int i = 0; i < turns; i++)
            fake_turn(f->w);
        fake_reset(s);
        settle(f);
    }
    assert_int_equal(f->http->reads_free, f->http->read_count);
    http_finish(f);
}

static void changed_file_is_noticed(void **state)
{
    struct fixture *f = http_begin(NULL);
    ask(f, GET("/hello.txt"), NULL);
    write_file(f->root, "hello.txt", "other", 5);
    const char *r = ask(f, GET("/hello.txt"), NULL);
    assert_string_equal(body_of(r), "hello, world\n"); /* compared at most once a second */
    fake_pass(f->w, 3 * MR_SECOND);
    assert_string_equal(body_of(ask(f, GET("/hello.txt"), NULL)), "other");
    assert_int_equal(f->counters[HTTP_COUNTER_FILES_CHANGED], 1);
    fake_pass(f->w, 3 * MR_SECOND);
    assert_string_equal(body_of(ask(f, GET("/hello.txt"), NULL)), "other");
    assert_int_equal(f->counters[HTTP_COUNTER_FILES_CHANGED], 1);
    assert_status(ask(f, GET("/new.txt"), NULL), 404);
    write_file(f->root, "new.txt", "new", 3);
    fake_pass(f->w, 3 * MR_SECOND);
    assert_string_equal(body_of(ask(f, GET("/new.txt"), NULL)), "new");
    http_finish(f);
}

static void one_load_serves_all_who_wait(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s[6];
    fake_offload_hold(f->w, true);
    for (int i = 0; i < 6; i++) {
        s[i] = fake_open(f->w);
        say(s[i], GET("/hello.txt"));
    }
    assert_int_equal(f->counters[HTTP_COUNTER_FILES_LOADED], 1);
    fake_reset(s[2]);
    fake_offload_hold(f->w, false);
    settle(f);
    for (int i = 0; i < 6; i++)
        if (i != 2)
            assert_string_equal(body_of(fake_output(s[i], NULL)), "hello, world\n");
    assert_int_equal(f->counters[HTTP_COUNTER_REQUESTS], 6);
    for (int i = 0; i < 6; i++)
        if (i != 2)
            fake_end(s[i]);
    http_finish(f);
}

static void refused_offload_is_a_503(void **state)
{
    struct fixture *f = http_begin(NULL);
    fake_offload_refuse(f->w, true);
    assert_status(ask(f, GET("/hello.txt"), NULL), 503);
    fake_offload_refuse(f->w, false);
    assert_status(ask(f, GET("/hello.txt"), NULL), 200);
    http_finish(f);
}

static void scan_for_names_leaves_files_in_the_cache(void **state)
{
    struct fixture *f = http_begin(NULL);
    ask(f, GET("/hello.txt"), NULL);
    for (int i = 0; i < 500; i++) {
        char request[128];
        snprintf(request, sizeof request, "GET /no-%d HTTP/1.1\r\n" HOST "\r\n", i);
        assert_status(ask(f, request, NULL), 404);
    }
    uint64_t loaded = f->counters[HTTP_COUNTER_FILES_LOADED];
    assert_string_equal(body_of(ask(f, GET("/hello.txt"), NULL)), "hello, world\n");
    assert_int_equal(f->counters[HTTP_COUNTER_FILES_LOADED], loaded);
    assert_true(f->http->files.entry_count <= f->http->files.entries_max);
    http_finish(f);
}

static void change_small_cache(struct http_config *config)
{
    config->cache_bytes = 70 << 10;
    config->open_files_max = 1;
}

static void memory_limit_turns_into_streaming_or_eviction(void **state)
{
    /* With room for one file only, all are still served right, and the sum of memory stays under its limit. */
    struct fixture *f = http_begin(change_small_cache);
    for (int i = 0; i < 20; i++) {
        char name[32], request[128];
        snprintf(name, sizeof name, "f%d.bin", i);
        write_file(f->root, name, large + i, 60000);
        snprintf(request, sizeof request, "GET /%s HTTP/1.1\r\n" HOST "\r\n", name);
        assert_memory_equal(body_of(ask(f, request, NULL)), large + i, 60000);
        assert_true(f->http->files.bytes <= f->http->config.cache_bytes);
        assert_true(f->http->files.descriptors <= 2);
    }
    http_finish(f);
}

/* Connections. */

static void pipelined_requests_are_answered_in_order(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    say(s, GET("/hello.txt") GET("/") "HEAD / HTTP/1.1\r\n" HOST "\r\n" GET("/nothing") GET("/middle.bin")
               GET("/hello.txt"));
    settle(f);
    size_t n;
    const char *r = fake_output(s, &n);
    assert_string_equal(r + n - 13, "hello, world\n");
    assert_int_equal(f->counters[HTTP_COUNTER_RESPONSES_2XX], 5);
    assert_int_equal(f->counters[HTTP_COUNTER_RESPONSES_4XX], 1);
    const char *first = strstr(r, "hello, world"), *second = strstr(r, "<p>index"), *third = strstr(r, "404 Not Found");
    assert_true(first && second && third && first < second && second < third);
    const char *head = strstr(third + 40, "HTTP/1.1 200 OK"); /* the length of the fifth keeps the sixth in its place */
    assert_memory_equal(body_of(head), large, 10000);
    fake_end(s);
    http_finish(f);
}

static void requests_at_any_split(void **state)
{
    static const char text[] = "POST /sink HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n"
                               "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nT: v\r\n\r\n" GET("/hello.txt");
    struct fixture *f = http_begin(NULL);
    ask(f, GET("/hello.txt"), NULL);
    for (size_t step = 1; step < sizeof text; step++) {
        struct mr_stream *s = fake_open(f->w);
        for (size_t at = 0; at < sizeof text - 1; at += step)
            fake_input(s, text + at, sizeof text - 1 - at < step ? sizeof text - 1 - at : step);
        settle(f);
        const char *r = fake_output(s, NULL);
        assert_memory_equal(body_of(r), "bytes 12\ncrc32 ffab723a\n", 24);
        assert_string_equal(body_of(body_of(r)), "hello, world\n");
        fake_end(s);
        assert_true(fake_closed(s));
    }
    http_finish(f);
}

static void many_pipelined_requests_share_the_turn(void **state)
{
    /* A connection that sends thousands at once is interrupted, and goes on by itself. */
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    ask(f, GET("/hello.txt"), NULL);
    for (int i = 0; i < 999; i++)
        fake_input_quietly(s, GET("/hello.txt"), strlen(GET("/hello.txt")));
    uint64_t before = f->counters[HTTP_COUNTER_REQUESTS];
    say(s, GET("/hello.txt"));
    assert_int_equal(f->counters[HTTP_COUNTER_REQUESTS], before + f->config.requests_per_turn);
    settle(f);
    assert_int_equal(f->counters[HTTP_COUNTER_REQUESTS], before + 1000);
    assert_int_equal(count(fake_output(s, NULL), "hello, world\n"), 1000);
    fake_end(s);
    http_finish(f);
}

static void slow_reader_stops_the_parser(void **state)
{
    /* Requests of a peer that reads nothing stay unread: nothing piles up. */
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    ask(f, GET("/hello.txt"), NULL);
    fake_throttle(s, 700);
    for (int i = 0; i < 50; i++)
        say(s, GET("/hello.txt"));
    assert_true(mr_stream_readable(s) > 40 * strlen(GET("/hello.txt")));
    for (int i = 0; i < 3000 && count(fake_output(s, NULL), "hello, world\n") < 50; i++)
        fake_acknowledge(s, 37);
    assert_int_equal(count(fake_output(s, NULL), "hello, world\n"), 50);
    assert_int_equal(mr_stream_readable(s), 0);
    check_all(f);
    fake_end(s);
    fake_acknowledge(s, SIZE_MAX);
    http_finish(f);
}

static void refusals_close_and_linger(void **state)
{
    static const struct {
        const char *request;
        int status;
        enum http_counter counter;
    } table[] = {
        {"nonsense\r\n\r\n", 400, HTTP_COUNTER_ERROR_400},
        {"GET / HTTP/1.1\r\n\r\n", 400, HTTP_COUNTER_ERROR_400},
        {"GET / HTTP/3.0\r\n\r\n", 505, HTTP_COUNTER_ERROR_505},
        {"BREW / HTTP/1.1\r\n" HOST "\r\n", 501, HTTP_COUNTER_ERROR_501},
        {"PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 99999999\r\n\r\n", 413, HTTP_COUNTER_ERROR_413},
        {"PUT /sink HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", 413, HTTP_COUNTER_ERROR_413},
        {"PUT /sink HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\nx\r\n", 400, HTTP_COUNTER_ERROR_400},
        {"PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 1\r\nExpect: y\r\n\r\n", 417, HTTP_COUNTER_ERROR_417},
    };
    struct fixture *f = http_begin(NULL);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct mr_stream *s = fake_open(f->w);
        uint64_t before = f->counters[table[i].counter];
        say(s, table[i].request);
        assert_status(fake_output(s, NULL), table[i].status);
        assert_true(has(fake_output(s, NULL), "\r\nConnection: close\r\n"));
        assert_int_equal(f->counters[table[i].counter], before + 1);
        assert_true(fake_shutdown_seen(s));
        say(s, "what the peer had under way is read and ignored"); /* else a reset would overtake the answer */
        assert_int_equal(mr_stream_readable(s), 0);
        assert_false(fake_closed(s));
        fake_end(s);
        assert_true(fake_closed(s));
        assert_false(fake_aborted(s));
    }
    http_finish(f);
}

static void limits_have_their_status(void **state)
{
    struct fixture *f = http_begin(NULL);
    char request[8192], filler[5000];
    memset(filler, 'a', sizeof filler);
    snprintf(request, sizeof request, "GET /%.1100s HTTP/1.1\r\n" HOST "\r\n", filler);
    assert_status(ask(f, request, NULL), 414);
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\n" HOST "A: %.4500s\r\n\r\n", filler);
    assert_status(ask(f, request, NULL), 431);
    size_t n = (size_t)sprintf(request, "GET / HTTP/1.1\r\n" HOST);
    for (int i = 0; i < 32; i++)
        n += (size_t)sprintf(request + n, "A: b\r\n");
    sprintf(request + n, "\r\n");
    assert_status(ask(f, request, NULL), 431);
    assert_int_equal(f->counters[HTTP_COUNTER_ERROR_414], 1);
    assert_int_equal(f->counters[HTTP_COUNTER_ERROR_431], 2);
    http_finish(f);
}

static void methods_are_allowed_by_route(void **state)
{
    struct fixture *f = http_begin(NULL);
    const char *r = ask(f, "DELETE /hello.txt HTTP/1.1\r\n" HOST "\r\n", NULL);
    assert_status(r, 405);
    assert_true(has(r, "\r\nAllow: GET, HEAD, OPTIONS\r\n"));
    assert_status(ask(f, "PUT / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", NULL), 405);
    assert_status(ask(f, GET("/sink"), NULL), 405);
    r = ask(f, "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", NULL);
    assert_status(r, 204);
    assert_false(has(r, "Content-Length"));
    assert_true(has(ask(f, "OPTIONS /sink HTTP/1.1\r\n" HOST "\r\n", NULL), "\r\nAllow: PUT, POST, OPTIONS\r\n"));
    assert_true(has(ask(f, GET("/status"), NULL), "\nhttp_requests 6\n"));
    http_finish(f);
}

static void change_plain(struct http_config *config)
{
    config->test_endpoints = config->status_page = false;
}

static void test_endpoints_are_off_unless_asked_for(void **state)
{
    struct fixture *f = http_begin(change_plain);
    assert_status(ask(f, GET("/bytes/1"), NULL), 404);
    assert_status(ask(f, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", NULL), 405);
    assert_status(ask(f, GET("/status"), NULL), 404);
    http_finish(f);
}

static void body_nobody_wants_is_discarded(void **state)
{
    /* A small one costs nothing; a large one costs the connection, said in the response. */
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    say(s, "GET /hello.txt HTTP/1.1\r\n" HOST "Content-Length: 10\r\n\r\n01234");
    settle(f);
    say(s, "56789" GET("/"));
    settle(f);
    assert_true(has(fake_output(s, NULL), "hello, world\n") && has(fake_output(s, NULL), "<p>index"));
    say(s, "POST / HTTP/1.1\r\n" HOST "Content-Length: 1000000\r\n\r\n0123");
    settle(f);
    assert_true(has(fake_output(s, NULL), "\r\nConnection: close\r\n"));
    assert_true(fake_shutdown_seen(s));
    fake_end(s);
    http_finish(f);
}

static void expectation_is_answered_before_the_body(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    say(s, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_string_equal(fake_output(s, NULL), "HTTP/1.1 100 Continue\r\n\r\n");
    fake_output_clear(s);
    say(s, "hello");
    assert_status(fake_output(s, NULL), 200);
    assert_string_equal(body_of(fake_output(s, NULL)), "bytes 5\ncrc32 3610a686\n");
    fake_output_clear(s);
    say(s, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello");
    assert_status(fake_output(s, NULL), 200); /* the body came along: no 100 */
    fake_output_clear(s);
    say(s, "PUT /hello.txt HTTP/1.1\r\n" HOST "Content-Length: 5\r\nExpect: 100-continue\r\n\r\n");
    assert_status(fake_output(s, NULL), 405); /* no 100, and the body may or may not come: the connection ends */
    assert_true(has(fake_output(s, NULL), "\r\nConnection: close\r\n"));
    fake_end(s);
    http_finish(f);
}

static void old_clients_get_what_they_ask_for(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    say(s, "GET /hello.txt HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    settle(f);
    assert_true(has(fake_output(s, NULL), "\r\nConnection: keep-alive\r\n"));
    assert_false(fake_shutdown_seen(s));
    fake_output_clear(s);
    say(s, "GET /hello.txt HTTP/1.0\r\n\r\n");
    settle(f);
    assert_true(has(fake_output(s, NULL), "\r\nConnection: close\r\n"));
    assert_true(fake_shutdown_seen(s));
    fake_end(s);
    assert_true(fake_closed(s));
    http_finish(f);
}

static void half_closed_client_gets_its_answers(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    fake_input_quietly(s, GET("/hello.txt") GET("/"), strlen(GET("/hello.txt") GET("/")));
    fake_end(s);
    settle(f);
    assert_true(has(fake_output(s, NULL), "hello, world\n") && has(fake_output(s, NULL), "<p>index"));
    assert_true(fake_closed(s));
    s = fake_open(f->w);
    fake_input_quietly(s, "GET / HT", 8);
    fake_end(s);
    assert_status(fake_output(s, NULL), 400); /* RFC 9112 8 */
    s = fake_open(f->w);
    fake_input_quietly(s, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc", 51);
    fake_end(s);
    assert_true(fake_aborted(s));
    http_finish(f);
}

/* Time. */

static void timeouts_have_their_answer(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *idle = fake_open(f->w), *head = fake_open(f->w), *body = fake_open(f->w), *kept = fake_open(f->w);
    say(head, "GET / HTTP/1.1\r\nHo");
    say(body, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\nabc");
    say(kept, GET("/hello.txt"));
    fake_pass(f->w, 9 * MR_SECOND);
    say(head, "s"); /* a drip does not help */
    assert_int_equal(fake_streams_open(f->w), 4);
    fake_pass(f->w, 2 * MR_SECOND);
    assert_true(fake_shutdown_seen(idle));
    assert_string_equal(fake_output(idle, NULL), "");
    assert_status(fake_output(head, NULL), 408);
    assert_int_equal(fake_output(body, NULL)[0], 0);
    fake_pass(f->w, 20 * MR_SECOND);
    assert_status(fake_output(body, NULL), 408);
    assert_false(fake_shutdown_seen(kept));
    fake_pass(f->w, 50 * MR_SECOND);
    assert_true(fake_shutdown_seen(kept));
    assert_int_equal(f->counters[HTTP_COUNTER_ERROR_408], 2);
    assert_int_equal(f->counters[HTTP_COUNTER_TIMEOUTS_IDLE], 2);
    fake_pass(f->w, 10 * MR_SECOND); /* none of them ends its side: linger gives up */
    assert_int_equal(fake_streams_open(f->w), 0);
    assert_int_equal(f->counters[HTTP_COUNTER_TIMEOUTS_LINGER], 4);
    http_finish(f);
}

static void body_in_progress_is_not_timed_out(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    say(s, "PUT /sink HTTP/1.1\r\n" HOST "Content-Length: 9\r\n\r\n");
    for (int i = 0; i < 9; i++) {
        fake_pass(f->w, 20 * MR_SECOND);
        say(s, "x");
    }
    assert_status(fake_output(s, NULL), 200);
    fake_end(s);
    http_finish(f);
}

static void peer_that_takes_nothing_is_cut(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *slow = fake_open(f->w), *dead = fake_open(f->w);
    fake_throttle(slow, 100000);
    fake_throttle(dead, 100000);
    say(slow, GET("/large.bin"));
    say(dead, GET("/bytes/1000000"));
    for (int i = 0; i < 4; i++) {
        fake_pass(f->w, 20 * MR_SECOND);
        fake_acknowledge(slow, 100); /* slow is not dead */
    }
    assert_true(fake_aborted(dead));
    assert_false(fake_aborted(slow));
    assert_int_equal(f->counters[HTTP_COUNTER_TIMEOUTS_SEND], 1);
    fake_reset(slow);
    http_finish(f);
}

/* Limits of the worker. */

static void connections_over_the_limit_get_a_503(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s[10];
    for (int i = 0; i < 10; i++)
        s[i] = fake_open(f->w);
    assert_status(fake_output(s[8], NULL), 503);
    assert_int_equal(f->counters[HTTP_COUNTER_CONNECTIONS_REFUSED], 2);
    say(s[0], GET("/hello.txt"));
    settle(f);
    assert_status(fake_output(s[0], NULL), 200);
    fake_reset(s[1]);
    struct mr_stream *next = fake_open(f->w);
    say(next, GET("/hello.txt"));
    assert_status(fake_output(next, NULL), 200);
    for (int i = 0; i < 10; i++)
        fake_reset(s[i]);
    fake_reset(next);
    http_finish(f);
}

static void heads_in_pieces_are_limited(void **state)
{
    /* Each takes a buffer; when none is left the next is told so, and those who have one go on. */
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s[5];
    for (int i = 0; i < 5; i++) {
        s[i] = fake_open(f->w);
        say(s[i], "GET / HT");
    }
    assert_status(fake_output(s[4], NULL), 503);
    for (int i = 0; i < 4; i++) {
        say(s[i], "TP/1.1\r\n" HOST "\r\n");
        settle(f);
        assert_status(fake_output(s[i], NULL), 200);
        fake_end(s[i]);
    }
    fake_end(s[4]);
    http_finish(f);
}

static void stop_lets_responses_finish(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *idle = fake_open(f->w), *busy = fake_open(f->w);
    fake_throttle(busy, 100000);
    say(busy, GET("/large.bin"));
    settle(f);
    http_service.stop(f->w, f->http);
    fake_turn(f->w);
    assert_true(fake_closed(idle));
    for (int i = 0; i < 100; i++) {
        fake_turn(f->w);
        fake_acknowledge(busy, 50000);
    }
    size_t n;
    const char *r = fake_output(busy, &n);
    assert_int_equal(n - (size_t)(body_of(r) - r), LARGE_BYTES);
    assert_true(fake_shutdown_seen(busy));
    fake_end(busy);
    fake_acknowledge(busy, SIZE_MAX);
    f->http->stopping = false;
    struct mr_listener *l;
    assert_int_equal(mr_listen(f->w, &f->config.listen, &http_stream_handler, NULL, f->http, &l), MR_OK);
    http_finish(f);
}

static void generated_bytes_follow_their_formula(void **state)
{
    struct fixture *f = http_begin(NULL);
    struct mr_stream *s = fake_open(f->w);
    size_t n;
    say(s, GET("/bytes/200001"));
    settle(f);
    const char *r = fake_output(s, &n);
    const uint8_t *body = (const uint8_t *)body_of(r);
    assert_int_equal(n - (size_t)((const char *)body - r), 200001);
    for (size_t i = 0; i < 200001; i++) {
        size_t j = i % 65536;
        if (body[i] != (uint8_t)(j * 167 + j / 256 * 13))
            fail_msg("byte %zu", i);
    }
    fake_end(s);
    assert_status(ask(f, GET("/bytes/0"), NULL), 200);
    assert_status(ask(f, GET("/bytes/"), NULL), 404);
    assert_status(ask(f, GET("/bytes/1x"), NULL), 404);
    assert_status(ask(f, GET("/bytes/99999999999999999999999"), NULL), 404);
    http_finish(f);
}

static void dates_go_both_ways(void **state)
{
    static const struct {
        const char *text;
        int64_t seconds; /* -1: not a date */
    } table[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Tue, 29 Feb 2000 12:00:00 GMT", 951825600},
        {"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
        {"Sun, 06 Nov 1994 08:49:37 UTC", -1},
        {"Sun, 6 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Foo 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 25:49:37 GMT", -1},
        {"Sun, 32 Nov 1994 08:49:37 GMT", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMTx", -1},
        {"784111777", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct mr_span text = {(const uint8_t *)table[i].text, strlen(table[i].text)};
        int64_t seconds = -1;
        bool ok = http_date_parse(text, 1700000000, &seconds);
        if (ok != (table[i].seconds >= 0) || (ok && seconds != table[i].seconds))
            fail_msg("%s: %lld", table[i].text, (long long)seconds);
    }
    for (int64_t t = 0; t < 253402300799; t += 86400 * 13 + 12345) {
        char text[HTTP_DATE_BYTES];
        int64_t back = -1;
        http_date_format(t, text);
        assert_true(http_date_parse((struct mr_span){(uint8_t *)text, sizeof text}, 0, &back));
        assert_int_equal(back, t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_get_returns_it_with_its_fields),
        cmocka_unit_test(paths_reach_what_they_may_and_no_more),
        cmocka_unit_test(open_without_openat2_stays_inside),
        cmocka_unit_test(head_has_the_fields_and_no_body),
        cmocka_unit_test(conditions_are_evaluated_in_order),
        cmocka_unit_test(ranges_return_their_part),
        cmocka_unit_test(large_file_streams_within_its_memory),
        cmocka_unit_test(large_file_range_and_many_readers),
        cmocka_unit_test(large_file_that_shrinks_cuts_the_connection),
        cmocka_unit_test(reset_while_streaming_frees_all),
        cmocka_unit_test(changed_file_is_noticed),
        cmocka_unit_test(one_load_serves_all_who_wait),
        cmocka_unit_test(refused_offload_is_a_503),
        cmocka_unit_test(scan_for_names_leaves_files_in_the_cache),
        cmocka_unit_test(memory_limit_turns_into_streaming_or_eviction),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(requests_at_any_split),
        cmocka_unit_test(many_pipelined_requests_share_the_turn),
        cmocka_unit_test(slow_reader_stops_the_parser),
        cmocka_unit_test(refusals_close_and_linger),
        cmocka_unit_test(limits_have_their_status),
        cmocka_unit_test(methods_are_allowed_by_route),
        cmocka_unit_test(test_endpoints_are_off_unless_asked_for),
        cmocka_unit_test(body_nobody_wants_is_discarded),
        cmocka_unit_test(expectation_is_answered_before_the_body),
        cmocka_unit_test(old_clients_get_what_they_ask_for),
        cmocka_unit_test(half_closed_client_gets_its_answers),
        cmocka_unit_test(timeouts_have_their_answer),
        cmocka_unit_test(body_in_progress_is_not_timed_out),
        cmocka_unit_test(peer_that_takes_nothing_is_cut),
        cmocka_unit_test(connections_over_the_limit_get_a_503),
        cmocka_unit_test(heads_in_pieces_are_limited),
        cmocka_unit_test(stop_lets_responses_finish),
        cmocka_unit_test(generated_bytes_follow_their_formula),
        cmocka_unit_test(dates_go_both_ways),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
