/* The PROXY protocol: each case is one line, run whole, byte by byte, and with other bytes behind it, always flush against a page that
 * faults. What is written is read back. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "proxy/l4/proxy_protocol.h"

struct wire_case {
    const char *header;
    size_t length;
    int expected;                     /* bytes; 0: incomplete; -1: none */
    const char *source, *destination; /* NULL: local */
    const char *reason;
};
#define GOOD(text, source, destination, reason)                             \
    {                                                                       \
        text, sizeof text - 1, sizeof text - 1, source, destination, reason \
    }
#define LOCAL(text, reason)                                        \
    {                                                              \
        text, sizeof text - 1, sizeof text - 1, NULL, NULL, reason \
    }
#define WAIT(text, reason)                           \
    {                                                \
        text, sizeof text - 1, 0, NULL, NULL, reason \
    }
#define BAD(text, reason)                             \
    {                                                 \
        text, sizeof text - 1, -1, NULL, NULL, reason \
    }

#define SIGNATURE "\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0a"
#define IP4       "\xc0\x00\x02\x01\xc6\x12\x00\x02\xdc\x04\x01\xbb" /* 192.0.2.1:56324 to 198.18.0.2:443 */
#define IP6       "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\xdc\x04\x01\xbb"
#define LONGEST   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
#define Z20       "zzzzzzzzzzzzzzzzzzzz"

