/* Port configuration: what is accepted, how it reads as device arguments, and what a wrong one is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <millrace/error.h>

#include "drivers/dpdk/kinds.h"

struct accepted {
    const char *kind;
    struct dpdk_parameter parameters[3];
    unsigned queues;
    const char *devargs;
};

static const struct accepted accepted_cases[] = {
    {"tap", {{"interface", "mr0"}}, 0, "iface=mr0"},
    {"tap", {{"interface", "mr0"}}, 4, "iface=mr0"},
    {"af_packet", {{"interface", "v1"}, {"qdisc_bypass", "no"}}, 2, "iface=v1,framecnt=1024,qdisc_bypass=0,qpairs=2"},
    {"af_xdp",
     {{"interface", "v1"}, {"force_copy", "yes"}},
     1,
     "iface=v1,start_queue=0,force_copy=1,busy_budget=0,queue_count=1"},
    {"memif",
     {{"socket", "/tmp/s"}, {"role", "client"}, {"id", "7"}},
     0,
     "socket=/tmp/s,role=client,id=7,zero-copy=no,rsize=10"},
    {"virtio_user", {{"path", "/tmp/s"}}, 0, "path=/tmp/s,queue_size=256,server=0,packed_vq=0,queues=1"},
    {"vhost", {{"path", "/tmp/s"}, {"client", "yes"}}, 0, "iface=/tmp/s,client=1,queues=1"},
    {"pcap", {{"receive", "a.pcap"}, {"transmit", "b.pcap"}}, 0, "rx_pcap=a.pcap,tx_pcap=b.pcap,infinite_rx=0"},
    {"pci", {{"address", "0000:03:00.0"}}, 8, ""},
    {"null", {{NULL, NULL}}, 0, "no-rx=1,size=64"},
    {"null", {{"generate", "yes"}, {"size", "1514"}}, 0, "no-rx=0,size=1514"},
};

static struct dpdk_port_config config_make(const char *kind, const struct dpdk_parameter *parameters, unsigned max)
{
    struct dpdk_port_config c = {.name = "p", .kind = kind};
    while (c.parameter_count < max && parameters[c.parameter_count].name) {
        c.parameters[c.parameter_count] = parameters[c.parameter_count];
        c.parameter_count++;
    }
    return c;
}

static void accepted_config_becomes_devargs(void **state)
{
    for (size_t i = 0; i < sizeof accepted_cases / sizeof *accepted_cases; i++) {
        const struct accepted *a = &accepted_cases[i];
        struct dpdk_port_config c = config_make(a->kind, a->parameters, 3);
        struct dpdk_complaint complaint;
        char devargs[256];
        c.queues = a->queues;
        if (dpdk_port_check(&c, &complaint) != MR_OK)
            fail_msg("case %zu: %s: %s", i, complaint.key, complaint.text);
        assert_true(kind_devargs(kind_find(a->kind), &c, devargs, sizeof devargs));
        assert_string_equal(devargs, a->devargs);
    }
}

static void devargs_longer_than_room_are_refused(void **state)
{
    struct dpdk_parameter p[] = {{"path", "/tmp/a-long-name-of-a-socket"}};
    struct dpdk_port_config c = config_make("vhost", p, 1);
    char devargs[64];
    for (size_t size = 1; size <= strlen("iface=/tmp/a-long-name-of-a-socket,client=0,queues=1"); size++)
        assert_false(kind_devargs(kind_find("vhost"), &c, devargs, size));
    assert_true(kind_devargs(kind_find("vhost"), &c, devargs, sizeof devargs));
}

struct refused {
    struct dpdk_port_config config;
    const char *key;  /* what is wrong */
    const char *text; /* somewhere in the sentence: what was expected */
};

static const struct refused refused_cases[] = {
    {{.name = "p", .kind = "tun"}, "kind", "expected one of tap, af_packet"},
    {{.name = "p"}, "kind", "expected one of"},
    {{.kind = "null"}, "name", "needs a name"},
    {{.name = "p", .kind = "tap"}, "interface", "missing"},
    {{.name = "p", .kind = "tap", .parameter_count = 1, .parameters = {{"iface", "mr0"}}},
     "iface",
     "no such parameter"},
    {{.name = "p", .kind = "tap", .parameter_count = 1, .parameters = {{"interface", ""}}},
     "interface",
     "1 to 15 characters"},
    {{.name = "p", .kind = "tap", .parameter_count = 1, .parameters = {{"interface", "sixteen-letters-"}}},
     "interface",
     "1 to 15 characters"},
    {{.name = "p", .kind = "tap", .parameter_count = 1, .parameters = {{"interface", "a/b"}}},
     "interface",
     "without /"},
    {{.name = "p", .kind = "tap", .parameter_count = 1, .parameters = {{"interface", "a,mac=fixed"}}},
     "interface",
     "without , ="},
    {{.name = "p", .kind = "vhost", .parameter_count = 1, .parameters = {{"path", "/tmp/a,b"}}}, "path", "without , ="},
    {{.name = "p", .kind = "memif", .parameter_count = 2, .parameters = {{"socket", "/s"}, {"role", "master"}}},
     "role",
     "server or client"},
    {{.name = "p", .kind = "memif", .parameter_count = 2, .parameters = {{"socket", "/s"}, {"role", ""}}},
     "role",
     "server or client"},
    {{.name = "p", .kind = "memif", .parameter_count = 2, .parameters = {{"socket", "/s"}, {"ring", "15"}}},
     "ring",
     "from 6 to 14"},
    {{.name = "p", .kind = "memif", .parameter_count = 2, .parameters = {{"socket", "/s"}, {"id", "-1"}}},
     "id",
     "from 0 to 4294967295"},
    {{.name = "p", .kind = "memif", .parameter_count = 2, .parameters = {{"socket", "/s"}, {"id", "7x"}}},
     "id",
     "a number"},
    {{.name = "p", .kind = "null", .queues = 2}, "queues", "has one queue"},
    {{.name = "p", .kind = "null", .queues = 65}, "queues", "1 to 64"},
    {{.name = "p", .kind = "null", .mtu = 67}, "mtu", "68 to 9600"},
    {{.name = "p", .kind = "null", .mtu = 9601}, "mtu", "68 to 9600"},
    {{.name = "p", .kind = "null", .rx_descriptors = 32769}, "rx_descriptors", "at most 32768"},
    {{.name = "p", .kind = "null", .tx_descriptors = 32769}, "tx_descriptors", "at most 32768"},
    {{.name = "p", .kind = "null", .mac = {1, 2, 3, 4, 5, 6}}, "mac", "first byte is even"},
};

