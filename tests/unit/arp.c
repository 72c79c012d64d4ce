/* Neighbours in virtual time: resolution, waiting packets, ageing, failure, limits, and RFC 5227 for our own address. */
#include "stack/arp/arp.h"
#include "stack/core/mailbox.h"
#include "stack/ip4/ip4_wire.h"
#include "stack/route/route.h"
#include "tests/support/cmocka.h"
#include "tests/support/host.h"
#include "tests/support/tcp_recorder.h"

#define OURS  0xc6120002u /* 198.18.0.2 */
#define PEER  0xc6120001u
#define OTHER 0xc6120063u

static const uint8_t OUR_MAC[6] = {2, 0, 0, 0, 0, 2}, PEER_MAC[6] = {2, 0, 0, 0, 0, 1},
                     OTHER_MAC[6] = {2, 0, 0, 0, 0, 9};
static const uint8_t EVERYBODY[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, NOBODY[6];

static struct test_host host;

static int start(void **state)
{
    test_host_start(&host, "198.18.0.2/24", 0);
    test_host_settle(&host);
    return 0;
}

static int start_unsettled(void **state)
{
    test_host_start(&host, "198.18.0.2/24", 0);
    return 0;
}

static int stop(void **state)
{
    worker_check(host.w);
    test_host_stop(&host);
    return 0;
}

static struct frame *arp_frame(const uint8_t to[6], uint16_t operation, const uint8_t sender_mac[6], uint32_t sender,
                               const uint8_t target_mac[6], uint32_t target)
{
    static struct frame f;
    frame_begin(&f, to, sender_mac, 0x0806);
    frame_arp(&f, operation, sender_mac, sender, target_mac, target);
    return &f;
}

static struct frame *our_request(const uint8_t to[6], uint32_t target)
{
    return arp_frame(to, 1, OUR_MAC, OURS, NOBODY, target);
}

static struct frame *peer_reply(void)
{
    return arp_frame(OUR_MAC, 2, PEER_MAC, PEER, OUR_MAC, OURS);
}

/* A TCP-like segment of ours to `to` whose first four bytes are the ports 1000 and `mark`, then the sequence 7. */
static void send_marked(uint32_t to, uint16_t mark)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(host.pool);
    const uint8_t segment[20] = {1000 >> 8, 1000 & 0xff, (uint8_t)(mark >> 8), (uint8_t)mark, 0, 0, 0, 7};
    struct mr_address any = mr_address_any(), remote = mr_address_ip4(to);
    memcpy(rte_pktmbuf_append(m, sizeof segment), segment, sizeof segment);
    path_out(host.w, m, &any, &remote, &(struct path_options){.protocol = IP_TCP});
    test_host_turn(&host);
}

static uint16_t sent_mark(const uint8_t to_mac[6])
{
    uint8_t frame[128];
    size_t n = test_link_take(&host.link, frame, sizeof frame);
    assert_int_equal(n, 14 + 20 + 20);
    assert_memory_equal(frame, to_mac, 6);
    return frame_get_16(frame + 14 + 20 + 2);
}

static void unknown_neighbour_is_asked_and_what_waited_leaves_in_order(void **state)
{
    send_marked(PEER, 1);
    test_host_expect(&host, our_request(EVERYBODY, PEER));
    send_marked(PEER, 2);
    send_marked(PEER, 3);
    test_host_expect_nothing(&host);
    test_host_in(&host, peer_reply());
    for (uint16_t mark = 1; mark <= 3; mark++)
        assert_int_equal(sent_mark(PEER_MAC), mark);
    send_marked(PEER, 4); /* resolved now: at once */
    assert_int_equal(sent_mark(PEER_MAC), 4);
    test_host_expect_nothing(&host);
}

static void request_for_us_is_answered_and_its_sender_learned(void **state)
{
    test_host_in(&host, arp_frame(EVERYBODY, 1, PEER_MAC, PEER, NOBODY, OURS));
    test_host_expect(&host, arp_frame(PEER_MAC, 2, OUR_MAC, OURS, PEER_MAC, PEER));
    send_marked(PEER, 1);
    assert_int_equal(sent_mark(PEER_MAC), 1);
}

static void request_for_another_teaches_nothing(void **state)
{
    test_host_in(&host, arp_frame(EVERYBODY, 1, PEER_MAC, PEER, NOBODY, OTHER));
    test_host_expect_nothing(&host);
    assert_int_equal(host.w->arp->entries.used, 0);
    assert_int_equal(host.w->stat[DROP_arp_not_for_us], 1);
}

