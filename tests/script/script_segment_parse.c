/* The text of a segment:  FLAGS SEQ:END(LENGTH) [ack N] [win N] [<option, ...>] [oddities], close to packetdrill's. */
#include "tests/script/script_cursor.h"

static const char flag_letters[] = "FSRP.UEW"; /* by bit, from FIN up */

static bool flags_parse(struct cursor *c, struct script_segment *s)
{
    cursor_blanks(c);
    const char *letter;
    if (*c->at == '-') { /* none at all */
        c->at++;
        return true;
    }
    while (*c->at && (letter = strchr(flag_letters, *c->at))) {
        s->flags |= (uint8_t)(1u << (letter - flag_letters));
        c->at++;
    }
    s->psh_matters = s->flags & FLAG_PSH;
    return (s->flags && isspace((unsigned char)*c->at)) || cursor_fail(c, "expected flags of \"%s\"", flag_letters);
}

/* "1:1001(1000)"; "=5:5(0)" counts as on the wire. */
static bool sequence_parse(struct cursor *c, struct script_segment *s)
{
    int64_t end = 0, length = 0;
    s->sequence_raw = cursor_take(c, "=");
    if (!cursor_number(c, &s->sequence) || !cursor_need(c, ":") || !cursor_number(c, &end) || !cursor_need(c, "(") ||
        !cursor_number(c, &length) || !cursor_need(c, ")"))
        return false;
    if (length < 0 || length > SCRIPT_PAYLOAD_MAX)
        return cursor_fail(c, "a segment carries 0 to %d bytes", SCRIPT_PAYLOAD_MAX);
    if (end - s->sequence != length)
        return cursor_fail(c, "%lld bytes do not lie between %lld and %lld", (long long)length, (long long)s->sequence,
                           (long long)end);
    s->length = (uint32_t)length;
    return true;
}

static bool hex_parse(struct cursor *c, struct script_option *o)
{
    cursor_blanks(c);
    unsigned value;
    while (o->length < sizeof o->bytes && isxdigit((unsigned char)c->at[0]) && isxdigit((unsigned char)c->at[1])) {
        sscanf(c->at, "%2x", &value);
        o->bytes[o->length++] = (uint8_t)value;
        c->at += 2;
    }
    return o->length > 0 || cursor_fail(c, "expected bytes in hexadecimal");
}

static bool sack_parse(struct cursor *c, struct script_option *o)
{
    while (o->length < 8 && !cursor_end(c) && (isdigit((unsigned char)*c->at) || *c->at == '-')) {
        if (!cursor_number(c, &o->edge[o->length]) || !cursor_need(c, ":") ||
            !cursor_number(c, &o->edge[o->length + 1]))
            return false;
        o->length += 2;
    }
    return o->length > 0 || cursor_fail(c, "expected blocks as 1001:2001");
}

static bool option_parse(struct cursor *c, struct script_option *o)
{
    static const struct {
        const char *name;
        int kind;
    } names[] = {{"mss", OPTION_MSS}, {"wscale", OPTION_WSCALE}, {"sackOK", OPTION_SACK_OK}, {"sack", OPTION_SACK},
                 {"TS", OPTION_TS},   {"nop", OPTION_NOP},       {"eol", OPTION_EOL},        {"hex", OPTION_HEX}};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!cursor_take(c, names[i].name))
            continue;
        o->kind = names[i].kind;
        switch (o->kind) {
        case OPTION_MSS:
        case OPTION_WSCALE:
            return cursor_range(c, &o->value);
        case OPTION_TS:
            return cursor_need(c, "val") && cursor_range(c, &o->value) && cursor_need(c, "ecr") &&
                   cursor_range(c, &o->echo);
        case OPTION_SACK:
            return sack_parse(c, o);
        case OPTION_HEX:
            return hex_parse(c, o);
        default:
            return true;
        }
    }
    return cursor_fail(c, "no such option: mss, wscale, sackOK, sack, TS, nop, eol or hex");
}

static bool options_parse(struct cursor *c, struct script_segment *s)
{
    do {
        if (cursor_take(c, "...")) {
            s->options_open = true;
            continue;
        }
        if (s->option_count == SCRIPT_OPTIONS_MAX)
            return cursor_fail(c, "more than %d options", SCRIPT_OPTIONS_MAX);
        if (!option_parse(c, &s->option[s->option_count++]))
            return false;
    } while (cursor_take(c, ","));
    return cursor_need(c, ">");
}

static bool address_parse(struct cursor *c, uint32_t *out)
{
    char text[64];
    unsigned b[4];
    if (!cursor_word(c, text, sizeof text))
        return false;
    if (sscanf(text, "%3u.%3u.%3u.%3u", &b[0], &b[1], &b[2], &b[3]) != 4)
        return cursor_fail(c, "expected an IPv4 address");
    *out = b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
    return true;
}

