/* The service as the rest sees it: counters, what all instances share, start and stop of one, and what comes once a second. */
#include <errno.h>
#include <inttypes.h>
#include <millrace/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "queue/amqp/server.h"
#include "queue/broker.h"
#include "queue/catalog/catalog.h"
#include "queue/config.h"
#include "queue/control/control.h"
#include "queue/core/queue.h"
#include "queue/disk.h"
#include "queue/interface/interface.h"
#include "queue/log/log.h"
#include "queue/notice.h"
#include "queue/shard/shard.h"

static const struct mr_service_counter queue_counters[] = {
#define COUNTER(symbol, name, sentence) {name, sentence, false},
#define GAUGE(symbol, name, sentence)   {name, sentence, true},
#include "queue/counter.def"
#undef COUNTER
#undef GAUGE
    {0}};

/* -- what all instances share ------------------------------------------------------------------------------------------------ */

static int queue_open(const void *configuration, unsigned workers, void **out)
{
    struct broker_shared *shared = calloc(1, sizeof *shared);
    if (!shared || workers > QUEUE_WORKERS_MAX) {
        free(shared);
        return MR_ERROR_NO_MEMORY;
    }
    struct queue_config *config = queue_config_complete(configuration, workers);
    shared->workers = workers;
    shared->config = config;
    if (gethostname(shared->node, sizeof shared->node - 1) != 0 || !*shared->node)
        snprintf(shared->node, sizeof shared->node, "millrace");
    int error = config ? catalog_source_open(shared, &shared->source) : MR_ERROR_INVALID;
    if (error == MR_OK) {
        *out = shared;
        return MR_OK;
    }
    if (config)
        queue_config_free(config);
    free(shared);
    return error;
}

/* Messages of one worker may have been lent to streams of another, so nothing is freed before all have ended. */
static void broker_destroy(struct broker *b)
{
    if (b->interface)
        interface_release(b);
    if (b->queues)
        queue_set_release(b);
    if (b->catalog)
        catalog_release(b);
    if (b->engine)
        qlog_engine_close(b->engine);
    broker_shard_release(b);
    memory_release(&b->memory);
    b->shared->instance[b->index] = NULL;
    free(b);
}

static void queue_close(void *state)
{
    struct broker_shared *shared = state;
    for (unsigned i = 0; i < shared->workers; i++)
        if (shared->instance[i])
            broker_destroy(shared->instance[i]);
    catalog_source_close(shared->source);
    queue_config_free((struct queue_config *)(uintptr_t)shared->config);
    free(shared);
}

/* -- what comes once a second -------------------------------------------------------------------------------------------------- */

static int64_t unix_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

#define DRIFT_MAX_NS 100000000

/* The wall clock may be set while we run. In virtual time there is none to follow: mr_now goes its own way then. */
static void wall_clock_follow(struct broker *b)
{
    int64_t drift = monotonic_ns() - (int64_t)mr_now(b->worker) - b->monotonic_offset_ns;
    if (drift < DRIFT_MAX_NS && drift > -DRIFT_MAX_NS)
        b->unix_offset_ns = unix_ns() - (int64_t)mr_now(b->worker);
}

static void log_gauges(struct broker *b)
{
    struct qlog_status status;
    if (!b->engine)
        return;
    qlog_status(b->engine, &status);
    b->counters[QUEUE_COUNTER_LOG_PENDING_BYTES] = status.pending_bytes;
    b->counters[QUEUE_COUNTER_SYNC_MICROSECONDS] = status.sync_ns_last / 1000;
}

/* Not the packet path. */
static void second_expired(struct mr_worker *w, struct mr_timer *t)
{
    struct broker *b = t->context;
    wall_clock_follow(b);
    queue_set_second(b);
    amqp_server_second(b);
    broker_memory_look(b);
    queue_disk_look(b);
    broker_notice_second(b);
    b->counters[QUEUE_COUNTER_MEMORY_BYTES] = b->memory.used;
    log_gauges(b);
    mr_timer_set(w, t, mr_now(w) + MR_SECOND);
}

/* -- instance ------------------------------------------------------------------------------------------------------------------- */

static void log_advanced(void *context, struct qlog *log)
{
    catalog_log_advanced(context, log);
    queue_log_advanced(context, log);
}

