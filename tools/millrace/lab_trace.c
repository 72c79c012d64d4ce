#include "tools/millrace/lab_trace.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <millrace/random.h>

/* Keys 0 .. n - 1, key k with probability proportional to 1 / (k + 1)^skew: Vose's alias method (1991), O(1) a draw. */
struct zipf {
    uint32_t n, *alias;
    double *own; /* probability that slot k gives k, and not its alias */
};

static void zipf_free(struct zipf *z)
{
    free(z->alias);
    free(z->own);
}

static bool zipf_make(struct zipf *z, uint32_t n, double skew)
{
    *z = (struct zipf){n, malloc(n * sizeof *z->alias), malloc(n * sizeof *z->own)};
    uint32_t *small = malloc(n * sizeof *small), *large = malloc(n * sizeof *large), smalls = 0, larges = 0;
    if (!z->alias || !z->own || !small || !large) {
        free(small);
        free(large);
        zipf_free(z);
        return false;
    }
    double sum = 0;
    for (uint32_t k = 0; k < n; k++)
        sum += z->own[k] = pow(k + 1.0, -skew);
    for (uint32_t k = 0; k < n; k++) {
        z->alias[k] = k;
        z->own[k] *= n / sum;
        if (z->own[k] < 1)
            small[smalls++] = k;
        else
            large[larges++] = k;
    }
    while (smalls && larges) { /* what a small one lacks comes from a large one, which may be small afterwards */
        uint32_t s = small[--smalls], l = large[larges - 1];
        z->alias[s] = l;
        z->own[l] -= 1 - z->own[s];
        if (z->own[l] < 1) {
            larges--;
            small[smalls++] = l;
        }
    }
    while (smalls) /* rounding left them */
        z->own[small[--smalls]] = 1;
    while (larges)
        z->own[large[--larges]] = 1;
    free(small);
    free(large);
    return true;
}

static uint32_t zipf_draw(const struct zipf *z, struct mr_random *random)
{
    uint32_t k = mr_random_below(random, z->n);
    return mr_random_unit(random) < z->own[k] ? k : z->alias[k];
}

/* What a kind of trace needs to give its next key. */
struct source {
    struct zipf zipf;
    struct mr_random random;
    uint64_t requests;
    uint32_t keys;
    uint32_t at; /* of what runs in order */
};

static uint32_t next_zipf(struct source *s, uint64_t i)
{
    return zipf_draw(&s->zipf, &s->random);
}

static uint32_t next_loop(struct source *s, uint64_t i)
{
    return (uint32_t)(i % s->keys);
}

static uint32_t in_order(struct source *s, uint32_t from, uint32_t n)
{
    uint32_t key = from + s->at;
    s->at = (s->at + 1) % n;
    return key;
}

static uint32_t part(uint32_t keys, uint32_t of)
{
    return keys > of ? keys / of : 1;
}

/* Half of the keys are in use; every now and then someone reads a tenth of the others in order: a backup, a report. */
static uint32_t next_scan(struct source *s, uint64_t i)
{
    uint32_t half = part(s->keys, 2), run = part(s->keys, 20);
    return s->keys > 1 && i % (3 * (uint64_t)run) >= 2 * (uint64_t)run ? in_order(s, half, s->keys - half)
                                                                       : zipf_draw(&s->zipf, &s->random);
}

/* A tenth of the keys is in use, another one in each tenth of the time. */
static uint32_t next_shift(struct source *s, uint64_t i)
{
    uint64_t period = s->requests / 10 ? s->requests / 10 : 1;
    return (uint32_t)((i / period * part(s->keys, 10) + zipf_draw(&s->zipf, &s->random)) % s->keys);
}

