#include "tests/support/proxy_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_edit.h"
#include "config/config_tree.h"
#include "proxy/control/control.h"
#include "proxy/control/words.h"

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "proxy_words: %s\n", what);
    abort();
}

static bool line_take(const struct config_edit *edit, int count, const char *const *words)
{
    return !strcmp(words[0], "set") ? control_set(edit, count, words) : control_add(edit, count, words);
}

bool proxy_words_config(struct proxy_config *config, const char *lines, char *message, size_t message_bytes)
{
    struct config_edit edit = {proxy_keys, config, message, message_bytes};
    int count;
    memset(config, 0, sizeof *config);
    must(config_tree_presets(proxy_keys, "", config), "presets");
    char **words = control_words_split(lines, &count, message, message_bytes);
    bool good = words;
    for (int first = 0, end; good && first < count; first = end + 1) {
        for (end = first; end < count && strcmp(words[end], ";");)
            end++;
        if (end > first)
            good = line_take(&edit, end - first, (const char *const *)words + first);
    }
    free(words);
    return good;
}

void proxy_words_start(struct proxy_words *w, unsigned workers, const char *lines)
{
    char message[800] = "";
    memset(w, 0, sizeof *w);
    must(proxy_words_config(&w->config, lines, message, sizeof message), message);
    w->config.limits.buffers = w->config.limits.sessions = w->config.limits.flows = 8;
    w->config.limits.connections = 8;
    w->config.limits.backends = 16;
    w->config.limits.upstreams = 8;
    must(proxy_config_check(&w->config, message, sizeof message), message);
    service_group_start(&w->group, &proxy_service, &w->config, workers);
    fake_control_init(&w->control, w->group.w, workers);
    w->shared = w->group.shared;
    w->w = w->group.w[0];
    w->p = proxy_words_on(w, 0);
}

bool proxy_words_say(struct proxy_words *w, const char *line)
{
    char message[200];
    int count;
    bool good;
    char **words = control_words_split(line, &count, message, sizeof message);
    must(words, message);
    free(w->said);
    w->said = proxy_command(w->shared, &w->control.control, count, (const char *const *)words, &good);
    must(w->said, "no memory for an answer");
    free(words);
    return good;
}

void proxy_words_pass(struct proxy_words *w, mr_time duration)
{
    const mr_time step = 100 * MR_MILLISECOND;
    for (mr_time left = duration; left > 0; left -= left < step ? left : step)
        for (unsigned i = 0; i < w->group.workers; i++)
            fake_pass(w->group.w[i], left < step ? left : step);
}

void proxy_words_stop(struct proxy_words *w, mr_time drain)
{
    service_group_stop(&w->group);
    service_group_turns(&w->group, 3);
    proxy_words_pass(w, drain);
    service_group_turns(&w->group, 3);
    service_group_end(&w->group);
    proxy_words_free(w);
}

void proxy_words_free(struct proxy_words *w)
{
    config_tree_free(proxy_keys, &w->config);
    free(w->said);
}

struct proxy *proxy_words_on(const struct proxy_words *w, unsigned worker)
{
    return w->group.state[worker];
}

const struct plan_upstream *proxy_words_upstream(const struct proxy_words *w, const char *name)
{
    const struct proxy_plan *plan = w->shared->plan;
    for (uint32_t i = 0; i < plan->upstream_count; i++)
        if (!strcmp(plan->upstreams[i].config->name, name))
            return &plan->upstreams[i];
    must(false, "no such upstream");
    return NULL;
}

const struct plan_backend *proxy_words_backend(const struct proxy_words *w, const char *upstream, const char *name)
{
    const struct plan_upstream *u = proxy_words_upstream(w, upstream);
    for (uint32_t i = 0; i < u->backend_count; i++)
        if (!strcmp(u->backends[i].config->name, name))
            return &u->backends[i];
    must(false, "no such backend");
    return NULL;
}
