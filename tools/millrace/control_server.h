/* The control socket: a Unix-domain socket on which each line is a request and each answer is a line, both JSON. One
 * thread owns it; it never waits for a client, and the packet path never waits for it. */
#ifndef TOOLS_MILLRACE_CONTROL_SERVER_H
#define TOOLS_MILLRACE_CONTROL_SERVER_H

#include "tools/millrace/control_request.h"

#define CONTROL_CLIENTS_MAX 16
#define CONTROL_IDLE_MS     60000 /* a client that neither asks nor reads is let go */

struct control_backend {
    void *self;
    /* Answers a request; never NULL. `client` is its number, 0 .. CONTROL_CLIENTS_MAX - 1. `descriptor` came with the
     * request, or is -1; whoever takes it sets it to -1. */
    json_t *(*request)(void *self, const struct control_request *r, unsigned client, int *descriptor);
    /* The client with this number has gone. May be NULL. */
    void (*gone)(void *self, unsigned client);
};

struct control_server;

/* Listens at `path`, readable by the owner alone; makes the folder when it is missing. A socket that nobody answers any
 * more is replaced. NULL: `why` (CONTROL_WHY_MAX bytes) says what is wrong. */
struct control_server *control_server_create(const char *path, const struct control_backend *backend, char *why);

/* Waits at most `wait_ms` for something to do, and does it. */
void control_server_step(struct control_server *s, int wait_ms);

/* Ends a wait in control_server_step; from any thread. */
void control_server_wake(struct control_server *s);

/* Closes every client and removes the socket. NULL is allowed. */
void control_server_destroy(struct control_server *s);

/* Does somebody answer at `path`? */
bool control_is_alive(const char *path);

/* Where an instance called `name` listens when nothing else is configured. */
void control_default_path(const char *name, char *path, size_t bytes);

#endif