static const struct wire_case cases[] = {
    /* version 1: the examples of section 2.1 */
    GOOD("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n", "255.255.255.255:65535", "255.255.255.255:65535",
         "the longest of IPv4"),
    GOOD("PROXY TCP6 " LONGEST " " LONGEST " 65535 65535\r\n", "[" LONGEST "]:65535", "[" LONGEST "]:65535",
         "the longest of IPv6"),
    LOCAL("PROXY UNKNOWN\r\n", "the shortest"),
    LOCAL("PROXY UNKNOWN " LONGEST " " LONGEST " 65535 65535\r\n", "the longest, 107 bytes"),
    GOOD("PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n", "192.168.0.1:56324", "192.168.0.11:443",
         "the last example"),
    GOOD("PROXY TCP6 2001:db8::1 ::1 1 0\r\n", "[2001:db8::1]:1", "[::1]:0", "short forms"),
    GOOD("PROXY TCP6 2001:DB8::A ::ffff:192.0.2.1 1 2\r\n", "[2001:db8::a]:1", "192.0.2.1:2",
         "capitals; a mapped address"),
    LOCAL("PROXY UNKNOWN what \"ever\" it says\r\n", "what follows UNKNOWN is ignored"),
    BAD("PROXY UNKNOWN " LONGEST " " LONGEST " 65535 65535 \r\n", "108 bytes"),
    BAD("PROXY UNKNOWN " Z20 Z20 Z20 Z20 Z20 Z20, "no end within 107 bytes"),
    BAD("PROXY UNKNOWNS\r\n", "not that word"),
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "LF without CR"),
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n", "CR without LF"),
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", "a space at the end"),
    BAD("PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n", "two spaces"),
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "a leading zero in a port"),
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", "a sign"),
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n", "a port of 17 bits"),
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n", "another"),
    BAD("PROXY TCP4 1.2.3.4 1.2.3.4 1 100000\r\n", "a port of six digits"),
    BAD("PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", "a leading zero in an address"),
    BAD("PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n", "no address"),
    BAD("PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n", "a short one"),
    BAD("PROXY TCP4 ::1 ::1 1 2\r\n", "IPv6 called IPv4"),
    BAD("PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "IPv4 called IPv6"),
    BAD("PROXY TCP6 1::2::3 ::1 1 2\r\n", "two gaps"),
    BAD("PROXY TCP6 12345::1 ::1 1 2\r\n", "a group of five"),
    BAD("PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "version 1 knows TCP alone"),
    BAD("proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", "small letters"),
    BAD("GET / HTTP/1.1\r\n", "no header at all"),
    BAD("PROXY\r\n", "nothing in it"),
    WAIT("PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r", "the end is missing"),
    WAIT("P", "the first byte"),
    /* version 2 */
    GOOD(SIGNATURE "\x21\x11\x00\x0c" IP4, "192.0.2.1:56324", "198.18.0.2:443", "TCP over IPv4"),
    GOOD(SIGNATURE "\x21\x12\x00\x0c" IP4, "192.0.2.1:56324", "198.18.0.2:443", "UDP over IPv4"),
    GOOD(SIGNATURE "\x21\x21\x00\x24" IP6, "[2001:db8::1]:56324", "[2001:db8::2]:443", "TCP over IPv6"),
    LOCAL(SIGNATURE "\x20\x00\x00\x00", "LOCAL"),
    LOCAL(SIGNATURE "\x20\x11\x00\x0c" IP4, "LOCAL with addresses, which are ignored"),
    LOCAL(SIGNATURE "\x20\x11\x00\x03zzz", "LOCAL with a block that is none: discarded as a whole"),
    LOCAL(SIGNATURE "\x21\x00\x00\x00", "AF_UNSPEC"),
    LOCAL(SIGNATURE "\x21\x00\x00\x04\x04\x00\x01z", "AF_UNSPEC with a TLV"),
    BAD(SIGNATURE "\x21\x31\x00\x0c" IP4, "AF_UNIX is longer than that"),
    BAD(SIGNATURE "\x21\x11\x00\x0b" IP4, "shorter than its addresses"),
    BAD(SIGNATURE "\x11\x11\x00\x0c" IP4, "version 1 in binary"),
    BAD(SIGNATURE "\x22\x11\x00\x0c" IP4, "an unknown command"),
    BAD(SIGNATURE "\x21\x41\x00\x0c" IP4, "an unknown family"),
    BAD(SIGNATURE "\x21\x13\x00\x0c" IP4, "an unknown transport"),
    BAD(SIGNATURE "\x21\x11\xff\xff" IP4, "longer than we read: told at once"),
    BAD(SIGNATURE "\x21\x11\x02\x09" IP4, "537 bytes"),
    WAIT(SIGNATURE "\x21\x11\x02\x08" IP4, "536"),
    BAD("\x0d\x0a\x0d\x0a\x00\x0d\x0a\x51\x55\x49\x54\x0d", "one byte of the signature is wrong"),
    GOOD(SIGNATURE "\x21\x11\x00\x18" IP4 "\x01\x00\x02h2\x04\x00\x04zzzz", "192.0.2.1:56324", "198.18.0.2:443",
         "TLVs"),
    GOOD(SIGNATURE "\x21\x11\x00\x0f" IP4 "\x04\x00\x00", "192.0.2.1:56324", "198.18.0.2:443", "an empty TLV"),
    BAD(SIGNATURE "\x21\x11\x00\x0e" IP4 "\x04\x00", "a TLV without its length"),
    BAD(SIGNATURE "\x21\x11\x00\x10" IP4 "\x04\x00\x02z", "a TLV longer than the header"),
    BAD(SIGNATURE "\x21\x11\x00\x10" IP4 "\x04\xff\xffz", "much longer"),
    GOOD(SIGNATURE "\x21\x11\x00\x13" IP4 "\x03\x00\x04\x19\x80\x9c\xbb", "192.0.2.1:56324", "198.18.0.2:443",
         "a checksum"),
    BAD(SIGNATURE "\x21\x11\x00\x13" IP4 "\x03\x00\x04zzzz", "a checksum that is wrong"),
    BAD(SIGNATURE "\x21\x11\x00\x12" IP4 "\x03\x00\x03zzz", "a checksum of three bytes"),
};

/* A copy whose last byte is followed by a page that faults; gone with the next call. */
static const uint8_t *guarded(const void *data, size_t n)
{
    static uint8_t *end;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    if (!end) {
        uint8_t *pages = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(pages, MAP_FAILED);
        assert_int_equal(mprotect(pages + page, page, PROT_NONE), 0);
        end = pages + page;
    }
    assert_true(n <= page);
    return memcpy(end - n, data, n);
}

static void compare(const char *reason, const char *which, const struct mr_endpoint *e, const char *expected)
{
    struct mr_endpoint wanted;
    assert_true(mr_endpoint_parse(expected, &wanted));
    if (!mr_address_equal(&wanted.address, &e->address) || wanted.port != e->port)
        fail_msg("%s: %s is not %s", reason, which, expected);
}

static void header_case_gives_what_it_says(const struct wire_case *c, const uint8_t *data, size_t length)
{
    struct proxy_protocol out;
    int n = proxy_protocol_parse(guarded(data, length), length, &out);
    if (n != c->expected)
        fail_msg("%s: %d, expected %d", c->reason, n, c->expected);
    if (n <= 0)
        return;
    if (out.local != !c->source)
        fail_msg("%s: local is %d", c->reason, out.local);
    if (c->source) {
        compare(c->reason, "source", &out.source, c->source);
        compare(c->reason, "destination", &out.destination, c->destination);
    }
}

/* Each header is accepted, waited for or refused as its line says. */
static void header_whole_is_read(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        header_case_gives_what_it_says(&cases[i], (const uint8_t *)cases[i].header, cases[i].length);
}

/* What is behind a header belongs to the connection. */
static void header_with_bytes_behind_it_ends_where_it_ends(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t bytes[1024];
        memcpy(bytes, cases[i].header, cases[i].length);
        memset(bytes + cases[i].length, 'x', 100);
        if (cases[i].expected > 0)
            header_case_gives_what_it_says(&cases[i], bytes, cases[i].length + 100);
    }
}

