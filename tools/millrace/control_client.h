/* The asking side of the control socket, for the subcommands. */
#ifndef TOOLS_MILLRACE_CONTROL_CLIENT_H
#define TOOLS_MILLRACE_CONTROL_CLIENT_H

#include <jansson.h>

#include "tools/millrace/command.h"

/* Options that every asking subcommand takes. */
#define CONTROL_OPTIONS_HELP                                   \
    "  --name NAME    the instance to ask (preset: default)\n" \
    "  --socket PATH  its control socket, instead of the one that follows from the name\n"

struct control_target {
    const char *name, *socket;
};

/* Takes --name and --socket out of argv[i]; returns how many words were taken, 0 when it is something else, -1 when its
 * value is missing. */
int control_target_option(struct control_target *t, int argc, char **argv, int i);

/* Connects; -1: said on standard error why, and the exit code is EXIT_UNREACHABLE. */
int control_connect(const struct control_target *t);

/* Sends `request` (consumed) with `descriptor` beside it unless -1, and gives the answer, the caller's to decref. NULL:
 * said on standard error why, and *code is the exit code. An answer {"ok": false} counts as that too. */
json_t *control_exchange(int socket, json_t *request, int descriptor, int *code);

/* Both, and the end of the connection. */
json_t *control_ask(const struct control_target *t, json_t *request, int descriptor, int *code);

#endif