static void refused_config_names_key_and_expectation(void **state)
{
    for (size_t i = 0; i < sizeof refused_cases / sizeof *refused_cases; i++) {
        struct dpdk_complaint complaint = {"", ""};
        assert_int_equal(dpdk_port_check(&refused_cases[i].config, &complaint), MR_ERROR_INVALID);
        assert_string_equal(complaint.key, refused_cases[i].key);
        if (!strstr(complaint.text, refused_cases[i].text))
            fail_msg("case %zu: '%s' lacks '%s'", i, complaint.text, refused_cases[i].text);
    }
}

static void every_kind_has_needs_and_example(void **state)
{
    unsigned count = 0;
    for (const char *name; (name = dpdk_kind_name(count)) != NULL; count++) {
        assert_non_null(dpdk_kind_needs(name));
        assert_non_null(strstr(dpdk_kind_example(name), name));
    }
    assert_int_equal(count, 9);
    assert_null(dpdk_kind_needs("none"));
}

static void packets_held_follow_the_descriptors(void **state)
{
    struct dpdk_port_config c = {.name = "p", .kind = "tap"};
    assert_int_equal(dpdk_port_packets(&c), 512);
    c.rx_descriptors = 1024;
    assert_int_equal(dpdk_port_packets(&c), 1280);
    c.kind = "af_xdp";
    assert_int_equal(dpdk_port_packets(&c), 4096);
    c.kind = "null";
    assert_int_equal(dpdk_port_packets(&c), 0);
}

static char *doctor_say(const struct dpdk_eal_config *config, unsigned *errors)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_non_null(out);
    *errors = dpdk_doctor(config, out);
    fclose(out);
    return text;
}

static void doctor_names_each_error_and_its_remedy(void **state)
{
    const struct dpdk_port_config ports[] = {
        {.name = "good", .kind = "null"},
        {.name = "bad", .kind = "tap"},
        {.name = "card", .kind = "pci", .parameter_count = 1, .parameters = {{"address", "ffff:ff:ff.7"}}},
    };
    const struct dpdk_eal_config config = {
        .memory_mib = 1u << 30, .hugepages = DPDK_HUGEPAGES_ALWAYS, .ports = ports, .port_count = 3};
    unsigned errors;
    char *text = doctor_say(&config, &errors);
    assert_int_equal(errors, 3);
    assert_non_null(strstr(text, "error hugepages: "));
    assert_non_null(strstr(text, "/proc/sys/vm/nr_hugepages"));
    assert_non_null(strstr(text, "ok port good: null"));
    assert_non_null(strstr(text, "error port bad: interface: missing"));
    assert_non_null(strstr(text, "error port card: ffff:ff:ff.7 is not bound"));
    free(text);
}

static void host_interface_refuses_what_is_malformed(void **state)
{
    assert_int_equal(host_interface_configure("", "198.18.0.1/24", true, 0), MR_ERROR_INVALID);
    assert_int_equal(host_interface_configure("a/../b", NULL, true, 0), MR_ERROR_INVALID);
    assert_int_equal(host_interface_configure("sixteen-letters-", NULL, true, 0), MR_ERROR_INVALID);
    static const char *const prefixes[] = {"",
                                           "198.18.0.1",
                                           "198.18.0.1/",
                                           "198.18.0.1/33",
                                           "198.18.0.1/24x",
                                           "198.18.0/24",
                                           "198.18.0.1/-1",
                                           "198.18.0.1/+8",
                                           "::1/64",
                                           "198.18.100.100/2400000000000"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        assert_int_equal(host_interface_configure("lo", prefixes[i], true, 0), MR_ERROR_INVALID);
    assert_int_equal(host_interface_configure("no-such-link", NULL, true, 0), MR_ERROR_UNKNOWN);
    assert_int_equal(host_interface_mtu("no-such-link"), 0);
    assert_false(host_interface_exists("no-such-link"));
    assert_true(host_interface_exists("lo"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accepted_config_becomes_devargs),
        cmocka_unit_test(devargs_longer_than_room_are_refused),
        cmocka_unit_test(refused_config_names_key_and_expectation),
        cmocka_unit_test(every_kind_has_needs_and_example),
        cmocka_unit_test(packets_held_follow_the_descriptors),
        cmocka_unit_test(doctor_names_each_error_and_its_remedy),
        cmocka_unit_test(host_interface_refuses_what_is_malformed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
