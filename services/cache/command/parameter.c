/* The parameters of CONFIG. Names, bounds and texts are those of Redis 7.0. */
#include "cache/command/parameter.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cache/command/session.h"
#include "cache/command/slowlog.h"
#include "cache/durable/log.h"

#define WORD_MAX 600 /* bytes of a value that is looked at as text */

static bool refuse(char *why, const char *text)
{
    snprintf(why, CACHE_PARAMETER_WHY_MAX, "%s", text);
    return false;
}

/* The argument as text that ends with a zero; false: too long, or there is a zero in it. */
static bool word(const struct cache_argument *a, char text[WORD_MAX])
{
    if (!a->data || a->length >= WORD_MAX || memchr(a->data, 0, a->length))
        return false;
    memcpy(text, a->data, a->length);
    text[a->length] = 0;
    return true;
}

/* -- numbers ------------------------------------------------------------------------------------------------------------- */

/* "100", "64kb" (1024s), "64k" (1000s). */
static bool memory_read(const struct cache_argument *a, uint64_t *bytes)
{
    static const struct {
        const char *name;
        uint64_t factor;
    } units[] = {{"", 1},        {"b", 1},        {"k", 1000},       {"kb", 1 << 10},
                 {"m", 1000000}, {"mb", 1 << 20}, {"g", 1000000000}, {"gb", 1 << 30}};
    uint32_t digits = 0;
    uint64_t value = 0;
    for (; a->data && digits < a->length && a->data[digits] >= '0' && a->data[digits] <= '9'; digits++)
        if (__builtin_mul_overflow(value, UINT64_C(10), &value) ||
            __builtin_add_overflow(value, a->data[digits] - (unsigned)'0', &value))
            return false;
    if (!digits)
        return false;
    struct cache_argument unit = {.data = a->data + digits, .length = a->length - digits};
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (cache_argument_is(&unit, units[i].name))
            return !__builtin_mul_overflow(value, units[i].factor, bytes) && *bytes <= INT64_MAX;
    return false;
}

static bool bounded(int64_t value, int64_t minimum, int64_t maximum, char *why)
{
    if (value >= minimum && value <= maximum)
        return true;
    snprintf(why, CACHE_PARAMETER_WHY_MAX, "argument must be between %" PRId64 " and %" PRId64 " inclusive", minimum,
             maximum);
    return false;
}

static bool integer_read(const struct cache_argument *a, int64_t minimum, int64_t maximum, int64_t *value, char *why)
{
    if (!cache_argument_integer(a, value))
        return refuse(why, "argument couldn't be parsed into an integer");
    return bounded(*value, minimum, maximum, why);
}

static bool yes_no_read(const struct cache_argument *a, int64_t *value, char *why)
{
    *value = cache_argument_is(a, "yes");
    return *value || cache_argument_is(a, "no") || refuse(why, "argument must be 'yes' or 'no'");
}

/* -- memory and eviction --------------------------------------------------------------------------------------------------- */

static void maxmemory_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    snprintf(text, CACHE_PARAMETER_TEXT_MAX, "%" PRIu64, s->memory_max);
}

/* There is always a limit: 0 means the one that was configured. More than the region of a shard cannot be had. */
static bool maxmemory_set(const struct cache *cache, struct cache_settings *s, const struct cache_argument *a,
                          char *why)
{
    uint64_t bytes;
    if (!memory_read(a, &bytes))
        return refuse(why, "argument must be a memory value");
    if (bytes / cache->workers > cache->store.memory.region_bytes) {
        snprintf(why, CACHE_PARAMETER_WHY_MAX, "no more than %" PRIu64 " bytes can be had without a restart",
                 cache->store.memory.region_bytes * cache->workers);
        return false;
    }
    s->memory_max = bytes ? bytes : cache->config->memory_max;
    return true;
}

static void policy_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    snprintf(text, CACHE_PARAMETER_TEXT_MAX, "%s", s->policy);
}

