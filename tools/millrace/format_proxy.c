/* What `stat` of the proxy says, for Prometheus: the same numbers, with who they are about as labels. The cache's are
 * counters of the workers, and stand among those. */
#include <string.h>

#include "tools/millrace/format.h"
#include "tools/millrace/format_metric.h"

static const struct format_metric backend_metrics[] = {
    {"active", "active", "requests and tunnels under way", true},
    {"connections", "open", "connections now open", true},
    {"connections_idle", "idle", "of them, idle", true},
    {"weight", "weight", "configured weight", true},
    {"requests", "requests", "requests and tunnels begun", false},
    {"connects", "connects", "connections opened", false},
    {"connect_failures", "connect_failures", "connections that could not be opened", false},
    {"resets", "resets", "connections that were reset within an answer, or before it", false},
    {"timeouts", "timeouts", "requests without an answer in time", false},
    {"sent_bytes", "bytes_to", "payload to the backend", false},
    {"received_bytes", "bytes_from", "payload from the backend", false},
    {"latency_milliseconds", "latency_ms", "time to the first byte, exponentially weighted", true},
};

static const struct format_metric upstream_metrics[] = {
    {"queued", "queued", "requests that wait for a connection", true},
    {"requests", "requests", "requests and tunnels begun", false},
    {"retries", "retries", "tries after a first that failed", false},
};

static const char *text_of(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static void print_labels(const json_t *row, const char *class, FILE *out)
{
    const char *upstream = text_of(row, "upstream"), *backend = text_of(row, "backend");
    fputc('{', out);
    format_metric_label("upstream", upstream, "", out);
    if (backend)
        format_metric_label("backend", backend, ",", out);
    if (class)
        format_metric_label("class", class, ",", out);
    fputc('}', out);
}

static void print_rows(const char *of, const json_t *rows, const struct format_metric *m, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        format_metric_head(of, m[i].name, m[i].sentence, m[i].gauge, out);
        for (size_t k = 0; k < json_array_size(rows); k++) {
            const json_t *row = json_array_get(rows, k);
            fprintf(out, "millrace_%s_%s%s", of, m[i].name, m[i].gauge ? "" : "_total");
            print_labels(row, NULL, out);
            format_metric_value(json_object_get(row, m[i].key), out);
        }
    }
}

static void print_up(const json_t *rows, FILE *out)
{
    format_metric_head("proxy_backend", "up", "1: it takes requests; 0: it is down, ejected, drained or disabled", true,
                       out);
    for (size_t k = 0; k < json_array_size(rows); k++) {
        const json_t *row = json_array_get(rows, k);
        const char *state = text_of(row, "state");
        fputs("millrace_proxy_backend_up", out);
        print_labels(row, NULL, out);
        fprintf(out, " %d\n", state && (!strcmp(state, "up") || !strcmp(state, "unchecked")));
    }
}

static void print_responses(const json_t *rows, FILE *out)
{
    static const char *const classes[] = {"1xx", "2xx", "3xx", "4xx", "5xx"};
    format_metric_head("proxy_backend", "responses", "responses by the class of their status", false, out);
    for (size_t k = 0; k < json_array_size(rows); k++)
        for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
            fputs("millrace_proxy_backend_responses_total", out);
            print_labels(json_array_get(rows, k), classes[i], out);
            format_metric_value(json_object_get(json_array_get(rows, k), classes[i]), out);
        }
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

void format_proxy_prometheus(const json_t *answer, FILE *out)
{
    const json_t *backends = json_object_get(answer, "backends");
    print_up(backends, out);
    print_responses(backends, out);
    print_rows("proxy_backend", backends, backend_metrics, COUNT(backend_metrics), out);
    print_rows("proxy_upstream", json_object_get(answer, "upstreams"), upstream_metrics, COUNT(upstream_metrics), out);
}
