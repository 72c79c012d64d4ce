/* The one form of a path, and what an authority is made of. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "proxy/http/target_normal.h"

static struct mr_span span(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

static const struct {
    const char *path, *normal; /* NULL: refused */
    const char *reason;
} paths[] = {
    {"", "/", "empty"},
    {"/", "/", "the root"},
    {"/a/b", "/a/b", "nothing to do"},
    {"/a/b/", "/a/b/", "a slash at the end stays"},
    {"/.a", "/.a", "a name that begins with a dot"},
    {"/a/...", "/a/...", "three dots are a name"},
    {"/a/..b", "/a/..b", "... and so are these"},
    {"/a/b..", "/a/b..", "... and these"},
    {"/a/.b;c", "/a/.b;c", "a parameter of a name"},
    {"/.", "/", "this folder"},
    {"/./", "/", "... with a slash"},
    {"/a/.", "/a/", "... at the end"},
    {"/./a", "/a", "... at the start"},
    {"/a/./b", "/a/b", "... in between"},
    {"/a/..", "/", "the folder above"},
    {"/a/../", "/", "... with a slash"},
    {"/a/b/..", "/a/", "... at the end"},
    {"/a/b/../c", "/a/c", "... in between"},
    {"/a/b/../../c", "/c", "... twice"},
    {"/..", NULL, "above the root"},
    {"/../", NULL, "... with a slash"},
    {"/a/../..", NULL, "... by steps"},
    {"/a/../../b", NULL, "... in between"},
    {"/%2e%2e/a", NULL, "... in escapes"},
    {"/a/%2E", "/a/", "a dot in an escape"},
    {"/a/%2e%2E/b", "/b", "two of them"},
    {"/a/.%2e/b", "/b", "one of them"},
    {"//", "/", "an empty segment"},
    {"//a", "/a", "... at the start"},
    {"/a//b", "/a/b", "... in between"},
    {"/a//", "/a/", "... at the end"},
    {"/a//../b", "/b", "... is none to step back over"},
    {"/a/;/b", "/a/;/b", "a parameter alone"},
    {"/;", "/;", "... at the end"},
    {"/a/..;", NULL, "a dot segment with a parameter"},
    {"/a/..;x=y/b", NULL, "... with a value"},
    {"/a/.;/b", NULL, "... of one dot"},
    {"/a/%2e%2e;/b", NULL, "... in escapes"},
    {"/a/..%3b/b", "/a/..%3B/b", "an escaped semicolon begins no parameter"},
    {"/%41%7e%2D%5f", "/A~-_", "escapes of what needs none"},
    {"/%c3%a4", "/%C3%A4", "others in capitals"},
    {"/a%20b%3F", "/a%20b%3F", "... that are so already"},
    {"/%25%32%65", "/%252e", "an escape is taken away once"},
    {"/a%2fb", NULL, "an encoded slash"},
    {"/a%5Cb", NULL, "an encoded backslash"},
    {"/a%00b", NULL, "an encoded NUL"},
    {"/a%0d%0ab", "/a%0D%0Ab", "other control characters stay encoded"},
};

static void each_path_has_one_form(void **state)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        size_t length = strlen(paths[i].path);
        char *out = malloc(length + 1); /* as long as it may need: one more would be seen */
        int n = target_normalise(span(paths[i].path), out);
        const char *got = n > 0 ? out : paths[i].path;
        size_t got_length = n > 0 ? (size_t)n : length;
        if (!paths[i].normal
                ? n != -400
                : n < 0 || got_length != strlen(paths[i].normal) || memcmp(got, paths[i].normal, got_length))
            fail_msg("%s (%s): %d %.*s", paths[i].path, paths[i].reason, n, (int)got_length, got);
        free(out);
    }
}

static void the_normal_form_is_its_own(void **state)
{
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        char out[64];
        int n = paths[i].normal ? target_normalise(span(paths[i].normal), out) : 0;
        if (n < 0 || (n > 0 && ((size_t)n != strlen(paths[i].normal) || memcmp(out, paths[i].normal, (size_t)n))))
            fail_msg("%s: %d", paths[i].normal, n);
    }
}

static const struct {
    const char *text, *host; /* NULL: refused */
    unsigned port;
} authorities[] = {
    {"", "", 0},
    {"a", "a", 0},
    {"Example.COM", "example.com", 0},
    {"example.com.", "example.com", 0},
    {".", ".", 0},
    {"a:80", "a", 80},
    {"a:", "a", 0},
    {"a:65535", "a", 65535},
    {"a:0", NULL, 0},
    {"[::1]:00", NULL, 0},
    {"a:65536", NULL, 0},
    {"a:000080", NULL, 0},
    {"a:8 0", NULL, 0},
    {"a:b", NULL, 0},
    {"a:80:80", NULL, 0},
    {":80", NULL, 0},
    {"10.0.0.1:8080", "10.0.0.1", 8080},
    {"[::1]", "[::1]", 0},
    {"[2001:DB8::1]:443", "[2001:db8::1]", 443},
    {"[::1", NULL, 0},
    {"[::1]x", NULL, 0},
    {"[]", NULL, 0},
    {"[fe80::1%25eth0]", NULL, 0},
    {"a@b", NULL, 0},
    {"a%41", NULL, 0},
    {"a/b", NULL, 0},
    {"a b", NULL, 0},
    {"a_b-c~d", "a_b-c~d", 0},
};

static void an_authority_is_a_host_and_a_port(void **state)
{
    for (size_t i = 0; i < sizeof authorities / sizeof *authorities; i++) {
        struct target_authority a;
        bool good = target_authority_parse(span(authorities[i].text), &a);
        if (good != (authorities[i].host != NULL))
            fail_msg("%s: %d", authorities[i].text, good);
        if (good && (a.host.length != strlen(authorities[i].host) ||
                     memcmp(a.host.data, authorities[i].host, a.host.length) || a.port != authorities[i].port))
            fail_msg("%s: %.*s %u", authorities[i].text, (int)a.host.length, a.host.data, a.port);
    }
    char host[300];
    struct target_authority a;
    memset(host, 'a', sizeof host);
    assert_true(target_authority_parse((struct mr_span){(uint8_t *)host, TARGET_HOST_MAX}, &a));
    assert_false(target_authority_parse((struct mr_span){(uint8_t *)host, TARGET_HOST_MAX + 1}, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_path_has_one_form),
        cmocka_unit_test(the_normal_form_is_its_own),
        cmocka_unit_test(an_authority_is_a_host_and_a_port),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
