/* Reply codes, from reply.def. */
#include "queue/amqp/wire.h"

const char *amqp_reply_name(unsigned code)
{
    switch (code) {
#define REPLY(symbol, code, name, hard) \
    case code:                          \
        return name;
#include "queue/amqp/reply.def"
#undef REPLY
    }
    return NULL;
}

bool amqp_reply_hard(unsigned code)
{
    switch (code) {
#define REPLY(symbol, code, name, hard) \
    case code:                          \
        return hard;
#include "queue/amqp/reply.def"
#undef REPLY
    }
    return true; /* what nobody knows ends the connection */
}