/* A prefix of a good header is never refused and never accepted; a bad one is refused at one point and stays refused. */
static void header_in_pieces_is_waited_for(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct wire_case *c = &cases[i];
        bool refused = false;
        for (size_t k = 0; k < c->length; k++) {
            struct proxy_protocol out;
            int n = proxy_protocol_parse(guarded(c->header, k), k, &out);
            if (n > 0 || (n < 0 && c->expected >= 0) || (refused && n >= 0))
                fail_msg("%s: %d after %zu bytes", c->reason, n, k);
            refused = n < 0;
        }
    }
}

typedef size_t (*writer)(const struct mr_endpoint *, const struct mr_endpoint *, uint8_t *);
static const writer writers[] = {proxy_protocol_write_v1, proxy_protocol_write_v2, proxy_protocol_write_v2_datagram};

/* What is written is read back the same, in every mixture of families. */
static void endpoints_written_are_read_back(void **state)
{
    static const char *const texts[] = {"0.0.0.1:0", "255.255.255.255:65535", "[::1]:1", "[" LONGEST "]:65535",
                                        "[2001:db8::1]:443"};
    enum { TEXTS = sizeof texts / sizeof *texts };
    for (unsigned w = 0; w < 3; w++)
        for (unsigned i = 0; i < TEXTS * TEXTS; i++) {
            struct mr_endpoint source, destination;
            struct proxy_protocol out;
            uint8_t bytes[PROXY_PROTOCOL_WRITE_MAX];
            mr_endpoint_parse(texts[i % TEXTS], &source);
            mr_endpoint_parse(texts[i / TEXTS], &destination);
            size_t n = writers[w](&source, &destination, bytes);
            assert_int_equal(proxy_protocol_parse(guarded(bytes, n), n, &out), n);
            assert_false(out.local);
            compare("written", "source", &out.source, texts[i % TEXTS]);
            compare("written", "destination", &out.destination, texts[i / TEXTS]);
        }
}

static void nobody_written_is_local(void **state)
{
    for (unsigned w = 0; w < 3; w++) {
        struct proxy_protocol out;
        uint8_t bytes[PROXY_PROTOCOL_WRITE_MAX];
        size_t n = writers[w](NULL, NULL, bytes);
        assert_int_equal(proxy_protocol_parse(guarded(bytes, n), n, &out), n);
        assert_true(out.local);
    }
}

/* Byte for byte what the specification shows. */
static void headers_written_are_canonical(void **state)
{
    struct mr_endpoint source, destination;
    uint8_t bytes[PROXY_PROTOCOL_WRITE_MAX + 1] = {0};
    mr_endpoint_parse("192.0.2.1:56324", &source);
    mr_endpoint_parse("198.18.0.2:443", &destination);
    proxy_protocol_write_v1(&source, &destination, bytes);
    assert_string_equal((char *)bytes, "PROXY TCP4 192.0.2.1 198.18.0.2 56324 443\r\n");
    assert_int_equal(proxy_protocol_write_v2(&source, &destination, bytes), 28);
    assert_memory_equal(bytes, SIGNATURE "\x21\x11\x00\x0c" IP4, 28);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(header_whole_is_read),
        cmocka_unit_test(header_with_bytes_behind_it_ends_where_it_ends),
        cmocka_unit_test(header_in_pieces_is_waited_for),
        cmocka_unit_test(endpoints_written_are_read_back),
        cmocka_unit_test(nobody_written_is_local),
        cmocka_unit_test(headers_written_are_canonical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
