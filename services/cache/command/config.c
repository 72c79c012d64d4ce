/* CONFIG. SET and RESETSTAT run on every worker, each for itself: all read the same arguments and come to the same end. */
#include <string.h>

#include "cache/cache.h"
#include "cache/command/help.h"
#include "cache/command/parameter.h"
#include "cache/command/server.h"
#include "cache/command/session.h"

static const struct cache_parameter *find(const struct cache_argument *name)
{
    const struct cache_parameter *p = cache_parameters;
    while (p->name && !cache_argument_is(name, p->name))
        p++;
    return p->name ? p : NULL;
}

static bool matches(const struct cache_call *call, const struct cache_parameter *p)
{
    struct mr_span name = {(const uint8_t *)p->name, strlen(p->name)};
    for (unsigned i = 2; i < call->argc; i++)
        if (!call->argv[i].rope && cache_glob_match(cache_argument_span(&call->argv[i]), name, true))
            return true;
    return false;
}

static enum cache_outcome config_get(struct cache_call *call)
{
    bool matched[CACHE_PARAMETERS_MAX];
    char text[CACHE_PARAMETER_TEXT_MAX];
    uint64_t n = 0;
    for (unsigned i = 0; cache_parameters[i].name; i++)
        n += matched[i] = matches(call, &cache_parameters[i]);
    cache_reply_map(call->reply, n);
    for (unsigned i = 0; cache_parameters[i].name; i++) {
        if (!matched[i])
            continue;
        cache_parameter_show(call->cache, &cache_parameters[i], text);
        cache_reply_bulk_text(call->reply, cache_parameters[i].name);
        cache_reply_bulk_text(call->reply, text);
    }
    return CACHE_DONE;
}

static bool refused(struct cache_call *call, const char *name, const char *why)
{
    cache_reply_error(call->reply, "ERR CONFIG SET failed (possibly related to argument '%s') - %s", name, why);
    return false;
}

/* Names first, then values: the first that is wrong is told of, and nothing is changed. */
static bool names_check(struct cache_call *call)
{
    for (unsigned i = 2; i < call->argc; i += 2) {
        const struct cache_argument *a = &call->argv[i];
        const struct cache_parameter *p = find(a);
        if (!p) {
            cache_reply_error(call->reply, "ERR Unknown option or number of arguments for CONFIG SET - '%.*s'",
                              a->rope ? 0 : (int)(a->length < 128 ? a->length : 128), (const char *)a->data);
            return false;
        }
        if (p->kind == CACHE_PARAMETER_IMMUTABLE)
            return refused(call, p->name, "can't set immutable config");
        for (unsigned j = 2; j < i; j += 2)
            if (find(&call->argv[j]) == p)
                return refused(call, p->name, "duplicate parameter");
    }
    return true;
}

#define PAIRS_MAX 128 /* more would only name something twice */

enum cache_outcome cache_command_config_set(struct cache_call *call)
{
    struct cache_settings settings = call->cache->settings;
    char why[CACHE_PARAMETER_WHY_MAX];
    if (call->argc % 2 || call->argc > 2 * PAIRS_MAX) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    if (!names_check(call))
        return CACHE_DONE;
    for (unsigned i = 2; i < call->argc; i += 2) {
        const struct cache_parameter *p = find(&call->argv[i]);
        if (!cache_parameter_set(call->cache, p, &settings, &call->argv[i + 1], why)) {
            refused(call, p->name, why);
            return CACHE_DONE;
        }
    }
    if (cache_settings_apply(call->cache, &settings))
        cache_reply_ok(call->reply);
    else
        refused(call, "maxmemory-policy", "no memory for the new policy");
    return CACHE_DONE;
}

/* What INFO shows as a sum since the begin; counters that the metrics page shows, too, go on: it is told of their difference. */
enum cache_outcome cache_command_config_resetstat(struct cache_call *call)
{
    cache_info_reset(call->cache);
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome config_rewrite(struct cache_call *call)
{
    cache_reply_error(call->reply, "ERR The server is running without a config file");
    return CACHE_DONE;
}

static enum cache_outcome config_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        NULL,
    };
    return cache_reply_help(call, "CONFIG", lines);
}

const struct cache_command cache_subcommands_config[] = {
    CACHE_ROW("get", config_get, -3, CACHE_ADMIN_FLAGS, "server", "parameters whose names match patterns"),
    CACHE_ROW("set", cache_command_config_set, -4, CACHE_ADMIN_FLAGS | CACHE_FAN_OUT, "server",
              "sets parameters, all or none"),
    CACHE_ROW("resetstat", cache_command_config_resetstat, 2, CACHE_ADMIN_FLAGS | CACHE_FAN_OUT, "server",
              "sums that INFO shows begin at 0 again"),
    CACHE_ROW("rewrite", config_rewrite, 2, CACHE_ADMIN_FLAGS, "server", "refused: the configuration file is yours"),
    CACHE_ROW("help", config_help, 2, CACHE_LOADING | CACHE_STALE, "server", "what CONFIG takes"),
    {0},
};
