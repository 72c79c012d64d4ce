/* Commands: one const table, from which COMMAND, arity errors, key routing, and the list in README.md come; and the one
 * function through which each call goes (call.c), with every policy that is not the command's own: authentication, arity,
 * subscriber mode, MULTI queueing, room, the log, the slow log, counters. */
#ifndef SERVICES_CACHE_COMMAND_H
#define SERVICES_CACHE_COMMAND_H

#include "cache/command/argument.h"
#include "cache/resp/reply.h"
#include "cache/store/store.h"

struct cache;
struct cache_client;
struct cache_call;
struct cache_effect;
struct cache_transaction;

/* As COMMAND INFO prints them. */
enum cache_command_flag {
    CACHE_WRITE = 1 << 0, /* may change a key: logged when it did */
    CACHE_READONLY = 1 << 1,
    CACHE_DENYOOM = 1 << 2, /* may grow memory: room is asked for before it runs */
    CACHE_ADMIN = 1 << 3,
    CACHE_PUBSUB = 1 << 4,
    CACHE_NOSCRIPT = 1 << 5,
    CACHE_BLOCKING = 1 << 6,
    CACHE_LOADING = 1 << 7,
    CACHE_STALE = 1 << 8,
    CACHE_FAST = 1 << 9,
    CACHE_NO_AUTH = 1 << 10,
    CACHE_NO_MULTI = 1 << 11,     /* not inside MULTI */
    CACHE_ALL_SHARDS = 1 << 12,   /* ours: works on every shard's store (KEYS, FLUSHALL): they are held for it */
    CACHE_CONTAINER = 1 << 13,    /* ours: `subcommands` decides */
    CACHE_MOVABLE_KEYS = 1 << 14, /* `keys` finds them, the positions alone do not */
    CACHE_SKIP_SLOWLOG = 1 << 15,
    CACHE_RUNS_IN_MULTI = 1 << 16,    /* ours: not queued by MULTI: EXEC, DISCARD, MULTI, WATCH, QUIT, RESET */
    CACHE_FAN_OUT = 1 << 17,          /* ours: each worker runs it for itself, `join` makes one reply of theirs */
    CACHE_QUEUED_SHARDS = 1 << 18,    /* ours: the shards of all that MULTI queued, and of what is watched: EXEC */
    CACHE_CURSOR_SHARD = 1 << 19,     /* ours: the cursor, argument 1, says whose shard: SCAN */
    CACHE_ALLOW_BUSY = 1 << 20,       /* this and the next are for COMMAND INFO only: there are no scripts, ... */
    CACHE_NO_ASYNC_LOADING = 1 << 21, /* ... nor replicas */
    CACHE_BRIEF = 1 << 22,            /* ours: as quick as FAST ones, though Redis does not call it so: not timed */
};

enum cache_outcome {
    CACHE_DONE,  /* replied */
    CACHE_AGAIN, /* no room in this turn: nothing was changed, nothing replied; called again from the begin */
    CACHE_WAIT,  /* a blocking command found nothing and may wait for its keys (call->may_block): nothing replied */
};

typedef enum cache_outcome cache_command_function(struct cache_call *call);

struct cache_command {
    const char *name; /* lower case; subcommands: without the container's name */
    cache_command_function *function;
    int arity;                             /* argc exactly, or at least -arity when negative; the name counts */
    uint32_t flags;                        /* enum cache_command_flag */
    int16_t first_key, last_key, key_step; /* as COMMAND prints them; 0: no keys; last negative: counted from the end */
    const char *group;                     /* "string", "hash", ...: the section in README.md */
    const char *sentence;
    /* CACHE_MOVABLE_KEYS: writes positions of keys, at most `max`; returns how many, or -1: malformed (the function will say). */
    int (*keys)(const struct cache_argument *argv, unsigned argc, unsigned *positions, unsigned max);
    /* CACHE_DENYOOM: bytes that the call may take in the store of its keys; NULL: cache_command_room, a safe sum. */
    uint64_t (*room)(const struct cache_call *call);
    const struct cache_command *subcommands; /* ends with name NULL */
};

#define CACHE_CALL_ROPES 16 /* long arguments of one logged command */

/* One running command. */
struct cache_call {
    struct cache *cache;         /* the executing worker's instance */
    struct cache_client *client; /* NULL: replay of the log, or the C interface */
    const struct cache_command *command;
    struct cache_argument *argv;
    unsigned argc;
    unsigned database;
    struct cache_store *store; /* that owns the first key (every key of it lies there, or use cache_call_store) */
    struct cache_reply *reply;
    uint64_t now_ms;        /* Unix time of the turn */
    bool may_block;         /* not inside MULTI, not a replay */
    bool timed_out;         /* CACHE_WAIT ended by its time: reply the null that the command gives then */
    uint64_t asker;         /* the client that asked, on whatever worker this runs; 0: none */
    bool blind;             /* refused before it looked at any key: its reply waits for no log */
    bool part;              /* one worker's part of a CACHE_FAN_OUT */
    bool replaying;         /* from the log: no reply is wanted */
    uint64_t changes;       /* how many changes it made; 0: nothing is logged */
    uint64_t touched;       /* shards that it changed, a bit each */
    uint64_t wait_until_ms; /* with CACHE_WAIT: Unix ms, 0: for ever */
    struct cache_effect *effects, **effects_end; /* what the log gets instead of argv, see cache_call_propagate */
    struct cache_transaction *transaction;       /* EXEC around it; NULL: none */
    struct cache_rope *ropes[CACHE_CALL_ROPES];  /* effect.c: shared with the log */
    unsigned rope_count;
};

