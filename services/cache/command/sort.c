/* SORT and SORT_RO: the elements of a list, set or sorted set by value or by what other keys say of them.
 *
 * First it is added up what the call may take, then room is made, which may remove keys; only then pointers into the keyspace
 * are collected, sorted and replied, or copied to a new list. Keys named by patterns may lie anywhere: all shards are held. */
#include <limits.h>
#include <string.h>

#include "cache/command/list.h"
#include "cache/command/pop.h"
#include "cache/command/sort.h"
#include "cache/type/set.h"
#include "cache/type/zset.h"

struct sort {
    struct cache_call *call;
    bool alpha, descending, unsorted;
    struct mr_span by; /* data NULL: the element itself */
    unsigned gets;     /* how many GET there are */
    unsigned store;    /* position of STORE's key; 0: none */
    int64_t offset, count;
    struct cache_entry *source; /* NULL: there is none */
    struct cache_sort_vector vector;
    uint64_t first, end; /* of the vector, that are wanted */
    uint64_t output_bytes, output_ropes;
    bool not_a_number;
};

/* Options. Each takes so many arguments behind its name. */

enum option { OPTION_ASC, OPTION_DESC, OPTION_ALPHA, OPTION_LIMIT, OPTION_STORE, OPTION_BY, OPTION_GET, OPTIONS };
static const struct {
    const char *word;
    unsigned values;
} options[OPTIONS] = {{"asc", 0}, {"desc", 0}, {"alpha", 0}, {"limit", 2}, {"store", 1}, {"by", 1}, {"get", 1}};

/* OPTIONS: none. */
static enum option option_at(const struct cache_argument *argv, unsigned argc, unsigned i)
{
    unsigned o = 0;
    while (o < OPTIONS && !(cache_argument_is(&argv[i], options[o].word) && i + options[o].values < argc))
        o++;
    return (enum option)o;
}

/* False: replied. */
static bool option_take(struct sort *s, enum option option, unsigned i)
{
    const struct cache_argument *value = &s->call->argv[i + 1];
    switch (option) {
    case OPTION_ASC:
    case OPTION_DESC:
        s->descending = option == OPTION_DESC;
        return true;
    case OPTION_ALPHA:
        s->alpha = true;
        return true;
    case OPTION_LIMIT:
        if (cache_argument_integer(value, &s->offset) && cache_argument_integer(value + 1, &s->count))
            return true;
        cache_reply_not_integer(s->call->reply);
        return false;
    case OPTION_STORE:
        s->store = i + 1;
        return true;
    case OPTION_BY:
        s->by = value->rope ? (struct mr_span){(const uint8_t *)"", 0} : cache_argument_span(value);
        s->unsorted = !memchr(s->by.data, '*', s->by.length);
        return true;
    case OPTION_GET:
        s->gets++;
        return true;
    default:
        return false;
    }
}

static bool sort_options(struct sort *s, bool may_store)
{
    struct cache_call *call = s->call;
    s->count = -1;
    for (unsigned i = 2; i < call->argc;) {
        enum option option = option_at(call->argv, call->argc, i);
        if (option == OPTIONS || (option == OPTION_STORE && !may_store)) {
            cache_reply_syntax_error(call->reply);
            return false;
        }
        if (!option_take(s, option, i))
            return false;
        i += 1 + options[option].values;
    }
    return true;
}

/* The source. */

static bool source_find(struct sort *s)
{
    struct mr_span key;
    if (!cache_call_key(s->call, &s->call->argv[1], &key))
        return false;
    struct cache_entry *e = cache_store_read(cache_call_store(s->call, key), s->call->database, key);
    if (e && e->type != CACHE_LIST && e->type != CACHE_SET && e->type != CACHE_ZSET) {
        cache_reply_wrong_type(s->call->reply);
        return false;
    }
    s->source = e;
    /* A set without an order would be stored differently by whoever replays this. */
    if (e && e->type == CACHE_SET && s->unsorted && s->store) {
        s->unsorted = false;
        s->alpha = true;
        s->by = (struct mr_span){NULL, 0};
    }
    return true;
}

