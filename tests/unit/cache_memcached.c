/* memcached's protocols over a stand-in for the stack: the replies are those of memcached 1.6.18 to the same bytes. Every exchange
 * runs whole, byte by byte and cut in two at each place. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache.h"
#include "cache/memcached/base64.h"
#include "cache/memcached/memcached.h"
#include "tests/support/service_group.h"

#define WORKERS_MAX 3

struct fixture {
    struct mr_worker *w; /* the first: clients talk to this one */
    void *state;
    unsigned workers;
    struct mr_worker **worker;
};

static struct service_group group;
static struct cache_config config;

static struct fixture cache_begin_workers(unsigned workers)
{
    struct fixture f = {.workers = workers, .worker = group.w};
    config = (struct cache_config){.listen.port = 6379,
                                   .memcached.port = 11211,
                                   .memory_max = UINT64_C(64) << 20,
                                   .policy = (char *)"allkeys-s3fifo",
                                   .connections_max = 8,
                                   .client_memory_max = UINT64_C(32) << 20,
                                   .query_bytes_max = UINT64_C(16) << 20,
                                   .reply_bytes_max = UINT64_C(16) << 20,
                                   .push_bytes_max = UINT64_C(1) << 20,
                                   .reply_timeout = 60 * MR_SECOND,
                                   .commands_per_turn = 64,
                                   .item_bytes_max = UINT64_C(1) << 20};
    service_group_start(&group, &cache_service, &config, workers);
    f.w = group.w[0];
    f.state = group.state[0];
    return f;
}

static struct fixture cache_begin(void)
{
    return cache_begin_workers(1);
}

static void turns(struct fixture *f)
{
    service_group_turns(&group, 64);
}

static void cache_finish(struct fixture *f)
{
    service_group_stop(&group);
    turns(f);
    service_group_end(&group);
}

static struct mr_stream *memcached_open(struct fixture *f)
{
    return fake_open_listener(f->w, 1);
}

struct exchange {
    const char *input, *output;
    const char *reason;
    bool closes;
};

#define K50        "kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk"
#define K250       K50 K50 K50 K50 K50
#define BAD_FORMAT "CLIENT_ERROR bad command line format\r\n"

