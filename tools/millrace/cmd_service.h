/* What several subcommands ask a service of a running process. */
#ifndef TOOLS_MILLRACE_CMD_SERVICE_H
#define TOOLS_MILLRACE_CMD_SERVICE_H

#include "tools/millrace/control_client.h"

/* The answer to a command of `service`, a list of texts that is borrowed; the caller's to decref. NULL: said why, and *code is the exit code. */
json_t *service_ask(const struct control_target *target, const char *service, json_t *words, int *code);

/* The same, printed. The exit code. */
int service_say(const struct control_target *target, const char *service, json_t *words, bool json);

#endif
