#include "tests/support/queue_service_world.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config/config_edit.h"
#include "config/config_tree.h"
#include "queue/control/control.h"

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "service_world: %s\n", what);
    abort();
}

static bool config_apply(const struct config_edit *e, const char *path, const char *value)
{
    unsigned at;
    return path[0] == '+' ? config_edit_add(e, path + 1, *value ? value : NULL, NULL, &at)
                          : config_edit_set(e, path, &value, 1);
}

bool service_world_config(struct queue_config *config, const char *const *settings, char *message, size_t bytes)
{
    struct config_edit edit = {queue_keys, config, message, bytes};
    const void *value = NULL;
    memset(config, 0, sizeof *config);
    must(config_tree_presets(queue_keys, "", config), "no memory");
    for (; settings && *settings; settings += 2)
        if (!config_apply(&edit, settings[0], settings[1]))
            return false;
    return config_edit_complete(&edit) && queue_config_check(config, &value, message, bytes);
}

static int ask(const struct mr_control *control, unsigned worker, mr_message_fn fn, void *argument)
{
    struct service_world *w = (struct service_world *)(uintptr_t)control;
    if (w->ask_error != MR_OK)
        return w->ask_error;
    fn(w->group.w[worker], argument);
    service_world_turns(w);
    return MR_OK;
}

static void start(struct service_world *w)
{
    service_group_start(&w->group, &queue_service, &w->config, w->workers);
    for (unsigned i = 0; i < w->workers; i++)
        fake_service_add(w->group.w[i], "queue", w->group.state[i]);
    w->control = (struct mr_control){w->workers, ask};
    w->runs = true;
}

static void stop(struct service_world *w)
{
    service_group_stop(&w->group);
    service_world_turns(w);
    service_group_end(&w->group);
    w->runs = false;
}

struct service_world *service_world_create(unsigned workers, bool durable, const char *const *settings)
{
    struct service_world *w = calloc(1, sizeof *w);
    char message[400] = "";
    must(w != NULL, "no memory");
    w->workers = workers;
    w->durable = durable;
    if (!service_world_config(&w->config, settings, message, sizeof message))
        must(false, message);
    if (durable) {
        snprintf(w->folder, sizeof w->folder, "/tmp/queue-world-XXXXXX");
        must(mkdtemp(w->folder) != NULL, "no folder");
        free(w->config.folder);
        w->config.folder = strdup(w->folder);
    }
    start(w);
    return w;
}

void service_world_restart(struct service_world *w)
{
    stop(w);
    start(w);
}

static int unlink_one(const char *path, const struct stat *status, int kind, struct FTW *ftw)
{
    return remove(path);
}

void service_world_free(struct service_world *w)
{
    if (w->runs)
        stop(w);
    if (*w->folder)
        nftw(w->folder, unlink_one, 16, FTW_DEPTH | FTW_PHYS);
    config_tree_free(queue_keys, &w->config);
    free(w->said);
    free(w);
}

void service_world_turns(struct service_world *w)
{
    bool busy = true;
    for (unsigned n = 0; busy && n < 100000; n++) {
        busy = false;
        for (unsigned i = 0; i < w->workers; i++)
            fake_turn(w->group.w[i]);
        for (unsigned i = 0; i < w->workers; i++)
            busy |= fake_worker_busy(w->group.w[i]);
    }
}

void service_world_pass(struct service_world *w, mr_time duration)
{
    for (mr_time passed = 0; passed < duration; passed += 100 * MR_MILLISECOND) {
        for (unsigned i = 0; i < w->workers; i++)
            fake_pass(w->group.w[i], duration < 100 * MR_MILLISECOND ? duration : 100 * MR_MILLISECOND);
        service_world_turns(w);
    }
}

bool service_world_say(struct service_world *w, const char *words)
{
    const char *argv[64];
    int argc = 0;
    bool good = false;
    char *text = strdup(words), *rest = text;
    for (char *word; argc < 64 && (word = strsep(&rest, " "));)
        argv[argc++] = word;
    free(w->said);
    w->said = queue_command(w->group.shared, &w->control, argc, argv, &good);
    free(text);
    return good;
}