/* Each begins with an empty cache. */
static const struct exchange text_exchanges[] = {
    {"get a\r\n", "END\r\n", "a miss", false},
    {"set a 5 0 2\r\nhi\r\nget a\r\n", "STORED\r\nVALUE a 5 2\r\nhi\r\nEND\r\n", "set and get", false},
    {"set a 5 0 0\r\n\r\nget a\r\n", "STORED\r\nVALUE a 5 0\r\n\r\nEND\r\n", "an empty value", false},
    {"set a 0 0 2\nhi\r\nget a\n", "STORED\r\nVALUE a 0 2\r\nhi\r\nEND\r\n", "lines that end with LF alone", false},
    {"set a 0 0 4\r\n\r\n\r\n\r\nget a\r\n", "STORED\r\nVALUE a 0 4\r\n\r\n\r\n\r\nEND\r\n", "line ends in a value",
     false},
    {"set a 1 0 1\r\nx\r\nset b 2 0 1\r\ny\r\nget a none b a\r\n",
     "STORED\r\nSTORED\r\nVALUE a 1 1\r\nx\r\nVALUE b 2 1\r\ny\r\nVALUE a 1 1\r\nx\r\nEND\r\n",
     "several keys, in order", false},
    {"  get   a   b  \r\n", "END\r\n", "spaces anywhere", false},
    {"set a 0 0 1 noreply\r\nx\r\nget a\r\n", "VALUE a 0 1\r\nx\r\nEND\r\n", "noreply", false},
    {"add a 0 0 1\r\nx\r\nadd a 0 0 1\r\ny\r\nget a\r\n", "STORED\r\nNOT_STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n", "add",
     false},
    {"replace a 0 0 1\r\nx\r\nset a 0 0 1\r\nx\r\nreplace a 0 0 1\r\ny\r\nget a\r\n",
     "NOT_STORED\r\nSTORED\r\nSTORED\r\nVALUE a 0 1\r\ny\r\nEND\r\n", "replace", false},
    {"append a 0 0 1\r\nx\r\nset a 7 0 1\r\nb\r\nappend a 0 0 1\r\nc\r\nprepend a 9 0 1\r\na\r\nget a\r\n",
     "NOT_STORED\r\nSTORED\r\nSTORED\r\nSTORED\r\nVALUE a 7 3\r\nabc\r\nEND\r\n", "append and prepend keep the flags",
     false},
    {"cas a 0 0 1 1\r\nx\r\nset a 0 0 1\r\nx\r\ncas a 0 0 1 999999\r\ny\r\n", "NOT_FOUND\r\nSTORED\r\nEXISTS\r\n",
     "cas", false},
    {"delete a\r\nset a 0 0 1\r\nx\r\ndelete a\r\nget a\r\n", "NOT_FOUND\r\nSTORED\r\nDELETED\r\nEND\r\n", "delete",
     false},
    {"delete a 0\r\ndelete a 1\r\n",
     "NOT_FOUND\r\nCLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n", "delete with a time",
     false},
    {"incr n 1\r\nset n 0 0 2\r\n10\r\nincr n 5\r\ndecr n 100\r\nincr n 18446744073709551615\r\nincr n 1\r\n",
     "NOT_FOUND\r\nSTORED\r\n15\r\n0\r\n18446744073709551615\r\n0\r\n", "numbers of 64 bits that wrap up, not down",
     false},
    {"set n 0 0 1\r\na\r\nincr n 1\r\nincr n -1\r\nincr n x\r\n",
     "STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
     "CLIENT_ERROR invalid numeric delta argument\r\nCLIENT_ERROR invalid numeric delta argument\r\n",
     "what is no number", false},
    {"touch a 10\r\nset a 0 0 1\r\nx\r\ntouch a 10\r\ntouch a x\r\n",
     "NOT_FOUND\r\nSTORED\r\nTOUCHED\r\nCLIENT_ERROR invalid exptime argument\r\n", "touch", false},
    {"set a 3 0 1\r\nx\r\ngat 100 a none\r\nmg a t\r\n", "STORED\r\nVALUE a 3 1\r\nx\r\nEND\r\nHD t100\r\n",
     "get and touch", false},
    {"set a 0 -1 1\r\nx\r\nget a\r\n", "STORED\r\nEND\r\n", "a negative time is over", false},
    {"set a 0 2592001 1\r\nx\r\nget a\r\n", "STORED\r\nEND\r\n", "more than 30 days is a date, of 1970", false},
    {"set a 0 2592000 1\r\nx\r\nmg a t\r\n", "STORED\r\nHD t2592000\r\n", "30 days are a span", false},
    {"set a 0 0 1\r\nx\r\nflush_all\r\nget a\r\nflush_all x\r\nflush_all noreply\r\n",
     "STORED\r\nOK\r\nEND\r\nCLIENT_ERROR invalid exptime argument\r\n", "flush_all", false},
    {"verbosity 1\r\nversion\r\nshutdown\r\nstats reset\r\nstats none\r\ncache_memlimit 1\r\ncache_memlimit 64\r\n",
     "OK\r\nVERSION 1.6.18\r\nERROR: shutdown not enabled\r\nRESET\r\nERROR\r\n"
     "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m\r\nOK\r\n",
     "the others", false},
    {"\r\nGET a\r\nget\r\nset a\r\nset a 0 0 1 noreply x\r\n", "ERROR\r\nERROR\r\nERROR\r\nERROR\r\nERROR\r\n",
     "what is no command", false},
    {"set a 0 0 1\r\nabc\r\nget a\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n",
     "a block longer than it said", false},
    {"set a 0 0 3\r\na\r\nget a\r\n", "CLIENT_ERROR bad data chunk\r\nERROR\r\n", "... shorter", false},
    {"set a x 0 1\r\nset a 0 0 -1\r\nset a 0 0 2147483647\r\n", BAD_FORMAT BAD_FORMAT BAD_FORMAT, "wrong numbers",
     false},
    {"get " K250 "\r\nget " K250 "k\r\nget a " K250 "k b\r\ntouch " K250 "k 0\r\n",
     "END\r\n" BAD_FORMAT BAD_FORMAT BAD_FORMAT, "a key of 250 bytes, and a longer one", false},
    {"quit\r\nget a\r\n", "", "quit", true},
};

