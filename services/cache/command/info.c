/* INFO. Numbers are of all workers together, each true of some moment: other workers' are read while they go on. Asked for now and
 * then, so that a few system calls do no harm. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cache/blocked.h"
#include "cache/cache.h"
#include "cache/command/pubsub.h"
#include "cache/command/server.h"
#include "cache/command/table.h"
#include "cache/durable/log.h"

#define TEXT_MAX (64u << 10)

struct text {
    char *at, *end;
};

static void line(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void line(struct text *t, const char *format, ...)
{
    va_list arguments;
    size_t room = (size_t)(t->end - t->at);
    va_start(arguments, format);
    int n = vsnprintf(t->at, room, format, arguments);
    va_end(arguments);
    if (n < 0 || (size_t)n + 2 >= room)
        return; /* it ends before this line */
    t->at += n;
    *t->at++ = '\r';
    *t->at++ = '\n';
}

#define LOOK(value) __atomic_load_n(&(value), __ATOMIC_RELAXED)
/* A number of each instance, summed. */
#define SUM(cache, member)                                       \
    ({                                                           \
        uint64_t sum_ = 0;                                       \
        for (unsigned i_ = 0; i_ < (cache)->workers; i_++)       \
            sum_ += LOOK((cache)->shared->instance[i_]->member); \
        sum_;                                                    \
    })

/* -- counters since the last CONFIG RESETSTAT --------------------------------------------------------------------------------- */

static uint64_t counter_of(const struct cache *cache, enum cache_counter counter)
{
    const struct cache_store_stat *stat = &cache->store.stat;
    switch (counter) {
    case CACHE_COUNTER_HITS:
        return LOOK(stat->hits);
    case CACHE_COUNTER_MISSES:
        return LOOK(stat->misses);
    case CACHE_COUNTER_EXPIRED:
        return LOOK(stat->expired);
    case CACHE_COUNTER_EVICTED:
        return LOOK(stat->evicted);
    default:
        return LOOK(cache->counters[counter]);
    }
}

static uint64_t counted(const struct cache *cache, enum cache_counter counter)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < cache->workers; i++) {
        const struct cache *c = cache->shared->instance[i];
        n += counter_of(c, counter) - LOOK(c->counters_before[counter]);
    }
    return n;
}

void cache_info_reset(struct cache *cache)
{
    for (unsigned i = 0; i < CACHE_COUNTERS; i++)
        cache->counters_before[i] = counter_of(cache, (enum cache_counter)i);
    for (unsigned i = 0; i < cache_command_count(); i++)
        cache->command_calls[i] = cache->command_us[i] = 0;
    for (unsigned i = 0; i < CACHE_ERROR_CODES; i++)
        cache->errors[i].count = 0;
    cache->store.memory.used_peak = cache->store.memory.used;
}

/* -- sections --------------------------------------------------------------------------------------------------------------- */

static void section_server(const struct cache *cache, struct text *t)
{
    uint64_t up_s = (cache->now_ms - cache->shared->started_ms) / 1000;
    line(t, "redis_version:" CACHE_REDIS_VERSION);
    line(t, "redis_mode:standalone");
    line(t, "server_name:millrace");
    line(t, "millrace_version:%s", CACHE_MILLRACE_VERSION);
    line(t, "os:Linux");
    line(t, "arch_bits:%zu", 8 * sizeof(void *));
    line(t, "process_id:%d", (int)getpid());
    line(t, "run_id:%s", cache->shared->run_id);
    line(t, "tcp_port:%u", cache->config->listen.port);
    line(t, "memcached_port:%u", cache->config->memcached.port);
    line(t, "server_time_usec:%" PRIu64, cache->now_ms * 1000);
    line(t, "uptime_in_seconds:%" PRIu64, up_s);
    line(t, "uptime_in_days:%" PRIu64, up_s / 86400);
    line(t, "workers:%u", cache->workers);
    line(t, "config_file:");
}

static void section_clients(const struct cache *cache, struct text *t)
{
    uint64_t blocked = 0;
    for (unsigned i = 0; i < cache->workers; i++)
        blocked += cache_blocked_count(cache->shared->instance[i]);
    line(t, "connected_clients:%" PRIu64, SUM(cache, connections_open));
    line(t, "cluster_connections:0");
    line(t, "maxclients:%" PRIu64, cache->settings.clients_max * cache->workers);
    line(t, "blocked_clients:%" PRIu64, blocked);
    line(t, "tracking_clients:0");
}

