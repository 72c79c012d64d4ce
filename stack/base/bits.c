#include "stack/base/bits.h"

#include "stack/base/assert.h"

void bits_add_range(struct bits *b, unsigned from, unsigned to)
{
    b->count += to - from;
    while (from < to) {
        unsigned word = from / 64, last = to < (word + 1) * 64 ? to : (word + 1) * 64;
        b->word[word] |= UINT64_MAX >> (64 - (last - from)) << from % 64;
        b->summary[word / 64] |= 1ull << word % 64;
        from = last;
    }
}

void bits_add(struct bits *b, unsigned n)
{
    b->word[n / 64] |= 1ull << n % 64;
    b->summary[n / 4096] |= 1ull << n / 64 % 64;
    b->count++;
}

void bits_remove(struct bits *b, unsigned n)
{
    b->word[n / 64] &= ~(1ull << n % 64);
    if (!b->word[n / 64])
        b->summary[n / 4096] &= ~(1ull << n / 64 % 64);
    b->count--;
}

unsigned bits_next(const struct bits *b, unsigned from)
{
    unsigned word = from / 64, group = word / 64;
    uint64_t bits = b->word[word] & UINT64_MAX << from % 64;
    if (bits)
        return word * 64 + (unsigned)__builtin_ctzll(bits);
    uint64_t words = b->summary[group] & UINT64_MAX << word % 64 & ~(1ull << word % 64);
    while (!words) {
        group = (group + 1) % BITS_GROUPS;
        words = b->summary[group];
    }
    word = group * 64 + (unsigned)__builtin_ctzll(words);
    return word * 64 + (unsigned)__builtin_ctzll(b->word[word]);
}

void bits_check(const struct bits *b)
{
    uint32_t count = 0;
    for (unsigned i = 0; i < BITS_GROUPS * 64; i++) {
        ASSERT_COMPARE(b->summary[i / 64] >> i % 64 & 1, ==, b->word[i] != 0);
        count += (uint32_t)__builtin_popcountll(b->word[i]);
    }
    ASSERT_COMPARE(count, ==, b->count);
}
