/* Several workers that ask for changes at random and are turned at random: while changes are under way each replica is whole, at rest all are
 * the same, and after a restart with another number of workers what is durable is as it was. */
#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <millrace/random.h>

#include "tests/support/catalog_world.h"
#include "tests/support/seed.h"

#define NAMES   12
#define PENDING 32
#define STEPS   4000
#define LIVES   12

static struct mr_random random_numbers;

static uint32_t below(uint32_t bound)
{
    return mr_random_below(&random_numbers, bound);
}

struct asked {
    struct catalog_change change; /* first */
    char name[16], source[16], key[16];
    bool busy;
};
static struct asked asked[PENDING];
static uint64_t answers[CATALOG_NO_MEMORY + 1], created;

static void answered(struct catalog_change *change)
{
    struct asked *a = (struct asked *)change;
    assert(a->busy && change->result <= CATALOG_NO_MEMORY && !change->result == !change->text[0]);
    a->busy = false;
    answers[change->result]++;
    created += change->created;
}

static void name_of(char *out, char kind)
{
    if (kind == 'x' && !below(6))
        strcpy(out, below(2) ? "amq.topic" : "amq.fanout");
    else
        sprintf(out, "%c%u", kind, below(NAMES));
}

static bool deletable(const struct catalog_world *x, struct asked *a, unsigned *home)
{
    const struct catalog_queue *q = catalog_queue_find(x->b[*home]->catalog, a->change.vhost, a->change.name);
    if (!q)
        return false;
    a->change.queue_id = q->id;
    *home = q->owner;
    return true;
}

static void ask(struct catalog_world *x)
{
    struct asked *a = &asked[below(PENDING)];
    unsigned home = below(x->workers);
    if (a->busy)
        return;
    memset(a, 0, sizeof *a);
    enum catalog_verb verb = (enum catalog_verb)below(CATALOG_EXCHANGE_UNBIND + 1);
    bool queue =
        verb == CATALOG_QUEUE_DECLARE || verb == CATALOG_QUEUE_DELETE || verb == CATALOG_BIND || verb == CATALOG_UNBIND;
    name_of(a->name, queue ? 'q' : 'x');
    name_of(a->source, 'x');
    sprintf(a->key, "%s", (const char *const[]){"", "a", "a.b", "#", "*.b"}[below(5)]);
    /* What is declared under one name differs now and then. */
    unsigned number = (unsigned)strlen(a->name) + (unsigned)a->name[1];
    a->change = (struct catalog_change){.verb = verb,
                                        .vhost = below(8) == 0,
                                        .name = span_of(a->name),
                                        .source = span_of(a->source),
                                        .key = span_of(a->key),
                                        .exchange_type = (enum exchange_type)(number % 4),
                                        .durable = number % 3 != 0,
                                        .auto_delete = number % 5 == 0,
                                        .exclusive = queue && number % 7 == 0,
                                        .connection = 1 + home,
                                        .if_unused = below(4) == 0,
                                        .done = answered};
    if (!below(20))
        a->change.durable = !a->change.durable;
    if (verb == CATALOG_QUEUE_DELETE && !deletable(x, a, &home))
        return;
    a->busy = true;
    catalog_change(x->b[home], &a->change);
}

static bool pending(void)
{
    for (unsigned i = 0; i < PENDING; i++)
        if (asked[i].busy)
            return true;
    return false;
}

static void live(struct catalog_world *x)
{
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned w = below(x->workers);
        if (below(3))
            ask(x);
        fake_turn(x->w[w]);
        if (!below(50))
            catalog_check(x->b[w]->catalog);
        if (!below(200))
            fake_offload_refuse(x->w[0], below(2));
        if (below(400))
            continue;
        fake_offload_refuse(x->w[0], false);
        fake_pass(x->w[0], 200 * MR_MILLISECOND);
        catalog_world_settle(x);
        assert(!pending());
        catalog_world_check(x);
    }
    fake_offload_refuse(x->w[0], false);
    fake_pass(x->w[0], 200 * MR_MILLISECOND);
    catalog_world_settle(x);
    assert(!pending());
    catalog_world_check(x);
}

static int entry_remove(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s;
    (void)kind;
    (void)at;
    return remove(path);
}

int main(void)
{
    struct catalog_world x;
    char folder[] = "/tmp/queue-catalog-XXXXXX", *before = NULL;
    mr_random_seed(&random_numbers, support_seed("model-queue_catalog"));
    assert(mkdtemp(folder));
    catalog_world_init(&x);
    x.config.folder = folder;
    x.config.segment_bytes = 32 << 10;
    for (unsigned i = 0; i < LIVES; i++) {
        assert(catalog_world_start(&x, 1 + below(CATALOG_WORLD_WORKERS)) == MR_OK);
        catalog_world_check(&x);
        char *text = catalog_world_text(x.b[x.workers - 1]->catalog, true);
        if (before && strcmp(before, text)) {
            fprintf(stderr, "before\n%safter\n%s", before, text);
            abort();
        }
        free(text);
        live(&x);
        free(before);
        before = catalog_world_text(x.b[0]->catalog, true);
        catalog_world_stop(&x);
    }
    printf("%" PRIu64 " changes, %" PRIu64 " made something; refused: not found %" PRIu64 ", precondition %" PRIu64
           ", locked %" PRIu64 "\n",
           answers[CATALOG_OK], created, answers[CATALOG_NOT_FOUND], answers[CATALOG_PRECONDITION_FAILED],
           answers[CATALOG_RESOURCE_LOCKED]);
    assert(created && answers[CATALOG_NOT_FOUND] && answers[CATALOG_PRECONDITION_FAILED]);
    free(before);
    return nftw(folder, entry_remove, 8, FTW_DEPTH | FTW_PHYS);
}
