/* Capabilities: what is needed to start, and letting go of the rest. */
#ifndef TOOLS_MILLRACE_PRIVILEGES_H
#define TOOLS_MILLRACE_PRIVILEGES_H

#include <stdbool.h>
#include <stdint.h>

/* Is capability `number` (linux/capability.h) in the effective set? */
bool privileges_have(int number);

/* Drops every capability of every thread of the process for good, also across exec (PR_SET_NO_NEW_PRIVS). The calling
 * thread alone keeps those of `keep` (bits 1 << CAP_*), out of effect until privileges_raise. Called by one thread, with no
 * signal handler in use that it could disturb. False: at least one thread has kept more. */
bool privileges_drop(uint32_t keep);

/* Puts what privileges_drop kept for this thread into effect. */
void privileges_raise(void);

#endif
