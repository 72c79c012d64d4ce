#include "tests/support/log_world.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/durable/log_state.h"
#include "cache/type/hash.h"
#include "cache/type/list.h"
#include "cache/type/set.h"
#include "cache/type/zset.h"

/* The model. */

static void *grow(void *array, unsigned count, unsigned *room, size_t each)
{
    if (count < *room)
        return array;
    *room = *room ? *room * 2 : 8;
    return realloc(array, *room * each);
}

static char *word(const struct cache_argument *a)
{
    char *text = malloc(a->length + 1);
    if (a->rope)
        cache_rope_copy_out(a->rope, 0, text, a->length);
    else
        memcpy(text, a->data, a->length);
    text[a->length] = 0;
    return text;
}

static struct model_key *key_find(struct model *m, unsigned database, const char *key)
{
    for (unsigned i = 0; i < m->count; i++)
        if (m->keys[i].database == database && strcmp(m->keys[i].key, key) == 0)
            return &m->keys[i];
    return NULL;
}

static void key_free(struct model_key *k)
{
    for (unsigned i = 0; i < k->count; i++)
        free(k->elements[i]);
    free(k->elements);
    free(k->key);
}

static void key_delete(struct model *m, unsigned database, const char *key)
{
    struct model_key *k = key_find(m, database, key);
    if (!k)
        return;
    key_free(k);
    *k = m->keys[--m->count];
}

static struct model_key *key_make(struct model *m, unsigned database, const char *key, char type)
{
    struct model_key *k = key_find(m, database, key);
    if (k)
        return k;
    m->keys = grow(m->keys, m->count, &m->room, sizeof *m->keys);
    k = &m->keys[m->count++];
    *k = (struct model_key){.database = database, .key = strdup(key), .type = type};
    return k;
}

static void element_add(struct model_key *k, char *element)
{
    k->elements = grow(k->elements, k->count, &k->room, sizeof *k->elements);
    k->elements[k->count++] = element;
}

static void set_add(struct model_key *k, const struct cache_argument *a)
{
    char *member = word(a);
    for (unsigned i = 0; i < k->count; i++)
        if (strcmp(k->elements[i], member) == 0) {
            free(member);
            return;
        }
    element_add(k, member);
}

/* "name=value", one a name. */
static void pair_set(struct model_key *k, const struct cache_argument *name, const struct cache_argument *value)
{
    char *a = word(name), *b = word(value), *both = malloc(strlen(a) + strlen(b) + 2);
    sprintf(both, "%s=%s", a, b);
    size_t n = strlen(a) + 1;
    free(a);
    free(b);
    for (unsigned i = 0; i < k->count; i++)
        if (strncmp(k->elements[i], both, n) == 0) {
            free(k->elements[i]);
            k->elements[i] = both;
            return;
        }
    element_add(k, both);
}

static bool named(const struct cache_argument *a, const char *name)
{
    return a->data && a->length == strlen(name) && memcmp(a->data, name, a->length) == 0;
}

static uint64_t number(const struct cache_argument *a)
{
    char *text = word(a);
    uint64_t n = strtoull(text, NULL, 10);
    free(text);
    return n;
}

static void incr(struct model *m, unsigned database, const char *key)
{
    struct model_key *k = key_make(m, database, key, 's');
    char text[24];
    snprintf(text, sizeof text, "%lld", k->count ? atoll(k->elements[0]) + 1 : 1);
    if (k->count)
        free(k->elements[0]);
    k->count = 0;
    element_add(k, strdup(text));
}

static void collection_command(struct model *m, unsigned database, const char *key, const struct cache_argument *argv,
                               unsigned argc)
{
    struct model_key *k;
    if (named(argv, "RPUSH")) {
        k = key_make(m, database, key, 'l');
        for (unsigned i = 2; i < argc; i++)
            element_add(k, word(&argv[i]));
    } else if (named(argv, "SADD")) {
        k = key_make(m, database, key, 'S');
        for (unsigned i = 2; i < argc; i++)
            set_add(k, &argv[i]);
    } else if (named(argv, "HSET")) {
        k = key_make(m, database, key, 'h');
        for (unsigned i = 2; i + 1 < argc; i += 2)
            pair_set(k, &argv[i], &argv[i + 1]);
    } else {
        assert(named(argv, "ZADD"));
        k = key_make(m, database, key, 'z');
        for (unsigned i = 2; i + 1 < argc; i += 2)
            pair_set(k, &argv[i + 1], &argv[i]);
    }
}

