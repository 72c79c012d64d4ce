/* One line a message, one write a line, so that lines of several threads do not mix. */
#include <millrace/log.h>

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES_MAX 1024

static const char *const level_names[] = {
    [MR_LOG_ERROR] = "error",
    [MR_LOG_WARNING] = "warning",
    [MR_LOG_INFO] = "info",
    [MR_LOG_DEBUG] = "debug",
};

#define LEVEL_COUNT (sizeof level_names / sizeof *level_names)

/* The one setting of the process that no worker owns: the log is written before the first worker exists and from threads
 * that have none. */
static _Atomic(enum mr_log_level) level_now = MR_LOG_INFO;

void mr_log_set_level(enum mr_log_level level)
{
    level_now = level;
}

enum mr_log_level mr_log_get_level(void)
{
    return level_now;
}

int mr_log_level_parse(const char *text)
{
    for (unsigned i = 0; i < LEVEL_COUNT; i++)
        if (strcmp(text, level_names[i]) == 0)
            return (int)i;
    return -1;
}

static size_t line_start(char *line, size_t bytes, enum mr_log_level level, const char *area)
{
    struct timespec t;
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &t);
    gmtime_r(&t.tv_sec, &utc);
    size_t n = strftime(line, bytes, "%Y-%m-%dT%H:%M:%S", &utc);
    n += (size_t)snprintf(line + n, bytes - n, ".%03ldZ %s ", t.tv_nsec / 1000000, level_names[level]);
    n += (size_t)snprintf(line + n, bytes - n, "%.32s: ", area);
    return n;
}

void mr_log(enum mr_log_level level, const char *area, const char *format, ...)
{
    if (level > level_now)
        return;
    char line[LINE_BYTES_MAX + 1];
    size_t start = line_start(line, LINE_BYTES_MAX, level, area);
    va_list arguments;
    va_start(arguments, format);
    int wanted = vsnprintf(line + start, LINE_BYTES_MAX - start, format, arguments);
    va_end(arguments);
    size_t end = start + (wanted < 0 ? 0 : (size_t)wanted);
    end = end < LINE_BYTES_MAX - 1 ? end : LINE_BYTES_MAX - 1;
    /* Messages may quote a peer: no byte of them may end the line or drive a terminal. */
    for (size_t i = start; i < end; i++)
        if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
            line[i] = '?';
    line[end++] = '\n';
    ssize_t written = write(STDERR_FILENO, line, end);
    (void)written; /* nowhere to say that it failed */
}
