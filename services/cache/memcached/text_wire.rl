#include "cache/memcached/text_wire.h"

#include <ctype.h>
#include <string.h>

#include "cache/memcached/base64.h"

#pragma GCC diagnostic ignored "-Wimplicit-fallthrough"

#define TOKENS_MAX 24 /* more are counted, not kept */
#define VALUE_MAX  (INT32_MAX - 2)

struct line {
    struct mr_span token[TOKENS_MAX];
    unsigned tokens;
    const struct cache_memcached_limits *limits;
    struct cache_memcached_request *r;
    struct cache_memcached_parts *parts;
};

%%{
    # Words parted by spaces; tabs and every other byte belong to a word.
    machine memcached_line;
    alphtype unsigned char;

    action begin { begin = p; }
    action end {
        if (l->tokens < TOKENS_MAX)
            l->token[l->tokens] = (struct mr_span){begin, (size_t)(p - begin)};
        l->tokens++;
    }

    word = (any - " ")+ >begin %end;
    main := " "* (word (" "+ word)*)? " "*;
    write data noentry nofinal noerror;
}%%

%%{
    # The flags of meta commands: a letter, most of them with something behind it.
    machine memcached_flag;
    alphtype unsigned char;

    action base64 { r->key_base64 = true; }
    action value { r->wants_value = true; }
    action quiet { r->quiet = true; }
    action no_update { r->no_update = true; }
    action invalidate { r->invalidates = true; }
    action vivify {
        if (!expires_read(l, token, &r->vivify_ms))
            return CACHE_MEMCACHED_BAD_TOKEN;
        r->vivifies = true;
    }
    action expiry {
        if (!expires_read(l, token, &r->expires_ms))
            return CACHE_MEMCACHED_BAD_TOKEN;
        r->touches = true;
    }
    action recache {
        if (!signed_read(token, &number))
            return CACHE_MEMCACHED_BAD_TOKEN;
        r->recaches = true;
        r->recache_s = (uint32_t)number;
        r->recaches_before = !r->touches;
    }
    action client_flags {
        if (!unsigned_read(token, &positive))
            return CACHE_MEMCACHED_BAD_FORMAT;
        r->flags = (uint32_t)positive;
    }
    action compare {
        if (!unsigned_read(token, &r->cas))
            return CACHE_MEMCACHED_BAD_TOKEN;
        r->has_cas = true;
    }
    action initial {
        if (!unsigned_read(token, &r->initial))
            return CACHE_MEMCACHED_BAD_INITIAL_VALUE;
    }
    action delta {
        if (!unsigned_read(token, &r->delta))
            return CACHE_MEMCACHED_BAD_DELTA_VALUE;
    }
    action mode {
        if (token.length != 1)
            return CACHE_MEMCACHED_BAD_MODE_LENGTH;
        *mode = (char)*token.data;
    }
    action opaque {
        if (token.length + 1 > CACHE_MEMCACHED_OPAQUE_MAX)
            return CACHE_MEMCACHED_LONG_OPAQUE;
        memcpy(r->opaque, token.data, token.length);
        r->opaque_length = (uint8_t)token.length;
    }
    action want {
        r->wants[r->wants_count++] = (char)*p;
        r->expiry_before |= *p == 't' && !r->touches; /* flags work in their order */
        r->expiry_before_vivify |= *p == 't' && !r->vivifies;
    }

    main := "b" @base64 | "v" @value | "q" @quiet | "u" @no_update | "I" @invalidate | "N" @vivify | "T" @expiry
          | "R" @recache | "F" @client_flags | "C" @compare | "J" @initial | "D" @delta | "M" @mode
          | "O" @opaque @want | [cfhklst] @want | [LP];
    write data noentry nofinal;
}%%