void model_command(struct model *m, unsigned database, const struct cache_argument *argv, unsigned argc)
{
    char *key = word(&argv[1]);
    if (named(argv, "SET")) {
        key_delete(m, database, key);
        struct model_key *k = key_make(m, database, key, 's');
        element_add(k, word(&argv[2]));
        k->expires_ms = argc > 4 ? number(&argv[4]) : 0;
    } else if (named(argv, "DEL")) {
        key_delete(m, database, key);
    } else if (named(argv, "INCR")) {
        incr(m, database, key);
    } else if (named(argv, "PEXPIREAT")) {
        struct model_key *k = key_find(m, database, key);
        if (k)
            k->expires_ms = number(&argv[2]);
    } else {
        collection_command(m, database, key, argv, argc);
    }
    free(key);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int by_key(const void *a, const void *b)
{
    const struct model_key *x = a, *y = b;
    return x->database != y->database ? (int)x->database - (int)y->database : strcmp(x->key, y->key);
}

char *model_text(struct model *m)
{
    char *text = NULL;
    size_t n;
    FILE *f = open_memstream(&text, &n);
    if (m->count)
        qsort(m->keys, m->count, sizeof *m->keys, by_key);
    for (unsigned i = 0; i < m->count; i++) {
        struct model_key *k = &m->keys[i];
        if (k->type != 'l')
            qsort(k->elements, k->count, sizeof *k->elements, by_text);
        fprintf(f, "%u %s %c %lu:", k->database, k->key, k->type, (unsigned long)k->expires_ms);
        for (unsigned e = 0; e < k->count; e++)
            fprintf(f, " %s", k->elements[e]);
        fputc('\n', f);
    }
    fclose(f);
    return text;
}

void model_free(struct model *m)
{
    for (unsigned i = 0; i < m->count; i++)
        key_free(&m->keys[i]);
    free(m->keys);
    *m = (struct model){0};
}

static void target_begin(void *context, uint64_t ms)
{
    ((struct model *)context)->transactions++;
}

static bool target_command(void *context, unsigned database, const struct cache_argument *argv, unsigned argc)
{
    if (argc < 2)
        return false;
    model_command(context, database, argv, argc);
    return true;
}

struct cache_log_target model_target(struct model *m)
{
    return (struct cache_log_target){.begin = target_begin, .command = target_command, .context = m};
}

/* Folders. */

void world_make_folder(struct world *x)
{
    strcpy(x->folder, "/tmp/mr-log-XXXXXX");
    char *made = mkdtemp(x->folder);
    assert(made);
    (void)made;
}

static void each_file(const char *folder, void (*f)(const char *path, const char *name, const char *to), const char *to)
{
    DIR *d = opendir(folder);
    assert(d);
    for (struct dirent *e; (e = readdir(d));) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, e->d_name);
        if (e->d_name[0] != '.')
            f(path, e->d_name, to);
    }
    closedir(d);
}

static void file_remove(const char *path, const char *name, const char *to)
{
    unlink(path);
}

static void file_copy(const char *path, const char *name, const char *to)
{
    char other[512], buffer[65536];
    snprintf(other, sizeof other, "%s/%s", to, name);
    FILE *a = fopen(path, "rb"), *b = fopen(other, "wb");
    assert(a && b);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, a)) > 0;)
        fwrite(buffer, 1, n, b);
    fclose(a);
    fclose(b);
}

void world_remove_folder(const char *folder)
{
    each_file(folder, file_remove, NULL);
    rmdir(folder);
}

void world_copy_folder(const char *from, const char *to)
{
    mkdir(to, 0755);
    each_file(to, file_remove, NULL);
    each_file(from, file_copy, to);
}

