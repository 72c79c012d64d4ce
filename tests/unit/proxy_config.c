/* The configuration of the proxy: what presets make of little, and what is refused, with the name of the item. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_tree.h"
#include "tests/support/proxy_words.h"

#define APP   "add upstream app\nadd backend app 10.0.0.1:80\n"
#define FRONT "add listener front :8080 upstream app\n"

static bool check(const char *lines, char message[800], struct proxy_config *config)
{
    return proxy_words_config(config, lines, message, 800) && proxy_config_check(config, message, 800);
}

static void little_is_enough(void **state)
{
    struct proxy_config config;
    char message[800] = "";
    if (!check("add listeners listen :8080 upstream app\n" APP, message, &config))
        fail_msg("%s", message);
    assert_null(config.listeners[0].name);
    assert_true(proxy_config_fill(&config));
    const struct proxy_upstream_config *u = &config.upstreams[0];
    assert_string_equal(config.listeners[0].name, ":8080");
    assert_true(config.listeners[0].idle_timeout == 75 * MR_SECOND);
    assert_string_equal(u->backends[0].name, "10.0.0.1:80");
    assert_int_equal(u->backends[0].weight, 1);
    assert_int_equal(u->balance, BALANCE_WEIGHTED);
    assert_int_equal(u->health.type, HEALTH_OFF);
    assert_int_equal(u->retries, 2);
    assert_int_equal(config.forward.connect_port_count, 1);
    assert_int_equal(config.forward.connect_ports[0], 443);
    assert_true(config.x_forwarded && !config.forwarded && !config.trust_forwarded);
    assert_true(proxy_config_fill(&config)); /* again does nothing */
    assert_true(proxy_config_check(&config, message, sizeof message));
    config_tree_free(proxy_keys, &config);
}

static void routes_without_a_name_get_one_that_says_what_they_take(void **state)
{
    struct proxy_config config;
    char message[800] = "";
    if (!check(APP FRONT "add routes host a.example path /x/ upstream app\n"
                         "add routes host a.example path /x/ method GET upstream app\n"
                         "add routes upstream app\n",
               message, &config))
        fail_msg("%s", message);
    assert_true(proxy_config_fill(&config));
    assert_string_equal(config.routes[0].name, "a.example/x/");
    assert_string_equal(config.routes[1].name, "a.example/x/#2");
    assert_string_equal(config.routes[2].name, "*/*");
    assert_true(proxy_config_check(&config, message, sizeof message));
    config_tree_free(proxy_keys, &config);
}

