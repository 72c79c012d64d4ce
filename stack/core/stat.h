/* Counters and drop reasons: declared once per protocol in X_stat.def, expanded here into one enum, one array per worker
 * and one table of names. Plain 64-bit adds; readers on other threads see values a few turns old.
 *
 *   COUNTER(area, name, "sentence")
 *   DROP(area, name, "sentence")      a packet that was not delivered, counted once for it */
#ifndef STACK_CORE_STAT_H
#define STACK_CORE_STAT_H

#include <stdint.h>

enum stat {
#define COUNTER(area, name, sentence) STAT_##area##_##name,
#define DROP(area, name, sentence) DROP_##area##_##name,
#include "stack/core/stat_all.def"
#undef COUNTER
#undef DROP
    STAT_COUNT
};

struct stat_description {
    const char *area, *name, *sentence;
    int is_drop;
};

extern const struct stat_description stat_descriptions[STAT_COUNT];

#endif
