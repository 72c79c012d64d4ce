/* Private to explain*.c: a request that nobody sent, taken through the code that serves. */
#ifndef SERVICES_PROXY_CONTROL_EXPLAIN_H
#define SERVICES_PROXY_CONTROL_EXPLAIN_H

#include "proxy/control/gather.h"
#include "proxy/control/words.h"
#include "proxy/http/session_machine.h"

#define EXPLAIN_HEAD_MAX 65535 /* as much as a head may have */

struct explain {
    struct control_call *call;
    const struct plan_listener *listener;
    const char *method, *url;
    bool host_given; /* among the headers */
    struct session session;
    struct session_table table;
    struct session_view view;
    struct gather *gather;
    size_t head_bytes;
    char head[EXPLAIN_HEAD_MAX + 1], path[EXPLAIN_HEAD_MAX + 2], out[EXPLAIN_HEAD_MAX + SESSION_HEAD_ROOM];
};

/* METHOD URL and options to a listener and a head. False: call->wrong says why. */
bool explain_read(struct explain *e);

/* Which backend would take it, and why; with e->session.upstream set. `view` NULL: it is no HTTP. */
void explain_backends(struct explain *e, const struct session_view *view);

#endif