/* Numbers as strtol and strtoull read them: spaces in front, a sign, digits; memcached allows a space behind. */
static bool number_read(struct mr_span t, bool *negative, uint64_t *value)
{
    const uint8_t *p = t.data, *end = p + t.length;
    while (p < end && isspace(*p))
        p++;
    *negative = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+'))
        p++;
    const uint8_t *digits = p;
    for (*value = 0; p < end && *p >= '0' && *p <= '9'; p++)
        if (__builtin_mul_overflow(*value, UINT64_C(10), value) ||
            __builtin_add_overflow(*value, (uint64_t)(*p - '0'), value))
            return false;
    return p > digits && (p == end || isspace(*p));
}

static bool unsigned_read(struct mr_span t, uint64_t *value)
{
    bool negative;
    return number_read(t, &negative, value) && !(negative && *value);
}

static bool signed_read(struct mr_span t, int64_t *value)
{
    bool negative;
    uint64_t magnitude;
    if (!number_read(t, &negative, &magnitude) || magnitude > INT64_MAX)
        return false;
    *value = negative ? -(int64_t)magnitude : (int64_t)magnitude;
    return true;
}

/* An expiry has 32 bits; what is beyond is cut, as memcached does. */
static bool expires_read(const struct line *l, struct mr_span t, uint64_t *expires_ms)
{
    int64_t number;
    if (!signed_read(t, &number))
        return false;
    *expires_ms = cache_memcached_expires((int32_t)number, l->limits->now_ms);
    return true;
}

uint64_t cache_memcached_expires(int64_t exptime, uint64_t now_ms)
{
    if (exptime == 0)
        return 0;
    if (exptime < 0)
        return 1;
    if (exptime <= 60 * 60 * 24 * 30)
        return now_ms + (uint64_t)exptime * 1000;
    return (uint64_t)exptime * 1000 > now_ms ? (uint64_t)exptime * 1000 : 1;
}

static void line_split(struct line *l, const uint8_t *p, const uint8_t *pe)
{
    const uint8_t *begin = p, *eof = pe;
    int cs = memcached_line_start;
    %%{
        machine memcached_line;
        write exec;
    }%%
    (void)cs;
}

static bool token_is(const struct line *l, unsigned i, const char *word)
{
    return i < l->tokens && l->token[i].length == strlen(word) && memcmp(l->token[i].data, word, l->token[i].length) == 0;
}

static void answer(struct line *l, enum cache_memcached_answer a)
{
    l->r->op = CACHE_MEMCACHED_REPLY;
    l->r->answer = (uint8_t)a;
}

static bool key_take(struct line *l, unsigned i)
{
    l->parts->key = l->token[i];
    if (l->token[i].length <= CACHE_MEMCACHED_KEY_MAX)
        return true;
    answer(l, CACHE_MEMCACHED_BAD_FORMAT);
    return false;
}

/* -- text ------------------------------------------------------------------------------------------------------------------- */

static void line_get(struct line *l)
{
    const struct mr_span *first = &l->token[1], *last = &l->token[l->tokens < TOKENS_MAX ? l->tokens - 1 : TOKENS_MAX - 1];
    unsigned key = 1;
    l->r->op = CACHE_MEMCACHED_GET;
    l->r->wants_value = true;
    l->r->with_cas = l->token[0].data[l->token[0].length - 1] == 's';
    if (l->token[0].data[1] == 'a') {
        l->r->touches = true;
        key = 2;
        if (!expires_read(l, *first, &l->r->expires_ms)) {
            answer(l, CACHE_MEMCACHED_BAD_EXPTIME);
            return;
        }
        if (l->tokens == 2) {
            answer(l, CACHE_MEMCACHED_END);
            return;
        }
    }
    if (!key_take(l, key))
        return;
    l->parts->keys.data = l->token[key].data + l->token[key].length;
    l->parts->keys.length = l->tokens == key + 1 ? 0 : (size_t)(last->data + last->length - l->parts->keys.data);
}

/* What is behind the last token that was kept belongs to the keys, too. */
static void line_get_extend(struct line *l, const uint8_t *end)
{
    if (l->r->op == CACHE_MEMCACHED_GET && l->tokens > TOKENS_MAX)
        l->parts->keys.length = (size_t)(end - l->parts->keys.data);
}

