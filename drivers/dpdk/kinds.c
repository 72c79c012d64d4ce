/* The table of kinds. A new one is one entry: its DPDK driver, its parameters, what it needs, a command that tries it. */
#include "drivers/dpdk/kinds.h"

#include <string.h>
#include <sys/socket.h>

#define TRY "sudo build/tests/system/link_responder "

static const struct kind kinds[] = {
    {
        .name = "tap",
        .driver = "net_tap",
        .flags = KIND_INTERRUPT | KIND_OWN_MAC | KIND_RINGS,
        .needs = "CAP_NET_ADMIN and /dev/net/tun",
        .example = TRY "tap,interface=mr0 --host 198.18.0.1/24 --address 198.18.0.2",
        .parameters =
            {
                {.name = "interface",
                 .devarg = "iface",
                 .required = true,
                 .sentence = "name of the interface that the kernel gets"},
            },
    },
    {
        .name = "af_packet",
        .driver = "net_af_packet",
        .flags = KIND_INTERFACE,
        .socket_domain = AF_PACKET,
        .queues_devarg = "qpairs",
        .needs = "CAP_NET_RAW and an interface whose far end has checksum and segmentation offloads off",
        .example = TRY "af_packet,interface=veth1 --address 198.18.0.2",
        .parameters =
            {
                {.name = "interface",
                 .devarg = "iface",
                 .required = true,
                 .sentence = "kernel interface to read and write"},
                {.name = "frames",
                 .devarg = "framecnt",
                 .type = PARAMETER_NUMBER,
                 .min = 64,
                 .max = 65536,
                 .preset = "1024",
                 .sentence = "frames in each ring"},
                {.name = "qdisc_bypass",
                 .devarg = "qdisc_bypass",
                 .type = PARAMETER_CHOICE,
                 .choices = "yes=1|no=0",
                 .preset = "yes",
                 .sentence = "send past the kernel's queueing discipline"},
            },
    },
    {
        .name = "af_xdp",
        .driver = "net_af_xdp",
        .flags = KIND_INTERFACE,
        .socket_domain = AF_XDP,
        .packets = 4096, /* fill and completion rings of 2048 each */
        .queues_devarg = "queue_count",
        .needs = "CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF and an interface whose far end has checksum and segmentation "
                 "offloads off",
        .example = TRY "af_xdp,interface=veth1 --address 198.18.0.2",
        .parameters =
            {
                {.name = "interface",
                 .devarg = "iface",
                 .required = true,
                 .sentence = "kernel interface to read and write"},
                {.name = "start_queue",
                 .devarg = "start_queue",
                 .type = PARAMETER_NUMBER,
                 .max = 1024,
                 .preset = "0",
                 .sentence = "first queue of the interface that is ours"},
                {.name = "force_copy",
                 .devarg = "force_copy",
                 .type = PARAMETER_CHOICE,
                 .choices = "yes=1|no=0",
                 .preset = "no",
                 .sentence = "copy even where the kernel's driver has zero-copy"},
                {.name = "busy_budget",
                 .devarg = "busy_budget",
                 .type = PARAMETER_NUMBER,
                 .max = 1024,
                 .preset = "0",
                 .sentence = "frames a busy poll may take; 0: no busy polling, so that the socket wakes us"},
            },
    },
    {
        .name = "memif",
        .driver = "net_memif",
        .flags = 0,
        .needs = "a peer on the same machine and a path for the socket; start the server first, stop the client first",
        .example = TRY "memif,socket=/tmp/mr.sock,role=server --address 198.18.0.2",
        .parameters =
            {
                {.name = "socket", .devarg = "socket", .required = true, .sentence = "path of the control socket"},
                {.name = "role",
                 .devarg = "role",
                 .type = PARAMETER_CHOICE,
                 .choices = "server=server|client=client",
                 .preset = "server",
                 .sentence = "who listens and who connects"},
                {.name = "id",
                 .devarg = "id",
                 .type = PARAMETER_NUMBER,
                 .max = UINT32_MAX,
                 .preset = "0",
                 .sentence = "number of the link on this socket, the same on both sides"},
                {.name = "zero_copy",
                 .devarg = "zero-copy",
                 .type = PARAMETER_CHOICE,
                 .choices = "no=no|yes=yes",
                 .preset = "no",
                 .sentence = "client only: lend our packets to the peer; needs hugepages"},
                {.name = "ring",
                 .devarg = "rsize",
                 .type = PARAMETER_NUMBER,
                 .min = 6,
                 .max = 14,
                 .preset = "10",
                 .sentence = "log2 of the descriptors in each ring"},
            },
    },
    {
        .name = "virtio_user",
        .driver = "net_virtio_user",
        .flags = KIND_INTERRUPT | KIND_RINGS,
        .queues_devarg = "queues",
        .needs = "a vhost-user backend listening at the path",
        .example = TRY "virtio_user,path=/tmp/mr.sock --address 198.18.0.2",
        .parameters =
            {
                {.name = "path", .devarg = "path", .required = true, .sentence = "socket of the vhost-user backend"},
                {.name = "queue_size",
                 .devarg = "queue_size",
                 .type = PARAMETER_NUMBER,
                 .min = 64,
                 .max = 32768,
                 .preset = "256",
                 .sentence = "descriptors of a queue, a power of two"},
                {.name = "server",
                 .devarg = "server",
                 .type = PARAMETER_CHOICE,
                 .choices = "no=0|yes=1",
                 .preset = "no",
                 .sentence = "listen at the path and wait for the backend to connect"},
                {.name = "packed",
                 .devarg = "packed_vq",
                 .type = PARAMETER_CHOICE,
                 .choices = "no=0|yes=1",
                 .preset = "no",
                 .sentence = "packed rings (virtio 1.1)"},
            },
    },
    {
        .name = "vhost",
        .driver = "net_vhost",
        .flags = KIND_OWN_MAC,
        .queues_devarg = "queues",
        .needs = "a path for the socket; a guest or a virtio_user port connects to it",
        .example = TRY "vhost,path=/tmp/mr.sock --address 198.18.0.2",
        .parameters =
            {
                {.name = "path", .devarg = "iface", .required = true, .sentence = "path of the vhost-user socket"},
                {.name = "client",
                 .devarg = "client",
                 .type = PARAMETER_CHOICE,
                 .choices = "no=0|yes=1",
                 .preset = "no",
                 .sentence = "connect to the path instead of listening"},
            },
    },
    {
        .name = "pcap",
        .driver = "net_pcap",
        .flags = KIND_OWN_MAC,
        .needs = "a capture file in pcap format (not pcapng) to replay",
        .example = TRY "pcap,receive=in.pcap,transmit=out.pcap --address 198.18.0.2 --for 1",
        .parameters =
            {
                {.name = "receive", .devarg = "rx_pcap", .required = true, .sentence = "file to replay"},
                {.name = "transmit",
                 .devarg = "tx_pcap",
                 .sentence = "file that takes what we send; nothing is kept without it"},
                {.name = "repeat",
                 .devarg = "infinite_rx",
                 .type = PARAMETER_CHOICE,
                 .choices = "no=0|yes=1",
                 .preset = "no",
                 .sentence = "start again at the end of the file"},
            },
    },
    {
        .name = "pci",
        .driver = NULL,
        .flags = KIND_INTERRUPT | KIND_CHECKSUM | KIND_PCI | KIND_RINGS,
        .needs = "hugepages, and a network card bound to vfio-pci",
        .example = TRY "pci,address=0000:03:00.0 --address 198.18.0.2",
        .parameters =
            {
                {.name = "address", .required = true, .sentence = "of the card, as lspci -D prints it"},
            },
    },
    {
        .name = "null",
        .driver = "net_null",
        .flags = KIND_OWN_MAC,
        .needs = "nothing: what is sent vanishes",
        .example = TRY "null,generate=yes --address 198.18.0.2 --for 1",
        .parameters =
            {
                {.name = "generate",
                 .devarg = "no-rx",
                 .type = PARAMETER_CHOICE,
                 .choices = "no=1|yes=0",
                 .preset = "no",
                 .sentence = "receive frames of zeros as fast as we ask"},
                {.name = "size",
                 .devarg = "size",
                 .type = PARAMETER_NUMBER,
                 .min = 60,
                 .max = 1514,
                 .preset = "64",
                 .sentence = "bytes of such a frame"},
            },
    },
};
#define KIND_COUNT (sizeof kinds / sizeof *kinds)

const struct kind *kind_find(const char *name)
{
    for (unsigned i = 0; i < KIND_COUNT; i++) {
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    }
    return NULL;
}

const char *dpdk_kind_name(unsigned index)
{
    return index < KIND_COUNT ? kinds[index].name : NULL;
}

const char *dpdk_kind_needs(const char *name)
{
    const struct kind *kind = kind_find(name);
    return kind ? kind->needs : NULL;
}

const char *dpdk_kind_example(const char *name)
{
    const struct kind *kind = kind_find(name);
    return kind ? kind->example : NULL;
}

unsigned dpdk_port_packets(const struct dpdk_port_config *config)
{
    const struct kind *kind = kind_find(config->kind);
    if (!kind || kind->packets)
        return kind ? kind->packets : 0;
    if (!(kind->flags & KIND_RINGS))
        return 0;
    return (config->rx_descriptors ? config->rx_descriptors : KIND_DESCRIPTORS_DEFAULT) +
           (config->tx_descriptors ? config->tx_descriptors : KIND_DESCRIPTORS_DEFAULT);
}
