/* Addresses, prefixes and endpoints as text: what is accepted, what is not, and why. */
#include "tests/support/cmocka.h"

#include <millrace/address.h>
#include <millrace/error.h>
#include <millrace/log.h>
#include <string.h>
#include <unistd.h>

static const struct mr_address untouched = {{0x55, 0xaa}};

static void address_text_is_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text, *again; /* NULL: refused */
    } cases[] = {
        {"198.18.0.2", "198.18.0.2"},
        {"0.0.0.0", "0.0.0.0"},
        {"255.255.255.255", "255.255.255.255"},
        {"::", "::"},
        {"::1", "::1"},
        {"FE80:0::01", "fe80::1"},
        {"2001:db8::198.18.0.2", "2001:db8::c612:2"},
        {"::ffff:198.18.0.2", "198.18.0.2"},
        {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
        {"", NULL},
        {"198.18.2", NULL},          /* not the old short form */
        {"198.18.0.2.3", NULL},      /* five parts */
        {"198.18.0.256", NULL},      /* a part over 255 */
        {"198.18.0.02", NULL},       /* would be octal elsewhere */
        {"0xc6.18.0.2", NULL},       /* hexadecimal */
        {" 198.18.0.2", NULL},       /* space before */
        {"198.18.0.2 ", NULL},       /* space after */
        {"198.18.0.-2", NULL},       /* sign */
        {"198.18..2", NULL},         /* an empty part */
        {"1::2::3", NULL},           /* two gaps */
        {"1:2:3:4:5:6:7", NULL},     /* too short */
        {"1:2:3:4:5:6:7:8:9", NULL}, /* too long */
        {"12345::", NULL},           /* more than 16 bits */
        {"[::1]", NULL},             /* brackets belong to endpoints */
        {"fe80::1%eth0", NULL},      /* zones are not addresses */
        {"localhost", NULL},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_address a = untouched;
        char text[MR_ADDRESS_TEXT_MAX];
        bool accepted = mr_address_parse(cases[i].text, &a);
        if (accepted != (cases[i].again != NULL))
            fail_msg("\"%s\" was %s", cases[i].text, accepted ? "accepted" : "refused");
        if (accepted)
            assert_string_equal(mr_address_text(&a, text), cases[i].again);
        else
            assert_memory_equal(&a, &untouched, sizeof a);
    }
}

static void ip4_and_its_mapped_form_are_the_same(void **state)
{
    (void)state;
    struct mr_address a, b = mr_address_ip4(0xc6120002);
    assert_true(mr_address_parse("198.18.0.2", &a));
    assert_true(mr_address_equal(&a, &b));
    assert_true(mr_address_is_ip4(&a));
    assert_int_equal(mr_address_to_ip4(&a), 0xc6120002);
    assert_true(mr_address_parse("::ffff:198.18.0.2", &b));
    assert_true(mr_address_equal(&a, &b));
}

static void prefix_text_is_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int bits; /* -1: refused */
    } cases[] = {
        {"198.18.0.2/24", 24},
        {"0.0.0.0/0", 0},
        {"198.18.0.2/32", 32},
        {"::/0", 0},
        {"fe80::1/128", 128},
        {"::ffff:198.18.0.0/120", 24}, /* bits of its own family */
        {"::ffff:198.18.0.0/95", -1},  /* neither of IPv4 nor of IPv6 */
        {"198.18.0.2", -1},            /* no length */
        {"198.18.0.2/", -1},
        {"/24", -1},
        {"198.18.0.2/33", -1},
        {"fe80::1/129", -1},
        {"198.18.0.2/024", -1},
        {"198.18.0.2/+24", -1},
        {"198.18.0.2/24 ", -1},
        {"198.18.0.2/4294967320", -1}, /* 24 modulo 2^32 */
        {"198.18.0.2/255.255.255.0", -1},
        {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/64", -1}, /* longer than any address */
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_address a = untouched;
        unsigned bits = 777;
        bool accepted = mr_prefix_parse(cases[i].text, &a, &bits);
        if (accepted != (cases[i].bits >= 0))
            fail_msg("\"%s\" was %s", cases[i].text, accepted ? "accepted" : "refused");
        assert_int_equal(bits, accepted ? cases[i].bits : 777);
        if (!accepted)
            assert_memory_equal(&a, &untouched, sizeof a);
    }
}

