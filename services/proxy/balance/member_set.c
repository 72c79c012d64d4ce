#include "proxy/balance/member_set.h"

#include <assert.h>

#include "proxy/balance/policy.h"

static uint32_t words_for(uint32_t bits)
{
    return (bits + 63) / 64;
}

size_t balance_set_bytes(uint32_t members)
{
    uint32_t words = words_for(members);
    return sizeof(struct balance_set) + (words + words_for(words)) * sizeof(uint64_t);
}

void balance_set_init(struct balance_set *s, uint32_t members)
{
    s->words = words_for(members);
    s->summary_words = words_for(s->words);
}

static void bit_put(uint64_t *bits, uint32_t at, bool in)
{
    uint64_t mask = UINT64_C(1) << at % 64;
    bits[at / 64] = in ? bits[at / 64] | mask : bits[at / 64] & ~mask;
}

void balance_set_put(struct balance_set *s, uint32_t member, bool in)
{
    bit_put(s->bits, member, in);
    bit_put(s->bits + s->words, member / 64, s->bits[member / 64] != 0);
}

/* The first set bit from `from` on; words * 64 when there is none. */
static uint32_t bit_next(const uint64_t *bits, uint32_t words, uint32_t from)
{
    uint64_t mask = UINT64_MAX << from % 64;
    for (uint32_t w = from / 64; w < words; w++, mask = UINT64_MAX)
        if (bits[w] & mask)
            return w * 64 + (uint32_t)__builtin_ctzll(bits[w] & mask);
    return words * 64;
}

uint32_t balance_set_next(const struct balance_set *s, uint32_t from)
{
    uint32_t word = from / 64;
    if (word < s->words) {
        uint64_t rest = s->bits[word] & UINT64_MAX << from % 64;
        if (rest)
            return word * 64 + (uint32_t)__builtin_ctzll(rest);
    }
    const uint64_t *summary = s->bits + s->words;
    word = bit_next(summary, s->summary_words, word + 1);
    if (word >= s->words)
        word = bit_next(summary, s->summary_words, 0);
    assert(word < s->words);
    return word * 64 + (uint32_t)__builtin_ctzll(s->bits[word]);
}

void balance_set_check(const struct balance_set *s, const struct balance *b)
{
    assert(s->words == words_for(b->count));
    for (uint32_t m = 0; m < b->count; m++)
        assert((s->bits[m / 64] >> m % 64 & 1) == balance_takes(b, m));
    for (uint32_t w = 0; w < s->words; w++)
        assert((s->bits[s->words + w / 64] >> w % 64 & 1) == (s->bits[w] != 0));
}
