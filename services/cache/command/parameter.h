/* What CONFIG GET and SET know: one const table of parameters. A row says where its value lies in struct cache_settings and what
 * may stand there, or has functions of its own. */
#ifndef SERVICES_CACHE_PARAMETER_H
#define SERVICES_CACHE_PARAMETER_H

#include "cache/cache.h"

#define CACHE_PARAMETER_TEXT_MAX 600 /* bytes of a value that is shown, its zero included */
#define CACHE_PARAMETERS_MAX     160 /* rows */
#define CACHE_PARAMETER_WHY_MAX  320 /* bytes of the reason of a refusal */

enum cache_parameter_kind {
    CACHE_PARAMETER_INTEGER, /* int64_t or uint64_t, minimum .. maximum */
    CACHE_PARAMETER_MEMORY,  /* uint64_t: 100, 64kb, 1gb */
    CACHE_PARAMETER_YES_NO,  /* int64_t, 0 or 1 */
    CACHE_PARAMETER_OWN,     /* `show` and `set` */
    CACHE_PARAMETER_FIXED, /* as it was configured at start, or as this server is: setting it to that very value is no error */
    CACHE_PARAMETER_IMMUTABLE, /* the same, and Redis refuses to set it, too */
};

struct cache_parameter {
    const char *name;
    enum cache_parameter_kind kind;
    size_t offset; /* in struct cache_settings */
    int64_t minimum, maximum, preset;
    const char *text; /* of what is fixed, unless `show` says it */
    void (*show)(const struct cache *cache, const struct cache_settings *s, char text[CACHE_PARAMETER_TEXT_MAX]);
    bool (*set)(const struct cache *cache, struct cache_settings *s, const struct cache_argument *value,
                char why[CACHE_PARAMETER_WHY_MAX]);
};
extern const struct cache_parameter cache_parameters[]; /* ends with name NULL */

void cache_parameter_show(const struct cache *cache, const struct cache_parameter *p,
                          char text[CACHE_PARAMETER_TEXT_MAX]);
/* Into *s, which is applied by the caller once all are good. False: *why says the reason, as Redis words it. */
bool cache_parameter_set(const struct cache *cache, const struct cache_parameter *p, struct cache_settings *s,
                         const struct cache_argument *value, char why[CACHE_PARAMETER_WHY_MAX]);

#endif
