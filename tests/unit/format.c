/* What people and Prometheus read, letter for letter. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include <ctype.h>

#include "stack/core/stat.h"
#include "tools/millrace/format.h"

static const char statistics[] =
    "{\"ok\": true, \"workers\": 2, \"counters\": ["
    "{\"area\": \"tcp\", \"name\": \"accepted\", \"sentence\": \"connections accepted\", \"values\": [3, 4]},"
    "{\"area\": \"tcp\", \"name\": \"paws\", \"sentence\": \"old \\\\ timestamp\\nhere\", \"values\": [0, 0]},"
    "{\"area\": \"link\", \"name\": \"rx_packets\", \"sentence\": \"frames\", \"of\": \"mr0\", \"values\": [10, 0]},"
    "{\"area\": \"link\", \"name\": \"rx_bytes\", \"sentence\": \"bytes\", \"of\": \"mr0\", \"values\": [640, 0]},"
    "{\"area\": \"link\", \"name\": \"rx_packets\", \"sentence\": \"frames\", \"of\": \"m\\\"1\", \"values\": [1, 2]},"
    "{\"area\": \"http-x\", \"name\": \"requests\", \"sentence\": \"requests\", \"of\": \"0\", \"values\": [5, 6]}]}";

static char *text;
static size_t text_bytes;

static FILE *begin(void)
{
    free(text);
    return open_memstream(&text, &text_bytes);
}

static json_t *parsed(const char *json)
{
    json_t *v = json_loads(json, 0, NULL);
    assert_non_null(v);
    return v;
}

static void stat_shows_sums_and_a_column_for_each_worker(void **state)
{
    json_t *answer = parsed(statistics);
    FILE *f = begin();
    format_stat(answer, NULL, 0, &(struct format_stat_options){NULL, false}, f);
    fclose(f);
    assert_string_equal(
        text, "tcp.accepted                                7            3            4  connections accepted\n"
              "link[mr0].rx_packets                       10           10            0  frames\n"
              "link[mr0].rx_bytes                        640          640            0  bytes\n"
              "link[m\"1].rx_packets                        3            1            2  frames\n"
              "http-x[0].requests                         11            5            6  requests\n");
    f = begin();
    format_stat(answer, NULL, 0, &(struct format_stat_options){"tcp", true}, f);
    fclose(f);
    assert_string_equal(
        text, "tcp.accepted                                7            3            4  connections accepted\n"
              "tcp.paws                                    0            0            0  old \\ timestamp\nhere\n");
    json_decref(answer);
}

static void stat_watched_shows_what_moved_and_its_rate(void **state)
{
    json_t *before = parsed(statistics), *now = parsed(statistics);
    json_t *values = json_object_get(json_array_get(json_object_get(now, "counters"), 4), "values");
    json_array_set_new(values, 0, json_integer(21));
    FILE *f = begin();
    format_stat(now, before, 4, &(struct format_stat_options){NULL, false}, f);
    fclose(f);
    assert_string_equal(
        text, "link[m\"1].rx_packets                       23           21            2          5.0/s  frames\n");
    json_decref(before);
    json_decref(now);
}

static void prometheus_groups_metrics_and_escapes_text(void **state)
{
    json_t *answer = parsed(statistics);
    FILE *f = begin();
    format_prometheus(answer, f);
    fclose(f);
    assert_string_equal(text, "# HELP millrace_tcp_accepted_total connections accepted\n"
                              "# TYPE millrace_tcp_accepted_total counter\n"
                              "millrace_tcp_accepted_total{worker=\"0\"} 3\n"
                              "millrace_tcp_accepted_total{worker=\"1\"} 4\n"
                              "# HELP millrace_tcp_paws_total old \\\\ timestamp\\nhere\n"
                              "# TYPE millrace_tcp_paws_total counter\n"
                              "millrace_tcp_paws_total{worker=\"0\"} 0\n"
                              "millrace_tcp_paws_total{worker=\"1\"} 0\n"
                              "# HELP millrace_link_rx_packets_total frames\n"
                              "# TYPE millrace_link_rx_packets_total counter\n"
                              "millrace_link_rx_packets_total{worker=\"0\",interface=\"mr0\"} 10\n"
                              "millrace_link_rx_packets_total{worker=\"1\",interface=\"mr0\"} 0\n"
                              "millrace_link_rx_packets_total{worker=\"0\",interface=\"m\\\"1\"} 1\n"
                              "millrace_link_rx_packets_total{worker=\"1\",interface=\"m\\\"1\"} 2\n"
                              "# HELP millrace_link_rx_bytes_total bytes\n"
                              "# TYPE millrace_link_rx_bytes_total counter\n"
                              "millrace_link_rx_bytes_total{worker=\"0\",interface=\"mr0\"} 640\n"
                              "millrace_link_rx_bytes_total{worker=\"1\",interface=\"mr0\"} 0\n"
                              "# HELP millrace_http_x_requests_total requests\n"
                              "# TYPE millrace_http_x_requests_total counter\n"
                              "millrace_http_x_requests_total{worker=\"0\",instance=\"0\"} 5\n"
                              "millrace_http_x_requests_total{worker=\"1\",instance=\"0\"} 6\n");
    json_decref(answer);
}

/* Gauges have no rate and no `_total`; ratios stand behind the second of their rows, of what moved when it is watched. */
static void gauges_and_ratios_are_shown_as_what_they_are(void **state)
{
    static const char cache[] =
        "{\"counters\": ["
        "{\"area\": \"cache\", \"name\": \"hits\", \"sentence\": \"found\", \"of\": \"0\", \"values\": [%d, 0]},"
        "{\"area\": \"cache\", \"name\": \"misses\", \"sentence\": \"not\", \"of\": \"0\", \"values\": [1, 1]},"
        "{\"area\": \"cache\", \"name\": \"keys\", \"sentence\": \"keys\", \"of\": \"0\", \"values\": [%d, 2], "
        "\"gauge\": true}]}";
    char first[512], second[512];
    snprintf(first, sizeof first, cache, 3, 5);
    snprintf(second, sizeof second, cache, 9, 4);
    json_t *before = parsed(first), *now = parsed(second);
    FILE *f = begin();
    format_stat(before, NULL, 0, &(struct format_stat_options){"cache", false}, f);
    fclose(f);
    assert_string_equal(text, "cache[0].hits                               3            3            0  found\n"
                              "cache[0].misses                             2            1            1  not\n"
                              "cache[0].hit_ratio                     60.00%       75.00%        0.00%  of look-ups, "
                              "those that found their key\n"
                              "cache[0].keys                               7            5            2  keys\n");
    f = begin();
    format_stat(now, before, 2, &(struct format_stat_options){"cache", false}, f);
    fclose(f);
    assert_string_equal(
        text, "cache[0].hits                               9            9            0          3.0/s  found\n"
              "cache[0].hit_ratio                    100.00%       90.00%        0.00%  of look-ups, those that found "
              "their key\n"
              "cache[0].keys                               6            4            2  keys\n");
    f = begin();
    format_prometheus(now, f);
    fclose(f);
    assert_non_null(
        strstr(text, "# TYPE millrace_cache_keys gauge\nmillrace_cache_keys{worker=\"0\",instance=\"0\"} 4\n"));
    assert_non_null(strstr(text, "# TYPE millrace_cache_hits_total counter\n"));
    json_decref(before);
    json_decref(now);
}

