/* What a new configuration changes of one that runs, and what of that takes a restart. */
#ifndef TOOLS_MILLRACE_CONFIG_CHANGE_H
#define TOOLS_MILLRACE_CONFIG_CHANGE_H

#include "tools/millrace/config.h"

/* Reports, at its place in `new`, everything that differs and cannot change while running: all but log.level, congestion, and services
 * that can be reconfigured, whose own refusals are not known here. */
void config_change_check(const struct config *old, const struct config *new, struct config_report *report);

#endif
