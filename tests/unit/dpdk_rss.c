/* What a device does with flows is read back from it: DPDK's null device keeps a key and a redirection table as cards do. */
#include <rte_dev.h>
#include <string.h>

#include "drivers/dpdk/port.h"
#include "tests/support/cmocka.h"
#include "tests/support/support.h"

#define QUEUES    4
#define KEY_BYTES 40 /* of the null device */

static struct dpdk_port port;

static int start(void **state)
{
    port = (struct dpdk_port){.queues = QUEUES};
    if (rte_eal_hotplug_add("vdev", "net_null7", "") != 0 ||
        rte_eth_dev_get_port_by_name("net_null7", &port.port_id) != 0)
        return -1;
    for (uint16_t q = 0; q < QUEUES; q++)
        port.links[q] = (struct dpdk_link){.port = &port, .queue = q};
    struct rte_eth_conf conf = {.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS};
    return rte_eth_dev_configure(port.port_id, QUEUES, QUEUES, &conf) != 0 ||
           rte_eth_dev_info_get(port.port_id, &port.info) != 0;
}

static int stop(void **state)
{
    rte_eth_dev_close(port.port_id);
    return rte_eal_hotplug_remove("vdev", "net_null7");
}

static void key_set(uint8_t *key, uint64_t hashed)
{
    struct rte_eth_rss_conf conf = {.rss_key = key, .rss_key_len = KEY_BYTES, .rss_hf = hashed};
    assert_int_equal(rte_eth_dev_rss_hash_update(port.port_id, &conf), 0);
}

/* Entry i leads to queue i modulo `queues`. */
static void table_set(unsigned queues)
{
    struct rte_eth_rss_reta_entry64 groups[MR_LINK_RETA_MAX / RTE_ETH_RETA_GROUP_SIZE];
    for (unsigned i = 0; i < port.info.reta_size; i++) {
        groups[i / RTE_ETH_RETA_GROUP_SIZE].mask = UINT64_MAX;
        groups[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)(i % queues);
    }
    assert_int_equal(rte_eth_dev_rss_reta_update(port.port_id, groups, port.info.reta_size), 0);
}

static void each_queue_knows_key_table_and_its_own_number(void **state)
{
    uint8_t key[RSS_KEY_MAX];
    for (unsigned i = 0; i < sizeof key; i++)
        key[i] = (uint8_t)(17 * i + 3);
    key_set(key, RTE_ETH_RSS_NONFRAG_IPV4_TCP);
    table_set(QUEUES);
    assert_true(rss_read(&port));
    for (unsigned q = 0; q < QUEUES; q++) {
        const struct mr_link_rss *rss = &port.links[q].rss;
        assert_int_equal(rss->queue, q);
        assert_true(rss->tcp);
        assert_false(rss->udp);
        assert_int_equal(rss->key_bytes, KEY_BYTES);
        assert_memory_equal(rss->key, key, rss->key_bytes);
        assert_int_equal(rss->reta_entries, port.info.reta_size);
        for (unsigned i = 0; i < rss->reta_entries; i++)
            assert_int_equal(rss->reta[i], i % QUEUES);
    }
}

static void what_cannot_be_used_is_not_believed(void **state)
{
    uint8_t key[RSS_KEY_MAX] = {1};
    key_set(key, RTE_ETH_RSS_NONFRAG_IPV4_TCP);
    table_set(QUEUES);
    port.queues = QUEUES - 1; /* one of those in the table is not ours */
    assert_false(rss_read(&port));
    port.queues = QUEUES;
    assert_true(rss_read(&port));
    key_set(key, RTE_ETH_RSS_IPV4); /* addresses alone: no port changes anything */
    assert_false(rss_read(&port));
    key_set(key, RTE_ETH_RSS_NONFRAG_IPV4_TCP);
    port.queues = 1;
    assert_false(rss_read(&port));
    port.queues = QUEUES;
    port.info.hash_key_size = 8; /* too short for addresses and ports */
    assert_false(rss_read(&port));
    port.info.hash_key_size = 0;
    memset(key, 0, sizeof key);
    key_set(key, RTE_ETH_RSS_NONFRAG_IPV4_TCP);
    assert_false(rss_read(&port));
}

int main(void)
{
    support_start_dpdk(128);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_queue_knows_key_table_and_its_own_number, start, stop),
        cmocka_unit_test_setup_teardown(what_cannot_be_used_is_not_believed, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
