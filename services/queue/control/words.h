/* Private to control/: the commands of `millrace queue`. They run on the control thread, which may wait; whatever belongs to a worker is asked of
 * it, in turns of its own. */
#ifndef SERVICES_QUEUE_CONTROL_WORDS_H
#define SERVICES_QUEUE_CONTROL_WORDS_H

#include <string.h>

#include "answer/answer.h"
#include "queue/broker.h"
#include "queue/catalog/catalog.h"
#include "queue/control/control.h"
#include "queue/core/queue.h"

#define CONTROL_WORDS_MAX 64

struct control_call {
    struct broker_shared *shared;
    const struct mr_control *control;
    const char *vhost; /* --vhost; NULL: none was named */
    int argc;          /* argv[0] is the command */
    const char *const *argv;
    struct control_answer answer; /* an object that is open */
    char *wrong;                  /* set: the line that says what was wrong; from malloc */
};

struct control_word {
    const char *name, *arguments, *sentence;
    int minimum, maximum;                 /* arguments; maximum -1: any number */
    bool (*call)(struct control_call *c); /* false: c->wrong says why; NULL there: no memory */
};

extern const struct control_word queue_control_words[]; /* ends with name NULL */

bool queue_control_list(struct control_call *c);
bool queue_control_show(struct control_call *c);
bool queue_control_stat(struct control_call *c);
bool queue_control_declare(struct control_call *c);
bool queue_control_delete(struct control_call *c);
bool queue_control_purge(struct control_call *c);
bool queue_control_peek(struct control_call *c);
bool queue_control_move(struct control_call *c);
bool queue_control_connections(struct control_call *c);
bool queue_control_exchanges(struct control_call *c);
bool queue_control_bindings(struct control_call *c);
bool queue_control_help(struct control_call *c);
void queue_control_help_keys(struct control_call *c); /* of declare */

/* Of the virtual host that was named, "/" when none was; UINT_MAX with c->wrong set: there is none. */
unsigned queue_control_vhost(struct control_call *c);
/* A number from 1 to `most`; 0 with c->wrong set: it is none. */
uint64_t queue_control_number(struct control_call *c, const char *text, uint64_t most);
static inline struct mr_span control_span(const char *text)
{
    return (struct mr_span){(const uint8_t *)text, strlen(text)};
}

/* -- jobs: what takes more than one turn --------------------------------------------------------------------------------------------- */

/* Begins the struct of a job, which is one piece of memory from calloc: whoever is left with it frees it. */
struct control_job {
    struct broker_shared *shared;
    void (*start)(struct broker *b,
                  struct control_job *job); /* on the worker; control_job_end ends it, from inside or later */
    _Atomic int state;
};
/* Runs it on a worker and waits. False: the worker did not end it in time (c->wrong says so); then it is the worker's. */
bool control_job_run(struct control_call *c, unsigned worker, struct control_job *job, unsigned wait_ms);
void control_job_end(struct control_job *job); /* on the worker; the job is the control thread's from then on */

/* -- what workers know at this moment (gather.c) ---------------------------------------------------------------------------------------- */

struct control_queue {
    uint64_t id;
    unsigned vhost, owner;
    bool durable, auto_delete, exclusive;
    uint8_t name_length;
    uint8_t name[QUEUE_NAME_MAX];
    struct queue_status status;
    enum queue_durability durability;
};
static inline struct mr_span control_queue_name(const struct control_queue *q)
{
    return (struct mr_span){q->name, q->name_length};
}

struct control_queues {
    unsigned workers, answered;
    size_t count;
    struct control_queue *rows; /* by virtual host and name */
};
/* Those of a virtual host (UINT_MAX: of all), all of them or the one called `name` (data NULL: all). NULL: no memory. */
struct control_queues *control_queues_gather(struct control_call *c, unsigned vhost, struct mr_span name);
void control_queues_free(struct control_queues *g);
/* Workers that are missing make sums too small: that is said. */
void control_silence(struct control_call *c, unsigned answered);
/* One queue that is there; false with c->wrong set: there is none. */
bool control_queue_find(struct control_call *c, unsigned vhost, const char *name, struct control_queue *out);
/* Runs `fn(worker, argument)` on a worker with a copy of `argument`, `bytes` long, which comes back changed. MR_OK, or why not. */
int queue_control_ask(const struct mr_control *control, unsigned worker, mr_message_fn fn, void *argument,
                      size_t bytes);

#endif