/* The store that owns `key`; it is this worker's, or held for this call. */
struct cache_store *cache_call_store(const struct cache_call *call, struct mr_span key);

/* After each change: the key's watchers, waiters and the log hear of it. Counts one change; more are added by the caller. */
void cache_call_changed(struct cache_call *call, struct cache_store *store, struct mr_span key);
/* The same for changes of which the store tells the listener itself: cache_store_set, _replace, _delete. */
void cache_call_counted(struct cache_call *call, struct cache_store *store);
/* A key got elements that a blocked client may wait for (after cache_call_changed). */
void cache_call_ready(struct cache_call *call, struct cache_store *store, struct mr_span key);
/* The log gets this instead of the arguments: a command whose effect depends on time or chance, or SET with EX. May be called
 * several times: the commands are logged together. Arguments are copied. */
void cache_call_propagate(struct cache_call *call, unsigned argc, const struct mr_span *argv);
#define CACHE_SPAN(text) ((struct mr_span){(const uint8_t *)(text), sizeof(text) - 1})

/* More room than the table's bound said, for commands whose need shows only when they run (SETRANGE far out, SUNIONSTORE).
 * Before the first change. READY: go on, with every pointer to an entry looked up anew. Otherwise return CACHE_AGAIN
 * (LATER) or CACHE_DONE (NEVER: the OOM error is already replied). */
enum cache_room cache_call_reserve(struct cache_call *call, struct cache_store *store, uint64_t bytes);
uint64_t cache_command_room(const struct cache_call *call); /* sum over arguments, 32 KiB of slack */

/* Shared replies. */
void cache_reply_wrong_type(struct cache_reply *r);
void cache_reply_syntax_error(struct cache_reply *r);
void cache_reply_not_integer(struct cache_reply *r); /* "ERR value is not an integer or out of range" */
void cache_reply_not_float(struct cache_reply *r);
void cache_reply_arity(struct cache_reply *r, const struct cache_command *container, const struct cache_command *c);

/* Looks up for a command that wants `type`: *e NULL when there is none. False: wrong type, replied. */
bool cache_call_read(struct cache_call *call, const struct cache_argument *key, enum cache_type type,
                     struct cache_entry **e);
bool cache_call_write(struct cache_call *call, const struct cache_argument *key, enum cache_type type,
                      struct cache_entry **e);
/* A key argument as a span; false: longer than CACHE_KEY_MAX or a rope, replied. cache_call_read and _write check by themselves. */
bool cache_call_key(struct cache_call *call, const struct cache_argument *a, struct mr_span *key);

/* Tables, one a file of commands: arrays that end with name NULL. command/table.c joins them and finds by name. */
extern const struct cache_command cache_commands_string[]; /* string.c */
extern const struct cache_command cache_commands_bit[];    /* bit.c */
extern const struct cache_command cache_commands_key[];    /* key.c: DEL, EXPIRE, TYPE, RENAME, COPY, OBJECT, ... */
extern const struct cache_command cache_commands_scan[];   /* scan.c */
extern const struct cache_command cache_commands_hash[];   /* hash.c */
extern const struct cache_command cache_commands_list[];   /* list.c */
extern const struct cache_command cache_commands_set[];    /* set.c */
extern const struct cache_command cache_commands_zset[];   /* zset.c */
extern const struct cache_command cache_commands_server[]; /* server.c: INFO, CONFIG, DEBUG, SLOWLOG, FLUSHALL, ... */
extern const struct cache_command
    cache_commands_connection[]; /* connection_commands.c: AUTH, HELLO, CLIENT, SELECT, ... */
extern const struct cache_command cache_commands_transaction[];  /* transaction.c */
extern const struct cache_command cache_commands_sort[];         /* sort.c */
extern const struct cache_command cache_commands_pubsub[];       /* pubsub.c */
extern const struct cache_command cache_commands_memcached[];    /* memcached/memcached_commands.c */
extern const struct cache_command *const cache_command_tables[]; /* table.c; ends with NULL */

/* How the parts of a CACHE_FAN_OUT become one reply. Each was written with call->part set, and may be raw bytes without a frame.
 * A command without a row: the first part is the reply. */
struct cache_join {
    cache_command_function *function;
    void (*join)(struct cache_reply *r, const struct cache_reply *const *parts, unsigned n);
};
extern const struct cache_join cache_joins[]; /* join.c; ends with function NULL */

/* By name, case ignored. NULL: unknown. O(1). */
const struct cache_command *cache_command_find(const void *name, size_t n);
/* Of a container; NULL: unknown subcommand. */
const struct cache_command *cache_subcommand_find(const struct cache_command *container, const void *name, size_t n);
/* Positions of keys in argv, at most `max`; -1: malformed. */
int cache_command_keys(const struct cache_command *c, const struct cache_argument *argv, unsigned argc,
                       unsigned *positions, unsigned max);
/* MATCH patterns: glob as Redis has it (*, ?, [a-z], [^...], \x). Linear in pattern and text; no recursion without bound. */
bool cache_glob_match(struct mr_span pattern, struct mr_span text, bool ignore_case);

#endif
