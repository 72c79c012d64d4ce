/* The logs of the queues against a list of records each, under random operations, calls of the system that fail, kills and power
 * losses. What was safe is there, what is there is a prefix of what was appended, from where retention left it, and every byte is right. */
#include <assert.h>
#include <errno.h>
#include <millrace/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "queue/log/state.h"
#include "tests/support/qlog_disk.h"
#include "tests/support/seed.h"

#define LOGS    6
#define RECORDS 4096

/* A record is its number, its generation and its length: the bytes follow. */
struct model {
    struct qlog *log; /* NULL: not created */
    char name[8];
    struct qlog_options options;
    uint64_t generation;
    uint64_t next, begin; /* begin: the oldest that may be read */
    uint32_t length[RECORDS];
    struct qlog_place place[RECORDS];
    uint64_t trim; /* the highest asked for since the start */
    uint64_t seen; /* at the last open: the end of what was shown */
    bool any;
};

struct world {
    struct mr_random random;
    char folder[64], root[96];
    unsigned crashes, kills, restarts, records, reads, torn, errors, round;
    struct qlog_engine *engine;
    struct model model[LOGS];
    uint64_t now_ms;
};

static struct world x;
static uint64_t seed;

#define DEMAND(holds, ...) demand(holds, __LINE__, __VA_ARGS__)

static void demand(bool holds, int line, const char *what, const struct model *m, uint64_t a, uint64_t b)
{
    if (holds)
        return;
    fprintf(stderr, "line %d, round %u, log %s (generation %lu, next %lu): %s: %lu, %lu; replay with TEST_SEED=%lu\n",
            line, x.round, m->name, (unsigned long)m->generation, (unsigned long)m->next, what, (unsigned long)a,
            (unsigned long)b, (unsigned long)seed);
    abort();
}

static uint32_t below(uint32_t n)
{
    return mr_random_below(&x.random, n);
}

static uint8_t payload[1 << 18];

static void payload_fill(const struct model *m, uint64_t i)
{
    uint64_t v = (i + 1) * 0x9e3779b97f4a7c15u + m->generation;
    for (uint32_t k = 0; k < m->length[i]; k++)
        payload[k] = (uint8_t)(v >> (k % 8 * 8)) ^ (uint8_t)(k >> 3);
}

static void record_check(const struct model *m, const struct qlog_record *r)
{
    DEMAND(r->offset < m->next, "a record that was never appended", m, r->offset, m->next);
    DEMAND(r->payload.length == m->length[r->offset], "a length", m, r->offset, r->payload.length);
    DEMAND(r->kind == (uint8_t)(r->offset * 7) && r->ms == 1000 + r->offset, "kind or time", m, r->offset, r->ms);
    payload_fill(m, r->offset);
    DEMAND(memcmp(payload, r->payload.data, r->payload.length) == 0, "other bytes", m, r->offset, 0);
    x.records++;
}

/* -- starts ----------------------------------------------------------------------------------------------------------------- */

static void engine_open(void)
{
    struct qlog_engine_options o = {.folder = x.root, .pending_bytes_max = 4 << 20, .io = disk_io()};
    if (qlog_engine_open(&o, NULL, NULL, &x.engine) != MR_OK)
        abort();
}

static bool opened(void *context, const struct qlog_record *r)
{
    struct model *m = context;
    DEMAND(!m->any || r->offset == m->seen, "a gap", m, r->offset, m->seen);
    m->any = true;
    m->seen = r->offset + 1;
    record_check(m, r);
    m->place[r->offset] = r->place;
    return true;
}

static bool exists(const struct model *m)
{
    char path[160];
    snprintf(path, sizeof path, "%s/%s", x.root, m->name);
    return access(path, F_OK) == 0;
}

/* With calls that fail once in a while, until it opens. */
static void log_open(struct model *m, uint64_t safe)
{
    int result;
    if (!exists(m)) {
        DEMAND(safe == 0, "the folder is gone", m, safe, 0);
        m->log = NULL;
        return;
    }
    disk.chance = below(4) ? 0 : 4;
    do {
        m->any = false;
        result = qlog_open(x.engine, m->name, &m->options, m, opened, &m->log);
        DEMAND(result == MR_OK || (disk.chance && result == MR_ERROR_SYSTEM), "it does not open", m, (uint64_t)-result,
               0);
        disk.chance = disk.chance > 0 ? disk.chance + 1 : 0;
    } while (result != MR_OK);
    disk.chance = 0;
    DEMAND(qlog_next(m->log) <= m->next, "more than was appended", m, qlog_next(m->log), m->next);
    DEMAND(qlog_next(m->log) >= safe, "what was safe is not there", m, qlog_next(m->log), safe);
    DEMAND(qlog_begin(m->log) <= m->begin || qlog_begin(m->log) <= safe, "the begin is not there", m,
           qlog_begin(m->log), m->begin);
    DEMAND(!m->any || m->seen == qlog_next(m->log), "the end", m, m->seen, qlog_next(m->log));
    m->next = qlog_next(m->log);
    m->begin = qlog_begin(m->log);
    m->trim = 0;
}

