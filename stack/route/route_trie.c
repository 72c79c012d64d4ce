#include "stack/route/route_trie.h"

#include "stack/base/assert.h"
#include "stack/base/bytes.h"

struct route_key route_key_of(const struct mr_address *a)
{
    return (struct route_key){bytes_get_64(a->bytes), bytes_get_64(a->bytes + 8)};
}

struct route_key route_key_mask(struct route_key key, unsigned bits)
{
    uint64_t high = bits == 0 ? 0 : bits >= 64 ? UINT64_MAX : UINT64_MAX << (64 - bits);
    uint64_t low = bits <= 64 ? 0 : UINT64_MAX << (128 - bits);
    return (struct route_key){key.high & high, key.low & low};
}

unsigned route_key_common(struct route_key a, struct route_key b)
{
    if (a.high != b.high)
        return (unsigned)__builtin_clzll(a.high ^ b.high);
    return a.low != b.low ? 64 + (unsigned)__builtin_clzll(a.low ^ b.low) : 128;
}

/* Bit number `at` counted from the first; at < 128. */
static unsigned key_bit(struct route_key key, unsigned at)
{
    return (at < 64 ? key.high >> (63 - at) : key.low >> (127 - at)) & 1;
}

static struct route_node *node_at(const struct route_trie *t, uint16_t index)
{
    return (struct route_node *)&t->node[index - 1];
}

static bool node_contains(const struct route_node *n, struct route_key key)
{
    return route_key_common(n->prefix, key) >= n->bits;
}

void route_trie_init(struct route_trie *t)
{
    t->root = t->used = 0;
    t->free = 1;
    for (uint16_t i = 0; i < ROUTE_TRIE_NODES; i++)
        t->node[i].child[0] = i + 1 < ROUTE_TRIE_NODES ? (uint16_t)(i + 2) : 0;
}

static uint16_t node_new(struct route_trie *t, struct route_key key, unsigned bits, int value)
{
    uint16_t index = t->free;
    struct route_node *n = node_at(t, index);
    t->free = n->child[0];
    t->used++;
    *n = (struct route_node){.prefix = route_key_mask(key, bits), .value = (int16_t)value, .bits = (uint8_t)bits};
    return index;
}

static void node_free(struct route_trie *t, uint16_t index)
{
    node_at(t, index)->child[0] = t->free;
    t->free = index;
    t->used--;
}

/* The link at which the walk towards the prefix ends: at its node, at nothing, or at a node that does not contain it. */
static uint16_t *walk(struct route_trie *t, struct route_key key, unsigned bits, uint16_t **parent)
{
    uint16_t *link = &t->root;
    *parent = NULL;
    while (*link) {
        struct route_node *n = node_at(t, *link);
        if (n->bits >= bits || !node_contains(n, key))
            break;
        *parent = link;
        link = &n->child[key_bit(key, n->bits)];
    }
    return link;
}

static bool is_exactly(const struct route_trie *t, uint16_t index, struct route_key key, unsigned bits)
{
    return index && node_at(t, index)->bits == bits && node_contains(node_at(t, index), key);
}

bool route_trie_put(struct route_trie *t, struct route_key key, unsigned bits, int value)
{
    uint16_t *parent, *link = walk(t, key, bits, &parent);
    if (is_exactly(t, *link, key, bits)) {
        node_at(t, *link)->value = (int16_t)value;
        return true;
    }
    if (ROUTE_TRIE_NODES - t->used < 2)
        return false;
    uint16_t below = *link, added = node_new(t, key, bits, value);
    if (!below) {
        *link = added;
        return true;
    }
    struct route_node *other = node_at(t, below);
    unsigned common = RTE_MIN(route_key_common(key, other->prefix), RTE_MIN(bits, (unsigned)other->bits));
    uint16_t top = common == bits ? added : node_new(t, key, common, -1);
    node_at(t, top)->child[key_bit(other->prefix, common)] = below;
    if (top != added)
        node_at(t, top)->child[key_bit(key, common)] = added;
    *link = top;
    return true;
}

int route_trie_get(const struct route_trie *t, struct route_key key, unsigned bits)
{
    uint16_t *parent, *link = walk((struct route_trie *)t, key, bits, &parent);
    return is_exactly(t, *link, key, bits) ? node_at(t, *link)->value : -1;
}

int route_trie_find(const struct route_trie *t, struct route_key key)
{
    int found = -1;
    for (uint16_t i = t->root; i;) {
        const struct route_node *n = node_at(t, i);
        if (!node_contains(n, key))
            break;
        if (n->value >= 0)
            found = n->value;
        i = n->bits == 128 ? 0 : n->child[key_bit(key, n->bits)];
    }
    return found;
}

/* A node with neither value nor two children has no purpose: its child, if any, takes its place. */
static void splice(struct route_trie *t, uint16_t *link)
{
    if (!link || !*link)
        return;
    uint16_t index = *link;
    const struct route_node *n = node_at(t, index);
    if (n->value >= 0 || (n->child[0] && n->child[1]))
        return;
    *link = n->child[0] ? n->child[0] : n->child[1];
    node_free(t, index);
}

int route_trie_remove(struct route_trie *t, struct route_key key, unsigned bits)
{
    uint16_t *parent, *link = walk(t, key, bits, &parent);
    if (!is_exactly(t, *link, key, bits))
        return -1;
    int value = node_at(t, *link)->value;
    node_at(t, *link)->value = -1;
    splice(t, link);
    splice(t, parent);
    return value;
}

static unsigned check_node(const struct route_trie *t, uint16_t index)
{
    const struct route_node *n = node_at(t, index);
    unsigned nodes = 1;
    struct route_key masked = route_key_mask(n->prefix, n->bits);
    ASSERT_COMPARE(masked.high, ==, n->prefix.high);
    ASSERT_COMPARE(masked.low, ==, n->prefix.low);
    ASSERT(n->value >= 0 || (n->child[0] && n->child[1]));
    for (unsigned side = 0; side < 2; side++) {
        if (!n->child[side])
            continue;
        const struct route_node *c = node_at(t, n->child[side]);
        ASSERT_COMPARE(c->bits, >, n->bits);
        ASSERT(node_contains(n, c->prefix));
        ASSERT_COMPARE(key_bit(c->prefix, n->bits), ==, side);
        nodes += check_node(t, n->child[side]);
    }
    return nodes;
}

void route_trie_check(const struct route_trie *t)
{
    ASSERT_COMPARE(t->root ? check_node(t, t->root) : 0, ==, t->used);
}
