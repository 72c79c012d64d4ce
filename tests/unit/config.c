/* The configuration: what is accepted, and for each mistake the exact message. */
#include "tests/support/cmocka.h"

#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "drivers/dpdk/dpdk.h"
#include "services/config/config_value.h"
#include "tests/support/fake_service.h"
#include "tools/millrace/config.h"
#include "tools/millrace/config_port.h"
#include "tools/millrace/reference.h"

/* Most cases need an interface, and are about something else. */
#define INTERFACE "interfaces:\n- {name: mr0, address: 198.18.0.2/24}\n"
#define TREE      INTERFACE "services:\n- tree:\n"
#define BRANCH    "{name: a, leaves: [{name: b}], "

/* The report of `yaml` as text, empty when it is good; the caller frees. */
static char *report_of(const char *yaml, struct config **out)
{
    static struct config_report report;
    char *text = NULL;
    size_t bytes;
    config_report_init(&report, "f");
    struct config *c = config_parse("f", yaml, strlen(yaml), fake_services, &report);
    FILE *f = open_memstream(&text, &bytes);
    config_report_print(&report, f);
    fclose(f);
    assert_true((c != NULL) == (report.count == 0));
    if (out)
        *out = c;
    else
        config_free(c);
    return text;
}

static const struct bad {
    const char *yaml, *expected;
} bad[] = {
    /* The syntax. */
    {"a: [1", "f:2:1: not YAML: did not find expected ',' or ']', while parsing a flow sequence\n"},
    {"x: &a 1\ny: *a\n", "f:2:4: aliases are not supported, expected the value itself\n"},
    {"- 1\n", "f:1:1: the file is a list, expected a mapping of keys\n"},
    {INTERFACE "---\n" INTERFACE, "f:3:1: a second document, expected one\n"},
    {"",
     "f: no interface, expected `interfaces:` with at least one, such as `- {name: mr0, address: 198.18.0.2/24}`\n"},
    {"log: {level: \"a\\0b\"}", "f:1:14: a value contains a zero byte, expected text\n"},

    /* Keys. */
    {INTERFACE "logg: {level: info}\n", "f:3:1: unknown key 'logg', did you mean 'log'?\n"},
    {"interfaces:\n- {name: mr0, adress: 198.18.0.2/24}\n",
     "f:2:3: interfaces[0]: address is missing, expected an address with its prefix length such as 198.18.0.2/24\n"
     "f:2:15: interfaces[0]: unknown key 'adress', did you mean 'address'?\n"},
    {INTERFACE "log: {zzzzzzz: 1}\n", "f:3:7: log: unknown key 'zzzzzzz', expected one of level\n"},
    {INTERFACE "log: {level: info, level: debug}\n", "f:3:20: log: key 'level' is given twice, first on line 3\n"},
    {INTERFACE "log: {? [a] : b}\n", "f:3:9: log: a key is a list, expected a name\n"},
    {INTERFACE "log: [level]\n", "f:3:6: log is a list, expected a mapping of keys\n"},
    {INTERFACE "routes: {prefix: default}\n", "f:3:9: routes is a mapping, expected a list, each item after a dash\n"},
    {INTERFACE "routes: [default]\n", "f:3:10: routes[0] is a single value, expected a mapping of keys\n"},

    /* Values. */
    {INTERFACE "log: {level: inf}\n",
     "f:3:14: log: level is 'inf', expected one of error, warning, info, debug; did you mean 'info'?\n"},
    {INTERFACE "log: {level: }\n", "f:3:14: log: level is nothing, expected one of error, warning, info, debug\n"},
    {INTERFACE "workers: {count: 65}\n", "f:3:18: workers: count is '65', expected a number from 0 to 64\n"},
    {INTERFACE "workers: {count: -1}\n", "f:3:18: workers: count is '-1', expected a number from 0 to 64\n"},
    {INTERFACE "workers: {count: 99999999999999999999}\n",
     "f:3:18: workers: count is '99999999999999999999', expected a number from 0 to 64\n"},
    {INTERFACE "workers: {count: [1, 2]}\n", "f:3:18: workers: count is a list, expected a number from 0 to 64\n"},
    {INTERFACE "workers: {cores: [0, x]}\n", "f:3:22: workers: cores is 'x', expected a number from 0 to 1023\n"},
    {INTERFACE "control: {enabled: maybe}\n", "f:3:20: control: enabled is 'maybe', expected true or false\n"},
    {"interfaces:\n- {name: mr0, address: []}\n",
     "f:2:24: interfaces[0]: address is an empty list, expected at least one value\n"},
    {"interfaces:\n- {name: an_interface_too_long, address: 198.18.0.2/24}\n",
     "f:2:10: interfaces[0]: name is 'an_interface_too_long', expected text of 1 to 15 characters\n"},
    {"interfaces:\n- {name: mr0, address: 198.18.0.2/33}\n",
     "f:2:24: interfaces[0]: address is '198.18.0.2/33', expected an address with its prefix length such as "
     "198.18.0.2/24\n"},
    {"interfaces:\n- {name: mr0, address: 198.18.0.2}\n",
     "f:2:24: interfaces[0]: address is '198.18.0.2', expected an address with its prefix length such as "
     "198.18.0.2/24\n"},
    {"interfaces:\n- {name: mr0, address: 198.18.0.2/255.255.225.0}\n",
     "f:2:24: interfaces[0]: address is '198.18.0.2/255.255.225.0', expected a netmask whose one bits stand together "
     "(255.255.225.0 has a hole after bit 19), or a prefix length such as /24\n"},
    {"interfaces:\n- name: mr0\n  address: 198.18.0.2/24\n  impair: {loss: 101%, delay: 5, rate: 1Mbyte}\n",
     "f:4:18: interfaces[0].impair: loss is '101%', expected a fraction from 0 to 1 such as 0.5% or 0.005\n"
     "f:4:31: interfaces[0].impair: delay is '5', expected a duration such as 100us, 5ms or 30s from 0ns to 10s\n"
     "f:4:40: interfaces[0].impair: rate is '1Mbyte', expected a rate such as 100Mbit\n"},

    /* Addresses. */
    {"interfaces:\n- {name: mr0, address: 198.18.0.0/24}\n",
     "f:2:24: 198.18.0.0/24 is the address of the network itself, expected one of a host in it\n"},
    {"interfaces:\n- {name: mr0, address: 198.18.0.255/24}\n",
     "f:2:24: 198.18.0.255/24 is the broadcast address of its subnet, expected one of a host in it\n"},
    {"interfaces:\n- {name: mr0, address: 224.0.0.1/24}\n",
     "f:2:24: 224.0.0.1/24 is not an address for a host (0/8, 127/8 and 224/3 are not)\n"},
    {"interfaces:\n- {name: mr0, address: \"fe80::1/64\"}\n",
     "f:2:24: fe80::1 is not IPv4, expected such as 198.18.0.2/24: this version speaks IPv4 only\n"},
    {"interfaces:\n- {name: mr0, address: 198.18.0.2/24}\n- {name: mr1, address: 198.18.0.2/16}\n",
     "f:3:24: address 198.18.0.2 is given twice, first on line 2\n"},
    {"interfaces:\n- {name: mr0, address: 198.18.0.2/24, host_address: 198.18.1.1/24}\n",
     "f:2:53: host_address 198.18.1.1/24 is on no subnet of interface mr0, expected one of the same prefix as its "
     "address\n"},
    {"interfaces:\n- {name: mr0, address: 198.18.0.2/24, host_address: 198.18.0.2/24}\n",
     "f:2:53: address 198.18.0.2 is given twice, first on line 2\n"},

    /* Routes. */
    {INTERFACE "routes:\n- {prefix: default, via: 198.18.1.1}\n",
     "f:4:26: gateway 198.18.1.1 is outside every interface's subnet, expected an address that a neighbour has\n"},
    {INTERFACE "routes:\n- {prefix: default, via: 198.18.0.2}\n",
     "f:4:26: gateway 198.18.0.2 is our own address, expected a neighbour's\n"},
    {INTERFACE "routes:\n- {prefix: 10.1.2.3/8, via: 198.18.0.1}\n",
     "f:4:12: route 10.1.2.3/8 has bits beyond its prefix length, expected 10.0.0.0/8\n"},
    {INTERFACE "routes:\n- {prefix: 10.0.0.0/8}\n",
     "f:4:12: a route has neither a gateway nor an interface, expected either via or interface\n"},
    {INTERFACE "routes:\n- {prefix: 10.0.0.0/8, interface: mr9}\n", "f:4:35: there is no interface 'mr9'\n"},
    {INTERFACE "routes:\n- {prefix: 10.0.0.0/8, via: 198.18.0.1}\n- {prefix: 10.0.0.0/8, via: 198.18.0.3}\n",
     "f:5:12: route 10.0.0.0/8 is given twice, first on line 4\n"},

    {"name: a/b\n" INTERFACE, "f:1:7: name 'a/b' becomes part of a path, expected letters, digits, - and _\n"},

    {"congestion: renno\n" INTERFACE, "f:1:13: there is no congestion control 'renno', did you mean 'reno'?\n"},

    /* Interfaces and drivers. */
    {"interfaces:\n- {name: mr0, address: 198.18.0.2/24}\n- {name: mr0, address: 198.18.1.2/24}\n",
     "f:3:10: interface name 'mr0' is given twice, first on line 2\n"},
    {"interfaces:\n- {name: mr0, driver: af_packet, address: 198.18.0.2/24}\n",
     "f:2:10: interface mr0: interface: missing: a port of kind af_packet needs it (kernel interface to read and "
     "write)\n"},
    {"interfaces:\n- {name: mr0, address: 198.18.0.2/24, parameters: {colour: red}}\n",
     "f:2:52: interface mr0: colour: a port of kind tap has no such parameter\n"},
    {"interfaces:\n- {name: mr0, driver: null, address: 198.18.0.2/24, host_address: 198.18.0.1/24}\n",
     "f:2:67: interface mr0: host_address is for the driver tap alone, which makes the host's side\n"},
    {"interfaces:\n- {name: mr0, address: 198.18.0.2/24, mac: \"03:00:00:00:00:01\", descriptors: 100, queues: 2}\n",
     "f:2:44: mac is '03:00:00:00:00:01', expected the address of one station such as 02:00:00:00:00:02\n"
     "f:2:78: descriptors is 100, expected a power of two\n"
     "f:2:91: queues is 2, expected 0 or the number of workers, 1\n"},
    {INTERFACE "workers: {count: 2, cores: [1, 1]}\n", "f:3:32: core 1 is given twice\n"},
    {INTERFACE "workers: {count: 2, cores: 1}\n", "f:3:28: 1 cores for 2 workers, expected one for each\n"},

    /* Services. */
    {INTERFACE "services: [webb: {}]\n", "f:3:12: services[0]: unknown service 'webb', did you mean 'web'?\n"},
    {INTERFACE "services: [web: {root: www}, web: {root: www}]\n",
     "f:3:30: web listens on :80, which web of line 3 does already\n"},
    {INTERFACE "services: [web: {}]\n", "f:3:12: services[0].web: root is missing, expected a path\n"},
    {INTERFACE "services: [web: {root: www, listen: 198.18.0.9:80}]\n",
     "f:3:37: web listens on 198.18.0.9:80, which is the address of no interface\n"},
    {INTERFACE "services: [web: {root: www, side: \":80\"}]\n",
     "f:3:35: web listens on :80, which web of line 3 does already\n"},
    {INTERFACE "services: [web: {root: www, listen: :80}]\n",
     "f:3:37: not YAML: did not find expected node content, while parsing a flow node; between braces a value such as "
     "\":80\" needs its quotes\n"},
    {INTERFACE "services: [web: {root: refused}]\n", "f:3:12: web: the folder is refused\n"},
    {INTERFACE "services:\n- web: {root: www}\n  plain: {}\n",
     "f:4:3: services[0] is a mapping of several names, expected one service name with its keys inside, such as `- "
     "http: {listen: \":80\"}`\n"},

    /* What nests. */
    {TREE "    soil: {clay: much}\n",
     "f:5:18: services[0].tree.soil: clay is 'much', expected a fraction from 0 to 1 such as 0.5% or 0.005\n"},
    {TREE "    soil: {clai: 1%}\n", "f:5:12: services[0].tree.soil: unknown key 'clai', did you mean 'clay'?\n"},
    {TREE "    soil: {clay: 1%, clay: 2%}\n",
     "f:5:22: services[0].tree.soil: key 'clay' is given twice, first on line 5\n"},
    {TREE "    soil: dry\n", "f:5:11: services[0].tree.soil is a single value, expected a mapping of keys\n"},
    {TREE "    soil: [dry]\n", "f:5:11: services[0].tree.soil is a list, expected a mapping of keys\n"},
    {TREE "    brunches: []\n", "f:5:5: services[0].tree: unknown key 'brunches', did you mean 'branches'?\n"},
    {TREE "    branches: {name: a}\n",
     "f:5:15: services[0].tree.branches is a mapping, expected a list, each item after a dash\n"},
    {TREE "    branches: [a]\n",
     "f:5:16: services[0].tree.branches[0] is a single value, expected a mapping of keys\n"},
    {TREE "    branches:\n    - name: a\n      leaves: [{name: b}, {name: c, weight: 10}]\n",
     "f:7:45: services[0].tree.branches[0].leaves[1]: weight is '10', expected a number from 0 to 9\n"},
    {TREE "    branches:\n    - {leaves: [{weight: 2, wait: 1}, ]}\n    - {name: x, leaves: [{name: ''}]}\n",
     "f:6:7: services[0].tree.branches[0]: name is missing, expected text\n"
     "f:6:17: services[0].tree.branches[0].leaves[0]: name is missing, expected text of 1 to 20 characters\n"
     "f:6:29: services[0].tree.branches[0].leaves[0]: unknown key 'wait', expected one of name, weight\n"
     "f:7:33: services[0].tree.branches[1].leaves[0]: name is '', expected text of 1 to 20 characters\n"},
    {TREE "    branches: [{name: a, leaves: []}, {name: b}]\n",
     "f:5:34: services[0].tree.branches[0]: leaves is an empty list, expected at least one value\n"
     "f:5:39: services[0].tree.branches[1]: leaves is missing, expected a list, each item after a dash\n"},
    {TREE "    roots: [{name: a}, {name: b}, {name: c}]\n",
     "f:5:12: services[0].tree: roots has 3 values, expected at most 2\n"},
    {TREE "    branches: [" BRANCH "bark: {moss: {weight: x}}}]\n",
     "f:5:69: services[0].tree.branches[0].bark.moss: weight is 'x', expected a number from 0 to 9\n"},
    {TREE "    branches: [" BRANCH "tags: [x, [y]]}]\n",
     "f:5:57: services[0].tree.branches[0]: tags is a list, expected text\n"},
    {TREE "    branches: [" BRANCH "tags: [x, y, z, w]}]\n",
     "f:5:53: services[0].tree.branches[0]: tags has 4 values, expected at most 3\n"},
    {TREE "    branches: [" BRANCH "listen: ':80'}, " BRANCH "mode: udp, listen: ':80'}, " BRANCH "listen: ':80'}]\n",
     "f:5:160: tree listens on :80, which tree of line 5 does already\n"},
    {TREE "    branches: [" BRANCH "listen: '198.18.0.9:80'}]\n",
     "f:5:55: tree listens on 198.18.0.9:80, which is the address of no interface\n"},

    /* A service's own check names the place. */
    {TREE "    branches:\n    - name: a\n      leaves:\n      - name: b\n        weight: 7\n",
     "f:9:17: tree: leaf b is refused\n"},
    {TREE "    branches:\n    - leaves: [{name: b}]\n      name: rotten\n", "f:7:13: tree: branch rotten is refused\n"},
    {TREE "    soil: {colour: refused}\n", "f:4:3: tree: the soil is refused\n"},
};

