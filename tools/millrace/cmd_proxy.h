/* What several subcommands ask the proxy of a running process. */
#ifndef TOOLS_MILLRACE_CMD_PROXY_H
#define TOOLS_MILLRACE_CMD_PROXY_H

#include "tools/millrace/control_client.h"

/* The answer to a command, a list of texts that is borrowed; the caller's to decref. NULL: said why, and *code is the exit code. */
json_t *proxy_ask(const struct control_target *target, json_t *words, int *code);

/* The same, printed. The exit code. */
int proxy_say(const struct control_target *target, json_t *words, bool json);

#endif
