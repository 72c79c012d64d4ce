/* What the configuration makes of a request: routes, fields about the client, sticky cookies, forward proxy, upgrades, PROXY headers, and
 * plans that change meanwhile. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/cmocka.h"
#include "tests/support/proxy_world.h"

#define OK2 "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok"
#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

#define say    proxy_world_say
#define expect proxy_world_expect

static struct mr_stream *backend(unsigned i)
{
    return proxy_world_backend(i);
}

static int stop(void **state)
{
    proxy_world_stop();
    return 0;
}

static void routes_change_path_and_host(void **state)
{
    struct proxy_config *config = proxy_world_config();
    proxy_world_route(config, "/api/*", "app")->strip_prefix = strdup("/api/");
    struct proxy_route_config *r = proxy_world_route(config, "/admin*", "app");
    r->set_host = strdup("inner");
    r->header_count = 1;
    r->header[0] = strdup("X-Key: 1");
    free(config->listeners[0].upstream);
    config->listeners[0].upstream = NULL;
    proxy_world_start(config);
    struct mr_stream *c = proxy_world_client();
    say(c, "GET /api/x/%7Ey HTTP/1.1\r\nHost: a\r\n\r\n");
    expect(backend(0), "GET /x/~y HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(0), OK2);
    fake_output_clear(c);
    say(c, "GET //x/../admin HTTP/1.1\r\nHost: a\r\nx-key: 1\r\n\r\n");
    expect(backend(1), "GET /admin HTTP/1.1\r\nHost: inner\r\nx-key: 1\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(1), OK2);
    fake_output_clear(c);
    say(c, "GET /admin HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy_world_contains(c, "HTTP/1.1 404 Not Found\r\n");
    assert_int_equal(proxy_world.counters[PROXY_SESSION_NO_ROUTE], 1);
    fake_output_clear(c);
    say(c, "GET /api/ HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy_world_contains(backend(0), "GET / HTTP/1.1\r\n");
}

static void backends_are_told_who_the_client_is(void **state)
{
    static const struct {
        bool x, standard, trust;
        const char *sent, *expected;
    } table[] = {
        {true, false, false, "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1\r\n",
         "X-Forwarded-For: 198.18.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a:80\r\n"},
        {true, false, true, "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-For: 2.2.2.2\r\n",
         "X-Forwarded-For: 1.1.1.1, 2.2.2.2, 198.18.0.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: a:80\r\n"},
        {true, false, true, "X-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n",
         "X-Forwarded-For: 198.18.0.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: b\r\n"},
        {false, true, false, "Forwarded: for=1\r\n", "Forwarded: for=198.18.0.1;host=\"a:80\";proto=http\r\n"},
        {false, true, true, "Forwarded: for=\"[::1]\"\r\n",
         "Forwarded: for=\"[::1]\", for=198.18.0.1;host=\"a:80\";proto=http\r\n"},
        {false, false, true, "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1\r\n",
         "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1\r\n"},
        {false, false, false, "X-Forwarded-For: 1.1.1.1\r\nForwarded: for=1\r\n", ""},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct proxy_config *config = proxy_world_config();
        char request[512], expected[512];
        config->x_forwarded = table[i].x;
        config->forwarded = table[i].standard;
        config->trust_forwarded = table[i].trust;
        proxy_world_start(config);
        struct mr_stream *c = proxy_world_client();
        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a:80\r\n%s\r\n", table[i].sent);
        snprintf(expected, sizeof expected, "GET / HTTP/1.1\r\nHost: a:80\r\n%sVia: 1.1 mill\r\n\r\n",
                 table[i].expected);
        say(c, request);
        expect(backend(0), expected);
        proxy_world_stop();
    }
}

static void a_sticky_cookie_leads_back(void **state)
{
    struct proxy_config *config = proxy_world_config();
    config->upstreams[0].sticky_cookie = strdup("MILL");
    proxy_world_start(config);
    struct mr_stream *c = proxy_world_client();
    char cookie[64] = "", request[256];
    say(c, GET);
    say(backend(0), OK2);
    const char *set = strstr(fake_output(c, &(size_t){0}), "Set-Cookie: MILL=");
    assert_non_null(set);
    memcpy(cookie, set + 12, 21);
    assert_non_null(strstr(set, "; Path=/; HttpOnly\r\n"));
    fake_output_clear(c);
    for (int i = 0; i < 3; i++) {
        fake_output_clear(backend(0));
        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; %s; c=d\r\nX: y\r\n\r\n", cookie);
        say(c, request);
        expect(backend(0), "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; c=d\r\nX: y\r\nVia: 1.1 mill\r\n\r\n");
        say(backend(0), OK2);
        proxy_world_lacks(c, "Set-Cookie");
        fake_output_clear(c);
    }
    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\nCookie: %s\r\n\r\n", cookie);
    say(c, request);
    expect(backend(0), "GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 mill\r\n\r\n");
    say(backend(0), OK2);
    say(c, "GET / HTTP/1.1\r\nHost: a\r\nCookie: MILL=0123456789abcdef\r\n\r\n");
    say(backend(fake_connect_count(proxy_world.worker) - 1), OK2);
    proxy_world_contains(c, "Set-Cookie: MILL=");
}

static void what_is_hashed_leads_to_one_backend(void **state)
{
    /* The same client, path, field or cookie goes to the same of many backends; others are spread. */
    static const struct {
        const char *hash, *same[2], *other;
    } table[] = {
        {"source", {"GET /1 HTTP/1.1\r\nHost: a\r\n\r\n", "GET /2 HTTP/1.1\r\nHost: b\r\n\r\n"}, NULL},
        {"path",
         {"GET /1?x HTTP/1.1\r\nHost: a\r\n\r\n", "GET /./1?y HTTP/1.1\r\nHost: b\r\n\r\n"},
         "GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"header X-Key",
         {"GET / HTTP/1.1\r\nHost: a\r\nX-Key: 7\r\n\r\n", "GET /2 HTTP/1.1\r\nHost: a\r\nx-key:7 \r\n\r\n"},
         "GET / HTTP/1.1\r\nHost: a\r\nX-Key: %d\r\n\r\n"},
        {"cookie k",
         {"GET / HTTP/1.1\r\nHost: a\r\nCookie: a=b; k=7\r\n\r\n",
          "GET / HTTP/1.1\r\nHost: a\r\nCookie: k=7;k=8\r\n\r\n"},
         "GET / HTTP/1.1\r\nHost: a\r\nCookie: k=%d\r\n\r\n"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct proxy_config *config = proxy_world_config();
        char request[256];
        config->upstreams[0].balance = BALANCE_MAGLEV;
        config->upstreams[0].hash = strdup(table[i].hash);
        proxy_world_start(config);
        struct mr_stream *c = proxy_world_client();
        for (int k = 0; k < 6; k++) {
            say(c, table[i].same[k % 2]);
            say(backend(0), OK2);
        }
        assert_int_equal(fake_connect_count(proxy_world.worker), 1);
        for (int k = 0; table[i].other && k < 20 && fake_connect_count(proxy_world.worker) == 1; k++) {
            snprintf(request, sizeof request, table[i].other, k);
            say(c, request);
            say(backend(fake_connect_count(proxy_world.worker) - 1), OK2);
        }
        assert_int_equal(fake_connect_count(proxy_world.worker), table[i].other ? 2 : 1);
        proxy_world_stop();
    }
}

