/* What keeps Millrace from running well on this machine: one line each, with its remedy. */
#ifndef TOOLS_MILLRACE_DOCTOR_H
#define TOOLS_MILLRACE_DOCTOR_H

#include <stdio.h>

#include "tools/millrace/config.h"

/* `c` may be NULL: then what a TAP device would need. True: nothing fails. */
bool doctor_examine(const struct config *c, FILE *out);

#endif