static const struct exchange meta_exchanges[] = {
    {"mn\r\nmg a\r\nmg a v k O1\r\nmg a v q\r\nmn\r\n", "MN\r\nEN\r\nEN ka O1\r\nMN\r\n", "misses", false},
    {"ms a 2 F5 T100 k O9\r\nhi\r\nmg a s v f t h l k q O123\r\nmg a h\r\n",
     "HD ka O9\r\nVA 2 s2 f5 t100 h0 l0 ka O123\r\nhi\r\nHD h1\r\n", "flags are answered in order", false},
    {"ms YQ== 1 b k\r\nx\r\nmg a k v\r\nmg YQ== b\r\nmg YQ b\r\n",
     "HD kYQ== b\r\nVA 1 kYQ== b\r\nx\r\nHD\r\nCLIENT_ERROR error decoding key\r\n", "keys in base64", false},
    {"mg a N30 v t\r\nmg a v t\r\nms a 1\r\nx\r\nmg a v\r\n", "VA 0 t30 W\r\n\r\nVA 0 t30 Z\r\n\r\nHD\r\nVA 1\r\nx\r\n",
     "a miss makes an item, and one client wins", false},
    {"set a 0 100 1\r\nx\r\nmg a R30\r\nmg a R200\r\nmg a R200\r\nmg a\r\n", "STORED\r\nHD\r\nHD W\r\nHD Z\r\nHD Z\r\n",
     "an item near its end is made anew by one", false},
    {"set a 0 0 1\r\nx\r\nmd a I T30\r\nmg a v t\r\nmg a v t\r\nms a 1\r\ny\r\nmg a v\r\n",
     "STORED\r\nHD\r\nVA 1 t30 X W\r\nx\r\nVA 1 t30 Z X\r\nx\r\nHD\r\nVA 1\r\ny\r\n", "stale", false},
    {"ms a 1\r\nx\r\nms a 1 ME\r\ny\r\nms a 1 MA\r\ny\r\nms a 1 MP\r\nw\r\nmg a v\r\nms b 1 MR\r\nx\r\nms b 1 "
     "MX\r\nx\r\n",
     "HD\r\nNS\r\nHD\r\nHD\r\nVA 3\r\nwxy\r\nNS\r\nCLIENT_ERROR invalid mode for ms M token\r\n", "modes", false},
    {"ms a 1 q\r\nx\r\nms a 1 q ME\r\nx\r\nmd a q\r\nmd a q k\r\nmn\r\n", "NS\r\nNF ka\r\nMN\r\n", "quiet", false},
    {"ms a 1\r\nx\r\nms a 1 C999999\r\ny\r\nms b 1 C5\r\ny\r\nmd a C999999 k\r\nma a C1\r\n",
     "HD\r\nEX\r\nNF\r\nEX ka\r\nEX\r\n", "compared by CAS", false},
    {"ma n\r\nma n N0 J13 v\r\nma n D5 v t k O2\r\nma n MD D100 v\r\nma n q v\r\nma n MX\r\nma n Dx\r\n",
     "NF\r\nVA 2\r\n13\r\nVA 2 t-1 kn O2\r\n18\r\nVA 1\r\n0\r\nCLIENT_ERROR invalid mode for ma M token\r\n"
     "CLIENT_ERROR invalid or duplicate flag\r\n",
     "numbers", false},
    {"mg a v v\r\nmg a @\r\nmg a Nx\r\nmg a O12345678901234567890123456789012\r\nmx a\r\nmg\r\n",
     "CLIENT_ERROR duplicate flag\r\nCLIENT_ERROR invalid flag\r\nCLIENT_ERROR bad token in command line format\r\n"
     "CLIENT_ERROR opaque token too long\r\nERROR\r\nERROR\r\n",
     "wrong flags", false},
    {"ms a x\r\nms a 2 @\r\nhi\r\nms a 2 Fx\r\nhi\r\nmn\r\n",
     BAD_FORMAT "CLIENT_ERROR invalid flag\r\n" BAD_FORMAT "MN\r\n", "the block behind a wrong flag is passed over",
     false},
    {"me a\r\n", "EN\r\n", "debugging a miss", false},
};

