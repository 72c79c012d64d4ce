/* For json_python.py: each line of standard input is a text in hexadecimal; it is parsed and written again, or "invalid". */
#include <stdio.h>

#include "tests/support/json_again.h"

#define BYTES_MAX (1u << 16)

int main(void)
{
    static uint8_t in[BYTES_MAX], bytes[BYTES_MAX];
    static char out[BYTES_MAX * 6];
    static struct json_token tokens[4096];
    char *line = NULL;
    size_t room = 0;
    for (ssize_t got; (got = getline(&line, &room, stdin)) > 0;) {
        size_t n = (size_t)got / 2;
        for (size_t i = 0; i < n; i++)
            in[i] = (uint8_t)strtoul((char[]){line[2 * i], line[2 * i + 1], 0}, NULL, 16);
        struct json_out o = {.data = out, .room = sizeof out};
        if (json_parse(in, n, tokens, 4096) > 0) {
            json_again(&o, in, tokens, 0, NULL, bytes);
            printf("%.*s\n", (int)o.used, out);
        } else {
            puts("invalid");
        }
    }
    free(line);
    return 0;
}
