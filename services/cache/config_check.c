/* What `millrace check` says of values that the table of keys alone cannot judge. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/evict/evict.h"

struct complaint {
    char *text;
    size_t bytes;
};

static bool policy_is_known(const struct cache_config *config, struct complaint *c)
{
    if (cache_evict_find(config->policy))
        return true;
    int n = snprintf(c->text, c->bytes, "policy: '%.40s' is none of", config->policy);
    for (unsigned i = 0; cache_evict_policies[i] && n > 0 && (size_t)n < c->bytes; i++)
        n += snprintf(c->text + n, c->bytes - (size_t)n, " %s", cache_evict_policies[i]->name);
    return false;
}

static bool password_fits(const struct cache_config *config, struct complaint *c)
{
    const size_t most = sizeof((struct cache_settings *)0)->password - 1;
    if (!config->password || strlen(config->password) <= most)
        return true;
    snprintf(c->text, c->bytes, "password has %zu bytes, expected no more than %zu", strlen(config->password), most);
    return false;
}

static bool folder_is_usable(const struct cache_config *config, struct complaint *c)
{
    struct stat status;
    const char *why = NULL;
    if (config->durability == CACHE_DURABLE_NONE)
        return true;
    if (stat(config->folder, &status) != 0)
        why = strerror(errno);
    else if (!S_ISDIR(status.st_mode))
        why = strerror(ENOTDIR);
    else if (access(config->folder, R_OK | W_OK | X_OK) != 0)
        why = strerror(errno);
    if (why)
        snprintf(c->text, c->bytes, "folder %.160s: %s, expected one that can be written", config->folder, why);
    return !why;
}

bool cache_config_check(const void *configuration, char *message, size_t message_bytes)
{
    const struct cache_config *config = configuration;
    struct complaint complaint = {message, message_bytes};
    return policy_is_known(config, &complaint) && password_fits(config, &complaint) &&
           folder_is_usable(config, &complaint);
}
