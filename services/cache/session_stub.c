/* Stand-ins until the commands of sessions and of the server land: whoever lands them removes this file (git rm; ALLOW_DELETE=1 land). */
#include "cache/command/session.h"
#include "cache/command/slowlog.h"
#include "cache/connection.h"
#include <string.h>
static enum cache_outcome ping(struct cache_call *c)
{
    cache_reply_simple(c->reply, "PONG");
    return CACHE_DONE;
}
static enum cache_outcome echo(struct cache_call *c)
{
    cache_reply_argument(c->reply, &c->argv[1]);
    return CACHE_DONE;
}
const struct cache_command cache_commands_connection[] = {
    {.name = "ping", .function = ping, .arity = -1, .flags = CACHE_FAST},
    {.name = "echo", .function = echo, .arity = 2, .flags = CACHE_FAST},
    {.name = NULL}};
const struct cache_command cache_commands_transaction[] = {{.name = NULL}}, cache_commands_server[] = {{.name = NULL}};
bool cache_watch_start(struct cache *c)
{
    return true;
}
void cache_watch_touched(struct cache *cache, unsigned database, struct mr_span key)
{
}
uint64_t cache_multi_shards(const struct cache *cache, const struct cache_client *client)
{
    return 0;
}
void cache_multi_queue(struct cache *cache, struct cache_client *client, const struct cache_command *command,
                       const struct cache_argument *argv, unsigned argc, struct cache_reply *reply)
{
}
void cache_client_discard(struct cache *cache, struct cache_client *c)
{
}
void cache_client_unwatch(struct cache *cache, struct cache_client *c)
{
}
void cache_settings_init(struct cache *c)
{
    c->settings.clients_max = c->config->connections_max;
    c->settings.proto_max_bulk_len = 512 << 20;
    c->settings.query_bytes_max = c->config->query_bytes_max;
    c->settings.reply_bytes_max = c->config->reply_bytes_max;
    c->settings.push_bytes_max = c->config->push_bytes_max;
    c->settings.slowlog_slower_than_us = 10000;
    c->settings.active_expire = true;
    c->settings.limits = CACHE_TYPE_LIMITS_DEFAULT;
    c->settings.memory_max = c->config->memory_max;
    c->settings.fsync = c->config->fsync;
}