static const char *skip_name(const char *p)
{
    assert_true(isalpha((unsigned char)*p) || *p == '_');
    while (isalnum((unsigned char)*p) || *p == '_')
        p++;
    return p;
}

/* `name="value"`, where a backslash protects what follows. */
static const char *skip_label(const char *p)
{
    p = skip_name(p);
    assert_memory_equal(p, "=\"", 2);
    for (p += 2; *p != '"'; p++) {
        assert_true(*p && *p != '\n');
        p += *p == '\\';
    }
    return p + 1;
}

/* The grammar of exposition format 0.0.4 for what we use of it. */
static void check_line(const char *line)
{
    if (*line == '#') {
        assert_true(!strncmp(line, "# HELP ", 7) || !strncmp(line, "# TYPE ", 7));
        assert_true(*skip_name(line + 7) == ' ');
        return;
    }
    const char *p = skip_name(line);
    assert_true(*p == '{');
    do
        p = skip_label(p + 1);
    while (*p == ',');
    assert_memory_equal(p, "} ", 2);
    p += 2;
    p += strspn(p, "0123456789");
    assert_true(!*p && isdigit((unsigned char)p[-1]));
}

static void prometheus_of_every_declared_counter_is_well_formed(void **state)
{
    json_t *rows = json_array();
    for (unsigned s = 0; s < STAT_COUNT; s++)
        json_array_append_new(rows, json_pack("{s:s,s:s,s:s,s:[i]}", "area", stat_descriptions[s].area, "name",
                                              stat_descriptions[s].name, "sentence", stat_descriptions[s].sentence,
                                              "values", 1));
    json_t *answer = json_pack("{s:o}", "counters", rows);
    FILE *f = begin();
    format_prometheus(answer, f);
    fclose(f);
    unsigned lines = 0;
    for (char *rest, *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest), lines++)
        check_line(line);
    assert_int_equal(lines, 3 * STAT_COUNT); /* no two counters share a name */
    json_decref(answer);
}

