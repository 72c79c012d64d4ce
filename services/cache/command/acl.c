/* ACL, as far as it is true of a server with one user, who may do everything once `requirepass` is satisfied. */
#include <string.h>

#include "cache/cache.h"
#include "cache/command/category.h"
#include "cache/command/help.h"
#include "cache/command/server.h"
#include "cache/command/table.h"

static bool is_default(const struct cache_argument *a)
{
    return !a->rope && a->length == 7 && !memcmp(a->data, "default", 7);
}

static enum cache_outcome acl_whoami(struct cache_call *call)
{
    cache_reply_bulk_text(call->reply, "default");
    return CACHE_DONE;
}

static enum cache_outcome acl_users(struct cache_call *call)
{
    cache_reply_array(call->reply, 1);
    cache_reply_bulk_text(call->reply, "default");
    return CACHE_DONE;
}

/* The password itself, or a digest of it, is not shown. */
static enum cache_outcome acl_list(struct cache_call *call)
{
    cache_reply_array(call->reply, 1);
    cache_reply_bulk_text(call->reply, call->cache->settings.password[0] ? "user default on ~* &* +@all"
                                                                         : "user default on nopass ~* &* +@all");
    return CACHE_DONE;
}

static enum cache_outcome acl_getuser(struct cache_call *call)
{
    struct cache_reply *r = call->reply;
    bool open = !call->cache->settings.password[0];
    if (!is_default(&call->argv[2])) {
        cache_reply_null(r);
        return CACHE_DONE;
    }
    cache_reply_map(r, 6);
    cache_reply_bulk_text(r, "flags");
    cache_reply_set(r, open ? 2 : 1);
    cache_reply_bulk_text(r, "on");
    if (open)
        cache_reply_bulk_text(r, "nopass");
    cache_reply_bulk_text(r, "passwords");
    cache_reply_array(r, 0);
    cache_reply_bulk_text(r, "commands");
    cache_reply_bulk_text(r, "+@all");
    cache_reply_bulk_text(r, "keys");
    cache_reply_bulk_text(r, "~*");
    cache_reply_bulk_text(r, "channels");
    cache_reply_bulk_text(r, "&*");
    cache_reply_bulk_text(r, "selectors");
    cache_reply_array(r, 0);
    return CACHE_DONE;
}

static void category_reply(struct cache_reply *r, unsigned category)
{
    uint64_t n = 0;
    for (unsigned i = 0; i < cache_command_count(); i++)
        n += cache_command_categories(cache_command_at(i)) >> category & 1;
    cache_reply_array(r, n);
    for (unsigned i = 0; i < cache_command_count(); i++)
        if (cache_command_categories(cache_command_at(i)) >> category & 1)
            cache_reply_bulk_text(r, cache_command_at(i)->name);
}

static void names_reply(struct cache_reply *r)
{
    uint64_t n = 0;
    while (cache_category_names[n])
        n++;
    cache_reply_array(r, n);
    for (uint64_t i = 0; i < n; i++)
        cache_reply_bulk_text(r, cache_category_names[i]);
}

static enum cache_outcome acl_cat(struct cache_call *call)
{
    const struct cache_argument *a = &call->argv[2];
    if (call->argc == 2) {
        names_reply(call->reply);
        return CACHE_DONE;
    }
    for (unsigned i = 0; cache_category_names[i] && call->argc == 3; i++)
        if (cache_argument_is(a, cache_category_names[i])) {
            category_reply(call->reply, i);
            return CACHE_DONE;
        }
    if (call->argc == 3)
        cache_reply_error(call->reply, "ERR Unknown category '%.*s'",
                          a->rope ? 0 : (int)(a->length < 128 ? a->length : 128), (const char *)a->data);
    else
        cache_reply_error(call->reply, "ERR unknown subcommand or wrong number of arguments for 'cat'. Try ACL HELP.");
    return CACHE_DONE;
}

