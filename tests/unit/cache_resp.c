/* The grammar of RESP requests: each case is one line, parsed where it lies and fed at every split, always flush against a
 * page that faults. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/resp/resp_wire.h"

static struct memory memory;
static struct cache_argument argv[64];

static const struct cache_resp_limits limits = {CACHE_ARGUMENTS_MAX, 100, CACHE_VALUE_MAX};
static const struct cache_resp_limits few = {10, 100, 16384};

#define WAITS 0

struct resp_case {
    const char *input;
    size_t length;
    int64_t expected;      /* bytes of the command, WAITS, or the error */
    const char *arguments; /* each in brackets */
    const char *reason;
};
#define OK(text, rest, arguments, reason)                                   \
    {                                                                       \
        text rest, sizeof text rest - 1, sizeof text - 1, arguments, reason \
    }
#define NOT(result, text, reason)                 \
    {                                             \
        text, sizeof text - 1, result, "", reason \
    }
#define Z10  "zzzzzzzzzz"
#define Z100 Z10 Z10 Z10 Z10 Z10 Z10 Z10 Z10 Z10 Z10

static const struct resp_case cases[] = {
    OK("*1\r\n$4\r\nPING\r\n", "", "[PING]", "the smallest command"),
    OK("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "", "[GET][key]", "two arguments"),
    OK("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n", "*1\r\n", "[GET][key]", "what is behind belongs to the next"),
    OK("*2\r\n$3\r\nGET\r\n$0\r\n\r\n", "", "[GET][]", "an empty argument"),
    OK("*1\r\n$11\r\nab\r\n$3\r\ncd\0\r\n", "", "[ab\r\n$3\r\ncd.]", "bytes of an argument are not read"),
    OK("*1\r\n$100\r\n" Z100 "\r\n", "", "[" Z100 "]", "a length of three digits"),
    OK("*12\r\n"
       "$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n$1\r\nd\r\n$1\r\ne\r\n$1\r\nf\r\n$1\r\ng\r\n$1\r\nh\r\n$1\r\ni\r\n"
       "$1\r\nj\r\n$1\r\nk\r\n$1\r\nl\r\n",
       "", "[a][b][c][d][e][f][g][h][i][j][k][l]", "a count of two digits"),
    OK("*0\r\n", "*1\r\n", "", "no arguments: nothing to do"),
    OK("*-1\r\n", "", "", "a null array: nothing to do"),
    OK("*-12\r\n", "", "", "less than none, as Redis"),
    NOT(WAITS, "*", "a count to come"),
    NOT(WAITS, "*2", "its end to come"),
    NOT(WAITS, "*2\r", "half its end"),
    NOT(WAITS, "*2\r\n$3\r\nGET\r\n", "an argument to come"),
    NOT(WAITS, "*1\r\n$4\r\nPIN", "bytes to come"),
    NOT(WAITS, "*1\r\n$4\r\nPING", "the end of them to come"),
    NOT(WAITS, "*1\r\n$4\r\nPING\r", "half of it"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*\r\n", "no count"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*a\r\n", "not a number"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*01\r\n", "a leading zero"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*-0\r\n", "minus zero"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*+1\r\n", "a plus"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "* 1\r\n", "a space"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*1 \r\n", "a space behind"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*1\n", "a bare LF"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*1\rx", "a bare CR"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*1048577\r\n", "more arguments than Redis names as its limit"),
    NOT(WAITS, "*1048576\r\n", "just as many"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*3000000000\r\n", "more than 32 bits"),
    NOT(CACHE_RESP_MULTIBULK_LENGTH, "*18446744073709551617\r\n", "more than 64 bits"),
    NOT(CACHE_RESP_EXPECTED_BULK, "*1\r\nfoo\r\n", "no bulk string"),
    NOT(CACHE_RESP_EXPECTED_BULK, "*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n", "no bulk string later on"),
    NOT(CACHE_RESP_EXPECTED_BULK, "*1\r\n*1\r\n", "an array within an array"),
    NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$\r\n", "no length"),
    NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$blabla\r\n", "not a number"),
    NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$-1\r\n", "a null"),
    NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$04\r\nPING\r\n", "a leading zero"),
    NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$4\nPING\r\n", "a bare LF"),
    NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$536870913\r\n", "longer than a value may be"),
    NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$2000000000000000000000\r\n", "more than 64 bits"),
    NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$4\r\nPINGxx", "an argument longer than it said"),
    NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$4\r\nPING\rx", "half an end"),
    NOT(WAITS, "*1\r\n$17000\r\nabc", "an argument that will be a rope"),

    OK("PING\r\n", "", "[PING]", "an inline command"),
    OK("PING\n", "PING\n", "[PING]", "... with a bare LF"),
    OK("  SET\t a  b \r\n", "", "[SET][a][b]", "spaces and tabs anywhere"),
    OK("\r\n", "PING\r\n", "", "an empty line"),
    OK("  \n", "", "", "a line of spaces"),
    OK("GET a\x0b"
       "b\n",
       "",
       "[GET][a\x0b"
       "b]",
       "a vertical tab is part of a word"),
    OK("\x0b\x0cGET \x0c"
       "a\n",
       "", "[GET][a]", "... and skipped in front of one"),
    OK("ECHO a\rb\n", "", "[ECHO][a][b]", "a CR parts words"),
    OK("ECHO a\\x41\\\n", "", "[ECHO][a\\x41\\]", "no escapes outside of quotes"),
    OK("\xff\x80 $1\n", "", "[\xff\x80][$1]", "any bytes"),
    OK("SET \"a b\" 'c d'\r\n", "", "[SET][a b][c d]", "quotes"),
    OK("ECHO \"\" ''\n", "", "[ECHO][][]", "empty ones"),
    OK("ECHO a\"b c\"\n", "", "[ECHO][ab c]", "a quote within a word"),
    OK("ECHO a'b\"c'\x0c"
       "d\n",
       "", "[ECHO][ab\"c][d]", "... and a form feed behind it"),
    OK("ECHO \"\\x41\\x4a\\x4A\\xff\"\n", "", "[ECHO][AJJ\xff]", "bytes in hexadecimal"),
    OK("ECHO \"\\x414\"\n", "", "[ECHO][A4]", "two digits, no more"),
    OK("ECHO \"\\x4 \\xg1\\x\"\n", "", "[ECHO][x4 xg1x]", "fewer are not an escape"),
    OK("ECHO \"\\x4\\x41\"\n", "", "[ECHO][x4A]", "half an escape and a whole one"),
    OK("ECHO \"\\n\\r\\t\\b\\a\\q\\\"\\\\\"\n", "", "[ECHO][\n\r\t\b\aq\"\\]", "other escapes"),
    OK("ECHO 'a\\'b\\c\\\\'d'\n", "", "[ECHO][a'b\\c\\'d]", "single quotes know one escape"),
    NOT(CACHE_RESP_QUOTES, "ECHO 'a\nb'\n", "an end of line within quotes is the end"),
    NOT(CACHE_RESP_QUOTES, "ECHO \"a\n", "a quote not closed"),
    NOT(CACHE_RESP_QUOTES, "ECHO 'a\r\n", "a single one not closed"),
    NOT(CACHE_RESP_QUOTES, "ECHO 'a\\'\r\n", "the closing one escaped"),
    NOT(CACHE_RESP_QUOTES, "ECHO \"a\\\n", "an escape of nothing"),
    NOT(CACHE_RESP_QUOTES, "ECHO \"a\"b\n", "something behind a closing one"),
    NOT(CACHE_RESP_QUOTES, "ECHO 'a'\"b\"\n", "another quote behind a closing one"),
    NOT(CACHE_RESP_QUOTES, "a\0b\n", "a zero byte"),
    NOT(CACHE_RESP_QUOTES, "\"a\0b\"\n", "a zero byte in quotes"),
    NOT(WAITS, "PING", "a line not ended"),
    NOT(WAITS, "PING \"", "a line with quotes not ended"),
    OK(Z100 "\n", "", "[" Z100 "]", "the longest line"),
    OK("\"" Z10 Z10 Z10 Z10 Z10 Z10 Z10 Z10 Z10 "zzzzzzzz\"\n", "", "[" Z10 Z10 Z10 Z10 Z10 Z10 Z10 Z10 Z10 "zzzzzzzz]",
       "... with quotes"),
    NOT(WAITS, Z100, "the longest line without its end"),
    NOT(CACHE_RESP_INLINE_TOO_BIG, Z100 "z", "a longer one"),
    NOT(CACHE_RESP_INLINE_TOO_BIG, Z100 "z\n", "... with its end"),
};
#define CASES (sizeof cases / sizeof *cases)

/* A copy flush against a page that faults. */
static uint8_t *guard;
static size_t guard_bytes;

static const uint8_t *flush(const void *data, size_t n)
{
    memcpy(guard + guard_bytes - n, data, n);
    return guard + guard_bytes - n;
}

static int set_up(void **state)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    guard_bytes = 64 * page;
    guard = mmap(NULL, guard_bytes + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(guard, MAP_FAILED);
    assert_int_equal(mprotect(guard + guard_bytes, page, PROT_NONE), 0);
    assert_true(memory_init(&memory, UINT64_C(64) << 20, UINT64_C(48) << 20));
    return 0;
}

static int tear_down(void **state)
{
    memory_release(&memory);
    return munmap(guard, guard_bytes + (size_t)sysconf(_SC_PAGESIZE));
}

/* As the table writes them; a zero byte as a point. */
static const char *written(const struct cache_argument *a, unsigned argc)
{
    static char text[4096];
    char *p = text;
    for (unsigned i = 0; i < argc; i++) {
        assert_non_null(a[i].data);
        *p++ = '[';
        for (uint32_t k = 0; k < a[i].length; k++)
            *p++ = a[i].data[k] ? (char)a[i].data[k] : '.';
        *p++ = ']';
    }
    *p = 0;
    return text;
}

static const char *kept(const struct cache_packed *p)
{
    assert_true(p->argc <= sizeof argv / sizeof *argv);
    cache_packed_arguments(p, argv);
    return written(argv, p->argc);
}

/* Feeds what ends at each of `cuts`; `text` gets the arguments. Returns as cache_resp_feed, bytes in all or WAITS. */
static int64_t feed(const char *data, const size_t *cuts, size_t pieces, const struct cache_resp_limits *l, char *text)
{
    struct cache_resp_wire w = {0};
    struct cache_packed p;
    bool complete = false;
    int64_t taken = 0;
    size_t at = 0;
    cache_packed_init(&p, &memory);
    for (size_t i = 0; i < pieces && !complete && taken >= 0; i++) {
        size_t n = cuts[i] - at;
        taken = cache_resp_feed(&w, flush(data + at, n), n, l, &p, &memory, &complete);
        if (taken >= 0 && !complete && (size_t)taken != n)
            fail_msg("%zu bytes, %d taken without an end", n, (int)taken);
        at += taken > 0 ? (size_t)taken : 0;
    }
    if (complete && taken >= 0)
        assert_int_equal(w.state, 0);
    strcpy(text, complete && taken >= 0 ? kept(&p) : "");
    cache_packed_free(&p);
    assert_int_equal(memory.used, 0);
    return taken < 0 ? taken : complete ? (int64_t)at : WAITS;
}

static void compare(const struct resp_case *c, size_t cut, int64_t result, const char *arguments)
{
    if (result != c->expected)
        fail_msg("case %zu (%s), cut %zu: %d, expected %d", (size_t)(c - cases), c->reason, cut, (int)result,
                 (int)c->expected);
    if (result > 0 && strcmp(arguments, c->arguments) != 0)
        fail_msg("case %zu (%s), cut %zu: %s, expected %s", (size_t)(c - cases), c->reason, cut, arguments,
                 c->arguments);
}

static void each_case_where_it_lies(void **state)
{
    /* The fast path agrees, or leaves quotes and what is not whole to the other. */
    for (size_t i = 0; i < CASES; i++) {
        struct cache_resp_wire w = {0};
        unsigned argc = 0;
        int64_t n = cache_resp_parse(&w, flush(cases[i].input, cases[i].length), cases[i].length, &limits, argv, &argc);
        if (n == 0 && cases[i].expected && strpbrk(cases[i].input, "\"'\\"))
            continue;
        if (n == 0 && cases[i].expected == CACHE_RESP_QUOTES)
            continue;
        compare(&cases[i], cases[i].length, n, written(argv, n > 0 ? argc : 0));
    }
}

static void each_case_at_each_split(void **state)
{
    char text[4096];
    for (size_t i = 0; i < CASES; i++)
        for (size_t cut = 0; cut <= cases[i].length; cut++) {
            size_t cuts[] = {cut, cases[i].length};
            int64_t n = feed(cases[i].input, cuts, 2, &limits, text);
            compare(&cases[i], cut, n, text);
        }
}

static void each_case_byte_by_byte(void **state)
{
    char text[4096];
    for (size_t i = 0; i < CASES; i++) {
        size_t cuts[512];
        for (size_t k = 0; k < cases[i].length; k++)
            cuts[k] = k + 1;
        int64_t n = feed(cases[i].input, cuts, cases[i].length, &limits, text);
        compare(&cases[i], 1, n, text);
    }
}

static void each_beginning_waits(void **state)
{
    /* What is cut off in the middle is asked for again, not read: the fast path never takes less than a command. */
    for (size_t i = 0; i < CASES; i++)
        for (size_t n = 0; cases[i].expected > 0 && n < (size_t)cases[i].expected; n++) {
            struct cache_resp_wire w = {0};
            unsigned argc;
            assert_int_equal(cache_resp_parse(&w, flush(cases[i].input, n), n, &limits, argv, &argc), 0);
        }
}

static void unauthenticated_peer_is_limited(void **state)
{
    /* Ten arguments of 16 KiB, as Redis; inline commands are not counted. */
    static const struct resp_case bounded[] = {
        NOT(CACHE_RESP_MULTIBULK_UNAUTHENTICATED, "*11\r\n", "one more than ten"),
        NOT(CACHE_RESP_MULTIBULK_LENGTH, "*3000000000\r\n", "too many for anyone"),
        NOT(CACHE_RESP_BULK_UNAUTHENTICATED, "*1\r\n$16385\r\n", "one byte more"),
        NOT(CACHE_RESP_BULK_LENGTH, "*1\r\n$536870913\r\n", "too long for anyone"),
        NOT(WAITS, "*10\r\n$16384\r\n", "just as much"),
        OK("a b c d e f g h i j k l\n", "", "[a][b][c][d][e][f][g][h][i][j][k][l]", "an inline command"),
    };
    char text[4096];
    for (size_t i = 0; i < sizeof bounded / sizeof *bounded; i++) {
        struct cache_resp_wire w = {0};
        unsigned argc;
        const struct resp_case *c = &bounded[i];
        if (cache_resp_parse(&w, flush(c->input, c->length), c->length, &few, argv, &argc) != c->expected)
            fail_msg("whole: %s", c->reason);
        if (feed(c->input, &c->length, 1, &few, text) != c->expected)
            fail_msg("in pieces: %s", c->reason);
    }
}

static void pipelined_commands_are_taken_one_by_one(void **state)
{
    static const char input[] = "*1\r\n$4\r\nPING\r\nGET a\r\n\r\n*0\r\n*2\r\n$3\r\nDEL\r\n$1\r\nb\r\n*1\r\n$4\r\nQU";
    static const char *const expected[] = {"[PING]", "[GET][a]", "", "", "[DEL][b]"};
    const uint8_t *data = flush(input, sizeof input - 1), *p = data, *end = data + sizeof input - 1;
    struct cache_resp_wire w = {0};
    unsigned argc;
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) {
        int64_t n = cache_resp_parse(&w, p, (size_t)(end - p), &limits, argv, &argc);
        assert_true(n > 0);
        assert_string_equal(written(argv, argc), expected[i]);
        p += n;
    }
    assert_int_equal(cache_resp_parse(&w, p, (size_t)(end - p), &limits, argv, &argc), 0);
    assert_ptr_equal(p, data + sizeof input - 1 - 10);
}

static void long_argument_becomes_a_rope(void **state)
{
    /* One more byte than a span may have; the fast path leaves it alone. */
    enum { LENGTH = 200000 };
    char *input = malloc(LENGTH + 64);
    int head = sprintf(input, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", LENGTH);
    for (int i = 0; i < LENGTH; i++)
        input[head + i] = (char)(i * 7 + i / 251);
    memcpy(input + head + LENGTH, "\r\n", 2);
    size_t n = (size_t)head + LENGTH + 2;
    for (size_t step = 1; step < 100000; step = step * 7 + 3) {
        struct cache_resp_wire w = {0};
        struct cache_packed p;
        bool complete = false;
        unsigned argc;
        assert_int_equal(cache_resp_parse(&w, (uint8_t *)input, n, &limits, argv, &argc), 0);
        cache_packed_init(&p, &memory);
        for (size_t at = 0; at < n;) {
            size_t part = n - at < step ? n - at : step;
            const uint8_t *piece = part <= guard_bytes ? flush(input + at, part) : (uint8_t *)input + at;
            assert_int_equal(cache_resp_feed(&w, piece, part, &limits, &p, &memory, &complete), part);
            at += part;
            assert_int_equal(complete, at == n);
        }
        assert_int_equal(p.argc, 3);
        cache_packed_arguments(&p, argv);
        assert_null(argv[2].data);
        assert_int_equal(argv[2].length, LENGTH);
        assert_true(cache_rope_equal(argv[2].rope, input + head, LENGTH));
        cache_packed_free(&p);
        assert_int_equal(memory.used, 0);
    }
    free(input);
}

static void short_memory_is_told(void **state)
{
    /* Whatever allocation fails, the answer is CACHE_RESP_NO_MEMORY and nothing stays behind. */
    static const char *const inputs[] = {"*2\r\n$3\r\nGET\r\n$20000\r\nabcdef", "GET \"a b\"\n", "GET a"};
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        unsigned refused = 0;
        for (uint64_t limit = 0; limit < 80000; limit += 100) {
            struct cache_resp_wire w = {0};
            struct cache_packed p;
            bool complete;
            uint64_t before = memory.limit;
            memory.limit = limit;
            cache_packed_init(&p, &memory);
            int64_t n =
                cache_resp_feed(&w, (const uint8_t *)inputs[i], strlen(inputs[i]), &limits, &p, &memory, &complete);
            if (n == CACHE_RESP_NO_MEMORY)
                refused++;
            else
                assert_int_equal(n, strlen(inputs[i]));
            cache_packed_free(&p);
            assert_int_equal(memory.used, 0);
            memory.limit = before;
        }
        assert_true(refused > 0 && refused < 800);
    }
}

static void errors_have_the_words_of_redis(void **state)
{
    struct cache_resp_wire w = {.unexpected = 'f'};
    char text[80];
    assert_string_equal(cache_resp_error_text(&w, CACHE_RESP_EXPECTED_BULK, text),
                        "ERR Protocol error: expected '$', got 'f'");
    assert_string_equal(cache_resp_error_text(&w, CACHE_RESP_MULTIBULK_LENGTH, text),
                        "ERR Protocol error: invalid multibulk length");
    assert_string_equal(cache_resp_error_text(&w, CACHE_RESP_QUOTES, text),
                        "ERR Protocol error: unbalanced quotes in request");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_case_where_it_lies),         cmocka_unit_test(each_case_at_each_split),
        cmocka_unit_test(each_case_byte_by_byte),          cmocka_unit_test(each_beginning_waits),
        cmocka_unit_test(unauthenticated_peer_is_limited), cmocka_unit_test(pipelined_commands_are_taken_one_by_one),
        cmocka_unit_test(long_argument_becomes_a_rope),    cmocka_unit_test(short_memory_is_told),
        cmocka_unit_test(errors_have_the_words_of_redis),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
