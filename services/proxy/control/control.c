/* A transaction: one configuration after the other, on all workers or on none. */
#include "proxy/control/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config_tree.h"
#include "proxy/proxy.h"

#define FULL_TRIES    100 /* a mailbox that is full has room again within a few turns */
#define FULL_PAUSE_US 1000

/* The worker's when it is silent: it may come late, and the plan is kept for it until then. */
struct apply {
    struct proxy_shared *shared;
    struct proxy_plan *plan;
    int result;
    char failed[64]; /* the listener that could not be opened */
};

static void apply_run(struct mr_worker *w, void *argument)
{
    struct apply *a = argument;
    const struct plan_listener *failed = NULL;
    a->result = plan_apply(a->shared->instances[mr_worker_index(w)], a->plan, &failed);
    if (failed)
        snprintf(a->failed, sizeof a->failed, "%s", failed->config->name);
    plan_let_go(a->plan);
}

static int apply_ask(const struct mr_control *control, unsigned worker, struct apply *a)
{
    int error = MR_ERROR_NO_MEMORY;
    for (int i = 0; i < FULL_TRIES && error == MR_ERROR_NO_MEMORY; i++) {
        if (i > 0)
            usleep(FULL_PAUSE_US);
        error = control->ask(control, worker, apply_run, a);
    }
    return error;
}

/* MR_OK, or why not; `failed` (64 bytes) names the listener when it was one. */
static int apply_on(struct proxy_shared *s, const struct mr_control *control, unsigned worker, struct proxy_plan *plan,
                    char *failed)
{
    struct apply *a = calloc(1, sizeof *a);
    *failed = 0;
    if (!a)
        return MR_ERROR_NO_MEMORY;
    *a = (struct apply){.shared = s, .plan = plan};
    plan_keep(plan);
    int error = apply_ask(control, worker, a);
    if (error == MR_ERROR_SILENT)
        return error;
    if (error != MR_OK)
        plan_let_go(plan);
    else
        error = a->result;
    memcpy(failed, a->failed, sizeof a->failed);
    free(a);
    return error;
}

/* Those that took the plan get the old one again; so does one that was silent: messages come in order, so whenever it takes the one it then
 * takes the other. */
static void take_back(struct proxy_shared *s, const struct mr_control *control, unsigned count)
{
    char failed[64];
    for (unsigned i = 0; i < count; i++) {
        int error = apply_on(s, control, i, s->plan, failed);
        if (error != MR_OK && error != MR_ERROR_SILENT)
            mr_log(MR_LOG_ERROR, "proxy", "worker %u keeps a configuration that was taken back: %s%s%s", i, failed,
                   *failed ? ": " : "", mr_error_text(error));
    }
}

static bool apply_all(struct proxy_shared *s, const struct mr_control *control, struct proxy_plan *next, char *message,
                      size_t n)
{
    char failed[64];
    for (unsigned i = 0; i < control->workers; i++) {
        int error = apply_on(s, control, i, next, failed);
        if (error == MR_OK)
            continue;
        snprintf(message, n, "%s%s%sworker %u: %s; nothing has changed", *failed ? "listener " : "", failed,
                 *failed ? ": " : "", i, mr_error_text(error));
        take_back(s, control, i + (error == MR_ERROR_SILENT));
        return false;
    }
    return true;
}

/* Tables have their size, and caches their place, from the start on. What is named here may change all the same. */
static const char *const sections_fixed[] = {"limits", "cache", NULL};
static const char *const keys_free[] = {
    "limits.line_bytes",   "limits.header_count", "limits.body_bytes",     "limits.header_timeout",
    "limits.body_timeout", "limits.send_timeout", "limits.linger_timeout", NULL};

static bool is_among(const char *name, const char *const *names)
{
    while (*names && strcmp(*names, name))
        names++;
    return *names != NULL;
}

/* The first key of a section that differs and may not, or NULL. */
static const char *first_fixed(const struct mr_config_key *section, const void *old, const void *new,
                               struct config_tree_difference *first)
{
    for (const struct mr_config_key *k = section->keys; k->name; k++) {
        const struct mr_config_key one[] = {*k, {.name = NULL}};
        struct mr_config_key keys[] = {*section, {.name = NULL}};
        keys[0].keys = one;
        if (!config_tree_equal(keys, old, new, first) && !is_among(first->path, keys_free))
            return first->path;
    }
    return NULL;
}

/* Can the one take the place of the other while it runs? */
static bool can_follow(const struct proxy_config *old, const struct proxy_config *new, char *message, size_t n)
{
    struct config_tree_difference first;
    for (const struct mr_config_key *k = proxy_keys; k->name; k++)
        if (is_among(k->name, sections_fixed) && first_fixed(k, old, new, &first)) {
            snprintf(message, n, "%s cannot change while it runs: restart for it", first.path);
            return false;
        }
    return true;
}

bool control_commit(struct proxy_shared *s, const struct mr_control *control, struct proxy_config *config,
                    char *message, size_t message_bytes)
{
    if (!can_follow(s->plan->config, config, message, message_bytes)) {
        config_tree_free(proxy_keys, config);
        free(config);
        return false;
    }
    plan_sweep(s);
    struct proxy_plan *next = plan_build(s, config, message, message_bytes), *old = s->plan;
    if (!next)
        return false;
    bool good = apply_all(s, control, next, message, message_bytes);
    if (good)
        s->plan = next;
    plan_retire(s, good ? old : next);
    plan_sweep(s);
    return good;
}

bool proxy_reconfigure(void *shared, const struct mr_control *control, const void *config, bool commit, char *message,
                       size_t message_bytes)
{
    struct proxy_shared *s = shared;
    pthread_mutex_lock(&s->lock);
    bool good = can_follow(s->plan->config, config, message, message_bytes);
    struct proxy_config *copy = good && commit ? config_tree_clone(proxy_keys, sizeof *copy, config) : NULL;
    if (copy) {
        good = control_commit(s, control, copy, message, message_bytes);
    } else if (good && commit) {
        snprintf(message, message_bytes, "no memory");
        good = false;
    }
    pthread_mutex_unlock(&s->lock);
    return good;
}

const void *proxy_configuration(void *shared)
{
    struct proxy_shared *s = shared;
    return s->plan->config;
}
