#include "tools/millrace/control_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "tools/millrace/control_server.h"

#define ANSWER_BYTES_MAX (256u * 1024 * 1024)
#define ANSWER_WAIT_S    20

int control_target_option(struct control_target *t, int argc, char **argv, int i)
{
    const char **value = !strcmp(argv[i], "--name") ? &t->name : !strcmp(argv[i], "--socket") ? &t->socket : NULL;
    if (!value)
        return 0;
    if (i + 1 >= argc)
        return -1;
    *value = argv[i + 1];
    return 2;
}

/* Who may not use the socket is told how to; who finds none, what to start. */
static const char *remedy(int error)
{
    return error == EACCES                            ? "; ask as the user who started it (sudo?)"
           : error == ENOENT || error == ECONNREFUSED ? "; is it running? `millrace run CONFIG` starts it"
                                                      : "";
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    errno = ENAMETOOLONG;
    if (s >= 0 && strlen(path) < sizeof address.sun_path) {
        strcpy(address.sun_path, path);
        if (connect(s, (struct sockaddr *)&address, sizeof address) == 0) {
            struct timeval wait = {.tv_sec = ANSWER_WAIT_S};
            setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
            return s;
        }
    }
    fprintf(stderr, "millrace: no answer at %s: %s%s\n", path, strerror(errno), remedy(errno));
    if (s >= 0)
        close(s);
    return -1;
}

static bool send_request(int s, const char *line, int descriptor)
{
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr alignment;
    } control = {0};
    char newline = '\n';
    struct iovec parts[2] = {{(void *)line, strlen(line)}, {&newline, 1}};
    struct msghdr m = {.msg_iov = parts, .msg_iovlen = 2};
    if (descriptor >= 0) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control;
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        *h = (struct cmsghdr){.cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(h), &descriptor, sizeof(int));
    }
    return sendmsg(s, &m, MSG_NOSIGNAL) == (ssize_t)(strlen(line) + 1);
}

/* One line, or NULL. */
static char *receive_line(int s)
{
    size_t used = 0, room = 65536;
    char *text = malloc(room);
    while (text) {
        ssize_t n = recv(s, text + used, room - used - 1, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        used += (size_t)n;
        if (text[used - 1] == '\n') {
            text[used] = 0;
            return text;
        }
        if (room - used > 1)
            continue;
        room *= 2;
        char *larger = room <= ANSWER_BYTES_MAX ? realloc(text, room) : NULL;
        if (!larger)
            break;
        text = larger;
    }
    free(text);
    return NULL;
}

int control_connect(const struct control_target *t)
{
    char path[256];
    control_default_path(t->name ? t->name : "default", path, sizeof path);
    return connect_to(t->socket ? t->socket : path);
}

json_t *control_exchange(int socket, json_t *request, int descriptor, int *code)
{
    char *line = json_dumps(request, JSON_COMPACT);
    json_decref(request);
    char *text = line && send_request(socket, line, descriptor) ? receive_line(socket) : NULL;
    json_t *answer = text ? json_loads(text, 0, NULL) : NULL;
    free(line);
    free(text);
    if (!answer) {
        fprintf(stderr, "millrace: the running process has gone, or does not answer within %d s\n", ANSWER_WAIT_S);
        *code = EXIT_UNREACHABLE;
        return NULL;
    }
    if (json_is_true(json_object_get(answer, "ok")))
        return answer;
    const char *error = json_string_value(json_object_get(answer, "error"));
    bool configuration = json_is_true(json_object_get(answer, "configuration")); /* its lines say where, themselves */
    fprintf(stderr, "%s%s\n", configuration ? "" : "millrace: ", error ? error : "the answer is not understood");
    json_decref(answer);
    *code = configuration ? EXIT_CONFIGURATION : EXIT_FAILED;
    return NULL;
}

json_t *control_ask(const struct control_target *t, json_t *request, int descriptor, int *code)
{
    int s = control_connect(t);
    if (s < 0) {
        json_decref(request);
        *code = EXIT_UNREACHABLE;
        return NULL;
    }
    json_t *answer = control_exchange(s, request, descriptor, code);
    close(s);
    return answer;
}
