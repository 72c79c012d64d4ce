/* Topic exchanges: a trie of words, with "*" for one word and "#" for any number of them. A key is matched against all patterns at once,
 * word by word, as an automaton: the nodes reached so far are a list, and a node is on it once however many ways lead there. So the work is at
 * most words times nodes, whatever somebody has bound ("#.a.#.a.#.a" against "a.a.a.a" is where searching one way after another explodes).
 *
 *     "#" node: reached at once with its parent (no word), and again from itself by each word
 *
 * Words are what lies between dots; an empty key has none. */
#include "queue/catalog/replica.h"

static bool word_next(struct mr_span *rest, struct mr_span *word)
{
    if (!rest->data)
        return false;
    const uint8_t *dot = memchr(rest->data, '.', rest->length);
    size_t n = dot ? (size_t)(dot - rest->data) : rest->length;
    *word = (struct mr_span){rest->data, n};
    *rest = dot ? (struct mr_span){dot + 1, rest->length - n - 1} : (struct mr_span){NULL, 0};
    return true;
}

static struct mr_span words_of(struct mr_span key)
{
    return key.length ? key : (struct mr_span){NULL, 0};
}

static bool word_is(struct mr_span word, char c)
{
    return word.length == 1 && word.data[0] == c;
}

static size_t node_bytes(size_t word_length)
{
    return sizeof(struct catalog_node) + word_length;
}

static struct catalog_node *node_create(struct catalog *c, struct catalog_node *parent, struct mr_span word)
{
    struct catalog_node *n = memory_alloc(&c->memory, node_bytes(word.length));
    if (!n)
        return NULL;
    *n = (struct catalog_node){.parent = parent, .word_length = (uint8_t)word.length};
    ring_init(&n->bindings);
    if (word.length)
        memcpy(n->word, word.data, word.length);
    return n;
}

struct catalog_node *catalog_topic_root(struct catalog *c)
{
    return node_create(c, NULL, (struct mr_span){NULL, 0});
}

void catalog_topic_free(struct catalog *c, struct catalog_node *root)
{
    memory_free(&c->memory, root, node_bytes(0));
}

static uint64_t edge_hash(const struct catalog *c, const struct catalog_node *parent, struct mr_span word)
{
    return catalog_hash(c->seed ^ (uint64_t)(uintptr_t)parent * 0x9e3779b97f4a7c15u, word);
}

static struct catalog_node *child_find(const struct catalog *c, const struct catalog_node *parent, struct mr_span word)
{
    uint64_t hash = edge_hash(c, parent, word);
    for (struct catalog_link *l = catalog_index_bucket(&c->edges, hash); l; l = l->next) {
        struct catalog_node *n = CATALOG_OF(l, struct catalog_node, link);
        if (l->hash == hash && n->parent == parent && span_equal((struct mr_span){n->word, n->word_length}, word))
            return n;
    }
    return NULL;
}

static struct catalog_node *child_add(struct catalog *c, struct catalog_node *parent, struct mr_span word)
{
    struct catalog_node **wild = word_is(word, '*') ? &parent->star : word_is(word, '#') ? &parent->hash : NULL;
    struct catalog_node *n = wild ? *wild : child_find(c, parent, word);
    if (n || !(n = node_create(c, parent, word)))
        return n;
    parent->children++;
    n->repeats = word_is(word, '#');
    n->link.hash = edge_hash(c, parent, word);
    if (wild)
        *wild = n;
    else
        catalog_index_insert(&c->edges, &n->link);
    return n;
}

struct catalog_node *catalog_topic_add(struct catalog *c, struct catalog_node *root, struct mr_span pattern)
{
    struct mr_span rest = words_of(pattern), word;
    struct catalog_node *at = root;
    while (word_next(&rest, &word)) {
        struct catalog_node *child = child_add(c, at, word);
        if (!child) {
            catalog_topic_prune(c, at);
            return NULL;
        }
        at = child;
    }
    return at;
}

void catalog_topic_prune(struct catalog *c, struct catalog_node *node)
{
    while (node->parent && !node->children && ring_empty(&node->bindings)) {
        struct catalog_node *parent = node->parent;
        parent->children--;
        if (parent->star == node)
            parent->star = NULL;
        else if (parent->hash == node)
            parent->hash = NULL;
        else
            catalog_index_remove(&c->edges, &node->link);
        memory_free(&c->memory, node, node_bytes(node->word_length));
        node = parent;
    }
}

/* Into the list of this step, with the "#" below it, and the "#" below that. */
static void reach(struct catalog *c, struct catalog_node **list, struct catalog_node *n)
{
    for (; n && n->stamp != c->step; n = n->hash) {
        n->stamp = c->step;
        n->next[c->step & 1] = *list;
        *list = n;
    }
}

struct catalog_node *catalog_topic_match(struct catalog *c, struct catalog_node *root, struct mr_span key)
{
    struct mr_span rest = words_of(key), word;
    struct catalog_node *reached = NULL;
    c->step++;
    reach(c, &reached, root);
    while (reached && word_next(&rest, &word)) {
        struct catalog_node *before = reached;
        uint64_t parity = c->step++ & 1;
        reached = NULL;
        for (struct catalog_node *n = before; n; n = n->next[parity]) {
            if (n->repeats)
                reach(c, &reached, n);
            reach(c, &reached, n->star);
            if (n->children > (uint32_t)(n->star != NULL) + (uint32_t)(n->hash != NULL))
                reach(c, &reached, child_find(c, n, word));
        }
    }
    return reached;
}

struct catalog_node *catalog_topic_next(const struct catalog *c, const struct catalog_node *node)
{
    return node->next[c->step & 1];
}
