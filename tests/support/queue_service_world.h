/* The whole queue service on several fake workers, configured by words, with a folder of its own when it is to be durable. */
#ifndef TESTS_SUPPORT_QUEUE_SERVICE_WORLD_H
#define TESTS_SUPPORT_QUEUE_SERVICE_WORLD_H

#include <millrace/queue.h>

#include "queue/broker.h"
#include "queue/config.h"
#include "tests/support/service_group.h"

struct service_world {
    struct mr_control control; /* asks, and turns the workers until nothing is left to do */
    struct queue_config config;
    struct service_group group;
    int ask_error; /* MR_OK: as usual; else what every ask returns, and nothing is run */
    unsigned workers;
    bool durable, runs;
    char folder[64]; /* "": none */
    char *said;      /* the last answer of service_world_say */
};

/* `settings`: NULL-terminated pairs of a path and a value ("users[0].name", "bob"); a path that begins with '+' adds an element to that list, with
 * the value as its name ("": it has none). May be NULL. */
struct service_world *service_world_create(unsigned workers, bool durable, const char *const *settings);
void service_world_restart(struct service_world *w); /* stop and start, over the same folder */
void service_world_free(struct service_world *w);
void service_world_turns(struct service_world *w); /* until nothing is left to do */
void service_world_pass(struct service_world *w, mr_time duration);
/* `millrace queue ...`: words with spaces between. True: good; the answer in w->said. */
bool service_world_say(struct service_world *w, const char *words);
/* Presets and settings alone; false: `message` says which was refused. */
bool service_world_config(struct queue_config *config, const char *const *settings, char *message, size_t bytes);

static inline struct broker *service_world_broker(struct service_world *w, unsigned worker)
{
    return w->group.state[worker];
}

#endif
