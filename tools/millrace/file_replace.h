/* A file that is there whole, as it was or as it is to be, whatever happens in between. */
#ifndef TOOLS_MILLRACE_FILE_REPLACE_H
#define TOOLS_MILLRACE_FILE_REPLACE_H

#include <stdbool.h>

/* Puts `text` in place of `file` in one step: written beside it, synced, renamed. An old file gives its mode to the new; where
 * `file` is a link, what it points at is replaced. False: errno says why, and the old file is there as it was. */
bool file_replace(const char *file, const char *text);

#endif
