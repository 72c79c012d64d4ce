/* A text of JSON written anew from its tokens, without white space: what was understood of it. */
#ifndef TESTS_JSON_AGAIN_H
#define TESTS_JSON_AGAIN_H

#include <stdlib.h>
#include <string.h>

#include "http/json_out.h"
#include "http/json_wire.h"

/* Writes tokens[i] and what is in it; the index behind it. Numbers keep their text. `bytes` has room for any string of the text. */
static inline unsigned json_again(struct json_out *o, const uint8_t *text, const struct json_token *tokens, unsigned i,
                                  const char *name, uint8_t *bytes)
{
    const struct json_token *t = &tokens[i];
    unsigned at = i + 1;
    switch ((enum json_type)t->type) {
    case JSON_STRING:
        json_put_text(o, name, (struct mr_span){bytes, json_string_decode(text, t, bytes)});
        break;
    case JSON_ARRAY:
        json_put_open(o, name, '[');
        for (uint32_t k = 0; k < t->count; k++)
            at = json_again(o, text, tokens, at, NULL, bytes);
        json_put_close(o, ']');
        break;
    case JSON_OBJECT:
        json_put_open(o, name, '{');
        for (uint32_t k = 0; k < t->count; k++) { /* a name may hold any character: it is written like a value */
            json_again(o, text, tokens, at, NULL, bytes);
            if (!o->failed && o->used < o->room)
                o->data[o->used++] = ':';
            else
                o->failed = true;
            o->comma = false;
            at = json_again(o, text, tokens, at + 1, NULL, bytes);
        }
        json_put_close(o, '}');
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        json_put_bool(o, name, t->type == JSON_TRUE);
        break;
    case JSON_NULL:
    case JSON_NUMBER: /* as it was */
        if (o->comma && o->used < o->room)
            o->data[o->used++] = ',';
        o->failed = o->failed || t->length > o->room - o->used;
        if (!o->failed) {
            memcpy(o->data + o->used, text + t->offset, t->length);
            o->used += t->length;
        }
        o->comma = true;
        break;
    }
    return at;
}

#endif
