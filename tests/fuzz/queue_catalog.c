/* Records of the log `catalog`, applied as at start: whatever they are, the replica is whole afterwards, what it would write is
 * read back as the same, and every message finds its way. Input: kind, two bytes of length, payload, and again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "queue/amqp/table.h"
#include "queue/catalog/replica.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool again(void *context, const struct catalog_change *change)
{
    static const enum catalog_record kinds[] = {[CATALOG_EXCHANGE_DECLARE] = RECORD_EXCHANGE,
                                                [CATALOG_QUEUE_DECLARE] = RECORD_QUEUE,
                                                [CATALOG_BIND] = RECORD_BIND,
                                                [CATALOG_EXCHANGE_BIND] = RECORD_BIND};
    struct catalog_record_out out;
    struct catalog_change read;
    struct mr_span vhost;
    catalog_record_make(context, kinds[change->verb], change, &out);
    size_t n = out.head_bytes + out.arguments.length;
    uint8_t *bytes = malloc(n);
    memcpy(bytes, out.head, out.head_bytes);
    if (out.arguments.length)
        memcpy(bytes + out.head_bytes, out.arguments.data, out.arguments.length);
    assert(catalog_record_parse(out.kind, (struct mr_span){bytes, n}, &read, &vhost));
    assert(read.verb == change->verb && read.queue_id == change->queue_id && read.auto_delete == change->auto_delete);
    assert(span_equal(read.name, change->name) && span_equal(read.source, change->source) &&
           span_equal(read.key, change->key) && span_equal(read.arguments, change->arguments));
    free(bytes);
    return true;
}

static void record(struct catalog *c, uint8_t kind, struct mr_span payload)
{
    struct catalog_change change;
    struct mr_span vhost;
    if (!catalog_record_parse(kind, payload, &change, &vhost))
        return;
    change.vhost = 0;
    catalog_apply(c, &change);
    const struct catalog_exchange *x = catalog_exchange_find(c, 0, change.source);
    const struct catalog_queue *const *queues;
    if (x)
        catalog_route(c, x, &change.name, 1, change.arguments, &queues);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct queue_vhost vhost = {(char *)(uintptr_t) "/"};
    struct queue_config config = {.memory_max = 16 << 20, .queues_max = 1000, .vhosts = &vhost, .vhost_count = 1};
    struct catalog *c = catalog_create(&config, 1, true);
    assert(c);
    for (size_t records = 0; size >= 3 && records < 500; records++) {
        size_t n = (size_t)data[1] << 8 | data[2];
        if (n > size - 3)
            break;
        uint8_t *payload = malloc(n ? n : 1); /* of its own, so that an overrun is seen */
        memcpy(payload, data + 3, n);
        record(c, data[0], (struct mr_span){payload, n});
        free(payload);
        data += 3 + n;
        size -= 3 + n;
    }
    catalog_check(c);
    catalog_each_change(c, again, c);
    catalog_free(c);
    return 0;
}
