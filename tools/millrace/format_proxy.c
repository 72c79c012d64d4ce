/* What `stat` of the proxy says, for Prometheus: the same numbers, with who they are about as labels. The cache's are
 * counters of the workers, and stand among those. */
#include <string.h>

#include "tools/millrace/format.h"

struct metric {
    const char *name, *key, *sentence;
    bool gauge;
};

static const struct metric backend_metrics[] = {
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

static const struct metric upstream_metrics[] = {
    {"queued", "queued", "requests that wait for a connection", true},
    {"requests", "requests", "requests and tunnels begun", false},
    {"retries", "retries", "tries after a first that failed", false},
};

/* As format_stat.c: backslash, quote and newline of a label's value. */
static void print_label(const char *name, const char *value, const char *separator, FILE *out)
{
    fprintf(out, "%s%s=\"", separator, name);
    for (; value && *value; value++) {
        if (*value == '\n')
            fputs("\\n", out);
        else
            fprintf(out, "%s%c", *value == '\\' || *value == '"' ? "\\" : "", *value);
    }
    fputc('"', out);
}

static const char *text_of(const json_t *row, const char *key)
{
    return json_string_value(json_object_get(row, key));
}

static void print_labels(const json_t *row, const char *class, FILE *out)
{
    const char *upstream = text_of(row, "upstream"), *backend = text_of(row, "backend");
    fputc('{', out);
    print_label("upstream", upstream, "", out);
    if (backend)
        print_label("backend", backend, ",", out);
    if (class)
        print_label("class", class, ",", out);
    fputc('}', out);
}

static void print_value(const json_t *value, FILE *out)
{
    if (json_is_integer(value))
        fprintf(out, " %" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
    else
        fprintf(out, " %.10g\n", json_number_value(value));
}

static void print_head(const char *of, const char *name, const char *sentence, bool gauge, FILE *out)
{
    const char *suffix = gauge ? "" : "_total";
    fprintf(out, "# HELP millrace_proxy_%s_%s%s %s\n", of, name, suffix, sentence);
    fprintf(out, "# TYPE millrace_proxy_%s_%s%s %s\n", of, name, suffix, gauge ? "gauge" : "counter");
}

static void print_rows(const char *of, const json_t *rows, const struct metric *m, size_t count, FILE *out)
{
    for (size_t i = 0; i < count; i++) {
        print_head(of, m[i].name, m[i].sentence, m[i].gauge, out);
        for (size_t k = 0; k < json_array_size(rows); k++) {
            const json_t *row = json_array_get(rows, k);
            fprintf(out, "millrace_proxy_%s_%s%s", of, m[i].name, m[i].gauge ? "" : "_total");
            print_labels(row, NULL, out);
            print_value(json_object_get(row, m[i].key), out);
        }
    }
}

static void print_up(const json_t *rows, FILE *out)
{
    print_head("backend", "up", "1: it takes requests; 0: it is down, ejected, drained or disabled", true, out);
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
    print_head("backend", "responses", "responses by the class of their status", false, out);
    for (size_t k = 0; k < json_array_size(rows); k++)
        for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
            fputs("millrace_proxy_backend_responses_total", out);
            print_labels(json_array_get(rows, k), classes[i], out);
            print_value(json_object_get(json_array_get(rows, k), classes[i]), out);
        }
}

#define COUNT(array) (sizeof(array) / sizeof *(array))

void format_proxy_prometheus(const json_t *answer, FILE *out)
{
    const json_t *backends = json_object_get(answer, "backends");
    print_up(backends, out);
    print_responses(backends, out);
    print_rows("backend", backends, backend_metrics, COUNT(backend_metrics), out);
    print_rows("upstream", json_object_get(answer, "upstreams"), upstream_metrics, COUNT(upstream_metrics), out);
}
