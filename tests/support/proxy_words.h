/* The whole proxy on a few fake workers, configured and changed by the words of `millrace proxy`. */
#ifndef TESTS_SUPPORT_PROXY_WORDS_H
#define TESTS_SUPPORT_PROXY_WORDS_H

#include "proxy/proxy.h"
#include "tests/support/service_group.h"

struct proxy_words {
    struct proxy_config config;
    struct service_group group;
    struct fake_control control;
    struct proxy_shared *shared;
    struct mr_worker *w; /* the first */
    struct proxy *p;     /* on it */
    char *said;          /* the last answer */
};

/* `lines`: one `add ...` or `set ...` each. Tables are small: 8 sessions, 8 connections, 8 upstreams, 16 backends. */
void proxy_words_start(struct proxy_words *w, unsigned workers, const char *lines);
/* A command; its answer is w->said. */
bool proxy_words_say(struct proxy_words *w, const char *line);
void proxy_words_pass(struct proxy_words *w, mr_time duration); /* on every worker */
/* Asks to stop, lets `drain` go by, and ends: demands that all is given back. */
void proxy_words_stop(struct proxy_words *w, mr_time drain);
void proxy_words_free(struct proxy_words *w); /* the last of it, for who has ended the group */

struct proxy *proxy_words_on(const struct proxy_words *w, unsigned worker);
/* Of the newest plan. */
const struct plan_upstream *proxy_words_upstream(const struct proxy_words *w, const char *name);
const struct plan_backend *proxy_words_backend(const struct proxy_words *w, const char *upstream, const char *name);

/* A configuration with every preset and then what `lines` say, not checked; free with config_tree_free(proxy_keys, ...). False: a line is
 * refused, `message` says why. */
bool proxy_words_config(struct proxy_config *config, const char *lines, char *message, size_t message_bytes);

#endif
