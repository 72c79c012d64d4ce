#include "http/date.h"

#include <string.h>

static const char days[] = "SunMonTueWedThuFriSat";
static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

struct civil {
    int64_t year;
    unsigned month, day; /* 1.. */
};

/* Days since 1970-01-01 in the Gregorian calendar, counted in eras of 400 years that begin in March, so that the leap
 * day is the last of a year (Howard Hinnant, "chrono-compatible low-level date algorithms"). */
static int64_t days_from_civil(struct civil c)
{
    int64_t y = c.year - (c.month <= 2);
    int64_t era = y / 400;
    int64_t year_of_era = y - era * 400;
    int64_t day_of_year = (153 * (c.month + (c.month > 2 ? -3 : 9)) + 2) / 5 + c.day - 1;
    return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static struct civil civil_from_days(int64_t z)
{
    z += 719468;
    int64_t era = z / 146097;
    int64_t day_of_era = z - era * 146097;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153;
    unsigned month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    return (struct civil){year_of_era + era * 400 + (month <= 2), month,
                          (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1)};
}

static void put2(char *p, unsigned v)
{
    p[0] = (char)('0' + v / 10 % 10);
    p[1] = (char)('0' + v % 10);
}

void http_date_format(int64_t seconds, char *text)
{
    if (seconds < 0)
        seconds = 0; /* a file dated before the epoch */
    int64_t day = seconds / 86400;
    unsigned rest = (unsigned)(seconds % 86400);
    struct civil c = civil_from_days(day);
    memcpy(text, "Thu, 01 Jan 1970 00:00:00 GMT", HTTP_DATE_BYTES);
    memcpy(text, days + (day + 4) % 7 * 3, 3);
    put2(text + 5, c.day);
    memcpy(text + 8, months + (c.month - 1) * 3, 3);
    put2(text + 12, (unsigned)(c.year / 100));
    put2(text + 14, (unsigned)(c.year % 100));
    put2(text + 17, rest / 3600);
    put2(text + 20, rest / 60 % 60);
    put2(text + 23, rest % 60);
}

/* One form as a pattern: 'w' a letter, 'D' 'Y' 'H' 'M' 'S' a digit of that number, 'm' a letter of the month,
 * 'd' a digit of the day or a space; all else stands for itself. */
struct scan {
    unsigned day, year, hour, minute, second, month;
};

static bool scan_digit(char kind, uint8_t c, struct scan *s)
{
    unsigned *into = kind == 'D' || kind == 'd' ? &s->day
                     : kind == 'Y'              ? &s->year
                     : kind == 'H'              ? &s->hour
                     : kind == 'M'              ? &s->minute
                                                : &s->second;
    if (kind == 'd' && c == ' ')
        return true;
    if (c < '0' || c > '9')
        return false;
    *into = *into * 10 + (c - '0');
    return true;
}

static bool scan_form(const char *form, const uint8_t *p, struct scan *s)
{
    char month[3];
    unsigned letters = 0;
    *s = (struct scan){0};
    for (; *form; form++, p++) {
        if (strchr("DdYHMS", *form)) {
            if (!scan_digit(*form, *p, s))
                return false;
        } else if (*form == 'm') {
            month[letters++] = (char)*p;
        } else if (*form == 'w') {
            if ((*p | 0x20) < 'a' || (*p | 0x20) > 'z')
                return false;
        } else if ((uint8_t)*form != *p) {
            return false;
        }
    }
    for (unsigned m = 0; m < 12; m++)
        if (memcmp(months + m * 3, month, 3) == 0)
            s->month = m + 1;
    return s->month != 0;
}

static bool scan_any(struct mr_span text, int64_t now, struct scan *s)
{
    if (text.length == HTTP_DATE_BYTES)
        return memcmp(text.data + 26, "GMT", 3) == 0 && scan_form("www, DD mmm YYYY HH:MM:SS ", text.data, s);
    if (text.length == 24) /* asctime: "Sun Nov  6 08:49:37 1994" */
        return scan_form("www mmm dd HH:MM:SS YYYY", text.data, s);
    /* RFC 850: "Sunday, 06-Nov-94 08:49:37 GMT": 24 bytes behind the comma, the day's name before it */
    const uint8_t *comma = memchr(text.data, ',', text.length);
    if (!comma || text.length - (size_t)(comma - text.data) != 24 || memcmp(comma + 21, "GMT", 3) != 0 ||
        !scan_form(", DD-mmm-YY HH:MM:SS ", comma, s))
        return false;
    unsigned this_year = (unsigned)civil_from_days(now / 86400).year;
    s->year += this_year / 100 * 100;
    if (s->year > this_year + 50) /* RFC 9110 5.6.7: more than 50 years ahead is the past */
        s->year -= 100;
    return true;
}

bool http_date_parse(struct mr_span text, int64_t now, int64_t *seconds)
{
    struct scan s;
    if (text.length < 24 || text.length > 33 || !scan_any(text, now, &s))
        return false;
    if (s.year < 1970 || s.day < 1 || s.day > 31 || s.hour > 23 || s.minute > 59 || s.second > 60)
        return false;
    *seconds =
        days_from_civil((struct civil){s.year, s.month, s.day}) * 86400 + s.hour * 3600 + s.minute * 60 + s.second;
    return true;
}
