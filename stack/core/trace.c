#include "stack/core/trace.h"

#ifdef MILLRACE_TRACING
#include <stdarg.h>
#include <stdio.h>

#include "stack/core/worker.h"

void trace_line(const struct mr_worker *w, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    mr_log(MR_LOG_DEBUG, "trace", "worker=%u now=%.6f %s", w->index, (double)w->now / MR_SECOND, text);
}
#endif