static uint64_t source_count(const struct sort *s)
{
    return s->source ? cache_collection_types[s->source->type]->length(s->source->encoding,
                                                                       cache_entry_value(s->source)->collection)
                     : 0;
}

typedef void sort_each(struct sort *s, struct cache_sort_text element);

struct set_walk {
    struct sort *sort;
    sort_each *each;
};

static bool set_member(struct mr_span member, void *argument)
{
    struct set_walk *w = argument;
    struct cache_sort_text text = cache_sort_text_of(member, NULL);
    if (!cache_set_table(w->sort->source)) { /* digits that are written for this call alone */
        struct cache_argument digits = {.data = member.data, .length = (uint32_t)member.length};
        text = (struct cache_sort_text){.kind = CACHE_SORT_INTEGER};
        (void)cache_argument_integer(&digits, &text.integer);
    }
    w->each(w->sort, text);
    return true;
}

static void zset_each(struct sort *s, sort_each *each)
{
    struct cache_zset z = cache_zset_of(NULL, s->source);
    bool backwards = s->unsorted && s->descending;
    cache_zset_at at = cache_zset_at_rank(&z, backwards ? cache_zset_count(&z) - 1 : 0);
    for (; at; at = backwards ? cache_zset_previous(&z, at) : cache_zset_next(&z, at))
        each(s, cache_sort_text_of(cache_zset_get(&z, at).member, NULL));
}

static void list_each(struct sort *s, sort_each *each)
{
    const struct cache_list *l = cache_list_of(s->source);
    bool backwards = s->unsorted && s->descending;
    struct cache_list_at at = backwards ? cache_list_last(l) : cache_list_first(l);
    for (; at.node; at = backwards ? cache_list_previous(at) : cache_list_next(at)) {
        struct cache_list_element x = cache_list_get(at);
        each(s, cache_sort_text_of(x.span, x.rope));
    }
}

static void source_each(struct sort *s, sort_each *each)
{
    if (!s->source)
        return;
    if (s->source->type == CACHE_SET) {
        cache_set_each(s->source, set_member, &(struct set_walk){s, each});
    } else if (s->source->type == CACHE_ZSET) {
        zset_each(s, each);
    } else {
        list_each(s, each);
    }
}

/* What is put out for one element: itself, or what each GET finds. */
static void output(struct sort *s, const struct cache_sort_text *element,
                   void (*each)(struct sort *s, const struct cache_sort_text *text))
{
    struct cache_call *call = s->call;
    if (!s->gets)
        each(s, element);
    for (unsigned i = 2; s->gets && i < call->argc;) {
        enum option option = option_at(call->argv, call->argc, i);
        if (option == OPTION_GET) {
            struct cache_sort_text text = {.kind = CACHE_SORT_NOTHING};
            if (!call->argv[i + 1].rope)
                text = cache_sort_lookup(call, cache_argument_span(&call->argv[i + 1]), element);
            each(s, &text);
        }
        i += 1 + options[option].values;
    }
}

/* Room. */

static void output_add_up(struct sort *s, const struct cache_sort_text *text)
{
    if (text->kind == CACHE_SORT_INTEGER)
        s->output_bytes += CACHE_SORT_DIGITS;
    else if (text->kind == CACHE_SORT_BYTES && text->length <= CACHE_SMALL_MAX)
        s->output_bytes += text->length;
    else if (text->kind != CACHE_SORT_NOTHING)
        s->output_ropes += cache_rope_cost(text->length) + CACHE_ALLOC_MAX;
}

static void element_add_up(struct sort *s, struct cache_sort_text element)
{
    output(s, &element, output_add_up);
}

