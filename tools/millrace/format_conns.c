#include <stdint.h>
#include <string.h>

#include "tools/millrace/format.h"

static long long number(const json_t *row, const char *key)
{
    return json_integer_value(json_object_get(row, key));
}

static const char *text(const json_t *row, const char *key)
{
    const char *t = json_string_value(json_object_get(row, key));
    return t ? t : "";
}

/* cwnd and ssthresh are in segments there, times in milliseconds; what does not apply is left out. */
static void print_details(const json_t *c, FILE *out)
{
    long long mss = number(c, "mss");
    if (!*text(c, "congestion"))
        return; /* a half-open or TIME-WAIT record has no more to tell */
    fprintf(out, "\t %s", text(c, "congestion"));
    if (json_is_true(json_object_get(c, "timestamps")))
        fputs(" ts", out);
    if (json_is_true(json_object_get(c, "sack")))
        fputs(" sack", out);
    if (number(c, "send_scale") || number(c, "receive_scale"))
        fprintf(out, " wscale:%lld,%lld", number(c, "send_scale"), number(c, "receive_scale"));
    fprintf(out, " rto:%lld", number(c, "rto_us") / 1000);
    if (number(c, "backoff"))
        fprintf(out, " backoff:%lld", number(c, "backoff"));
    if (number(c, "srtt_us"))
        fprintf(out, " rtt:%.3f/%.3f", (double)number(c, "srtt_us") / 1000, (double)number(c, "rttvar_us") / 1000);
    fprintf(out, " mss:%lld cwnd:%lld", mss, mss ? number(c, "cwnd") / mss : 0);
    if (number(c, "ssthresh") != UINT32_MAX && mss)
        fprintf(out, " ssthresh:%lld", number(c, "ssthresh") / mss);
    fprintf(out, " bytes_in_flight:%lld snd_wnd:%lld rcv_wnd:%lld", number(c, "in_flight"), number(c, "send_window"),
            number(c, "receive_window"));
    if (number(c, "retransmits"))
        fprintf(out, " retrans:%lld", number(c, "retransmits"));
    fputc('\n', out);
}

void format_conns(const json_t *answer, FILE *out)
{
    size_t i;
    json_t *c;
    fprintf(out, "%-10s %-7s %-7s %-24s %-24s %s\n", "State", "Recv-Q", "Send-Q", "Local", "Peer", "Worker");
    json_array_foreach(json_object_get(answer, "connections"), i, c)
    {
        fprintf(out, "%-10s %-7lld %-7lld %-24s %-24s %lld\n", text(c, "state"), number(c, "receive_queue"),
                number(c, "send_queue"), text(c, "local"), text(c, "remote"), number(c, "worker"));
        print_details(c, out);
    }
    json_array_foreach(json_object_get(answer, "silent"), i, c)
        fprintf(out, "worker %lld does not answer: %s\n", number(c, "worker"), text(c, "why"));
    if (number(answer, "left_out"))
        fprintf(out, "%lld more connections are not shown, see --limit\n", number(answer, "left_out"));
}