static void each_mistake_has_its_message(void **state)
{
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *text = report_of(bad[i].yaml, NULL);
        if (strcmp(text, bad[i].expected))
            fail_msg("for:\n%s\nexpected:\n%s\ngot:\n%s", bad[i].yaml, bad[i].expected, text);
        free(text);
    }
}

static void every_error_is_reported_in_the_order_of_the_file(void **state)
{
    char *text = report_of("interfaces:\n- {name: mr0, address: 198.18.0.2/24, mtu: 9}\nlog: {level: 3}\nx: 1\n", NULL);
    assert_string_equal(text, "f:2:44: interfaces[0]: mtu is '9', expected a number from 576 to 1500\n"
                              "f:3:14: log: level is '3', expected one of error, warning, info, debug\n"
                              "f:4:1: unknown key 'x', expected one of name, congestion, workers, interfaces, routes, "
                              "services, log, control\n");
    free(text);
}

static void one_interface_and_one_service_is_enough(void **state)
{
    struct config *c;
    char *text = report_of(INTERFACE "services: [plain]\n", &c);
    assert_string_equal(text, "");
    assert_int_equal(c->workers.count, 1);
    assert_int_equal(c->workers.poll, CONFIG_POLL_ADAPTIVE);
    assert_int_equal(c->interface_count, 1);
    assert_string_equal(c->interface[0].name, "mr0");
    assert_int_equal(c->interface[0].driver, CONFIG_TAP);
    assert_int_equal(c->interface[0].mtu, 1500);
    assert_int_equal(c->interface[0].address_count, 1);
    assert_int_equal(mr_address_to_ip4(&c->interface[0].address[0].address), 0xc6120002);
    assert_int_equal(c->interface[0].address[0].bits, 24);
    assert_int_equal(c->service_count, 1);
    assert_int_equal(c->log.level, MR_LOG_INFO);
    assert_true(c->control.enabled);
    assert_null(c->control.path);
    assert_string_equal(c->congestion, "reno");
    config_free(c);
    free(text);
}

