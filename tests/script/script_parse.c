/* Reads a script file. Everything is bounded, and each error names file, line and column. */
#include <errno.h>

#include "tests/script/script_cursor.h"

static const struct setting {
    const char *name;
    size_t offset;
    uint64_t preset;
} settings[] = {
#define SETTING(name, preset)                                 \
    {                                                         \
#name, offsetof(struct script_settings, name), preset \
    }
    SETTING(mtu, 1500),
    SETTING(receive_budget, 0),
    SETTING(send_budget, 0),
    SETTING(keepalive_idle, 0), /* s */
    SETTING(keepalive_interval, 0),
    SETTING(keepalive_probes, 0),
    SETTING(nodelay, 0),
    SETTING(user_timeout, 0), /* ms */
    SETTING(backlog, 0),
    SETTING(tolerance_us, 1000),
    SETTING(peer_isn, 4000000),
    SETTING(peer_ts, 0),
    SETTING(local_port, 80),
    SETTING(auto_read, 0),
    SETTING(strict_end, 0),
    SETTING(seed, 1),
    SETTING(connections, 64),
    SETTING(half_open, 64),
    SETTING(time_wait, 64),
#undef SETTING
};

static uint64_t *setting_at(struct script *s, const struct setting *setting)
{
    return (uint64_t *)((char *)&s->settings + setting->offset);
}

/* "--name=value" or "--name", which means 1. */
static bool setting_parse(struct cursor *c, struct script *s)
{
    char name[32];
    int64_t value = 1;
    if (!cursor_need(c, "--") || !cursor_word(c, name, sizeof name))
        return false;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (strcmp(settings[i].name, name) != 0)
            continue;
        if (cursor_take(c, "=") && !cursor_number(c, &value))
            return false;
        *setting_at(s, &settings[i]) = (uint64_t)value;
        return cursor_end(c) || cursor_fail(c, "one option a line");
    }
    return cursor_fail(c, "no such option: %s", name);
}

/* Seconds with a fraction. */
static bool seconds_parse(struct cursor *c, mr_time *out)
{
    char *end;
    if (!isdigit((unsigned char)*c->at) && *c->at != '.')
        return cursor_fail(c, "expected seconds");
    double seconds = strtod(c->at, &end);
    if (seconds > 1e7)
        return cursor_fail(c, "a script lasts at most 1e7 seconds");
    c->at = end;
    *out = (mr_time)(seconds * 1e9 + 0.5);
    return true;
}

/* "+0.2", "1.5", "+0.1~+0.5" */
static bool time_parse(struct cursor *c, struct script_time *t)
{
    *t = (struct script_time){.relative = true};
    cursor_blanks(c);
    if (*c->at != '+' && !isdigit((unsigned char)*c->at))
        return true;
    t->given = true;
    t->relative = *c->at == '+';
    if (t->relative)
        c->at++;
    if (!seconds_parse(c, &t->low))
        return false;
    t->high = t->low;
    if (!cursor_take(c, "~"))
        return true;
    if ((*c->at == '+') != t->relative)
        return cursor_fail(c, "both ends of a range are relative, or both absolute");
    if (t->relative)
        c->at++;
    return seconds_parse(c, &t->high) && (t->high >= t->low || cursor_fail(c, "empty range"));
}

/* "[1:1001(1000)] icmp unreachable frag_needed mtu 1200": the error quotes the segment in brackets. */
static bool icmp_parse(struct cursor *c, struct script_step *step)
{
    static const struct {
        const char *name;
        uint8_t type, code;
    } kinds[] = {{"unreachable net", 3, 0},  {"unreachable host", 3, 1},        {"unreachable protocol", 3, 2},
                 {"unreachable port", 3, 3}, {"unreachable frag_needed", 3, 4}, {"unreachable prohibited", 3, 13},
                 {"time_exceeded", 11, 0},   {"source_quench", 4, 0},           {"parameter_problem", 12, 0}};
    struct script_icmp *icmp = &step->icmp;
    int64_t ignored, mtu = 0;
    icmp->sequence_raw = cursor_take(c, "=");
    if (!cursor_number(c, &icmp->sequence) || !cursor_need(c, ":") || !cursor_number(c, &ignored) ||
        !cursor_need(c, "(") || !cursor_number(c, &ignored) || !cursor_need(c, ")") || !cursor_need(c, "]") ||
        !cursor_need(c, "icmp"))
        return false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!cursor_take(c, kinds[i].name))
            continue;
        icmp->type = kinds[i].type;
        icmp->code = kinds[i].code;
        if (cursor_take(c, "mtu")) {
            if (!cursor_number(c, &mtu))
                return false;
            icmp->mtu = (uint16_t)mtu;
        }
        return true;
    }
    return cursor_fail(c, "expected an ICMP error, as \"unreachable port\"");
}