static enum cache_outcome acl_log(struct cache_call *call)
{
    if (call->argc > 3)
        cache_reply_error(call->reply, "ERR unknown subcommand or wrong number of arguments for 'log'. Try ACL HELP.");
    else if (call->argc == 3 && cache_argument_is(&call->argv[2], "reset"))
        cache_reply_ok(call->reply);
    else
        cache_reply_array(call->reply, 0);
    return CACHE_DONE;
}

static enum cache_outcome acl_dryrun(struct cache_call *call)
{
    const struct cache_argument *user = &call->argv[2], *name = &call->argv[3];
    if (!is_default(user))
        cache_reply_error(call->reply, "ERR User '%.*s' not found",
                          user->rope ? 0 : (int)(user->length < 128 ? user->length : 128), (const char *)user->data);
    else if (name->rope || !cache_command_find(name->data, name->length))
        cache_reply_error(call->reply, "ERR Command '%.*s' not found",
                          name->rope ? 0 : (int)(name->length < 128 ? name->length : 128), (const char *)name->data);
    else
        cache_reply_ok(call->reply);
    return CACHE_DONE;
}

static enum cache_outcome acl_refused(struct cache_call *call)
{
    cache_reply_error(call->reply, "ERR this server has one user, 'default', whose password is 'requirepass'");
    return CACHE_DONE;
}

static enum cache_outcome acl_file(struct cache_call *call)
{
    cache_reply_error(
        call->reply,
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL "
        "SETUSER command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in "
        "order to store users in the Redis configuration.");
    return CACHE_DONE;
}

static enum cache_outcome acl_help(struct cache_call *call)
{
    static const char *const lines[] = {
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "DELUSER <username> [<username> ...]",
        "    Delete a list of users.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Returns whether the user can execute the given command without executing the command.",
        "GETUSER <username>",
        "    Get the user's details.",
        "LIST",
        "    Show users details in config file format.",
        "LOAD",
        "    Reload users from the ACL file.",
        "LOG [<count> | RESET]",
        "    Show the ACL log entries.",
        "SAVE",
        "    Save the current config to the ACL file.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Create or modify a user with the specified attributes.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.",
        NULL,
    };
    return cache_reply_help(call, "ACL", lines);
}

#define OPEN_FLAGS                                  (CACHE_NOSCRIPT | CACHE_LOADING | CACHE_STALE)
#define ROW(name, function, arity, flags, sentence) CACHE_ROW(name, function, arity, flags, "server", sentence)

const struct cache_command cache_subcommands_acl[] = {
    ROW("whoami", acl_whoami, 2, OPEN_FLAGS, "default"),
    ROW("users", acl_users, 2, CACHE_ADMIN_FLAGS, "the one user"),
    ROW("list", acl_list, 2, CACHE_ADMIN_FLAGS, "what the one user may do"),
    ROW("getuser", acl_getuser, 3, CACHE_ADMIN_FLAGS, "what a user may do"),
    ROW("cat", acl_cat, -2, OPEN_FLAGS, "categories of commands"),
    ROW("dryrun", acl_dryrun, -4, CACHE_ADMIN_FLAGS, "whether a user may run a command"),
    ROW("log", acl_log, -2, CACHE_ADMIN_FLAGS, "refusals: none are kept"),
    ROW("setuser", acl_refused, -3, CACHE_ADMIN_FLAGS, "refused: there is one user"),
    ROW("deluser", acl_refused, -3, CACHE_ADMIN_FLAGS, "refused: there is one user"),
    ROW("load", acl_file, 2, CACHE_ADMIN_FLAGS, "refused: there is no such file"),
    ROW("save", acl_file, 2, CACHE_ADMIN_FLAGS, "refused: there is no such file"),
    ROW("help", acl_help, 2, CACHE_LOADING | CACHE_STALE, "what ACL takes"),
    {0},
};
