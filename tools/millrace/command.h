/* The subcommands of `millrace`, one file each, and what they share. */
#ifndef TOOLS_MILLRACE_COMMAND_H
#define TOOLS_MILLRACE_COMMAND_H

#include <stdbool.h>
#include <stdint.h>

enum exit_code {
    EXIT_GOOD = 0,
    EXIT_FAILED = 1,        /* it was tried and did not work; doctor: something fails */
    EXIT_USAGE = 2,         /* the command line is wrong */
    EXIT_CONFIGURATION = 3, /* the configuration is wrong */
    EXIT_UNREACHABLE = 4,   /* no running process answers at the control socket */
};

struct command {
    const char *name, *arguments, *sentence;
    const char *help; /* options and what else --help says; ends with a newline */
    int (*run)(const struct command *self, int argc, char **argv); /* argv[0] is the command's name */
};

extern const struct command command_run, command_check, command_doctor, command_status, command_stat, command_conns,
    command_capture, command_set, command_proxy, command_queue, command_service, command_explain, command_reload,
    command_save, command_drain, command_lab, command_reference, command_version;

/* Says what is wrong with the command line, and how it should look. EXIT_USAGE. */
int command_usage(const struct command *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

void command_print_help(const struct command *c);

/* A whole number in minimum .. maximum; false for anything else. */
bool command_number(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *out);

#endif