/* Of ten requests seven go by popularity to half of the keys, two loop over a twentieth, one reads the rest in order. */
static uint32_t next_mixed(struct source *s, uint64_t i)
{
    uint32_t half = part(s->keys, 2), loop = part(s->keys, 20), what = mr_random_below(&s->random, 10);
    if (what < 7 || half + loop >= s->keys)
        return zipf_draw(&s->zipf, &s->random);
    if (what < 9)
        return half + (uint32_t)(i / 5 % loop);
    return in_order(s, half + loop, s->keys - half - loop);
}

static const struct kind {
    const char *name;
    uint32_t (*next)(struct source *s, uint64_t i);
    uint32_t popular; /* keys drawn by popularity: one part in */
} kinds[] = {
    {"zipf", next_zipf, 1},    {"scan", next_scan, 2},   {"loop", next_loop, 1},
    {"shift", next_shift, 10}, {"mixed", next_mixed, 2},
};

/* The kind called `name`, up to a colon behind which the skew is. NULL: none; *usage: because the skew is wrong. */
static const struct kind *kind_of(const char *name, double *skew, bool *usage)
{
    size_t length = strcspn(name, ":");
    for (unsigned i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strlen(kinds[i].name) != length || strncmp(kinds[i].name, name, length))
            continue;
        char *end = "";
        if (name[length])
            *skew = strtod(name + length + 1, &end);
        *usage = (name[length] && (!name[length + 1] || i != 0)) || *end || !(*skew >= 0 && *skew <= 10);
        return *usage ? NULL : &kinds[i];
    }
    return NULL;
}

static bool out_of_memory(char *error, size_t error_bytes)
{
    snprintf(error, error_bytes, "no memory for a trace of this length");
    return false;
}

static bool make_synthetic(struct lab_trace *t, const struct kind *kind, double skew, uint64_t seed)
{
    struct source s = {.requests = t->requests, .keys = t->universe};
    mr_random_seed(&s.random, seed);
    if (!(t->keys = malloc(t->requests * sizeof *t->keys)) || !zipf_make(&s.zipf, part(s.keys, kind->popular), skew))
        return false;
    for (uint64_t i = 0; i < t->requests; i++)
        t->keys[i] = kind->next(&s, i);
    zipf_free(&s.zipf);
    return true;
}

/* Texts to numbers in the order of their first appearance: open addressing; the texts lie one behind the other. */
struct names {
    char *texts;
    size_t texts_bytes, texts_room;
    struct name {
        uint64_t at; /* 1 + offset in texts; 0: empty */
        uint32_t number, hash;
    } * slots;
    uint32_t count, slots_count;
};

static uint32_t text_hash(const char *text, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u; /* FNV-1a */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (uint8_t)text[i]) * 0x100000001b3u;
    return (uint32_t)(h ^ h >> 32);
}

static bool names_grow(struct names *m)
{
    uint32_t wider = m->slots_count ? m->slots_count * 2 : 1024;
    struct name *slots = calloc(wider, sizeof *slots);
    if (!slots)
        return false;
    for (uint32_t i = 0; i < m->slots_count; i++) {
        uint32_t to = m->slots[i].hash & (wider - 1);
        while (m->slots[i].at && slots[to].at)
            to = (to + 1) & (wider - 1);
        if (m->slots[i].at)
            slots[to] = m->slots[i];
    }
    free(m->slots);
    m->slots = slots;
    m->slots_count = wider;
    return true;
}

static bool names_add_text(struct names *m, const char *text, size_t n)
{
    if (m->texts_bytes + n + 1 > m->texts_room) {
        size_t room = (m->texts_room + n + 1) * 2;
        char *texts = realloc(m->texts, room);
        if (!texts)
            return false;
        m->texts = texts;
        m->texts_room = room;
    }
    memcpy(m->texts + m->texts_bytes, text, n + 1); /* with its end */
    m->texts_bytes += n + 1;
    return true;
}

