/* A scenario: a world and flows drawn from one seed. */
#ifndef TESTS_SIM_SCENARIO_H
#define TESTS_SIM_SCENARIO_H

#include "tests/sim/flow.h"

#define SCENARIO_FLOWS_MAX 160

struct scenario {
    struct world_options world;
    struct mr_stream_options listen;
    unsigned count;
    struct flow_plan plan[SCENARIO_FLOWS_MAX];
    bool harsh; /* bad enough that a connection may give up */
    bool small_pool;
    const char *kind;
};

struct scenario_result {
    uint64_t trace_hash;
    uint64_t turns, frames;
    uint64_t bytes; /* delivered to applications */
    unsigned flows, given_up;
    mr_time lasted;    /* virtual */
    char failure[512]; /* empty: all went as it should */
};

/* Draws everything from `seed`; the pools are the caller's: large ones and small ones, two each. */
void scenario_draw(struct scenario *s, uint64_t seed, struct rte_mempool *const large[2],
                   struct rte_mempool *const small[2]);

/* The same for a relay on host 0 between host 1 and host 2: connections only, all of which watch for silence. */
void scenario_draw_relayed(struct scenario *s, uint64_t seed, struct rte_mempool *const large[3],
                           struct rte_mempool *const small[3]);

/* One line that tells what was drawn. */
void scenario_describe(const struct scenario *s, char *text, size_t bytes);

void scenario_run(const struct scenario *s, struct scenario_result *r);

#endif
