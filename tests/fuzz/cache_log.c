/* Any bytes as a log file, a base file, a payload, a manifest. The first byte chooses; its high bits, whether
 * checksums and tags are put right first, so that what lies behind them is reached. A scan must end, stay inside,
 * and find the same when what it found is read again. */
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "cache/durable/folder.h"
#include "cache/durable/load.h"
#include "checksum/crc32c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t commands, sum;
};

static bool command_see(void *context, unsigned database, const struct cache_argument *argv, unsigned argc)
{
    struct seen *s = context;
    assert(argc > 0 && database < CACHE_DATABASES);
    s->commands++;
    for (unsigned i = 0; i < argc; i++)
        for (uint32_t k = 0; k < argv[i].length; k++)
            s->sum = s->sum * 31 + argv[i].data[k];
    return true;
}

static void store32(uint8_t *p, uint32_t v)
{
    v = htole32(v);
    memcpy(p, &v, sizeof v);
}

static void store64(uint8_t *p, uint64_t v)
{
    v = htole64(v);
    memcpy(p, &v, sizeof v);
}

/* Gives the file a good header, and records that say where they lie; their lengths stay as they are, cut to what is
 * there. */
static void file_mend(uint8_t *bytes, size_t n, enum cache_file_kind kind)
{
    const struct cache_file_header h = {.kind = kind, .id = 1000, .generation = 1};
    if (n < CACHE_FILE_HEADER_BYTES)
        return;
    cache_file_header_emit(&h, bytes);
    for (size_t at = CACHE_FILE_HEADER_BYTES; at + CACHE_RECORD_HEADER_BYTES <= n;) {
        uint8_t *r = bytes + at;
        uint64_t room = (n - at - CACHE_RECORD_HEADER_BYTES) / 8, words = r[4] % 16;
        words = words < room ? words : room;
        store32(r + 4, (uint32_t)words);
        store64(r + 8, h.id + at);
        if (r[23] < 250) /* some stay damaged */
            store32(r, crc32c(0, r + 4, CACHE_RECORD_HEADER_BYTES - 4 + words * 8));
        at += CACHE_RECORD_HEADER_BYTES + words * 8;
    }
}

static void scan(const uint8_t *bytes, size_t n, enum cache_file_kind kind)
{
    struct seen first = {0}, again = {0};
    struct cache_reader r;
    struct cache_scan s, t;
    cache_reader_init_memory(&r, bytes, n);
    cache_file_scan(&r, kind, &(struct cache_log_target){.command = command_see, .context = &first}, &s);
    cache_reader_close(&r);
    assert(s.offset <= n && first.commands == s.commands);
    if (s.end == CACHE_SCAN_OK || s.offset < CACHE_FILE_HEADER_BYTES || kind == CACHE_FILE_BASE)
        return;
    cache_reader_init_memory(&r, bytes, s.offset); /* cut, it is whole and the same */
    cache_file_scan(&r, kind, &(struct cache_log_target){.command = command_see, .context = &again}, &t);
    cache_reader_close(&r);
    assert(t.end == CACHE_SCAN_OK && t.transactions == s.transactions && again.sum == first.sum);
}

static void payload(const uint8_t *bytes, size_t n)
{
    struct cache_log_transaction t;
    struct seen seen = {0};
    if (!cache_record_parse(bytes, n, &t))
        return;
    struct cache_argument *argv = calloc(t.argc_max + 1, sizeof *argv);
    unsigned database, argc;
    for (size_t at = 0; (argc = cache_transaction_next(&t, &at, &database, argv)) > 0;) {
        assert(argc <= t.argc_max);
        command_see(&seen, database, argv, argc);
    }
    assert(seen.commands == t.command_count);
    free(argv);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct cache_manifest m;
    if (size < 1)
        return 0;
    size_t n = size - 1;
    uint8_t *copy = malloc(n ? n : 1); /* exactly as long: a byte read too far is seen */
    memcpy(copy, data + 1, n);
    enum cache_file_kind kind = data[0] & 1 ? CACHE_FILE_LOG : CACHE_FILE_BASE;
    if (data[0] & 0x80)
        file_mend(copy, n, kind);
    scan(copy, n, kind);
    payload(copy, n);
    cache_manifest_parse((const char *)copy, n, &m);
    free(copy);
    return 0;
}
