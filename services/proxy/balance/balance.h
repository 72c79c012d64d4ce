/* Which backend takes the next request or connection. Knows members by index, weight and load, and nothing of sockets or time.
 *
 * One `struct balance` belongs to one upstream, worker and plan; it is made by the control thread, then used by its worker alone.
 * choose is O(1) or O(log n) and allocates nothing; a change of a member may be O(n). */
#ifndef SERVICES_PROXY_BALANCE_BALANCE_H
#define SERVICES_PROXY_BALANCE_BALANCE_H

#include <millrace/random.h>
#include <millrace/types.h>

#define BALANCE_NONE      (-1)
#define BALANCE_TRIED_MAX 8

struct balance;
struct maglev_table;

/* What a choice may depend on. */
struct balance_query {
    uint64_t hash; /* maglev: of what the configuration says is hashed */
    /* Members that failed this request already: not taken again while another is fit. */
    uint32_t tried[BALANCE_TRIED_MAX];
    uint32_t tried_count;
};

struct balance_policy {
    const char *name; /* as the configuration writes it, in the order of enum proxy_balance */
    const char *sentence;
    size_t (*bytes)(uint32_t members); /* of the state behind struct balance */
    void (*init)(struct balance *b);
    void (*changed)(struct balance *b, uint32_t member); /* weight, fitness or load of one; may be NULL */
    int (*choose)(struct balance *b, const struct balance_query *q);
    void (*check)(const struct balance *b); /* every invariant; for tests */
};

struct balance_member {
    uint32_t weight; /* 0 .. 65535 x slow start; in 1/256 of the configured unit; 0: takes nothing */
    uint32_t active; /* requests or connections under way on this worker */
    bool fit;        /* healthy, enabled, not ejected, not full */
};

struct balance {
    const struct balance_policy *policy;
    const struct maglev_table *maglev; /* borrowed; BALANCE_MAGLEV */
    struct mr_random *random;          /* borrowed */
    uint32_t count, fit;               /* members; how many are fit and have a weight */
    struct balance_member *members;
    void *state; /* the policy's */
};

extern const struct balance_policy *const balance_policies[]; /* by enum proxy_balance; ends with NULL */
extern const char *const balance_names[];                     /* the same, for MR_CONFIG_CHOICE */

/* One block from calloc with members all fit = false; NULL: no memory. */
struct balance *balance_create(const struct balance_policy *policy, uint32_t members, const struct maglev_table *maglev,
                               struct mr_random *random);
void balance_free(struct balance *b);

void balance_set_weight(struct balance *b, uint32_t member, uint32_t weight);
void balance_set_fit(struct balance *b, uint32_t member, bool fit);
void balance_set_active(struct balance *b, uint32_t member, uint32_t active);

/* Index of a fit member with a weight that was not tried; when all of those were tried, of any fit one; BALANCE_NONE: none is fit. */
int balance_choose(struct balance *b, const struct balance_query *q);

/* Maglev (Eisenbud et al., NSDI 2016, section 3.4), weighted. The table is a prime of at least 100 times the members (65537 or 655373 slots).
 * `keys` are hashes that identify the members for good, so that the same members give the same table wherever they are in the list.
 * A slot whose member is not fit is passed over by rehashing: only the keys of that member move. */
struct maglev_table {
    uint32_t size, members;
    const uint32_t *weights; /* of each member, as given to maglev_build; in the same block */
    uint16_t slots[];        /* member; UINT16_MAX everywhere when no member has a weight */
};

/* One block, for free(). Weights are in the unit of balance_set_weight: a member whose weight is less at the moment (slow start) takes
 * that part of its keys. At most 6553 members. NULL: no memory. */
struct maglev_table *maglev_build(const uint64_t *keys, const uint32_t *weights, uint32_t members);

#endif
