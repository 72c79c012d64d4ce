/* Answers that only a worker can give: they are asked through its mailbox, and say when it stays silent. */
#include <stdlib.h>
#include <string.h>

#include "stack/core/layers.h"
#include "stack/tcp/tcp.h"
#include "tools/millrace/runtime_control.h"
#include "tools/millrace/worker_ask.h"

#define PATIENCE_MS 1000

/* Made by the control thread with room for `limit` rows, filled by the worker, which so allocates nothing. */
struct connections {
    uint64_t limit, count;
    struct mr_stream_info row[];
};

static void connection_take(const struct mr_stream_info *info, void *argument)
{
    struct connections *c = argument;
    if (c->count++ < c->limit)
        c->row[c->count - 1] = *info;
}

static void connections_fill(struct mr_worker *w, void *argument)
{
    tcp_each_connection(w, connection_take, argument);
}

static json_t *connection_json(const struct mr_stream_info *c, unsigned worker)
{
    char local[MR_ENDPOINT_TEXT_MAX], remote[MR_ENDPOINT_TEXT_MAX];
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"receive_queue", c->receive_queue},
        {"send_queue", c->send_queue},
        {"srtt_us", c->srtt_us},
        {"rttvar_us", c->rttvar_us},
        {"rto_us", c->rto_us},
        {"cwnd", c->cwnd},
        {"ssthresh", c->ssthresh},
        {"in_flight", c->in_flight},
        {"send_window", c->send_window},
        {"receive_window", c->receive_window},
        {"mss", c->mss},
        {"send_scale", c->send_scale},
        {"receive_scale", c->receive_scale},
        {"backoff", c->backoff},
        {"retransmits", c->retransmits},
    };
    json_t *row = json_pack("{s:i,s:s,s:s,s:s,s:s*,s:b,s:b}", "worker", (int)worker, "state", c->state, "local",
                            mr_endpoint_text(&c->local, local), "remote", mr_endpoint_text(&c->remote, remote),
                            "congestion", c->congestion, "timestamps", c->timestamps, "sack", c->sack);
    for (unsigned i = 0; i < sizeof numbers / sizeof *numbers; i++)
        json_object_set_new(row, numbers[i].name, json_integer((json_int_t)numbers[i].value));
    return row;
}

static const char *silence_text(enum worker_answer a)
{
    return a == WORKER_FULL ? "its mailbox is full" : "no answer within 1 s";
}

json_t *runtime_connections(const struct runtime *r, uint64_t limit)
{
    json_t *rows = json_array(), *silent = json_array();
    uint64_t left_out = 0;
    for (unsigned i = 0; i < r->worker_count; i++) {
        struct connections *c = malloc(sizeof *c + limit * sizeof *c->row);
        if (!c)
            continue;
        c->limit = limit;
        c->count = 0;
        enum worker_answer a = worker_ask(r->group, i, connections_fill, c, PATIENCE_MS);
        if (a != WORKER_ANSWERED)
            json_array_append_new(silent, json_pack("{s:i,s:s}", "worker", (int)i, "why", silence_text(a)));
        for (uint64_t k = 0; a == WORKER_ANSWERED && k < c->count && k < limit; k++)
            json_array_append_new(rows, connection_json(&c->row[k], i));
        if (a == WORKER_ANSWERED && c->count > limit)
            left_out += c->count - limit;
        if (a != WORKER_SILENT)
            free(c);
    }
    return json_pack("{s:b,s:o,s:o,s:I}", "ok", 1, "connections", rows, "silent", silent, "left_out",
                     (json_int_t)left_out);
}

static void congestion_apply(struct mr_worker *w, void *argument)
{
    w->tcp->algorithm = *(uint8_t *)argument;
}

static json_t *set_congestion(const struct runtime *r, const char *value)
{
    int algorithm = tcp_algorithm_find(value);
    if (algorithm < 0)
        return control_error("there is no congestion control '%s'", value);
    for (unsigned i = 0; i < r->worker_count; i++) {
        uint8_t *argument = malloc(1);
        if (!argument)
            return control_error("no memory");
        *argument = (uint8_t)algorithm;
        enum worker_answer a = worker_ask(r->group, i, congestion_apply, argument, PATIENCE_MS);
        if (a != WORKER_SILENT)
            free(argument);
        if (a != WORKER_ANSWERED)
            return control_error("worker %u has not taken it: %s", i, silence_text(a));
    }
    return json_pack("{s:b}", "ok", 1);
}

static json_t *set_log(const struct runtime *r, const char *value)
{
    int level = mr_log_level_parse(value);
    if (level < 0)
        return control_error("log is '%s', expected one of error, warning, info, debug", value);
    mr_log_set_level((enum mr_log_level)level);
    return json_pack("{s:b}", "ok", 1);
}

static const struct setting {
    const char *name;
    json_t *(*apply)(const struct runtime *r, const char *value);
} settings[] = {{"log", set_log}, {"congestion", set_congestion}};

json_t *runtime_set(const struct runtime *r, const char *name, const char *value)
{
    for (unsigned i = 0; i < sizeof settings / sizeof *settings; i++)
        if (!strcmp(settings[i].name, name))
            return settings[i].apply(r, value);
    return control_error("there is no setting '%s', expected log or congestion", name);
}
