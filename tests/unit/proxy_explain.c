/* What `explain` says: each case a request, and what must stand in the answer. That it is what really happens is shown by tests/system/proxy_control.py. */
#include "tests/support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/proxy_words.h"

static const char lines[] =
    "add upstream app balance round_robin\n"
    "add backend app 10.0.0.1:80 name a1\n"
    "add backend app 10.0.0.2:80 name a2\n"
    "add upstream one\n"
    "add backend one 10.0.1.1:80 name o1\n"
    "add backend one 10.0.1.2:80 name o2 state disabled\n"
    "add upstream sticky sticky_cookie srv\n"
    "add backend sticky 10.0.2.1:80 name s1\n"
    "add backend sticky 10.0.2.2:80 name s2 state drain\n"
    "add upstream none\n"
    "add backend none 10.0.3.1:80 name n1 state drain\n"
    "add listener web 198.18.0.2:80 upstream one\n"
    "add listener way 198.18.0.2:3128 mode forward\n"
    "add listener raw 198.18.0.2:5000 mode tcp upstream one\n"
    "add route api host api.example path /v1/ method GET upstream app strip_prefix /v1 set_host inner\n"
    "add route post host api.example method POST upstream none\n"
    "add route flag header 'X-Flag: on' upstream sticky\n";

static const struct explain_case {
    const char *line, *parts[5];
} cases[] = {
    {"explain GET http://api.example/v1/a?b=c",
     {"\"listener\":\"web at 198.18.0.2:80, http\"", "{\"route\":\"api\",\"verdict\":\"taken\"}",
      "\"request\":[\"GET /a?b=c HTTP/1.1\",\"Host: inner\",\"X-Forwarded-For: 192.0.2.1\"",
      "round_robin chooses anew for each among the 2 that are fit", "\"upstream\":\"app\""}},
    {"explain GET http://API.Example:80/v1/../v1/%61",
     {"\"host\":\"api.example\"", "\"path\":\"/v1/a\"", "\"GET /a HTTP/1.1\""}},
    {"explain POST http://api.example/v1/",
     {"\"verdict\":\"another method (it wants GET)\"", "{\"route\":\"post\",\"verdict\":\"taken\"}",
      "no backend is fit: it is answered 503"}},
    {"explain GET http://other.example/",
     {"\"verdict\":\"another host (it wants api.example)\"", "\"taken\":\"(the listener's own upstream)\"",
      "\"backend\":\"o1\"", "it is the only one that is fit",
      "\"backend\":\"o2\",\"address\":\"10.0.1.2:80\",\"state\":\"disabled\""}},
    {"explain GET / header 'Host: api.example'", {"another path (it wants /v1/)", "\"Host: api.example\""}},
    {"explain GET / header 'X-Flag: on' from 10.9.9.9",
     {"{\"route\":\"flag\",\"verdict\":\"taken\"}", "\"X-Forwarded-For: 10.9.9.9\"", "\"X-Flag: on\"",
      "\"backend\":\"s1\""}},
    {"explain GET http://a/ listener raw", {"\"listener\":\"raw at 198.18.0.2:5000, tcp\"", "\"backend\":\"o1\""}},
    {"explain GET http://a:3128/ listener way", {"\"forward\":"}},
    {"explain GET http://a/%2f", {"\"answered\":\"400"}},
    {"explain GET http://a/ header 'X Y: 1'", {"\"answered\":\"400"}},
    {"explain GET http://a/ header 'Transfer-Encoding: gzip'", {"\"answered\":\"501"}},
};

static const struct explain_case bad_cases[] = {
    {"explain GET", {"expected: explain METHOD URL"}},
    {"explain GET https://a/", {"expected http://HOST/PATH or /PATH"}},
    {"explain GET a", {"expected http://HOST/PATH or /PATH"}},
    {"explain GET http://a/ from here", {"from is 'here', expected an address"}},
    {"explain GET http://a/ listener none", {"there is no listener 'none'"}},
    {"explain GET http://a/ header", {"'header' has no value"}},
    {"explain GET http://a/ colour red", {"there is no option 'colour'"}},
    {"explain GET http://a:81/", {"no http listener is at port 81: name the one that is meant, of web, way"}},
    {"explain GET / listener way", {"expected http://HOST/PATH"}},
    {"explain GET / header 'A: b\r\nC: d'", {"a control character"}},
};

static void run(const struct explain_case *c, bool good, unsigned count)
{
    struct proxy_words w;
    proxy_words_start(&w, 2, lines);
    for (unsigned i = 0; i < count; i++) {
        bool done = proxy_words_say(&w, c[i].line);
        for (unsigned k = 0; k < 5 && c[i].parts[k]; k++)
            if (done != good || !strstr(w.said, c[i].parts[k]))
                fail_msg("'%s' is answered '%s', expected '%s'", c[i].line, w.said, c[i].parts[k]);
    }
    proxy_words_stop(&w, 0);
}

static void each_request_is_explained(void **state)
{
    run(cases, true, sizeof cases / sizeof *cases);
}

static void what_cannot_be_explained_is_refused(void **state)
{
    run(bad_cases, false, sizeof bad_cases / sizeof *bad_cases);
}

static void a_cookie_names_even_a_backend_that_drains(void **state)
{
    struct proxy_words w;
    char line[200];
    proxy_words_start(&w, 1, lines);
    snprintf(line, sizeof line, "explain GET / header 'X-Flag: on' header 'Cookie: a=b; srv=%s'",
             proxy_words_backend(&w, "sticky", "s2")->sticky);
    assert_true(proxy_words_say(&w, line));
    assert_non_null(strstr(w.said, "\"backend\":\"s2\",\"why\":\"the cookie srv names it\""));
    assert_non_null(strstr(w.said, "\"Cookie: a=b\"")); /* ours is not the backend's */
    proxy_words_stop(&w, 0);
}

/* The same keys and members make the same choice: nothing in it is drawn. */
static void maglev_is_asked_with_the_hash_of_the_server(void **state)
{
    struct proxy_words w;
    char line[100], first[200] = "";
    unsigned others = 0;
    proxy_words_start(&w, 1,
                      "add upstream app balance maglev hash path\nadd backend app 10.0.0.1:80 name a1\n"
                      "add backend app 10.0.0.2:80 name a2\nadd listener web :80 upstream app\n");
    for (unsigned i = 0; i < 40; i++) {
        snprintf(line, sizeof line, "explain GET /%u", i);
        assert_true(proxy_words_say(&w, line));
        const char *chosen = strstr(w.said, "\"backend\":\"a1\",\"why\"") ? "a1" : "a2";
        if (!strstr(w.said, "maglev leads the hash of path there"))
            fail_msg("%s", w.said);
        if (i == 0)
            strcpy(first, chosen);
        others += strcmp(first, chosen) != 0;
    }
    assert_in_range(others, 5, 35);
    proxy_words_stop(&w, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_request_is_explained),
        cmocka_unit_test(what_cannot_be_explained_is_refused),
        cmocka_unit_test(a_cookie_names_even_a_backend_that_drains),
        cmocka_unit_test(maglev_is_asked_with_the_hash_of_the_server),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
