#include "tools/millrace/runtime_control.h"

#include <string.h>

#define STEP_MS 1000 /* how late the end of a capture's time may be seen */

static json_t *drain(struct runtime *r, uint64_t seconds)
{
    atomic_store(&r->grace_ms, (unsigned)(seconds * 1000));
    pthread_kill(r->main_thread, SIGTERM);
    return json_pack("{s:b}", "ok", 1);
}

static json_t *answer_locked(struct runtime_control *c, const struct control_request *q, unsigned client,
                             int *descriptor)
{
    switch (q->command) {
    case CONTROL_STATUS:
        return runtime_status(c->runtime);
    case CONTROL_STAT:
        return runtime_statistics(c->runtime);
    case CONTROL_CONNS:
        return runtime_connections(c->runtime, q->limit);
    case CONTROL_SET:
        return runtime_set(c->runtime, q->name, q->value);
    case CONTROL_CAPTURE:
        return runtime_capture_start(c, q, client, descriptor);
    case CONTROL_CAPTURE_REPORT:
        return runtime_capture_report(c);
    case CONTROL_CAPTURE_STOP:
        return runtime_capture_stop(c);
    case CONTROL_DRAIN:
        return drain(c->runtime, q->seconds);
    case CONTROL_SERVICE:
        return runtime_service(c->runtime, q);
    case CONTROL_RELOAD:
        return runtime_reload_answer(c->runtime);
    case CONTROL_SAVE:
        return runtime_save(c->runtime, q->absolute);
    default:
        return control_error("the command is not served here");
    }
}

static json_t *answer(void *self, const struct control_request *q, unsigned client, int *descriptor)
{
    struct runtime_control *c = self;
    pthread_mutex_lock(&c->runtime->lock);
    json_t *a = answer_locked(c, q, client, descriptor);
    pthread_mutex_unlock(&c->runtime->lock);
    return a;
}

static void client_gone(void *self, unsigned client)
{
    struct runtime_control *c = self;
    if (c->capture && c->capture_client == client)
        json_decref(runtime_capture_stop(c));
}

static void *control_thread(void *argument)
{
    struct runtime_control *c = argument;
    pthread_setname_np(pthread_self(), "control");
    while (!atomic_load(&c->ending)) {
        control_server_step(c->server, c->capture ? STEP_MS : CONTROL_IDLE_MS);
        if (c->capture && runtime_now() >= c->capture_until)
            json_decref(runtime_capture_stop(c));
    }
    return NULL;
}

bool runtime_control_start(struct runtime_control *c)
{
    const struct config *config = c->runtime->config;
    struct control_backend backend = {c, answer, client_gone};
    char why[CONTROL_WHY_MAX];
    c->capture_file = -1;
    if (!config->control.enabled)
        return true;
    if (config->control.path)
        snprintf(c->path, sizeof c->path, "%s", config->control.path);
    else
        control_default_path(config->name, c->path, sizeof c->path);
    c->server = control_server_create(c->path, &backend, why);
    int error = c->server ? pthread_create(&c->thread, NULL, control_thread, c) : 0;
    if (!c->server || error)
        mr_log(MR_LOG_ERROR, "control", "%s", c->server ? strerror(error) : why);
    if (error)
        control_server_destroy(c->server);
    return c->server && !error;
}

void runtime_control_stop(struct runtime_control *c)
{
    if (!c->server)
        return;
    atomic_store(&c->ending, true);
    control_server_wake(c->server);
    pthread_join(c->thread, NULL);
    if (c->capture)
        json_decref(runtime_capture_stop(c));
    control_server_destroy(c->server);
    c->server = NULL;
}
