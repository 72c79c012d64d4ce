/* Between the files of the connection: input, output, handshake, channel numbers, its life. */
#ifndef SERVICES_QUEUE_AMQP_CONNECTION_H
#define SERVICES_QUEUE_AMQP_CONNECTION_H

#include "queue/amqp/session.h"

#define AMQP_CLOSE_TIMEOUT (10 * MR_SECOND) /* of the peer's close-ok */
#define AMQP_END_TIMEOUT   (3 * MR_SECOND)  /* of the peer's end, once ours was sent */

/* -- connection.c ----------------------------------------------------------------------------------------------------------------------- */

extern const struct mr_stream_handler amqp_stream_handler;

/* Its turn comes at the end of this turn: output is written, input goes on, channels are told of room. */
void amqp_connection_turn(struct amqp_connection *c);
void amqp_connection_turn_run(struct amqp_connection *c);
void amqp_connection_turn_forget(struct amqp_connection *c);
/* A method of class connection, or any other on channel 0. */
void amqp_connection_method(struct amqp_connection *c, const struct amqp_method *m);
/* No more is said: what is queued is sent, then our direction ends. Its channels are ended. */
void amqp_connection_end(struct amqp_connection *c);
/* Cut at the end of this turn, by a reset: there is no memory for what must be said, or nobody is there. */
void amqp_connection_cut(struct amqp_connection *c);
/* Sends connection.close, whatever the state before, and waits for close-ok. `text` as on the wire. */
void amqp_connection_close(struct amqp_connection *c, unsigned code, uint32_t class_and_method, struct mr_span text);
/* Frees a closed connection when nothing of it is on its way any more. */
void amqp_connection_settle(struct amqp_connection *c);
/* It published, or the alarms are others: stops or goes on, and says so to those who asked for it. */
void amqp_connection_alarms(struct amqp_connection *c);
void amqp_connection_deadline(struct amqp_connection *c); /* sets the timer for what is due next */
void amqp_connection_check(const struct amqp_connection *c);
extern const char *const amqp_connection_state_names[AMQP_CONNECTION_STATES];

/* -- handshake.c, login.c ------------------------------------------------------------------------------------------------------------------ */

void amqp_handshake_start(struct amqp_connection *c);
/* What a peer says before the connection is open; and update-secret after it. False: such a method has no place in this state. */
bool amqp_handshake_method(struct amqp_connection *c, const struct amqp_method *m);

enum amqp_login { AMQP_LOGIN_DONE, AMQP_LOGIN_REFUSED, AMQP_LOGIN_MORE, AMQP_LOGIN_MALFORMED };
struct amqp_mechanism {
    const char *name;
    bool (*offered)(const struct amqp_connection *c);
    enum amqp_login (*response)(struct amqp_connection *c, struct mr_span response); /* sets c->user */
};
extern const struct amqp_mechanism amqp_mechanisms[];
#define AMQP_MECHANISMS 3
/* The names offered to this connection, one space between; bytes written. */
size_t amqp_mechanism_list(const struct amqp_connection *c, char *to, size_t room);

/* -- input.c --------------------------------------------------------------------------------------------------------------------------------- */

void amqp_input_run(struct amqp_connection *c);
/* A whole frame, or the begin and the pieces of a body frame; frames.c. */
void amqp_frame_arrived(struct amqp_connection *c, const struct amqp_frame *f);
void amqp_frame_body_begin(struct amqp_connection *c, uint16_t channel, uint32_t payload_bytes);
void amqp_frame_body_piece(struct amqp_connection *c, uint16_t channel, struct mr_span bytes);
/* What the peer sent as RabbitMQ shows it: "all octets = <<1,2>>", "first 16 octets = ...". */
#define AMQP_SNIPPET_BYTES 96
const char *amqp_snippet(char to[AMQP_SNIPPET_BYTES], struct mr_span payload);
bool amqp_input_allowed(const struct amqp_connection *c);

/* -- output.c -------------------------------------------------------------------------------------------------------------------------------- */

void amqp_output_flush(struct amqp_connection *c);
void amqp_output_drop(struct amqp_connection *c);       /* what was not given to the stream */
void amqp_output_tell(struct amqp_connection *c);       /* channels that wait, as long as there is room, each once */
bool amqp_output_told(const struct amqp_connection *c); /* there is somebody to be told */
void amqp_output_forget(struct amqp_channel *ch);       /* does not wait any more */
void amqp_send_heartbeat(struct amqp_connection *c);
void amqp_send_bytes(struct amqp_connection *c, const void *data, size_t n);
void amqp_output_check(const struct amqp_connection *c);

/* -- channels.c: numbers ------------------------------------------------------------------------------------------------------------------- */

/* Opens a number; NULL after an error was sent. */
struct amqp_channel *amqp_channels_open(struct amqp_connection *c, uint16_t number);
/* The number is free from now on; the channel is ended if it was not. */
void amqp_channels_remove(struct amqp_channel *ch);
void amqp_channels_finish(struct amqp_channel *ch); /* ends it; the number stays taken */
void amqp_channels_end(struct amqp_connection *c);  /* all of them, numbers too */
void amqp_channels_each(const struct amqp_connection *c, void (*visit)(const struct amqp_channel *ch));
void amqp_channels_bury(struct amqp_server *server); /* frees those that are drained and have no number */

#endif