/* What a correct peer never does, or only rarely. */
static bool oddity_parse(struct cursor *c, struct script_segment *s)
{
    int64_t number = 0;
    if (cursor_take(c, "bad_checksum")) {
        s->bad_checksum = true;
    } else if (cursor_take(c, "junk")) {
        s->junk = true;
    } else if (cursor_take(c, "to_all_stations")) {
        s->group_mac = true;
    } else if (cursor_take(c, "urgent") && cursor_number(c, &number)) {
        s->urgent = (uint16_t)number;
    } else if (cursor_take(c, "reserved") && cursor_number(c, &number)) {
        s->reserved = (uint8_t)(number & 15);
    } else if (cursor_take(c, "offset") && cursor_number(c, &number)) {
        s->offset_words = (int)(number & 15);
    } else if (cursor_take(c, "truncate") && cursor_number(c, &number)) {
        s->truncate = (int)number;
    } else if (cursor_take(c, "times") && cursor_number(c, &number)) {
        s->times = (unsigned)number;
    } else if (cursor_take(c, "from")) {
        return address_parse(c, &s->from);
    } else if (cursor_take(c, "to")) {
        return address_parse(c, &s->to);
    } else {
        return cursor_fail(c,
                           "what is this? oddities are times, bad_checksum, junk, urgent, reserved, offset, truncate, "
                           "from, to, to_all_stations");
    }
    return !c->error[0];
}

bool segment_parse(struct cursor *c, struct script_segment *s, bool inbound)
{
    *s = (struct script_segment){.ack = {0, 0}, .window = SCRIPT_ANY, .offset_words = -1, .truncate = -1, .times = 1};
    if (!flags_parse(c, s) || !sequence_parse(c, s))
        return false;
    if (s->flags & FLAG_ACK || (inbound && cursor_take(c, "ack"))) {
        if (s->flags & FLAG_ACK && !cursor_need(c, "ack"))
            return false;
        s->ack_raw = cursor_take(c, "=");
        if (!cursor_range(c, &s->ack))
            return false;
    }
    if (cursor_take(c, "win")) {
        s->window_given = true;
        if (!cursor_range(c, &s->window))
            return false;
    }
    if (cursor_take(c, "<") && !options_parse(c, s))
        return false;
    while (!cursor_end(c))
        if (!inbound)
            return cursor_fail(c, "nothing more can follow in a segment of ours");
        else if (!oddity_parse(c, s))
            return false;
    return true;
}

static size_t option_text(const struct script_option *o, char *text, size_t bytes)
{
    int n;
    switch (o->kind) {
    case OPTION_EOL:
        return (size_t)snprintf(text, bytes, "eol");
    case OPTION_NOP:
        return (size_t)snprintf(text, bytes, "nop");
    case OPTION_MSS:
        return (size_t)snprintf(text, bytes, "mss %lld", (long long)o->value.low);
    case OPTION_WSCALE:
        return (size_t)snprintf(text, bytes, "wscale %lld", (long long)o->value.low);
    case OPTION_SACK_OK:
        return (size_t)snprintf(text, bytes, "sackOK");
    case OPTION_TS:
        return (size_t)snprintf(text, bytes, "TS val %lld ecr %lld", (long long)o->value.low, (long long)o->echo.low);
    case OPTION_SACK:
        n = snprintf(text, bytes, "sack");
        for (unsigned i = 0; i + 1 < o->length; i += 2)
            n += snprintf(text + n, bytes - (size_t)n, " %lld:%lld", (long long)o->edge[i], (long long)o->edge[i + 1]);
        return (size_t)n;
    default:
        n = snprintf(text, bytes, "hex ");
        for (unsigned i = 0; i < o->length; i++)
            n += snprintf(text + n, bytes - (size_t)n, "%02x", o->bytes[i]);
        return (size_t)n;
    }
}

char *script_segment_text(const struct script_segment *s, char *text, size_t bytes)
{
    size_t n = 0;
    for (unsigned bit = 0; bit < 8; bit++)
        if (s->flags & 1u << bit)
            text[n++] = flag_letters[bit];
    if (!n)
        text[n++] = '-';
    n += (size_t)snprintf(text + n, bytes - n, " %s%lld:%lld(%u)", s->sequence_raw ? "=" : "", (long long)s->sequence,
                          (long long)s->sequence + s->length, s->length);
    if (s->flags & FLAG_ACK)
        n += (size_t)snprintf(text + n, bytes - n, " ack %s%lld", s->ack_raw ? "=" : "", (long long)s->ack.low);
    if (s->window.low >= 0)
        n += (size_t)snprintf(text + n, bytes - n, " win %lld", (long long)s->window.low);
    for (unsigned i = 0; i < s->option_count; i++) {
        n += (size_t)snprintf(text + n, bytes - n, "%s", i ? "," : " <");
        n += option_text(&s->option[i], text + n, bytes - n);
    }
    snprintf(text + n, bytes - n, "%s", s->option_count ? ">" : "");
    return text;
}
