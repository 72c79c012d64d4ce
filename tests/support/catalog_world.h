/* Catalogs on a few workers, without queues: changes asked from anywhere, workers turned by hand, logs written at once or held back. */
#ifndef TESTS_SUPPORT_CATALOG_WORLD_H
#define TESTS_SUPPORT_CATALOG_WORLD_H

#include "queue/catalog/catalog.h"
#include "queue/catalog/replica.h"
#include "tests/support/fake_stream.h"

#define CATALOG_WORLD_WORKERS 4

struct catalog_world {
    struct queue_config config; /* set by catalog_world_init; may be changed before the start */
    struct broker_shared shared;
    unsigned workers;
    struct mr_worker *w[CATALOG_WORLD_WORKERS];
    struct broker *b[CATALOG_WORLD_WORKERS];
    uint64_t counters[CATALOG_WORLD_WORKERS][QUEUE_COUNTERS];
    uint64_t added[CATALOG_WORLD_WORKERS], removed[CATALOG_WORLD_WORKERS]; /* queues, by the hooks */
    struct queue_vhost vhosts[2];                                          /* "/" and "other" */
};

void catalog_world_init(struct catalog_world *x);
int catalog_world_start(struct catalog_world *x, unsigned workers); /* MR_OK or what the source says */
void catalog_world_settle(struct catalog_world *x);
void catalog_world_stop(struct catalog_world *x);
void catalog_world_check(const struct catalog_world *x); /* each replica, and that all are the same */

/* A change by worker `home`, from its begin to its end: `change` is filled with names, verb and flags. */
enum catalog_result catalog_world_change(struct catalog_world *x, unsigned home, struct catalog_change *change);

/* Everything that is declared as text in a fixed order, from malloc. `durable`: only what outlives the process. */
char *catalog_world_text(const struct catalog *c, bool durable);

/* The names that a message goes to, sorted, between commas. */
const char *catalog_world_route(struct catalog_world *x, unsigned worker, const char *exchange, const char *key);

#endif
