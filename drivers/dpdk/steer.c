/* Spreads what a tap device receives over its queues by a rule that we know: a program in the kernel's tun (TUNSETSTEERINGEBPF).
 *
 * By itself tun sends a flow to the queue that last transmitted it, but learns that only after it has handed the packet in. What the
 * kernel answers within that same call, a SYN-ACK, goes by a hash of its own, and half of the connections that two workers open
 * meet the wrong one. So the program computes what a card would: the low bits of the Toeplitz hash with our symmetric key.
 *
 * That key repeats after 16 bits, hence the hash is that of the exclusive or of all 16-bit words of the tuple, and each of its bits is the
 * parity of some of theirs. */
#include "drivers/dpdk/port.h"

#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_tun.h>
#include <millrace/log.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "drivers/dpdk/steer.h"

#define HASH_BITS    7
#define RETA_ENTRIES (1u << HASH_BITS)
#define KEY_WORD     0x6d5au /* as offload.c gives to cards */

/* Offsets in a frame. */
#define ETH_TYPE      12
#define IP_BEGIN      14
#define IP_FRAGMENT   20
#define IP_PROTOCOL   23
#define IP_ADDRESSES  26
#define FRAGMENT_BITS 0x3fff /* more follow, or this is not the first: there may be no ports */

#define CODE(op, d, s, o, i)                                                               \
    (struct bpf_insn)                                                                      \
    {                                                                                      \
        .code = (op), .dst_reg = (d), .src_reg = (s), .off = (int16_t)(o), .imm = (int)(i) \
    }
#define MOVE(d, s)        CODE(BPF_ALU64 | BPF_MOV | BPF_X, d, s, 0, 0)
#define SET(d, i)         CODE(BPF_ALU64 | BPF_MOV | BPF_K, d, 0, 0, i)
#define ALU(op, d, i)     CODE(BPF_ALU64 | (op) | BPF_K, d, 0, 0, i)
#define ALU_X(op, d, s)   CODE(BPF_ALU64 | (op) | BPF_X, d, s, 0, 0)
#define LOAD(size, i)     CODE(BPF_LD | BPF_ABS | (size), 0, 0, 0, i) /* r0, in host order; too short: ends with 0 */
#define LOAD_AT(r, i)     CODE(BPF_LD | BPF_IND | BPF_H, 0, r, 0, i)
#define JUMP(op, r, i, o) CODE(BPF_JMP | (op) | BPF_K, r, 0, o, i)
#define EXIT              CODE(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)

/* Which bits of the folded word make bit `n` of the hash: see the definition of Toeplitz hashing, where input bit i, from the left, adds the
 * 32 bits of the key from i on. */
static uint16_t parity_mask(unsigned n)
{
    uint16_t mask = 0;
    for (unsigned i = 0; i < 16; i++) {
        unsigned of_key = (i + 31 - n) % 16;
        if (KEY_WORD >> (15 - of_key) & 1)
            mask |= (uint16_t)(1u << (15 - i));
    }
    return mask;
}

/* r7: addresses and ports of an IPv4 packet, folded; what is none ends with 0. */
static unsigned fold_emit(struct bpf_insn *p)
{
    unsigned n = 0;
    p[n++] = MOVE(BPF_REG_6, BPF_REG_1);
    p[n++] = LOAD(BPF_H, ETH_TYPE);
    p[n++] = JUMP(BPF_JEQ, BPF_REG_0, 0x0800, 2);
    p[n++] = SET(BPF_REG_0, 0);
    p[n++] = EXIT;
    p[n++] = SET(BPF_REG_7, 0);
    for (unsigned word = 0; word < 4; word++) {
        p[n++] = LOAD(BPF_H, IP_ADDRESSES + 2 * word);
        p[n++] = ALU_X(BPF_XOR, BPF_REG_7, BPF_REG_0);
    }
    p[n++] = LOAD(BPF_H, IP_FRAGMENT);
    p[n++] = ALU(BPF_AND, BPF_REG_0, FRAGMENT_BITS);
    p[n++] = JUMP(BPF_JNE, BPF_REG_0, 0, 11);
    p[n++] = LOAD(BPF_B, IP_PROTOCOL);
    p[n++] = JUMP(BPF_JEQ, BPF_REG_0, 6, 1);
    p[n++] = JUMP(BPF_JNE, BPF_REG_0, 17, 8);
    p[n++] = LOAD(BPF_B, IP_BEGIN);
    p[n++] = ALU(BPF_AND, BPF_REG_0, 15);
    p[n++] = ALU(BPF_LSH, BPF_REG_0, 2);
    p[n++] = MOVE(BPF_REG_8, BPF_REG_0);
    p[n++] = LOAD_AT(BPF_REG_8, IP_BEGIN);
    p[n++] = ALU_X(BPF_XOR, BPF_REG_7, BPF_REG_0);
    p[n++] = LOAD_AT(BPF_REG_8, IP_BEGIN + 2);
    p[n++] = ALU_X(BPF_XOR, BPF_REG_7, BPF_REG_0);
    return n;
}