/* The world. */

static void hook_durable(void *context)
{
    ++*(unsigned *)context;
}

static void hook_rewrite(void *context)
{
    struct world *x = (struct world *)((char *)context - offsetof(struct world, notices));
    x->rewrites_wanted++;
}

static void hook_snapshot(void *context, bool done)
{
    struct world *x = (struct world *)((char *)context - offsetof(struct world, notices));
    x->snapshot_result = done;
}

struct owner {
    struct world *world;
    unsigned shard;
};
static struct owner owners[WORLD_WORKERS_MAX];

static void before_change(void *context, struct cache_entry *e)
{
    const struct owner *o = context;
    struct world *x = o->world;
    cache_snapshot_before_change(x->lw[x->executing], o->shard, &x->store[o->shard], e);
}

static void stores_make(struct world *x)
{
    static const uint64_t secret[2] = {1, 2};
    for (unsigned i = 0; i < x->workers; i++) {
        x->stores[i] = &x->store[i];
        owners[i] = (struct owner){x, i};
        bool made = cache_store_init(&x->store[i], 64u << 20, "noeviction", secret, i);
        assert(made);
        (void)made;
        cache_store_turn(&x->store[i], 1000); /* time begins before the first key */
        x->store[i].listener = (struct cache_store_listener){.before_change = before_change, .owner = &owners[i]};
    }
}

void world_stop(struct world *x)
{
    for (unsigned i = 0; i < x->workers; i++)
        cache_log_worker_stop(x->lw[i]);
    for (unsigned i = 0; i < x->workers; i++) {
        fake_post_hold(x->w[i], false);
        fake_offload_hold(x->w[i], false);
    }
    for (int k = 0; k < 20; k++)
        for (unsigned i = 0; i < x->workers; i++)
            fake_turn(x->w[i]);
    cache_log_close(x->log);
    for (unsigned i = 0; i < x->workers; i++) {
        cache_store_release(&x->store[i]);
        fake_worker_free(x->w[i]);
    }
}

void world_free(struct world *x)
{
    model_free(&x->model);
}

unsigned world_shard(const struct world *x, const char *key)
{
    unsigned h = 7;
    for (; *key; key++)
        h = h * 31 + (unsigned char)*key;
    return h % x->workers;
}

static struct cache_entry *collection_of(struct cache_store *s, unsigned database, struct mr_span key,
                                         enum cache_type type)
{
    struct cache_entry *e = cache_store_write(s, database, key);
    if (e || type == CACHE_ZSET)
        return e;
    if (type == CACHE_SET)
        return cache_set_create(s, database, key);
    if (type == CACHE_HASH)
        return cache_hash_create(s, database, key);
    return cache_store_add_collection(s, database, key, CACHE_LIST, CACHE_LIST_NODES, cache_list_create(&s->memory));
}

static void store_zadd(struct cache_store *s, unsigned database, struct mr_span key, struct cache_argument *argv,
                       unsigned argc)
{
    struct cache_entry *e = collection_of(s, database, key, CACHE_ZSET);
    struct cache_zset z;
    if (e)
        z = cache_zset_of(s, e);
    else
        cache_zset_create(&z, s, argc / 2, 16);
    for (unsigned i = 2; i + 1 < argc; i += 2)
        cache_zset_set(&z, cache_argument_span(&argv[i + 1]), strtod((const char *)argv[i].data, NULL));
    if (!e)
        cache_store_add_collection(s, database, key, CACHE_ZSET, z.encoding, z.collection);
}

static void store_incr(struct cache_store *s, unsigned database, struct mr_span key)
{
    struct cache_entry *e = cache_store_write(s, database, key);
    int64_t value = 0;
    if (e)
        cache_string_integer(e, &value);
    if (e)
        cache_store_replace_integer(s, e, value + 1);
    else
        cache_store_set_integer(s, database, key, 1);
}