static void every_type_is_read_into_its_member(void **state)
{
    struct config *c;
    char *text =
        report_of(INTERFACE "services:\n- web: {listen: [\":80\", \"198.18.0.2:8080\"], root: www, keep: 90s,\n"
                            "    largest: 2MiB, shy: yes, title: \"a b\", peer: 10.0.0.1, kind: fast, sample: 25%,\n"
                            "    speed: 5Mbit, count: 7, net: 10.0.0.0/255.0.0.0}\n",
                  &c);
    assert_string_equal(text, "");
    const struct fake_config *v = c->service[0].values;
    assert_int_equal(v->listen_count, 2);
    assert_int_equal(v->listen[0].port, 80);
    assert_int_equal(v->listen[1].port, 8080);
    assert_string_equal(v->root, "www"); /* the file has no folder in its name */
    assert_true(v->keep == 90 * MR_SECOND);
    assert_int_equal(v->largest, 2 << 20);
    assert_true(v->shy);
    assert_string_equal(v->title, "a b");
    assert_int_equal(mr_address_to_ip4(&v->peer), 0x0a000001);
    assert_int_equal(v->kind, 1);
    assert_true(v->sample == 0.25);
    assert_int_equal(v->speed, 5000000);
    assert_int_equal(v->count, 7);
    assert_int_equal(v->net.bits, 8);
    config_free(c);
    free(text);
}