static unsigned parity_emit(struct bpf_insn *p, unsigned bit)
{
    unsigned n = 0;
    p[n++] = MOVE(BPF_REG_1, BPF_REG_7);
    p[n++] = ALU(BPF_AND, BPF_REG_1, parity_mask(bit));
    for (unsigned half = 8; half; half /= 2) {
        p[n++] = MOVE(BPF_REG_2, BPF_REG_1);
        p[n++] = ALU(BPF_RSH, BPF_REG_2, half);
        p[n++] = ALU_X(BPF_XOR, BPF_REG_1, BPF_REG_2);
    }
    p[n++] = ALU(BPF_AND, BPF_REG_1, 1);
    p[n++] = ALU(BPF_LSH, BPF_REG_1, bit);
    p[n++] = ALU_X(BPF_OR, BPF_REG_0, BPF_REG_1);
    return n;
}

int steer_program_load(unsigned type)
{
    struct bpf_insn program[256];
    unsigned n = fold_emit(program);
    program[n++] = SET(BPF_REG_0, 0);
    for (unsigned bit = 0; bit < HASH_BITS; bit++)
        n += parity_emit(program + n, bit);
    program[n++] = EXIT;
    union bpf_attr attr;
    memset(&attr, 0, sizeof attr);
    attr.prog_type = type;
    attr.insns = (uint64_t)(uintptr_t)program;
    attr.insn_cnt = n;
    attr.license = (uint64_t)(uintptr_t) "Dual BSD/GPL";
    return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
}

/* The kernel takes the remainder of what the program returns: queue i % queues, as the table says. */
static void describe(struct dpdk_port *port)
{
    for (unsigned i = 0; i < sizeof port->rss_key; i++)
        port->rss_key[i] = (uint8_t)(i % 2 ? KEY_WORD & 0xff : KEY_WORD >> 8);
    for (unsigned i = 0; i < RETA_ENTRIES; i++)
        port->reta[i] = (uint16_t)(i % port->queues);
    for (uint16_t q = 0; q < port->queues; q++)
        port->links[q].rss = (struct mr_link_rss){.key = port->rss_key,
                                                  .key_bytes = sizeof port->rss_key,
                                                  .reta = port->reta,
                                                  .reta_entries = RETA_ENTRIES,
                                                  .queue = q,
                                                  .tcp = true,
                                                  .udp = true};
}

bool steer_tap(struct dpdk_port *port)
{
    if (port->queues < 2 || strcmp(port->kind->name, "tap") != 0 || port->links[0].event_fd < 0)
        return false;
    int program = steer_program_load(BPF_PROG_TYPE_SOCKET_FILTER);
    bool steered = program >= 0 && ioctl(port->links[0].event_fd, TUNSETSTEERINGEBPF, &program) == 0;
    if (!steered)
        mr_log(MR_LOG_WARNING, "dpdk",
               "port %s: flows are spread by the kernel, and answers to connections that a worker opens may come to "
               "another (%s: needs CAP_BPF)",
               port->name, strerror(errno));
    if (program >= 0)
        close(program); /* the device holds it */
    if (steered)
        describe(port);
    return steered;
}