static bool names_number(struct names *m, const char *text, size_t n, uint32_t *number)
{
    if ((uint64_t)m->count * 2 >= m->slots_count && !names_grow(m))
        return false;
    uint32_t hash = text_hash(text, n), at = hash & (m->slots_count - 1);
    for (; m->slots[at].at; at = (at + 1) & (m->slots_count - 1))
        if (m->slots[at].hash == hash && !strcmp(m->texts + m->slots[at].at - 1, text)) {
            *number = m->slots[at].number;
            return true;
        }
    m->slots[at] = (struct name){m->texts_bytes + 1, *number = m->count++, hash};
    return m->count <= LAB_KEYS_MAX && names_add_text(m, text, n);
}

static bool append(struct lab_trace *t, uint64_t *room, uint32_t key)
{
    if (t->requests == *room) {
        uint64_t wider = *room ? *room * 2 : 65536;
        uint32_t *keys = realloc(t->keys, wider * sizeof *keys);
        if (!keys || wider > 2 * (uint64_t)LAB_REQUESTS_MAX) {
            t->keys = keys ? keys : t->keys;
            return false;
        }
        t->keys = keys;
        *room = wider;
    }
    t->keys[t->requests++] = key;
    return true;
}

/* Empty lines are skipped; a key ends with its line or at a zero byte. */
static bool read_lines(struct lab_trace *t, FILE *in)
{
    struct names names = {0};
    char *line = NULL;
    size_t line_room = 0;
    uint64_t room = 0;
    bool good = true;
    while (good && getline(&line, &line_room, in) >= 0) {
        size_t n = strcspn(line, "\r\n");
        line[n] = 0;
        uint32_t key;
        good = !n || (names_number(&names, line, n, &key) && append(t, &room, key));
    }
    t->universe = names.count;
    free(names.texts);
    free(names.slots);
    free(line);
    return good;
}

static bool read_file(struct lab_trace *t, const char *path, char *error, size_t error_bytes)
{
    FILE *in = fopen(path, "r");
    if (!in) {
        snprintf(error, error_bytes, "cannot read the trace %s: %s; see --help for those that are made", path,
                 strerror(errno));
        return false;
    }
    bool good = read_lines(t, in), broken = ferror(in);
    if (broken)
        snprintf(error, error_bytes, "cannot read the trace %s: %s", path, strerror(errno));
    fclose(in);
    if (!good)
        return out_of_memory(error, error_bytes);
    if (!broken && !t->requests)
        snprintf(error, error_bytes, "the trace %s has no keys: one is expected on each line", path);
    return !broken && t->requests;
}

static bool count_distinct(struct lab_trace *t)
{
    bool *seen = calloc(t->universe, sizeof *seen);
    if (!seen)
        return false;
    t->distinct = 0;
    for (uint64_t i = 0; i < t->requests; i++) {
        t->distinct += !seen[t->keys[i]];
        seen[t->keys[i]] = true;
    }
    free(seen);
    return true;
}

bool lab_trace_make(struct lab_trace *t, const char *name, uint64_t requests, uint32_t keys, uint64_t seed, char *error,
                    size_t error_bytes, bool *usage)
{
    double skew = 0.99;
    *usage = false;
    *t = (struct lab_trace){0};
    const struct kind *kind = kind_of(name, &skew, usage);
    bool good;
    if (*usage) {
        snprintf(error, error_bytes, "'%s' is no trace: a skew from 0 to 10 goes with zipf only, as in zipf:0.99",
                 name);
        return false;
    }
    if (kind) {
        *t = (struct lab_trace){.requests = requests, .universe = keys};
        good = make_synthetic(t, kind, skew, seed) || out_of_memory(error, error_bytes);
    } else {
        good = read_file(t, name, error, error_bytes);
    }
    good = good && (count_distinct(t) || out_of_memory(error, error_bytes));
    if (!good)
        lab_trace_free(t);
    return good;
}

void lab_trace_free(struct lab_trace *t)
{
    free(t->keys);
    *t = (struct lab_trace){0};
}