enum arguments {
    TAKES_NOTHING,
    TAKES_NUMBER,
    TAKES_COUNT,   /* N [accepts|returns RANGE] */
    TAKES_LEND,    /* N [refused] */
    TAKES_SWITCH,  /* on or off */
    TAKES_FOR,     /* "for SECONDS" */
    TAKES_EVENT,   /* open, data, end, writable or close REASON */
    TAKES_EXPECT,  /* field and what it must be */
    TAKES_CONNECT, /* [fails NAME] */
};

static const struct command {
    const char *name;
    enum script_kind kind;
    enum arguments arguments;
} commands[] = {
    {"listen", STEP_LISTEN, TAKES_NUMBER},
    {"unlisten", STEP_UNLISTEN, TAKES_NOTHING},
    {"connect", STEP_CONNECT, TAKES_CONNECT},
    {"send", STEP_SEND, TAKES_COUNT},
    {"lend", STEP_LEND, TAKES_LEND},
    {"read", STEP_READ, TAKES_COUNT},
    {"shutdown", STEP_SHUTDOWN, TAKES_NOTHING},
    {"close", STEP_CLOSE, TAKES_NOTHING},
    {"abort", STEP_ABORT, TAKES_NOTHING},
    {"nodelay", STEP_NODELAY, TAKES_SWITCH},
    {"wait", STEP_WAIT, TAKES_NOTHING},
    {"renumber", STEP_RENUMBER, TAKES_NOTHING},
    {"fail_packets", STEP_FAIL_PACKETS, TAKES_SWITCH},
    {"no_segment", STEP_NO_SEGMENT, TAKES_FOR},
    {"no_event", STEP_NO_EVENT, TAKES_EVENT},
    {"event", STEP_EVENT, TAKES_EVENT},
    {"expect", STEP_EXPECT, TAKES_EXPECT},
};

static bool event_parse(struct cursor *c, struct script_step *step)
{
    static const char *const events[] = {"open", "data", "end", "writable", "close"};
    if (!cursor_word(c, step->word, sizeof step->word))
        return false;
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (strcmp(step->word, events[i]) == 0)
            return cursor_end(c) || cursor_word(c, step->detail, sizeof step->detail);
    return cursor_fail(c, "expected open, data, end, writable or close");
}

static bool count_parse(struct cursor *c, struct script_step *step)
{
    if (!cursor_number(c, &step->number))
        return false;
    if (step->number < 0 || step->number > 1 << 30)
        return cursor_fail(c, "a count is 0 to 2^30");
    step->range = (struct script_range){step->number, step->number};
    return !(cursor_take(c, "accepts") || cursor_take(c, "returns")) || cursor_range(c, &step->range);
}

static bool lend_parse(struct cursor *c, struct script_step *step)
{
    if (!cursor_number(c, &step->number))
        return false;
    step->range.low = !cursor_take(c, "refused"); /* the expected answer */
    return step->number > 0 && step->number <= 1 << 24 ? true : cursor_fail(c, "a loan is 1 to 2^24 bytes");
}

static bool switch_parse(struct cursor *c, struct script_step *step)
{
    step->number = cursor_take(c, "on");
    return step->number || cursor_take(c, "off") || cursor_fail(c, "expected on or off");
}

static bool for_parse(struct cursor *c, struct script_step *step)
{
    mr_time duration;
    if (!cursor_need(c, "for"))
        return false;
    cursor_blanks(c);
    if (!seconds_parse(c, &duration))
        return false;
    step->number = (int64_t)duration;
    return true;
}

/* "state ESTAB", "cwnd 14600", "stat tcp.paws 1" */
static bool expect_parse(struct cursor *c, struct script_step *step)
{
    if (!cursor_word(c, step->word, sizeof step->word))
        return false;
    if (strcmp(step->word, "state") == 0)
        return cursor_word(c, step->detail, sizeof step->detail);
    if (strcmp(step->word, "stat") == 0 && !cursor_word(c, step->detail, sizeof step->detail))
        return false;
    return cursor_range(c, &step->range);
}

static bool arguments_parse(struct cursor *c, struct script_step *step, enum arguments arguments)
{
    switch (arguments) {
    case TAKES_NOTHING:
        return true;
    case TAKES_NUMBER:
        return cursor_number(c, &step->number);
    case TAKES_COUNT:
        return count_parse(c, step);
    case TAKES_LEND:
        return lend_parse(c, step);
    case TAKES_SWITCH:
        return switch_parse(c, step);
    case TAKES_FOR:
        return for_parse(c, step);
    case TAKES_EVENT:
        return event_parse(c, step);
    case TAKES_EXPECT:
        return expect_parse(c, step);
    case TAKES_CONNECT:
        return !cursor_take(c, "fails") || cursor_word(c, step->detail, sizeof step->detail);
    }
    return false;
}

