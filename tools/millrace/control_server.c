#include "tools/millrace/control_server.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct client {
    struct control_server *server;
    int socket;       /* -1: free */
    int descriptor;   /* came with the request that is being read, or -1 */
    int64_t heard_ms; /* when it last moved a byte */
    size_t in_bytes;
    char in[CONTROL_REQUEST_BYTES_MAX + 1];
    char *out; /* an answer that is not yet written; no further request is read until it is */
    size_t out_bytes, out_done;
    bool ending; /* close when the answer is out */
};

struct control_server {
    int socket;
    int wake; /* eventfd */
    char *path;
    struct control_backend backend;
    struct client client[CONTROL_CLIENTS_MAX];
};

static int64_t clock_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void control_default_path(const char *name, char *path, size_t bytes)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    if (geteuid() == 0 || !runtime || *runtime != '/')
        runtime = "/run";
    snprintf(path, bytes, "%s/millrace/%s.sock", runtime, name);
}

static bool address_fill(const char *path, struct sockaddr_un *address)
{
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    if (strlen(path) >= sizeof address->sun_path)
        return false;
    strcpy(address->sun_path, path);
    return true;
}

/* Does somebody answer there? */
static bool socket_is_alive(const struct sockaddr_un *address)
{
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    bool alive = s >= 0 && (connect(s, (const struct sockaddr *)address, sizeof *address) == 0 || errno == EAGAIN);
    if (s >= 0)
        close(s);
    return alive;
}

bool control_is_alive(const char *path)
{
    struct sockaddr_un address;
    return address_fill(path, &address) && socket_is_alive(&address);
}

static void make_folder_of(const char *path)
{
    char *copy = strdup(path);
    if (copy)
        mkdir(dirname(copy), 0755); /* when it fails, bind says so */
    free(copy);
}

static bool path_is_socket(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0 && S_ISSOCK(s.st_mode);
}

static int listen_at(const char *path, char *why)
{
    struct sockaddr_un address;
    if (!address_fill(path, &address)) {
        snprintf(why, CONTROL_WHY_MAX, "control socket %s: the path is longer than %zu bytes", path,
                 sizeof address.sun_path - 1);
        return -1;
    }
    make_folder_of(path);
    if (path_is_socket(path)) {
        if (socket_is_alive(&address)) {
            snprintf(why, CONTROL_WHY_MAX,
                     "control socket %s: another process answers there; give this one another name", path);
            return -1;
        }
        unlink(path);
    }
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    mode_t before = umask(0177);
    bool bound = s >= 0 && bind(s, (struct sockaddr *)&address, sizeof address) == 0;
    umask(before);
    if (bound && listen(s, CONTROL_CLIENTS_MAX) == 0)
        return s;
    snprintf(why, CONTROL_WHY_MAX, "control socket %s: %s", path, strerror(errno));
    if (s >= 0)
        close(s);
    return -1;
}

struct control_server *control_server_create(const char *path, const struct control_backend *backend, char *why)
{
    struct control_server *s = calloc(1, sizeof *s);
    if (s)
        s->path = strdup(path);
    if (!s || !s->path) {
        free(s);
        snprintf(why, CONTROL_WHY_MAX, "control socket %s: no memory", path);
        return NULL;
    }
    s->backend = *backend;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        s->client[i].server = s;
        s->client[i].socket = s->client[i].descriptor = -1;
    }
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    s->socket = listen_at(path, why);
    if (s->socket >= 0)
        return s;
    close(s->wake);
    free(s->path);
    free(s);
    return NULL;
}

static void client_close(struct client *c)
{
    const struct control_backend *b = &c->server->backend;
    if (b->gone)
        b->gone(b->self, (unsigned)(c - c->server->client));
    close(c->socket);
    if (c->descriptor >= 0)
        close(c->descriptor);
    free(c->out);
    c->out = NULL;
    c->socket = c->descriptor = -1;
}

static void server_accept(struct control_server *s)
{
    int socket = accept4(s->socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (socket < 0)
        return;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        if (s->client[i].socket >= 0)
            continue;
        struct client *c = &s->client[i];
        c->socket = socket;
        c->heard_ms = clock_ms();
        c->in_bytes = 0;
        c->ending = false;
        return;
    }
    static const char full[] = "{\"ok\": false, \"error\": \"too many clients at the control socket\"}\n";
    send(socket, full, sizeof full - 1, MSG_NOSIGNAL);
    close(socket);
}

static void client_write(struct client *c)
{
    while (c->out_done < c->out_bytes) {
        ssize_t n = send(c->socket, c->out + c->out_done, c->out_bytes - c->out_done, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0) {
            client_close(c);
            return;
        }
        c->out_done += (size_t)n;
        c->heard_ms = clock_ms();
    }
    free(c->out);
    c->out = NULL;
    if (c->ending)
        client_close(c);
}