/* Binary requests are written as text: "op key extras value" of 0x.. and letters would be longer than the bytes themselves. */
#define HEAD(opcode, key, extras, body)         "\x80" opcode "\0" key extras "\0\0\0\0\0\0" body "abcd\0\0\0\0\0\0\0\0"
#define TOLD(opcode, key, extras, status, body) "\x81" opcode "\0" key extras "\0\0" status "\0\0\0" body "abcd"
#define CAS0                                    "\0\0\0\0\0\0\0\0"
struct binary_exchange {
    const char *input;
    size_t input_bytes;
    const char *output;
    size_t output_bytes;
    const char *reason;
};
#define BINARY(in, out, why)                        \
    {                                               \
        in, sizeof in - 1, out, sizeof out - 1, why \
    }
#define NOOP      HEAD("\x0a", "\0", "\0", "\0")
#define NOOP_DONE TOLD("\x0a", "\0", "\0", "\0", "\0") CAS0

static const struct binary_exchange binary_exchanges[] = {
    BINARY(NOOP, NOOP_DONE, "noop"),
    BINARY(HEAD("\x0b", "\0", "\0", "\0"), TOLD("\x0b", "\0", "\0", "\0", "\x06") CAS0 "1.6.18", "version"),
    BINARY(HEAD("\0", "\x01", "\0", "\x01") "k", TOLD("\0", "\0", "\0", "\x01", "\x09") CAS0 "Not found", "a miss"),
    BINARY(HEAD("\x0c", "\x01", "\0", "\x01") "k", TOLD("\x0c", "\x01", "\0", "\x01", "\x01") CAS0 "k",
           "a miss that tells its key"),
    BINARY(HEAD("\x09", "\x01", "\0", "\x01") "k" NOOP, NOOP_DONE, "a quiet miss"),
    BINARY(HEAD("\x11", "\x01", "\x08", "\x0b") "\0\0\0\x05\0\0\0\0kvv" NOOP, NOOP_DONE, "a quiet set"),
    BINARY(HEAD("\x03", "\x01", "\x08", "\x0b") "\0\0\0\x05\0\0\0\0kvv",
           TOLD("\x03", "\0", "\0", "\x01", "\x09") CAS0 "Not found", "replace without a key"),
    BINARY(HEAD("\x0e", "\x01", "\0", "\x02") "kv", TOLD("\x0e", "\0", "\0", "\x05", "\x0b") CAS0 "Not stored.",
           "append without a key"),
    BINARY(HEAD("\x04", "\x01", "\0", "\x01") "k", TOLD("\x04", "\0", "\0", "\x01", "\x09") CAS0 "Not found",
           "delete without a key"),
    BINARY(HEAD("\x05", "\x01", "\x14", "\x15") "\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0a\xff\xff\xff\xffk",
           TOLD("\x05", "\0", "\0", "\x01", "\x09") CAS0 "Not found", "a number that shall not be made"),
    BINARY(HEAD("\x11", "\x01", "\x08", "\x0b") "\0\0\0\x05\0\0\0\0kvv" HEAD("\x02", "\x01", "\x08",
                                                                             "\x0b") "\0\0\0\x05\0\0\0\0kvv",
           TOLD("\x02", "\0", "\0", "\x02", "\x14") CAS0 "Data exists for key.", "add of what is there"),
    BINARY(HEAD("\x99", "\0", "\0", "\x02") "xx" NOOP,
           TOLD("\x99", "\0", "\0", "\x81", "\x0f") CAS0 "Unknown command" NOOP_DONE,
           "an opcode that is none: its body is passed over"),
    BINARY(HEAD("\x21", "\x05", "\0", "\x09") "PLAIN\0u\0p" NOOP,
           TOLD("\x21", "\0", "\0", "\x81", "\x0f") CAS0 "Unknown command" NOOP_DONE, "SASL is not spoken"),
    BINARY(HEAD("\0", "\x01", "\x02", "\x03") "xxk" NOOP,
           TOLD("\0", "\0", "\0", "\x04", "\x11") CAS0 "Invalid arguments",
           "extras that do not belong there end the connection"),
    BINARY(HEAD("\0", "\0", "\0", "\0") NOOP, TOLD("\0", "\0", "\0", "\x04", "\x11") CAS0 "Invalid arguments",
           "no key"),
    BINARY(HEAD("\x17", "\0", "\0", "\0") NOOP, "", "quit without a word"),
    BINARY("\x81", "", "another magic"),
};