static const char *const store_words[] = {"set", "add", "replace", "append", "prepend"};

static bool store_numbers(struct line *l, uint64_t *flags, int64_t *exptime, int64_t *length)
{
    bool cas = token_is(l, 0, "cas");
    if (!unsigned_read(l->token[2], flags) || !signed_read(l->token[3], exptime) || !signed_read(l->token[4], length))
        return false;
    if (cas && !unsigned_read(l->token[5], &l->r->cas))
        return false;
    l->r->has_cas = cas;
    *length = (int32_t)*length;
    return *length >= 0 && *length <= VALUE_MAX;
}

/* The data block of an item that is too large is not kept; what is stored under its key would be older, and goes. */
static void value_expect(struct line *l, uint64_t length)
{
    l->r->value_bytes = length;
    l->parts->has_value = true;
    if (length + l->parts->key.length + CACHE_MEMCACHED_OVERHEAD > l->limits->item_bytes_max) {
        l->parts->has_value = false;
        l->parts->swallow = length + 2;
        l->r->op = l->r->mode == CACHE_MEMCACHED_SET ? CACHE_MEMCACHED_DELETE : CACHE_MEMCACHED_REPLY;
        l->r->answer = CACHE_MEMCACHED_TOO_LARGE;
        l->r->has_cas = l->r->invalidates = false;
    }
}

static void line_store(struct line *l)
{
    uint64_t flags;
    int64_t exptime, length;
    if (!key_take(l, 1))
        return;
    if (!store_numbers(l, &flags, &exptime, &length)) {
        answer(l, CACHE_MEMCACHED_BAD_FORMAT);
        return;
    }
    for (unsigned i = 0; i < sizeof store_words / sizeof *store_words; i++)
        if (token_is(l, 0, store_words[i]))
            l->r->mode = (uint8_t)i;
    l->r->op = CACHE_MEMCACHED_STORE;
    l->r->flags = (uint32_t)flags;
    l->r->expires_ms = cache_memcached_expires((int32_t)exptime, l->limits->now_ms);
    value_expect(l, (uint64_t)length);
}

static void line_delete(struct line *l)
{
    l->r->op = CACHE_MEMCACHED_DELETE;
    l->r->answer = CACHE_MEMCACHED_DELETED;
    bool zero = token_is(l, 2, "0"), usage = l->tokens > 2 && !zero && !(l->tokens == 3 && l->r->quiet);
    if (usage)
        answer(l, CACHE_MEMCACHED_BAD_DELETE);
    else
        key_take(l, 1);
}

static void line_arithmetic(struct line *l)
{
    l->r->op = CACHE_MEMCACHED_ARITHMETIC;
    l->r->decrements = l->token[0].data[0] == 'd';
    if (key_take(l, 1) && !unsigned_read(l->token[2], &l->r->delta))
        answer(l, CACHE_MEMCACHED_BAD_DELTA);
}

static void line_touch(struct line *l)
{
    l->r->op = CACHE_MEMCACHED_TOUCH;
    l->r->touches = true;
    if (key_take(l, 1) && !expires_read(l, l->token[2], &l->r->expires_ms))
        answer(l, CACHE_MEMCACHED_BAD_EXPTIME);
}

static void line_flush(struct line *l)
{
    int64_t delay = 0;
    l->r->op = CACHE_MEMCACHED_FLUSH;
    if (l->tokens > 1 + (unsigned)l->r->quiet && !signed_read(l->token[1], &delay))
        answer(l, CACHE_MEMCACHED_BAD_EXPTIME);
    l->r->expires_ms = delay > 0 ? cache_memcached_expires((int32_t)delay, l->limits->now_ms) : 0;
}