static bool policy_set(const struct cache *cache, struct cache_settings *s, const struct cache_argument *a, char *why)
{
    char name[WORD_MAX];
    const struct cache_evict_policy *policy = word(a, name) ? cache_evict_find(name) : NULL;
    if (policy) {
        snprintf(s->policy, sizeof s->policy, "%s",
                 policy->name); /* not the short name: clients look for "lfu" in it */
        return true;
    }
    size_t n = (size_t)snprintf(why, CACHE_PARAMETER_WHY_MAX, "argument(s) must be one of the following: ");
    for (unsigned i = 0; cache_evict_policies[i] && n < CACHE_PARAMETER_WHY_MAX; i++)
        n += (size_t)snprintf(why + n, CACHE_PARAMETER_WHY_MAX - n, "%s%s", i ? ", " : "",
                              cache_evict_policies[i]->name);
    return false;
}

/* -- clients --------------------------------------------------------------------------------------------------------------- */

static void password_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    snprintf(text, CACHE_PARAMETER_TEXT_MAX, "%s", s->password);
}

static bool password_set(const struct cache *cache, struct cache_settings *s, const struct cache_argument *a, char *why)
{
    char text[WORD_MAX];
    if (!word(a, text) || a->length >= sizeof s->password)
        return refuse(why, "a password has at most 511 bytes, none of them zero");
    memset(s->password, 0, sizeof s->password);
    memcpy(s->password, text, a->length);
    return true;
}

/* Shown for all workers together; each lets in its part. */
static void maxclients_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    snprintf(text, CACHE_PARAMETER_TEXT_MAX, "%" PRIu64, s->clients_max * cache->workers);
}

static bool maxclients_set(const struct cache *cache, struct cache_settings *s, const struct cache_argument *a,
                           char *why)
{
    int64_t n;
    uint64_t most = cache->config->connections_max * cache->workers;
    if (!integer_read(a, 1, UINT32_MAX, &n, why))
        return false;
    if ((uint64_t)n > most) {
        snprintf(why, CACHE_PARAMETER_WHY_MAX,
                 "The operating system is not able to handle the specified number of clients, try with %" PRIu64, most);
        return false;
    }
    s->clients_max = ((uint64_t)n + cache->workers - 1) / cache->workers;
    return true;
}

static void output_limit_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    snprintf(text, CACHE_PARAMETER_TEXT_MAX, "normal %" PRIu64 " 0 0 slave 0 0 0 pubsub %" PRIu64 " 0 0",
             s->reply_bytes_max, s->push_bytes_max);
}

static bool class_limit_set(const struct cache *cache, struct cache_settings *s, const struct cache_argument part[4],
                            char *why)
{
    uint64_t hard, soft;
    int64_t seconds;
    bool normal = cache_argument_is(&part[0], "normal"), pubsub = cache_argument_is(&part[0], "pubsub");
    if (!normal && !pubsub && !cache_argument_is(&part[0], "slave") && !cache_argument_is(&part[0], "replica"))
        return refuse(why, "Invalid client class specified in buffer limit configuration.");
    if (!memory_read(&part[1], &hard) || !memory_read(&part[2], &soft) || !cache_argument_integer(&part[3], &seconds) ||
        seconds < 0)
        return refuse(why, "Error in hard, soft or soft_seconds setting in buffer limit configuration.");
    if (normal)
        s->reply_bytes_max = hard ? hard : cache->config->reply_bytes_max;
    if (pubsub)
        s->push_bytes_max = hard ? hard : cache->config->push_bytes_max;
    return true;
}

#define WORDS_MAX 16

/* "word word ...": how many, or WORDS_MAX + 1. */
static unsigned words_split(const char *text, struct cache_argument words[WORDS_MAX])
{
    unsigned n = 0;
    for (text += strspn(text, " "); *text; text += strspn(text, " ")) {
        size_t length = strcspn(text, " ");
        if (n == WORDS_MAX)
            return WORDS_MAX + 1;
        words[n++] = (struct cache_argument){.data = (const uint8_t *)text, .length = (uint32_t)length};
        text += length;
    }
    return n;
}

/* Hard limits alone count here, and there is always one: 0 means the one that was configured. */
static bool output_limit_set(const struct cache *cache, struct cache_settings *s, const struct cache_argument *a,
                             char *why)
{
    char text[WORD_MAX];
    struct cache_argument words[WORDS_MAX];
    unsigned n = word(a, text) ? words_split(text, words) : 0;
    if (!n || n > WORDS_MAX || n % 4)
        return refuse(why, "Wrong number of arguments in buffer limit configuration.");
    for (unsigned i = 0; i < n; i += 4)
        if (!class_limit_set(cache, s, &words[i], why))
            return false;
    return true;
}

