/* Requests that servers read in different ways, sent through the proxy to a backend that records what it gets: see
 * tests/support/proxy_smuggling.def. Whole, byte by byte, and in pieces of seven. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka.h"
#include "tests/support/proxy_world.h"

static const struct smuggling_case {
    const char *sent;
    size_t length;
    const char *backend;
    int status;
    const char *reason;
} cases[] = {
#define SMUGGLE(sent, backend, status, reason) {sent, sizeof sent - 1, backend, status, reason},
#include "tests/support/proxy_smuggling.def"
#undef SMUGGLE
};

/* The line Via is not what this is about. */
static void via_remove(char *text)
{
    char *via = strstr(text, "Via: "), *end = via ? strstr(via, "\r\n") : NULL;
    if (end)
        memmove(via, end + 2, strlen(end + 2) + 1);
}

/* What all connections to the backends got, without the framing of chunks that depends on how they came. */
static void recorded(char *out, size_t room)
{
    size_t used = 0;
    out[0] = 0;
    for (unsigned i = 0; i < fake_connect_count(proxy_world.worker); i++) {
        size_t n;
        const char *sent = fake_output(proxy_world_backend(i), &n);
        assert_true(used + n < room);
        memcpy(out + used, sent, n + 1);
        used += n;
    }
    via_remove(out);
}

/* A request whose body turns out malformed may have begun to reach the backend: what it got must then not be whole. */
static bool incomplete(const char *got)
{
    return strstr(got, "chunked\r\n\r\n") && !strstr(got, "0\r\n\r\n") && fake_aborted(proxy_world_backend(0));
}

static void run(const struct smuggling_case *c, size_t piece)
{
    char got[4096], expected[16];
    size_t n;
    proxy_world_start(proxy_world_config());
    struct mr_stream *client = proxy_world_client();
    for (size_t at = 0; at < c->length && !fake_closed(client); at += piece) {
        fake_input(client, c->sent + at, c->length - at < piece ? c->length - at : piece);
        proxy_world_settle();
    }
    recorded(got, sizeof got);
    const char *answer = fake_output(client, &n);
    snprintf(expected, sizeof expected, "HTTP/1.1 %d", c->status);
    if (c->backend && strcmp(got, c->backend))
        fail_msg("%s, pieces of %zu: the backend got\n%s", c->reason, piece, got);
    if (!c->backend && *got && !incomplete(got))
        fail_msg("%s, pieces of %zu: the backend got something\n%s", c->reason, piece, got);
    if (c->status ? strncmp(answer, expected, strlen(expected)) != 0 : n != 0)
        fail_msg("%s, pieces of %zu: the client got\n%s", c->reason, piece, answer);
    proxy_world_stop();
}

static void whole(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run(&cases[i], 4096);
}

static void byte_by_byte(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (!strstr(cases[i].sent, "\r\n1\r\na")) /* chunks leave as they came */
            run(&cases[i], 1);
}

static void in_pieces_of_seven(void **state)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        run(&cases[i], 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(byte_by_byte),
        cmocka_unit_test(in_pieces_of_seven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
