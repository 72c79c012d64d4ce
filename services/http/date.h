/* HTTP dates (RFC 9110 5.6.7): seconds since 1970 to text and back, without the C library's locale or time zone. */
#ifndef SERVICES_HTTP_DATE_H
#define SERVICES_HTTP_DATE_H

#include <millrace/types.h>

#define HTTP_DATE_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* IMF-fixdate, HTTP_DATE_BYTES bytes, no terminating zero. Years 1970 to 9999. */
void http_date_format(int64_t seconds, char *text);

/* Any of the three forms that a recipient must accept; `now` settles the century of two-digit years. False: none. */
bool http_date_parse(struct mr_span text, int64_t now, int64_t *seconds);

#endif
