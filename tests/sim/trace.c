#include "tests/sim/trace.h"

#include <inttypes.h>
#include <stdio.h>

static uint32_t load16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t load32(const uint8_t *p)
{
    return load16(p) << 16 | load16(p + 2);
}

static void tcp_options_print(FILE *f, const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p != 0) {
        if (*p == 1) {
            p++;
            continue;
        }
        if (p + 2 > end || p[1] < 2 || p + p[1] > end)
            return;
        if (p[0] == 2 && p[1] == 4)
            fprintf(f, " mss %u", load16(p + 2));
        else if (p[0] == 3 && p[1] == 3)
            fprintf(f, " scale %u", p[2]);
        else if (p[0] == 8 && p[1] == 10)
            fprintf(f, " ts %u/%u", load32(p + 2), load32(p + 6));
        else
            fprintf(f, " option%u", p[0]);
        p += p[1];
    }
}

static void tcp_print(FILE *f, const uint8_t *t, uint32_t n)
{
    uint32_t header = n < 20 ? 0 : (uint32_t)(t[12] >> 4) * 4;
    if (header < 20 || header > n) {
        fprintf(f, "tcp malformed");
        return;
    }
    fprintf(f, "%u > %u ", load16(t), load16(t + 2));
    static const char letters[] = "FSRPAUEC";
    for (unsigned i = 0; i < 8; i++)
        if (t[13] & 1u << i)
            fputc(letters[i], f);
    fprintf(f, " seq %u ack %u win %u len %u", load32(t + 4), load32(t + 8), load16(t + 14), n - header);
    tcp_options_print(f, t + 20, t + header);
}

static void frame_print(FILE *f, const uint8_t *data, uint32_t n)
{
    uint32_t type = n < 34 ? 0 : load16(data + 12);
    const uint8_t *ip = data + 14;
    uint32_t header = (uint32_t)(ip[0] & 15) * 4, total = type == 0x0800 ? load16(ip + 2) : 0;
    if (type == 0x0806)
        fprintf(f, "arp %s", load16(data + 20) == 1 ? "request" : "reply");
    else if (type != 0x0800 || header < 20 || total < header || 14 + total > n)
        fprintf(f, "type %04x, %u bytes", type, n);
    else if (ip[9] == 6)
        tcp_print(f, ip + header, total - header);
    else
        fprintf(f, "ip protocol %u, %u bytes", ip[9], total);
}

void trace_observe(void *argument, const struct sim_observation *o)
{
    static const char *const what[] = {
        [SIM_SENT] = "sent", [SIM_DUPLICATED] = "twin", [SIM_DELIVERED] = "recv", [SIM_DROPPED] = "LOST"};
    FILE *f = argument;
    fprintf(f, "%4" PRIu64 ".%09" PRIu64 " %s>%s %s%s%s%s ", o->now / MR_SECOND, o->now % MR_SECOND, o->from->name,
            o->to->name, what[o->event], o->event == SIM_DROPPED ? ":" : "",
            o->event == SIM_DROPPED ? sim_drop_text(o->drop) : "", o->corrupt ? " (bit flipped)" : "");
    frame_print(f, o->frame, o->bytes);
    fputc('\n', f);
}