/* -- durability -------------------------------------------------------------------------------------------------------------- */

static void appendonly_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    strcpy(text, cache->config->durability == CACHE_DURABLE_LOG ? "yes" : "no");
}

static bool appendonly_set(const struct cache *cache, struct cache_settings *s, const struct cache_argument *a,
                           char *why)
{
    int64_t wanted;
    if (!yes_no_read(a, &wanted, why))
        return false;
    return wanted == (cache->config->durability == CACHE_DURABLE_LOG) ||
           refuse(why, "durability is chosen in the configuration file and not while running");
}

static void appendfsync_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    static const char *const names[] = {"always", "everysec", "no"};
    strcpy(text, names[s->fsync]);
}

static bool appendfsync_set(const struct cache *cache, struct cache_settings *s, const struct cache_argument *a,
                            char *why)
{
    if (cache_argument_is(a, "always"))
        s->fsync = CACHE_FSYNC_ALWAYS;
    else if (cache_argument_is(a, "everysec"))
        s->fsync = CACHE_FSYNC_EVERYSEC;
    else if (cache_argument_is(a, "no"))
        s->fsync = CACHE_FSYNC_NO;
    else
        return refuse(why, "argument(s) must be one of the following: everysec, always, no");
    return true;
}

static bool save_set(const struct cache *cache, struct cache_settings *s, const struct cache_argument *a, char *why)
{
    char text[WORD_MAX];
    struct cache_argument words[WORDS_MAX];
    unsigned n = word(a, text) ? words_split(text, words) : 1;
    int64_t seconds, changes;
    for (unsigned i = 0; i < n; i += 2)
        if (n % 2 || n > WORDS_MAX || !cache_argument_integer(&words[i], &seconds) || seconds < 1 ||
            !cache_argument_integer(&words[i + 1], &changes) || changes < 0)
            return refuse(why, "Invalid save parameters");
    return n == 0 || refuse(why, "snapshots are taken when SAVE or BGSAVE asks for them, not by themselves");
}

/* -- fixed ------------------------------------------------------------------------------------------------------------------- */

static void port_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    snprintf(text, CACHE_PARAMETER_TEXT_MAX, "%u", cache->config->listen.port);
}

static void bind_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    if (mr_address_is_any(&cache->config->listen.address))
        strcpy(text, "*");
    else
        mr_address_text(&cache->config->listen.address, text);
}

static void folder_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    snprintf(text, CACHE_PARAMETER_TEXT_MAX, "%s", cache->config->folder ? cache->config->folder : ".");
}

static void workers_show(const struct cache *cache, const struct cache_settings *s, char *text)
{
    snprintf(text, CACHE_PARAMETER_TEXT_MAX, "%u", cache->workers);
}

/* -- the table --------------------------------------------------------------------------------------------------------------- */

#define AT(member) offsetof(struct cache_settings, member)
#define INTEGER(text, member, lo, hi)                                  \
    {                                                                  \
        text, CACHE_PARAMETER_INTEGER, AT(member), lo, hi, .preset = 0 \
    }
#define MEMORY(text, member, lo, hi)                                  \
    {                                                                 \
        text, CACHE_PARAMETER_MEMORY, AT(member), lo, hi, .preset = 0 \
    }
#define OWN(name, shown, taken)                                    \
    {                                                              \
        name, CACHE_PARAMETER_OWN, .show = (shown), .set = (taken) \
    }
#define FIXED(name, value)                           \
    {                                                \
        name, CACHE_PARAMETER_FIXED, .text = (value) \
    }
#define FIXED_SHOW(name, shown)                      \
    {                                                \
        name, CACHE_PARAMETER_FIXED, .show = (shown) \
    }
#define IMMUTABLE(name, value)                           \
    {                                                    \
        name, CACHE_PARAMETER_IMMUTABLE, .text = (value) \
    }
/* Taken and shown, without effect: clients and test suites set them by habit, and nothing here has such a knob. */
#define ACCEPT(name, i, lo, hi, begin)                                            \
    {                                                                             \
        name, CACHE_PARAMETER_INTEGER, AT(accepted[i]), lo, hi, .preset = (begin) \
    }
