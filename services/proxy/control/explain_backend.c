/* Which backend: what the cookie names, what the hash leads to, or who may be chosen. A balancer of our own, filled with what the workers
 * know, is asked, so that theirs do not move on. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/control/explain.h"
#include "proxy/l4/l4_table.h"

struct choice {
    unsigned candidates;
    uint32_t last; /* of them */
    int member;    /* BALANCE_NONE: cannot be told, or there is none */
    char why[400];
};

static bool is_fit(const struct explain *e, const struct plan_upstream *u, const struct plan_backend *b)
{
    const char *state = control_backend_state(b, u, e->gather);
    return b->config->weight > 0 && (!strcmp(state, "up") || !strcmp(state, "unchecked"));
}

/* One that drains goes on with its own clients; see upstream/choose.c. */
static bool takes_sticky(const struct explain *e, const struct plan_upstream *u, const struct plan_backend *b)
{
    const char *state = control_backend_state(b, u, e->gather);
    return !strcmp(state, "up") || !strcmp(state, "unchecked") || !strcmp(state, "drain");
}

static bool choose_sticky(struct explain *e, const struct session_view *view, struct choice *c)
{
    const struct plan_upstream *u = e->session.upstream;
    const char *name = u->config->sticky_cookie;
    struct mr_span value;
    char text[SESSION_STICKY_BYTES + 1];
    if (!view || !name || !session_cookie_find(&view->request, view->head, name, &value) ||
        value.length != SESSION_STICKY_BYTES)
        return false;
    memcpy(text, value.data, SESSION_STICKY_BYTES);
    text[SESSION_STICKY_BYTES] = 0;
    const struct plan_backend *b = plan_backend_sticky(u, text);
    if (!b || !takes_sticky(e, u, b))
        return false;
    c->member = (int)(b - u->backends);
    snprintf(c->why, sizeof c->why, "the cookie %s names it", name);
    return true;
}

static int ask_balance(struct explain *e, uint64_t hash)
{
    const struct plan_upstream *u = e->session.upstream;
    struct mr_random random;
    mr_random_seed(&random, 1);
    struct balance *b = balance_create(balance_policies[u->config->balance], u->backend_count, u->maglev, &random);
    if (!b)
        return BALANCE_NONE;
    for (uint32_t i = 0; i < u->backend_count; i++) {
        const struct plan_backend *backend = &u->backends[i];
        balance_set_weight(b, i, (uint32_t)backend->config->weight * PLAN_WEIGHT_UNIT);
        balance_set_active(b, i, (uint32_t)e->gather->backends[backend->slot].active);
        balance_set_fit(b, i, is_fit(e, u, backend));
    }
    struct balance_query q = {.hash = hash};
    int member = balance_choose(b, &q);
    balance_free(b);
    return member;
}

static void count_candidates(struct explain *e, struct choice *c)
{
    const struct plan_upstream *u = e->session.upstream;
    for (uint32_t i = 0; i < u->backend_count; i++)
        if (is_fit(e, u, &u->backends[i])) {
            c->candidates++;
            c->last = i;
        }
}

static void choose(struct explain *e, const struct session_view *view, struct choice *c)
{
    const struct plan_upstream *u = e->session.upstream;
    const char *policy = balance_names[u->config->balance];
    count_candidates(e, c);
    if (choose_sticky(e, view, c))
        return;
    if (c->candidates == 0) {
        snprintf(c->why, sizeof c->why, "no backend is fit: it is answered 503");
    } else if (c->candidates == 1) {
        c->member = (int)c->last;
        snprintf(c->why, sizeof c->why, "it is the only one that is fit");
    } else if (u->maglev) {
        c->member =
            ask_balance(e, view ? session_hash(u, &e->session, view) : l4_hash_source(&e->session.client.address));
        snprintf(c->why, sizeof c->why, "maglev leads the hash of %s there", view ? u->config->hash : "source");
    } else if (u->config->balance == BALANCE_LEAST_CONNECTIONS) {
        c->member = ask_balance(e, 0);
        snprintf(c->why, sizeof c->why, "it has least under way by its weight at this moment");
    } else {
        snprintf(c->why, sizeof c->why, "%s chooses anew for each among the %u that are fit", policy, c->candidates);
    }
}

void explain_backends(struct explain *e, const struct session_view *view)
{
    const struct plan_upstream *u = e->session.upstream;
    struct control_answer *a = &e->call->answer;
    struct choice c = {.member = BALANCE_NONE};
    choose(e, view, &c);
    control_answer_open(a, "backends", '[');
    for (uint32_t i = 0; i < u->backend_count; i++) {
        const struct plan_backend *b = &u->backends[i];
        control_answer_open(a, NULL, '{');
        control_answer_text(a, "backend", b->config->name);
        control_answer_endpoint(a, "address", &b->config->address);
        control_answer_text(a, "state", control_backend_state(b, u, e->gather));
        control_answer_number(a, "weight", b->config->weight);
        control_answer_number(a, "active", e->gather->backends[b->slot].active);
        control_answer_bool(a, "fit", is_fit(e, u, b));
        control_answer_close(a, '}');
    }
    control_answer_close(a, ']');
    if (c.member != BALANCE_NONE)
        control_answer_text(a, "backend", u->backends[c.member].config->name);
    control_answer_text(a, "why", c.why);
}