static void nested_keys_are_read_into_their_members(void **state)
{
    struct config *c;
    char *text = report_of(TREE "    soil: {clay: 5%}\n"
                                "    branches:\n"
                                "    - name: a\n"
                                "      leaves: [{name: x}, {name: y, weight: 2}]\n"
                                "      tags: [t, u]\n"
                                "      bark: {moss: {weight: 4}}\n"
                                "    - {name: b, listen: ':81', leaves: [{name: z, weight: 0}]}\n",
                           &c);
    assert_string_equal(text, "");
    const struct fake_tree *t = c->service[0].values;
    assert_true(t->soil.clay == 0.05);
    assert_string_equal(t->soil.colour, "brown");
    assert_int_equal(t->branch_count, 2);
    const struct fake_branch *a = &t->branches[0], *b = &t->branches[1];
    assert_string_equal(a->name, "a");
    assert_int_equal(a->leaf_count, 2);
    assert_string_equal(a->leaves[0].name, "x");
    assert_int_equal(a->leaves[0].weight, 1);
    assert_int_equal(a->leaves[1].weight, 2);
    assert_int_equal(a->tag_count, 2);
    assert_string_equal(a->tags[1], "u");
    assert_true(a->bark.age == MR_SECOND);
    assert_int_equal(a->bark.moss.weight, 4);
    assert_null(a->bark.moss.name);
    assert_int_equal(b->listen.port, 81);
    assert_int_equal(b->leaves[0].weight, 0);
    assert_int_equal(b->tag_count, 0);
    assert_int_equal(b->bark.moss.weight, 3);
    assert_null(t->roots);
    assert_int_equal(t->root_count, 0);

    /* Each can be found again: a value, an item without its first key there, a mapping. */
    assert_int_equal(config_mark_of(c, &a->leaves[1].weight).line, 8);
    assert_int_equal(config_mark_of(c, &a->leaves[1].weight).column, 45);
    assert_int_equal(config_mark_of(c, &a->bark).line, 10);
    assert_int_equal(config_mark_of(c, &b->listen).line, 11);
    assert_int_equal(config_mark_of(c, &b->bark.moss).line, 0);
    config_free(c);
    free(text);
}

