/* Assertions about our own bugs: they name both values and stop. Never about a peer's input. */
#ifndef STACK_BASE_ASSERT_H
#define STACK_BASE_ASSERT_H

#include <inttypes.h>
#include <stdint.h>

_Noreturn void assert_failed(const char *file, int line, const char *text, uint64_t left, uint64_t right);

#define ASSERT_COMPARE(a, op, b)                                                                                       \
    (__builtin_expect(!!((a)op(b)), 1) ? (void)0                                                                       \
                                       : assert_failed(__FILE__, __LINE__, #a " " #op " " #b, (uint64_t)(a), (uint64_t)(b)))

#define ASSERT(a) (__builtin_expect(!!(a), 1) ? (void)0 : assert_failed(__FILE__, __LINE__, #a, 0, 0))

#endif
