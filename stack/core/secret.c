#include "stack/core/secret.h"

#define PURPOSE 0x72616e64 /* a stream of its own beside sequence numbers, under the same key */

/* One hash gives two numbers. */
uint32_t secret_below(struct mr_worker *w, uint32_t bound)
{
    uint64_t bits = w->secret_left;
    w->secret_left = 0;
    if (!bits) {
        const uint64_t input[2] = {w->secret_counter++, PURPOSE};
        uint64_t hash = hash_secure(&w->secret, input, sizeof input);
        bits = hash & UINT32_MAX;
        w->secret_left = hash >> 32;
    }
    return (uint32_t)(bits * bound >> 32);
}