static void conns_prints_as_ss_does(void **state)
{
    json_t *answer = parsed(
        "{\"ok\": true, \"left_out\": 7, \"silent\": [{\"worker\": 1, \"why\": \"no answer within 1 s\"}], "
        "\"connections\": ["
        "{\"worker\": 0, \"state\": \"ESTAB\", \"local\": \"198.18.0.2:80\", \"remote\": \"198.18.0.1:5555\","
        " \"congestion\": \"reno\", \"timestamps\": true, \"sack\": true, \"receive_queue\": 5, \"send_queue\": 1000,"
        " \"srtt_us\": 1234, \"rttvar_us\": 567, \"rto_us\": 204000, \"cwnd\": 14480, \"ssthresh\": 28960,"
        " \"in_flight\": 1000, \"send_window\": 64512, \"receive_window\": 65535, \"mss\": 1448, \"send_scale\": 10,"
        " \"receive_scale\": 7, \"backoff\": 2, \"retransmits\": 3},"
        "{\"worker\": 0, \"state\": \"ESTAB\", \"local\": \"198.18.0.2:80\", \"remote\": \"198.18.0.1:5556\","
        " \"congestion\": \"reno\", \"rto_us\": 1000000, \"cwnd\": 14600, \"ssthresh\": 4294967295, \"mss\": 1460,"
        " \"receive_window\": 65535},"
        "{\"worker\": 0, \"state\": \"TIME-WAIT\", \"local\": \"198.18.0.2:80\", \"remote\": \"198.18.0.1:5557\","
        " \"congestion\": \"\"}]}");
    FILE *f = begin();
    format_conns(answer, f);
    fclose(f);
    assert_string_equal(text,
                        "State      Recv-Q  Send-Q  Local                    Peer                     Worker\n"
                        "ESTAB      5       1000    198.18.0.2:80            198.18.0.1:5555          0\n"
                        "\t reno ts sack wscale:10,7 rto:204 backoff:2 rtt:1.234/0.567 mss:1448 cwnd:10 ssthresh:20 "
                        "bytes_in_flight:1000 snd_wnd:64512 rcv_wnd:65535 retrans:3\n"
                        "ESTAB      0       0       198.18.0.2:80            198.18.0.1:5556          0\n"
                        "\t reno rto:1000 mss:1460 cwnd:10 bytes_in_flight:0 snd_wnd:0 rcv_wnd:65535\n"
                        "TIME-WAIT  0       0       198.18.0.2:80            198.18.0.1:5557          0\n"
                        "worker 1 does not answer: no answer within 1 s\n"
                        "7 more connections are not shown, see --limit\n");
    json_decref(answer);
}

static void an_answer_of_another_shape_does_no_harm(void **state)
{
    static const char *const odd[] = {
        "{}", "{\"counters\": 1, \"connections\": \"x\"}",
        "{\"counters\": [1, {}, {\"area\": 1, \"values\": \"x\"}], \"connections\": [1, {}]}"};
    for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++) {
        json_t *answer = parsed(odd[i]);
        FILE *f = begin();
        format_stat(answer, answer, 1, &(struct format_stat_options){NULL, true}, f);
        format_conns(answer, f);
        format_status(answer, f);
        fclose(f);
        json_decref(answer);
    }
}