static void line_verbosity(struct line *l)
{
    uint64_t level;
    bool good = (l->tokens == 2 && l->r->quiet) || unsigned_read(l->token[1], &level);
    answer(l, l->tokens > 3 ? CACHE_MEMCACHED_ERROR : good ? CACHE_MEMCACHED_OK : CACHE_MEMCACHED_BAD_FORMAT);
}

static void line_version(struct line *l)
{
    l->r->op = CACHE_MEMCACHED_VERSION_ASKED;
}

static void line_quit(struct line *l)
{
    l->r->op = CACHE_MEMCACHED_NOTHING;
    l->r->close = true;
}

static void line_shutdown(struct line *l)
{
    answer(l, CACHE_MEMCACHED_SHUTDOWN_REFUSED);
}

static void line_stats(struct line *l)
{
    l->r->op = CACHE_MEMCACHED_STATS;
    l->parts->keys = l->tokens > 1 ? l->token[1] : (struct mr_span){l->token[0].data, 0};
}

/* The limit is the configuration's: only what it is already can be asked for. */
static void line_memlimit(struct line *l)
{
    uint64_t megabytes;
    if (!unsigned_read(l->token[1], &megabytes))
        answer(l, CACHE_MEMCACHED_ERROR);
    else if (megabytes < 8)
        answer(l, CACHE_MEMCACHED_MEMLIMIT_TOO_SMALL);
    else
        answer(l, megabytes == l->limits->memory_max >> 20 ? CACHE_MEMCACHED_OK : CACHE_MEMCACHED_MEMLIMIT_FIXED);
}

/* -- meta ------------------------------------------------------------------------------------------------------------------- */

/* One flag; `token` is what is behind its letter. Returns the error, or CACHE_MEMCACHED_OK. */
static enum cache_memcached_answer flag_read(struct line *l, struct mr_span whole, char *mode)
{
    struct cache_memcached_request *r = l->r;
    struct mr_span token = {whole.data + 1, whole.length - 1};
    const uint8_t *p = whole.data, *pe = p + 1;
    int64_t number;
    uint64_t positive;
    int cs = memcached_flag_start;
    %%{
        machine memcached_flag;
        write exec;
    }%%
    return cs == memcached_flag_error ? CACHE_MEMCACHED_BAD_FLAG : CACHE_MEMCACHED_OK;
}

/* A flag that is not known or there twice ends it; of other faults the last one is told. */
static enum cache_memcached_answer flags_read(struct line *l, unsigned first, char *mode)
{
    uint64_t seen = 0;
    enum cache_memcached_answer fault = CACHE_MEMCACHED_OK;
    if (l->tokens >= TOKENS_MAX)
        return CACHE_MEMCACHED_TOO_MANY_FLAGS;
    l->r->delta = 1;
    for (unsigned i = first; i < l->tokens; i++) {
        uint8_t letter = *l->token[i].data;
        uint64_t bit = letter >= 'A' && letter <= 'z' ? UINT64_C(1) << (letter - 'A') : 0;
        if (seen & bit)
            return CACHE_MEMCACHED_DUPLICATE_FLAG;
        seen |= bit;
        enum cache_memcached_answer wrong = flag_read(l, l->token[i], mode);
        if (wrong == CACHE_MEMCACHED_BAD_FLAG)
            return wrong;
        if (wrong != CACHE_MEMCACHED_OK)
            fault = wrong;
    }
    if (fault != CACHE_MEMCACHED_OK)
        return fault;
    if (!l->r->key_base64)
        return CACHE_MEMCACHED_OK;
    int n = cache_base64_decode(l->parts->key.data, l->parts->key.length, l->parts->key_bytes);
    if (n <= 0)
        return CACHE_MEMCACHED_BAD_KEY;
    l->parts->key = (struct mr_span){l->parts->key_bytes, (size_t)n};
    return CACHE_MEMCACHED_OK;
}

static void meta_get(struct line *l)
{
    char mode = 0;
    if (!key_take(l, 1))
        return;
    enum cache_memcached_answer wrong = flags_read(l, 2, &mode);
    if (wrong != CACHE_MEMCACHED_OK)
        answer(l, wrong);
    else
        l->r->op = CACHE_MEMCACHED_GET;
}