static void endpoint_text_is_read_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *text, *again; /* NULL: refused */
    } cases[] = {
        {"198.18.0.2:80", "198.18.0.2:80"},
        {"[::1]:80", "[::1]:80"},
        {"[::ffff:198.18.0.2]:80", "198.18.0.2:80"},
        {":80", ":80"},
        {"80", ":80"},
        {"0.0.0.0:80", ":80"}, /* any address of ours */
        {"[::]:65535", ":65535"},
        {"198.18.0.2:0", "198.18.0.2:0"},
        {"", NULL},
        {":", NULL},
        {"198.18.0.2", NULL}, /* no port */
        {"198.18.0.2:", NULL},
        {"198.18.0.2:65536", NULL},
        {"198.18.0.2:080", NULL},
        {"198.18.0.2: 80", NULL},
        {"198.18.0.2:http", NULL},
        {"::1:80", NULL}, /* which colon? */
        {"[::1]", NULL},
        {"[::1]80", NULL},
        {"[::1:80", NULL},
        {"[]:80", NULL},
        {"[198.18.0.2]:80", NULL}, /* brackets are for IPv6 */
        {"[1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa]:80", NULL},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mr_endpoint e = {.address = untouched, .port = 7};
        char text[MR_ENDPOINT_TEXT_MAX];
        bool accepted = mr_endpoint_parse(cases[i].text, &e);
        if (accepted != (cases[i].again != NULL))
            fail_msg("\"%s\" was %s", cases[i].text, accepted ? "accepted" : "refused");
        if (accepted)
            assert_string_equal(mr_endpoint_text(&e, text), cases[i].again);
        else
            assert_true(mr_address_equal(&e.address, &untouched) && e.port == 7);
    }
}

static void longest_texts_fit(void **state)
{
    (void)state;
    struct mr_endpoint e = {.port = 65535};
    char text[MR_ENDPOINT_TEXT_MAX];
    memset(&e.address, 0xff, sizeof e.address);
    assert_string_equal(mr_endpoint_text(&e, text), "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void every_error_has_its_own_text(void **state)
{
    (void)state;
    for (int a = MR_ERROR_SILENT; a <= MR_OK; a++) {
        assert_non_null(mr_error_text(a));
        for (int b = MR_ERROR_SILENT; b < a; b++)
            assert_string_not_equal(mr_error_text(a), mr_error_text(b));
    }
    assert_string_equal(mr_error_text(1), mr_error_text(MR_ERROR_SILENT - 1));
}

/* What mr_log writes for one call, read back through a pipe in place of standard error. */
#define LOGGED(line, ...)                                      \
    do {                                                       \
        int pipe_[2], kept = dup(STDERR_FILENO);               \
        assert_int_equal(pipe(pipe_), 0);                      \
        dup2(pipe_[1], STDERR_FILENO);                         \
        close(pipe_[1]);                                       \
        mr_log(__VA_ARGS__);                                   \
        dup2(kept, STDERR_FILENO);                             \
        close(kept);                                           \
        ssize_t n_ = read(pipe_[0], (line), sizeof(line) - 1); \
        (line)[n_ < 0 ? 0 : n_] = '\0';                        \
        close(pipe_[0]);                                       \
    } while (0)

static void log_line_has_time_level_area_and_one_end(void **state)
{
    (void)state;
    char line[2048], longest[4000];
    LOGGED(line, MR_LOG_INFO, "http", "started port=%d", 80);
    assert_int_equal(strspn(line, "0123456789-:.TZ"), strlen("2026-01-01T00:00:00.123Z"));
    assert_string_equal(line + strlen("2026-01-01T00:00:00.123Z"), " info http: started port=80\n");
    LOGGED(line, MR_LOG_ERROR, "http", "path=%s", "a\nb\x1b[2J");
    assert_non_null(strstr(line, "error http: path=a?b?[2J\n"));
    LOGGED(line, MR_LOG_DEBUG, "http", "not at this level");
    assert_string_equal(line, "");
    memset(longest, 'x', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    LOGGED(line, MR_LOG_WARNING, "http", "%s", longest);
    assert_int_equal(strlen(line), 1024);
    assert_ptr_equal(strchr(line, '\n'), line + 1023);
}

static void log_levels_are_named(void **state)
{
    (void)state;
    assert_int_equal(mr_log_level_parse("debug"), MR_LOG_DEBUG);
    assert_int_equal(mr_log_level_parse("error"), MR_LOG_ERROR);
    assert_int_equal(mr_log_level_parse("Error"), -1);
    assert_int_equal(mr_log_level_parse(""), -1);
    mr_log_set_level(MR_LOG_WARNING);
    assert_int_equal(mr_log_get_level(), MR_LOG_WARNING);
    mr_log_set_level(MR_LOG_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address_text_is_read_strictly),
        cmocka_unit_test(ip4_and_its_mapped_form_are_the_same),
        cmocka_unit_test(prefix_text_is_read_strictly),
        cmocka_unit_test(endpoint_text_is_read_strictly),
        cmocka_unit_test(longest_texts_fit),
        cmocka_unit_test(every_error_has_its_own_text),
        cmocka_unit_test(log_line_has_time_level_area_and_one_end),
        cmocka_unit_test(log_levels_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