/* As the command would: `write` first, so that a snapshot sees it coming. */
static void store_command(struct cache_store *s, unsigned database, struct cache_argument *argv, unsigned argc)
{
    struct mr_span key = cache_argument_span(&argv[1]);
    struct cache_entry *e;
    enum cache_room room = cache_store_reserve(s, 1u << 20);
    assert(room == CACHE_ROOM_READY);
    (void)room;
    if (named(argv, "SET")) {
        e = argv[2].rope ? cache_store_set_rope(s, database, key, argv[2].rope)
                         : cache_store_set(s, database, key, cache_argument_span(&argv[2]));
        if (argc > 4)
            cache_store_expire_at(s, e, number(&argv[4]));
    } else if (named(argv, "DEL")) {
        cache_store_delete(s, database, key);
    } else if (named(argv, "INCR")) {
        store_incr(s, database, key);
    } else if (named(argv, "PEXPIREAT")) {
        if ((e = cache_store_write(s, database, key)))
            cache_store_expire_at(s, e, number(&argv[2]));
    } else if (named(argv, "RPUSH")) {
        e = collection_of(s, database, key, CACHE_LIST);
        for (unsigned i = 2; i < argc; i++)
            cache_list_push(s, cache_list_of(e), false,
                            &(struct cache_list_element){.span = cache_argument_span(&argv[i])});
    } else if (named(argv, "SADD")) {
        e = collection_of(s, database, key, CACHE_SET);
        for (unsigned i = 2; i < argc; i++)
            cache_set_add(s, e, cache_argument_span(&argv[i]));
    } else if (named(argv, "HSET")) {
        e = collection_of(s, database, key, CACHE_HASH);
        for (unsigned i = 2; i + 1 < argc; i += 2)
            cache_hash_set(s, e, cache_argument_span(&argv[i]), &argv[i + 1]);
    } else {
        store_zadd(s, database, key, argv, argc);
    }
}

#define WORDS_MAX 1200

/* Replay goes to the stores, too. */
static void world_begin(void *context, uint64_t ms)
{
    ((struct world *)context)->model.transactions++;
}

static bool world_command(void *context, unsigned database, const struct cache_argument *argv, unsigned argc)
{
    struct world *x = context;
    struct cache_argument copy[WORDS_MAX];
    char key[64];
    if (argc < 2 || argc > WORDS_MAX || argv[1].length >= sizeof key)
        return false;
    memcpy(copy, argv, argc * sizeof *argv);
    memcpy(key, argv[1].data, argv[1].length);
    key[argv[1].length] = 0;
    model_command(&x->model, database, argv, argc);
    store_command(&x->store[world_shard(x, key)], database, copy, argc);
    return true;
}

int world_start(struct world *x, unsigned workers)
{
    struct cache_log_target target = {.begin = world_begin, .command = world_command, .context = x};
    x->workers = x->options.workers = workers;
    x->options.folder = x->folder;
    x->snapshot_result = -1;
    int error = cache_log_open(&x->options, &x->log);
    if (error)
        return error;
    stores_make(x);
    error = cache_log_load(x->log, &target);
    if (error) {
        cache_log_close(x->log);
        for (unsigned i = 0; i < workers; i++)
            cache_store_release(&x->store[i]);
        return error;
    }
    for (unsigned i = 0; i < workers; i++)
        x->w[i] = fake_worker_create();
    fake_group(x->w, workers);
    for (unsigned i = 0; i < workers; i++) {
        struct cache_log_hooks hooks = {.durable = hook_durable, .context = &x->notices[i]};
        if (i == 0) {
            hooks.rewrite = hook_rewrite;
            hooks.snapshot = hook_snapshot;
        }
        x->lw[i] = cache_log_worker_create(x->log, x->w[i], &hooks);
        assert(x->lw[i]);
    }
    return MR_OK;
}

struct line {
    char *text;
    struct cache_argument argv[WORDS_MAX];
    unsigned argc;
};

static void line_split(struct line *l, const char *text)
{
    l->text = strdup(text);
    l->argc = 0;
    for (char *save, *w = strtok_r(l->text, " ", &save); w; w = strtok_r(NULL, " ", &save)) {
        assert(l->argc < WORDS_MAX);
        l->argv[l->argc++] = (struct cache_argument){.data = (uint8_t *)w, .length = (uint32_t)strlen(w)};
    }
}

