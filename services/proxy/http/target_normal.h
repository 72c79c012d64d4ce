/* The one form of a path: what routes are looked up with is what a backend gets, so the two cannot mean different things.
 *
 *   %41 -> A            escapes of unreserved characters are taken away, all others are in capitals (RFC 3986 6.2.2)
 *   /a/./b/../c -> /a/c dot segments, however they are written (RFC 3986 5.2.4)
 *   //a -> /a           empty segments: half of all servers merge them
 *
 * Refused, because servers differ about it: an encoded slash, backslash or NUL, a step above the root, a dot segment with a
 * parameter ("/..;x/"). The query goes on as it is. */
#ifndef SERVICES_PROXY_HTTP_TARGET_NORMAL_H
#define SERVICES_PROXY_HTTP_TARGET_NORMAL_H

#include <millrace/types.h>

/* `path` as the grammar of http_wire.rl lets it pass; empty means "/". Writes at most path.length + 1 bytes to `out`; returns how many,
 * or -400. When the path is already in that form nothing is written, 0 is returned, and it can be used as it lies. */
int target_normalise(struct mr_span path, char *out);

/* Is it empty, or does it begin with a slash and escape what it escapes by two hexadecimal digits? What a grammar has not proved, as words of
 * the configuration, is asked this before target_normalise. */
bool target_path_possible(struct mr_span path);

/* `uri-host [":" port]` of a Host field or an absolute target (RFC 3986 3.2.2), in lower case without its port and one dot at the end.
 * False: it is neither a name nor an address literal, or longer than TARGET_HOST_MAX. */
#define TARGET_HOST_MAX 255
struct target_authority {
    struct mr_span host; /* in `text` */
    bool literal6;       /* the host is in brackets, which are part of it */
    uint16_t port;       /* 0: none */
    char text[TARGET_HOST_MAX + 1];
};
bool target_authority_parse(struct mr_span text, struct target_authority *a);

#endif