/* As Redis shortens it: 1.50K. */
static const char *human(uint64_t bytes, char text[32])
{
    static const char units[] = "BKMGT";
    unsigned unit = 0;
    double value = (double)bytes;
    while (value >= 1024 && units[unit + 1]) {
        value /= 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(text, 32, "%" PRIu64 "B", bytes);
    else
        snprintf(text, 32, "%.2f%c", value, units[unit]);
    return text;
}

static void line_human(struct text *t, const char *name, uint64_t bytes)
{
    char text[32];
    line(t, "%s:%" PRIu64, name, bytes);
    line(t, "%s_human:%s", name, human(bytes, text));
}

static void section_memory(const struct cache *cache, struct text *t)
{
    uint64_t used = SUM(cache, store.memory.used), peak = SUM(cache, store.memory.used_peak);
    uint64_t clients = SUM(cache, clients.used), resident = SUM(cache, store.memory.resident);
    line_human(t, "used_memory", used);
    line_human(t, "used_memory_rss", resident);
    line_human(t, "used_memory_peak", peak);
    line(t, "used_memory_peak_perc:%.2f%%", peak ? 100.0 * (double)used / (double)peak : 0);
    line(t, "used_memory_dataset:%" PRIu64, used);
    line(t, "allocator_allocated:%" PRIu64, used);
    line(t, "allocator_resident:%" PRIu64, resident);
    line(t, "allocations:%" PRIu64, SUM(cache, store.memory.allocations));
    line_human(t, "maxmemory", cache->settings.memory_max);
    line(t, "maxmemory_policy:%s", cache->settings.policy);
    line(t, "mem_fragmentation_ratio:%.2f", used ? (double)resident / (double)used : 0);
    line(t, "mem_fragmentation_bytes:%" PRId64, (int64_t)(resident - used));
    line(t, "mem_clients_normal:%" PRIu64, clients);
    line(t, "mem_clients_slaves:0");
    line(t, "mem_allocator:millrace");
    line(t, "active_defrag_running:0");
}

static uint64_t changes_unsaved(const struct cache *cache)
{
    return SUM(cache, store.changes) - SUM(cache, saved_changes);
}

static void section_persistence(const struct cache *cache, struct text *t)
{
    struct cache_log_status s = {.last_rewrite_ok = true, .last_save_ok = true};
    if (cache->shared->log)
        cache_log_status(cache->shared->log, &s);
    line(t, "loading:0");
    line(t, "async_loading:0");
    line(t, "rdb_changes_since_last_save:%" PRIu64, changes_unsaved(cache));
    line(t, "rdb_bgsave_in_progress:%d", s.saving);
    line(t, "rdb_last_save_time:%" PRIu64, (s.last_save_ms ? s.last_save_ms : cache->shared->started_ms) / 1000);
    line(t, "rdb_last_bgsave_status:%s", s.last_save_ok ? "ok" : "err");
    line(t, "rdb_saves:%" PRIu64, s.saves);
    line(t, "aof_enabled:%d", s.log);
    line(t, "aof_rewrite_in_progress:%d", s.rewriting);
    line(t, "aof_rewrite_scheduled:0");
    line(t, "aof_last_bgrewrite_status:%s", s.last_rewrite_ok ? "ok" : "err");
    line(t, "aof_rewrites:%" PRIu64, s.rewrites);
    line(t, "aof_last_write_status:%s", s.error ? "err" : "ok");
    if (!s.log)
        return;
    line(t, "aof_current_size:%" PRIu64, s.bytes);
    line(t, "aof_base_size:%" PRIu64, s.base_bytes);
    line(t, "aof_buffer_length:%" PRIu64, s.pending_bytes);
    line(t, "aof_records:%" PRIu64, s.records);
    line(t, "aof_writes:%" PRIu64, s.writes);
    line(t, "aof_syncs:%" PRIu64, s.syncs);
    line(t, "aof_uring:%d", s.uring);
}

static void section_stats(const struct cache *cache, struct text *t)
{
    static const struct {
        const char *name;
        enum cache_counter counter;
    } rows[] = {
        {"total_connections_received", CACHE_COUNTER_CONNECTIONS},
        {"total_commands_processed", CACHE_COUNTER_COMMANDS},
        {"total_net_input_bytes", CACHE_COUNTER_BYTES_IN},
        {"total_net_output_bytes", CACHE_COUNTER_BYTES_OUT},
        {"total_net_output_lent_bytes", CACHE_COUNTER_BYTES_LENT},
        {"rejected_connections", CACHE_COUNTER_CONNECTIONS_REFUSED},
        {"expired_keys", CACHE_COUNTER_EXPIRED},
        {"evicted_keys", CACHE_COUNTER_EVICTED},
        {"evictions_deferred", CACHE_COUNTER_EVICTIONS_DEFERRED},
        {"oom_refused", CACHE_COUNTER_ROOM_REFUSED},
        {"keyspace_hits", CACHE_COUNTER_HITS},
        {"keyspace_misses", CACHE_COUNTER_MISSES},
        {"commands_forwarded", CACHE_COUNTER_COMMANDS_FORWARDED},
        {"shards_held", CACHE_COUNTER_HOLDS},
        {"worker_messages", CACHE_COUNTER_BATCHES},
        {"client_query_buffer_limit_disconnections", CACHE_COUNTER_QUERY_OVERFLOWS},
        {"client_output_buffer_limit_disconnections", CACHE_COUNTER_REPLY_OVERFLOWS},
        {"client_output_timeouts", CACHE_COUNTER_REPLY_TIMEOUTS},
        {"slow_commands", CACHE_COUNTER_SLOW_COMMANDS},
        {"total_error_replies", CACHE_COUNTER_COMMANDS_FAILED},
        {"messages_published", CACHE_COUNTER_MESSAGES_PUBLISHED},
        {"messages_delivered", CACHE_COUNTER_MESSAGES_DELIVERED},
        {"protocol_errors", CACHE_COUNTER_PROTOCOL_ERRORS},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        line(t, "%s:%" PRIu64, rows[i].name, counted(cache, rows[i].counter));
    line(t, "instantaneous_ops_per_sec:%" PRIu64, SUM(cache, commands_per_second));
    line(t, "instantaneous_input_kbps:%.2f", (double)SUM(cache, bytes_in_per_second) / 1024);
    line(t, "instantaneous_output_kbps:%.2f", (double)SUM(cache, bytes_out_per_second) / 1024);
}

static void section_replication(const struct cache *cache, struct text *t)
{
    line(t, "role:master");
    line(t, "connected_slaves:0");
    line(t, "master_failover_state:no-failover");
    line(t, "master_replid:%s", cache->shared->run_id);
    line(t, "master_repl_offset:0");
    line(t, "repl_backlog_active:0");
}

static void section_cpu(const struct cache *cache, struct text *t)
{
    struct rusage used;
    if (getrusage(RUSAGE_SELF, &used) != 0)
        return;
    line(t, "used_cpu_sys:%ld.%06ld", (long)used.ru_stime.tv_sec, (long)used.ru_stime.tv_usec);
    line(t, "used_cpu_user:%ld.%06ld", (long)used.ru_utime.tv_sec, (long)used.ru_utime.tv_usec);
    line(t, "used_cpu_sys_children:0.000000");
    line(t, "used_cpu_user_children:0.000000");
}

static void section_empty(const struct cache *cache, struct text *t)
{
}

/* Commands that are fast by their flag are not timed: their time is 0. */
static void section_commandstats(const struct cache *cache, struct text *t)
{
    for (unsigned i = 0; i < cache_command_count(); i++) {
        uint64_t calls = SUM(cache, command_calls[i]), us = SUM(cache, command_us[i]);
        if (calls)
            line(t, "cmdstat_%s:calls=%" PRIu64 ",usec=%" PRIu64 ",usec_per_call=%.2f", cache_command_at(i)->name,
                 calls, us, (double)us / (double)calls);
    }
}

static const char *error_code(const struct cache *cache, unsigned worker, unsigned i)
{
    return cache->shared->instance[worker]->errors[i].code;
}

/* Workers meet errors in another order each: a code is shown at the first worker that has it, with what all have. */
static void section_errorstats(const struct cache *cache, struct text *t)
{
    for (unsigned at = 0; at < cache->workers * CACHE_ERROR_CODES; at++) {
        const char *code = error_code(cache, at / CACHE_ERROR_CODES, at % CACHE_ERROR_CODES);
        uint64_t n = 0;
        bool shown = false;
        for (unsigned i = 0; code[0] && i < cache->workers * CACHE_ERROR_CODES; i++) {
            unsigned worker = i / CACHE_ERROR_CODES, row = i % CACHE_ERROR_CODES;
            bool same = strcmp(error_code(cache, worker, row), code) == 0;
            shown |= same && i < at;
            n += same ? LOOK(cache->shared->instance[worker]->errors[row].count) : 0;
        }
        if (n && !shown)
            line(t, "errorstat_%s:count=%" PRIu64, code, n);
    }
}

static void section_cluster(const struct cache *cache, struct text *t)
{
    line(t, "cluster_enabled:0");
}

static void section_keyspace(const struct cache *cache, struct text *t)
{
    for (unsigned i = 0; i < CACHE_DATABASES; i++) {
        uint64_t keys = cache_keys_count(cache, i);
        if (keys)
            line(t, "db%u:keys=%" PRIu64 ",expires=%" PRIu64 ",avg_ttl=0", i, keys, SUM(cache, store.keys_expiring[i]));
    }
}

enum { BY_DEFAULT = 1, IN_ALL = 2 };

static const struct {
    const char *name, *title;
    void (*write)(const struct cache *cache, struct text *t);
    unsigned when; /* INFO alone, INFO all; INFO everything has them all */
} sections[] = {
    {"server", "Server", section_server, BY_DEFAULT | IN_ALL},
    {"clients", "Clients", section_clients, BY_DEFAULT | IN_ALL},
    {"memory", "Memory", section_memory, BY_DEFAULT | IN_ALL},
    {"persistence", "Persistence", section_persistence, BY_DEFAULT | IN_ALL},
    {"stats", "Stats", section_stats, BY_DEFAULT | IN_ALL},
    {"replication", "Replication", section_replication, BY_DEFAULT | IN_ALL},
    {"cpu", "CPU", section_cpu, BY_DEFAULT | IN_ALL},
    {"modules", "Modules", section_empty, BY_DEFAULT},
    {"commandstats", "Commandstats", section_commandstats, IN_ALL},
    {"errorstats", "Errorstats", section_errorstats, BY_DEFAULT | IN_ALL},
    {"cluster", "Cluster", section_cluster, BY_DEFAULT | IN_ALL},
    {"keyspace", "Keyspace", section_keyspace, BY_DEFAULT | IN_ALL},
};
#define SECTIONS (sizeof sections / sizeof *sections)

/* A bit for each section that a word means. */
static unsigned sections_of(const struct cache_argument *a)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < SECTIONS; i++)
        if (cache_argument_is(a, sections[i].name) || cache_argument_is(a, "everything") ||
            (cache_argument_is(a, "all") && sections[i].when & IN_ALL) ||
            (cache_argument_is(a, "default") && sections[i].when & BY_DEFAULT))
            mask |= 1u << i;
    return mask;
}

enum cache_outcome cache_command_info(struct cache_call *call)
{
    static const struct cache_argument by_default = {.data = (const uint8_t *)"default", .length = 7};
    char bytes[TEXT_MAX];
    struct text t = {bytes, bytes + sizeof bytes};
    unsigned mask = call->argc == 1 ? sections_of(&by_default) : 0;
    for (unsigned i = 1; i < call->argc; i++)
        mask |= sections_of(&call->argv[i]);
    for (unsigned i = 0; i < SECTIONS; i++) {
        if (!(mask & 1u << i))
            continue;
        if (t.at != bytes)
            line(&t, "%s", "");
        line(&t, "# %s", sections[i].title);
        sections[i].write(call->cache, &t);
    }
    cache_reply_verbatim(call->reply, "txt", bytes, (size_t)(t.at - bytes));
    return CACHE_DONE;
}
