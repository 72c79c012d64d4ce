/* Private to icmp/. */
#ifndef STACK_ICMP_ICMP_H
#define STACK_ICMP_ICMP_H

#include "stack/core/layers.h"
#include "stack/icmp/icmp_wire.h"

/* A bucket of time: each message costs `cost`, and at most `burst` costs are saved up. */
struct icmp_bucket {
    mr_time last;
    mr_time credit;
    mr_time cost;
    uint32_t burst;
};

/* Echo serves measuring tools and stays generous; errors are sent to whoever is the claimed source of a packet, so they
 * are kept below what is worth reflecting (RFC 1812 4.3.2.8). */
#define ICMP_ECHO_PER_SECOND  10000
#define ICMP_ECHO_BURST       1000
#define ICMP_ERROR_PER_SECOND 1000
#define ICMP_ERROR_BURST      50

struct icmp {
    struct icmp_bucket echo, error;
};

/* Takes one message from the bucket; false when it is empty. */
bool icmp_bucket_take(struct icmp_bucket *b, mr_time now);

#endif
