/* The echo service (RFC 862): what a peer sends over TCP or UDP comes back. */
#ifndef SERVICES_ECHO_H
#define SERVICES_ECHO_H

#include <millrace/service.h>

extern const struct mr_service echo_service;

#endif
