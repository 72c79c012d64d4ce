/* Traces for `millrace lab`: which key is asked for, one after the other. */
#ifndef TOOLS_MILLRACE_LAB_TRACE_H
#define TOOLS_MILLRACE_LAB_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LAB_REQUESTS_MAX 500000000
#define LAB_KEYS_MAX     100000000

struct lab_trace {
    uint32_t *keys; /* each below `universe` */
    uint64_t requests;
    uint32_t universe, distinct; /* keys that there are; that are asked for */
};

/* `name` as --trace takes it: zipf, zipf:SKEW, scan, loop, shift, mixed, or else a file with a key a line. The same arguments
 * give the same trace. False: `error` says why not; `usage` whether the name is wrong rather than the file. */
bool lab_trace_make(struct lab_trace *t, const char *name, uint64_t requests, uint32_t keys, uint64_t seed, char *error,
                    size_t error_bytes, bool *usage);
void lab_trace_free(struct lab_trace *t);

#endif