static bool segment_step_parse(struct cursor *c, struct script_step *step, bool inbound)
{
    if (inbound && cursor_take(c, "[")) {
        step->kind = STEP_ICMP_IN;
        return icmp_parse(c, step);
    }
    step->kind = inbound ? STEP_SEGMENT_IN : STEP_SEGMENT_OUT;
    step->segment = calloc(1, sizeof *step->segment);
    return step->segment ? segment_parse(c, step->segment, inbound) : cursor_fail(c, "out of memory");
}

/* Only what waits for the stack may happen within a range of times. */
static bool range_fits(const struct script_step *step)
{
    return step->time.low == step->time.high || step->kind == STEP_SEGMENT_OUT || step->kind == STEP_EVENT;
}

static bool step_parse(struct cursor *c, struct script_step *step)
{
    int64_t port = SCRIPT_DEFAULT_PORT;
    step->together = cursor_take(c, "and");
    if (!time_parse(c, &step->time) || (cursor_take(c, ":") && !cursor_number(c, &port)))
        return false;
    step->port = (uint16_t)port;
    if (cursor_take(c, "<")) {
        if (!segment_step_parse(c, step, true))
            return false;
    } else if (cursor_take(c, ">")) {
        if (!segment_step_parse(c, step, false))
            return false;
    } else {
        const struct command *command = NULL;
        for (size_t i = 0; i < sizeof commands / sizeof *commands && !command; i++)
            if (cursor_take(c, commands[i].name))
                command = &commands[i];
        if (!command)
            return cursor_fail(c, "expected <, > or a command");
        step->kind = command->kind;
        if (!arguments_parse(c, step, command->arguments))
            return false;
    }
    if (step->together && (step->time.given || step->kind >= STEP_NO_SEGMENT || step->kind == STEP_SEGMENT_OUT))
        return cursor_fail(c, "\"and\" is followed by an action, without a time");
    if (!range_fits(step))
        return cursor_fail(c, "only \">\" and \"event\" may have a range of times");
    return cursor_end(c) || cursor_fail(c, "nothing more can follow");
}

static bool line_parse(struct cursor *c, struct script *s)
{
    cursor_blanks(c);
    if (*c->at == '\0' || *c->at == '#' || strncmp(c->at, "//", 2) == 0)
        return true;
    if (c->at[0] == '-' && c->at[1] == '-')
        return s->count == 0 ? setting_parse(c, s) : cursor_fail(c, "options stand before the first step");
    if (s->count == SCRIPT_LINES_MAX)
        return cursor_fail(c, "more than %d steps", SCRIPT_LINES_MAX);
    struct script_step *step = &s->step[s->count++];
    step->line = c->line;
    step->text = c->at;
    return step_parse(c, step);
}

/* Removes a comment that follows a step. */
static void comment_cut(char *line)
{
    char *comment = strchr(line, '#');
    if (comment && comment != line)
        *comment = '\0';
}

static char *file_read(const char *file, char *error, size_t error_bytes)
{
    FILE *f = fopen(file, "r");
    char *content = f ? calloc(1, SCRIPT_FILE_MAX + 1) : NULL;
    if (!content) {
        snprintf(error, error_bytes, "%s: %s", file, strerror(errno));
        if (f)
            fclose(f);
        return NULL;
    }
    size_t n = fread(content, 1, SCRIPT_FILE_MAX + 1, f);
    fclose(f);
    if (n <= SCRIPT_FILE_MAX)
        return content;
    snprintf(error, error_bytes, "%s: longer than %d bytes", file, SCRIPT_FILE_MAX);
    free(content);
    return NULL;
}

void script_free(struct script *s)
{
    for (unsigned i = 0; i < s->count; i++)
        free(s->step[i].segment);
    free(s->content);
    free(s);
}

struct script *script_parse(const char *file, char *error, size_t error_bytes)
{
    struct script *s = calloc(1, sizeof *s);
    if (!s || !(s->content = file_read(file, error, error_bytes))) {
        free(s);
        return NULL;
    }
    s->file = file;
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        *setting_at(s, &settings[i]) = settings[i].preset;
    int number = 1;
    for (char *line = s->content, *next; line; line = next, number++) {
        if ((next = strchr(line, '\n')))
            *next++ = '\0';
        comment_cut(line);
        struct cursor c = {.file = file, .start = line, .at = line, .line = number};
        if (line_parse(&c, s))
            continue;
        snprintf(error, error_bytes, "%s", c.error);
        script_free(s);
        return NULL;
    }
    return s;
}
