/* What a run of one script remembers; shared by script_run.c (steps), script_flow.c (the stack's side: segments caught,
 * events of the service) and script_expect.c (questions about a connection). */
#ifndef TESTS_SCRIPT_RUN_H
#define TESTS_SCRIPT_RUN_H

#include "tests/script/script.h"
#include "tests/script/script_world.h"

#define RUN_FLOWS_MAX 16
#define RUN_QUEUE_MAX 4096 /* segments or events of a flow that no step asked for yet */
#define RUN_TRACE_MAX (512 * 1024)

struct caught_segment {
    mr_time at;
    struct script_segment segment; /* numbers as on the wire */
};

struct caught_event {
    mr_time at;
    char word[12], detail[16];
};

struct flow {
    struct run *run;
    struct script_base base;
    struct mr_stream *stream; /* NULL: none, or its close was delivered */
    struct mr_listener *listener;
    uint64_t sent, received; /* bytes of either stream so far */
    unsigned segment_first, segment_count;
    struct caught_segment *segment;
    unsigned event_first, event_count;
    struct caught_event event[256];
};

struct run {
    const struct script *script;
    struct world world;
    const struct script_step *step;
    mr_time at; /* of the last step */
    unsigned flow_count;
    struct flow flow[RUN_FLOWS_MAX];
    unsigned loans, released;
    bool over; /* what still happens is the worker's end */
    uint64_t stat_before[STAT_COUNT];
    char failure[512];
    size_t trace_bytes;
    char trace[RUN_TRACE_MAX];
};

/* The first failure is kept. Always false. */
bool run_fail(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
void run_trace(struct run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));
double run_seconds(const struct run *run, mr_time at);

/* The flow of a peer's port, made on first use; NULL, with a failure, when there are too many. */
struct flow *flow_of(struct run *run, uint16_t peer_port);

/* world.captured */
void flow_captured(void *argument, const uint8_t *datagram, size_t n);
extern const struct mr_stream_handler flow_handler;

/* Reads up to `n` bytes and compares them with what the peer sent. */
size_t flow_read(struct flow *f, size_t n);

bool expect_check(struct run *run, struct flow *f, const struct script_step *step);

#endif