static void generation_new(struct model *m)
{
    m->generation++;
    m->next = m->begin = m->trim = 0;
    m->options = (struct qlog_options){.safety = below(2) ? QLOG_SYNCED : QLOG_WRITTEN,
                                       .segment_bytes = 1024 << below(6),
                                       .retain_segments = below(3),
                                       .retain_bytes = below(2) ? 20000 + below(50000) : 0,
                                       .retain_ms = below(3) ? 0 : 100};
}

/* With a disk that works everything is safe after some jobs, and nothing is held. */
static void settle(void)
{
    disk.chance = 0;
    for (unsigned i = 0; i < 100; i++)
        qlog_engine_run(x.engine);
    for (unsigned i = 0; i < LOGS; i++) {
        const struct model *m = &x.model[i];
        if (m->log)
            DEMAND(qlog_safe(m->log) == m->next && !qlog_engine_error(x.engine), "it is never safe", m,
                   qlog_safe(m->log), m->next);
    }
    if (x.engine->buffers.used || x.engine->pending)
        abort();
}

/* Stops in one of three ways, and starts again. */
static void restart(unsigned how)
{
    uint64_t safe[LOGS];
    char to[96];
    bool killed = how == 1, power = how == 2;
    for (unsigned i = 0; i < LOGS; i++) {
        struct model *m = &x.model[i];
        safe[i] = !m->log ? 0 : power ? qlog_synced(m->log) : killed ? qlog_written(m->log) : m->next;
    }
    disk.chance = 0;
    if (how == 0) {
        if (below(2))
            settle();
        qlog_engine_close(x.engine);
        x.restarts++;
    } else {
        snprintf(to, sizeof to, "%s/%u", x.folder, x.round);
        disk_crash(to, power);
        qlog_engine_close(x.engine);
        char command[160];
        snprintf(command, sizeof command, "rm -rf --one-file-system '%s'", x.root);
        if (system(command) != 0)
            abort();
        snprintf(x.root, sizeof x.root, "%s", to);
        x.kills += killed;
        x.crashes += power;
    }
    disk_mount(x.root);
    engine_open();
    for (unsigned i = 0; i < LOGS; i++)
        if (x.model[i].log)
            log_open(&x.model[i], safe[i]);
    struct qlog_status status;
    qlog_status(x.engine, &status);
    x.torn += status.torn_bytes > 0;
}

/* -- operations --------------------------------------------------------------------------------------------------------------- */

static void op_append(struct model *m)
{
    for (unsigned n = 1 + below(12); n > 0 && m->next < RECORDS && qlog_ready(x.engine); n--) {
        uint64_t i = m->next;
        m->length[i] = below(20) ? below(600) : below(16) ? below(5000) : below(sizeof payload);
        payload_fill(m, i);
        uint32_t a = m->length[i] ? below(m->length[i]) : 0;
        struct mr_span spans[2] = {{payload, a}, {payload + a, m->length[i] - a}};
        uint64_t offset = qlog_append(m->log, (uint8_t)(i * 7), 1000 + i, spans, 2, &m->place[i]);
        DEMAND(offset == i, "the offset", m, offset, i);
        m->next++;
    }
}

struct reading {
    struct model *m;
    uint64_t generation, next, count, most;
    bool ended, any;
};

static void was_read(void *context, const struct qlog_record *r, int error)
{
    struct reading *q = context;
    if (!r) {
        q->ended = true;
        bool legal = error == 0 || error == ENOENT || error == ECANCELED;
        DEMAND(legal, "reading failed", q->m, (uint64_t)error, q->next);
        return;
    }
    DEMAND(!q->any || r->offset == q->next, "scanned with a gap", q->m, r->offset, q->next);
    q->any = true;
    q->next = r->offset + 1;
    q->count++;
    DEMAND(q->count <= q->most, "more than was asked for", q->m, q->count, q->most);
    record_check(q->m, r);
    x.reads++;
}

/* Asked for, perhaps with a job and appends in between, and shown. */
static void op_read(struct model *m)
{
    uint64_t begin = qlog_begin(m->log);
    if (begin == m->next)
        return;
    uint64_t i = begin + below((uint32_t)(m->next - begin)), count = 1 + below(40), left = m->next - i;
    struct reading one = {.m = m, .most = 1}, many = {.m = m, .most = count};
    qlog_read(m->log, &m->place[i], i, was_read, &one);
    qlog_scan(m->log, i, (unsigned)count, UINT64_MAX, was_read, &many);
    if (below(2))
        op_append(m);
    for (unsigned k = 0; k < 100 && !many.ended; k++)
        qlog_engine_run(x.engine);
    DEMAND(one.count == 1, "it was not shown", m, i, one.count);
    DEMAND(many.ended, "the scan has no end", m, i, many.count);
    DEMAND(many.count >= (left < count ? left : count), "the scan showed too few", m, i, many.count);
}

