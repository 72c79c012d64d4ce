/* The measured ratios as a plot: hit ratio over cache size, which is logarithmic; a line a policy, the optimum dashed.
 * The colours are those of Okabe and Ito (2008), which colour-blind people tell apart; each line has a mark of its own. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "tools/millrace/lab_cache.h"

#define WIDTH    880
#define HEIGHT   520
#define LEFT     70
#define RIGHT    680 /* of the plot; the legend follows */
#define TOP      70
#define BOTTOM   450
#define LINE     24 /* of the legend */
#define LABEL_PX 38 /* between labels of the x axis, at least */

static const char *const colors[] = {"#d55e00", "#0072b2", "#009e73", "#cc79a7",
                                     "#e69f00", "#56b4e9", "#8a8a8a", "#7f6000"};
#define COLORS (sizeof colors / sizeof *colors)

struct plot {
    const struct lab_cache *lab;
    FILE *out;
    unsigned order[LAB_SIZES_MAX]; /* sizes, the smallest first */
    double low, high;              /* logarithms of the sizes */
    double top;                    /* of the y axis, a ratio */
    double step;                   /* of its lines */
};

static void text_print(FILE *out, const char *text)
{
    for (; *text; text++) {
        static const struct escape {
            char c;
            const char *as;
        } escapes[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}};
        const char *as = NULL;
        for (unsigned i = 0; i < sizeof escapes / sizeof *escapes; i++)
            as = escapes[i].c == *text ? escapes[i].as : as;
        if (as)
            fputs(as, out);
        else
            fputc((unsigned char)*text < ' ' ? '?' : *text, out);
    }
}

static double x_of(const struct plot *p, unsigned size)
{
    double at = log((double)p->lab->sizes[size].entries), span = p->high - p->low;
    return span > 0 ? LEFT + 20 + (at - p->low) / span * (RIGHT - LEFT - 40) : (LEFT + RIGHT) / 2.0;
}

static double y_of(const struct plot *p, double ratio)
{
    return BOTTOM - ratio / p->top * (BOTTOM - TOP);
}

static void plot_scale(struct plot *p)
{
    const struct lab_cache *lab = p->lab;
    double best = 0;
    for (unsigned s = 0; s < lab->sizes_count; s++) {
        unsigned at = s;
        for (; at && lab->sizes[p->order[at - 1]].entries > lab->sizes[s].entries; at--)
            p->order[at] = p->order[at - 1];
        p->order[at] = s;
        best = fmax(best, lab_ratio(lab, lab->belady[s]));
    }
    p->low = log((double)lab->sizes[p->order[0]].entries);
    p->high = log((double)lab->sizes[p->order[lab->sizes_count - 1]].entries);
    p->step = best > 0.5 ? 0.1 : best > 0.2 ? 0.05 : best > 0.05 ? 0.02 : 0.005;
    p->top = fmin(1, fmax(ceil(best / p->step - 1e-9), 1) * p->step);
}

static void header_print(const struct plot *p)
{
    fprintf(p->out,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" viewBox=\"0 0 %d %d\" "
            "font-family=\"sans-serif\" font-size=\"13\" fill=\"#222\">\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"#fff\"/>\n<text x=\"%d\" y=\"30\" font-size=\"18\">Hit ratio: ",
            WIDTH, HEIGHT, WIDTH, HEIGHT, WIDTH, HEIGHT, LEFT);
    text_print(p->out, p->lab->trace_name);
    fprintf(p->out,
            "</text>\n<text x=\"%d\" y=\"50\" fill=\"#666\">%" PRIu64 " requests for %" PRIu32
            " distinct keys, seed %" PRIu64 "</text>\n",
            LEFT, p->lab->trace.requests, p->lab->trace.distinct, p->lab->seed);
}