static void reply_that_nobody_asked_for_teaches_nothing(void **state)
{
    test_host_in(&host, peer_reply());
    test_host_in(&host, arp_frame(EVERYBODY, 1, PEER_MAC, PEER, NOBODY, PEER)); /* gratuitous */
    assert_int_equal(host.w->arp->entries.used, 0);
    assert_int_equal(host.w->stat[DROP_arp_unsolicited], 2);
}

static void stranger_from_another_prefix_is_answered_but_not_learned(void **state)
{
    test_host_in(&host, arp_frame(EVERYBODY, 1, PEER_MAC, 0x0a000001, NOBODY, OURS));
    test_host_expect(&host, arp_frame(PEER_MAC, 2, OUR_MAC, OURS, PEER_MAC, 0x0a000001));
    assert_int_equal(host.w->arp->entries.used, 0);
}

static void probe_for_our_address_is_answered_and_not_learned(void **state)
{
    test_host_in(&host, arp_frame(EVERYBODY, 1, PEER_MAC, 0, NOBODY, OURS));
    test_host_expect(&host, arp_frame(PEER_MAC, 2, OUR_MAC, OURS, PEER_MAC, 0));
    assert_int_equal(host.w->arp->entries.used, 0);
    assert_int_equal(host.w->stat[STAT_arp_conflicts], 0);
}

static void moved_neighbour_is_followed_by_cached_paths(void **state)
{
    test_host_learn(&host, PEER, PEER_MAC);
    send_marked(PEER, 1);
    assert_int_equal(sent_mark(PEER_MAC), 1);
    test_host_in(&host, arp_frame(EVERYBODY, 1, OTHER_MAC, PEER, NOBODY, PEER)); /* it announces its new MAC */
    send_marked(PEER, 2);
    assert_int_equal(sent_mark(OTHER_MAC), 2);
    assert_int_equal(host.w->stat[STAT_arp_changed], 1);
}

static void silent_neighbour_is_asked_three_times_then_reported(void **state)
{
    mr_time asked = host.clock.now;
    send_marked(PEER, 80);
    for (unsigned i = 0; i < 3; i++) {
        test_host_expect(&host, our_request(EVERYBODY, PEER));
        test_host_expect_nothing(&host);
        assert_int_equal(tcp_record.errors, 0);
        test_host_pass(&host, MR_SECOND + MR_MILLISECOND);
    }
    test_host_expect_nothing(&host);
    assert_true(host.clock.now - asked < 4 * MR_SECOND);
    assert_int_equal(host.w->stat[DROP_arp_unresolved], 1);
    assert_int_equal(host.w->arp->entries.used, 0);
    assert_int_equal(tcp_record.errors, 1);
    assert_int_equal(tcp_record.type, 3);
    assert_int_equal(tcp_record.code, 1);
    assert_int_equal(tcp_record.sequence, 7);
    assert_int_equal(tcp_record.local.port, 1000);
    assert_int_equal(tcp_record.remote.port, 80);
    assert_int_equal(mr_address_to_ip4(&tcp_record.local.address), OURS);
    assert_int_equal(mr_address_to_ip4(&tcp_record.remote.address), PEER);
    send_marked(PEER, 81); /* starts over */
    test_host_expect(&host, our_request(EVERYBODY, PEER));
}

static void waiting_packets_are_bounded_per_neighbour_and_in_all(void **state)
{
    for (uint16_t i = 0; i < ARP_QUEUE + 3; i++)
        send_marked(PEER, i);
    assert_int_equal(host.w->stat[DROP_arp_queue_full], 3);
    for (unsigned host_part = 100; host_part < 100 + ARP_QUEUE_TOTAL / ARP_QUEUE; host_part++)
        for (unsigned i = 0; i < ARP_QUEUE; i++)
            send_marked(0xc6120000 + host_part, 1);
    assert_int_equal(host.w->arp->queued, ARP_QUEUE_TOTAL);
    assert_int_equal(host.w->stat[DROP_arp_queue_full], 3 + ARP_QUEUE);
    arp_check(host.w);
    test_link_empty(&host.link);
    test_host_in(&host, peer_reply());
    for (uint16_t i = 0; i < ARP_QUEUE; i++)
        assert_int_equal(sent_mark(PEER_MAC), i);
}