static bool store_mode(char letter, uint8_t *mode)
{
    switch (letter) {
    case 0:
    case 's':
    case 'S':
        *mode = CACHE_MEMCACHED_SET;
        return true;
    case 'e':
    case 'E':
        *mode = CACHE_MEMCACHED_ADD;
        return true;
    case 'r':
    case 'R':
        *mode = CACHE_MEMCACHED_REPLACE;
        return true;
    case 'a':
    case 'A':
        *mode = CACHE_MEMCACHED_APPEND;
        return true;
    case 'p':
    case 'P':
        *mode = CACHE_MEMCACHED_PREPEND;
        return true;
    default:
        return false;
    }
}

static void meta_set(struct line *l)
{
    int64_t length;
    char mode = 0;
    if (!key_take(l, 1))
        return;
    if (l->tokens < 3 || !signed_read(l->token[2], &length) || (length = (int32_t)length) < 0 || length > VALUE_MAX) {
        answer(l, CACHE_MEMCACHED_BAD_FORMAT);
        return;
    }
    enum cache_memcached_answer wrong = flags_read(l, 3, &mode);
    if (wrong == CACHE_MEMCACHED_OK && !store_mode(mode, &l->r->mode))
        wrong = CACHE_MEMCACHED_BAD_STORE_MODE;
    l->r->op = CACHE_MEMCACHED_STORE;
    if (wrong == CACHE_MEMCACHED_OK) {
        value_expect(l, (uint64_t)length);
    } else {
        answer(l, wrong);
        l->parts->swallow = (uint64_t)length + 2;
    }
    if (l->r->op != CACHE_MEMCACHED_STORE)
        l->r->quiet = false; /* errors are never kept quiet */
}

/* These two name every wrong flag alike. */
static bool flags_read_alike(struct line *l, char *mode)
{
    enum cache_memcached_answer wrong = flags_read(l, 2, mode);
    if (wrong == CACHE_MEMCACHED_OK)
        return true;
    answer(l, wrong == CACHE_MEMCACHED_TOO_MANY_FLAGS || wrong == CACHE_MEMCACHED_LONG_OPAQUE
                  ? wrong
                  : CACHE_MEMCACHED_BAD_OR_DUPLICATE_FLAG);
    return false;
}

static void meta_delete(struct line *l)
{
    char mode = 0;
    if (key_take(l, 1) && flags_read_alike(l, &mode))
        l->r->op = CACHE_MEMCACHED_DELETE;
}

static void meta_arithmetic(struct line *l)
{
    char mode = '+';
    if (!key_take(l, 1) || !flags_read_alike(l, &mode))
        return;
    l->r->op = CACHE_MEMCACHED_ARITHMETIC;
    l->r->decrements = mode == 'd' || mode == 'D' || mode == '-';
    if (!strchr("iI+dD-", mode))
        answer(l, CACHE_MEMCACHED_BAD_ARITHMETIC_MODE);
}

static void meta_debug(struct line *l)
{
    l->r->op = CACHE_MEMCACHED_DEBUG;
    if (l->tokens < 2) {
        answer(l, CACHE_MEMCACHED_BAD_FORMAT);
        return;
    }
    l->r->key_base64 = token_is(l, 2, "b");
    if (!key_take(l, 1) || !l->r->key_base64)
        return;
    int n = cache_base64_decode(l->parts->key.data, l->parts->key.length, l->parts->key_bytes);
    if (n <= 0)
        answer(l, CACHE_MEMCACHED_BAD_KEY);
    l->parts->key = (struct mr_span){l->parts->key_bytes, n > 0 ? (size_t)n : 0};
}

static void meta_noop(struct line *l)
{
    answer(l, CACHE_MEMCACHED_MN);
}

/* -- commands --------------------------------------------------------------------------------------------------------------- */

