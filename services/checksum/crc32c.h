/* CRC-32C (Castagnoli; RFC 3720 B.4 has test vectors), by the processor's instruction where there is one. */
#ifndef SERVICES_CHECKSUM_CRC32C_H
#define SERVICES_CHECKSUM_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Goes on from `crc`, 0 at the begin: crc(crc(0, a), b) is the sum of a and b together. */
uint32_t crc32c(uint32_t crc, const void *data, size_t n);

#endif