static void unused_neighbour_is_forgotten_after_a_minute(void **state)
{
    test_host_learn(&host, PEER, PEER_MAC);
    test_host_pass(&host, 59 * MR_SECOND);
    assert_int_equal(host.w->arp->entries.used, 1);
    test_host_pass(&host, 2 * MR_SECOND);
    assert_int_equal(host.w->arp->entries.used, 0);
    assert_int_equal(host.w->stat[STAT_arp_expired], 1);
    test_host_expect_nothing(&host);
}

/* Sends once a second for `seconds`; everything must reach `mac` at once but for the ARP requests, which are counted. */
static unsigned send_for(unsigned seconds, const uint8_t mac[6])
{
    unsigned requests = 0;
    for (unsigned i = 0; i < seconds; i++) {
        uint8_t frame[128];
        send_marked(PEER, 5);
        test_host_pass(&host, MR_SECOND);
        unsigned data = 0;
        while (test_link_take(&host.link, frame, sizeof frame)) {
            bool arp = frame_get_16(frame + 12) == 0x0806;
            requests += arp;
            data += !arp && memcmp(frame, mac, 6) == 0;
        }
        assert_int_equal(data, 1);
    }
    return requests;
}

static void neighbour_in_use_is_verified_by_unicast_without_a_pause(void **state)
{
    test_host_learn(&host, PEER, PEER_MAC);
    assert_int_equal(send_for(61, PEER_MAC), 1); /* by the cached path, which must count as use */
    test_host_in(&host, peer_reply());
    assert_int_equal(send_for(59, PEER_MAC), 0);
}

static void verification_goes_to_the_station_first_and_then_to_all(void **state)
{
    test_host_learn(&host, PEER, PEER_MAC);
    send_marked(PEER, 1);
    assert_int_equal(sent_mark(PEER_MAC), 1);
    test_host_pass(&host, 60 * MR_SECOND + MR_MILLISECOND);
    test_host_expect(&host, our_request(PEER_MAC, PEER));
    test_host_pass(&host, MR_SECOND + MR_MILLISECOND);
    test_host_expect(&host, our_request(EVERYBODY, PEER));
    test_host_pass(&host, MR_SECOND + MR_MILLISECOND);
    test_host_expect(&host, our_request(EVERYBODY, PEER));
    test_host_pass(&host, MR_SECOND + MR_MILLISECOND);
    test_host_expect_nothing(&host);
    assert_int_equal(host.w->arp->entries.used, 0);
    send_marked(PEER, 2); /* the cached path died with the entry */
    test_host_expect(&host, our_request(EVERYBODY, PEER));
}

static void neighbour_resolved_for_a_packet_counts_as_used(void **state)
{
    send_marked(PEER, 1);
    test_host_in(&host, peer_reply());
    test_link_empty(&host.link);
    test_host_pass(&host, 60 * MR_SECOND + MR_MILLISECOND);
    test_host_expect(&host, our_request(PEER_MAC, PEER));
}

static void cached_path_dies_with_its_neighbour(void **state)
{
    test_host_learn(&host, PEER, PEER_MAC);
    send_marked(PEER, 1);
    assert_int_equal(sent_mark(PEER_MAC), 1);
    arp_entry_delete(host.w, arp_find(host.w, host.netif, PEER));
    send_marked(PEER, 2);
    test_host_expect(&host, our_request(EVERYBODY, PEER));
}

static void strangers_fill_three_quarters_of_the_table_at_most(void **state)
{
    struct arp *a = host.w->arp;
    struct mr_address second = mr_address_ip4(0x0a000001);
    assert_int_equal(netif_add_address(host.w, host.netif, &second, 8), MR_OK);
    for (uint32_t i = 0; i < a->entries.limit + 10; i++)
        test_host_learn(&host, 0x0a010000 + i, PEER_MAC);
    assert_int_equal(a->entries.used, a->entries.limit * 3 / 4);
    assert_int_equal(host.w->stat[STAT_arp_not_learned], a->entries.limit / 4 + 10);
    arp_check(host.w);
}

static void unresolved_neighbours_take_half_of_the_table_at_most(void **state)
{
    struct arp *a = host.w->arp;
    struct mr_address second = mr_address_ip4(0x0a000001);
    assert_int_equal(netif_add_address(host.w, host.netif, &second, 8), MR_OK);
    for (uint32_t i = 0; i < a->entries.limit; i++) {
        send_marked(0x0a010000 + i, 1);
        test_link_empty(&host.link);
    }
    assert_int_equal(a->incomplete, a->entries.limit / 2);
    assert_int_equal(host.w->stat[DROP_arp_table_full], a->entries.limit / 2);
    test_host_learn(&host, PEER, PEER_MAC); /* who asks for us still gets in */
    assert_non_null(arp_find(host.w, host.netif, PEER));
    arp_check(host.w);
}

