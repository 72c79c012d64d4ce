/* Congestion Experienced on a frame of an ECN-capable transport (RFC 3168 section 5). */
#ifndef DRIVERS_SIM_MARK_H
#define DRIVERS_SIM_MARK_H

#include <millrace/types.h>

/* Marks an IPv4 or IPv6 packet that carries ECT and keeps its header checksum right. False: not such a packet, and it
 * is unchanged. */
bool mark_ce(uint8_t *frame, uint32_t bytes);

#endif
