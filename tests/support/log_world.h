/* A process with a log, as tests of services/cache/durable see it: fake workers, a store each, and a plain model of
 * what the commands mean. The same commands go to the stores, the log and the model; a restart replays into another
 * model, and two models are compared as text. Commands: SET [PXAT], DEL, INCR, RPUSH, SADD, HSET, ZADD, PEXPIREAT. */
#ifndef TESTS_SUPPORT_LOG_WORLD_H
#define TESTS_SUPPORT_LOG_WORLD_H

#include "cache/durable/load.h"
#include "cache/durable/log.h"
#include "cache/durable/snapshot.h"
#include "tests/support/fake_stream.h"

/* A key and its elements; a string has one. */
struct model_key {
    unsigned database;
    char *key;
    char type; /* 's'tring, 'l'ist, 'S'et, 'h'ash, 'z'set */
    uint64_t expires_ms;
    char **elements; /* hash and zset: pairs, "field\0value" as two */
    unsigned count, room;
};

struct model {
    struct model_key *keys;
    unsigned count, room;
    uint64_t transactions;
};

void model_command(struct model *m, unsigned database, const struct cache_argument *argv, unsigned argc);
char *model_text(struct model *m); /* canonical; the caller frees */
void model_free(struct model *m);
struct cache_log_target model_target(struct model *m);

#define WORLD_WORKERS_MAX 4
struct world {
    char folder[64];
    unsigned workers;
    struct cache_log_options options;
    struct mr_worker *w[WORLD_WORKERS_MAX];
    struct cache_store store[WORLD_WORKERS_MAX];
    struct cache_store *stores[WORLD_WORKERS_MAX];
    struct cache_log *log;
    struct cache_log_worker *lw[WORLD_WORKERS_MAX];
    unsigned executing; /* worker */
    unsigned database;  /* of world_run's commands */
    struct model model; /* what was executed */
    unsigned notices[WORLD_WORKERS_MAX], rewrites_wanted;
    int snapshot_result; /* -1: none ended yet */
};

void world_make_folder(struct world *x); /* a new empty one */
void world_remove_folder(const char *folder);
void world_copy_folder(const char *from, const char *to);
/* Opens, loads into x->model, starts workers. Returns what cache_log_load said; then nothing else is running. */
int world_start(struct world *x, unsigned workers);
void world_stop(struct world *x); /* in order: all is written */
void world_free(struct world *x); /* model; the folder stays */

unsigned world_shard(const struct world *x, const char *key);
/* One transaction, run by worker `by`: each command one line of words. Returns its parts. */
unsigned world_run(struct world *x, unsigned by, struct cache_log_part *parts, const char *const *lines, unsigned n);
void world_run_one(struct world *x, unsigned by, const char *line);
/* SET of a value of `n` bytes as a rope. */
void world_set_rope(struct world *x, unsigned by, const char *key, size_t n);
void world_turn(struct world *x);   /* of each worker */
void world_settle(struct world *x); /* until all is durable and no snapshot runs; at most some turns */
bool world_all_durable(const struct world *x);

/* What the folder holds, loaded by a process of `workers`; NULL: the load was refused. The caller frees. */
char *world_text_of_folder(const char *folder, enum cache_log_repair repair, int *error);

#endif
