/* Commands: found in their table, counted, called. */
#include "queue/control/words.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct control_word queue_control_words[] = {
    {"list", "", "queues: what they hold, who consumes, how fast", 0, 0, queue_control_list},
    {"show", "NAME", "everything about one queue", 1, 1, queue_control_show},
    {"stat", "[N]", "numbers of the N queues with the most messages (100), and of all together", 0, 1,
     queue_control_stat},
    {"connections", "", "who is connected", 0, 0, queue_control_connections},
    {"exchanges", "", "exchanges", 0, 0, queue_control_exchanges},
    {"bindings", "", "what is bound to what", 0, 0, queue_control_bindings},
    {"declare", "NAME [KEY=VALUE]...", "a queue, durable unless told otherwise; the keys are below", 1, -1,
     queue_control_declare},
    {"delete", "NAME [if-empty] [if-unused]", "a queue with its messages", 1, 3, queue_control_delete},
    {"purge", "NAME", "drops its ready messages", 1, 1, queue_control_purge},
    {"peek", "NAME [N]", "shows the first N messages (1) without taking them", 1, 2, queue_control_peek},
    {"move", "FROM TO [N]", "ready messages to the end of another queue: N of them, or all", 2, 3, queue_control_move},
    {"help", "", "these commands; --vhost NAME with any of them", 0, 0, queue_control_help},
    {.name = NULL}};

static const struct control_word *word_find(const char *name)
{
    const struct control_word *w = queue_control_words;
    while (w->name && strcmp(w->name, name))
        w++;
    return w->name ? w : NULL;
}

static char *say_unknown(const char *name)
{
    char known[300] = "";
    for (const struct control_word *w = queue_control_words; w->name; w++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", w->name);
    return control_say("there is no command '%.60s', expected one of %s", name, known);
}

bool queue_control_help(struct control_call *c)
{
    control_answer_open(&c->answer, "commands", '[');
    for (const struct control_word *w = queue_control_words; w->name; w++) {
        control_answer_open(&c->answer, NULL, '{');
        control_answer_text(&c->answer, "command", w->name);
        control_answer_text(&c->answer, "arguments", w->arguments);
        control_answer_text(&c->answer, "sentence", w->sentence);
        control_answer_close(&c->answer, '}');
    }
    control_answer_close(&c->answer, ']');
    queue_control_help_keys(c);
    return true;
}

/* -- arguments ----------------------------------------------------------------------------------------------------------------- */

unsigned queue_control_vhost(struct control_call *c)
{
    const struct queue_config *config = c->shared->config;
    const char *name = c->vhost ? c->vhost : "/";
    for (unsigned i = 0; i < config->vhost_count; i++)
        if (!strcmp(config->vhosts[i].name, name))
            return i;
    c->wrong = control_say("there is no virtual host '%.60s'", name);
    return UINT_MAX;
}

uint64_t queue_control_number(struct control_call *c, const char *text, uint64_t most)
{
    char *end;
    errno = 0;
    unsigned long long n = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && !*end && !errno && n >= 1 && n <= most)
        return n;
    c->wrong = control_say("expected a number from 1 to %llu instead of '%.40s'", (unsigned long long)most, text);
    return 0;
}

/* -- all --------------------------------------------------------------------------------------------------------------------------- */

/* `words` without --vhost NAME and --vhost=NAME. False: c->wrong. */
static bool take_options(struct control_call *c, int argc, const char *const *argv, const char **words)
{
    c->argc = 0;
    for (int i = 0; i < argc; i++) {
        if (!strcmp(argv[i], "--vhost") && i + 1 < argc)
            c->vhost = argv[++i];
        else if (!strncmp(argv[i], "--vhost=", 8))
            c->vhost = argv[i] + 8;
        else if (!strncmp(argv[i], "--", 2))
            c->wrong = control_say("unknown option %.40s, expected --vhost NAME", argv[i]);
        else if (c->argc == CONTROL_WORDS_MAX)
            c->wrong = control_say("expected at most %d words", CONTROL_WORDS_MAX);
        else
            words[c->argc++] = argv[i];
        if (c->wrong)
            return false;
    }
    if (c->argc == 0)
        words[c->argc++] = "help";
    return true;
}

static bool call(struct control_call *c, int argc, const char *const *argv)
{
    const char *words[CONTROL_WORDS_MAX];
    if (!take_options(c, argc, argv, words))
        return false;
    c->argv = words;
    const struct control_word *w = word_find(words[0]);
    if (!w)
        c->wrong = say_unknown(words[0]);
    else if (c->argc - 1 < w->minimum || (w->maximum >= 0 && c->argc - 1 > w->maximum))
        c->wrong = control_say("expected: %s%s%s", w->name, *w->arguments ? " " : "", w->arguments);
    else
        return w->call(c);
    return false;
}

char *queue_command(void *shared, const struct mr_control *control, int argc, const char *const *argv, bool *good)
{
    struct control_call c = {.shared = shared, .control = control};
    control_answer_open(&c.answer, NULL, '{');
    *good = call(&c, argc, argv);
    control_answer_close(&c.answer, '}');
    char *text = control_answer_end(&c.answer);
    if (*good && text)
        return text;
    free(text);
    *good = false;
    return c.wrong;
}
