/* Any answer of a service as a person reads it: single values a line each, lists of objects as tables, lists of texts as lines. */
#include <string.h>

#include "tools/millrace/format.h"

#define CELL_MAX    256
#define COLUMNS_MAX 64

/* Peers choose some of these texts (bodies, names): no byte may end the line or drive a terminal, C1 controls (ECMA-48) included. What is
 * cut ends in "...", at the end of a character. */
static void text_take(const char *from, char *text)
{
    size_t n = 0;
    for (; from[n] && n < CELL_MAX - 1; n++) {
        const unsigned char *p = (const unsigned char *)from + n;
        bool c1 = (p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0) || (n && p[-1] == 0xc2 && p[0] >= 0x80 && p[0] < 0xa0);
        text[n] = *p < ' ' || *p == 0x7f || c1 ? '.' : from[n];
    }
    if (from[n]) {
        n -= sizeof "..." - 1;
        while (n && (from[n] & 0xc0) == 0x80)
            n--;
        memcpy(text + n, "...", 3);
        n += 3;
    }
    text[n] = 0;
}

static const char *cell_text(const json_t *value, char *text)
{
    if (json_is_string(value))
        text_take(json_string_value(value), text);
    else if (json_is_integer(value))
        snprintf(text, CELL_MAX, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_real(value))
        snprintf(text, CELL_MAX, "%.4g", json_real_value(value));
    else if (json_is_boolean(value))
        snprintf(text, CELL_MAX, "%s", json_is_true(value) ? "yes" : "no");
    else
        snprintf(text, CELL_MAX, "-"); /* left out in this row */
    return text;
}

struct column {
    const char *name;
    int width;
    bool number; /* to the right, where all are numbers */
};

/* Characters, for alignment: bytes that do not continue one (RFC 3629 3). */
static int text_width(const char *text)
{
    int width = 0;
    for (; *text; text++)
        width += (*text & 0xc0) != 0x80;
    return width;
}

static unsigned find_column(struct column *columns, unsigned *count, const char *name)
{
    unsigned i = 0;
    while (i < *count && strcmp(columns[i].name, name))
        i++;
    if (i == *count && *count < COLUMNS_MAX)
        columns[(*count)++] = (struct column){name, text_width(name), true};
    return i;
}

/* Every key of every row, in the order in which they first come. */
static unsigned find_columns(const json_t *rows, struct column *columns)
{
    char text[CELL_MAX];
    unsigned count = 0;
    for (size_t i = 0; i < json_array_size(rows); i++) {
        const char *name;
        json_t *value;
        json_object_foreach(json_array_get(rows, i), name, value)
        {
            unsigned k = find_column(columns, &count, name);
            int width = text_width(cell_text(value, text));
            if (k == COLUMNS_MAX)
                continue;
            columns[k].width = width > columns[k].width ? width : columns[k].width;
            columns[k].number &= json_is_number(value);
        }
    }
    return count;
}

/* The last of a line is not padded. */
static void print_cell(const char *text, const struct column *c, bool last, FILE *out)
{
    int room = c->width - text_width(text);
    if (c->number)
        fprintf(out, "  %*s%s", room, "", text);
    else
        fprintf(out, "  %s%*s", text, last ? 0 : room, "");
}

static void print_table(const json_t *rows, FILE *out)
{
    struct column columns[COLUMNS_MAX];
    char text[CELL_MAX];
    unsigned count = find_columns(rows, columns);
    for (unsigned k = 0; k < count; k++)
        print_cell(columns[k].name, &columns[k], k + 1 == count, out);
    fputc('\n', out);
    for (size_t i = 0; i < json_array_size(rows); i++) {
        for (unsigned k = 0; k < count; k++)
            print_cell(cell_text(json_object_get(json_array_get(rows, i), columns[k].name), text), &columns[k],
                       k + 1 == count, out);
        fputc('\n', out);
    }
}

static void print_list(const char *name, const json_t *list, FILE *out)
{
    char text[CELL_MAX];
    fprintf(out, "%s:%s\n", name, json_array_size(list) ? "" : " none");
    if (json_is_object(json_array_get(list, 0))) {
        print_table(list, out);
        return;
    }
    for (size_t i = 0; i < json_array_size(list); i++)
        fprintf(out, "  %s\n", cell_text(json_array_get(list, i), text));
}

static void print_object(const char *name, const json_t *object, FILE *out)
{
    const char *key;
    char text[CELL_MAX];
    json_t *value;
    fprintf(out, "%s:\n", name);
    json_object_foreach((json_t *)object, key, value) fprintf(out, "  %-16s %s\n", key, cell_text(value, text));
}

void format_answer(const json_t *answer, FILE *out)
{
    const char *name;
    char text[CELL_MAX];
    json_t *value;
    json_object_foreach((json_t *)answer, name, value)
    {
        if (!strcmp(name, "ok"))
            continue;
        if (json_is_array(value))
            print_list(name, value, out);
        else if (json_is_object(value))
            print_object(name, value, out);
        else
            fprintf(out, "%s: %s\n", name, cell_text(value, text));
    }
}
