#ifndef TOOLS_MILLRACE_CMD_SAVE_H
#define TOOLS_MILLRACE_CMD_SAVE_H

#include "tools/millrace/control_client.h"

/* Writes the configuration of a running process to `output`, NULL: to the file that it was started with. The exit code. */
int save_configuration(const struct control_target *target, const char *output);

#endif
