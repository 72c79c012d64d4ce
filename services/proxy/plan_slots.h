/* Who has which slot of the instances' tables. On the control thread. */
#ifndef SERVICES_PROXY_PLAN_SLOTS_H
#define SERVICES_PROXY_PLAN_SLOTS_H

#include "proxy/plan.h"

enum plan_slot_kind { SLOT_LISTENER, SLOT_UPSTREAM, SLOT_BACKEND, SLOT_KINDS };

/* The slot of `identity` for one more plan: the one that it had, or else one that no plan has and nothing is connected to. Its generation
 * is new when the slot was another's before. False: none is free, or no memory. */
bool plan_slot_take(struct proxy_shared *shared, enum plan_slot_kind kind, const char *identity, uint32_t *slot,
                    uint64_t *generation);
/* A plan that had it is gone. */
void plan_slot_give(struct plan_slots *slots, enum plan_slot_kind kind, uint32_t slot);

#endif
