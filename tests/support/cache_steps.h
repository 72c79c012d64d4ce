/* Tables of commands and the bytes that answer them, one step a line, run in order on one session. */
#ifndef TESTS_SUPPORT_CACHE_STEPS_H
#define TESTS_SUPPORT_CACHE_STEPS_H

#include "tests/support/cmocka.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/cache_session.h"

struct step {
    const char *command, *reply;
    size_t reply_bytes;
};
#define STEP(command, reply)              \
    {                                     \
        command, reply, sizeof(reply) - 1 \
    }

/* Printable, for what a failure shows. */
static inline const char *steps_shown(const char *bytes, size_t n, char text[512])
{
    size_t used = 0;
    for (size_t i = 0; i < n && used < 500; i++) {
        unsigned char c = (unsigned char)bytes[i];
        used += (size_t)snprintf(text + used, 512 - used, c >= 32 && c < 127 ? "%c" : "\\x%02x", c);
    }
    text[used] = 0;
    return text;
}

static inline void steps_run_on(struct cache_session *s, const struct step *steps)
{
    char got[512], wanted[512];
    bool failed = false;
    for (const struct step *step = steps; step->command; step++) {
        size_t n;
        const char *reply = cache_session_run(s, step->command, &n);
        if (n == step->reply_bytes && memcmp(reply, step->reply, n) == 0)
            continue;
        failed = true;
        print_error("step %d: %s\n  wanted %s\n  got    %s\n", (int)(step - steps), step->command,
                    steps_shown(step->reply, step->reply_bytes, wanted), steps_shown(reply, n, got));
    }
    cache_session_check(s);
    assert_false(failed);
}

/* On one shard, and on several that share the keys out. */
static inline void steps_run(const struct step *steps)
{
    for (unsigned shards = 1; shards <= 3; shards += 2) {
        struct cache_session *s = cache_session_start(&(struct cache_session_options){.shards = shards});
        steps_run_on(s, steps);
        cache_session_stop(s);
    }
}

static inline void assert_reply(struct cache_session *s, const char *command, const char *wanted)
{
    char text[2][512];
    size_t n;
    const char *reply = cache_session_run(s, command, &n);
    if (n != strlen(wanted) || memcmp(reply, wanted, n) != 0)
        fail_msg("%s: wanted %s, got %s", command, steps_shown(wanted, strlen(wanted), text[0]),
                 steps_shown(reply, n, text[1]));
}

#endif
