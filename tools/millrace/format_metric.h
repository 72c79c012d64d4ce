/* Private to format_*.c: numbers of a service's own things (backends, queues) in Prometheus' exposition format. */
#ifndef TOOLS_MILLRACE_FORMAT_METRIC_H
#define TOOLS_MILLRACE_FORMAT_METRIC_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct format_metric {
    const char *name, *key, *sentence; /* `key`: in the row */
    bool gauge;
};

/* HELP and TYPE of millrace_<of>_<name>; counters end in _total. */
void format_metric_head(const char *of, const char *name, const char *sentence, bool gauge, FILE *out);
void format_metric_label(const char *name, const char *value, const char *separator, FILE *out);
void format_metric_value(const json_t *value, FILE *out); /* ends the line */

#endif