static void an_upgrade_becomes_a_tunnel(void **state)
{
    proxy_world_start(proxy_world_config());
    struct mr_stream *c = proxy_world_client();
    say(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n\x81hello");
    proxy_world_contains(backend(0), "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    fake_output_clear(backend(0));
    say(backend(0), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Accept: x\r\n\r\nearly");
    expect(
        c,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n"
        "Via: 1.1 mill\r\n\r\nearly");
    expect(backend(0), "\x81hello");
    say(c, "more");
    expect(backend(0), "more");
    fake_end(c);
    proxy_world_settle();
    assert_true(fake_shutdown_seen(backend(0)));
    say(backend(0), "last");
    expect(c, "last");
    fake_end(backend(0));
    proxy_world_settle();
    assert_true(fake_closed(c));
    assert_int_equal(proxy_world.proxy->sessions->open, 0);
    /* a 101 that nobody asked for is nonsense; an upgrade that is refused is an answer like others */
    c = proxy_world_client();
    say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    say(backend(1), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n");
    proxy_world_contains(c, "HTTP/1.1 502 ");
    c = proxy_world_client();
    say(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    say(backend(2), OK2);
    proxy_world_contains(c, "HTTP/1.1 200 OK");
}

static void a_tunnel_is_cut_when_its_backend_drains(void **state)
{
    proxy_world_start(proxy_world_config());
    struct mr_stream *c = proxy_world_client();
    say(c, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n");
    say(backend(0), "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    uint32_t slot = proxy_world.proxy->sessions->sessions[0].request.slot;
    session_cut(proxy_world.proxy, slot); /* the plan is still the current one */
    proxy_world_settle();
    assert_false(fake_closed(c));
    proxy_world_apply(proxy_world_config());
    session_cut(proxy_world.proxy, slot + 1);
    proxy_world_settle();
    assert_false(fake_closed(c));
    session_cut(proxy_world.proxy, slot);
    proxy_world_settle();
    assert_true(fake_aborted(c));
    assert_true(fake_aborted(backend(0)));
}

static struct proxy_config *forward_config(void)
{
    struct proxy_config *c = proxy_world_config();
    c->listeners[0].mode = PROXY_FORWARD;
    free(c->listeners[0].upstream);
    c->listeners[0].upstream = NULL;
    c->forward.host_count = 1;
    c->forward.hosts = calloc(1, sizeof *c->forward.hosts);
    c->forward.hosts[0] = (struct proxy_host_config){strdup("known.example"), mr_address_ip4(0x0a000001)};
    c->forward.rule_count = 2;
    c->forward.rules = calloc(2, sizeof *c->forward.rules);
    c->forward.rules[0] = (struct proxy_rule_config){false, {mr_address_ip4(0x0a00ff00), 24}, 1, 65535};
    c->forward.rules[1] = (struct proxy_rule_config){true, {mr_address_ip4(0x0a000000), 8}, 80, 8080};
    return c;
}

static void forward_requests_obey_the_rules(void **state)
{
    static const struct {
        const char *request;
        int status; /* 0: it is connected to `to` */
        const char *to;
    } table[] = {
        {"GET http://10.0.0.1/x HTTP/1.1\r\nHost: q\r\n\r\n", 0, "10.0.0.1:80"},
        {"GET http://10.0.0.1:8080/x HTTP/1.1\r\nHost: q\r\n\r\n", 0, "10.0.0.1:8080"},
        {"GET http://Known.Example/x HTTP/1.1\r\nHost: q\r\n\r\n", 0, "10.0.0.1:80"},
        {"GET http://10.0.0.1:8081/x HTTP/1.1\r\nHost: q\r\n\r\n", 403, NULL},
        {"GET http://10.0.255.1/x HTTP/1.1\r\nHost: q\r\n\r\n", 403, NULL},
        {"GET http://11.0.0.1/x HTTP/1.1\r\nHost: q\r\n\r\n", 403, NULL},
        {"GET http://[::1]/x HTTP/1.1\r\nHost: q\r\n\r\n", 403, NULL},
        {"GET http://[::ffff:10.0.0.1]/x HTTP/1.1\r\nHost: q\r\n\r\n", 502, NULL},
        {"GET http://unknown.example/x HTTP/1.1\r\nHost: q\r\n\r\n", 502, NULL},
        {"GET /x HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n", 400, NULL},
        {"GET https://10.0.0.1/x HTTP/1.1\r\nHost: q\r\n\r\n", 501, NULL},
        {"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: q\r\n\r\n", 0, "10.0.0.1:443"},
        {"CONNECT known.example:443 HTTP/1.1\r\nHost: q\r\n\r\n", 0, "10.0.0.1:443"},
        {"CONNECT 10.0.0.1:22 HTTP/1.1\r\nHost: q\r\n\r\n", 403, NULL},
        {"CONNECT 10.0.0.1 HTTP/1.1\r\nHost: q\r\n\r\n", 400, NULL},
        {"CONNECT 10.0.255.1:443 HTTP/1.1\r\nHost: q\r\n\r\n", 403, NULL},
        {"CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: q\r\nContent-Length: 3\r\n\r\n", 400, NULL},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        char status[32], to[MR_ENDPOINT_TEXT_MAX] = "";
        proxy_world_start(forward_config());
        fake_connect_automatic(proxy_world.worker, false);
        struct mr_stream *c = proxy_world_client();
        say(c, table[i].request);
        if (fake_connect_count(proxy_world.worker)) {
            struct mr_endpoint remote;
            mr_stream_remote(backend(0), &remote);
            mr_endpoint_text(&remote, to);
        }
        if (table[i].status) {
            snprintf(status, sizeof status, "HTTP/1.1 %d ", table[i].status);
            proxy_world_contains(c, status);
        }
        if (strcmp(to, table[i].to ? table[i].to : ""))
            fail_msg("%s went to %s", table[i].request, to);
        proxy_world_stop();
    }
}

static void a_forward_request_is_written_for_its_origin(void **state)
{
    proxy_world_start(forward_config());
    struct mr_stream *c = proxy_world_client();
    say(c, "GET http://10.0.0.1/x?y HTTP/1.1\r\nHost: q\r\nProxy-Authorization: secret\r\nProxy-Connection: "
           "keep-alive\r\n\r\n");
    expect(backend(0), "GET /x?y HTTP/1.1\r\nHost: 10.0.0.1\r\nVia: 1.1 mill\r\nConnection: close\r\n\r\n");
    say(backend(0), OK2);
    expect(c, "HTTP/1.1 200 OK\r\nDate: x\r\nVia: 1.1 mill\r\nContent-Length: 2\r\n\r\nok");
    assert_true(fake_closed(backend(0)));
    say(c, "POST http://known.example/ HTTP/1.1\r\nHost: q\r\nContent-Length: 3\r\n\r\nabc");
    expect(
        backend(1),
        "POST / HTTP/1.1\r\nHost: known.example\r\nVia: 1.1 mill\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
    fake_reset(backend(1));
    proxy_world_settle();
    proxy_world_contains(c, "HTTP/1.1 502 ");
    fake_output_clear(c);
    fake_connect_automatic(proxy_world.worker, false);
    say(c, "GET http://10.0.0.1/ HTTP/1.1\r\nHost: q\r\n\r\n");
    fake_lose(backend(2), MR_CLOSE_REFUSED);
    proxy_world_settle();
    proxy_world_contains(c, "HTTP/1.1 502 ");
    fake_output_clear(c);
    say(c, "GET http://10.0.0.1/ HTTP/1.1\r\nHost: q\r\n\r\n");
    fake_pass(proxy_world.worker, 6 * MR_SECOND);
    proxy_world_contains(c, "HTTP/1.1 504 ");
}

static void connect_makes_a_tunnel(void **state)
{
    proxy_world_start(forward_config());
    struct mr_stream *c = proxy_world_client();
    say(c, "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: q\r\n\r\nearly");
    expect(c, "HTTP/1.1 200 Connection established\r\n\r\n");
    expect(backend(0), "early");
    say(backend(0), "hello");
    expect(c, "hello");
    fake_end(backend(0));
    proxy_world_settle();
    assert_true(fake_shutdown_seen(c));
    say(c, "still");
    expect(backend(0), "still");
    fake_end(c);
    proxy_world_settle();
    assert_true(fake_closed(c));
    assert_int_equal(fake_close_reason(c), MR_CLOSE_DONE);
    assert_true(fake_closed(backend(0)));
    assert_false(fake_reset_seen(backend(0)));
    c = proxy_world_client();
    say(c, "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: q\r\n\r\n");
    fake_reset(backend(1));
    proxy_world_settle();
    assert_true(fake_aborted(c));
    c = proxy_world_client();
    say(c, "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: q\r\n\r\n");
    fake_reset(c);
    proxy_world_settle();
    assert_true(fake_aborted(backend(2)));
    c = proxy_world_client();
    say(c, "CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: q\r\n\r\n");
    fake_pass(proxy_world.worker, 21 * MR_SECOND);
    assert_true(fake_aborted(c));
    assert_true(fake_aborted(backend(3)));
}

static void a_proxy_header_says_who_the_client_is(void **state)
{
    struct proxy_config *config = proxy_world_config();
    config->listeners[0].proxy_protocol = true;
    config->x_forwarded = true;
    proxy_world_start(config);
    struct mr_stream *c = proxy_world_client();
    say(c, "PROXY TCP4 192.0.2.7 ");
    say(c, "192.0.2.8 1000 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    proxy_world_contains(backend(0), "X-Forwarded-For: 192.0.2.7\r\n");
    static const char slow[] = "PROXY TCP4 192.0.2.9 192.0.2.8 1000 80\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    c = proxy_world_client();
    for (size_t i = 0; i < sizeof slow - 1; i++) {
        fake_input(c, slow + i, 1);
        proxy_world_settle();
    }
    proxy_world_contains(backend(1), "X-Forwarded-For: 192.0.2.9\r\n");
    c = proxy_world_client();
    say(c, GET);
    assert_true(fake_aborted(c));
    expect(c, "");
    c = proxy_world_client();
    fake_pass(proxy_world.worker, 6 * MR_SECOND);
    assert_true(fake_aborted(c));
}

static void sessions_outlive_the_plan_they_began_with(void **state)
{
    proxy_world_start(proxy_world_config());
    struct mr_stream *c = proxy_world_client(), *d = proxy_world_client();
    say(c, GET);
    say(d, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc");
    for (int i = 0; i < 10; i++)
        proxy_world_apply(proxy_world_config());
    say(backend(0), OK2);
    proxy_world_contains(c, "200 OK");
    say(c, GET);
    proxy_world_settle();
    struct proxy_config *other = proxy_world_config();
    free(other->listeners[0].name);
    other->listeners[0].name = strdup("other");
    other->listeners[0].listen.port = 81;
    proxy_world_apply(other);
    say(backend(1), "HTTP/1.1 200 OK\r\nDate: x\r\nContent-Length: 2\r\n\r\nok");
    proxy_world_contains(d, "Connection: close\r\n"); /* its listener is gone */
    assert_true(fake_shutdown_seen(d));
    fake_pass(proxy_world.worker, 31 * MR_SECOND);
    assert_true(fake_closed(c));
}

static void an_idle_client_of_a_removed_listener_is_let_go_without_an_answer(void **state)
{
    proxy_world_start(proxy_world_config());
    struct mr_stream *c = proxy_world_client();
    say(c, GET);
    say(backend(0), OK2);
    fake_output_clear(c);
    struct proxy_config *other = proxy_world_config();
    free(other->listeners[0].name);
    other->listeners[0].name = strdup("other");
    other->listeners[0].listen.port = 81;
    proxy_world_apply(other);
    say(c, GET);
    expect(c, "");
    assert_true(fake_shutdown_seen(c));
}

#define through(name) cmocka_unit_test_teardown(name, stop)
int main(void)
{
    const struct CMUnitTest tests[] = {
        through(routes_change_path_and_host),
        cmocka_unit_test(backends_are_told_who_the_client_is),
        through(a_sticky_cookie_leads_back),
        cmocka_unit_test(what_is_hashed_leads_to_one_backend),
        through(an_upgrade_becomes_a_tunnel),
        through(a_tunnel_is_cut_when_its_backend_drains),
        cmocka_unit_test(forward_requests_obey_the_rules),
        through(a_forward_request_is_written_for_its_origin),
        through(connect_makes_a_tunnel),
        through(a_proxy_header_says_who_the_client_is),
        through(sessions_outlive_the_plan_they_began_with),
        through(an_idle_client_of_a_removed_listener_is_let_go_without_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
