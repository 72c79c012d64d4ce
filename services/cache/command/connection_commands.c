/* What a client says about its own connection: who it is, which protocol and database, whether it wants replies. */
#include <string.h>

#include "cache/cache.h"
#include "cache/client.h"
#include "cache/command/client_list.h"
#include "cache/command/command_docs.h"
#include "cache/command/key.h"
#include "cache/connection.h"

#define VERSION "7.0.15" /* clients decide by it what they may send: see README.md */

static enum cache_outcome command_ping(struct cache_call *call)
{
    if (call->argc > 2) {
        cache_reply_arity(call->reply, NULL, call->command);
    } else if (call->client && call->client->protocol == 2 && cache_client_subscribed(call->client)) {
        cache_reply_array(call->reply, 2);
        cache_reply_bulk_text(call->reply, "pong");
        if (call->argc == 2)
            cache_reply_argument(call->reply, &call->argv[1]);
        else
            cache_reply_bulk_text(call->reply, "");
    } else if (call->argc == 2) {
        cache_reply_argument(call->reply, &call->argv[1]);
    } else {
        cache_reply_simple(call->reply, "PONG");
    }
    return CACHE_DONE;
}

static enum cache_outcome command_echo(struct cache_call *call)
{
    cache_reply_argument(call->reply, &call->argv[1]);
    return CACHE_DONE;
}

static enum cache_outcome command_quit(struct cache_call *call)
{
    cache_reply_ok(call->reply);
    if (call->client)
        call->client->connection->close_after_reply = true;
    return CACHE_DONE;
}

