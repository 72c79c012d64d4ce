/* Which members can be chosen: a bitmap with a bitmap of its words that are not empty, so that the next member at or after any
 * place is found in two steps with up to 4096 members. */
#ifndef SERVICES_PROXY_BALANCE_MEMBER_SET_H
#define SERVICES_PROXY_BALANCE_MEMBER_SET_H

#include "proxy/balance/balance.h"

struct balance_set {
    uint32_t words, summary_words;
    uint64_t bits[]; /* words, then summary_words: bit w is set when word w has any */
};

size_t balance_set_bytes(uint32_t members);
void balance_set_init(struct balance_set *s, uint32_t members);
void balance_set_put(struct balance_set *s, uint32_t member, bool in);

/* The first member of the set from `from` on, beginning again at 0 behind the last. The set is not empty. */
uint32_t balance_set_next(const struct balance_set *s, uint32_t from);

/* That the set is exactly what can be chosen. */
void balance_set_check(const struct balance_set *s, const struct balance *b);

#endif
