/* The Internet checksum against the examples of its RFCs. */
#include "tests/support/cmocka.h"

#include <arpa/inet.h>
#include <rte_mbuf.h>
#include <string.h>

#include "stack/base/checksum.h"
#include "tests/support/support.h"

static void sum_of_the_example_of_rfc_1071(void **state)
{
    /* RFC 1071 section 3: 00 01 f2 03 f4 f5 f6 f7 sums to ddf2. */
    (void)state;
    static const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(checksum_fold(checksum_add(0, bytes, sizeof bytes)), htons(0xddf2));
    assert_int_equal(checksum_finish(checksum_add(0, bytes, sizeof bytes)), htons(0x220d));
}

static void sum_of_nothing_and_of_one_byte(void **state)
{
    (void)state;
    uint8_t *guarded = support_guarded("\xab", 1);
    assert_int_equal(checksum_add(0, guarded + 1, 0), 0);
    assert_int_equal(checksum_fold(checksum_add(0, guarded, 1)), htons(0xab00));
    assert_int_equal(checksum_fold(checksum_add(0xffffffff, guarded, 1)), htons(0xab00));
    support_guarded_free(guarded, 1);
}

static void header_with_its_checksum_sums_to_all_ones(void **state)
{
    /* An IPv4 header as tcpdump shows it: 198.18.0.1 > 198.18.0.2, ICMP, checksum ab12. */
    (void)state;
    uint8_t header[20] = {0x45, 0, 0, 0x54, 0x12, 0x34, 0x40, 0, 64, 1, 0, 0, 198, 18, 0, 1, 198, 18, 0, 2};
    uint16_t checksum = checksum_finish(checksum_add(0, header, sizeof header));
    memcpy(header + 10, &checksum, sizeof checksum);
    assert_int_equal(checksum_fold(checksum_add(0, header, sizeof header)), 0xffff);
    assert_int_equal(checksum_finish(checksum_add(0, header, sizeof header)), 0);
}

static void longest_run_of_carries_is_kept(void **state)
{
    (void)state;
    static uint8_t ones[65535];
    memset(ones, 0xff, sizeof ones);
    assert_int_equal(checksum_fold(checksum_add(0xffffffff, ones, 65534)), 0xffff);
    assert_int_equal(checksum_fold(checksum_add(0, ones, 65535)), htons(0xff00));
}

static void pseudo_header_equals_its_bytes(void **state)
{
    /* RFC 9293 3.1: addresses, zero, protocol, length. */
    (void)state;
    static const uint8_t bytes[] = {198, 18, 0, 1, 198, 18, 255, 2, 0, 6, 0x12, 0x34};
    assert_int_equal(checksum_fold(checksum_pseudo_ip4(0xc6120001, 0xc612ff02, 6, 0x1234)),
                     checksum_fold(checksum_add(0, bytes, sizeof bytes)));
}

static void update_of_the_example_of_rfc_1624(void **state)
{
    /* RFC 1624 section 4: checksum dd2f, word 5555 becomes 3285: 0000, not ffff. */
    (void)state;
    assert_int_equal(checksum_update(htons(0xdd2f), htons(0x5555), htons(0x3285)), 0);
}

static void chain_with_empty_pieces_and_offset_equals_its_bytes(void **state)
{
    (void)state;
    uint8_t bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    struct rte_mbuf m[4] = {{.buf_addr = bytes, .data_len = 3, .next = &m[1]},
                            {.buf_addr = bytes + 3, .data_len = 0, .next = &m[2]},
                            {.buf_addr = bytes + 3, .data_len = 5, .next = &m[3]},
                            {.buf_addr = bytes + 8, .data_len = 3}};
    for (size_t offset = 0; offset <= sizeof bytes; offset++)
        for (size_t n = 0; n <= sizeof bytes - offset; n++)
            assert_int_equal(checksum_fold(checksum_add_mbuf(7, m, offset, n)),
                             checksum_fold(checksum_add(7, bytes + offset, n)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sum_of_the_example_of_rfc_1071),
        cmocka_unit_test(sum_of_nothing_and_of_one_byte),
        cmocka_unit_test(header_with_its_checksum_sums_to_all_ones),
        cmocka_unit_test(longest_run_of_carries_is_kept),
        cmocka_unit_test(pseudo_header_equals_its_bytes),
        cmocka_unit_test(update_of_the_example_of_rfc_1624),
        cmocka_unit_test(chain_with_empty_pieces_and_offset_equals_its_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
