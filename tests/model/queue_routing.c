/* Routing against the obvious slow version of it: topics by trying every way, headers as the sentence says, and whole graphs of exchanges
 * by walking all bindings. Random; the seed is printed. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <millrace/random.h>

#include "queue/amqp/table.h"
#include "tests/support/catalog_world.h"
#include "tests/support/seed.h"

#define QUEUES    12
#define EXCHANGES 8
#define BINDINGS  80
#define ROUNDS    150

static struct mr_random random_numbers;

static uint32_t below(uint32_t bound)
{
    return mr_random_below(&random_numbers, bound);
}

struct bytes {
    uint8_t data[400];
    size_t length;
};

static struct mr_span span(const struct bytes *b)
{
    return (struct mr_span){b->data, b->length};
}

/* -- random keys, patterns, tables ------------------------------------------------------------------------------------------------------------ */

static void words(struct bytes *out, bool pattern)
{
    static const char *const plain[] = {"a", "b", "ab", "", "*", "#"}, *const wild[] = {"a", "b", "ab", "",
                                                                                        "*", "#", "#",  "*"};
    char text[200] = "";
    unsigned n = below(7);
    for (unsigned i = 0; i < n; i++) {
        strcat(text, i ? "." : "");
        strcat(text, pattern ? wild[below(8)] : plain[below(20) ? below(4) : below(6)]);
    }
    out->length = strlen(text);
    memcpy(out->data, text, out->length);
}

static void value_put(struct amqp_table_out *o, const char *name)
{
    struct mr_span key = {(const uint8_t *)name, strlen(name)};
    switch (below(5)) {
    case 0:
        amqp_table_put_integer(o, name, below(2));
        break;
    case 1:
        amqp_table_put(o, key, &(struct amqp_value){.type = 'b', .integer = below(2)});
        break;
    case 2:
        amqp_table_put(o, key, &(struct amqp_value){.type = 'V'});
        break;
    default:
        amqp_table_put_text(o, name, span_of(below(2) ? "1" : "2"));
    }
}

static void table(struct bytes *out, bool binding)
{
    static const char *const names[] = {"a", "b", "c", "x-d", "x-e"}, *const kinds[] = {"all", "any", "all-with-x",
                                                                                        "any-with-x"};
    struct amqp_table_out o = {out->data, sizeof out->data, 0, false};
    for (unsigned i = 0; i < 5; i++)
        if (!below(2))
            value_put(&o, names[i]);
    if (binding && below(4))
        amqp_table_put_text(&o, "x-match", span_of(kinds[below(4)]));
    assert(!o.failed);
    out->length = o.used;
}

/* -- the slow version ----------------------------------------------------------------------------------------------------------------------------- */

struct model_binding {
    unsigned source, target; /* targets from QUEUES on are exchanges */
    struct bytes key, arguments;
    bool there;
};
static struct model_binding bindings[BINDINGS];
static enum exchange_type types[EXCHANGES];
static int alternates[EXCHANGES]; /* -1: none */

static unsigned split(const struct bytes *key, struct mr_span out[260])
{
    unsigned n = 0;
    size_t from = 0;
    if (!key->length)
        return 0;
    for (size_t i = 0; i <= key->length; i++)
        if (i == key->length || key->data[i] == '.') {
            out[n++] = (struct mr_span){key->data + from, i - from};
            from = i + 1;
        }
    return n;
}

static bool is(struct mr_span word, char c)
{
    return word.length == 1 && word.data[0] == c;
}

static bool topic(const struct mr_span *pattern, unsigned p, const struct mr_span *key, unsigned k)
{
    if (!p)
        return !k;
    if (is(*pattern, '#'))
        return topic(pattern + 1, p - 1, key, k) || (k && topic(pattern, p, key + 1, k - 1));
    return k && (is(*pattern, '*') || span_equal(*pattern, *key)) && topic(pattern + 1, p - 1, key + 1, k - 1);
}

