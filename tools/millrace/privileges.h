/* Capabilities: what is needed to start, and letting go of the rest. */
#ifndef TOOLS_MILLRACE_PRIVILEGES_H
#define TOOLS_MILLRACE_PRIVILEGES_H

#include <stdbool.h>

/* Is capability `number` (linux/capability.h) in the effective set? */
bool privileges_have(int number);

/* Drops every capability of every thread of the process for good, also across exec (PR_SET_NO_NEW_PRIVS). Called by one
 * thread, with no signal handler in use that it could disturb. False: at least one thread has kept some. */
bool privileges_drop(void);

#endif
