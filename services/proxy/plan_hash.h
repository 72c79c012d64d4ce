/* SipHash-2-4 (Aumasson and Bernstein, 2012): what a cookie shows of a backend must not tell its name without the key. */
#ifndef SERVICES_PROXY_PLAN_HASH_H
#define SERVICES_PROXY_PLAN_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t plan_hash(const uint64_t key[2], const void *data, size_t n);

#endif
