/* How much memory the packets of a configuration take: a sum with a reason for each term. */
#ifndef TOOLS_MILLRACE_SIZING_H
#define TOOLS_MILLRACE_SIZING_H

#include "tools/millrace/config.h"

#define SIZING_TERM_MAX 8

struct sizing {
    struct sizing_term {
        const char *reason;
        unsigned packets;
    } term[SIZING_TERM_MAX];
    unsigned term_count;
    unsigned packets;    /* of each worker's pool: the sum */
    unsigned reserve;    /* of those, the ones that payload must leave alone */
    unsigned memory_mib; /* for all workers */
};

void sizing_compute(const struct config *c, struct sizing *s);
void sizing_log(const struct sizing *s);

#endif
