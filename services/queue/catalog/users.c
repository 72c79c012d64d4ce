/* Who may log in and who may what, from the configuration alone.
 *
 * Expressions are compiled at start. glibc's regexec takes a lock (one of each compiled expression) and allocates, also when it only has to say
 * yes or no; so the forms that are written nearly always are recognised and decided here without it: "" and "^$", ".*", and a literal
 * with ^ before, $ or .* behind. Whatever else goes to regexec, in each declare, consume and publish that it is about. */
#include <millrace/log.h>
#include <regex.h>
#include <stdlib.h>

#include "queue/catalog/replica.h"

enum form { FORM_REGEX, FORM_ALL, FORM_EQUAL, FORM_BEGIN, FORM_WITHIN, FORM_END };

struct pattern {
    enum form form;
    bool compiled;
    size_t length;
    char *literal;
    regex_t regex;
};

struct catalog_patterns {
    struct pattern of[RIGHT_READ + 1];
};

/* -- expressions ----------------------------------------------------------------------------------------------------------------------------- */

/* The literal of [^]literal[$|.*|.*$], unescaped, to `literal`. False: it is something else. */
static bool simple_form(const char *text, char *literal, size_t *length, enum form *form)
{
    bool begin = *text == '^', end = false, any = false;
    size_t n = 0;
    for (text += begin; *text; text++) {
        if (!strcmp(text, "$")) {
            end = true;
            break;
        }
        if (!strcmp(text, ".*") || !strcmp(text, ".*$")) {
            any = true;
            break;
        }
        if (*text == '\\' && text[1] && strchr(".-$^*+?()[]{}|\\", text[1]))
            text++;
        else if (strchr(".$^*+?()[]{}|\\", *text))
            return false;
        if (text[1] && strchr("*+?{", text[1]))
            return false; /* the literal's last character is repeated */
        literal[n++] = *text;
    }
    *length = n;
    if (any)
        *form = !n ? FORM_ALL : begin ? FORM_BEGIN : FORM_WITHIN;
    else
        *form = begin && end ? FORM_EQUAL : begin ? FORM_BEGIN : end ? FORM_END : n ? FORM_WITHIN : FORM_EQUAL;
    return true;
}

static bool pattern_open(struct pattern *p, const char *text)
{
    *p = (struct pattern){.literal = malloc(strlen(text) + 1)};
    if (!p->literal)
        return false;
    if (simple_form(text, p->literal, &p->length, &p->form))
        return true;
    p->form = FORM_REGEX;
    p->compiled = regcomp(&p->regex, text, REG_EXTENDED | REG_NOSUB) == 0;
    if (!p->compiled)
        mr_log(MR_LOG_ERROR, "queue", "'%s' is no extended regular expression", text);
    return p->compiled;
}

static void pattern_close(struct pattern *p)
{
    if (p->compiled)
        regfree(&p->regex);
    free(p->literal);
}

static bool regex_matches(const struct pattern *p, struct mr_span name)
{
    char text[QUEUE_NAME_MAX + 1];
    if (name.length > QUEUE_NAME_MAX || memchr(name.data, 0, name.length))
        return false; /* regexec would see another name */
    memcpy(text, name.data, name.length);
    text[name.length] = '\0';
    return regexec(&p->regex, text, 0, NULL, 0) == 0;
}

static bool pattern_matches(const struct pattern *p, struct mr_span name)
{
    size_t n = p->length;
    switch (p->form) {
    case FORM_ALL:
        return true;
    case FORM_EQUAL:
        return name.length == n && !memcmp(name.data, p->literal, n);
    case FORM_BEGIN:
        return name.length >= n && !memcmp(name.data, p->literal, n);
    case FORM_END:
        return name.length >= n && !memcmp(name.data + name.length - n, p->literal, n);
    case FORM_WITHIN:
        return memmem(name.data, name.length, p->literal, n) != NULL;
    case FORM_REGEX:
        break;
    }
    return regex_matches(p, name);
}

/* -- compiled at start ----------------------------------------------------------------------------------------------------------------------- */

static bool permission_open(struct queue_permission *p)
{
    const char *const texts[] = {[RIGHT_CONFIGURE] = p->configure, [RIGHT_WRITE] = p->write, [RIGHT_READ] = p->read};
    p->patterns = calloc(1, sizeof *p->patterns);
    for (unsigned i = 0; p->patterns && i <= RIGHT_READ; i++)
        if (!pattern_open(&p->patterns->of[i], texts[i] ? texts[i] : ""))
            return false;
    return p->patterns != NULL;
}

bool catalog_users_open(struct queue_config *config)
{
    for (unsigned i = 0; i < config->user_count; i++)
        for (unsigned k = 0; k < config->users[i].permission_count; k++)
            config->users[i].permissions[k].patterns = NULL;
    for (unsigned i = 0; i < config->user_count; i++)
        for (unsigned k = 0; k < config->users[i].permission_count; k++)
            if (!permission_open(&config->users[i].permissions[k]))
                return false;
    return true;
}

void catalog_users_close(struct queue_config *config)
{
    for (unsigned i = 0; i < config->user_count; i++)
        for (unsigned k = 0; k < config->users[i].permission_count; k++) {
            struct queue_permission *p = &config->users[i].permissions[k];
            for (unsigned r = 0; p->patterns && r <= RIGHT_READ; r++)
                pattern_close(&p->patterns->of[r]);
            free(p->patterns);
            p->patterns = NULL;
        }
}

/* -- asked ----------------------------------------------------------------------------------------------------------------------------------- */

/* As long as the password said takes, whatever the right one is: nothing is learned from the time but that. */
static bool password_equal(const char *right, struct mr_span said)
{
    size_t n = strlen(right);
    volatile uint8_t different = (uint8_t)(n != said.length);
    for (size_t i = 0; i < said.length; i++)
        different = different | (uint8_t)(said.data[i] ^ (uint8_t)right[n ? i % n : 0]);
    return !different;
}

const struct queue_user *catalog_user_check(const struct queue_config *config, struct mr_span name,
                                            struct mr_span password)
{
    const struct queue_user *found = NULL;
    for (unsigned i = 0; i < config->user_count; i++)
        if (span_equal(name, span_of(config->users[i].name)))
            found = &config->users[i];
    /* Who is not known is compared, too, so that names are not learned from the time. */
    bool good = password_equal(found && found->password ? found->password : "no such user", password);
    return good && found && found->password ? found : NULL;
}

static const struct queue_permission *permission_on(const struct queue_user *user, const char *vhost)
{
    for (unsigned i = 0; i < user->permission_count; i++)
        if (!strcmp(user->permissions[i].vhost, vhost))
            return &user->permissions[i];
    return NULL;
}

bool catalog_user_vhost(const struct queue_user *user, const char *vhost)
{
    return !user->permission_count || permission_on(user, vhost);
}

bool catalog_user_may(const struct queue_user *user, const char *vhost, enum catalog_right right, struct mr_span name)
{
    if (!user->permission_count)
        return true;
    const struct queue_permission *p = permission_on(user, vhost);
    if (!p || !p->patterns)
        return false;
    /* The default exchange is asked for by this name, as with RabbitMQ. */
    return pattern_matches(&p->patterns->of[right], name.length ? name : span_of("amq.default"));
}
