/* A configuration as the text of a file. */
#ifndef TOOLS_MILLRACE_CONFIG_SAVE_H
#define TOOLS_MILLRACE_CONFIG_SAVE_H

#include "tools/millrace/config.h"

/* The whole of it as canonical YAML, text from malloc, NULL: no memory. `values` are those of each service, NULL: the ones
 * that were loaded. The file will lie in `folder`; NULL: somewhere else than the one that was loaded, so paths are written
 * from the root. */
char *config_text(const struct config *c, const void *const *values, const char *folder);

#endif