#define ACCEPT_YES_NO(name, i, begin)                                          \
    {                                                                          \
        name, CACHE_PARAMETER_YES_NO, AT(accepted[i]), 0, 1, .preset = (begin) \
    }

const struct cache_parameter cache_parameters[] = {
    OWN("maxmemory", maxmemory_show, maxmemory_set),
    OWN("maxmemory-policy", policy_show, policy_set),
    OWN("requirepass", password_show, password_set),
    OWN("maxclients", maxclients_show, maxclients_set),
    OWN("client-output-buffer-limit", output_limit_show, output_limit_set),
    OWN("appendonly", appendonly_show, appendonly_set),
    OWN("appendfsync", appendfsync_show, appendfsync_set),
    {"save", CACHE_PARAMETER_OWN, .text = "", .set = save_set},
    INTEGER("timeout", timeout_s, 0, INT_MAX),
    INTEGER("slowlog-log-slower-than", slowlog_slower_than_us, -1, INT64_MAX),
    INTEGER("slowlog-max-len", slowlog_length_max, 0, INT64_MAX),
    INTEGER("auto-aof-rewrite-percentage", rewrite_percentage, 0, INT_MAX),
    MEMORY("auto-aof-rewrite-min-size", rewrite_bytes_min, 0, INT64_MAX),
    MEMORY("proto-max-bulk-len", proto_max_bulk_len, 1 << 20, CACHE_VALUE_MAX),
    MEMORY("client-query-buffer-limit", query_bytes_max, 1 << 20, INT64_MAX),
    INTEGER("hash-max-listpack-entries", limits.hash_max_listpack_entries, 0, INT64_MAX),
    INTEGER("hash-max-ziplist-entries", limits.hash_max_listpack_entries, 0, INT64_MAX),
    INTEGER("hash-max-listpack-value", limits.hash_max_listpack_value, 0, INT64_MAX),
    INTEGER("hash-max-ziplist-value", limits.hash_max_listpack_value, 0, INT64_MAX),
    INTEGER("set-max-intset-entries", limits.set_max_intset_entries, 0, INT64_MAX),
    INTEGER("zset-max-listpack-entries", limits.zset_max_listpack_entries, 0, INT64_MAX),
    INTEGER("zset-max-ziplist-entries", limits.zset_max_listpack_entries, 0, INT64_MAX),
    INTEGER("zset-max-listpack-value", limits.zset_max_listpack_value, 0, INT64_MAX),
    INTEGER("zset-max-ziplist-value", limits.zset_max_listpack_value, 0, INT64_MAX),
    INTEGER("list-max-listpack-size", limits.list_max_listpack_size, INT_MIN, INT_MAX),
    INTEGER("list-max-ziplist-size", limits.list_max_listpack_size, INT_MIN, INT_MAX),
    INTEGER("list-compress-depth", limits.list_compress_depth, 0, INT_MAX),
    ACCEPT("hz", 0, 0, INT_MAX, 10),
    ACCEPT_YES_NO("dynamic-hz", 1, 1),
    ACCEPT("maxmemory-samples", 2, 1, INT_MAX, 5),
    ACCEPT("maxmemory-eviction-tenacity", 3, 0, 100, 10),
    ACCEPT("lfu-log-factor", 4, 0, INT_MAX, 10),
    ACCEPT("lfu-decay-time", 5, 0, INT_MAX, 1),
    ACCEPT("active-expire-effort", 6, 1, 10, 1),
    ACCEPT_YES_NO("lazyfree-lazy-eviction", 7, 1),
    ACCEPT_YES_NO("lazyfree-lazy-expire", 8, 1),
    ACCEPT_YES_NO("lazyfree-lazy-server-del", 9, 1),
    ACCEPT_YES_NO("lazyfree-lazy-user-del", 10, 1),
    ACCEPT_YES_NO("lazyfree-lazy-user-flush", 11, 1),
    ACCEPT("tcp-keepalive", 12, 0, INT_MAX, 0),
    ACCEPT_YES_NO("activerehashing", 13, 1),
    ACCEPT_YES_NO("latency-tracking", 14, 0),
    ACCEPT_YES_NO("stop-writes-on-bgsave-error", 15, 0),
    ACCEPT_YES_NO("no-appendfsync-on-rewrite", 16, 0),
    ACCEPT_YES_NO("rdbcompression", 17, 0),
    ACCEPT("busy-reply-threshold", 18, 0, INT64_MAX, 5000),
    ACCEPT("lua-time-limit", 18, 0, INT64_MAX, 5000),
    ACCEPT("tracking-table-max-keys", 19, 0, INT64_MAX, 1000000),
    ACCEPT("acllog-max-len", 20, 0, INT64_MAX, 128),
    ACCEPT_YES_NO("aof-rewrite-incremental-fsync", 21, 1),
    ACCEPT_YES_NO("rdb-save-incremental-fsync", 22, 1),
    ACCEPT("hll-sparse-max-bytes", 23, 0, INT64_MAX, 3000),
    ACCEPT("stream-node-max-bytes", 24, 0, INT64_MAX, 4096),
    ACCEPT("stream-node-max-entries", 25, 0, INT64_MAX, 100),
    ACCEPT("shutdown-timeout", 26, 0, INT_MAX, 10),
    ACCEPT_YES_NO("jemalloc-bg-thread", 27, 0),
    ACCEPT_YES_NO("sanitize-dump-payload", 28, 1),
    FIXED_SHOW("port", port_show),
    FIXED_SHOW("bind", bind_show),
    FIXED_SHOW("dir", folder_show),
    FIXED("dbfilename", "cache.snapshot"),
    FIXED("latency-monitor-threshold", "0"),
    FIXED("notify-keyspace-events", ""),
    FIXED("maxmemory-clients", "0"),
    FIXED("activedefrag", "no"),
    FIXED("loglevel", "notice"),
    FIXED("protected-mode", "no"),
    FIXED("tls-port", "0"),
    FIXED("masterauth", ""),
    FIXED("masteruser", ""),
    FIXED("replica-read-only", "yes"),
    FIXED("slave-read-only", "yes"),
    FIXED("replica-serve-stale-data", "yes"),
    FIXED("slave-serve-stale-data", "yes"),
    FIXED("replica-priority", "100"),
    FIXED("slave-priority", "100"),
    FIXED("repl-backlog-size", "0"),
    FIXED("repl-timeout", "60"),
    FIXED("min-replicas-to-write", "0"),
    FIXED("min-slaves-to-write", "0"),
    FIXED("acl-pubsub-default", "allchannels"),
    IMMUTABLE("replicaof", ""),
    IMMUTABLE("slaveof", ""),
    IMMUTABLE("databases", "16"),
    IMMUTABLE("daemonize", "no"),
    IMMUTABLE("cluster-enabled", "no"),
    {"io-threads", CACHE_PARAMETER_IMMUTABLE, .show = workers_show},
    IMMUTABLE("appendfilename", "cache.log"),
    IMMUTABLE("aclfile", ""),
    IMMUTABLE("unixsocket", ""),
    IMMUTABLE("unixsocketperm", "0"),
    IMMUTABLE("logfile", ""),
    IMMUTABLE("pidfile", ""),
    IMMUTABLE("supervised", "no"),
    IMMUTABLE("tcp-backlog", "0"),
    IMMUTABLE("always-show-logo", "no"),
    IMMUTABLE("enable-protected-configs", "no"),
    IMMUTABLE("enable-debug-command", "yes"),
    IMMUTABLE("enable-module-command", "no"),
    {.name = NULL},
};
_Static_assert(sizeof cache_parameters / sizeof *cache_parameters <= CACHE_PARAMETERS_MAX, "CONFIG GET marks them all");
_Static_assert(CACHE_DATABASES == 16, "the parameter 'databases' says so");

