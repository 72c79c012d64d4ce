/* Text that is made on the control thread: JSON of an answer, or the line that says what was wrong. */
#ifndef SERVICES_ANSWER_ANSWER_H
#define SERVICES_ANSWER_ANSWER_H

#include <millrace/address.h>
#include <millrace/types.h>

/* Members and elements follow one another; commas and escapes are made here. Without memory everything is ignored, and the end gives NULL. */
struct control_answer {
    char *text;
    size_t used, size;
    bool comma, failed;
};

void control_answer_open(struct control_answer *a, const char *name,
                         char bracket); /* '{' or '['; name NULL: in a list */
void control_answer_close(struct control_answer *a, char bracket);
void control_answer_text(struct control_answer *a, const char *name, const char *value); /* value NULL: left out */
void control_answer_span(struct control_answer *a, const char *name, struct mr_span value);
void control_answer_format(struct control_answer *a, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void control_answer_number(struct control_answer *a, const char *name, uint64_t value);
void control_answer_fraction(struct control_answer *a, const char *name, double value);
void control_answer_bool(struct control_answer *a, const char *name, bool value);
void control_answer_endpoint(struct control_answer *a, const char *name, const struct mr_endpoint *e);

/* The text, the caller's to free. */
char *control_answer_end(struct control_answer *a);

/* A line from malloc, for what was wrong. */
char *control_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
