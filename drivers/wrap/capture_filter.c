#include "drivers/wrap/capture_filter.h"

#include <stdlib.h>
#include <string.h>

#define ETHERNET_HEADER_BYTES 14
#define ETHERTYPE_IP4         0x0800
#define ETHERTYPE_ARP         0x0806
#define ETHERTYPE_IP6         0x86dd
#define WORD_MAX              64

/* What the filter looks at, as far as the frame carries it. */
struct headers {
    uint16_t ethertype;
    uint8_t protocol; /* 0: none */
    bool has_addresses, has_ports;
    struct mr_address source, destination;
    uint16_t source_port, destination_port;
};

static uint16_t load16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static struct mr_address load_ip4(const uint8_t *p)
{
    return mr_address_ip4((uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3]);
}

static void ports_read(struct headers *h, const uint8_t *data, size_t n)
{
    if ((h->protocol != 6 && h->protocol != 17) || n < 4)
        return;
    h->has_ports = true;
    h->source_port = load16(data);
    h->destination_port = load16(data + 2);
}

static void ip4_read(struct headers *h, const uint8_t *ip, size_t n)
{
    size_t header = n < 20 ? 0 : (size_t)(ip[0] & 15) * 4;
    if (header < 20 || header > n)
        return;
    h->protocol = ip[9];
    h->has_addresses = true;
    h->source = load_ip4(ip + 12);
    h->destination = load_ip4(ip + 16);
    if ((load16(ip + 6) & 0x1fff) == 0) /* only the first fragment has ports */
        ports_read(h, ip + header, n - header);
}

/* Extension headers are not followed: a packet that has them matches by host only. */
static void ip6_read(struct headers *h, const uint8_t *ip, size_t n)
{
    if (n < 40)
        return;
    h->protocol = ip[6];
    h->has_addresses = true;
    memcpy(h->source.bytes, ip + 8, 16);
    memcpy(h->destination.bytes, ip + 24, 16);
    ports_read(h, ip + 40, n - 40);
}

static void arp_read(struct headers *h, const uint8_t *arp, size_t n)
{
    if (n < 28)
        return;
    h->has_addresses = true;
    h->source = load_ip4(arp + 14);
    h->destination = load_ip4(arp + 24);
}

bool capture_filter_matches(const struct capture_filter *f, const uint8_t *data, size_t n)
{
    struct headers h = {0};
    if (n < ETHERNET_HEADER_BYTES)
        return !f->ethertype && !f->protocol && !f->port && mr_address_is_any(&f->host);
    h.ethertype = load16(data + 12);
    const uint8_t *inner = data + ETHERNET_HEADER_BYTES;
    size_t left = n - ETHERNET_HEADER_BYTES;
    if (h.ethertype == ETHERTYPE_IP4)
        ip4_read(&h, inner, left);
    else if (h.ethertype == ETHERTYPE_IP6)
        ip6_read(&h, inner, left);
    else if (h.ethertype == ETHERTYPE_ARP)
        arp_read(&h, inner, left);
    if (f->ethertype && f->ethertype != h.ethertype)
        return false;
    if (f->protocol && f->protocol != h.protocol)
        return false;
    if (f->port && !(h.has_ports && (f->port == h.source_port || f->port == h.destination_port)))
        return false;
    return mr_address_is_any(&f->host) ||
           (h.has_addresses && (mr_address_equal(&f->host, &h.source) || mr_address_equal(&f->host, &h.destination)));
}

/* The next word of *text into `word`; false at the end or when it is too long. */
static bool next_word(const char **text, char word[WORD_MAX])
{
    const char *start = *text + strspn(*text, " \t");
    size_t n = strcspn(start, " \t");
    *text = start + n;
    if (n == 0 || n >= WORD_MAX)
        return false;
    memcpy(word, start, n);
    word[n] = 0;
    return true;
}

static bool word_port(const char *word, uint16_t *port)
{
    char *end;
    unsigned long value = strtoul(word, &end, 10);
    if (*end || word[0] < '0' || word[0] > '9' || value == 0 || value > UINT16_MAX)
        return false;
    *port = (uint16_t)value;
    return true;
}

static bool word_kind(const char *word, struct capture_filter *f)
{
    static const struct {
        const char *word;
        uint16_t ethertype;
        uint8_t protocol;
    } kinds[] = {
        {"tcp", 0, 6}, {"udp", 0, 17}, {"icmp", ETHERTYPE_IP4, 1}, {"arp", ETHERTYPE_ARP, 0}, {"ip", ETHERTYPE_IP4, 0}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (strcmp(word, kinds[i].word) == 0) {
            f->ethertype = kinds[i].ethertype ? kinds[i].ethertype : f->ethertype;
            f->protocol = kinds[i].protocol ? kinds[i].protocol : f->protocol;
            return true;
        }
    return false;
}

bool capture_filter_parse(const char *text, struct capture_filter *out)
{
    struct capture_filter f = {0};
    char word[WORD_MAX];
    while (text && text[strspn(text, " \t")]) {
        if (!next_word(&text, word))
            return false;
        bool good = strcmp(word, "host") == 0   ? next_word(&text, word) && mr_address_parse(word, &f.host)
                    : strcmp(word, "port") == 0 ? next_word(&text, word) && word_port(word, &f.port)
                                                : word_kind(word, &f);
        if (!good)
            return false;
    }
    *out = f;
    return true;
}
