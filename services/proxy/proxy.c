/* The service as the rest sees it: counters, start and stop of an instance; what drains is cut here. */
#include "proxy/proxy.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config/config_tree.h"
#include "proxy/cache/hcache.h"
#include "proxy/control/control.h"
#include "proxy/health/health.h"
#include "proxy/http/session.h"
#include "proxy/l4/l4.h"

#define CLOCK_INTERVAL (60 * MR_SECOND)
#define BUFFER_ROOM    4096 /* beyond a head: what we write besides into one (Via, Forwarded, ...) */

static const struct mr_service_counter proxy_counters[] = {
#define COUNTER(symbol, name, sentence) {name, sentence, false},
#define GAUGE(symbol, name, sentence)   {name, sentence, true},
#include "proxy/counter.def"
#undef COUNTER
#undef GAUGE
    {0},
};

/* -- draining -------------------------------------------------------------------------------------------------------------- */

/* Whether it is time; what comes later is remembered in *next. */
static bool drain_due(mr_time *until, mr_time now, mr_time *next)
{
    bool due = *until && *until <= now;
    if (due)
        *until = 0;
    else if (*until && *until < *next)
        *next = *until;
    return due;
}

/* Of a backend's slot; UINT32_MAX: of the listeners whose time is over. */
static void cut_all(struct proxy *p, uint32_t slot)
{
    session_cut(p, slot);
    l4_cut(p, slot);
}

static void drain_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct proxy *p = t->context;
    mr_time now = mr_now(w), next = MR_NEVER;
    bool listeners = false;
    for (uint32_t i = 0; i < PLAN_LISTENER_SLOTS; i++)
        listeners |= drain_due(&p->listeners[i].drain_until, now, &next);
    if (listeners)
        cut_all(p, UINT32_MAX);
    for (uint32_t i = 0; i < p->limits.backends; i++)
        if (drain_due(&p->backends[i].drain_until, now, &next))
            cut_all(p, i);
    p->drain_next = next;
    if (next != MR_NEVER)
        mr_timer_set(w, t, next);
}

void proxy_drain_end(struct proxy *p)
{
    for (uint32_t i = 0; i < PLAN_LISTENER_SLOTS; i++)
        if (!p->listeners[i].plan)
            p->listeners[i].drain_until = 0;
    cut_all(p, UINT32_MAX);
    for (uint32_t i = 0; i < p->limits.backends; i++)
        if (!p->backends[i].plan && p->backends[i].active > 0)
            cut_all(p, i);
}

/* -- the wall clock: read by an offload thread, for nobody reads a clock here --------------------------------------------- */

static int64_t wall_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void clock_read(void *argument)
{
    struct proxy *p = argument;
    p->clock_wall_ns = wall_ns();
}

static void proxy_destroy(struct proxy *p);

static void clock_done(struct mr_worker *w, void *argument)
{
    struct proxy *p = argument;
    p->clock_asked = false;
    if (p->released)
        proxy_destroy(p);
    else
        http_clock_set(&p->clock, mr_now(w), p->clock_wall_ns);
}

static void clock_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct proxy *p = t->context;
    if (!p->clock_asked)
        p->clock_asked = mr_offload(w, clock_read, clock_done, p) == MR_OK;
    mr_timer_set(w, t, mr_now(w) + CLOCK_INTERVAL);
}

/* -- start and stop -------------------------------------------------------------------------------------------------------- */

/* In the order of start; release goes backwards. */
static const struct {
    int (*start)(struct proxy *p);
    void (*stop)(struct proxy *p);
    void (*release)(struct proxy *p);
} parts[] = {
    {upstream_start, upstream_stop, upstream_release},
    {health_start, health_stop, health_release},
    {hcache_start, NULL, hcache_release},
    {l4_start, l4_stop, l4_release},
    {session_start, session_stop, session_release},
};
#define PARTS (sizeof parts / sizeof *parts)

static void proxy_destroy(struct proxy *p)
{
    free(p->listeners);
    free(p->upstreams);
    free(p->backends);
    free(p->buffers);
    free(p);
}

static void proxy_parts_release(struct proxy *p)
{
    mr_timer_cancel(p->worker, &p->clock_timer);
    mr_timer_cancel(p->worker, &p->drain_timer);
    while (p->parts > 0)
        parts[--p->parts].release(p);
    plan_leave(p);
}

/* Everything that an instance will ever hold is asked for here; pages that are not touched are not there. */
static bool proxy_memory(struct proxy *p)
{
    p->buffer_bytes = (uint32_t)p->limits.header_bytes + BUFFER_ROOM;
    p->buffer_stride = (sizeof(struct proxy_buffer) + p->buffer_bytes + 63) / 64 * 64;
    p->buffers = calloc(p->limits.buffers, p->buffer_stride);
    p->listeners = calloc(PLAN_LISTENER_SLOTS, sizeof *p->listeners);
    p->upstreams = calloc(p->limits.upstreams, sizeof *p->upstreams);
    p->backends = calloc(p->limits.backends, sizeof *p->backends);
    return p->buffers && p->listeners && p->upstreams && p->backends;
}

