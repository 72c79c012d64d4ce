/* Conditional requests and ranges (RFC 9110 13 and 14): what a request asks of a representation that is known. */
#ifndef SERVICES_HTTP_CONDITION_H
#define SERVICES_HTTP_CONDITION_H

#include "http/request.h"

struct http_validators {
    const char *etag; /* strong, with its quotes */
    int64_t modified; /* seconds since 1970 */
};

#define HTTP_CONDITION_HEADERS                                                                            \
    (1ull << HTTP_HEADER_IF_MATCH | 1ull << HTTP_HEADER_IF_NONE_MATCH | 1ull << HTTP_HEADER_IF_MODIFIED_SINCE | \
     1ull << HTTP_HEADER_IF_UNMODIFIED_SINCE)

/* In the order of RFC 9110 13.2.2: 200 (go on), 304 or 412. `now` is the wall clock in seconds. */
int http_condition_evaluate(const struct http_request *r, const uint8_t *head, const struct http_validators *v,
                            int64_t now);

/* The Range field of a GET for `size` bytes. 200: none, several, not in bytes, malformed, or outdated by If-Range (RFC
 * 9110 14.2 lets a server ignore them); 206: *first and *last are within the size; 416: nothing of it exists. */
int http_range_evaluate(const struct http_request *r, const uint8_t *head, const struct http_validators *v, int64_t now,
                        uint64_t size, uint64_t *first, uint64_t *last);

#endif