#define MANY UINT32_MAX
static const struct {
    const char *word;
    uint32_t tokens_min, tokens_max; /* the word itself counts; other numbers are "ERROR" */
    bool noreply;                    /* as the last word */
    void (*read)(struct line *l);
} commands[] = {
    {"get", 2, MANY, false, line_get},
    {"gets", 2, MANY, false, line_get},
    {"gat", 2, MANY, false, line_get},
    {"gats", 2, MANY, false, line_get},
    {"mg", 2, MANY, false, meta_get},
    {"ms", 2, MANY, false, meta_set},
    {"md", 2, MANY, false, meta_delete},
    {"ma", 2, MANY, false, meta_arithmetic},
    {"me", 1, MANY, false, meta_debug},
    {"mn", 1, MANY, false, meta_noop},
    {"set", 5, 6, true, line_store},
    {"add", 5, 6, true, line_store},
    {"replace", 5, 6, true, line_store},
    {"append", 5, 6, true, line_store},
    {"prepend", 5, 6, true, line_store},
    {"cas", 6, 7, true, line_store},
    {"delete", 2, 4, true, line_delete},
    {"incr", 3, 4, true, line_arithmetic},
    {"decr", 3, 4, true, line_arithmetic},
    {"touch", 3, 4, true, line_touch},
    {"flush_all", 1, 3, true, line_flush},
    {"verbosity", 2, MANY, true, line_verbosity},
    {"version", 1, MANY, false, line_version},
    {"stats", 1, MANY, false, line_stats},
    {"quit", 1, MANY, false, line_quit},
    {"shutdown", 1, MANY, false, line_shutdown},
    {"cache_memlimit", 2, 3, true, line_memlimit},
};

static void command_read(struct line *l)
{
    for (unsigned i = 0; i < sizeof commands / sizeof *commands; i++) {
        if (!token_is(l, 0, commands[i].word))
            continue;
        if (l->tokens < commands[i].tokens_min || l->tokens > commands[i].tokens_max)
            break;
        unsigned last = l->tokens - 1;
        l->r->quiet = commands[i].noreply && last > 0 && last < TOKENS_MAX && token_is(l, last, "noreply");
        commands[i].read(l);
        return;
    }
    answer(l, CACHE_MEMCACHED_ERROR);
}

void cache_memcached_line(const uint8_t *line, size_t n, const struct cache_memcached_limits *limits,
                          struct cache_memcached_request *r, struct cache_memcached_parts *parts)
{
    struct line l = {.limits = limits, .r = r, .parts = parts};
    const uint8_t *end = line + n;
    end -= end > line && end[-1] == '\n';
    end -= end > line && end[-1] == '\r';
    memset(r, 0, sizeof *r);
    parts->key = parts->keys = (struct mr_span){line, 0};
    parts->swallow = 0;
    parts->has_value = false;
    line_split(&l, line, end);
    if (l.tokens == 0) {
        answer(&l, CACHE_MEMCACHED_ERROR);
        return;
    }
    bool meta = l.token[0].length == 2 && *l.token[0].data == 'm';
    r->dialect = meta ? CACHE_MEMCACHED_META : CACHE_MEMCACHED_TEXT;
    command_read(&l);
    line_get_extend(&l, end);
    if (r->op == CACHE_MEMCACHED_REPLY && r->quiet && r->dialect == CACHE_MEMCACHED_TEXT)
        r->op = CACHE_MEMCACHED_NOTHING;
}

bool cache_memcached_next_key(struct mr_span *keys, struct mr_span *key)
{
    if (!keys->length)
        return false;
    const uint8_t *p = keys->data, *end = p + keys->length;
    while (p < end && *p == ' ')
        p++;
    const uint8_t *space = memchr(p, ' ', (size_t)(end - p));
    *key = (struct mr_span){p, (size_t)((space ? space : end) - p)};
    p += key->length;
    *keys = (struct mr_span){p, (size_t)(end - p)};
    return key->length > 0;
}
