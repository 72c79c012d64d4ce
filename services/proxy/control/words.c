/* Commands: found in their table, counted, called; changes in one transaction. */
#include "proxy/control/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config/config_tree.h"

#define MESSAGE_MAX 800

const struct control_word control_words[] = {
    {"list", "", "listeners, routes, upstreams and backends as they are now", 0, 0, .call = control_list},
    {"version", "", "the number of the configuration that runs, and which older ones are still in use", 0, 0,
     .call = control_version},
    {"stat", "", "backends, upstreams and caches in numbers", 0, 0, .call = control_stat},
    {"explain", "METHOD URL [header 'NAME: VALUE']... [from ADDRESS] [listener NAME]",
     "what would become of a request, and why", 2, -1, .call = control_explain},
    {"add",
     "backend UPSTREAM ADDRESS | upstream NAME | listener NAME ADDRESS | route NAME [before ROUTE], then [KEY "
     "VALUE]...",
     "a new one; LIST instead of the first word for any other list, such as forward.rules", 1, -1,
     .change = control_add},
    {"set", "backend UPSTREAM/NAME | upstream NAME | listener NAME | route NAME, then KEY VALUE...; or PATH VALUE...",
     "another value, such as: set backend app/b1 weight 3; set upstreams.app.connect_timeout 2s", 2, -1,
     .change = control_set},
    {"unset", "PATH", "back to the preset", 1, 1, .change = control_unset},
    {"remove", "backend UPSTREAM/NAME | upstream NAME | listener NAME | route NAME; or PATH",
     "takes it out; what is under way has drain_timeout to end", 1, 2, .change = control_remove},
    {"apply", "TEXT", "several changes, one a line or between ';': all are made, or none", 1, 1, .call = control_apply},
    {"holds", "[UPSTREAM/NAME]", "who is connected to a backend, or what keeps those alive that drain", 0, 1,
     .call = control_holds},
    {"cut", "UPSTREAM/NAME | removed",
     "resets what is under way to a backend that drains or is disabled; or all that was removed", 1, 1,
     .call = control_cut},
    {"purge", "url URL | tag TAG | all, then [soft]", "takes responses out of the caches; soft: they become stale", 1,
     3, .call = control_purge},
    {"help", "", "these commands", 0, 0, .call = control_words_help},
    {.name = NULL}};

static const struct control_word *word_find(const char *name)
{
    const struct control_word *w = control_words;
    while (w->name && strcmp(w->name, name))
        w++;
    return w->name ? w : NULL;
}

static char *say_unknown(const char *name)
{
    char known[300] = "";
    for (const struct control_word *w = control_words; w->name; w++)
        snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", *known ? ", " : "", w->name);
    return control_say("there is no command '%.60s', expected one of %s", name, known);
}

static char *say_usage(const struct control_word *w)
{
    return control_say("expected: %s%s%s", w->name, *w->arguments ? " " : "", w->arguments);
}

static bool count_fits(const struct control_word *w, int argc)
{
    return argc - 1 >= w->minimum && (w->maximum < 0 || argc - 1 <= w->maximum);
}

bool control_words_help(struct control_call *c)
{
    control_answer_open(&c->answer, "commands", '[');
    for (const struct control_word *w = control_words; w->name; w++) {
        control_answer_open(&c->answer, NULL, '{');
        control_answer_text(&c->answer, "command", w->name);
        control_answer_text(&c->answer, "arguments", w->arguments);
        control_answer_text(&c->answer, "sentence", w->sentence);
        control_answer_close(&c->answer, '}');
    }
    control_answer_close(&c->answer, ']');
    return true;
}

/* -- changes ------------------------------------------------------------------------------------------------------- */

static char *change_one(const struct config_edit *e, int argc, const char *const *argv)
{
    const struct control_word *w = word_find(argv[0]);
    if (!w)
        return say_unknown(argv[0]);
    if (!w->change)
        return control_say("'%s' is no change: it stands alone", w->name);
    if (!count_fits(w, argc))
        return say_usage(w);
    return w->change(e, argc, argv) ? NULL : control_say("%s", e->message);
}

