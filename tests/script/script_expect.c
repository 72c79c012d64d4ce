/* `expect FIELD VALUE`: what the stack says about a connection, read through the public API and its counters. */
#include <string.h>

#include "stack/core/layers.h"
#include "tests/script/script_run.h"

struct search {
    uint16_t local_port, peer_port;
    bool found;
    struct mr_stream_info info;
};

static void search_one(const struct mr_stream_info *info, void *argument)
{
    struct search *search = argument;
    if (info->local.port != search->local_port || info->remote.port != search->peer_port)
        return;
    search->found = true;
    search->info = *info;
}

static bool info_field(const struct mr_stream_info *info, const char *name, int64_t *value)
{
#define FIELD(field)                   \
    if (strcmp(name, #field) == 0) {   \
        *value = (int64_t)info->field; \
        return true;                   \
    }
    FIELD(receive_queue)
    FIELD(send_queue)
    FIELD(srtt_us)
    FIELD(rttvar_us)
    FIELD(rto_us)
    FIELD(cwnd)
    FIELD(ssthresh)
    FIELD(in_flight)
    FIELD(send_window)
    FIELD(receive_window)
    FIELD(mss)
    FIELD(send_scale)
    FIELD(receive_scale)
    FIELD(backoff)
    FIELD(retransmits)
    FIELD(timestamps)
#undef FIELD
    return false;
}

static bool stat_find(const struct run *run, const char *name, int64_t *value)
{
    for (int i = 0; i < STAT_COUNT; i++) {
        const struct stat_description *d = &stat_descriptions[i];
        size_t n = strlen(d->area);
        if (strncmp(name, d->area, n) != 0 || name[n] != '.' || strcmp(name + n + 1, d->name) != 0)
            continue;
        *value = (int64_t)(run->world.worker->stat[i] - run->stat_before[i]);
        return true;
    }
    return false;
}

static bool stream_field(const struct run *run, const struct flow *f, const char *name, int64_t *value)
{
    if (strcmp(name, "released") == 0)
        *value = run->released;
    else if (!f->stream)
        return false;
    else if (strcmp(name, "readable") == 0)
        *value = (int64_t)mr_stream_readable(f->stream);
    else if (strcmp(name, "unacknowledged") == 0)
        *value = (int64_t)mr_stream_unacknowledged(f->stream);
    else if (strcmp(name, "room") == 0)
        *value = (int64_t)mr_stream_send_room(f->stream);
    else if (strcmp(name, "ended") == 0)
        *value = mr_stream_ended(f->stream);
    else
        return false;
    return true;
}

bool expect_check(struct run *run, struct flow *f, const struct script_step *step)
{
    struct search search = {.local_port = f->base.local_port, .peer_port = f->base.peer_port};
    tcp_each_connection(run->world.worker, search_one, &search);
    if (strcmp(step->word, "state") == 0) {
        const char *state = search.found ? search.info.state : "NONE";
        return strcmp(state, step->detail) == 0 || run_fail(run, "state is %s", state);
    }
    int64_t value;
    bool known = strcmp(step->word, "stat") == 0 ? stat_find(run, step->detail, &value)
                                                 : stream_field(run, f, step->word, &value) ||
                                                       (search.found && info_field(&search.info, step->word, &value));
    if (!known)
        return run_fail(run, "there is no %s to ask for", step->word);
    return script_in(step->range, value) || run_fail(run, "%s is %lld", step->word, (long long)value);
}
