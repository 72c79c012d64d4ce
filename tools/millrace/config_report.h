/* What is wrong with a configuration, all of it: `file:line:column: what, what was expected`. */
#ifndef TOOLS_MILLRACE_CONFIG_REPORT_H
#define TOOLS_MILLRACE_CONFIG_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define CONFIG_REPORT_MAX  64  /* beyond it only counted */
#define CONFIG_MESSAGE_MAX 640 /* a list of all keys of a service fits */

struct config_mark {
    unsigned line, column; /* from 1; 0: the file as a whole */
};

struct config_report {
    const char *file; /* as the user wrote it; borrowed */
    unsigned count;   /* of all errors, also those beyond CONFIG_REPORT_MAX */
    struct {
        struct config_mark mark;
        char message[CONFIG_MESSAGE_MAX];
    } error[CONFIG_REPORT_MAX];
};

void config_report_init(struct config_report *r, const char *file);
void config_report_add(struct config_report *r, struct config_mark mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* In the order of the file. */
void config_report_print(struct config_report *r, FILE *out);

/* The name of `names` (n of them) nearest to `word`, or NULL when none is near enough to be meant. */
const char *config_nearest(const char *word, const char *const *names, unsigned n);

#endif
