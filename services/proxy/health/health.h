/* Is a backend alive? A state machine without I/O that is told the results of checks and says when the next is due, and the prober that
 * carries checks out on a worker. Each backend is probed by one worker (slot modulo workers), which tells the others by mailbox. */
#ifndef SERVICES_PROXY_HEALTH_HEALTH_H
#define SERVICES_PROXY_HEALTH_HEALTH_H

#include <millrace/random.h>
#include <millrace/service.h>

#include "proxy/config.h"

#define HEALTH_PATH_MAX 2048 /* characters of a path and a Host to ask for: a request fits into 4 KiB */
#define HEALTH_HOST_MAX 255

struct proxy;
struct plan_backend;
struct plan_upstream;

enum health_verdict {
    HEALTH_UNKNOWN,
    HEALTH_UP,
    HEALTH_DOWN
}; /* unknown takes requests: as does a backend without checks */

enum health_result {
    HEALTH_GOOD,
    HEALTH_REFUSED,
    HEALTH_UNREACHABLE,
    HEALTH_TIMEOUT,
    HEALTH_RESET,
    HEALTH_ENDED,
    HEALTH_STATUS,
    HEALTH_MALFORMED,
    HEALTH_NO_MEMORY, /* a check could not be made, for want of memory, a port or an address of ours: counts neither way */
};
const char *health_result_text(enum health_result r);
const char *health_verdict_text(enum health_verdict v);

/* The first good check says that a new backend is up. Flap damping: a change of the verdict sooner than 10 intervals x rise after the one
 * before is a flap; each in a row doubles the `rise` that the backend needs to be up again, to at most 8 times; they are forgotten when
 * that time passes without a change. */
struct health {
    enum health_verdict verdict;
    enum health_result last;
    uint32_t in_a_row; /* of the kind that contradicts the verdict */
    uint32_t flaps;
    mr_time changed, next; /* when the verdict last changed, 0: never; when the next check is due */
    uint64_t checks, failures;
};

/* The first check is due within a second, or within the interval when that is shorter. */
void health_init(struct health *h, const struct proxy_health_config *config, struct mr_random *random, mr_time now);
/* True: the verdict has changed. Sets h->next. */
bool health_report(struct health *h, const struct proxy_health_config *config, struct mr_random *random,
                   enum health_result r, mr_time now);
void health_check(const struct health *h); /* invariants; for tests */

/* The prober of a worker. Checks under way at once are bounded; a check holds no more than one connection and 4 KiB. */
int health_start(struct proxy *p);
void health_stop(struct proxy *p);
void health_release(struct proxy *p);
/* The plan has changed: begin to look after these, or no more. Called by plan_apply for each backend of the new plan, and for removed ones. */
void health_watch(struct proxy *p, const struct plan_upstream *u, const struct plan_backend *b);
void health_forget(struct proxy *p, uint32_t slot);
const struct health *health_of(const struct proxy *p, uint32_t slot); /* NULL: not looked after by this worker */

#endif
