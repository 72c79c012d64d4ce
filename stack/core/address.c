#include <millrace/address.h>

#include <arpa/inet.h>
#include <stdio.h>

/* A decimal number of at most `maximum`: digits only, no sign, no leading zero. */
static bool number_parse(const char *text, unsigned maximum, unsigned *value)
{
    if (text[0] == '\0' || (text[0] == '0' && text[1] != '\0'))
        return false;
    unsigned n = 0;
    for (; *text; text++) {
        if (*text < '0' || *text > '9')
            return false;
        n = n * 10 + (unsigned)(*text - '0');
        if (n > maximum)
            return false;
    }
    *value = n;
    return true;
}

/* Copies the `n` bytes of an address before a delimiter; false when they are too long to be one. */
static bool part_copy(char part[MR_ADDRESS_TEXT_MAX], const char *text, size_t n)
{
    if (n >= MR_ADDRESS_TEXT_MAX)
        return false;
    memcpy(part, text, n);
    part[n] = '\0';
    return true;
}

bool mr_address_parse(const char *text, struct mr_address *a)
{
    struct in_addr ip4;
    struct mr_address ip6;
    if (inet_pton(AF_INET, text, &ip4) == 1)
        *a = mr_address_ip4(ntohl(ip4.s_addr));
    else if (inet_pton(AF_INET6, text, ip6.bytes) == 1)
        *a = ip6;
    else
        return false;
    return true;
}

bool mr_prefix_parse(const char *text, struct mr_address *a, unsigned *bits)
{
    const char *slash = strchr(text, '/');
    char part[MR_ADDRESS_TEXT_MAX];
    struct mr_address parsed;
    unsigned length;
    if (!slash || !part_copy(part, text, (size_t)(slash - text)) || !mr_address_parse(part, &parsed))
        return false;
    bool written_as_ip4 = strchr(part, ':') == NULL;
    if (!number_parse(slash + 1, written_as_ip4 ? 32 : 128, &length))
        return false;
    if (!written_as_ip4 && mr_address_is_ip4(&parsed)) { /* ::ffff:1.2.3.4/120 is 1.2.3.4/24 */
        if (length < 96)
            return false;
        length -= 96;
    }
    *a = parsed;
    *bits = length;
    return true;
}

/* The address part of an endpoint: "198.18.0.2", "[::1]" or nothing. */
static bool endpoint_address_parse(const char *text, size_t n, struct mr_address *a)
{
    char part[MR_ADDRESS_TEXT_MAX];
    *a = mr_address_any();
    if (n == 0)
        return true;
    bool bracketed = text[0] == '[' && text[n - 1] == ']';
    if (bracketed) {
        text++;
        n -= 2;
    }
    if (!part_copy(part, text, n) || !mr_address_parse(part, a) || bracketed != (strchr(part, ':') != NULL))
        return false;
    if (mr_address_is_ip4(a) && mr_address_to_ip4(a) == INADDR_ANY)
        *a = mr_address_any();
    return true;
}

bool mr_endpoint_parse(const char *text, struct mr_endpoint *e)
{
    struct mr_address address = mr_address_any();
    const char *colon = strrchr(text, ':');
    unsigned port;
    if (colon && !endpoint_address_parse(text, (size_t)(colon - text), &address))
        return false;
    if (!number_parse(colon ? colon + 1 : text, UINT16_MAX, &port))
        return false;
    *e = (struct mr_endpoint){.address = address, .port = (uint16_t)port};
    return true;
}

char *mr_address_text(const struct mr_address *a, char *text)
{
    if (mr_address_is_ip4(a))
        inet_ntop(AF_INET, a->bytes + 12, text, MR_ADDRESS_TEXT_MAX);
    else
        inet_ntop(AF_INET6, a->bytes, text, MR_ADDRESS_TEXT_MAX);
    return text;
}

char *mr_endpoint_text(const struct mr_endpoint *e, char *text)
{
    char address[MR_ADDRESS_TEXT_MAX];
    mr_address_text(&e->address, address);
    if (mr_address_is_any(&e->address))
        snprintf(text, MR_ENDPOINT_TEXT_MAX, ":%u", e->port);
    else if (mr_address_is_ip4(&e->address))
        snprintf(text, MR_ENDPOINT_TEXT_MAX, "%s:%u", address, e->port);
    else
        snprintf(text, MR_ENDPOINT_TEXT_MAX, "[%s]:%u", address, e->port);
    return text;
}
