/* Trace lines, compiled in by `-Dtracing=true` and shown at log level debug: every TCP segment in and out, and every drop
 * with its reason. Without the option they cost nothing and are not there. */
#ifndef STACK_CORE_TRACE_H
#define STACK_CORE_TRACE_H

#ifdef MILLRACE_TRACING
#include <millrace/log.h>
#define TRACE(w, ...)                                                                                                  \
    do {                                                                                                               \
        if (mr_log_get_level() >= MR_LOG_DEBUG)                                                                        \
            trace_line(w, __VA_ARGS__);                                                                                \
    } while (0)
struct mr_worker;
/* One line with the worker's index and its time in seconds. */
void trace_line(const struct mr_worker *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
#else
#define TRACE(w, ...) ((void)0)
#endif

#endif
