/* What no single value of the configuration shows: names that stand twice, permissions on nothing, expressions that are none. The first
 * fault is told in one line that names the item, and `value` points at it so that the loader can give its line. */
#include <errno.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/config.h"

struct check {
    const struct queue_config *config;
    const void **value;
    char *message;
    size_t bytes;
};

static bool fault(struct check *c, const void *value, const char *format, ...) __attribute__((format(printf, 3, 4)));

static bool fault(struct check *c, const void *value, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(c->message, c->bytes, format, arguments);
    va_end(arguments);
    if (c->value)
        *c->value = value;
    return false;
}

/* A short string on the wire (AMQP 0-9-1 section 4.2.5.3). */
static bool name_fits(struct check *c, char *const *name, const char *what)
{
    size_t n = strlen(*name);
    if (n > 0 && n <= QUEUE_NAME_MAX)
        return true;
    return fault(c, name, "%s '%.60s' has %zu bytes, expected 1 to %u", what, *name, n, QUEUE_NAME_MAX);
}

/* -- virtual hosts ----------------------------------------------------------------------------------------------------------- */

static bool vhosts_good(struct check *c)
{
    const struct queue_config *config = c->config;
    for (unsigned i = 0; i < config->vhost_count; i++) {
        char *const *name = &config->vhosts[i].name;
        if (!name_fits(c, name, "virtual host"))
            return false;
        for (unsigned k = 0; k < i; k++)
            if (!strcmp(*name, config->vhosts[k].name))
                return fault(c, name, "virtual host '%s' stands twice, expected another name", *name);
    }
    return true;
}

static bool vhost_known(const struct queue_config *config, const char *name)
{
    for (unsigned i = 0; i < config->vhost_count; i++)
        if (!strcmp(config->vhosts[i].name, name))
            return true;
    return config->vhost_count == 0 && !strcmp(name, "/");
}

/* -- users --------------------------------------------------------------------------------------------------------------------- */

static bool expression_good(struct check *c, const struct queue_user *u, char *const *expression, const char *key)
{
    char why[120];
    regex_t compiled;
    int error = regcomp(&compiled, *expression, REG_EXTENDED | REG_NOSUB);
    if (error == 0) {
        regfree(&compiled);
        return true;
    }
    regerror(error, &compiled, why, sizeof why);
    return fault(c, expression, "%s of user '%s': '%.80s' is no extended regular expression: %s", key, u->name,
                 *expression, why);
}

static bool permission_good(struct check *c, const struct queue_user *u, unsigned i)
{
    const struct queue_permission *p = &u->permissions[i];
    if (!vhost_known(c->config, p->vhost))
        return fault(c, &p->vhost,
                     "permissions of user '%s': there is no virtual host '%.120s', expected one of `vhosts`", u->name,
                     p->vhost);
    for (unsigned k = 0; k < i; k++)
        if (!strcmp(p->vhost, u->permissions[k].vhost))
            return fault(c, &p->vhost,
                         "permissions of user '%s' on virtual host '%.120s' stand twice, expected them once", u->name,
                         p->vhost);
    return expression_good(c, u, &p->configure, "configure") && expression_good(c, u, &p->write, "write") &&
           expression_good(c, u, &p->read, "read");
}

static bool password_good(struct check *c, const struct queue_user *u)
{
    const char *why;
    if (!u->password && !u->password_file)
        return fault(c, u, "user '%s' has no password, expected password or password_file", u->name);
    if (u->password && u->password_file)
        return fault(c, &u->password_file, "user '%s' has password and password_file, expected one of them", u->name);
    if (u->password && (!*u->password || strlen(u->password) > QUEUE_PASSWORD_MAX))
        return fault(c, &u->password, "password of user '%s' has %zu bytes, expected 1 to %d", u->name,
                     strlen(u->password), QUEUE_PASSWORD_MAX);
    if (!u->password_file)
        return true;
    char *password = queue_password_read(u->password_file, &why);
    free(password);
    return password ||
           fault(c, &u->password_file, "password_file %.120s of user '%s': %s", u->password_file, u->name, why);
}

static bool users_good(struct check *c)
{
    const struct queue_config *config = c->config;
    for (unsigned i = 0; i < config->user_count; i++) {
        const struct queue_user *u = &config->users[i];
        if (!name_fits(c, &u->name, "user"))
            return false;
        for (unsigned k = 0; k < i; k++)
            if (!strcmp(u->name, config->users[k].name))
                return fault(c, &u->name, "user '%s' stands twice, expected another name", u->name);
        if (!password_good(c, u))
            return false;
        for (unsigned k = 0; k < u->permission_count; k++)
            if (!permission_good(c, u, k))
                return false;
    }
    return true;
}

/* -- the folder ------------------------------------------------------------------------------------------------------------------ */

/* It is made when absent, and so is the one above it: what is there of the path must be a folder that can be written. */
static bool folder_good(struct check *c)
{
    const char *why = NULL;
    struct stat status;
    if (!c->config->folder)
        return true;
    if (!*c->config->folder)
        return fault(c, &c->config->folder, "folder is empty, expected a path");
    if (stat(c->config->folder, &status) != 0)
        why = errno == ENOENT ? NULL : strerror(errno);
    else if (!S_ISDIR(status.st_mode))
        why = strerror(ENOTDIR);
    else if (access(c->config->folder, R_OK | W_OK | X_OK) != 0)
        why = strerror(errno);
    return !why ||
           fault(c, &c->config->folder, "folder %.160s: %s, expected one that can be written", c->config->folder, why);
}

#define MESSAGE_BYTES_PRESET \
    (UINT64_C(128) << 20) /* of config_keys.c: nobody asked for it, so config_complete.c cuts it to what fits */

static bool sizes_good(struct check *c)
{
    const struct queue_config *config = c->config;
    if (config->message_bytes_max <= config->memory_max / 2 || config->message_bytes_max == MESSAGE_BYTES_PRESET)
        return true;
    return fault(c, &config->message_bytes_max,
                 "message_bytes_max is more than half of memory_max: expected at most %llu bytes, or more memory",
                 (unsigned long long)(config->memory_max / 2));
}

bool queue_config_check(const void *configuration, const void **value, char *message, size_t message_bytes)
{
    struct check c = {configuration, value, message, message_bytes};
    return vhosts_good(&c) && users_good(&c) && folder_good(&c) && sizes_good(&c);
}
