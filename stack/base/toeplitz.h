/* The Toeplitz hash by which devices spread flows over queues (RSS). Linear over exclusive or: the hash of a tuple is the hash
 * of the tuple with its port zero, xor the hash of the port alone in its place. */
#ifndef STACK_BASE_TOEPLITZ_H
#define STACK_BASE_TOEPLITZ_H

#include <stddef.h>
#include <stdint.h>

/* Of `n` bytes that stand `at` bytes into the hashed tuple; the key has at least at + n + 4 bytes. */
uint32_t toeplitz_hash(const uint8_t *key, size_t at, const uint8_t *data, size_t n);

#endif
