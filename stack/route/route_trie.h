/* Longest-prefix match over 128-bit keys: a path-compressed binary trie (Morrison 1968, PATRICIA; Sklower 1991). Each node
 * is a prefix; the next bit after it chooses the child. A node without a value joins two that differ:
 *
 *              10/8 -> 1                      lookup 10.1.3.4: 10/8 matches, 10.1/16 matches, 10.1.2/24 does not:
 *             /        \                      the last value seen is the longest
 *      10.1/16 -> 2   (none)
 *       /
 *   10.1.2/24 -> 3                            n prefixes need at most 2n - 1 nodes */
#ifndef STACK_ROUTE_ROUTE_TRIE_H
#define STACK_ROUTE_ROUTE_TRIE_H

#include <millrace/address.h>

#include "stack/route/route.h"

#define ROUTE_TRIE_NODES (2 * ROUTE_MAX)

struct route_key {
    uint64_t high, low; /* the address as one number, first bit highest */
};

struct route_node {
    struct route_key prefix; /* bits beyond `bits` are 0 */
    uint16_t child[2];       /* index + 1, 0: none */
    int16_t value;           /* -1: none */
    uint8_t bits;
};

struct route_trie {
    uint16_t root, free; /* index + 1 */
    uint16_t used;
    struct route_node node[ROUTE_TRIE_NODES];
};

void route_trie_init(struct route_trie *t);

/* Puts or replaces; values are 0 .. ROUTE_MAX - 1. False when the nodes are used up (more than ROUTE_MAX prefixes). */
bool route_trie_put(struct route_trie *t, struct route_key key, unsigned bits, int value);

/* The value of exactly this prefix, or -1. */
int route_trie_get(const struct route_trie *t, struct route_key key, unsigned bits);

/* The value of the longest prefix that contains `key`, or -1. */
int route_trie_find(const struct route_trie *t, struct route_key key);

/* Returns the value removed, or -1. */
int route_trie_remove(struct route_trie *t, struct route_key key, unsigned bits);

/* Verifies nesting, masks and counts. */
void route_trie_check(const struct route_trie *t);

struct route_key route_key_of(const struct mr_address *a);
struct route_key route_key_mask(struct route_key key, unsigned bits);

/* How many leading bits are equal: 0 .. 128. */
unsigned route_key_common(struct route_key a, struct route_key b);

#endif