static enum cache_room sort_reserve(struct sort *s)
{
    struct cache_call *call = s->call;
    uint64_t n = source_count(s);
    struct cache_store *own = cache_call_store(call, cache_argument_span(&call->argv[1]));
    uint64_t bytes = cache_sort_vector_cost(n), list_bytes = 0;
    struct cache_store *to = own;
    if (s->store) {
        struct mr_span key = cache_argument_span(&call->argv[s->store]);
        source_each(s, element_add_up);
        to = cache_call_store(call, key);
        list_bytes = cache_list_cost(to, n * (s->gets ? s->gets : 1), s->output_bytes, 0) + s->output_ropes +
                     CACHE_LIST_NEW_COST + cache_store_string_cost(to, key.length, sizeof(union cache_value));
    }
    if (to == own)
        return cache_call_reserve(call, own, bytes + list_bytes);
    enum cache_room room = cache_call_reserve(call, to, list_bytes);
    return room == CACHE_ROOM_READY ? cache_call_reserve(call, own, bytes) : room;
}

/* Sorting. */

static void collect(struct sort *s, struct cache_sort_text element)
{
    struct cache_sort_item *item = cache_sort_vector_at(&s->vector, s->vector.count);
    *item = (struct cache_sort_item){.element = element, .index = (uint32_t)s->vector.count++};
    if (s->unsorted)
        return;
    struct cache_sort_text weight = s->by.data ? cache_sort_lookup(s->call, s->by, &element) : element;
    if (s->alpha)
        item->weight.text = weight;
    else if (weight.kind == CACHE_SORT_NOTHING)
        item->weight.score = 0;
    else if (!cache_sort_text_score(&weight, &item->weight.score))
        s->not_a_number = true;
}

/* False: replied. */
static bool sorted(struct sort *s)
{
    struct cache_store *own = cache_call_store(s->call, cache_argument_span(&s->call->argv[1]));
    uint64_t n = source_count(s);
    if (!cache_sort_vector_init(&s->vector, &own->memory, n)) {
        cache_reply_no_memory(s->call->reply);
        return false;
    }
    source_each(s, collect);
    if (s->not_a_number) {
        cache_sort_vector_free(&s->vector);
        cache_reply_error(s->call->reply, "ERR One or more scores can't be converted into double");
        return false;
    }
    if (!s->unsorted)
        cache_sort_vector_sort(&s->vector, s->alpha, s->descending);
    s->first = s->offset < 0 ? 0 : (uint64_t)s->offset < n ? (uint64_t)s->offset : n;
    s->end = s->count < 0 || (uint64_t)s->count > n - s->first ? n : s->first + (uint64_t)s->count;
    return true;
}

static void reply_text(struct sort *s, const struct cache_sort_text *text)
{
    cache_sort_text_reply(s->call->reply, text);
}

static void sort_reply(struct sort *s)
{
    cache_reply_array(s->call->reply, (s->end - s->first) * (s->gets ? s->gets : 1));
    for (uint64_t i = s->first; i < s->end; i++)
        output(s, &cache_sort_vector_at(&s->vector, i)->element, reply_text);
}

/* Storing. */

struct storing {
    struct sort sort; /* first: what output() hands on */
    struct cache_store *store;
    struct cache_list *list;
    bool failed;
};

static void store_text(struct sort *s, const struct cache_sort_text *text)
{
    struct storing *to = (struct storing *)s;
    char digits[CACHE_SORT_DIGITS];
    struct cache_list_element x = {{(const uint8_t *)"", 0}, NULL}; /* what is not there becomes empty */
    if (to->failed)
        return;
    if (text->kind == CACHE_SORT_ROPE) {
        x.rope = cache_list_rope_copy(to->store, text->rope);
        to->failed = !x.rope;
    } else if (text->kind != CACHE_SORT_NOTHING) {
        x.span = cache_sort_span(text, digits);
    }
    if (!to->failed && !cache_list_push(to->store, to->list, false, &x)) {
        unsigned all = UINT_MAX;
        if (x.rope)
            (void)cache_rope_free_step(x.rope, &all);
        to->failed = true;
    }
}

