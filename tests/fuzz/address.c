/* Addresses, prefixes and endpoints as text: what is accepted must come back the same from its own text. */
#include <millrace/address.h>
#include <stdlib.h>

static void address_check(const char *text)
{
    struct mr_address a, again;
    char out[MR_ADDRESS_TEXT_MAX];
    if (!mr_address_parse(text, &a))
        return;
    if (!mr_address_parse(mr_address_text(&a, out), &again) || !mr_address_equal(&a, &again))
        abort();
}

static void prefix_check(const char *text)
{
    struct mr_address a;
    unsigned bits;
    if (mr_prefix_parse(text, &a, &bits) && bits > (mr_address_is_ip4(&a) ? 32u : 128u))
        abort();
}

static void endpoint_check(const char *text)
{
    struct mr_endpoint e, again;
    char out[MR_ENDPOINT_TEXT_MAX];
    if (!mr_endpoint_parse(text, &e))
        return;
    if (!mr_endpoint_parse(mr_endpoint_text(&e, out), &again) || !mr_address_equal(&e.address, &again.address) ||
        e.port != again.port)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    memcpy(text, data, size);
    text[size] = '\0';
    address_check(text);
    prefix_check(text);
    endpoint_check(text);
    free(text);
    return 0;
}
