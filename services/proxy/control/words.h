/* Private to control/: the commands of `millrace proxy`. Those that change the configuration edit a copy, several in one transaction;
 * those that ask or act stand alone. */
#ifndef SERVICES_PROXY_CONTROL_WORDS_H
#define SERVICES_PROXY_CONTROL_WORDS_H

#include "config/config_edit.h"
#include "answer/answer.h"
#include "proxy/control/control.h"
#include "proxy/proxy.h"

#define CONTROL_WORDS_MAX 4096 /* of all commands of a transaction */

/* What a command that is not a change works with; shared->lock is held. */
struct control_call {
    struct proxy_shared *shared;
    const struct mr_control *control;
    int argc; /* argv[0] is the command */
    const char *const *argv;
    struct control_answer answer; /* an object that is open */
    char *wrong;                  /* set: the line that says what was wrong; from malloc */
};

struct control_word {
    const char *name, *arguments, *sentence;
    int minimum, maximum; /* arguments; maximum -1: any number */
    /* One of the two. False: e->message says why. */
    bool (*change)(const struct config_edit *e, int argc, const char *const *argv);
    bool (*call)(struct control_call *c); /* false: c->wrong says why */
};

extern const struct control_word control_words[]; /* ends with name NULL */

bool control_add(const struct config_edit *e, int argc, const char *const *argv);
bool control_set(const struct config_edit *e, int argc, const char *const *argv);
bool control_unset(const struct config_edit *e, int argc, const char *const *argv);
bool control_remove(const struct config_edit *e, int argc, const char *const *argv);

bool control_list(struct control_call *c);
bool control_version(struct control_call *c);
bool control_stat(struct control_call *c);
bool control_explain(struct control_call *c);
bool control_holds(struct control_call *c);
bool control_cut(struct control_call *c);
bool control_purge(struct control_call *c);
bool control_apply(struct control_call *c);
bool control_words_help(struct control_call *c);

/* The changes of `argv`, which ";" separates, in one transaction. False: c->wrong. */
bool control_transact(struct control_call *c, int argc, const char *const *argv);

/* Lines to words, with ";" between lines: blanks separate, quotes of both kinds hold together, \ takes what follows as it is within double
 * quotes and outside, # begins a comment. One block: the array, then the texts. NULL: `message` says why. */
char **control_words_split(const char *text, int *count, char *message, size_t message_bytes);

/* "UPSTREAM/NAME" of the newest plan; NULL: c->wrong. */
const struct plan_backend *control_backend_find(struct control_call *c, const char *name);

#endif
