/* Bit commands: the table, SETBIT and GETBIT. */
#include "cache/command/bit.h"

bool cache_bit_offset(struct cache_call *call, const struct cache_argument *a, unsigned width, uint64_t *offset)
{
    struct cache_argument digits = *a;
    int64_t value, factor = 1;
    if (width && a->data && a->length && a->data[0] == '#') {
        digits.data++;
        digits.length--;
        factor = width;
    }
    bool valid = cache_argument_integer(&digits, &value) && !__builtin_mul_overflow(value, factor, &value) &&
                 value >= 0 && (uint64_t)value >> 3 < CACHE_VALUE_MAX;
    if (!valid)
        cache_reply_error(call->reply, "ERR bit offset is not an integer or out of range");
    *offset = (uint64_t)value;
    return valid;
}

static enum cache_outcome command_setbit(struct cache_call *call)
{
    uint64_t offset;
    int64_t bit;
    struct cache_entry *e;
    if (!cache_bit_offset(call, &call->argv[2], 0, &offset))
        return CACHE_DONE;
    if (!cache_argument_integer(&call->argv[3], &bit) || bit & ~INT64_C(1)) {
        cache_reply_error(call->reply, "ERR bit is not an integer or out of range");
        return CACHE_DONE;
    }
    if (!cache_call_write(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;

    struct mr_span key = cache_argument_span(&call->argv[1]);
    uint64_t at = offset >> 3;
    enum cache_room room = cache_string_make(call, key, at, 1, &e);
    if (room != CACHE_ROOM_READY)
        return cache_room_outcome(room);
    if (!e)
        return command_setbit(call);
    uint8_t byte, mask = (uint8_t)(0x80 >> (offset & 7));
    cache_string_copy(e, at, &byte, 1);
    bool before = byte & mask;
    byte = bit ? byte | mask : byte & (uint8_t)~mask;
    cache_store_write_at(call->store, e, at, &byte, 1);
    cache_call_changed(call, call->store, key);
    cache_reply_integer(call->reply, before);
    return CACHE_DONE;
}

static enum cache_outcome command_getbit(struct cache_call *call)
{
    uint64_t offset;
    uint8_t byte;
    struct cache_entry *e;
    if (!cache_bit_offset(call, &call->argv[2], 0, &offset) || !cache_call_read(call, &call->argv[1], CACHE_STRING, &e))
        return CACHE_DONE;
    cache_string_copy(e, offset >> 3, &byte, 1);
    cache_reply_integer(call->reply, byte >> (7 - (offset & 7)) & 1);
    return CACHE_DONE;
}

#define ROW(name, function, arity, flags, first, last, room, sentence)                     \
    {                                                                                      \
        name, function, arity, flags, first, last, 1, "bitmap", sentence, NULL, room, NULL \
    }
#define ADD   (CACHE_WRITE | CACHE_DENYOOM)
#define READ  CACHE_READONLY
#define FAST  CACHE_FAST
#define LATER cache_command_room_later

const struct cache_command cache_commands_bit[] = {
    ROW("setbit", command_setbit, 4, ADD, 1, 1, LATER, "sets or clears a bit"),
    ROW("getbit", command_getbit, 3, READ | FAST, 1, 1, NULL, "a bit"),
    ROW("bitcount", cache_command_bitcount, -2, READ, 1, 1, NULL, "how many bits are set"),
    ROW("bitpos", cache_command_bitpos, -3, READ, 1, 1, NULL, "the first bit that is set or clear"),
    ROW("bitop", cache_command_bitop, -4, ADD, 2, -1, LATER, "AND, OR, XOR, NOT of values into a key"),
    ROW("bitfield", cache_command_bitfield, -2, ADD, 1, 1, LATER, "integers of any width inside a value"),
    ROW("bitfield_ro", cache_command_bitfield_ro, -2, READ | FAST, 1, 1, NULL, "BITFIELD that only gets"),
    {0},
};
