/* Structured, levelled log lines to standard error: `time level area: message key=value ...`. Never called on the packet
 * path; what happens per packet is a counter. */
#ifndef MILLRACE_LOG_H
#define MILLRACE_LOG_H

enum mr_log_level { MR_LOG_ERROR, MR_LOG_WARNING, MR_LOG_INFO, MR_LOG_DEBUG };

/* `area` is the module ("dpdk", "http"). The message says what, where, and what was expected. */
void mr_log(enum mr_log_level level, const char *area, const char *format, ...) __attribute__((format(printf, 3, 4)));

void mr_log_set_level(enum mr_log_level level);
enum mr_log_level mr_log_get_level(void);

/* "error", "warning", "info", "debug"; -1 when `text` is none of them. */
int mr_log_level_parse(const char *text);

#endif
