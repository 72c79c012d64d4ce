/* SASL mechanisms: PLAIN (RFC 4616), AMQPLAIN (RabbitMQ's: the same in a table), and EXTERNAL, which speaks for a certificate of TLS. */
#include <string.h>

#include "queue/amqp/connection.h"
#include "queue/amqp/table.h"
#include "queue/catalog/catalog.h"

static bool always(const struct amqp_connection *c)
{
    return true;
}

/* For the next line in the log (notice.c): the refusal refers its reader there. */
static void remember(struct amqp_connection *c, struct mr_span user)
{
    struct broker_notice *n = &c->broker->notice;
    n->user_length = (uint8_t)(user.length < sizeof n->user ? user.length : sizeof n->user);
    if (n->user_length)
        memcpy(n->user, user.data, n->user_length);
    mr_stream_remote(c->stream, &n->peer);
}

static enum amqp_login check(struct amqp_connection *c, struct mr_span user, struct mr_span password)
{
    c->user = catalog_user_check(c->broker->config, user, password);
    if (!c->user)
        remember(c, user);
    return c->user ? AMQP_LOGIN_DONE : AMQP_LOGIN_REFUSED;
}

/* RFC 4616: [authzid] NUL authcid NUL passwd. Nobody may act for another, so the first part is empty. */
static enum amqp_login plain(struct amqp_connection *c, struct mr_span r)
{
    if (!r.length)
        return AMQP_LOGIN_MORE;
    const uint8_t *user = r.data + 1, *end = r.data + r.length;
    const uint8_t *nul = r.data[0] ? NULL : memchr(user, 0, (size_t)(end - user));
    if (!nul || memchr(nul + 1, 0, (size_t)(end - nul - 1)))
        return AMQP_LOGIN_MALFORMED;
    return check(c, (struct mr_span){user, (size_t)(nul - user)}, (struct mr_span){nul + 1, (size_t)(end - nul - 1)});
}

static enum amqp_login amqplain(struct amqp_connection *c, struct mr_span r)
{
    struct amqp_value user, password;
    if (!amqp_table_valid(r) || !amqp_table_find(r, "LOGIN", &user) || user.type != 'S' ||
        !amqp_table_find(r, "PASSWORD", &password) || password.type != 'S')
        return AMQP_LOGIN_MALFORMED;
    return check(c, user.text, password.text);
}

/* The name is that of the peer's certificate. A stream without TLS has none. */
static bool certified(const struct amqp_connection *c)
{
    return false;
}

static enum amqp_login external(struct amqp_connection *c, struct mr_span r)
{
    return AMQP_LOGIN_REFUSED;
}

const struct amqp_mechanism amqp_mechanisms[AMQP_MECHANISMS] = {
    {"AMQPLAIN", always, amqplain},
    {"PLAIN", always, plain},
    {"EXTERNAL", certified, external},
};

size_t amqp_mechanism_list(const struct amqp_connection *c, char *to, size_t room)
{
    size_t n = 0;
    for (unsigned i = 0; i < AMQP_MECHANISMS; i++) {
        size_t length = strlen(amqp_mechanisms[i].name);
        if (!amqp_mechanisms[i].offered(c) || n + length + 1 > room)
            continue;
        if (n)
            to[n++] = ' ';
        memcpy(to + n, amqp_mechanisms[i].name, length);
        n += length;
    }
    return n;
}