/* The list takes the place of what is at the key; an empty one leaves none. */
static void publish(struct cache_call *call, struct storing *to, struct mr_span key)
{
    uint64_t n = to->list->count;
    bool put = n && !to->failed &&
               cache_store_add_collection(to->store, call->database, key, CACHE_LIST, CACHE_LIST_NODES, to->list);
    if (!put)
        cache_list_free(to->store, to->list);
    if (to->failed || (n && !put)) {
        cache_reply_no_memory(call->reply);
        return;
    }
    bool changed = n || cache_store_delete(to->store, call->database, key);
    cache_reply_integer(call->reply, (int64_t)n);
    if (changed)
        cache_call_changed(call, to->store, key);
    if (n) {
        call->changes += n - 1;
        cache_call_ready(call, to->store, key);
    }
}

static void sort_store(struct sort *s)
{
    struct cache_call *call = s->call;
    struct mr_span key = cache_argument_span(&call->argv[s->store]);
    struct storing to = {.sort = *s, .store = cache_call_store(call, key)};
    to.list = cache_list_create(&to.store->memory);
    if (!to.list) {
        cache_reply_no_memory(call->reply);
        return;
    }
    for (uint64_t i = s->first; i < s->end; i++)
        output(&to.sort, &cache_sort_vector_at(&s->vector, i)->element, store_text);
    publish(call, &to, key);
}

static enum cache_outcome sort_call(struct cache_call *call, bool may_store)
{
    struct sort s = {.call = call};
    struct mr_span key;
    if (!sort_options(&s, may_store) || (s.store && !cache_call_key(call, &call->argv[s.store], &key)) ||
        !source_find(&s))
        return CACHE_DONE;
    if (source_count(&s) > CACHE_SORT_ITEMS_MAX) {
        cache_reply_error(call->reply, "ERR more than %llu elements cannot be sorted",
                          (unsigned long long)CACHE_SORT_ITEMS_MAX);
        return CACHE_DONE;
    }
    enum cache_room room = sort_reserve(&s);
    if (room != CACHE_ROOM_READY)
        return room == CACHE_ROOM_LATER ? CACHE_AGAIN : CACHE_DONE;
    if (!source_find(&s) || !sorted(&s)) /* to make room may have removed it */
        return CACHE_DONE;
    if (s.store)
        sort_store(&s);
    else
        sort_reply(&s);
    cache_sort_vector_free(&s.vector);
    return CACHE_DONE;
}

static enum cache_outcome sort(struct cache_call *call)
{
    return sort_call(call, true);
}

static enum cache_outcome sort_ro(struct cache_call *call)
{
    return sort_call(call, false);
}

/* The last STORE counts. */
static int sort_keys(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max)
{
    unsigned store = 0, keys = 0;
    for (unsigned i = 2; i < argc;) {
        enum option option = option_at(argv, argc, i);
        if (option == OPTION_STORE)
            store = i + 1;
        i += 1 + (option == OPTIONS ? 0 : options[option].values);
    }
    if (keys < max)
        positions[keys++] = 1;
    if (store && keys < max)
        positions[keys++] = store;
    return (int)keys;
}

const struct cache_command cache_commands_sort[] = {
    {.name = "sort",
     .function = sort,
     .arity = -2,
     .flags = CACHE_WRITE | CACHE_DENYOOM | CACHE_MOVABLE_KEYS | CACHE_ALL_SHARDS,
     .first_key = 1,
     .last_key = 1,
     .key_step = 1,
     .group = "generic",
     .sentence = "sorts a list, set or sorted set",
     .keys = sort_keys},
    {.name = "sort_ro",
     .function = sort_ro,
     .arity = -2,
     .flags = CACHE_READONLY | CACHE_MOVABLE_KEYS | CACHE_ALL_SHARDS,
     .first_key = 1,
     .last_key = 1,
     .key_step = 1,
     .group = "generic",
     .sentence = "SORT that cannot store",
     .keys = sort_keys},
    {0},
};