static void *place(struct cache_settings *s, const struct cache_parameter *p)
{
    return (char *)s + p->offset;
}

void cache_parameter_show(const struct cache *cache, const struct cache_parameter *p,
                          char text[CACHE_PARAMETER_TEXT_MAX])
{
    const struct cache_settings *s = &cache->settings;
    int64_t value = 0;
    if (p->show)
        p->show(cache, s, text);
    else if (p->text)
        snprintf(text, CACHE_PARAMETER_TEXT_MAX, "%s", p->text);
    else
        memcpy(&value, (const char *)s + p->offset, sizeof value);
    if (p->show || p->text)
        return;
    if (p->kind == CACHE_PARAMETER_YES_NO)
        strcpy(text, value ? "yes" : "no");
    else
        snprintf(text, CACHE_PARAMETER_TEXT_MAX, "%" PRId64, value);
}

static bool fixed_set(const struct cache *cache, const struct cache_parameter *p, const struct cache_argument *value,
                      char *why)
{
    char text[CACHE_PARAMETER_TEXT_MAX];
    cache_parameter_show(cache, p, text);
    size_t n = strlen(text);
    return (value->data && value->length == n && !memcmp(value->data, text, n)) ||
           refuse(why, "it cannot be changed while running, or not at all");
}

bool cache_parameter_set(const struct cache *cache, const struct cache_parameter *p, struct cache_settings *s,
                         const struct cache_argument *value, char why[CACHE_PARAMETER_WHY_MAX])
{
    uint64_t bytes = 0;
    switch (p->kind) {
    case CACHE_PARAMETER_INTEGER:
        return integer_read(value, p->minimum, p->maximum, place(s, p), why);
    case CACHE_PARAMETER_YES_NO:
        return yes_no_read(value, place(s, p), why);
    case CACHE_PARAMETER_MEMORY:
        if (!memory_read(value, &bytes))
            return refuse(why, "argument must be a memory value");
        memcpy(place(s, p), &bytes, sizeof bytes);
        return bounded((int64_t)bytes, p->minimum, p->maximum, why);
    case CACHE_PARAMETER_OWN:
        return p->set(cache, s, value, why);
    case CACHE_PARAMETER_FIXED:
        return fixed_set(cache, p, value, why);
    case CACHE_PARAMETER_IMMUTABLE:
        break;
    }
    return refuse(why, "can't set immutable config");
}