static void part_add(struct cache_log_part *parts, unsigned *count, unsigned shard)
{
    for (unsigned i = 0; i < *count; i++)
        if (parts[i].shard == shard)
            return;
    parts[(*count)++] = (struct cache_log_part){.shard = shard};
}

unsigned world_run(struct world *x, unsigned by, struct cache_log_part *parts, const char *const *lines, unsigned n)
{
    struct cache_log_command commands[8] = {0};
    struct line *l = calloc(n, sizeof *l);
    unsigned count = 0;
    assert(n <= 8);
    x->executing = by;
    for (unsigned i = 0; i < n; i++) {
        line_split(&l[i], lines[i]);
        unsigned shard = world_shard(x, (const char *)l[i].argv[1].data);
        model_command(&x->model, x->database, l[i].argv, l[i].argc);
        store_command(&x->store[shard], x->database, l[i].argv, l[i].argc);
        part_add(parts, &count, shard);
        commands[i] = (struct cache_log_command){x->database, l[i].argc, l[i].argv};
    }
    x->model.transactions++;
    cache_log_append(x->lw[by], parts, count, 1000, commands, n);
    for (unsigned i = 0; i < n; i++)
        free(l[i].text);
    free(l);
    return count;
}

void world_run_one(struct world *x, unsigned by, const char *line)
{
    struct cache_log_part parts[8];
    world_run(x, by, parts, &line, 1);
}

void world_set_rope(struct world *x, unsigned by, const char *key, size_t n)
{
    unsigned shard = world_shard(x, key);
    struct cache_store *s = &x->store[shard];
    struct cache_log_part part = {.shard = shard};
    char *value = malloc(n);
    for (size_t i = 0; i < n; i++)
        value[i] = (char)('a' + i % 23);
    struct cache_rope *rope = cache_rope_create(&s->memory);
    bool room = rope && cache_rope_append(rope, value, n);
    assert(room);
    (void)room;
    struct cache_argument argv[] = {{.data = (const uint8_t *)"SET", .length = 3},
                                    {.data = (const uint8_t *)key, .length = (uint32_t)strlen(key)},
                                    {.length = (uint32_t)n, .rope = rope}};
    x->executing = by;
    model_command(&x->model, 0, argv, 3);
    x->model.transactions++;
    cache_log_append(x->lw[by], &part, 1, 1000, &(struct cache_log_command){0, 3, argv}, 1);
    store_command(s, 0, argv, 3);
    free(value);
}

void world_turn(struct world *x)
{
    for (unsigned i = 0; i < x->workers; i++) {
        x->executing = i;
        cache_snapshot_step(x->lw[i], &x->store[i]);
        fake_pass(x->w[i], MR_MILLISECOND);
    }
    log_order_check(x->log);
}

bool world_all_durable(const struct world *x)
{
    bool all = true;
    for (unsigned i = 0; i < x->workers; i++)
        all &= cache_log_durable(x->lw[0], i, x->lw[i]->sequence);
    return all;
}

void world_settle(struct world *x)
{
    for (int i = 0; i < 20000 && (!world_all_durable(x) || cache_snapshot_running(x->lw[0])); i++)
        world_turn(x);
    world_turn(x);
    assert(world_all_durable(x) && !cache_snapshot_running(x->lw[0]));
}

char *world_text_of_folder(const char *folder, enum cache_log_repair repair, int *error)
{
    struct model m = {0};
    struct cache_log_target target = model_target(&m);
    struct cache_log_options o = {.folder = folder, .log = true, .repair = repair, .workers = 2, .no_uring = true};
    struct cache_log *log;
    char *text = NULL;
    *error = cache_log_open(&o, &log);
    if (*error)
        return NULL;
    *error = cache_log_load(log, &target);
    if (!*error)
        text = model_text(&m);
    cache_log_close(log);
    model_free(&m);
    return text;
}
