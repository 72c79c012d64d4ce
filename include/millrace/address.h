/* Addresses of either family in one 16-byte type: IPv4 is kept as ::ffff:a.b.c.d (RFC 4291 section 2.5.5.2), so that no
 * table, key or API needs a second form when IPv6 arrives. */
#ifndef MILLRACE_ADDRESS_H
#define MILLRACE_ADDRESS_H

#include <string.h>

#include <millrace/types.h>

struct mr_address {
    uint8_t bytes[16]; /* network order */
};

struct mr_endpoint {
    struct mr_address address; /* all zero bytes: any address of ours */
    uint16_t port;             /* host order */
};

#define MR_ADDRESS_TEXT_MAX 46  /* with the terminating zero */
#define MR_ENDPOINT_TEXT_MAX 56 /* "[v6]:65535" */

static inline struct mr_address mr_address_any(void)
{
    return (struct mr_address){{0}};
}

/* `ip` in host order: 0xc6120002 is 198.18.0.2 */
static inline struct mr_address mr_address_ip4(uint32_t ip)
{
    return (struct mr_address){{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, (uint8_t)(ip >> 24), (uint8_t)(ip >> 16),
                                (uint8_t)(ip >> 8), (uint8_t)ip}};
}

static inline bool mr_address_is_ip4(const struct mr_address *a)
{
    static const uint8_t prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
    return memcmp(a->bytes, prefix, sizeof prefix) == 0;
}

/* Host order; only meaningful when mr_address_is_ip4. */
static inline uint32_t mr_address_to_ip4(const struct mr_address *a)
{
    return (uint32_t)a->bytes[12] << 24 | (uint32_t)a->bytes[13] << 16 | (uint32_t)a->bytes[14] << 8 | a->bytes[15];
}

static inline bool mr_address_is_any(const struct mr_address *a)
{
    static const uint8_t zero[16];
    return memcmp(a->bytes, zero, sizeof zero) == 0;
}

static inline bool mr_address_equal(const struct mr_address *a, const struct mr_address *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* "198.18.0.2" or "fe80::1"; false, with *a untouched, when `text` is neither. */
bool mr_address_parse(const char *text, struct mr_address *a);

/* "198.18.0.2/24": the address and its prefix length in bits of its own family; false when malformed. */
bool mr_prefix_parse(const char *text, struct mr_address *a, unsigned *bits);

/* "198.18.0.2:80", "[::1]:80", and for any address of ours ":80", "80", "0.0.0.0:80" or "[::]:80"; false, with *e
 * untouched, when malformed. */
bool mr_endpoint_parse(const char *text, struct mr_endpoint *e);

/* Writes at most MR_ADDRESS_TEXT_MAX / MR_ENDPOINT_TEXT_MAX bytes, in a form that the functions above read, and returns
 * `text`. */
char *mr_address_text(const struct mr_address *a, char *text);
char *mr_endpoint_text(const struct mr_endpoint *e, char *text);

#endif
