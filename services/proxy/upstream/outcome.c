/* How tries went: what is counted of a backend, and what is said of a failure. */
#include "proxy/upstream/table.h"

static const struct {
    const char *text;
    int status;
} failures[UPSTREAM_FAILURES] = {
    [UPSTREAM_NO_BACKEND] = {"no backend is fit", 503},
    [UPSTREAM_QUEUE_FULL] = {"too many requests wait for a connection", 503},
    [UPSTREAM_QUEUE_TIMEOUT] = {"no connection became free in time", 503},
    [UPSTREAM_CONNECT_REFUSED] = {"the backend refused the connection", 502},
    [UPSTREAM_CONNECT_TIMEOUT] = {"the backend did not take the connection in time", 504},
    [UPSTREAM_CONNECT_FAILED] = {"the backend could not be reached", 502},
    [UPSTREAM_RESET] = {"the backend reset the connection", 502},
    [UPSTREAM_ENDED] = {"the backend ended the connection before a whole response", 502},
    [UPSTREAM_MALFORMED] = {"the backend sent what is no response", 502},
    [UPSTREAM_TIMEOUT] = {"the backend did not answer in time", 504},
};

const char *upstream_failure_text(enum upstream_failure f)
{
    return failures[f].text;
}

int upstream_failure_status(enum upstream_failure f)
{
    return failures[f].status;
}

#define LATENCY_SHARE 16 /* of the newest */

static void latency_add(struct upstream_backend *b, mr_time latency)
{
    b->latency = b->latency ? b->latency - b->latency / LATENCY_SHARE + latency / LATENCY_SHARE : latency;
}

/* What a gateway says of what is behind it counts as a failure, what an application says of a request does not: a client that finds one
 * URL that is a 500 could put every backend out. */
static bool is_failure(int status)
{
    return status >= 502 && status <= 504;
}

void upstream_succeeded(struct upstream_request *q, int status, mr_time first_byte)
{
    struct upstream_backend *b = &q->proxy->backends[q->slot];
    q->answered = true;
    q->good = !is_failure(status);
    if (status >= 100 && status <= 599)
        b->responses[status / 100]++;
    if (status >= 100)
        latency_add(b, first_byte - q->asked);
    if (is_failure(status))
        backend_failed(b);
    else if (status == 0)
        b->failures_in_a_row = 0;
}

void upstream_failed(struct upstream_request *q, enum upstream_failure why)
{
    struct upstream_backend *b = &q->proxy->backends[q->slot];
    bool race = q->reused && !q->answered && (why == UPSTREAM_RESET || why == UPSTREAM_ENDED);
    if (why < UPSTREAM_RESET)
        return; /* known: see ask.c */
    q->good = false;
    b->resets += why == UPSTREAM_RESET;
    b->timeouts += why == UPSTREAM_TIMEOUT;
    if (race)
        return;
    b->responses[0]++;
    backend_failed(b);
}