static void a_mapping_that_is_left_out_or_empty_has_its_presets(void **state)
{
    static const char *const yamls[] = {INTERFACE "services: [tree]\n", TREE "    soil:\n    roots:\n",
                                        TREE "    soil: {}\n    branches: []\n"};
    for (unsigned i = 0; i < 3; i++) {
        struct config *c;
        char *text = report_of(yamls[i], &c);
        assert_string_equal(text, "");
        const struct fake_tree *t = c->service[0].values;
        assert_true(t->soil.clay == 0.1);
        assert_string_equal(t->soil.colour, "brown");
        assert_int_equal(t->branch_count, 0);
        config_free(c);
        free(text);
    }
}

static void too_many_keys_of_a_mapping_end_its_reading(void **state)
{
    char *yaml = NULL, *text;
    size_t bytes;
    FILE *out = open_memstream(&yaml, &bytes);
    for (unsigned i = 0; i < 1000; i++)
        fprintf(out, "? [a]\n: 1\n");
    fclose(out);
    text = report_of(yaml, NULL);
    assert_non_null(
        strstr(text, "f: 193 more\n")); /* 256 that are no names, and that there are too many: 64 are kept */
    free(text);
    free(yaml);
}

static void relative_paths_start_at_the_folder_of_the_file(void **state)
{
    static struct config_report report;
    const char yaml[] = INTERFACE "services: [web: {root: www}]\n";
    config_report_init(&report, "/etc/millrace/m.yaml");
    struct config *c = config_parse("/etc/millrace/m.yaml", yaml, strlen(yaml), fake_services, &report);
    assert_non_null(c);
    assert_string_equal(((const struct fake_config *)c->service[0].values)->root, "/etc/millrace/www");
    config_free(c);
}

