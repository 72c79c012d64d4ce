/* What `stat` of the queue says, for Prometheus: the numbers of the queues that it names, with virtual host and name as labels. */
#include "tools/millrace/format.h"
#include "tools/millrace/format_metric.h"

static const struct format_metric metrics[] = {
    {"ready", "ready", "messages that wait for a consumer", true},
    {"unacknowledged", "unacked", "messages given to consumers that have not acknowledged them", true},
    {"delayed", "delayed", "messages that are not due yet", true},
    {"consumers", "consumers", "consumers", true},
    {"bytes", "bytes", "bytes of the bodies of its messages", true},
    {"oldest_milliseconds", "oldest_ms", "age of the oldest ready message", true},
    {"published", "published", "messages that came in", false},
    {"delivered", "delivered", "messages given to consumers", false},
    {"acknowledged", "acknowledged", "messages acknowledged", false},
};

static void print_metric(const json_t *rows, const struct format_metric *m, FILE *out)
{
    size_t i;
    json_t *row;
    format_metric_head("queue_queue", m->name, m->sentence, m->gauge, out);
    json_array_foreach(rows, i, row)
    {
        fprintf(out, "millrace_queue_queue_%s%s{", m->name, m->gauge ? "" : "_total");
        format_metric_label("vhost", json_string_value(json_object_get(row, "vhost")), "", out);
        format_metric_label("queue", json_string_value(json_object_get(row, "queue")), ",", out);
        fputc('}', out);
        format_metric_value(json_object_get(row, m->key), out);
    }
}

void format_queue_prometheus(const json_t *answer, FILE *out)
{
    const json_t *rows = json_object_get(answer, "queues");
    for (size_t i = 0; i < sizeof metrics / sizeof *metrics; i++)
        print_metric(rows, &metrics[i], out);
    format_metric_head("queue", "queues_left_out", "queues that have no numbers of their own here: others are fuller",
                       true, out);
    fputs("millrace_queue_queues_left_out", out);
    format_metric_value(json_object_get(json_object_get(answer, "all"), "queues_left_out"), out);
}
