/* The program that spreads a tap device's flows against the Toeplitz hash that the stack reckons with: run by the kernel on frames of every
 * kind. Without the right to load it the test is skipped. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "drivers/dpdk/steer.h"
#include "stack/base/toeplitz.h"
#include "tests/support/cmocka.h"

#define FRAME_MAX 256

static int program;
static uint8_t key[64];

static int load(void **state)
{
    for (size_t i = 0; i < sizeof key; i++)
        key[i] = i % 2 ? 0x5a : 0x6d;
    program = steer_program_load(BPF_PROG_TYPE_SCHED_CLS); /* tun's type is not shown whole frames when it is run so */
    if (program < 0)
        printf("# skipped: %s\n", strerror(errno));
    return 0;
}

static uint32_t run(const uint8_t *frame, size_t n)
{
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.test.prog_fd = (uint32_t)program;
    attr.test.data_in = (uint64_t)(uintptr_t)frame;
    attr.test.data_size_in = (uint32_t)n;
    assert_int_equal(syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof attr), 0);
    return attr.test.retval;
}

static uint32_t hash(const uint8_t *addresses, const uint8_t *ports)
{
    uint32_t h = toeplitz_hash(key, 0, addresses, 8);
    return (ports ? h ^ toeplitz_hash(key, 8, ports, 4) : h) & 127;
}

/* An IPv4 frame with so many words of options. */
static uint8_t *frame_make(uint8_t frame[FRAME_MAX], uint8_t protocol, unsigned options, uint16_t fragment,
                           unsigned *seed)
{
    for (size_t i = 0; i < FRAME_MAX; i++)
        frame[i] = (uint8_t)rand_r(seed);
    frame[12] = 8;
    frame[13] = 0;
    frame[14] = (uint8_t)(0x45 + options);
    frame[20] = (uint8_t)(fragment >> 8);
    frame[21] = (uint8_t)fragment;
    frame[23] = protocol;
    return frame;
}

/* TCP and UDP by addresses and ports, behind options as well; all else of IPv4 by its addresses. */
static void frame_goes_where_the_hash_says(void **state)
{
    static const uint8_t protocols[] = {6, 17, 1, 47};
    static const uint16_t fragments[] = {0, 0x4000, 0x2000, 0x0123};
    uint8_t frame[FRAME_MAX];
    unsigned seed = 1;
    if (program < 0)
        skip();
    for (unsigned i = 0; i < 2000; i++) {
        unsigned options = i % 11;
        uint8_t protocol = protocols[(unsigned)rand_r(&seed) % 4];
        uint16_t fragment = fragments[(unsigned)rand_r(&seed) % 4];
        frame_make(frame, protocol, options, fragment, &seed);
        bool ports = (protocol == 6 || protocol == 17) && (fragment & 0x3fff) == 0;
        uint32_t expected = hash(frame + 26, ports ? frame + 34 + 4 * options : NULL);
        assert_int_equal(run(frame, sizeof frame), expected);
    }
}

/* Both directions of a flow have one hash, so that a worker may take it for the other's. */
static void answer_goes_where_the_question_went(void **state)
{
    uint8_t frame[FRAME_MAX], answer[FRAME_MAX];
    unsigned seed = 2;
    if (program < 0)
        skip();
    for (unsigned i = 0; i < 200; i++) {
        frame_make(frame, 6, 0, 0x4000, &seed);
        memcpy(answer, frame, sizeof answer);
        memcpy(answer + 26, frame + 30, 4);
        memcpy(answer + 30, frame + 26, 4);
        memcpy(answer + 34, frame + 36, 2);
        memcpy(answer + 36, frame + 34, 2);
        assert_int_equal(run(frame, sizeof frame), run(answer, sizeof answer));
    }
}

/* Frames that end early, or are something else, come to the first queue. */
static void frame_of_another_kind_goes_to_the_first_queue(void **state)
{
    uint8_t frame[FRAME_MAX];
    unsigned seed = 3;
    if (program < 0)
        skip();
    frame_make(frame, 6, 0, 0, &seed);
    for (size_t n = 34; n < 38; n++) /* the kernel runs none without a whole IP header */
        assert_int_equal(run(frame, n), 0);
    frame[12] = 0x86;
    frame[13] = 0xdd;
    assert_int_equal(run(frame, sizeof frame), 0);
}

/* Ports in a row, as Linux gives every other one to a client's connects, are spread over two queues and over three. */
static void ports_in_a_row_are_spread(void **state)
{
    uint8_t frame[FRAME_MAX];
    unsigned seed = 4;
    if (program < 0)
        skip();
    frame_make(frame, 6, 0, 0, &seed);
    for (unsigned queues = 2; queues <= 4; queues++) {
        unsigned of[4] = {0};
        for (unsigned i = 0; i < 4000; i++) {
            uint16_t port = htons((uint16_t)(32768 + 2 * i));
            memcpy(frame + 34, &port, 2);
            of[run(frame, sizeof frame) % queues]++;
        }
        for (unsigned q = 0; q < queues; q++)
            assert_in_range(of[q], 4000 / queues - 400, 4000 / queues + 400);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frame_goes_where_the_hash_says),
        cmocka_unit_test(answer_goes_where_the_question_went),
        cmocka_unit_test(frame_of_another_kind_goes_to_the_first_queue),
        cmocka_unit_test(ports_in_a_row_are_spread),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