static void tap_calls_the_kernels_side_as_ours(void **state)
{
    struct config *c;
    struct dpdk_port_config port;
    char *text = report_of(INTERFACE, &c);
    config_port(c, &c->interface[0], &port);
    assert_string_equal(port.kind, "tap");
    assert_int_equal(port.parameter_count, 1);
    assert_string_equal(port.parameters[0].name, "interface");
    assert_string_equal(port.parameters[0].value, "mr0");
    config_free(c);
    free(text);
}

static void driver_names_are_those_of_the_drivers(void **state)
{
    unsigned i = 0;
    for (; config_driver_names[i]; i++)
        assert_string_equal(config_driver_names[i], dpdk_kind_name(i));
    assert_null(dpdk_kind_name(i));
}

/* A value that a key's table says is good: its preset, its first choice, its lowest number, or an example. */
static const char *example_of(const struct mr_config_key *k, char *text)
{
    static const char *const examples[] = {
        [MR_CONFIG_BOOL] = "true",
        [MR_CONFIG_STRING] = "02:00:00:00:00:02",
        [MR_CONFIG_PATH] = "x",
        [MR_CONFIG_ENDPOINT] = "\":99\"",
        [MR_CONFIG_ADDRESS] = "198.18.0.1",
        [MR_CONFIG_PREFIX] = "198.18.0.2/24",
        [MR_CONFIG_FRACTION] = "1%",
        [MR_CONFIG_RATE] = "1Mbit",
        [MR_CONFIG_DURATION] = "1s",
        [MR_CONFIG_BYTES] = "64KiB",
    };
    if (k->type == MR_CONFIG_CHOICE)
        sprintf(text, "\"%s\"", k->choices[0]);
    else if (k->preset)
        sprintf(text, "\"%s\"", k->preset);
    else if (k->type == MR_CONFIG_UNSIGNED)
        sprintf(text, "%lu", (unsigned long)k->minimum);
    else if (k->type == MR_CONFIG_STRING && k->maximum < 17)
        strcpy(text, "mr0");
    else
        strcpy(text, examples[k->type]);
    return text;
}

