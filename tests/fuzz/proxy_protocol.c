/* Any bytes as a PROXY header: what is said of the whole is not contradicted by what is said of a prefix, nothing outside is read, and
 * what was read and is written anew is read the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/l4/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void differ(const char *what, long a, long b)
{
    fprintf(stderr, "%s: %ld, %ld\n", what, a, b);
    abort();
}

/* Of exactly `n` bytes, so that a byte read too far is seen. */
static int parse(const uint8_t *data, size_t n, struct proxy_protocol *out)
{
    uint8_t *copy = malloc(n ? n : 1);
    memcpy(copy, data, n);
    int result = proxy_protocol_parse(copy, n, out);
    free(copy);
    return result;
}

static void check_round_trip(const struct proxy_protocol *p)
{
    size_t (*const writers[])(const struct mr_endpoint *, const struct mr_endpoint *, uint8_t *) = {
        proxy_protocol_write_v1, proxy_protocol_write_v2, proxy_protocol_write_v2_datagram};
    for (unsigned i = 0; i < 3; i++) {
        uint8_t bytes[PROXY_PROTOCOL_WRITE_MAX];
        struct proxy_protocol again;
        size_t n = writers[i](&p->source, &p->destination, bytes);
        int m = parse(bytes, n, &again);
        if (m < 0 || (size_t)m != n)
            differ("what was written is not read", (long)n, m);
        if (!mr_address_equal(&p->source.address, &again.source.address) || p->source.port != again.source.port ||
            !mr_address_equal(&p->destination.address, &again.destination.address) ||
            p->destination.port != again.destination.port)
            differ("what was written is read as something else", i, 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct proxy_protocol whole, prefix;
    size = size < 1024 ? size : 1024;
    int n = parse(data, size, &whole);
    if (n > (int)size || n > PROXY_PROTOCOL_BYTES_MAX)
        differ("a header longer than the input", n, (long)size);
    for (size_t k = 0; k < size; k++) {
        int m = parse(data, k, &prefix);
        if (m != 0 && m != n)
            differ("a prefix is decided otherwise than the whole", m, n);
        if (m == 0 && n > 0 && k >= (size_t)n)
            differ("more was waited for than is needed", n, (long)k);
    }
    if (n > 0 && !whole.local)
        check_round_trip(&whole);
    return 0;
}
