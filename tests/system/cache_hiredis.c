/* The cache as a C program with hiredis uses it: waiting for each reply, with replies in a pipeline, and not waiting at all, over
 * poll(2). Prints what it did; exits 1 with the first thing that is wrong.
 *
 *     cache_hiredis ADDRESS PORT */
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PIPELINED    1000
#define ASYNCHRONOUS 2000
#define WAIT_MS      10000

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    exit(1);
}

/* -- waiting ----------------------------------------------------------------------------------------------------------------- */

static redisReply *expect_type(redisReply *r, int type, const char *what)
{
    if (!r)
        fail("%s: no reply", what);
    if (r->type != type)
        fail("%s: reply of type %d with '%s', not of type %d", what, r->type, r->str ? r->str : "", type);
    return r;
}

static void expect_text(redisReply *r, int type, const char *text, const char *what)
{
    expect_type(r, type, what);
    if (r->len != strlen(text) || memcmp(r->str, text, strlen(text)))
        fail("%s: '%s', not '%s'", what, r->str, text);
    freeReplyObject(r);
}

static void waiting(redisContext *c)
{
    expect_text(redisCommand(c, "SET %s %b", "hiredis:k", "a\0b", (size_t)3), REDIS_REPLY_STATUS, "OK", "SET");
    redisReply *r = expect_type(redisCommand(c, "GET hiredis:k"), REDIS_REPLY_STRING, "GET");
    if (r->len != 3 || memcmp(r->str, "a\0b", 3))
        fail("GET: %zu bytes", r->len);
    freeReplyObject(r);
    freeReplyObject(expect_type(redisCommand(c, "GET hiredis:none"), REDIS_REPLY_NIL, "GET of nothing"));
    expect_text(redisCommand(c, "INCR hiredis:k"), REDIS_REPLY_ERROR, "ERR value is not an integer or out of range",
                "INCR");
    freeReplyObject(expect_type(redisCommand(c, "DEL hiredis:l"), REDIS_REPLY_INTEGER, "DEL"));
    freeReplyObject(expect_type(redisCommand(c, "RPUSH hiredis:l 1 2 3"), REDIS_REPLY_INTEGER, "RPUSH"));
    r = expect_type(redisCommand(c, "LRANGE hiredis:l 0 -1"), REDIS_REPLY_ARRAY, "LRANGE");
    if (r->elements != 3 || strcmp(r->element[2]->str, "3"))
        fail("LRANGE: %zu elements", r->elements);
    freeReplyObject(r);
}

static void pipelined(redisContext *c)
{
    freeReplyObject(expect_type(redisCommand(c, "SET hiredis:n 0"), REDIS_REPLY_STATUS, "SET"));
    for (int i = 0; i < PIPELINED; i++)
        redisAppendCommand(c, "INCR hiredis:n");
    for (long long i = 1; i <= PIPELINED; i++) {
        redisReply *r = NULL;
        if (redisGetReply(c, (void **)&r) != REDIS_OK)
            fail("pipeline: %s", c->errstr);
        expect_type(r, REDIS_REPLY_INTEGER, "INCR");
        if (r->integer != i)
            fail("pipeline: reply %lld says %lld", i, r->integer);
        freeReplyObject(r);
    }
}

/* -- not waiting: hiredis tells what it wants to know of its socket, a loop of poll tells it ------------------------------------ */

struct loop {
    redisAsyncContext *context;
    short events;
    bool gone, ending;
    int replies, messages;
};

static void read_add(void *l)
{
    ((struct loop *)l)->events |= POLLIN;
}
static void read_remove(void *l)
{
    ((struct loop *)l)->events &= ~POLLIN;
}
static void write_add(void *l)
{
    ((struct loop *)l)->events |= POLLOUT;
}
static void write_remove(void *l)
{
    ((struct loop *)l)->events &= ~POLLOUT;
}
static void cleanup(void *l)
{
    ((struct loop *)l)->gone = true;
}

