/* Layer 4 of an instance: its tables, and what is done to all that they hold. */
#include "proxy/l4/l4_table.h"

#include <stdlib.h>
#include <string.h>

static void connection_timer(struct mr_worker *w, struct mr_timer *timer)
{
    struct l4_tcp *t = timer->context;
    mr_time next;
    if (t->state == EXPECT_PROXY_HEADER) {
        proxy_count(t->proxy, PROXY_L4_HEADER_TIMEOUT);
        l4_tcp_abort(t);
    } else if (t->state == EXPECT_DELIVERY) {
        l4_join_deliver(t);
    } else if (l4_join_idle(t, &next)) {
        proxy_count(t->proxy, PROXY_L4_IDLE);
        l4_tcp_abort(t);
    } else {
        mr_timer_set(w, timer, next);
    }
}

/* The first that is taken is the first of the array: pages that are never needed are never touched twice. */
static void connections_chain(struct l4_table *table, uint64_t count)
{
    for (uint64_t i = count; i-- > 0;) {
        struct l4_tcp *t = &table->connections[i];
        mr_timer_init(&t->timer, connection_timer, t);
        t->next = table->free_connection;
        table->free_connection = t;
    }
}

int l4_start(struct proxy *p)
{
    struct l4_table *table = calloc(1, sizeof *table);
    if (!table)
        return MR_ERROR_NO_MEMORY;
    p->l4 = table;
    table->connections = calloc(p->limits.sessions, sizeof *table->connections);
    if (!table->connections || !l4_flow_table_init(p)) {
        l4_release(p);
        return MR_ERROR_NO_MEMORY;
    }
    connections_chain(table, p->limits.sessions);
    return MR_OK;
}

/* What is joined goes on: it is drained, and cut when that has taken too long. */
void l4_stop(struct proxy *p)
{
    struct l4_table *table = p->l4;
    for (struct l4_tcp *t = table->first_connection, *next; t; t = next) {
        next = t->next;
        if (t->state != JOINED)
            l4_tcp_abort(t);
    }
    while (table->oldest)
        l4_flow_end(table->oldest);
}

void l4_release(struct proxy *p)
{
    if (!p->l4)
        return;
    l4_flow_table_free(p->l4);
    free(p->l4->connections);
    free(p->l4);
    p->l4 = NULL;
}

void l4_each(const struct proxy *p,
             void (*each)(void *argument, const struct mr_endpoint *client, uint32_t backend_slot, mr_time age,
                          uint64_t bytes),
             void *argument)
{
    mr_time now = mr_now(p->worker);
    for (const struct l4_tcp *t = p->l4->first_connection; t; t = t->next)
        if (t->listener)
            each(argument, &t->own.client, t->slot, now - t->opened, t->to_backend + t->to_client);
    for (const struct l4_flow *f = p->l4->oldest; f; f = f->younger)
        each(argument, &f->source, f->slot, now - f->opened, f->to_backend + f->to_client);
}

/* A backend's time is over for what was sent there by an older plan; a listener's (UINT32_MAX), for what came through it. */
static bool overdue(const struct l4_tcp *t, uint32_t backend_slot)
{
    const struct proxy *p = t->proxy;
    if (!t->listener)
        return false;
    if (backend_slot == UINT32_MAX)
        return proxy_listener_overdue(p, t->listener);
    return t->slot == backend_slot && (p->stopping || t->plan != p->plan);
}

void l4_cut(struct proxy *p, uint32_t backend_slot)
{
    for (struct l4_tcp *t = p->l4->first_connection, *next; t; t = next) {
        next = t->next;
        if (!overdue(t, backend_slot))
            continue;
        proxy_count(p, PROXY_L4_DRAIN_CUT);
        l4_tcp_abort(t);
    }
}