static void full_table_gives_up_an_idle_neighbour_for_a_new_one(void **state)
{
    struct arp *a = host.w->arp;
    struct mr_address second = mr_address_ip4(0x0a000001);
    assert_int_equal(netif_add_address(host.w, host.netif, &second, 8), MR_OK);
    for (uint32_t i = 0; i < a->entries.limit + 1; i++) {
        test_host_pass(&host, MR_MILLISECOND);
        send_marked(0x0a010000 + i, 1);
        test_host_in(&host, arp_frame(OUR_MAC, 2, PEER_MAC, 0x0a010000 + i, OUR_MAC, 0x0a000001));
        test_link_empty(&host.link);
    }
    assert_int_equal(a->entries.used, a->entries.limit);
    assert_int_equal(host.w->stat[STAT_arp_evicted], 1);
    assert_non_null(arp_find(host.w, host.netif, 0x0a010000 + a->entries.limit));
    arp_check(host.w);
}

static void new_address_is_probed_three_times_and_announced_twice(void **state)
{
    mr_time started = host.clock.now, last = 0;
    for (unsigned i = 0; i < 5; i++) {
        while (!test_link_sent(&host.link) && host.clock.now < started + 20 * MR_SECOND)
            test_host_pass(&host, 10 * MR_MILLISECOND);
        test_host_expect(&host, arp_frame(EVERYBODY, 1, OUR_MAC, i < 3 ? 0 : OURS, NOBODY, OURS));
        mr_time gap = host.clock.now - (last ? last : started), slack = 20 * MR_MILLISECOND;
        /* RFC 5227 1.1: PROBE_WAIT, then PROBE_MIN to PROBE_MAX, then ANNOUNCE_WAIT and ANNOUNCE_INTERVAL */
        mr_time minimum = i == 0 ? 0 : i < 3 ? MR_SECOND : 2 * MR_SECOND;
        mr_time maximum = i == 0 ? MR_SECOND : 2 * MR_SECOND;
        assert_in_range(gap + slack, minimum, maximum + 2 * slack);
        last = host.clock.now;
    }
    test_host_pass(&host, 60 * MR_SECOND);
    test_host_expect_nothing(&host);
}

static void address_serves_while_it_is_probed(void **state)
{
    test_host_in(&host, arp_frame(EVERYBODY, 1, PEER_MAC, PEER, NOBODY, OURS));
    test_host_expect(&host, arp_frame(PEER_MAC, 2, OUR_MAC, OURS, PEER_MAC, PEER));
}

static void station_that_had_the_address_first_is_not_fought(void **state)
{
    while (!test_link_sent(&host.link))
        test_host_pass(&host, 10 * MR_MILLISECOND);
    test_link_empty(&host.link);
    test_host_in(&host, arp_frame(OUR_MAC, 2, OTHER_MAC, OURS, OUR_MAC, 0)); /* the answer to our probe */
    assert_int_equal(host.w->stat[STAT_arp_conflicts], 1);
    assert_int_equal(host.w->stat[DROP_arp_conflict], 1);
    test_host_pass(&host, 30 * MR_SECOND);
    test_host_expect_nothing(&host); /* neither probes nor announcements */
}

static void two_that_probe_at_once_see_each_other(void **state)
{
    test_host_in(&host, arp_frame(EVERYBODY, 1, OTHER_MAC, 0, NOBODY, OURS));
    assert_int_equal(host.w->stat[STAT_arp_conflicts], 1);
    test_host_pass(&host, 30 * MR_SECOND);
    test_host_expect_nothing(&host);
}

static void held_address_is_defended_once_in_ten_seconds(void **state)
{
    const struct frame *announcement;
    for (unsigned i = 0; i < 5; i++) {
        test_host_in(&host, arp_frame(EVERYBODY, 1, OTHER_MAC, OURS, NOBODY, OURS));
        announcement = arp_frame(EVERYBODY, 1, OUR_MAC, OURS, NOBODY, OURS);
        if (i == 0)
            test_host_expect(&host, announcement);
        test_host_expect_nothing(&host);
        test_host_pass(&host, MR_SECOND);
    }
    test_host_pass(&host, 6 * MR_SECOND);
    test_host_in(&host, arp_frame(EVERYBODY, 1, OTHER_MAC, OURS, NOBODY, PEER));
    test_host_expect(&host, arp_frame(EVERYBODY, 1, OUR_MAC, OURS, NOBODY, OURS));
    assert_int_equal(host.w->stat[STAT_arp_conflicts], 6);
    assert_int_equal(host.w->arp->entries.used, 0); /* the other one is never learned under our address */
}

