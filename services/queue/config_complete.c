/* The configuration that runs: what was left out is there, and passwords were read. */
#include <errno.h>
#include <inttypes.h>
#include <millrace/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_edit.h"
#include "config/config_tree.h"
#include "queue/config.h"

char *queue_password_read(const char *path, const char **why)
{
    char line[QUEUE_PASSWORD_MAX + 2];
    FILE *file = fopen(path, "re");
    if (!file) {
        *why = strerror(errno);
        return NULL;
    }
    bool read = fgets(line, sizeof line, file) != NULL;
    fclose(file);
    size_t n = read ? strcspn(line, "\r\n") : 0;
    *why = n == 0                   ? "its first line is empty, expected a password"
           : n > QUEUE_PASSWORD_MAX ? "its first line is longer than a password may be, expected 255 bytes"
                                    : NULL;
    if (*why)
        return NULL;
    line[n] = 0;
    char *password = strdup(line);
    *why = password ? NULL : "no memory";
    return password;
}

static bool passwords_read(struct queue_config *config)
{
    for (unsigned i = 0; i < config->user_count; i++) {
        struct queue_user *u = &config->users[i];
        const char *why;
        if (u->password || !u->password_file)
            continue;
        u->password = queue_password_read(u->password_file, &why);
        if (!u->password) {
            mr_log(MR_LOG_ERROR, "queue", "password_file %s of user '%s': %s", u->password_file, u->name, why);
            return false;
        }
    }
    return true;
}

static bool presets_add(struct queue_config *config)
{
    static const char *const guest = "guest";
    char message[200] = "";
    struct config_edit edit = {queue_keys, config, message, sizeof message};
    unsigned at;
    if (config->vhost_count == 0 && !config_edit_add(&edit, "vhosts", "/", NULL, &at))
        return false;
    if (config->user_count > 0)
        return true;
    mr_log(MR_LOG_WARNING, "queue", "no users are configured: guest with the password guest may do everything");
    return config_edit_add(&edit, "users", guest, NULL, &at) && config_edit_set(&edit, "users[0].password", &guest, 1);
}

/* Memory is shared out; a message lies whole in that of one worker, and twice while it goes from one to another. */
static void message_limit(struct queue_config *config, unsigned workers)
{
    uint64_t most = config->memory_max / workers / 2;
    if (config->message_bytes_max <= most)
        return;
    mr_log(MR_LOG_WARNING, "queue",
           "messages have at most %" PRIu64 " bytes: half of what memory_max gives each of %u workers", most, workers);
    config->message_bytes_max = most;
}

struct queue_config *queue_config_complete(const struct queue_config *config, unsigned workers)
{
    struct queue_config *copy = config_tree_clone(queue_keys, sizeof *copy, config);
    if (copy && presets_add(copy) && passwords_read(copy)) {
        message_limit(copy, workers);
        return copy;
    }
    if (copy)
        queue_config_free(copy);
    return NULL;
}

void queue_config_free(struct queue_config *config)
{
    config_tree_free(queue_keys, config);
    free(config);
}