/* Runs `input` in pieces that end at `cut` and then at the end; 0: byte by byte. */
static void exchange_run(unsigned workers, const void *input, size_t n, const void *output, size_t m, size_t cut,
                         const char *reason)
{
    struct fixture f = cache_begin_workers(workers);
    struct mr_stream *s = memcached_open(&f);
    size_t got, step = cut ? cut : 1;
    for (size_t at = 0; at < n && !fake_closed(s) && !fake_shutdown_seen(s); step = cut ? n - cut : 1) {
        size_t part = step < n - at ? step : n - at;
        fake_input(s, (const char *)input + at, part);
        at += part;
    }
    turns(&f);
    const char *text = fake_output(s, &got);
    if (got != m || memcmp(text, output, m) != 0)
        fail_msg("%s, %u workers, cut %zu: \"%s\" (%zu bytes), expected \"%s\" (%zu bytes)", reason, workers, cut, text,
                 got, (const char *)output, m);
    if (!fake_closed(s))
        fake_end(s);
    turns(&f);
    cache_finish(&f);
}

static void every_cut(const void *input, size_t n, const void *output, size_t m, const char *reason)
{
    exchange_run(1, input, n, output, m, 0, reason);
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++)
        exchange_run(workers, input, n, output, m, n, reason);
    for (size_t cut = 1; cut <= n; cut += n > 300 ? 17 : 1)
        exchange_run(1, input, n, output, m, cut, reason);
}

static void text_as_memcached_answers_it(void **state)
{
    for (size_t i = 0; i < sizeof text_exchanges / sizeof *text_exchanges; i++) {
        const struct exchange *x = &text_exchanges[i];
        every_cut(x->input, strlen(x->input), x->output, strlen(x->output), x->reason);
    }
}

static void meta_as_memcached_answers_it(void **state)
{
    for (size_t i = 0; i < sizeof meta_exchanges / sizeof *meta_exchanges; i++) {
        const struct exchange *x = &meta_exchanges[i];
        every_cut(x->input, strlen(x->input), x->output, strlen(x->output), x->reason);
    }
}

static void binary_as_memcached_answers_it(void **state)
{
    for (size_t i = 0; i < sizeof binary_exchanges / sizeof *binary_exchanges; i++) {
        const struct binary_exchange *x = &binary_exchanges[i];
        every_cut(x->input, x->input_bytes, x->output, x->output_bytes, x->reason);
    }
}

/* -- what is more than a table -------------------------------------------------------------------------------------------------- */

static void ask(struct mr_stream *s, const char *input)
{
    fake_output_clear(s);
    fake_input(s, input, strlen(input));
}