static const struct {
    const char *lines, *part; /* of the message */
} refused[] = {
    {APP, "no listeners"},
    {APP "add listener a :8080 upstream nobody\n", "listener 'a': there is no upstream 'nobody'"},
    {APP "add listener a :8080 mode tcp\n", "listener 'a' in mode tcp: expected `upstream`"},
    {APP "add listener a :8080 mode udp\n", "listener 'a' in mode udp: expected `upstream`"},
    {APP "add listener a :8080 mode forward upstream app\n", "listener 'a' in mode forward has an upstream"},
    {APP "add listener a :0 upstream app\n", "listener 'a': expected a port"},
    {APP FRONT "add listener b 10.0.0.1:8080\n", "listener 'b' has the port of listener 'front'"},
    {APP FRONT "add listeners name front listen :9090\n", "listener 'front' stands twice"},
    {APP FRONT "add listeners name 'fr ont' listen :9090\n", "expected a name of 1 to 128 characters"},
    {FRONT "add upstream app\nadd backend app 10.0.0.1:0\n",
     "backend '10.0.0.1:0' of upstream 'app': expected an address"},
    {FRONT "add upstream app\nadd backend app :80 name x\n", "backend 'x' of upstream 'app': expected an address"},
    {FRONT APP "add upstreams.app.backends address 10.0.0.1:80\n",
     "backend '10.0.0.1:80' of upstream 'app' stands twice"},
    {FRONT APP "add upstreams name app\n", "upstream 'app' stands twice"},
    {FRONT "add upstream app\nadd backend app 10.0.0.1:80 weight 0\n", "every backend has weight 0"},
    {FRONT APP "set upstream app balance maglev hash cookies\n", "hash 'cookies': expected source, path"},
    {FRONT APP "set upstream app balance maglev hash 'header a b'\n", "hash 'header a b'"},
    {FRONT APP "set upstream app hash source\n", "hash is for `balance: maglev`"},
    {FRONT APP "set upstream app sticky_cookie 'a;b'\n", "sticky_cookie 'a;b' cannot name a cookie"},
    {FRONT APP "set upstream app health.type http health.path x\n", "health path 'x'"},
    {FRONT APP "set upstream app health.type http health.status_minimum 500\n", "status_minimum is greater"},
    {FRONT APP "set upstreams.app.sources 0.0.0.0\n", "sources: expected addresses of ours"},
    {FRONT APP "add route r upstream nobody\n", "route 'r': there is no upstream 'nobody'"},
    {FRONT APP "add route r upstream app listener nobody\n", "route 'r': there is no listener 'nobody'"},
    {FRONT APP "add listener t :9090 mode tcp upstream app\nadd route r upstream app listener t\n",
     "is not in mode http"},
    {FRONT APP "add route r upstream app path x\n", "route 'r': path 'x'"},
    {FRONT APP "add route r upstream app host 'a b'\n", "route 'r': host 'a b'"},
    {FRONT APP "add route r upstream app header 'a b: c'\n", "route 'r': "},
    {FRONT APP "add route r upstream app method 'GE T'\n", "method 'GE T' can be none"},
    {FRONT APP "add route r upstream app strip_prefix x\n", "strip_prefix 'x'"},
    {FRONT APP "add route r upstream app set_host 'a b'\n", "set_host 'a b'"},
    {FRONT APP "add routes name r upstream app\nadd routes name r upstream app\n", "route 'r' stands twice"},
    {FRONT APP "add forward.rules allow true destination 10.0.0.0/8 port_first 10 port_last 9\n", "forward: rule 1"},
    {FRONT APP "add forward.hosts name a address 10.0.0.1\nadd forward.hosts name b address 10.0.0.1\n"
               "set forward.hosts[1].name a\n",
     "forward: host 'a' stands twice"},
    {FRONT APP "set cache.policy oldest\n", "policy 'oldest'"},
    {FRONT APP "set cache.bytes 1000\n", "object_bytes_max is larger than bytes"},
    {FRONT APP "set limits.line_bytes 32KiB\n", "line_bytes is larger than header_bytes"},
    {FRONT APP "set limits.backends 1\nadd backend app 10.0.0.2:80\n", "2 backends, but limits.backends is 1"},
    {FRONT APP "set limits.upstreams 1\nadd upstream b\n", "2 upstreams, but limits.upstreams is 1"},
    {FRONT APP "set via 'a b'\n", "via: 'a b'"},
};

static void each_fault_is_named(void **state)
{
    for (unsigned i = 0; i < sizeof refused / sizeof *refused; i++) {
        struct proxy_config config;
        const void *value = NULL;
        char message[800] = "";
        if (!proxy_words_config(&config, refused[i].lines, message, sizeof message))
            fail_msg("%s\n%s", refused[i].lines, message);
        if (proxy_config_check_value(&config, &value, message, sizeof message) || !strstr(message, refused[i].part))
            fail_msg("%s\nexpected: %s\n     got: %s", refused[i].lines, refused[i].part, message);
        assert_non_null(value);
        config_tree_free(proxy_keys, &config);
    }
}

/* A value that is wrong for its key is refused before. */
static void keys_have_bounds(void **state)
{
    static const char *const lines[] = {
        "set limits.header_count 101\n",
        "set limits.sessions 0\n",
        "set upstream app retries 9\n",
        "set upstream app balance most\n",
        "set upstream app connect_timeout 0s\n",
        "set drain_timeout 25h\n",
        "set upstreams.app.backends[0].weight 65536\n",
    };
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct proxy_config config;
        char message[800] = "", text[256];
        snprintf(text, sizeof text, APP "%s", lines[i]);
        if (proxy_words_config(&config, text, message, sizeof message))
            fail_msg("%s is taken", lines[i]);
        assert_true(message[0]);
        config_tree_free(proxy_keys, &config);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(little_is_enough),
        cmocka_unit_test(routes_without_a_name_get_one_that_says_what_they_take),
        cmocka_unit_test(each_fault_is_named),
        cmocka_unit_test(keys_have_bounds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