/* -- settings of an instance ------------------------------------------------------------------------------------------------- */

void cache_settings_init(struct cache *cache)
{
    const struct cache_config *config = cache->config;
    struct cache_settings *s = &cache->settings;
    *s = (struct cache_settings){.memory_max = config->memory_max,
                                 .timeout_s = (config->idle_timeout + MR_SECOND - 1) / MR_SECOND,
                                 .slowlog_slower_than_us = 10000,
                                 .slowlog_length_max = 128,
                                 .clients_max = config->connections_max,
                                 .proto_max_bulk_len = CACHE_VALUE_MAX,
                                 .query_bytes_max = config->query_bytes_max,
                                 .reply_bytes_max = config->reply_bytes_max,
                                 .push_bytes_max = config->push_bytes_max,
                                 .fsync = config->fsync,
                                 .rewrite_percentage = (int64_t)config->rewrite_percentage,
                                 .rewrite_bytes_min = config->rewrite_bytes_min,
                                 .active_expire = true,
                                 .limits = CACHE_TYPE_LIMITS_DEFAULT};
    const struct cache_evict_policy *policy = config->policy ? cache_evict_find(config->policy) : NULL;
    snprintf(s->policy, sizeof s->policy, "%s", policy ? policy->name : "noeviction");
    snprintf(s->password, sizeof s->password, "%s", config->password ? config->password : "");
    for (const struct cache_parameter *p = cache_parameters; p->name; p++)
        if (p->preset)
            memcpy(place(s, p), &p->preset, sizeof p->preset);
}

bool cache_settings_apply(struct cache *cache, const struct cache_settings *s)
{
    const struct cache_evict_policy *policy = cache_evict_find(s->policy);
    if (!policy || !cache_store_set_policy(&cache->store, policy))
        return false;
    if (s->memory_max != cache->settings.memory_max)
        cache_store_set_limit(&cache->store, s->memory_max / cache->workers);
    bool fsync_changed = s->fsync != cache->settings.fsync;
    bool rewrite_changed = s->rewrite_percentage != cache->settings.rewrite_percentage ||
                           s->rewrite_bytes_min != cache->settings.rewrite_bytes_min;
    cache->settings = *s;
    cache->store.expire_paused = !s->active_expire;
    cache_slowlog_trim(cache);
    if (!cache->shared->log || cache->index) /* the log is worker 0's */
        return true;
    if (fsync_changed)
        cache_log_set_fsync(cache->shared->log, (enum cache_fsync)s->fsync);
    if (rewrite_changed)
        cache_log_set_rewrite(cache->shared->log, (uint64_t)s->rewrite_percentage, s->rewrite_bytes_min);
    return true;
}
