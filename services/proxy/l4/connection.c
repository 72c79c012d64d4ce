/* A connection's life at layer 4: taken from the table, moved through its states by one writer, given back when both streams are gone. */
#include "proxy/l4/l4_table.h"

#include <assert.h>

const char *const l4_state_names[L4_STATES] = {"FREE",   "EXPECT_PROXY_HEADER", "EXPECT_BACKEND",
                                               "JOINED", "EXPECT_DELIVERY",     "EXPECT_CLIENT_GONE"};

#define TO(state) (1u << (state))
static const uint8_t legal[L4_STATES] = {
    [L4_FREE] = TO(EXPECT_PROXY_HEADER) | TO(EXPECT_BACKEND) | TO(JOINED), /* the last: a tunnel */
    [EXPECT_PROXY_HEADER] = TO(EXPECT_BACKEND) | TO(EXPECT_CLIENT_GONE) | TO(L4_FREE),
    [EXPECT_BACKEND] = TO(JOINED) | TO(EXPECT_CLIENT_GONE) | TO(L4_FREE),
    [JOINED] = TO(EXPECT_DELIVERY) | TO(EXPECT_CLIENT_GONE) | TO(L4_FREE),
    [EXPECT_DELIVERY] = TO(EXPECT_CLIENT_GONE) | TO(L4_FREE),
    [EXPECT_CLIENT_GONE] = TO(L4_FREE),
};

void l4_tcp_set_state(struct l4_tcp *t, enum l4_state state)
{
    assert(legal[t->state] & TO(state));
    t->state = state;
}

void l4_tcp_check(const struct l4_tcp *t)
{
    assert(t->state != L4_FREE);
    bool joined = t->state == JOINED || t->state == EXPECT_DELIVERY;
    assert((t->backend.stream != NULL) <= joined);
    assert(t->client.stream != NULL || joined);
    assert(t->state != EXPECT_DELIVERY || !t->client.stream != !t->backend.stream);
    assert(t->client.shut <= (t->slot != UINT32_MAX || !t->listener));
    assert(mr_timer_armed(&t->timer) == (t->state == EXPECT_PROXY_HEADER || joined));
    assert((t->listener != NULL) == (t->plan != NULL));
}

struct l4_tcp *l4_tcp_take(struct proxy *p, struct mr_stream *client, mr_time idle_timeout)
{
    struct l4_table *table = p->l4;
    struct l4_tcp *t = table->free_connection;
    if (!t)
        return NULL;
    table->free_connection = t->next;
    mr_time now = mr_now(p->worker);
    *t = (struct l4_tcp){
        .proxy = p,
        .client.stream = client,
        .request = &t->own,
        .slot = UINT32_MAX,
        .opened = now,
        .active = now,
        .idle_timeout = idle_timeout,
        .timer = t->timer,
        .next = table->first_connection,
        .link = &table->first_connection,
    };
    if (t->next)
        t->next->link = &t->next;
    table->first_connection = t;
    p->counters[PROXY_L4_CONNECTIONS]++;
    return t;
}

void l4_tcp_finish(struct l4_tcp *t)
{
    struct proxy *p = t->proxy;
    assert(!t->client.stream && !t->backend.stream);
    l4_tcp_set_state(t, L4_FREE);
    mr_timer_cancel(p->worker, &t->timer);
    if (t->plan)
        plan_release(p, t->plan);
    if (t->listener)
        proxy_listener_leave(t->listener);
    *t->link = t->next;
    if (t->next)
        t->next->link = t->link;
    t->next = p->l4->free_connection;
    p->l4->free_connection = t;
    p->counters[PROXY_L4_CONNECTIONS]--;
    if (t->ended)
        t->ended(t->argument);
}

/* Lets go of the backend, or of the wish for one; then only the client is left, whose on_close ends it. */
void l4_tcp_abort(struct l4_tcp *t)
{
    if (t->state == EXPECT_CLIENT_GONE)
        return;
    bool asked = t->state == EXPECT_BACKEND, joined = t->backend.stream != NULL;
    t->backend.stream = NULL;
    mr_timer_cancel(t->proxy->worker, &t->timer);
    if (asked)
        upstream_cancel(t->request);
    if (joined)
        upstream_drop(t->request, true);
    if (!t->client.stream) {
        l4_tcp_finish(t);
        return;
    }
    l4_tcp_set_state(t, EXPECT_CLIENT_GONE);
    mr_stream_abort(t->client.stream);
}

void l4_tcp_timer_after(struct l4_tcp *t, mr_time duration)
{
    mr_timer_set(t->proxy->worker, &t->timer, mr_now(t->proxy->worker) + duration);
}

void l4_tcp_client_gone(struct l4_tcp *t, enum mr_close_reason reason)
{
    if (t->state == JOINED) {
        l4_join_broken(t, &t->client, reason);
        return;
    }
    t->client.stream = NULL;
    if (t->state == EXPECT_BACKEND)
        upstream_cancel(t->request);
    l4_tcp_finish(t);
}