static bool headers(struct mr_span wanted, struct mr_span have)
{
    struct amqp_value v, w, kind = {0};
    struct mr_span name;
    const char *match = "all";
    unsigned asked = 0, met = 0;
    if (amqp_table_find(wanted, "x-match", &kind))
        match = kind.text.data[1] == 'n' ? kind.text.length > 3 ? "any-with-x" : "any"
                : kind.text.length > 3   ? "all-with-x"
                                         : "all";
    for (size_t at = 0; amqp_table_next(wanted, &at, &name, &v);) {
        char text[20] = "";
        memcpy(text, name.data, name.length);
        if (!strcmp(text, "x-match") || (!strchr(match, '-') && !strncmp(text, "x-", 2)))
            continue;
        asked++;
        met += amqp_table_find(have, text, &w) && (v.type == 'V' || amqp_value_equal(&v, &w));
    }
    return match[1] == 'n' ? met > 0 : met == asked;
}

static bool matches(const struct model_binding *b, const struct bytes *key, const struct bytes *table_of)
{
    struct mr_span p[260], k[260];
    switch (types[b->source]) {
    case EXCHANGE_DIRECT:
        return span_equal(span(&b->key), span(key));
    case EXCHANGE_FANOUT:
        return true;
    case EXCHANGE_TOPIC:
        return topic(p, split(&b->key, p), k, split(key, k));
    case EXCHANGE_HEADERS:
        return headers(span(&b->arguments), span(table_of));
    }
    return false;
}

static void walk(unsigned exchange, const struct bytes *keys, unsigned n, const struct bytes *table_of, bool *queues,
                 bool *seen)
{
    bool any = false;
    if (seen[exchange])
        return;
    seen[exchange] = true;
    for (unsigned i = 0; i < BINDINGS; i++) {
        bool hit = false;
        if (!bindings[i].there || bindings[i].source != exchange)
            continue;
        for (unsigned k = 0; k < n; k++)
            hit |= matches(&bindings[i], &keys[k], table_of);
        any |= hit;
        if (hit && bindings[i].target < QUEUES)
            queues[bindings[i].target] = true;
        else if (hit)
            walk(bindings[i].target - QUEUES, keys, n, table_of, queues, seen);
    }
    if (!any && alternates[exchange] >= 0)
        walk((unsigned)alternates[exchange], keys, n, table_of, queues, seen);
}

/* -- both --------------------------------------------------------------------------------------------------------------------------------------- */

static uint64_t reached, messages;

static void name_of(char *out, char kind, unsigned i)
{
    sprintf(out, "%c%u", kind, i);
}

static void declare_all(struct catalog_world *x)
{
    char name[16], other[16];
    uint8_t bytes[64];
    for (unsigned i = 0; i < QUEUES; i++) {
        name_of(name, 'q', i);
        struct catalog_change c = {.verb = CATALOG_QUEUE_DECLARE, .name = span_of(name)};
        assert(catalog_world_change(x, 0, &c) == CATALOG_OK);
    }
    for (unsigned i = 0; i < EXCHANGES; i++) {
        struct amqp_table_out o = {bytes, sizeof bytes, 0, false};
        types[i] = (enum exchange_type)below(4);
        alternates[i] = below(3) ? -1 : (int)below(EXCHANGES);
        if (alternates[i] >= 0) {
            name_of(other, 'x', (unsigned)alternates[i]);
            amqp_table_put_text(&o, "alternate-exchange", span_of(other));
        }
        name_of(name, 'x', i);
        struct catalog_change c = {.verb = CATALOG_EXCHANGE_DECLARE,
                                   .name = span_of(name),
                                   .exchange_type = types[i],
                                   .arguments = {bytes, o.used}};
        assert(catalog_world_change(x, 0, &c) == CATALOG_OK);
    }
}

static bool same(const struct model_binding *a, const struct model_binding *b)
{
    return a->source == b->source && a->target == b->target && span_equal(span(&a->key), span(&b->key)) &&
           amqp_table_equal(span(&a->arguments), span(&b->arguments));
}

static void binding_change(struct catalog_world *x, struct model_binding *b)
{
    char name[16], source[16];
    bool queue = b->target < QUEUES;
    name_of(source, 'x', b->source);
    name_of(name, queue ? 'q' : 'x', queue ? b->target : b->target - QUEUES);
    struct catalog_change c = {.verb = queue      ? b->there ? CATALOG_UNBIND : CATALOG_BIND
                                       : b->there ? CATALOG_EXCHANGE_UNBIND
                                                  : CATALOG_EXCHANGE_BIND,
                               .name = span_of(name),
                               .source = span_of(source),
                               .key = span(&b->key),
                               .arguments = span(&b->arguments)};
    assert(catalog_world_change(x, 0, &c) == CATALOG_OK);
    b->there = !b->there;
}

