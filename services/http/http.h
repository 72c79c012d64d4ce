/* The HTTP/1.1 service (RFC 9110, RFC 9112): files, a status page, endpoints for tests. See README.md. */
#ifndef SERVICES_HTTP_HTTP_H
#define SERVICES_HTTP_HTTP_H

#include <millrace/service.h>

extern const struct mr_service http_service;

#endif