static void loop_start(struct loop *l, const char *address, int port)
{
    *l = (struct loop){.context = redisAsyncConnect(address, port)};
    if (!l->context || l->context->err)
        fail("connect: %s", l->context ? l->context->errstr : "no memory");
    l->context->ev.addRead = read_add;
    l->context->ev.delRead = read_remove;
    l->context->ev.addWrite = write_add;
    l->context->ev.delWrite = write_remove;
    l->context->ev.cleanup = cleanup;
    l->context->ev.data = l;
    l->events = POLLOUT; /* the connection is on its way */
}

static void loop_turn(struct loop *l, const char *what)
{
    struct pollfd p = {.fd = l->context->c.fd, .events = l->events};
    if (poll(&p, 1, WAIT_MS) <= 0)
        fail("%s: nothing within %d ms", what, WAIT_MS);
    if (p.revents & (POLLIN | POLLERR | POLLHUP))
        redisAsyncHandleRead(l->context);
    if (!l->gone && p.revents & POLLOUT)
        redisAsyncHandleWrite(l->context);
}

static void counted(redisAsyncContext *c, void *reply, void *expected)
{
    struct loop *l = c->ev.data;
    const redisReply *r = reply;
    if (!r || r->type != REDIS_REPLY_INTEGER || r->integer != (long long)(intptr_t)expected)
        fail("asynchronous INCR: %lld, not %lld", r ? r->integer : -1, (long long)(intptr_t)expected);
    l->replies++;
}

static void heard(redisAsyncContext *c, void *reply, void *unused)
{
    struct loop *l = c->ev.data;
    const redisReply *r = reply;
    if (!r && l->ending)
        return; /* the connection is freed */
    if (!r || r->type != REDIS_REPLY_ARRAY || r->elements != 3)
        fail("subscription: no message");
    if (!strcmp(r->element[0]->str, "subscribe") ||
        (!strcmp(r->element[0]->str, "message") && !strcmp(r->element[2]->str, "hello")))
        l->messages++;
    else
        fail("subscription: '%s'", r->element[0]->str);
}

static void ended(redisAsyncContext *c, void *reply, void *unused)
{
    redisAsyncDisconnect(c);
}

static void asynchronous(const char *address, int port)
{
    struct loop l;
    loop_start(&l, address, port);
    redisAsyncCommand(l.context, NULL, NULL, "SET hiredis:a 0");
    for (intptr_t i = 1; i <= ASYNCHRONOUS; i++)
        redisAsyncCommand(l.context, counted, (void *)i, "INCR hiredis:a");
    redisAsyncCommand(l.context, ended, NULL, "PING");
    while (!l.gone)
        loop_turn(&l, "replies");
    if (l.replies != ASYNCHRONOUS)
        fail("asynchronous: %d replies of %d", l.replies, ASYNCHRONOUS);
}

static void subscribed(const char *address, int port, redisContext *publisher)
{
    struct loop l;
    loop_start(&l, address, port);
    redisAsyncCommand(l.context, heard, NULL, "SUBSCRIBE hiredis:news");
    while (l.messages < 1)
        loop_turn(&l, "the subscription");
    for (int i = 0; i < 100; i++) {
        redisReply *r =
            expect_type(redisCommand(publisher, "PUBLISH hiredis:news hello"), REDIS_REPLY_INTEGER, "PUBLISH");
        if (r->integer != 1)
            fail("PUBLISH: %lld heard it", r->integer);
        freeReplyObject(r);
    }
    while (l.messages < 101)
        loop_turn(&l, "messages");
    l.ending = true;
    redisAsyncFree(l.context);
}

int main(int argc, char **argv)
{
    if (argc != 3)
        fail("expects an address and a port");
    const char *address = argv[1];
    int port = atoi(argv[2]);
    redisContext *c = redisConnectWithTimeout(address, port, (struct timeval){.tv_sec = 10});
    if (!c || c->err)
        fail("connect: %s", c ? c->errstr : "no memory");
    waiting(c);
    pipelined(c);
    asynchronous(address, port);
    subscribed(address, port, c);
    redisFree(c);
    printf("%d pipelined, %d asynchronous, 100 messages\n", PIPELINED, ASYNCHRONOUS);
    return 0;
}
