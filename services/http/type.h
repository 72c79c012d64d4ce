#ifndef SERVICES_HTTP_TYPE_H
#define SERVICES_HTTP_TYPE_H

/* The media type of a file by the ending of its name; application/octet-stream where it is not known. */
const char *http_type_find(const char *path);

#endif
