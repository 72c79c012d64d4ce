#include "drivers/dpdk/chatter.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <rte_log.h>

#define HELD_BYTES_MAX 4096

/* EAL has one log stream for the process, so this is the process's too; its interrupt thread may write as well. */
static struct {
    FILE *lock; /* the stream itself: stdio locks it around each message */
    bool holding;
    size_t used;
    char lines[HELD_BYTES_MAX]; /* each ends with '\n' */
} held;

static enum mr_log_level level_from_eal(int level)
{
    if (level <= (int)RTE_LOG_ERR)
        return MR_LOG_WARNING;
    return level <= (int)RTE_LOG_WARNING ? MR_LOG_INFO : MR_LOG_DEBUG;
}

uint32_t chatter_level(enum mr_log_level level)
{
    static const uint32_t map[] = {
        [MR_LOG_ERROR] = RTE_LOG_CRIT,
        [MR_LOG_WARNING] = RTE_LOG_ERR,
        [MR_LOG_INFO] = RTE_LOG_ERR,
        [MR_LOG_DEBUG] = RTE_LOG_INFO,
    };
    return map[level];
}

static bool line_keep(const char *text, int length)
{
    if (held.used + (size_t)length + 1 > sizeof held.lines)
        return false;
    memcpy(held.lines + held.used, text, (size_t)length);
    held.used += (size_t)length;
    held.lines[held.used++] = '\n';
    return true;
}

static ssize_t chatter_write(void *cookie, const char *text, size_t n)
{
    int length = (int)n;
    while (length > 0 && (text[length - 1] == '\n' || text[length - 1] == ' '))
        length--;
    enum mr_log_level level = level_from_eal(rte_log_cur_msg_loglevel());
    if (length > 0 && !(held.holding && level == MR_LOG_WARNING && line_keep(text, length)))
        mr_log(level, "dpdk", "%.*s", length, text);
    return (ssize_t)n;
}

void chatter_route(void)
{
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = chatter_write});
    if (!stream)
        return;
    held.lock = stream;
    rte_openlog_stream(stream);
    rte_log_set_global_level(chatter_level(mr_log_get_level()));
}

void chatter_hold(void)
{
    if (!held.lock)
        return;
    flockfile(held.lock);
    held.holding = true;
    held.used = 0;
    funlockfile(held.lock);
}

void chatter_release(bool failed)
{
    if (!held.lock)
        return;
    flockfile(held.lock);
    held.holding = false;
    for (size_t at = 0; at < held.used;) {
        char *end = memchr(held.lines + at, '\n', held.used - at);
        int length = (int)(end - held.lines - (long)at);
        mr_log(failed ? MR_LOG_WARNING : MR_LOG_DEBUG, "dpdk", "%.*s", length, held.lines + at);
        at += (size_t)length + 1;
    }
    held.used = 0;
    funlockfile(held.lock);
}

/* ---- libraries below a driver, which write to standard error by themselves ---- */

typedef int (*print_function)(int level, const char *format, va_list arguments);
typedef print_function (*print_setter)(print_function print);

/* libbpf and libxdp share this form; what matters of it reaches us as the driver's own error. */
static int library_print(int level, const char *format, va_list arguments)
{
    char line[256];
    int n = vsnprintf(line, sizeof line, format, arguments);
    mr_log(MR_LOG_DEBUG, "dpdk", "%.*s", (int)strcspn(line, "\n"), line);
    return n;
}

void chatter_quiet_libraries(void)
{
    static const char *const libraries[][2] = {{"libbpf.so.1", "libbpf_set_print"},
                                               {"libxdp.so.1", "libxdp_set_print"}};
    for (unsigned i = 0; i < sizeof libraries / sizeof *libraries; i++) {
        void *library = dlopen(libraries[i][0], RTLD_LAZY | RTLD_NOLOAD);
        print_setter set = library ? (print_setter)dlsym(library, libraries[i][1]) : NULL;
        if (set)
            set(library_print);
    }
}
