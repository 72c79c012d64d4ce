/* Every policy there is: policies.def lists them, evict.c has the table. */
#ifndef SERVICES_CACHE_EVICT_POLICIES_H
#define SERVICES_CACHE_EVICT_POLICIES_H

#include "cache/evict/evict.h"

#define POLICY(file, symbol) extern const struct cache_evict_policy evict_##symbol;
#include "cache/evict/policies.def"
#undef POLICY

#endif
