/* The one binary: finds the subcommand and runs it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/millrace/command.h"

static const struct command *const commands[] = {
    &command_run,     &command_check, &command_doctor, &command_status, &command_stat,      &command_conns,
    &command_capture, &command_set,   &command_proxy,  &command_queue,  &command_service,   &command_explain,
    &command_reload,  &command_save,  &command_drain,  &command_lab,    &command_reference, &command_version,
};
#define COMMANDS (sizeof commands / sizeof *commands)

int command_usage(const struct command *c, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "millrace %s: ", c->name);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nusage: millrace %s %s\n", c->name, c->arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

void command_print_help(const struct command *c)
{
    printf("usage: millrace %s %s\n\n%s\n\n%s", c->name, c->arguments, c->sentence, c->help);
}

bool command_number(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *out)
{
    char *end;
    unsigned long long value = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value < minimum || value > maximum)
        return false;
    *out = value;
    return true;
}

static int print_help(FILE *out)
{
    fputs("usage: millrace COMMAND [ARGUMENTS]\n\nA TCP/IP stack in user space with the services that it carries.\n\n",
          out);
    for (unsigned i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-10s %s\n", commands[i]->name, commands[i]->sentence);
    fputs("\n`millrace COMMAND --help` tells more of each.\n\n"
          "Exit codes: 0 done; 1 failed while running; 2 wrong command line; 3 wrong configuration;\n"
          "4 no running process answers at the control socket.\n",
          out);
    return out == stdout ? EXIT_GOOD : EXIT_USAGE;
}

static bool asks_for_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--"); i++)
        if (!strcmp(argv[i], "--help") || !strcmp(argv[i], "-h"))
            return true;
    return false;
}

int main(int argc, char **argv)
{
    if (argc < 2)
        return print_help(stderr);
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help"))
        return print_help(stdout);
    const char *name = !strcmp(argv[1], "--version") ? "version" : argv[1];
    for (unsigned i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i]->name, name))
            continue;
        if (asks_for_help(argc - 1, argv + 1)) {
            command_print_help(commands[i]);
            return EXIT_GOOD;
        }
        return commands[i]->run(commands[i], argc - 1, argv + 1);
    }
    fprintf(stderr, "millrace: there is no command '%s'; `millrace --help` lists them\n", argv[1]);
    return EXIT_USAGE;
}
