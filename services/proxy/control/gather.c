/* Each worker copies what it has into memory that was made for it here, in a turn of its own. */
#include "proxy/control/gather.h"

#include <stdlib.h>
#include <string.h>

/* One block, as it may be the worker's in the end. */
struct sheet {
    struct proxy_shared *shared;
    mr_time now;
    uint32_t backend_count, upstream_count;
    bool cache;
    struct hcache_statistics statistics;
    struct gather_listener listeners[PLAN_LISTENER_SLOTS];
    struct gather_upstream *upstreams; /* behind the backends */
    struct gather_backend backends[];
};

static void fill_backend(struct gather_backend *to, const struct upstream_backend *from, mr_time now)
{
    *to = (struct gather_backend){
        .used = from->plan || from->open || from->active,
        .removed = !from->plan,
        .address = from->address,
        .health_up = from->health == HEALTH_UP,
        .health_down = from->health == HEALTH_DOWN,
        .ejected = from->ejected_until > now,
        .ejected_for = from->ejected_until > now ? from->ejected_until - now : 0,
        .active = from->active,
        .open = from->open,
        .idle = from->idle,
        .requests = from->requests,
        .connects = from->connects,
        .connect_failures = from->connect_failures,
        .resets = from->resets,
        .timeouts = from->timeouts,
        .bytes_to = from->bytes_to,
        .bytes_from = from->bytes_from,
        .latency_sum = (double)from->latency * (double)from->requests,
    };
    memcpy(to->responses, from->responses, sizeof to->responses);
}

static void sheet_fill(struct mr_worker *w, void *argument)
{
    struct sheet *s = argument;
    const struct proxy *p = s->shared->instances[mr_worker_index(w)];
    s->now = mr_now(w);
    for (uint32_t i = 0; i < s->backend_count; i++)
        fill_backend(&s->backends[i], &p->backends[i], s->now);
    for (uint32_t i = 0; i < s->upstream_count; i++)
        s->upstreams[i] =
            (struct gather_upstream){p->upstreams[i].requests, p->upstreams[i].retries, p->upstreams[i].queued};
    for (uint32_t i = 0; i < PLAN_LISTENER_SLOTS; i++)
        s->listeners[i] = (struct gather_listener){p->listeners[i].connections, p->listeners[i].accepted};
    s->cache = p->cache != NULL;
    if (p->cache)
        hcache_statistics(p->cache, &s->statistics);
}

/* Both are rows of sums. */
static void add_words(void *to, const void *from, size_t bytes)
{
    uint64_t *sum = to;
    const uint64_t *part = from;
    for (size_t i = 0; i < bytes / sizeof *sum; i++)
        sum[i] += part[i];
}

static void add_backend(struct gather_backend *to, const struct gather_backend *from)
{
    to->removed = (to->removed || !to->used) && from->removed;
    to->used |= from->used;
    to->address = from->address;
    to->health_up += from->health_up;
    to->health_down += from->health_down;
    to->ejected += from->ejected;
    to->ejected_for = from->ejected_for > to->ejected_for ? from->ejected_for : to->ejected_for;
    add_words(&to->active, &from->active,
              offsetof(struct gather_backend, latency_sum) - offsetof(struct gather_backend, active));
    to->latency_sum += from->latency_sum;
}

static void add_sheet(struct gather *g, const struct sheet *s)
{
    g->answered++;
    for (uint32_t i = 0; i < g->backend_slots; i++)
        if (s->backends[i].used)
            add_backend(&g->backends[i], &s->backends[i]);
    add_words(g->upstreams, s->upstreams, g->upstream_slots * sizeof *g->upstreams);
    add_words(g->listeners, s->listeners, sizeof s->listeners);
    g->caches |= s->cache;
    if (s->cache)
        add_words(&g->cache, &s->statistics, sizeof g->cache);
}

int control_run(const struct mr_control *control, unsigned worker, mr_message_fn fn, void *argument, size_t bytes)
{
    void *copy = malloc(bytes);
    if (!copy)
        return MR_ERROR_NO_MEMORY;
    memcpy(copy, argument, bytes);
    int error = control->ask(control, worker, fn, copy);
    if (error == MR_ERROR_SILENT)
        return error; /* the copy is the worker's */
    if (error == MR_OK)
        memcpy(argument, copy, bytes);
    free(copy);
    return error;
}

static void ask_one(struct gather *g, struct proxy_shared *s, const struct mr_control *control, unsigned worker)
{
    size_t rows = g->backend_slots * sizeof *g->backends + g->upstream_slots * sizeof *g->upstreams;
    struct sheet *sheet = calloc(1, sizeof *sheet + rows);
    if (!sheet)
        return;
    sheet->shared = s;
    sheet->backend_count = g->backend_slots;
    sheet->upstream_count = g->upstream_slots;
    sheet->upstreams = (struct gather_upstream *)&sheet->backends[g->backend_slots];
    int error = control->ask(control, worker, sheet_fill, sheet);
    if (error == MR_OK)
        add_sheet(g, sheet);
    if (error != MR_ERROR_SILENT)
        free(sheet);
}

struct gather *control_gather(struct proxy_shared *s, const struct mr_control *control)
{
    const struct proxy_limits_config *limits = &s->plan->config->limits;
    struct gather *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    *g = (struct gather){.workers = control->workers,
                         .backend_slots = (uint32_t)limits->backends,
                         .upstream_slots = (uint32_t)limits->upstreams,
                         .backends = calloc(limits->backends, sizeof *g->backends),
                         .upstreams = calloc(limits->upstreams, sizeof *g->upstreams),
                         .listeners = calloc(PLAN_LISTENER_SLOTS, sizeof *g->listeners)};
    if (!g->backends || !g->upstreams || !g->listeners) {
        control_gather_free(g);
        return NULL;
    }
    for (unsigned i = 0; i < control->workers; i++)
        ask_one(g, s, control, i);
    return g;
}

void control_gather_free(struct gather *g)
{
    free(g->backends);
    free(g->upstreams);
    free(g->listeners);
    free(g);
}

const char *control_backend_state(const struct plan_backend *b, const struct plan_upstream *u, const struct gather *g)
{
    const struct gather_backend *now = &g->backends[b->slot];
    if (b->config->state == BACKEND_DISABLED)
        return "disabled";
    if (b->config->state == BACKEND_DRAIN)
        return "drain";
    if (now->ejected)
        return "ejected";
    if (now->health_down)
        return "down";
    return now->health_up || u->config->health.type == HEALTH_OFF ? "up" : "unchecked";
}

double control_backend_latency(const struct gather_backend *b)
{
    return b->requests ? b->latency_sum / (double)b->requests / (double)MR_MILLISECOND : 0;
}

double control_backend_reuse(const struct gather_backend *b)
{
    return b->requests > b->connects ? 1 - (double)b->connects / (double)b->requests : 0;
}
