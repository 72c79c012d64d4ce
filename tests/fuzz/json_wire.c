/* Any bytes as JSON: what is accepted, written again from its tokens, is accepted again and written the same; tokens lie within the
 * text and within what is around them; a text without its last byte is never read beyond it. */
#include <stdio.h>

#include "tests/support/json_again.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BYTES_MAX 4096

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void tokens_hold(const struct json_token *tokens, unsigned n, size_t size)
{
    for (unsigned i = 0; i < n; i++) {
        const struct json_token *t = &tokens[i];
        require(t->next > i && t->next <= n, "a token ends behind all others");
        require((size_t)t->offset + t->length <= size, "a token lies behind the text");
        unsigned in = 0, at = i + 1;
        for (; at < t->next; at = tokens[at].next)
            in++;
        require(at == t->next, "a token reaches out of its container");
        require(t->type == JSON_OBJECT  ? in == 2 * t->count
                : t->type == JSON_ARRAY ? in == t->count
                                        : in == 0,
                "a count is not what is in it");
    }
}

static size_t again(const uint8_t *text, size_t n, char *out, size_t room)
{
    static struct json_token tokens[BYTES_MAX * 6];
    static uint8_t bytes[BYTES_MAX * 6];
    int count = json_parse(text, n, tokens, BYTES_MAX * 6);
    if (count <= 0)
        return 0;
    tokens_hold(tokens, (unsigned)count, n);
    struct json_out o = {.data = out, .room = room};
    require(json_again(&o, text, tokens, 0, NULL, bytes) == (unsigned)count && !o.failed, "it is not written again");
    return o.used;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char first[BYTES_MAX * 6], second[BYTES_MAX * 6];
    if (size == 0 || size > BYTES_MAX)
        return 0;
    uint8_t *copy = calloc(1, size);
    memcpy(copy, data, size);
    size_t n = again(copy, size, first, sizeof first);
    if (n) {
        require(again((const uint8_t *)first, n, second, sizeof second) == n && memcmp(first, second, n) == 0,
                "it is another when it is read again");
        require(utf8_valid((struct mr_span){(const uint8_t *)first, n}), "it is not UTF-8");
    }
    static uint8_t bytes[BYTES_MAX];
    size_t k = base64_decode((struct mr_span){copy, size}, bytes);
    if (k != SIZE_MAX)
        require(base64_encode((struct mr_span){bytes, k}, first) == size && memcmp(first, copy, size) == 0,
                "base 64 is another when it is written again");
    free(copy);
    return 0;
}