static void cas_of_gets_is_taken_once(void **state)
{
    /* The number that gets tells is good for one change, whoever makes it. */
    struct fixture f = cache_begin();
    struct mr_stream *s = memcached_open(&f);
    unsigned long long cas = 0;
    char line[64];
    ask(s, "set a 0 0 1\r\nx\r\n");
    ask(s, "gets a\r\n");
    assert_int_equal(sscanf(fake_output(s, NULL), "VALUE a 0 1 %llu", &cas), 1);
    snprintf(line, sizeof line, "cas a 0 0 1 %llu\r\ny\r\n", cas);
    ask(s, line);
    assert_string_equal(fake_output(s, NULL), "STORED\r\n");
    ask(s, line);
    assert_string_equal(fake_output(s, NULL), "EXISTS\r\n");
    fake_end(s);
    cache_finish(&f);
}

static void redis_clients_see_the_same_values(void **state)
{
    struct fixture f = cache_begin();
    struct mr_stream *m = memcached_open(&f), *r = fake_open(f.w);
    unsigned long long cas = 0;
    char line[64];
    ask(m, "set a 7 0 2\r\nhi\r\n");
    ask(r, "GET a\r\n");
    assert_string_equal(fake_output(r, NULL), "$2\r\nhi\r\n");
    ask(m, "gets a\r\n");
    assert_int_equal(sscanf(fake_output(m, NULL), "VALUE a 7 2 %llu", &cas), 1);
    ask(r, "SET a there\r\n");
    snprintf(line, sizeof line, "cas a 0 0 1 %llu\r\ny\r\n", cas);
    ask(m, line);
    assert_string_equal(fake_output(m, NULL), "EXISTS\r\n");
    ask(m, "get a\r\n");
    assert_string_equal(fake_output(m, NULL), "VALUE a 0 5\r\nthere\r\nEND\r\n");
    ask(r, "SET n 41\r\n");
    ask(m, "incr n 1\r\n");
    ask(r, "INCR n\r\n");
    assert_string_equal(fake_output(r, NULL), ":43\r\n");
    ask(r, "HSET h f v\r\n");
    ask(m, "get h\r\nappend h 0 0 1\r\nx\r\nincr h 1\r\nset h 0 0 1\r\nx\r\n");
    assert_string_equal(
        fake_output(m, NULL),
        "END\r\nNOT_STORED\r\nCLIENT_ERROR cannot increment or decrement non-numeric value\r\nSTORED\r\n");
    fake_end(m);
    fake_end(r);
    cache_finish(&f);
}

static void large_value_round(unsigned workers, const char *key)
{
    enum { LENGTH = 1000000 };
    struct fixture f = cache_begin_workers(workers);
    struct mr_stream *s = memcached_open(&f);
    char *value = malloc(LENGTH + 3);
    char line[64];
    size_t n;
    for (int i = 0; i < LENGTH; i++)
        value[i] = (char)('a' + i % 26);
    memcpy(value + LENGTH, "\r\n", 3);
    sprintf(line, "set %s 0 0 1000000\r\n", key);
    ask(s, line);
    for (size_t at = 0; at < LENGTH + 2; at += 9000)
        fake_input(s, value + at, LENGTH + 2 - at < 9000 ? LENGTH + 2 - at : 9000);
    turns(&f);
    assert_string_equal(fake_output(s, NULL), "STORED\r\n");
    sprintf(line, "get %s\r\n", key);
    ask(s, line);
    turns(&f);
    const char *text = fake_output(s, &n);
    assert_int_equal(n, strlen("VALUE a 0 1000000\r\n") + LENGTH + 2 + 5);
    assert_memory_equal(text + strlen("VALUE a 0 1000000\r\n"), value, LENGTH);
    sprintf(line, "append %s 0 0 3\r\nend\r\nmg %s s\r\n", key, key);
    ask(s, line);
    turns(&f);
    assert_string_equal(fake_output(s, NULL), "STORED\r\nHD s1000003\r\n");
    free(value);
    fake_end(s);
    turns(&f);
    cache_finish(&f);
}

