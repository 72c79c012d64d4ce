/* A service: what runs on the streams and datagrams of each worker. It is a const table; `start` runs once per worker.
 *
 * Configuration: a service states every key once, in a table; the same table drives parsing, messages, `millrace check`
 * and the reference. Values are written into a struct of the service at `offset`. */
#ifndef MILLRACE_SERVICE_H
#define MILLRACE_SERVICE_H

#include <millrace/address.h>
#include <millrace/control.h>
#include <millrace/datagram.h>
#include <millrace/error.h>
#include <millrace/log.h>
#include <millrace/mailbox.h>
#include <millrace/stream.h>
#include <millrace/timer.h>
#include <millrace/types.h>

enum mr_config_type {
    MR_CONFIG_BOOL,     /* bool */
    MR_CONFIG_UNSIGNED, /* uint64_t, minimum .. maximum */
    MR_CONFIG_BYTES,    /* uint64_t; accepts 64KiB, 1MiB, 2GiB, 1000 */
    MR_CONFIG_DURATION, /* mr_time (ns); accepts 100us, 5ms, 30s, 2m, 1h; minimum and maximum in ns */
    MR_CONFIG_STRING,   /* char *, owned by the configuration, NULL when absent and without preset */
    MR_CONFIG_PATH,     /* char *, relative to the file it stands in */
    MR_CONFIG_ENDPOINT, /* struct mr_endpoint */
    MR_CONFIG_ADDRESS,  /* struct mr_address */
    MR_CONFIG_PREFIX,   /* struct mr_config_prefix */
    MR_CONFIG_CHOICE,   /* int: index into `choices` */
    MR_CONFIG_FRACTION, /* double, 0 .. 1; accepts 0.5% and 0.005 */
    MR_CONFIG_RATE,     /* uint64_t, bits per second; accepts 64kbit, 100Mbit, 1Gbit */
    MR_CONFIG_MAP,      /* a struct within the struct: its keys are `keys`, their offsets from `offset` on */
    MR_CONFIG_LIST, /* void *, an array of structs of `element_bytes`, each with `keys`; their number, at most `list_max`, at `count_offset` */
};

struct mr_config_prefix {
    struct mr_address address;
    unsigned bits;
};

struct mr_config_key {
    const char *name;
    enum mr_config_type type;
    size_t offset;             /* into the service's configuration struct */
    uint64_t minimum, maximum; /* both 0: no bound */
    const char *preset;        /* as one would write it; NULL: the key is required unless `optional` */
    bool optional;
    const char *const *choices; /* NULL-terminated, for MR_CONFIG_CHOICE */
    const char *unit;           /* for the reference page; may be NULL */
    const char *sentence;       /* what it does */
    /* A list: up to `list_max` values lie at `offset`, their number (unsigned) at `count_offset`. 0: one value. */
    unsigned list_max;
    size_t count_offset;
    const struct mr_config_key *keys; /* of MR_CONFIG_MAP and MR_CONFIG_LIST; end with name NULL */
    size_t element_bytes;             /* of MR_CONFIG_LIST */
};

/* A counter of a service, one per worker; the index is the position in the table. Counters only grow; a gauge is what the
 * instance last wrote. */
struct mr_service_counter {
    const char *name; /* "requests": exposed as millrace_<service>_requests_total, a gauge without _total */
    const char *sentence;
    bool gauge;
};

struct mr_service {
    const char *name;
    const char *sentence;
    size_t config_bytes;
    const struct mr_config_key *keys;          /* ends with name NULL */
    const struct mr_service_counter *counters; /* ends with name NULL; may be NULL */

    /* Before any worker starts: what a table cannot say (does the folder exist?). Writes one line and returns false. */
    bool (*check)(const void *config, char *message, size_t message_bytes);

    /* The same, called instead of `check` when it is there. *value, NULL before, may be pointed at the value that is wrong: a member
     * of `config`, an element of one of its lists, a member of that. The message then has its line and column. */
    bool (*check_value)(const void *config, const void **value, char *message, size_t message_bytes);

    /* What all instances of the service share: made before the first `start`, on the main thread, where it may block;
     * `close` runs after every worker has ended. Workers change nothing in it but by messages. Both may be NULL.
     * MR_OK or an enum mr_error. */
    int (*open)(const void *config, unsigned workers, void **shared);
    void (*close)(void *shared);

    /* Starts one instance on `w`, before any worker turns. `counters` is this instance's array, as long as the table. *state
     * holds what `open` gave (NULL: nothing) and goes to stop as it is left. Returns MR_OK or an enum mr_error; on failure
     * it has released what it took. */
    int (*start)(struct mr_worker *w, const void *config, uint64_t *counters, void **state);

    /* Asks the instance to end: listeners closed, streams closed in order. Streams still get their on_close, so state
     * that they use is freed by `release`. */
    void (*stop)(struct mr_worker *w, void *state);

    /* After the last event of the last stream. May be NULL. */
    void (*release)(struct mr_worker *w, void *state);

    /* The three below run on the control thread while the workers turn; `shared` is what `open` made. Any may be NULL. */

    /* `millrace <service> words...`: returns a JSON object when *good, else one line that says what was wrong and what was
     * expected; either is text from malloc. NULL: no memory. */
    char *(*command)(void *shared, const struct mr_control *control, int argc, const char *const *argv, bool *good);

    /* Another configuration, read from the file and checked, takes the place of the one that runs. First every service is
     * asked with `commit` false: false, with one line in `message`, when something cannot change while running; nothing is changed
     * yet. When all agree each is called again with `commit` true. `config` stays valid until the next reconfigure has
     * committed. NULL: the service needs a restart for any change. */
    bool (*reconfigure)(void *shared, const struct mr_control *control, const void *config, bool commit, char *message,
                        size_t message_bytes);

    /* The configuration as it runs now, changes by `command` included; what is written back by `save`. Valid until the next
     * command or reconfigure. NULL: the one it was started with. */
    const void *(*configuration)(void *shared);
};

/* The state of the first instance of a service on this worker, for the public interface of that service; NULL: it does not run. */
void *mr_service_find(const struct mr_worker *w, const char *name);

/* Text for a status page: fills `text` with `name value` lines of this worker's counters; returns bytes written. */
size_t mr_worker_status(const struct mr_worker *w, char *text, size_t bytes);

#endif