static void an_answer_becomes_lines_and_tables(void **state)
{
    json_t *answer = parsed("{\"ok\": true, \"version\": 7, \"warning\": \"slow\", \"older\": [], \"backends\": ["
                            "{\"name\": \"b1\", \"weight\": 5, \"up\": true},"
                            "{\"name\": \"l\u00e4nger\", \"weight\": 10000, \"latency\": 0.25}],"
                            "\"request\": [\"GET / HTTP/1.1\", \"Host: a\"], \"cache\": {\"hits\": 3}}");
    FILE *f = begin();
    format_answer(answer, f);
    fclose(f);
    assert_string_equal(text, "version: 7\n"
                              "warning: slow\n"
                              "older: none\n"
                              "backends:\n"
                              "  name    weight  up   latency\n"
                              "  b1           5  yes        -\n"
                              "  l\u00e4nger   10000  -       0.25\n"
                              "request:\n"
                              "  GET / HTTP/1.1\n"
                              "  Host: a\n"
                              "cache:\n"
                              "  hits             3\n");
    json_decref(answer);
}

static void the_proxys_numbers_carry_their_upstream_and_backend(void **state)
{
    static const char *const lines[] = {
        "# TYPE millrace_proxy_backend_up gauge\nmillrace_proxy_backend_up{upstream=\"app\",backend=\"b\\\"1\"} 1\n",
        "\nmillrace_proxy_backend_up{upstream=\"app\",backend=\"b2\"} 0\n",
        "\nmillrace_proxy_backend_responses_total{upstream=\"app\",backend=\"b2\",class=\"5xx\"} 9\n",
        "# TYPE millrace_proxy_backend_requests_total counter\n",
        "\nmillrace_proxy_backend_requests_total{upstream=\"app\",backend=\"b\\\"1\"} 12\n",
        "\nmillrace_proxy_backend_latency_milliseconds{upstream=\"app\",backend=\"b\\\"1\"} 0.125\n",
        "\nmillrace_proxy_upstream_retries_total{upstream=\"app\"} 4\n",
    };
    json_t *answer =
        parsed("{\"backends\": [{\"upstream\": \"app\", \"backend\": \"b\\\"1\", \"state\": \"up\", \"requests\": 12,"
               "\"latency_ms\": 0.125}, {\"upstream\": \"app\", \"backend\": \"b2\", \"state\": \"down\", \"5xx\": 9}],"
               "\"upstreams\": [{\"upstream\": \"app\", \"retries\": 4}], \"cache\": {\"hits\": 3}}");
    FILE *f = begin();
    format_proxy_prometheus(answer, f);
    fclose(f);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(text, lines[i]))
            fail_msg("there is no '%s' in:\n%s", lines[i], text);
    json_decref(answer);
}

/* A queue is called as clients like: what would end a label or a line is escaped. */
static void the_queues_numbers_carry_their_names_and_what_is_left_out_is_counted(void **state)
{
    static const char *const lines[] = {
        "# TYPE millrace_queue_queue_ready gauge\nmillrace_queue_queue_ready{vhost=\"/\",queue=\"a\\\"b\\\\\\n\"} 7\n",
        "\nmillrace_queue_queue_ready{vhost=\"x\",queue=\"c\"} 0\n",
        "# TYPE millrace_queue_queue_published_total counter\n",
        "\nmillrace_queue_queue_published_total{vhost=\"x\",queue=\"c\"} 12\n",
        "\nmillrace_queue_queues_left_out 3\n",
    };
    json_t *answer = parsed("{\"all\": {\"queues_left_out\": 3}, \"queues\": ["
                            "{\"vhost\": \"/\", \"queue\": \"a\\\"b\\\\\\n\", \"ready\": 7},"
                            "{\"vhost\": \"x\", \"queue\": \"c\", \"ready\": 0, \"published\": 12}]}");
    FILE *f = begin();
    format_queue_prometheus(answer, f);
    fclose(f);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(text, lines[i]))
            fail_msg("there is no '%s' in:\n%s", lines[i], text);
    json_decref(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stat_shows_sums_and_a_column_for_each_worker),
        cmocka_unit_test(stat_watched_shows_what_moved_and_its_rate),
        cmocka_unit_test(gauges_and_ratios_are_shown_as_what_they_are),
        cmocka_unit_test(prometheus_groups_metrics_and_escapes_text),
        cmocka_unit_test(prometheus_of_every_declared_counter_is_well_formed),
        cmocka_unit_test(conns_prints_as_ss_does),
        cmocka_unit_test(an_answer_of_another_shape_does_no_harm),
        cmocka_unit_test(an_answer_becomes_lines_and_tables),
        cmocka_unit_test(the_proxys_numbers_carry_their_upstream_and_backend),
        cmocka_unit_test(the_queues_numbers_carry_their_names_and_what_is_left_out_is_counted),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(text);
    return failed;
}
