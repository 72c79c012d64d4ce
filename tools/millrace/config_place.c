/* Where each value stands in the file. */
#include <stdlib.h>

#include "tools/millrace/config_load.h"

struct config_place {
    const void *value;
    struct config_mark mark;
};

struct config_mark config_mark_of(const struct config *c, const void *value)
{
    for (unsigned i = 0; i < c->place_count; i++)
        if (c->places[i].value == value)
            return c->places[i].mark;
    return (struct config_mark){0, 0};
}

void load_place(struct loader *l, const void *value, struct config_mark mark)
{
    struct config *c = l->config;
    if ((c->place_count & (c->place_count - 1)) == 0) { /* full at each power of two */
        unsigned room = c->place_count ? c->place_count * 2 : 1;
        struct config_place *places = realloc(c->places, room * sizeof *places);
        if (!places)
            return;
        c->places = places;
    }
    c->places[c->place_count++] = (struct config_place){value, mark};
}
