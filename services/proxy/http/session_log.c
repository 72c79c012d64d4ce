/* Why a request got no answer of a backend: a line now and then, with how many were left out. Writing it may block, so an offload
 * thread does. */
#include <stdio.h>
#include <stdlib.h>

#include "proxy/http/session_machine.h"

#define LOG_INTERVAL (MR_SECOND / 10)

static void log_write(void *argument)
{
    struct session_log *l = argument;
    mr_log(MR_LOG_WARNING, "proxy", "%s", l->text);
}

static void log_written(struct mr_worker *w, void *argument)
{
    struct session_log *l = argument;
    l->under_way = false;
    if (l->table->released)
        free(l->table);
}

void session_log_failure(struct session *s, int status, const char *reason)
{
    struct session_log *l = &s->table->log;
    /* None was chosen: its slot means nothing. */
    bool chosen = s->upstream && s->request.backend;
    const struct plan_backend *b = chosen ? s->proxy->backends[s->request.slot].plan : NULL;
    mr_time now = mr_now(s->proxy->worker);
    if (l->under_way || now < l->next) {
        l->suppressed++;
        return;
    }
    snprintf(l->text, sizeof l->text, "%s client=%s method=%s upstream=%s backend=%s status=%d left_out=%llu", reason,
             s->client_text, http_method_text((enum http_method)s->method),
             s->upstream ? s->upstream->config->name : "-", b && b->config->name ? b->config->name : "-", status,
             (unsigned long long)l->suppressed);
    l->under_way = mr_offload(s->proxy->worker, log_write, log_written, l) == MR_OK;
    if (!l->under_way) {
        l->suppressed++;
        return;
    }
    l->suppressed = 0;
    l->next = now + LOG_INTERVAL;
}
