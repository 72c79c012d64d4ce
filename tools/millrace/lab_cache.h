/* `millrace lab cache`: the cache's own eviction policies over a trace, beside the optimum. */
#ifndef TOOLS_MILLRACE_LAB_CACHE_H
#define TOOLS_MILLRACE_LAB_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "services/cache/evict/evict.h"
#include "tools/millrace/lab_trace.h"

#define LAB_POLICIES_MAX 16
#define LAB_SIZES_MAX    32

struct lab_size {
    double share;     /* of the distinct keys; 0: `entries` is given */
    uint64_t entries; /* set by lab_cache_measure where a share is given */
};

struct lab_cache {
    const char *trace_name, *svg;
    bool json;
    uint64_t seed, requests;
    uint32_t keys;
    const struct cache_evict_policy *policies[LAB_POLICIES_MAX];
    struct lab_size sizes[LAB_SIZES_MAX];
    unsigned policies_count, sizes_count;

    struct lab_trace trace;
    uint64_t hits[LAB_SIZES_MAX][LAB_POLICIES_MAX], belady[LAB_SIZES_MAX];
};

/* argv[0] is not looked at. False: `error` says what is wrong. */
bool lab_cache_parse(struct lab_cache *lab, int argc, char **argv, char *error, size_t error_bytes);
/* An exit code; a message goes to `error`. The trace is freed. */
int lab_cache_measure(struct lab_cache *lab, char *error, size_t error_bytes);

/* Hits of a cache of `entries`, every object of the same size. False: no memory, or the policy gave nobody away. */
bool lab_cache_hits(const struct lab_trace *t, const struct cache_evict_policy *policy, uint64_t entries, uint64_t seed,
                    uint64_t *hits);
/* What no policy can pass: Belady's, which evicts the key that is asked for again last. */
bool lab_belady_hits(const struct lab_trace *t, uint64_t entries, uint64_t *hits);

const char *lab_policy_label(const struct cache_evict_policy *policy); /* short */
double lab_ratio(const struct lab_cache *lab, uint64_t hits);
void lab_size_print(char text[32], const struct lab_cache *lab, const struct lab_size *size);

void lab_cache_print(const struct lab_cache *lab, FILE *out);
void lab_cache_print_json(const struct lab_cache *lab, FILE *out);
void lab_cache_print_svg(const struct lab_cache *lab, FILE *out);

#endif
