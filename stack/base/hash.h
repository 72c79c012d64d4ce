/* SipHash-1-3 (Aumasson and Bernstein 2012; the reduced-round variant used for hash tables): a keyed hash, so that a peer
 * who chooses ports and addresses cannot choose buckets. */
#ifndef STACK_BASE_HASH_H
#define STACK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

struct hash_key {
    uint64_t k0, k1;
};

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t n);

/* SipHash-2-4, for initial sequence numbers and anything that an outsider must not predict. */
uint64_t hash_secure(const struct hash_key *key, const void *data, size_t n);

#endif
