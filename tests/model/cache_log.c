/* The cache's log under seeded random transactions of several workers, whose messages are late at random, with
 * rewrites and errors of the disk, and crashes: copies of the folder, cut inside what was not synced. What is
 * recovered must be what some number of transactions made, in an order that each shard saw, and hold everything that
 * was reported durable.
 *
 * Each transaction adds its number to one list a shard, in all of its shards: the lists tell which were recovered. */
#include <assert.h>
#include <fcntl.h>
#include <millrace/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/durable/log_state.h"
#include "tests/support/log_world.h"
#include "tests/support/seed.h"

#define ROUNDS       200
#define STEPS        120
#define TRANSACTIONS 4096

struct transaction {
    unsigned part_count;
    struct cache_log_part parts[8];
};

struct run {
    struct world x;
    struct mr_random random;
    char list[WORLD_WORKERS_MAX][16]; /* the key of each shard */
    struct transaction done[TRANSACTIONS];
    unsigned count;
    uint64_t seed;
};

#define REQUIRE(condition, ...)                                    \
    do {                                                           \
        if (!(condition)) {                                        \
            fprintf(stderr, "seed %lu: ", (unsigned long)r->seed); \
            fprintf(stderr, __VA_ARGS__);                          \
            fputc('\n', stderr);                                   \
            abort();                                               \
        }                                                          \
    } while (0)

static unsigned below(struct run *r, unsigned n)
{
    return mr_random_below(&r->random, n);
}

static void keys_choose(struct run *r)
{
    for (unsigned shard = 0; shard < r->x.workers; shard++)
        for (unsigned i = 0;; i++) {
            snprintf(r->list[shard], sizeof r->list[shard], "k%u", i);
            if (world_shard(&r->x, r->list[shard]) == shard)
                break;
        }
}

static void transaction_run(struct run *r)
{
    char lines[4][300];
    const char *texts[4];
    unsigned shards = 1 + (below(r, 3) == 0 ? below(r, r->x.workers) : 0), first = below(r, r->x.workers);
    static const char filler[201] =
        "........................................................................................"
        ".............................................................................................................."
        "..";
    for (unsigned i = 0; i < shards; i++) {
        const char *key = r->list[(first + i) % r->x.workers];
        snprintf(lines[i], sizeof lines[i], "RPUSH %s %u%.*s", key, r->count, (int)below(r, 200), filler);
        texts[i] = lines[i];
    }
    struct transaction *t = &r->done[r->count++];
    assert(r->count < TRANSACTIONS);
    t->part_count = world_run(&r->x, below(r, r->x.workers), t->parts, texts, shards);
}

/* Which transactions are in the lists of `text`: present[number] counts in how many. */
static void present_read(const struct run *r, const char *text, unsigned *present)
{
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        const char *end = strchr(line, '\n'), *at = strchr(line, ':') + 1;
        while (at < end) {
            char *next;
            unsigned long number = strtoul(at, &next, 10);
            REQUIRE(next != at && number < r->count, "an element that nobody added");
            present[number]++;
            at = next + strspn(next, ".");
            at += *at == ' ';
        }
    }
}

/* `durable`: by shard, what was reported before the crash. */
static void recovered_check(struct run *r, const char *folder, const uint64_t *durable, unsigned executed)
{
    int error;
    char *text = world_text_of_folder(folder, CACHE_REPAIR_TAIL, &error);
    REQUIRE(text, "does not start: %s", folder);
    unsigned *present = calloc(TRANSACTIONS, sizeof *present);
    present_read(r, text, present);
    uint64_t expected[WORLD_WORKERS_MAX] = {0};
    for (unsigned i = 0; i < executed; i++) {
        const struct transaction *t = &r->done[i];
        REQUIRE(present[i] == 0 || present[i] == t->part_count, "transaction %u is there in %u of %u shards", i,
                present[i], t->part_count);
        for (unsigned k = 0; k < t->part_count; k++) {
            uint64_t *next = &expected[t->parts[k].shard];
            REQUIRE(present[i] || t->parts[k].sequence > durable[t->parts[k].shard],
                    "transaction %u was durable and is lost", i);
            REQUIRE(!present[i] || *next != UINT64_MAX, "transaction %u is there, one before it in its shard is not",
                    i);
            if (!present[i])
                *next = UINT64_MAX;
        }
    }
    free(present);
    free(text);
}

/* The job that is outstanding may not have come so far: what worker 0 does not know to be synced is cut anywhere, or
 * has holes. */