static void axes_print(const struct plot *p)
{
    for (int i = 0; i * p->step <= p->top + 1e-9; i++) {
        double y = y_of(p, i * p->step);
        fprintf(p->out,
                "<line x1=\"%d\" y1=\"%.1f\" x2=\"%d\" y2=\"%.1f\" stroke=\"%s\"/>"
                "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.*f %%</text>\n",
                LEFT, y, RIGHT, y, i ? "#e4e4e4" : "#222", LEFT - 8, y + 4, p->step < 0.01, i * p->step * 100);
    }
    double labelled = -LABEL_PX;
    for (unsigned i = 0; i < p->lab->sizes_count; i++) {
        unsigned s = p->order[i];
        double x = x_of(p, s);
        fprintf(p->out, "<line x1=\"%.1f\" y1=\"%d\" x2=\"%.1f\" y2=\"%d\" stroke=\"#222\"/>", x, BOTTOM, x,
                BOTTOM + 5);
        if (x - labelled >= LABEL_PX) {
            char text[32];
            lab_size_print(text, p->lab, &p->lab->sizes[s]);
            fprintf(p->out, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%s</text>", x, BOTTOM + 21, text);
            labelled = x;
        }
        fputc('\n', p->out);
    }
    fprintf(
        p->out,
        "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">cache size, share of the distinct keys (log scale)</text>\n",
        (LEFT + RIGHT) / 2, BOTTOM + 48);
}

/* Mark number `kind` around a point, in a line's colour. */
static void mark_print(FILE *out, unsigned kind, double x, double y)
{
    switch (kind % 4) {
    case 0:
        fprintf(out, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4\"/>", x, y);
        break;
    case 1:
        fprintf(out, "<rect x=\"%.1f\" y=\"%.1f\" width=\"7\" height=\"7\"/>", x - 3.5, y - 3.5);
        break;
    case 2:
        fprintf(out, "<path d=\"M%.1f %.1fl4.5 8h-9z\"/>", x, y - 5);
        break;
    default:
        fprintf(out, "<path d=\"M%.1f %.1fl5 5l-5 5l-5-5z\"/>", x, y - 5);
    }
}

struct line {
    const char *label, *color, *dash;
    unsigned mark;
    bool marked;
    double ratio[LAB_SIZES_MAX];
};

static void line_print(const struct plot *p, const struct line *l)
{
    fprintf(p->out,
            "<g fill=\"%s\"><path fill=\"none\" stroke=\"%s\" stroke-width=\"2\" stroke-linejoin=\"round\"%s d=\"",
            l->color, l->color, l->dash);
    for (unsigned i = 0; i < p->lab->sizes_count; i++)
        fprintf(p->out, "%c%.1f %.1f", i ? 'L' : 'M', x_of(p, p->order[i]), y_of(p, l->ratio[p->order[i]]));
    fputs("\"/>", p->out);
    for (unsigned s = 0; s < p->lab->sizes_count && l->marked; s++)
        mark_print(p->out, l->mark, x_of(p, s), y_of(p, l->ratio[s]));
    fputs("</g>\n", p->out);
}

static void legend_print(const struct plot *p, const struct line *l, unsigned row)
{
    double y = TOP + 8 + row * LINE;
    fprintf(p->out, "<g fill=\"%s\"><path stroke=\"%s\" stroke-width=\"2\"%s d=\"M%d %.1fh30\"/>", l->color, l->color,
            l->dash, RIGHT + 18, y);
    if (l->marked)
        mark_print(p->out, l->mark, RIGHT + 33, y);
    fprintf(p->out, "</g><text x=\"%d\" y=\"%.1f\">%s</text>\n", RIGHT + 56, y + 4, l->label);
}

static struct line line_of(const struct lab_cache *lab, unsigned policy)
{
    struct line l = {lab_policy_label(lab->policies[policy]),
                     colors[policy % COLORS],
                     policy >= COLORS ? " stroke-dasharray=\"2 3\"" : "",
                     policy,
                     true,
                     {0}};
    for (unsigned s = 0; s < lab->sizes_count; s++)
        l.ratio[s] = lab_ratio(lab, lab->hits[s][policy]);
    return l;
}

/* The legend's order is that of the lines at the size in the middle, so that the eye finds them: best first. */
static void legend_order(const struct lab_cache *lab, const struct plot *p, unsigned order[LAB_POLICIES_MAX])
{
    unsigned middle = p->order[lab->sizes_count / 2];
    for (unsigned i = 0; i < lab->policies_count; i++) {
        unsigned at = i;
        for (; at && lab->hits[middle][order[at - 1]] < lab->hits[middle][i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
}

void lab_cache_print_svg(const struct lab_cache *lab, FILE *out)
{
    struct plot p = {.lab = lab, .out = out};
    unsigned order[LAB_POLICIES_MAX];
    plot_scale(&p);
    legend_order(lab, &p, order);
    header_print(&p);
    axes_print(&p);
    struct line bound = {.label = "Belady's optimum", .color = "#222", .dash = " stroke-dasharray=\"6 4\""};
    for (unsigned s = 0; s < lab->sizes_count; s++)
        bound.ratio[s] = lab_ratio(lab, lab->belady[s]);
    line_print(&p, &bound);
    legend_print(&p, &bound, 0);
    for (unsigned i = lab->policies_count; i-- > 0;) { /* the best on top */
        struct line l = line_of(lab, order[i]);
        line_print(&p, &l);
        legend_print(&p, &l, i + 1);
    }
    fputs("</svg>\n", out);
}
