/* Answers of the control socket as a person, or Prometheus, reads them. Pure: JSON in, text out. */
#ifndef TOOLS_MILLRACE_FORMAT_H
#define TOOLS_MILLRACE_FORMAT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct format_stat_options {
    const char *area; /* NULL: all */
    bool zeros;       /* also counters that are 0 */
};

/* `area.name  value  sentence`, with a column for each worker when there are several. With `before` (an earlier answer,
 * `seconds` old) only what moved, and its rate. */
void format_stat(const json_t *answer, const json_t *before, double seconds, const struct format_stat_options *o,
                 FILE *out);

/* Exposition format 0.0.4: millrace_<area>_<name>_total{worker="0",...}. Always whole. */
void format_prometheus(const json_t *answer, FILE *out);

/* Two lines for each connection, as `ss -tin` prints them. */
void format_conns(const json_t *answer, FILE *out);

/* What a service says: single values, tables, lists. */
void format_answer(const json_t *answer, FILE *out);

/* Of `millrace proxy stat`: millrace_proxy_backend_<name>{upstream="app",backend="b1"}, and so on for upstreams. */
void format_proxy_prometheus(const json_t *answer, FILE *out);

/* Of `millrace queue stat`: millrace_queue_queue_<name>{vhost="/",queue="orders"} of the queues that it names, which are not more than it
 * was asked for, and how many are left out. */
void format_queue_prometheus(const json_t *answer, FILE *out);

void format_status(const json_t *answer, FILE *out);

#endif
