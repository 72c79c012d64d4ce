/* From the path of a request to the name of a file: decoded once, in one place, into a bounded buffer. */
#ifndef SERVICES_HTTP_TARGET_H
#define SERVICES_HTTP_TARGET_H

#include <millrace/types.h>

#include "http/limits.h"

struct http_path {
    uint16_t length;
    char text[HTTP_PATH_BYTES_MAX + 1]; /* begins with '/', ends with a zero */
};

/* Decodes percent escapes and folds repeated slashes, so that one file has one name. An empty path is "/".
 * 0; -400: control characters or a segment "..", however it is written; -404: an encoded slash or backslash (it names
 * nothing that a folder can hold), a name that begins with a dot, a path longer than HTTP_PATH_BYTES_MAX. */
int http_target_decode(struct mr_span raw, struct http_path *path);

/* Writes `path` back in percent escapes, for a Location field; returns bytes written, 0 when `size` is too small. */
size_t http_target_encode(const char *path, char *out, size_t size);

#endif