static void frames_of_our_own_are_no_conflict(void **state)
{
    test_host_in(&host, arp_frame(EVERYBODY, 1, OUR_MAC, OURS, NOBODY, OURS));
    assert_int_equal(host.w->stat[STAT_arp_conflicts], 0);
    assert_int_equal(host.w->stat[DROP_arp_own_sender], 1);
    test_host_expect_nothing(&host);
}

static void empty_pool_costs_the_answer_and_nothing_else(void **state)
{
    host.w->fail_packets_after = 0;
    test_host_in(&host, arp_frame(EVERYBODY, 1, PEER_MAC, PEER, NOBODY, OURS));
    test_host_expect_nothing(&host);
    assert_int_equal(host.w->stat[DROP_core_no_memory], 1);
    host.w->fail_packets_after = UINT32_MAX;
    test_host_in(&host, arp_frame(EVERYBODY, 1, PEER_MAC, PEER, NOBODY, OURS));
    test_host_expect(&host, arp_frame(PEER_MAC, 2, OUR_MAC, OURS, PEER_MAC, PEER));
}

#define SETTLED(f)   cmocka_unit_test_setup_teardown(f, start, stop)
#define UNSETTLED(f) cmocka_unit_test_setup_teardown(f, start_unsettled, stop)

/* A reply that another worker's queue received resolves the neighbour for the worker that asked. */
static void reply_at_another_worker_resolves_here(void **state)
{
    struct test_host other;
    test_host_start(&other, "198.18.0.2/24", 0);
    test_host_settle(&other);
    other.w->index = 1;
    struct worker_group *g = worker_group_create(2, 0);
    worker_group_join(g, host.w);
    worker_group_join(g, other.w);

    send_marked(PEER, 1);
    test_host_expect(&host, our_request(EVERYBODY, PEER));
    test_host_in(&other, peer_reply());
    test_host_turn(&host);
    assert_int_equal(sent_mark(PEER_MAC), 1);
    assert_int_equal(host.w->stat[STAT_arp_shared_in], 1);
    test_host_expect_nothing(&other);

    worker_group_leave(host.w);
    worker_group_leave(other.w);
    worker_group_destroy(g);
    test_host_stop(&other);
}

int main(void)
{
    mr_log_set_level(MR_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        SETTLED(unknown_neighbour_is_asked_and_what_waited_leaves_in_order),
        SETTLED(request_for_us_is_answered_and_its_sender_learned),
        SETTLED(request_for_another_teaches_nothing),
        SETTLED(reply_that_nobody_asked_for_teaches_nothing),
        SETTLED(stranger_from_another_prefix_is_answered_but_not_learned),
        SETTLED(probe_for_our_address_is_answered_and_not_learned),
        SETTLED(moved_neighbour_is_followed_by_cached_paths),
        SETTLED(silent_neighbour_is_asked_three_times_then_reported),
        SETTLED(waiting_packets_are_bounded_per_neighbour_and_in_all),
        SETTLED(unused_neighbour_is_forgotten_after_a_minute),
        SETTLED(neighbour_in_use_is_verified_by_unicast_without_a_pause),
        SETTLED(verification_goes_to_the_station_first_and_then_to_all),
        SETTLED(neighbour_resolved_for_a_packet_counts_as_used),
        SETTLED(reply_at_another_worker_resolves_here),
        SETTLED(cached_path_dies_with_its_neighbour),
        SETTLED(strangers_fill_three_quarters_of_the_table_at_most),
        SETTLED(unresolved_neighbours_take_half_of_the_table_at_most),
        SETTLED(full_table_gives_up_an_idle_neighbour_for_a_new_one),
        UNSETTLED(new_address_is_probed_three_times_and_announced_twice),
        UNSETTLED(address_serves_while_it_is_probed),
        UNSETTLED(station_that_had_the_address_first_is_not_fought),
        UNSETTLED(two_that_probe_at_once_see_each_other),
        SETTLED(held_address_is_defended_once_in_ten_seconds),
        SETTLED(frames_of_our_own_are_no_conflict),
        SETTLED(empty_pool_costs_the_answer_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