static void large_values_arrive_and_go_in_pieces(void **state)
{
    /* Whichever worker owns the key. */
    for (unsigned workers = 1; workers <= WORKERS_MAX; workers++)
        for (char key[] = "a"; key[0] <= 'f'; key[0]++)
            large_value_round(workers, key);
}

static void value_too_large_is_passed_over_and_takes_the_old_one_with_it(void **state)
{
    struct fixture f = cache_begin();
    struct mr_stream *s = memcached_open(&f);
    static char bytes[4096];
    ask(s, "set a 0 0 1\r\nx\r\nset a 0 0 2000000\r\n");
    memset(bytes, 'g', sizeof bytes);
    for (size_t at = 0; at < 2000002;) {
        size_t n = 2000002 - at < sizeof bytes ? 2000002 - at : sizeof bytes;
        fake_input(s, bytes, n);
        at += n;
    }
    fake_input(s, "get a\r\n", 7);
    assert_string_equal(fake_output(s, NULL), "STORED\r\nSERVER_ERROR object too large for cache\r\nEND\r\n");
    fake_end(s);
    cache_finish(&f);
}

static void line_without_an_end_is_bounded(void **state)
{
    /* 2 KiB of any command, 60 KB of a get of many keys. */
    struct fixture f = cache_begin();
    struct mr_stream *s = memcached_open(&f);
    for (unsigned i = 0; i < 30 && !fake_shutdown_seen(s); i++)
        fake_input(s, K250, 250);
    assert_string_equal(fake_output(s, NULL), "CLIENT_ERROR line too long\r\n");
    assert_true(fake_shutdown_seen(s));
    s = memcached_open(&f);
    fake_input(s, "get", 3);
    unsigned keys = 0;
    for (; keys < 200; keys++)
        fake_input(s, " " K250, 251);
    fake_input(s, "\r\n", 2);
    turns(&f);
    assert_string_equal(fake_output(s, NULL), "END\r\n");
    fake_input(s, "get", 3);
    for (keys = 0; keys < 300 && !fake_shutdown_seen(s); keys++)
        fake_input(s, " " K250, 251);
    assert_true(fake_shutdown_seen(s));
    turns(&f);
    cache_finish(&f);
}

static void gets_of_many_keys_share_their_turns(void **state)
{
    /* More keys than commands_per_turn: all are answered, in order, over several turns. */
    struct fixture f = cache_begin();
    struct mr_stream *s = memcached_open(&f);
    char line[8192], expected[16384], *p = line, *q = expected;
    for (unsigned i = 0; i < 300; i++) {
        p = line + sprintf(line, "set key%u 0 0 3 noreply\r\n%03u\r\n", i, i);
        fake_input(s, line, (size_t)(p - line));
    }
    p = line + sprintf(line, "get");
    for (unsigned i = 0; i < 300; i++) {
        p += sprintf(p, " key%u", i);
        q += sprintf(q, "VALUE key%u 0 3\r\n%03u\r\n", i, i);
    }
    strcpy(p, "\r\nversion\r\n");
    strcpy(q, "END\r\nVERSION 1.6.18\r\n");
    turns(&f);
    ask(s, line);
    turns(&f);
    assert_string_equal(fake_output(s, NULL), expected);
    fake_end(s);
    cache_finish(&f);
}