static void client_answer(struct client *c, json_t *answer)
{
    char *text = json_dumps(answer, JSON_COMPACT);
    json_decref(answer);
    size_t n = text ? strlen(text) : 0;
    c->out = text ? realloc(text, n + 1) : NULL;
    if (!c->out) {
        client_close(c);
        return;
    }
    c->out[n] = '\n'; /* in place of the terminating zero */
    c->out_bytes = n + 1;
    c->out_done = 0;
    client_write(c);
}

static void client_request(struct control_server *s, struct client *c, const char *line, size_t bytes)
{
    struct control_request r;
    char why[CONTROL_WHY_MAX];
    json_t *answer;
    if (!control_request_parse(line, bytes, &r, why)) {
        answer = control_error("%s", why);
    } else {
        answer = r.command == CONTROL_HELP
                     ? control_help()
                     : s->backend.request(s->backend.self, &r, (unsigned)(c - s->client), &c->descriptor);
        control_request_free(&r);
    }
    if (c->descriptor >= 0)
        close(c->descriptor);
    c->descriptor = -1;
    client_answer(c, answer);
}

/* Runs the complete lines that have come, one by one, as long as each answer goes out at once. */
static void client_lines(struct control_server *s, struct client *c)
{
    while (c->socket >= 0 && !c->out && !c->ending) {
        char *end = memchr(c->in, '\n', c->in_bytes);
        if (!end) {
            if (c->in_bytes > CONTROL_REQUEST_BYTES_MAX) {
                c->ending = true;
                client_answer(c, control_error("a request is longer than %d bytes", CONTROL_REQUEST_BYTES_MAX));
            }
            return;
        }
        char line[CONTROL_REQUEST_BYTES_MAX + 1];
        size_t n = (size_t)(end - c->in);
        memcpy(line, c->in, n);
        c->in_bytes -= n + 1;
        memmove(c->in, end + 1, c->in_bytes);
        client_request(s, c, line, n);
    }
}

/* Bytes, and perhaps a descriptor beside them (SCM_RIGHTS): the last one given counts. */
static ssize_t client_receive(struct client *c)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control;
    struct iovec part = {c->in + c->in_bytes, sizeof c->in - c->in_bytes};
    struct msghdr m = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(c->socket, &m, MSG_CMSG_CLOEXEC);
    struct cmsghdr *h = n > 0 ? CMSG_FIRSTHDR(&m) : NULL;
    if (h && h->cmsg_level == SOL_SOCKET && h->cmsg_type == SCM_RIGHTS && h->cmsg_len == CMSG_LEN(sizeof(int))) {
        if (c->descriptor >= 0)
            close(c->descriptor);
        memcpy(&c->descriptor, CMSG_DATA(h), sizeof(int));
    }
    return n;
}

static void client_read(struct control_server *s, struct client *c)
{
    ssize_t n = client_receive(c);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        client_close(c);
        return;
    }
    c->heard_ms = clock_ms();
    c->in_bytes += (size_t)n;
    client_lines(s, c);
}

static void client_serve(struct control_server *s, struct client *c, short events)
{
    if (events & (POLLIN | POLLHUP | POLLERR) && !c->out)
        client_read(s, c);
    else if (events & POLLOUT || events & (POLLHUP | POLLERR)) {
        client_write(c);
        client_lines(s, c); /* what had waited behind the answer */
    }
}

void control_server_step(struct control_server *s, int wait_ms)
{
    struct pollfd p[CONTROL_CLIENTS_MAX + 2] = {{.fd = s->socket, .events = POLLIN}};
    struct pollfd *wake = &p[CONTROL_CLIENTS_MAX + 1];
    *wake = (struct pollfd){.fd = s->wake, .events = POLLIN};
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        p[i + 1] = (struct pollfd){.fd = s->client[i].socket, .events = s->client[i].out ? POLLOUT : POLLIN};
    if (poll(p, CONTROL_CLIENTS_MAX + 2, wait_ms) < 0)
        return;
    uint64_t count;
    if (wake->revents && read(s->wake, &count, sizeof count) < 0)
        return; /* somebody else has read it */
    int64_t now = clock_ms();
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++) {
        struct client *c = &s->client[i];
        if (c->socket < 0)
            continue;
        if (p[i + 1].revents)
            client_serve(s, c, p[i + 1].revents);
        else if (now - c->heard_ms > CONTROL_IDLE_MS)
            client_close(c);
    }
    if (p[0].revents)
        server_accept(s);
}

void control_server_wake(struct control_server *s)
{
    uint64_t one = 1;
    if (write(s->wake, &one, sizeof one) < 0)
        return; /* full: it is awake already */
}

void control_server_destroy(struct control_server *s)
{
    if (!s)
        return;
    for (unsigned i = 0; i < CONTROL_CLIENTS_MAX; i++)
        if (s->client[i].socket >= 0)
            client_close(&s->client[i]);
    close(s->wake);
    close(s->socket);
    unlink(s->path);
    free(s->path);
    free(s);
}