static void op_retain(struct model *m)
{
    uint64_t before = qlog_begin(m->log), to = m->next ? below((uint32_t)m->next + 1) : 0;
    unsigned segments = qlog_segments(m->log);
    if (below(2)) {
        m->trim = to > m->trim ? to : m->trim; /* an earlier one may wait for what stands behind it to be written */
        qlog_trim(m->log, to);
        DEMAND(qlog_begin(m->log) <= (before > m->trim ? before : m->trim), "trimmed what is needed", m,
               qlog_begin(m->log), to);
    } else {
        qlog_retain(m->log, 1000 + m->next);
        unsigned least = m->options.retain_segments < segments ? m->options.retain_segments : segments;
        DEMAND(qlog_segments(m->log) >= least, "retention took too much", m, qlog_segments(m->log), least);
    }
    DEMAND(qlog_begin(m->log) >= before && qlog_begin(m->log) <= m->next, "begin", m, qlog_begin(m->log), m->next);
}

static void op_delete(struct model *m)
{
    struct reading q = {.m = m, .most = 40};
    if (below(2))
        qlog_scan(m->log, 0, 40, UINT64_MAX, was_read, &q);
    else
        q.ended = true;
    qlog_delete(m->log);
    m->log = NULL;
    unsigned rounds = 0;
    disk.chance = 0;
    do
        qlog_engine_run(x.engine);
    while (!q.ended || (exists(m) && rounds++ < 4));
    DEMAND(!exists(m), "deleted, and there", m, rounds, 0);
    generation_new(m);
}

/* Sums of the log and the engine, and what it says of itself against the model. */
static void log_check(const struct model *m)
{
    const struct qlog *log = m->log;
    uint64_t bytes = 0;
    unsigned segments = 0;
    for (const struct qlog_segment *s = log->first; s; s = s->next) {
        bytes += s->bytes;
        segments++;
        DEMAND(!s->next || s->next->stream == qlog_segment_end(s), "streams of segments", m, s->first, segments);
    }
    DEMAND(bytes == qlog_bytes(log) && segments == qlog_segments(log), "sums of segments", m, bytes, segments);
    DEMAND(qlog_next(log) == m->next, "next", m, qlog_next(log), m->next);
    DEMAND(qlog_synced(log) <= qlog_written(log) && qlog_written(log) <= m->next, "written and synced", m,
           qlog_synced(log), qlog_written(log));
    DEMAND(log->synced <= log->written && log->written <= log->appended && log->released <= log->written, "stream", m,
           log->written, log->appended);
    for (uint64_t i = qlog_begin(log); i < m->next; i += 1 + below(50))
        DEMAND(qlog_segment_of(log, i) == m->place[i].segment, "the segment of a record", m, i, m->place[i].segment);
}

static void op(void)
{
    struct model *m = &x.model[below(LOGS)];
    if (!m->log) {
        m->log = qlog_create(x.engine, m->name, &m->options, m);
        m->next = m->begin = 0;
        return;
    }
    switch (below(16)) {
    case 0:
    case 1:
        op_read(m);
        break;
    case 2:
        op_retain(m);
        break;
    case 3:
        qlog_sync(m->log);
        break;
    case 4:
        if (below(10) == 0 || m->next > RECORDS - 100)
            op_delete(m);
        break;
    case 5:
        disk.chance = below(3) ? 0 : 2 + below(20);
        break;
    case 6:
    case 7:
    case 8:
        qlog_engine_run(x.engine);
        x.errors += qlog_engine_error(x.engine) != 0;
        break;
    default:
        op_append(m);
    }
    if (m->log)
        log_check(m);
    m->begin = m->log ? qlog_begin(m->log) : 0;
}

int main(int count, char **arguments)
{
    const char *text = getenv("TEST_ROUNDS");
    unsigned rounds = text ? (unsigned)strtoul(text, NULL, 0) : 8000;
    seed = support_seed(arguments[0]);
    mr_random_seed(&x.random, seed);
    mr_random_seed(&disk.random, seed + 1);
    strcpy(x.folder, "/tmp/qlog-model-XXXXXX");
    if (!mkdtemp(x.folder))
        return 1;
    snprintf(x.root, sizeof x.root, "%s/first", x.folder);
    disk_mount(x.root);
    engine_open();
    for (unsigned i = 0; i < LOGS; i++) {
        snprintf(x.model[i].name, sizeof x.model[i].name, "log%u", i);
        generation_new(&x.model[i]);
    }
    for (x.round = 1; x.round <= rounds; x.round++) {
        op();
        if (below(60) == 0)
            restart(below(3));
    }
    disk.chance = 0;
    qlog_engine_close(x.engine);
    disk_unmount();
    char command[128];
    snprintf(command, sizeof command, "rm -rf --one-file-system '%s'", x.folder);
    printf("%u operations, %u restarts, %u kills, %u power losses, %u of them with torn ends, %u records shown, %u "
           "read, %u jobs with errors\n",
           rounds, x.restarts, x.kills, x.crashes, x.torn, x.records, x.reads, x.errors);
    return system(command) == 0 ? 0 : 1;
}
