/* What SCAN, HSCAN, SSCAN and ZSCAN have in common: the cursor, MATCH, COUNT and TYPE, and the walk over a table. */
#ifndef SERVICES_CACHE_SCAN_OPTIONS_H
#define SERVICES_CACHE_SCAN_OPTIONS_H

#include "cache/command/command.h"

struct cache_scan_options {
    uint64_t count;       /* elements that are enough for one call */
    struct mr_span match; /* data NULL: everything matches */
    struct mr_span type;  /* data NULL: any; SCAN only */
};

/* False: not a cursor, replied. */
bool cache_scan_cursor(struct cache_call *call, const struct cache_argument *a, uint64_t *cursor);
/* Reads the arguments from `first` on. False: replied. */
bool cache_scan_options(struct cache_call *call, unsigned first, bool with_type, struct cache_scan_options *o);
bool cache_scan_matches(const struct cache_scan_options *o, struct mr_span key);

/* Replies to one step of a scan over a collection in a table: `emit` writes `replies` values an item. */
void cache_scan_table(struct cache_call *call, const struct cache_table *t, uint64_t cursor,
                      const struct cache_scan_options *o, unsigned replies,
                      void (*emit)(struct cache_reply *r, void *item));
/* Replies that there is nothing (more): cursor 0 and no elements. */
void cache_scan_empty(struct cache_call *call);

#endif
