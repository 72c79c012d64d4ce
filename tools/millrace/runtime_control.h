/* What the control socket does to a running process. The thread here is the control thread. */
#ifndef TOOLS_MILLRACE_RUNTIME_CONTROL_H
#define TOOLS_MILLRACE_RUNTIME_CONTROL_H

#include "tools/millrace/control_server.h"
#include "tools/millrace/runtime.h"

struct runtime_control {
    struct runtime *runtime;
    struct control_server *server; /* NULL: switched off in the configuration */
    char path[256];
    pthread_t thread;
    atomic_bool ending;

    /* The capture that `millrace capture` asked for: one at a time. */
    struct capture *capture;
    unsigned capture_client;
    int capture_file;
    mr_time capture_until;
};

/* Listens and starts the thread. False: the log says why. */
bool runtime_control_start(struct runtime_control *c);

/* Ends the thread and a capture that runs, and removes the socket; before runtime_destroy. */
void runtime_control_stop(struct runtime_control *c);

/* The parts, each an answer of its own. */
json_t *runtime_status(const struct runtime *r);
json_t *runtime_statistics(const struct runtime *r);
json_t *runtime_connections(const struct runtime *r, uint64_t limit);
json_t *runtime_set(const struct runtime *r, const char *name, const char *value);
json_t *runtime_service(const struct runtime *r, const struct control_request *q);
json_t *runtime_reload_answer(struct runtime *r);
json_t *runtime_save(const struct runtime *r, bool absolute);

/* The file takes what comes until `seconds` or `bytes` are over, the client stops it or goes. Takes *descriptor. */
json_t *runtime_capture_start(struct runtime_control *c, const struct control_request *q, unsigned client,
                              int *descriptor);
json_t *runtime_capture_stop(struct runtime_control *c);
json_t *runtime_capture_report(struct runtime_control *c);

#endif
