/* Requests at the control socket: one JSON object in a line. Untrusted bytes are read here and nowhere else. */
#ifndef TOOLS_MILLRACE_CONTROL_REQUEST_H
#define TOOLS_MILLRACE_CONTROL_REQUEST_H

#include <millrace/service.h>

#include <jansson.h>

#define CONTROL_REQUEST_BYTES_MAX 65536 /* a transaction of the proxy in one piece */
#define CONTROL_WORDS_MAX         256

enum control_command {
    CONTROL_STATUS,
    CONTROL_STAT,
    CONTROL_CONNS,
    CONTROL_SET,
    CONTROL_CAPTURE,
    CONTROL_CAPTURE_REPORT,
    CONTROL_CAPTURE_STOP,
    CONTROL_DRAIN,
    CONTROL_SERVICE,
    CONTROL_RELOAD,
    CONTROL_SAVE,
    CONTROL_HELP,
    CONTROL_COMMANDS
};

/* The arguments of all commands; each command fills its own. */
struct control_request {
    enum control_command command;
    uint64_t limit;   /* conns: rows a worker */
    char *name;       /* set: which setting; service: which service */
    char *value;      /* set: to what */
    char *interface;  /* capture: NULL is all */
    char *filter;     /* capture: NULL is everything */
    uint64_t seconds; /* capture, drain */
    uint64_t bytes;   /* capture */
    uint64_t snap;    /* capture: bytes kept of a packet */
    bool absolute;    /* save: no path relative to the folder of the file that was loaded */
    unsigned word_count;
    char *words[CONTROL_WORDS_MAX]; /* service: what is said to it */
};

struct control_command_description {
    const char *name, *sentence;
    const struct mr_config_key *keys; /* offsets into struct control_request; ends with name NULL */
};
extern const struct control_command_description control_commands[CONTROL_COMMANDS];

/* Reads `bytes` of a line without its newline. False: `why` (CONTROL_WHY_MAX bytes) says what was expected. After true
 * the caller frees with control_request_free. */
#define CONTROL_WHY_MAX 320
bool control_request_parse(const char *line, size_t bytes, struct control_request *out, char *why);
void control_request_free(struct control_request *r);

/* {"ok":false,"error":...}; the caller owns it. */
json_t *control_error(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* {"ok":true,"commands":[...]} from the table. */
json_t *control_help(void);

#endif