static void flush_all_with_a_delay_waits_for_it(void **state)
{
    struct fixture f = cache_begin();
    struct mr_stream *s = memcached_open(&f);
    ask(s, "set a 0 0 1\r\nx\r\nflush_all 3\r\nget a\r\n");
    assert_string_equal(fake_output(s, NULL), "STORED\r\nOK\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    fake_pass(f.w, 6 * MR_SECOND);
    ask(s, "get a\r\n");
    assert_string_equal(fake_output(s, NULL), "END\r\n");
    fake_end(s);
    cache_finish(&f);
}

static void items_live_as_long_as_they_were_given(void **state)
{
    struct fixture f = cache_begin();
    struct mr_stream *s = memcached_open(&f);
    ask(s, "set a 0 5 1\r\nx\r\n");
    fake_pass(f.w, 3 * MR_SECOND);
    ask(s, "get a\r\n");
    assert_string_equal(fake_output(s, NULL), "VALUE a 0 1\r\nx\r\nEND\r\n");
    fake_pass(f.w, 3 * MR_SECOND);
    ask(s, "get a\r\n");
    assert_string_equal(fake_output(s, NULL), "END\r\n");
    fake_end(s);
    cache_finish(&f);
}

static void peer_that_goes_in_the_middle_leaves_nothing(void **state)
{
    static const char *const beginnings[] = {"ge",        "set a 0 0 100000\r\nabc", "set a 0 0 3\r\nabc\r",
                                             "get a b c", "set a 0 0 2000000\r\nx",  "\x80\x01\0\x01"};
    struct fixture f = cache_begin();
    uint64_t before = ((struct cache *)f.state)->clients.used;
    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++) {
        struct mr_stream *s = memcached_open(&f);
        fake_input(s, beginnings[i], strlen(beginnings[i]));
        if (i % 2)
            fake_reset(s);
        else
            fake_end(s);
        turns(&f);
        assert_true(fake_closed(s));
    }
    assert_int_equal(((struct cache *)f.state)->clients.used, before);
    cache_finish(&f);
}

static void redis_clients_cannot_call_these_commands(void **state)
{
    struct fixture f = cache_begin();
    struct mr_stream *s = fake_open(f.w);
    ask(s, "memcached.get x y\r\nmemcached.flush x\r\nEXISTS a\r\n");
    assert_string_equal(fake_output(s, NULL), "-ERR unknown command 'memcached.get', with args beginning with: \r\n"
                                              "-ERR unknown command 'memcached.flush', with args beginning with: \r\n"
                                              ":0\r\n");
    fake_end(s);
    cache_finish(&f);
}

static void base64_there_and_back(void **state)
{
    static const struct {
        const char *plain, *coded;
    } lines[] = {{"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xfe\xfd", "//79"}};
    static const char *const wrong[] = {"", "Zg", "Zg=", "Zg==Zg==", "Z===", "Zm9!", "=Zg=", "Zm=v", "Zm9v\n"};
    uint8_t out[64];
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        size_t n = cache_base64_encode((const uint8_t *)lines[i].plain, strlen(lines[i].plain), out);
        assert_int_equal(n, strlen(lines[i].coded));
        assert_memory_equal(out, lines[i].coded, n);
        int m = cache_base64_decode((const uint8_t *)lines[i].coded, n, out);
        assert_int_equal(m, strlen(lines[i].plain));
        assert_memory_equal(out, lines[i].plain, (size_t)m);
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(cache_base64_decode((const uint8_t *)wrong[i], strlen(wrong[i]), out), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_as_memcached_answers_it),
        cmocka_unit_test(meta_as_memcached_answers_it),
        cmocka_unit_test(binary_as_memcached_answers_it),
        cmocka_unit_test(cas_of_gets_is_taken_once),
        cmocka_unit_test(redis_clients_see_the_same_values),
        cmocka_unit_test(large_values_arrive_and_go_in_pieces),
        cmocka_unit_test(value_too_large_is_passed_over_and_takes_the_old_one_with_it),
        cmocka_unit_test(line_without_an_end_is_bounded),
        cmocka_unit_test(gets_of_many_keys_share_their_turns),
        cmocka_unit_test(flush_all_with_a_delay_waits_for_it),
        cmocka_unit_test(items_live_as_long_as_they_were_given),
        cmocka_unit_test(peer_that_goes_in_the_middle_leaves_nothing),
        cmocka_unit_test(redis_clients_cannot_call_these_commands),
        cmocka_unit_test(base64_there_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