static void binding_turn(struct catalog_world *x)
{
    struct model_binding *b = &bindings[below(BINDINGS)];
    if (!b->there) {
        *b = (struct model_binding){.source = below(EXCHANGES), .target = below(QUEUES + (below(3) ? 0 : EXCHANGES))};
        words(&b->key, true);
        table(&b->arguments, true);
        for (unsigned i = 0; i < BINDINGS; i++)
            if (bindings[i].there && same(&bindings[i], b))
                return; /* declared twice it is one */
    }
    binding_change(x, b);
}

static unsigned number_of(struct mr_span name)
{
    unsigned n = 0;
    for (size_t i = 1; i < name.length; i++)
        n = 10 * n + (unsigned)(name.data[i] - '0');
    return n;
}

static void message_compare(struct catalog_world *x)
{
    struct bytes keys[3], properties;
    struct mr_span spans[3];
    bool queues[QUEUES] = {false}, seen[EXCHANGES] = {false};
    unsigned n = 1 + below(3), exchange = below(EXCHANGES), wanted = 0;
    char name[16];
    for (unsigned i = 0; i < n; i++) {
        if (below(4))
            words(&keys[i], false);
        else
            keys[i] = bindings[below(BINDINGS)].key;
        spans[i] = span(&keys[i]);
    }
    table(&properties, false);
    walk(exchange, keys, n, &properties, queues, seen);
    name_of(name, 'x', exchange);
    const struct catalog_queue *const *out;
    struct catalog *c = x->b[0]->catalog;
    unsigned got = catalog_route(c, catalog_exchange_find(c, 0, span_of(name)), spans, n, span(&properties), &out);
    for (unsigned i = 0; i < QUEUES; i++)
        wanted += queues[i];
    for (unsigned i = 0; i < got; i++) {
        unsigned q = number_of(out[i]->name);
        assert(queues[q]);
        queues[q] = false; /* once */
    }
    assert(got == wanted);
    reached += got;
    messages++;
}

/* The set of patterns that explodes where ways are tried one after another: 2^n of them here. */
static void many_hashes_are_no_trouble(struct catalog_world *x)
{
    char pattern[256] = "#", key[256] = "a";
    for (unsigned i = 0; i < 60; i++)
        strcat(pattern, ".a.#");
    for (unsigned i = 0; i < 126; i++)
        strcat(key, ".a");
    struct catalog_change c = {
        .verb = CATALOG_BIND, .name = span_of("q0"), .source = span_of("amq.topic"), .key = span_of(pattern)};
    assert(catalog_world_change(x, 0, &c) == CATALOG_OK);
    assert(!strcmp(catalog_world_route(x, 0, "amq.topic", key), "q0"));
    key[118] = '\0'; /* 59 and a half */
    key[117] = 'b';
    assert(!strcmp(catalog_world_route(x, 0, "amq.topic", key), ""));
}

int main(void)
{
    mr_random_seed(&random_numbers, support_seed("model-queue_routing"));
    for (unsigned round = 0; round < 20; round++) {
        struct catalog_world x;
        catalog_world_init(&x);
        assert(catalog_world_start(&x, 1) == MR_OK);
        memset(bindings, 0, sizeof bindings);
        declare_all(&x);
        for (unsigned i = 0; i < ROUNDS; i++) {
            for (unsigned k = 0; k < 5; k++)
                binding_turn(&x);
            for (unsigned k = 0; k < 30; k++)
                message_compare(&x);
        }
        many_hashes_are_no_trouble(&x);
        catalog_world_check(&x);
        for (unsigned i = 0; i < BINDINGS; i++)
            if (bindings[i].there)
                binding_change(&x, &bindings[i]);
        assert(x.b[0]->catalog->groups.count == 0 && x.b[0]->catalog->binding_count == 1);
        catalog_world_check(&x);
        catalog_world_stop(&x);
    }
    printf("%" PRIu64 " messages reached %" PRIu64 " queues\n", messages, reached);
    assert(reached > messages / 4);
    return 0;
}