/* Which of several it was is said with its words. */
static char *say_which(char *why, unsigned number, int argc, const char *const *argv)
{
    char words[120] = "";
    for (int i = 0; i < argc && strlen(words) < sizeof words - 1; i++)
        snprintf(words + strlen(words), sizeof words - strlen(words), "%s%s", i ? " " : "", argv[i]);
    char *text = why ? control_say("change %u (%s): %s; nothing has changed", number, words, why) : NULL;
    free(why);
    return text;
}

/* Number of changes made, or -1 with *wrong. */
static int change_all(const struct config_edit *e, int argc, const char *const *argv, char **wrong)
{
    int changes = 0;
    bool several = false;
    for (int i = 0; i < argc; i++)
        several |= !strcmp(argv[i], ";");
    for (int first = 0, end; first < argc; first = end + 1) {
        for (end = first; end < argc && strcmp(argv[end], ";");)
            end++;
        if (end == first)
            continue;
        e->message[0] = 0;
        char *why = change_one(e, end - first, argv + first);
        if (why || e->message[0]) {
            *wrong = several ? say_which(why, (unsigned)changes + 1, end - first, argv + first) : why;
            return -1;
        }
        changes++;
    }
    return changes;
}

bool control_transact(struct control_call *c, int argc, const char *const *argv)
{
    char message[MESSAGE_MAX] = "";
    struct proxy_config *config = config_tree_clone(proxy_keys, sizeof *config, c->shared->plan->config);
    if (!config)
        return false;
    struct config_edit edit = {proxy_keys, config, message, sizeof message};
    int changes = change_all(&edit, argc, argv, &c->wrong);
    const void *value = NULL;
    bool good =
        changes > 0 && config_edit_complete(&edit) && proxy_config_check_value(config, &value, message, sizeof message);
    if (good) {
        good = control_commit(c->shared, c->control, config, message, sizeof message); /* takes it */
    } else {
        config_tree_free(proxy_keys, config);
        free(config);
    }
    if (!good && changes >= 0)
        c->wrong = control_say("%s", changes ? message : "no change was given");
    if (good) {
        control_answer_number(&c->answer, "version", c->shared->plan->version);
        control_answer_number(&c->answer, "changes", (uint64_t)changes);
    }
    return good;
}

bool control_apply(struct control_call *c)
{
    char message[MESSAGE_MAX];
    int count;
    char **words = control_words_split(c->argv[1], &count, message, sizeof message);
    bool good = words && control_transact(c, count, (const char *const *)words);
    if (!words)
        c->wrong = control_say("%s", message);
    free(words);
    return good;
}

/* -- all commands ---------------------------------------------------------------------------------------------------- */

static bool has_separator(int argc, const char *const *argv)
{
    for (int i = 0; i < argc; i++)
        if (!strcmp(argv[i], ";"))
            return true;
    return false;
}

static bool call(struct control_call *c)
{
    const struct control_word *w = word_find(c->argv[0]);
    if ((w && w->change) || has_separator(c->argc, c->argv))
        return control_transact(c, c->argc, c->argv);
    if (!w)
        c->wrong = say_unknown(c->argv[0]);
    else if (!count_fits(w, c->argc))
        c->wrong = say_usage(w);
    else
        return w->call(c);
    return false;
}

char *proxy_command(void *shared, const struct mr_control *control, int argc, const char *const *argv, bool *good)
{
    static const char *const help[] = {"help"};
    struct control_call c = {.shared = shared, .control = control, .argc = argc ? argc : 1, .argv = argc ? argv : help};
    pthread_mutex_lock(&c.shared->lock);
    control_answer_open(&c.answer, NULL, '{');
    *good = call(&c);
    control_answer_close(&c.answer, '}');
    pthread_mutex_unlock(&c.shared->lock);
    char *text = control_answer_end(&c.answer);
    if (*good && text)
        return text;
    free(text);
    *good = false;
    return c.wrong;
}