static void write_section(const struct config_section *s, unsigned indent, FILE *out)
{
    char example[64];
    bool first = s->kind == CONFIG_LIST;
    for (const struct mr_config_key *k = s->keys; k && k->name; k++) {
        /* The two that exclude each other, and the kernel's side, which must not be our own address. */
        if (!strcmp(s->name, "routes") && !strcmp(k->name, "interface"))
            continue;
        const char *value = !strcmp(k->name, "host_address") ? "198.18.0.1/24"
                            : !strcmp(k->name, "prefix")     ? "default"
                                                             : example_of(k, example);
        fprintf(out, "%*s%s: %s\n", (int)indent, first ? "- " : "", k->name, value);
        first = false;
    }
    for (const struct config_section *n = s->sections; n && n->name; n++) {
        if (n->kind == CONFIG_PAIRS || n->kind == CONFIG_SERVICES)
            continue;
        fprintf(out, "%*s%s:\n", (int)indent, "", n->name);
        write_section(n, indent + 2, out);
    }
}

static void every_key_of_the_reference_is_accepted(void **state)
{
    char *yaml = NULL;
    size_t bytes;
    FILE *out = open_memstream(&yaml, &bytes);
    write_section(&config_root, 0, out);
    fputs("services:\n- web:\n", out);
    write_section(&(struct config_section){.name = "", .keys = fake_services[0]->keys}, 4, out);
    fclose(out);
    char *text = report_of(yaml, NULL);
    if (*text)
        fail_msg("for:\n%s\ngot:\n%s", yaml, text);
    free(text);
    free(yaml);
}

static void the_reference_names_every_key(void **state)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    reference_markdown(fake_services, out);
    fclose(out);
    static const char *const keys[] = {"`congestion`",
                                       "`cores`",
                                       "`half_open`",
                                       "`host_address`",
                                       "`jitter`",
                                       "`via`",
                                       "`largest`",
                                       "| `af_xdp` |",
                                       "## interfaces.impair",
                                       "#### tree.branches.leaves",
                                       "#### tree.branches.bark.moss"};
    for (unsigned i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!strstr(text, keys[i]))
            fail_msg("the reference lacks %s", keys[i]);
    free(text);
}

static void the_schema_is_json_with_every_section(void **state)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);
    reference_schema(fake_services, out);
    fclose(out);
    json_t *schema = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(schema);
    json_t *properties = json_object_get(schema, "properties");
    for (const struct config_section *s = config_root.sections; s->name; s++)
        assert_non_null(json_object_get(properties, s->name));
    json_t *items = json_object_get(json_object_get(properties, "interfaces"), "items");
    assert_string_equal(json_string_value(json_array_get(json_object_get(items, "required"), 0)), "name");
    json_decref(schema);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_mistake_has_its_message),
        cmocka_unit_test(every_error_is_reported_in_the_order_of_the_file),
        cmocka_unit_test(one_interface_and_one_service_is_enough),
        cmocka_unit_test(every_type_is_read_into_its_member),
        cmocka_unit_test(nested_keys_are_read_into_their_members),
        cmocka_unit_test(a_mapping_that_is_left_out_or_empty_has_its_presets),
        cmocka_unit_test(too_many_keys_of_a_mapping_end_its_reading),
        cmocka_unit_test(relative_paths_start_at_the_folder_of_the_file),
        cmocka_unit_test(tap_calls_the_kernels_side_as_ours),
        cmocka_unit_test(driver_names_are_those_of_the_drivers),
        cmocka_unit_test(every_key_of_the_reference_is_accepted),
        cmocka_unit_test(the_reference_names_every_key),
        cmocka_unit_test(the_schema_is_json_with_every_section),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
