/* Commands on what is under way: who holds a backend, and cutting it. */
#include <stdlib.h>
#include <string.h>

#include "proxy/control/gather.h"
#include "proxy/control/words.h"
#include "proxy/http/session.h"
#include "proxy/l4/l4.h"

#define HOLDS_MAX 1000 /* shown of one worker */

struct hold {
    struct mr_endpoint client, backend;
    uint32_t slot;
    mr_time age;
    uint64_t bytes;
    bool drains;
};

struct holds {
    struct proxy_shared *shared;
    const struct proxy *proxy; /* on its worker */
    uint32_t slot;             /* UINT32_MAX: of all that drain */
    uint64_t count;            /* all; only the first HOLDS_MAX have rows */
    struct hold rows[HOLDS_MAX];
};

static bool slot_drains(const struct upstream_backend *b)
{
    return !b->plan || b->plan->config->state != BACKEND_ENABLED;
}

static void hold_take(void *argument, const struct mr_endpoint *client, uint32_t slot, mr_time age, uint64_t bytes)
{
    struct holds *h = argument;
    if (slot >= h->proxy->limits.backends)
        return; /* has none yet */
    const struct upstream_backend *b = &h->proxy->backends[slot];
    if (h->slot == UINT32_MAX ? !slot_drains(b) : slot != h->slot)
        return;
    if (h->count++ < HOLDS_MAX)
        h->rows[h->count - 1] = (struct hold){*client, b->address, slot, age, bytes, slot_drains(b)};
}

static void holds_fill(struct mr_worker *w, void *argument)
{
    struct holds *h = argument;
    h->proxy = h->shared->instances[mr_worker_index(w)];
    l4_each(h->proxy, hold_take, h);
    session_each(h->proxy, hold_take, h);
}

static const char *backend_name(const struct proxy_plan *p, uint32_t slot, const char **upstream)
{
    for (uint32_t i = 0; i < p->upstream_count; i++)
        for (uint32_t k = 0; k < p->upstreams[i].backend_count; k++)
            if (p->upstreams[i].backends[k].slot == slot) {
                *upstream = p->upstreams[i].config->name;
                return p->upstreams[i].backends[k].config->name;
            }
    *upstream = "-";
    return "-";
}

static void show_hold(struct control_call *c, unsigned worker, const struct hold *h)
{
    struct control_answer *a = &c->answer;
    const char *upstream, *name = backend_name(c->shared->plan, h->slot, &upstream);
    control_answer_open(a, NULL, '{');
    control_answer_endpoint(a, "client", &h->client);
    control_answer_text(a, "upstream", upstream);
    control_answer_text(a, "name", name);
    control_answer_endpoint(a, "address", &h->backend);
    control_answer_format(a, "age", "%.1fs", (double)h->age / (double)MR_SECOND);
    control_answer_number(a, "bytes", h->bytes);
    control_answer_bool(a, "drains", h->drains);
    control_answer_number(a, "worker", worker);
    control_answer_close(a, '}');
}

const struct plan_backend *control_backend_find(struct control_call *c, const char *name)
{
    const struct proxy_plan *p = c->shared->plan;
    const char *slash = strchr(name, '/');
    for (uint32_t i = 0; slash && i < p->upstream_count; i++) {
        const struct plan_upstream *u = &p->upstreams[i];
        size_t n = strlen(u->config->name);
        if (strncmp(name, u->config->name, n) || name[n] != '/')
            continue;
        for (uint32_t k = 0; k < u->backend_count; k++)
            if (!strcmp(u->backends[k].config->name, name + n + 1))
                return &u->backends[k];
    }
    c->wrong = slash ? control_say("there is no backend '%s'; `list` shows them", name)
                     : control_say("expected UPSTREAM/NAME instead of '%s'", name);
    return NULL;
}

bool control_holds(struct control_call *c)
{
    const struct plan_backend *b = c->argc > 1 ? control_backend_find(c, c->argv[1]) : NULL;
    struct holds *h = !b && c->argc > 1 ? NULL : malloc(sizeof *h);
    uint64_t left_out = 0;
    unsigned silent = 0;
    if (!h)
        return false;
    control_answer_open(&c->answer, "holds", '[');
    for (unsigned i = 0; i < c->control->workers; i++) {
        h->shared = c->shared;
        h->slot = b ? b->slot : UINT32_MAX;
        h->count = 0;
        if (control_run(c->control, i, holds_fill, h, sizeof *h) != MR_OK) {
            silent++;
            continue;
        }
        for (uint64_t k = 0; k < h->count && k < HOLDS_MAX; k++)
            show_hold(c, i, &h->rows[k]);
        left_out += h->count > HOLDS_MAX ? h->count - HOLDS_MAX : 0;
    }
    control_answer_close(&c->answer, ']');
    free(h);
    if (left_out)
        control_answer_number(&c->answer, "left_out", left_out);
    if (silent)
        control_answer_format(&c->answer, "warning", "%u of %u workers did not answer", silent, c->control->workers);
    return true;
}

/* -- cut --------------------------------------------------------------------------------------------------------------- */

struct cut {
    struct proxy_shared *shared;
    uint32_t slot; /* UINT32_MAX: all that was removed */
};

static void cut_run(struct mr_worker *w, void *argument)
{
    const struct cut *cut = argument;
    struct proxy *p = cut->shared->instances[mr_worker_index(w)];
    if (cut->slot == UINT32_MAX) {
        proxy_drain_end(p);
        return;
    }
    l4_cut(p, cut->slot);
    session_cut(p, cut->slot);
}

/* A backend of the plan must be drained first: what is cut would otherwise come back at once. */
bool control_cut(struct control_call *c)
{
    struct cut cut = {c->shared, UINT32_MAX};
    if (strcmp(c->argv[1], "removed")) {
        const struct plan_backend *b = control_backend_find(c, c->argv[1]);
        if (!b)
            return false;
        if (b->config->state == BACKEND_ENABLED) {
            c->wrong = control_say("%s takes new connections: `set backend %s state drain` or `disabled` first",
                                   c->argv[1], c->argv[1]);
            return false;
        }
        cut.slot = b->slot;
    }
    unsigned done = 0;
    for (unsigned i = 0; i < c->control->workers; i++)
        done += control_run(c->control, i, cut_run, &cut, sizeof cut) == MR_OK;
    control_answer_number(&c->answer, "workers", done);
    return true;
}