static enum cache_outcome command_select(struct cache_call *call)
{
    unsigned n;
    if (!cache_database_argument(call, &call->argv[1], &n))
        return CACHE_DONE;
    if (call->client)
        call->client->database = (uint8_t)n;
    call->database = n;
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

/* -- AUTH and HELLO ------------------------------------------------------------------------------------------------------- */

/* In a time that does not tell how much of it was right. */
static bool password_is(const struct cache *cache, const struct cache_argument *a)
{
    const char *password = cache->settings.password;
    size_t n = strlen(password);
    uint8_t differs = a->data == NULL || a->length != n;
    for (size_t i = 0; i < n; i++)
        differs |= (uint8_t)(password[i] ^ (a->length ? a->data[i % a->length] : 0));
    return !differs;
}

/* One user is known, "default"; without a password it may come with any. */
static bool authenticate(struct cache_call *call, const struct cache_argument *user,
                         const struct cache_argument *password)
{
    bool known = !user || (user->length == 7 && user->data && !memcmp(user->data, "default", 7));
    if (known && (!call->cache->settings.password[0] || password_is(call->cache, password))) {
        if (call->client)
            call->client->authenticated = true;
        return true;
    }
    cache_reply_error(call->reply, "WRONGPASS invalid username-password pair or user is disabled.");
    return false;
}

static enum cache_outcome command_auth(struct cache_call *call)
{
    if (call->argc > 3)
        cache_reply_syntax_error(call->reply);
    else if (call->argc == 2 && !call->cache->settings.password[0])
        cache_reply_error(call->reply,
                          "ERR AUTH <password> called without any password configured for the default user. "
                          "Are you sure your configuration is correct?");
    else if (authenticate(call, call->argc == 3 ? &call->argv[1] : NULL, &call->argv[call->argc - 1]))
        cache_reply_ok(call->reply);
    return CACHE_DONE;
}

/* As Redis: no character that would break a line of CLIENT LIST. */
static bool name_set(struct cache_call *call, const struct cache_argument *a)
{
    struct cache_client *client = call->client;
    bool good = a->data && a->length < sizeof client->name;
    for (uint32_t i = 0; good && i < a->length; i++)
        good = a->data[i] >= '!' && a->data[i] <= '~';
    if (!good && a->length) {
        if (a->data && a->length >= sizeof client->name)
            cache_reply_error(call->reply, "ERR Client names are at most %zu bytes long.", sizeof client->name - 1);
        else
            cache_reply_error(call->reply, "ERR Client names cannot contain spaces, newlines or special characters.");
        return false;
    }
    if (client) {
        memset(client->name, 0, sizeof client->name);
        memcpy(client->name, a->data, a->length);
    }
    return true;
}

static void hello_reply(struct cache_call *call)
{
    struct cache_reply *r = call->reply;
    cache_reply_map(r, 7);
    cache_reply_bulk_text(r, "server");
    cache_reply_bulk_text(r, "redis");
    cache_reply_bulk_text(r, "version");
    cache_reply_bulk_text(r, VERSION);
    cache_reply_bulk_text(r, "proto");
    cache_reply_integer(r, r->protocol);
    cache_reply_bulk_text(r, "id");
    cache_reply_integer(r, call->client ? (int64_t)call->client->id : 0);
    cache_reply_bulk_text(r, "mode");
    cache_reply_bulk_text(r, "standalone");
    cache_reply_bulk_text(r, "role");
    cache_reply_bulk_text(r, "master");
    cache_reply_bulk_text(r, "modules");
    cache_reply_array(r, 0);
}

static bool hello_options(struct cache_call *call, const struct cache_argument **name)
{
    for (unsigned i = 2; i < call->argc; i++) {
        const struct cache_argument *option = &call->argv[i];
        unsigned left = call->argc - 1 - i;
        if (cache_argument_is(option, "auth") && left >= 2) {
            if (!authenticate(call, &option[1], &option[2]))
                return false;
            i += 2;
        } else if (cache_argument_is(option, "setname") && left >= 1) {
            *name = &option[1];
            i++;
        } else {
            cache_reply_error(call->reply, "ERR Syntax error in HELLO option '%.*s'",
                              (int)(option->length < 128 ? option->length : 128),
                              option->data ? (const char *)option->data : "");
            return false;
        }
    }
    return true;
}

static enum cache_outcome command_hello(struct cache_call *call)
{
    const struct cache_argument *name = NULL;
    int64_t version = call->reply->protocol;
    if (call->argc >= 2 && !cache_argument_integer(&call->argv[1], &version)) {
        cache_reply_error(call->reply, "ERR Protocol version is not an integer or out of range");
        return CACHE_DONE;
    }
    if (version < 2 || version > 3) {
        cache_reply_error(call->reply, "NOPROTO unsupported protocol version");
        return CACHE_DONE;
    }
    if (!hello_options(call, &name))
        return CACHE_DONE;
    if (call->client && !call->client->authenticated) {
        cache_reply_error(
            call->reply,
            "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO "
            "AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol "
            "version at the same time");
        return CACHE_DONE;
    }
    if (name && !name_set(call, name))
        return CACHE_DONE;
    if (call->client && call->argc >= 2)
        call->client->protocol = (uint8_t)version;
    call->reply->protocol = (uint8_t)version;
    hello_reply(call);
    return CACHE_DONE;
}

static enum cache_outcome command_reset(struct cache_call *call)
{
    struct cache_client *c = call->client;
    if (c) {
        cache_client_discard(call->cache, c);
        cache_client_unwatch(call->cache, c);
        cache_client_unsubscribe(call->cache, c);
        c->database = 0;
        c->protocol = 2;
        c->authenticated = !call->cache->settings.password[0];
        memset(c->name, 0, sizeof c->name);
        c->no_evict = false;
        if (c->reply_mode != CACHE_REPLY_ON) {
            c->reply_mode = CACHE_REPLY_ON;
            call->reply = cache_connection_reply(c->connection);
        }
    }
    call->reply->protocol = 2;
    cache_reply_simple(call->reply, "RESET");
    return CACHE_DONE;
}

/* -- CLIENT --------------------------------------------------------------------------------------------------------------------- */

static enum cache_outcome client_id(struct cache_call *call)
{
    cache_reply_integer(call->reply, call->client ? (int64_t)call->client->id : 0);
    return CACHE_DONE;
}

static enum cache_outcome client_getname(struct cache_call *call)
{
    if (call->client && call->client->name[0])
        cache_reply_bulk_text(call->reply, call->client->name);
    else
        cache_reply_null(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome client_setname(struct cache_call *call)
{
    if (name_set(call, &call->argv[2]))
        cache_reply_ok(call->reply);
    return CACHE_DONE;
}

/* After REPLY OFF and SKIP nothing is said; after ON the OK goes where replies went before. */
static enum cache_outcome client_reply(struct cache_call *call)
{
    struct cache_client *c = call->client;
    if (!c)
        return CACHE_DONE;
    if (cache_argument_is(&call->argv[2], "on")) {
        c->reply_mode = CACHE_REPLY_ON;
        struct cache_reply *reply = cache_connection_reply(c->connection);
        if (reply)
            cache_reply_ok(reply);
    } else if (cache_argument_is(&call->argv[2], "off")) {
        c->reply_mode = CACHE_REPLY_OFF;
    } else if (cache_argument_is(&call->argv[2], "skip")) {
        if (c->reply_mode == CACHE_REPLY_ON)
            c->reply_mode = CACHE_REPLY_SKIP;
        else if (c->reply_mode == CACHE_REPLY_SKIP)
            c->reply_mode = CACHE_REPLY_SKIP_NEXT;
    } else {
        cache_reply_syntax_error(call->reply);
    }
    return CACHE_DONE;
}

static enum cache_outcome client_no_evict(struct cache_call *call)
{
    bool on = cache_argument_is(&call->argv[2], "on");
    if (!on && !cache_argument_is(&call->argv[2], "off")) {
        cache_reply_syntax_error(call->reply);
        return CACHE_DONE;
    }
    if (call->client)
        call->client->no_evict = on;
    cache_reply_ok(call->reply);
    return CACHE_DONE;
}

/* There is none: what was never switched on may be switched off. */
static enum cache_outcome client_tracking(struct cache_call *call)
{
    if (cache_argument_is(&call->argv[2], "off"))
        cache_reply_ok(call->reply);
    else if (cache_argument_is(&call->argv[2], "on"))
        cache_reply_error(call->reply, "ERR client side caching (CLIENT TRACKING) is not available");
    else
        cache_reply_syntax_error(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome client_trackinginfo(struct cache_call *call)
{
    cache_reply_map(call->reply, 3);
    cache_reply_bulk_text(call->reply, "flags");
    cache_reply_set(call->reply, 1);
    cache_reply_bulk_text(call->reply, "off");
    cache_reply_bulk_text(call->reply, "redirect");
    cache_reply_integer(call->reply, -1);
    cache_reply_bulk_text(call->reply, "prefixes");
    cache_reply_array(call->reply, 0);
    return CACHE_DONE;
}

static enum cache_outcome client_caching(struct cache_call *call)
{
    if (!cache_argument_is(&call->argv[2], "yes") && !cache_argument_is(&call->argv[2], "no"))
        cache_reply_syntax_error(call->reply);
    else
        cache_reply_error(call->reply,
                          "ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN "
                          "or OPTOUT mode enabled");
    return CACHE_DONE;
}

static enum cache_outcome client_getredir(struct cache_call *call)
{
    cache_reply_integer(call->reply, -1);
    return CACHE_DONE;
}

static enum cache_outcome client_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections by ADDR, LADDR, ID, TYPE, USER; SKIPME (YES|NO) spares the current one (default: yes).",
        "LIST [TYPE (NORMAL|MASTER|REPLICA|PUBSUB)] [ID <id> ...]",
        "    Return information about client connections.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "NO-EVICT (ON|OFF)",
        "    Accepted; connections are not evicted.",
        "HELP",
        "    Prints this help.",
    };
    cache_reply_array(call->reply, sizeof lines / sizeof *lines);
    for (unsigned i = 0; i < sizeof lines / sizeof *lines; i++)
        cache_reply_simple(call->reply, lines[i]);
    return CACHE_DONE;
}

#define SESSION (CACHE_NOSCRIPT | CACHE_LOADING | CACHE_STALE)
#define ADMIN   (SESSION | CACHE_ADMIN)
#define GREET   (SESSION | CACHE_FAST | CACHE_NO_AUTH | CACHE_ALLOW_BUSY)
#define ROW(word, fn, n, f, text)                                                                     \
    {                                                                                                 \
        .name = word, .function = fn, .arity = n, .flags = f, .group = "connection", .sentence = text \
    }

static const struct cache_command client_subcommands[] = {
    ROW("caching", client_caching, 3, SESSION, "an error: there is no tracking"),
    ROW("getname", client_getname, 2, SESSION, "the connection's name"),
    ROW("getredir", client_getredir, 2, SESSION, "-1: there is no tracking"),
    ROW("help", client_help, 2, CACHE_LOADING | CACHE_STALE, "the subcommands"),
    ROW("id", client_id, 2, SESSION, "the connection's number"),
    ROW("info", cache_command_client_info, 2, SESSION, "this connection's line of CLIENT LIST"),
    ROW("kill", cache_command_client_kill, -3, ADMIN | CACHE_FAN_OUT, "ends connections"),
    ROW("list", cache_command_client_list, -2, ADMIN | CACHE_FAN_OUT, "a line a connection"),
    ROW("no-evict", client_no_evict, 3, ADMIN, "accepted: connections are not evicted"),
    ROW("pause", cache_command_client_pause, -3, ADMIN | CACHE_FAN_OUT, "holds back commands for a while"),
    ROW("reply", client_reply, 3, SESSION, "whether there are replies"),
    ROW("setname", client_setname, 3, SESSION, "names the connection"),
    ROW("tracking", client_tracking, -3, SESSION, "OFF; ON is an error: there is none"),
    ROW("trackinginfo", client_trackinginfo, 2, SESSION, "off"),
    ROW("unblock", cache_command_client_unblock, -3, ADMIN | CACHE_FAN_OUT, "ends the wait of a blocked client"),
    ROW("unpause", cache_command_client_unpause, 2, ADMIN | CACHE_FAN_OUT, "lets commands through again"),
    {.name = NULL}};

static const struct cache_command command_subcommands[] = {
    ROW("count", cache_command_command_count, 2, CACHE_LOADING | CACHE_STALE, "how many commands there are"),
    ROW("docs", cache_command_command_docs, -2, CACHE_LOADING | CACHE_STALE, "what commands do"),
    ROW("getkeys", cache_command_command_getkeys, -4, CACHE_LOADING | CACHE_STALE, "the keys of a whole command"),
    ROW("help", cache_command_command_help, 2, CACHE_LOADING | CACHE_STALE, "the subcommands"),
    ROW("info", cache_command_command_info, -2, CACHE_LOADING | CACHE_STALE, "arity, flags and keys of commands"),
    ROW("list", cache_command_command_list, -2, CACHE_LOADING | CACHE_STALE, "the names of commands"),
    {.name = NULL}};

const struct cache_command cache_commands_connection[] = {
    ROW("ping", command_ping, -1, CACHE_FAST, "PONG, or what was said"),
    ROW("echo", command_echo, 2, CACHE_LOADING | CACHE_STALE | CACHE_FAST, "what was said"),
    ROW("quit", command_quit, -1, GREET | CACHE_RUNS_IN_MULTI, "ends the connection"),
    ROW("select", command_select, 2, CACHE_LOADING | CACHE_STALE | CACHE_FAST, "chooses a database"),
    ROW("auth", command_auth, -2, GREET, "says the password"),
    ROW("hello", command_hello, -1, GREET, "chooses the protocol, says who one is"),
    ROW("reset", command_reset, 1, GREET | CACHE_RUNS_IN_MULTI, "the connection as if it were new"),
    {.name = "client",
     .arity = -2,
     .flags = CACHE_CONTAINER,
     .group = "connection",
     .sentence = "about connections",
     .subcommands = client_subcommands},
    {.name = "command",
     .function = cache_command_command,
     .arity = -1,
     .flags = CACHE_CONTAINER | CACHE_LOADING | CACHE_STALE,
     .group = "connection",
     .sentence = "about commands",
     .subcommands = command_subcommands},
    {.name = NULL}};
