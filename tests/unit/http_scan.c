/* The sets of services/http/scan.h against their definitions, byte by byte and at every alignment. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include "http/scan.h"

static bool is_token(int c)
{
    return c && (strchr("!#$%&'*+-.^_`|~", c) || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'));
}

static bool is_path(int c)
{
    return c >= 0x21 && c <= 0x7e && !strchr("\"#<>?%\\^`{}", c);
}

static void sets_equal_their_definitions(void **unused)
{
    for (int c = 0; c < 256; c++) {
        assert_int_equal(!!(http_scan_sets[c] & HTTP_SCAN_TOKEN), is_token(c));
        assert_int_equal(!!(http_scan_sets[c] & HTTP_SCAN_PATH), is_path(c));
        assert_int_equal(http_scan_is_field((uint8_t)c), (c >= 0x20 && c != 0x7f) || c == '\t');
    }
}

static void field_scan_stops_at_the_first_byte_outside(void **unused)
{
    for (size_t n = 0; n < 50; n++)
        for (size_t at = 0; at <= n; at++)
            for (int c = 0; c < 256; c += c < 0x21 || c > 0x7d ? 1 : 0x5c) {
                uint8_t text[64];
                memset(text, 'v', sizeof text);
                if (at < n)
                    text[at] = (uint8_t)c;
                uint8_t *exact = malloc(n ? n : 1); /* AddressSanitizer sees a read beyond it */
                memcpy(exact, text, n);
                size_t expected = at < n && !http_scan_is_field((uint8_t)c) ? at : n;
                assert_int_equal(http_scan_field(exact, exact + n) - exact, expected);
                free(exact);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_equal_their_definitions),
        cmocka_unit_test(field_scan_stops_at_the_first_byte_outside),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
