/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what fuzz targets are made of
 *
 * A target is a function of libFuzzer's kind.  With clang's -fsanitize=fuzzer it is a
 * fuzzer, afl-clang-fast makes it one, too; with replay.c it is a test that runs the
 * inputs of its corpus and some thousand mutations of them.
 *
 * What must not be is said by FUZZ_CHECK: it aborts, as sanitizers do.
 */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FUZZ_CHECK(condition)                                                              \
    ((condition) ? (void)0 : fuzz_fail(__FILE__, __LINE__, #condition))

static inline _Noreturn void fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, what);
    abort();
}

/*
 * An input is read from both ends: from the front what is done, from the back what else
 * happens meanwhile.  When both have met all that is read is 0.
 */
struct input {
    const uint8_t *at, *end;
};

static inline unsigned input_front(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static inline unsigned input_back(struct input *input)
{
    return input->at < input->end ? *--input->end : 0;
}

static inline bool input_over(const struct input *input)
{
    return input->at == input->end;
}

/* Where the numbers of a piece of mischief come from. */
typedef unsigned input_byte(struct input *input);

static inline uint64_t input_word(struct input *input, input_byte *next)
{
    uint64_t word = 0;

    for (int i = 0; i < 8; i++)
        word = word << 8 | next(input);
    return word;
}

#endif
