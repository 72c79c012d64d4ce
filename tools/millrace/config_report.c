#include "tools/millrace/config_report.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void config_report_init(struct config_report *r, const char *file)
{
    memset(r, 0, sizeof *r);
    r->file = file;
}

void config_report_add(struct config_report *r, struct config_mark mark, const char *format, ...)
{
    unsigned i = r->count++;
    if (i >= CONFIG_REPORT_MAX)
        return;
    r->error[i].mark = mark;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(r->error[i].message, CONFIG_MESSAGE_MAX, format, arguments);
    va_end(arguments);
    /* Text of the file is quoted in messages: what is not printable must not reach a terminal. */
    for (char *c = r->error[i].message; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
}

static bool stands_before(struct config_mark a, struct config_mark b)
{
    return a.line != b.line ? a.line < b.line : a.column < b.column;
}

/* Insertion sort: few, and equal marks keep the order in which they were found. */
static void sort_by_place(struct config_report *r, unsigned n)
{
    for (unsigned i = 1; i < n; i++)
        for (unsigned j = i; j > 0 && stands_before(r->error[j].mark, r->error[j - 1].mark); j--) {
            __typeof__(r->error[0]) swap = r->error[j];
            r->error[j] = r->error[j - 1];
            r->error[j - 1] = swap;
        }
}

void config_report_print(struct config_report *r, FILE *out)
{
    unsigned n = r->count < CONFIG_REPORT_MAX ? r->count : CONFIG_REPORT_MAX;
    sort_by_place(r, n);
    for (unsigned i = 0; i < n; i++) {
        struct config_mark m = r->error[i].mark;
        if (m.line)
            fprintf(out, "%s:%u:%u: %s\n", r->file, m.line, m.column, r->error[i].message);
        else
            fprintf(out, "%s: %s\n", r->file, r->error[i].message);
    }
    if (r->count > n)
        fprintf(out, "%s: %u more\n", r->file, r->count - n);
}

#define WORD_MAX 48

/* Levenshtein's distance by one row: insertions, deletions and substitutions cost 1. */
static unsigned edit_distance(const char *a, const char *b)
{
    unsigned row[WORD_MAX + 1];
    size_t n = strlen(b);
    for (unsigned j = 0; j <= n; j++)
        row[j] = j;
    for (unsigned i = 1; a[i - 1]; i++) {
        unsigned diagonal = row[0];
        row[0] = i;
        for (unsigned j = 1; j <= n; j++) {
            unsigned substituted = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            unsigned shifted = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            row[j] = substituted < shifted ? substituted : shifted;
        }
    }
    return row[n];
}

const char *config_nearest(const char *word, const char *const *names, unsigned n)
{
    size_t length = strlen(word);
    if (length == 0 || length > WORD_MAX)
        return NULL;
    unsigned best = (unsigned)length / 3 + 1; /* one edit for three letters, one more for luck */
    const char *nearest = NULL;
    for (unsigned i = 0; i < n; i++) {
        if (strlen(names[i]) > WORD_MAX)
            continue;
        unsigned d = edit_distance(word, names[i]);
        if (d < best || (d == best && !nearest && d < length)) {
            best = d;
            nearest = names[i];
        }
    }
    return nearest;
}