static struct proxy *proxy_create(struct mr_worker *w, struct proxy_shared *shared, uint64_t *counters)
{
    struct proxy *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->worker = w;
    p->counters = counters;
    p->shared = shared;
    p->limits = shared->plan->config->limits;
    p->wire_limits = (struct http_wire_limits){(uint32_t)p->limits.line_bytes, (uint32_t)p->limits.header_bytes,
                                               (uint32_t)p->limits.header_count};
    http_clock_set(&p->clock, mr_now(w), wall_ns());
    mr_timer_init(&p->clock_timer, clock_expired, p);
    mr_timer_init(&p->drain_timer, drain_expired, p);
    if (proxy_memory(p))
        return p;
    proxy_destroy(p);
    return NULL;
}

static int proxy_parts_start(struct proxy *p)
{
    const struct plan_listener *failed = NULL;
    int error = MR_OK;
    p->plan = p->shared->plan; /* to look at: the worker does not use it before it is applied */
    for (; error == MR_OK && p->parts < PARTS; p->parts += error == MR_OK)
        error = parts[p->parts].start(p);
    p->plan = NULL;
    if (error == MR_OK)
        error = plan_apply(p, p->shared->plan, &failed);
    if (failed)
        mr_log(MR_LOG_ERROR, "proxy", "listener %s: %s", failed->config->name, mr_error_text(error));
    return error;
}

static int proxy_start(struct mr_worker *w, const void *config, uint64_t *counters, void **state)
{
    (void)config; /* the plan has a copy */
    struct proxy_shared *shared = *state;
    struct proxy *p = proxy_create(w, shared, counters);
    if (!p)
        return MR_ERROR_NO_MEMORY;
    mr_random_seed(&shared->random[mr_worker_index(w)].random, mr_random(w));
    int error = proxy_parts_start(p);
    if (error != MR_OK) {
        proxy_parts_release(p);
        proxy_destroy(p);
        return error;
    }
    mr_timer_set(w, &p->clock_timer, mr_now(w) + CLOCK_INTERVAL);
    shared->instances[mr_worker_index(w)] = p;
    *state = p;
    return MR_OK;
}

/* Listeners close; what is under way has drain_timeout, as when each had been removed. */
static void proxy_stop(struct mr_worker *w, void *state)
{
    struct proxy *p = state;
    p->stopping = true;
    plan_stop(p);
    for (size_t i = PARTS; i-- > 0;)
        if (parts[i].stop)
            parts[i].stop(p);
    mr_timer_cancel(w, &p->clock_timer);
}

static void proxy_release(struct mr_worker *w, void *state)
{
    struct proxy *p = state;
    p->shared->instances[mr_worker_index(w)] = NULL;
    p->released = true;
    proxy_parts_release(p);
    if (!p->clock_asked) /* else whoever reads the clock comes back last */
        proxy_destroy(p);
}

/* -- what instances share -------------------------------------------------------------------------------------------------- */

static void proxy_close(void *argument)
{
    struct proxy_shared *s = argument;
    if (s->plan)
        plan_retire(s, s->plan);
    plan_sweep(s);
    plan_slots_free(s->slots);
    pthread_mutex_destroy(&s->lock);
    free(s->instances);
    free(s->random);
    free(s);
}

static int proxy_open(const void *configuration, unsigned workers, void **shared)
{
    const struct proxy_config *config = configuration;
    char message[256] = "no memory";
    struct proxy_shared *s = calloc(1, sizeof *s);
    if (!s)
        return MR_ERROR_NO_MEMORY;
    s->workers = workers;
    pthread_mutex_init(&s->lock, NULL);
    s->instances = calloc(workers, sizeof(struct proxy *));
    s->random = calloc(workers, sizeof *s->random);
    s->slots = plan_slots_create(&config->limits);
    struct proxy_config *copy = config_tree_clone(proxy_keys, sizeof *copy, config);
    if (copy && s->instances && s->random && s->slots)
        s->plan = plan_build(s, copy, message, sizeof message);
    if (!s->plan) {
        mr_log(MR_LOG_ERROR, "proxy", "%s", message);
        proxy_close(s);
        return MR_ERROR_INVALID;
    }
    *shared = s;
    return MR_OK;
}

const struct mr_service proxy_service = {
    .name = "proxy",
    .sentence = "layer 4 and HTTP/1.1 to backends: balanced, checked, cached, changed while running",
    .config_bytes = sizeof(struct proxy_config),
    .keys = proxy_keys,
    .counters = proxy_counters,
    .check_value = proxy_config_check_value,
    .open = proxy_open,
    .close = proxy_close,
    .start = proxy_start,
    .stop = proxy_stop,
    .release = proxy_release,
    .command = proxy_command,
    .reconfigure = proxy_reconfigure,
    .configuration = proxy_configuration,
};