static void log_state(void *context, int error)
{
    struct broker *b = context;
    b->counters[QUEUE_COUNTER_LOG_ERRORS] += error != 0;
    broker_alarm_set(b, BROKER_ALARM_LOG, error != 0 || !qlog_ready(b->engine));
}

#define PENDING_BYTES_MIN (UINT64_C(8) << 20)

/* What is appended and not written is part of what the messages may take. */
static int engine_start(struct broker *b)
{
    const struct qlog_engine_hooks hooks = {.advanced = log_advanced, .state = log_state, .context = b};
    uint64_t pending = b->memory.limit / 4;
    struct qlog_engine_options options = {
        .folder = b->config->folder, .pending_bytes_max = pending > PENDING_BYTES_MIN ? pending : PENDING_BYTES_MIN};
    return b->config->folder ? qlog_engine_open(&options, &hooks, b->worker, &b->engine) : MR_OK;
}

#define REGION_MAX (UINT64_C(63) << 30)

static int memory_start(struct broker *b)
{
    uint64_t limit = b->config->memory_max / b->workers;
    if (limit > REGION_MAX) {
        mr_log(MR_LOG_ERROR, "queue", "memory_max is %" PRIu64 " GiB a worker, no more than 63 are possible",
               limit >> 30);
        return MR_ERROR_INVALID;
    }
    return memory_init(&b->memory, limit < REGION_MAX / 2 ? 2 * limit : REGION_MAX, limit) ? MR_OK : MR_ERROR_NO_MEMORY;
}

static int parts_start(struct broker *b)
{
    static const struct catalog_hooks hooks = {
        .queue_added = queue_added, .queue_removed = queue_removed, .exchange_removed = NULL};
    int error = memory_start(b);
    if (error == MR_OK)
        error = engine_start(b);
    if (error != MR_OK)
        return error;
    if (!broker_shard_start(b) || !queue_set_start(b) || !catalog_start(b, &hooks) || !interface_start(b))
        return MR_ERROR_NO_MEMORY;
    queue_set_ready(b);
    return amqp_server_start(b);
}

static int queue_start(struct mr_worker *w, const void *configuration, uint64_t *counters, void **state)
{
    struct broker_shared *shared = *state;
    struct broker *b = calloc(1, sizeof *b);
    *state = NULL;
    if (!b)
        return MR_ERROR_NO_MEMORY;
    *b = (struct broker){.worker = w,
                         .counters = counters,
                         .shared = shared,
                         .config = shared->config,
                         .index = mr_worker_index(w),
                         .workers = shared->workers,
                         .monotonic_offset_ns = monotonic_ns() - (int64_t)mr_now(w),
                         .unix_offset_ns = unix_ns() - (int64_t)mr_now(w)};
    shared->instance[b->index] = b;
    mr_timer_init(&b->second, second_expired, b);
    mr_timer_set(w, &b->second, mr_now(w) + MR_SECOND);
    int error = parts_start(b);
    if (error == MR_OK) {
        *state = b;
        return MR_OK;
    }
    mr_timer_cancel(w, &b->second);  /* the rest is taken back by `close` */
    b->counters = b->counters_after; /* the worker frees its own at once */
    return error;
}

static void queue_stop(struct mr_worker *w, void *state)
{
    struct broker *b = state;
    b->stopping = true;
    amqp_server_stop(b);
    queue_set_stop(b);
}

static void queue_release(struct mr_worker *w, void *state)
{
    struct broker *b = state;
    mr_timer_cancel(w, &b->second);
    interface_stop(b);
    amqp_server_release(b);
    if (b->engine)
        qlog_engine_stop(b->engine);
    b->counters = b->counters_after; /* the worker frees its own; what is given back in `close` is still counted */
}

const struct mr_service queue_service = {.name = "queue",
                                         .sentence = "Durable queues for the clients of RabbitMQ (AMQP 0-9-1)",
                                         .config_bytes = sizeof(struct queue_config),
                                         .keys = queue_keys,
                                         .counters = queue_counters,
                                         .check_value = queue_config_check,
                                         .open = queue_open,
                                         .close = queue_close,
                                         .start = queue_start,
                                         .stop = queue_stop,
                                         .release = queue_release,
                                         .command = queue_command};
