/* Stands in for stack/tcp in tests of the layers below it: records what it is handed. A test that links it must not use
 * streams. */
#ifndef TESTS_SUPPORT_TCP_RECORDER_H
#define TESTS_SUPPORT_TCP_RECORDER_H

#include <millrace/address.h>

struct tcp_record {
    unsigned segments;                     /* handed to tcp_in_gather, and freed */
    struct mr_address source, destination; /* of the last */
    uint32_t bytes;

    unsigned errors;                  /* calls of tcp_error */
    struct mr_endpoint local, remote; /* of the last */
    uint32_t sequence;
    int type, code;
    uint16_t mtu;
};
extern struct tcp_record tcp_record;

#endif