static void crash_copy(struct run *r, const char *copy)
{
    char path[512], name[CACHE_FILE_NAME_BYTES];
    const struct cache_log *log = r->x.log;
    uint64_t synced = log->file.generation == log->file_generation ? log->file_synced : CACHE_FILE_HEADER_BYTES;
    struct stat st;
    world_copy_folder(r->x.folder, copy);
    cache_folder_log_name(log->file.generation, name);
    snprintf(path, sizeof path, "%s/%s", copy, name);
    if (stat(path, &st) != 0 || (uint64_t)st.st_size <= synced)
        return;
    uint64_t unsynced = (uint64_t)st.st_size - synced;
    if (below(r, 2))
        assert(truncate(path, (off_t)(synced + below(r, (unsigned)unsynced + 1))) == 0);
    if (below(r, 3) == 0) {
        int fd = open(path, O_WRONLY);
        uint8_t zeros[64] = {0};
        assert(fd >= 0 && pwrite(fd, zeros, below(r, 64), (off_t)(synced + below(r, (unsigned)unsynced))) >= 0);
        close(fd);
        if (stat(path, &st) == 0 && (uint64_t)st.st_size < synced)
            abort();
    }
}

static void crash_now(struct run *r)
{
    char copy[80];
    uint64_t durable[WORLD_WORKERS_MAX];
    snprintf(copy, sizeof copy, "%s-copy", r->x.folder);
    for (unsigned i = 0; i < r->x.workers; i++)
        durable[i] = atomic_load(&r->x.log->durable[i]);
    /* Under everysec "durable" is in the kernel: the crash is of the process alone. */
    if (r->x.options.fsync == CACHE_FSYNC_ALWAYS)
        crash_copy(r, copy);
    else
        world_copy_folder(r->x.folder, copy);
    recovered_check(r, copy, durable, r->count);
    world_remove_folder(copy);
}

static void step(struct run *r)
{
    struct world *x = &r->x;
    unsigned by = below(r, x->workers);
    switch (below(r, 16)) {
    case 0:
        fake_post_hold(x->w[by], below(r, 2));
        break;
    case 1:
        fake_offload_hold(x->w[0], below(r, 2));
        break;
    case 2:
        fake_offload_refuse(x->w[0], below(r, 3) == 0);
        break;
    case 3:
        if (below(r, 3) == 0)
            cache_snapshot_begin(x->lw[by], CACHE_SNAPSHOT_REWRITE, x->stores, 1);
        break;
    case 4:
        crash_now(r);
        break;
    case 5:
    case 6:
        world_turn(x);
        break;
    case 7:
        x->executing = by; /* one worker alone */
        cache_snapshot_step(x->lw[by], &x->store[by]);
        fake_turn(x->w[by]);
        break;
    default:
        transaction_run(r);
    }
}

static void settle(struct run *r)
{
    for (unsigned i = 0; i < r->x.workers; i++)
        fake_post_hold(r->x.w[i], false);
    fake_offload_hold(r->x.w[0], false);
    fake_offload_refuse(r->x.w[0], false);
    world_settle(&r->x);
}

/* Two lives, the second over what the first left. */
static void round_run(uint64_t seed)
{
    struct run *r = calloc(1, sizeof *r);
    r->seed = seed;
    mr_random_seed(&r->random, seed);
    r->x.options = (struct cache_log_options){
        .log = true, .fsync = below(r, 3) ? CACHE_FSYNC_ALWAYS : CACHE_FSYNC_EVERYSEC, .no_uring = true};
    world_make_folder(&r->x);
    int started = world_start(&r->x, 1 + below(r, WORLD_WORKERS_MAX));
    REQUIRE(started == MR_OK, "an empty folder does not start");
    keys_choose(r);
    for (int i = 0; i < STEPS; i++)
        step(r);
    if (below(r, 2))
        settle(r);
    char *before = model_text(&r->x.model);
    world_stop(&r->x); /* writes what was left, wherever it was */
    world_free(&r->x);
    started = world_start(&r->x, 1 + below(r, WORLD_WORKERS_MAX));
    REQUIRE(started == MR_OK, "does not start again");
    char *after = model_text(&r->x.model);
    REQUIRE(strcmp(before, after) == 0, "the end lost something:\n%s---\n%s", before, after);
    free(before);
    free(after);
    world_stop(&r->x);
    world_free(&r->x);
    world_remove_folder(r->x.folder);
    free(r);
}

int main(int argc, char **argv)
{
    uint64_t seed = support_seed(argv[0]);
    for (unsigned i = 0; i < ROUNDS; i++)
        round_run(seed + i);
    return 0;
}
