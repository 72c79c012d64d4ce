/* Segment scripts: what one peer sends to the stack and what it must answer, a line a step, in virtual time.
 *
 * script_parse.c reads a file into `struct script`; script_segment.c turns segments into bytes, bytes into segments and
 * both into text; script_world.c is a worker with a link and a clock of its own; script_run.c plays a script in one. */
#ifndef TESTS_SCRIPT_H
#define TESTS_SCRIPT_H

#include <millrace/stream.h>

#define SCRIPT_FILE_MAX     65536
#define SCRIPT_LINES_MAX    1024
#define SCRIPT_OPTIONS_MAX  24    /* TCP options of one segment */
#define SCRIPT_PAYLOAD_MAX  9000  /* bytes of one segment */
#define SCRIPT_DATAGRAM_MAX 9600  /* payload, TCP header with options, IP header */
#define SCRIPT_DEFAULT_PORT 40000 /* of the peer, when a line names no flow */

/* A number that a line sends (low) or the values that it accepts. */
struct script_range {
    int64_t low, high;
};
#define SCRIPT_ANY ((struct script_range){INT64_MIN, INT64_MAX})

static inline bool script_in(struct script_range r, int64_t value)
{
    return value >= r.low && value <= r.high;
}

enum script_option_kind {
    OPTION_EOL = 0,
    OPTION_NOP = 1,
    OPTION_MSS = 2,
    OPTION_WSCALE = 3,
    OPTION_SACK_OK = 4,
    OPTION_SACK = 5,
    OPTION_TS = 8,
    OPTION_HEX = 256 /* bytes as they are */
};

struct script_option {
    int kind;
    struct script_range value, echo; /* mss, wscale, TS val; TS ecr */
    unsigned length;                 /* OPTION_HEX and unknown options: of `bytes`; OPTION_SACK: edges */
    uint8_t bytes[40];
    int64_t edge[8];
};

enum script_flag {
    FLAG_FIN = 1,
    FLAG_SYN = 2,
    FLAG_RST = 4,
    FLAG_PSH = 8,
    FLAG_ACK = 16,
    FLAG_URG = 32,
    FLAG_ECE = 64,
    FLAG_CWR = 128
};

/* A segment as a script writes it: numbers relative to the initial sequence numbers unless `*_raw`. */
struct script_segment {
    uint8_t flags;
    bool psh_matters, sequence_raw, ack_raw, window_given, options_open; /* options_open: "..." */
    int64_t sequence;
    uint32_t length;
    struct script_range ack, window;
    unsigned option_count;
    struct script_option option[SCRIPT_OPTIONS_MAX];
    /* Inbound only: damage and oddities. */
    bool bad_checksum, junk;
    uint16_t urgent;
    uint8_t reserved;  /* the four reserved bits */
    int offset_words;  /* data offset as written in the header; -1: the true one */
    unsigned times;    /* sent so often, at one instant */
    int truncate;      /* bytes of the segment that are sent; -1: all */
    uint32_t from, to; /* 0: the usual addresses */
    bool group_mac;    /* sent to ff:ff:ff:ff:ff:ff */
};

struct script_icmp {
    uint8_t type, code;
    uint16_t mtu;
    int64_t sequence; /* of the quoted segment */
    bool sequence_raw;
};

struct script_time {
    bool given, relative;
    mr_time low, high; /* ns; equal: exactly then, within the tolerance */
};

enum script_kind {
    STEP_SEGMENT_IN,
    STEP_SEGMENT_OUT,
    STEP_ICMP_IN,
    STEP_LISTEN,
    STEP_UNLISTEN,
    STEP_CONNECT,
    STEP_SEND,
    STEP_LEND,
    STEP_READ,
    STEP_SHUTDOWN,
    STEP_CLOSE,
    STEP_ABORT,
    STEP_NODELAY,
    STEP_WAIT,
    STEP_RENUMBER,
    STEP_FAIL_PACKETS,
    STEP_NO_SEGMENT,
    STEP_NO_EVENT,
    STEP_EVENT,
    STEP_EXPECT,
};

struct script_step {
    int line;
    const char *text; /* the line, trimmed */
    struct script_time time;
    uint16_t port; /* of the peer: names the flow */
    bool together; /* "and": in the same turn as the step before */
    enum script_kind kind;
    struct script_segment *segment; /* STEP_SEGMENT_* */
    struct script_icmp icmp;
    int64_t number;            /* the command's argument */
    struct script_range range; /* what it must answer or be */
    char word[24], detail[24]; /* event and reason; field and its text value */
};

/* Options at the top of a script; the names are those of the table in script_parse.c. */
struct script_settings {
    uint64_t mtu, receive_budget, send_budget, keepalive_idle, keepalive_interval, keepalive_probes, nodelay,
        user_timeout, backlog, tolerance_us, peer_isn, peer_ts, local_port, auto_read, strict_end, seed, connections,
        half_open, time_wait;
};

struct script {
    const char *file;
    char *content; /* steps point into it */
    struct script_settings settings;
    unsigned count;
    struct script_step step[SCRIPT_LINES_MAX];
};

/* NULL with a message "file:line:column: ..." in `error`. */
struct script *script_parse(const char *file, char *error, size_t error_bytes);
void script_free(struct script *s);

/* Where numbers of a flow start, so that scripts can count from zero. */
struct script_base {
    uint32_t peer_ip, local_ip; /* host order */
    uint16_t peer_port, local_port;
    uint32_t peer_isn, local_isn;
    uint32_t peer_ts, local_ts, last_local_ts;
    bool local_isn_known, local_ts_known;
    uint16_t window;                 /* the last that the peer advertised */
    int64_t peer_first, local_first; /* relative numbers of the first payload byte */
};

/* The byte at `offset` of the peer's stream, or of ours. */
uint8_t script_pattern_peer(uint64_t offset);
uint8_t script_pattern_local(uint64_t offset);

/* Writes the IP datagram of an inbound step; returns its bytes. */
size_t script_segment_build(const struct script_segment *s, struct script_base *b, uint8_t *datagram);
size_t script_icmp_build(const struct script_icmp *i, const struct script_base *b, uint8_t *datagram);

/* Parses an outbound IP datagram that carries TCP and verifies what needs no script: lengths, checksums, options.
 * False with a message when it is not what a correct stack sends. Learns the flow's numbers from its first segments. */
bool script_segment_read(const uint8_t *datagram, size_t n, struct script_segment *s, const uint8_t **payload,
                         char *error, size_t error_bytes);
void script_segment_relative(struct script_segment *s, struct script_base *b);

/* Compares a received segment (relative) with an expectation; false with what differs in `error`. */
bool script_segment_matches(const struct script_segment *expected, const struct script_segment *got, char *error,
                            size_t error_bytes);

/* The segment as a script would write it. */
char *script_segment_text(const struct script_segment *s, char *text, size_t bytes);

/* Plays a script; false with the whole report on stdout, each line behind "# ". */
bool script_run(const struct script *s);

#endif
