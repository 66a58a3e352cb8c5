/* SPDX-License-Identifier: MIT */
/* What a worker leaves of its crash: the words that the client finds for it. */
#include <string.h>

#include "hook.h"
#include "rig.h"

#undef memcpy

enum { SEAT = 0 };

/* Addresses: of code and data of this program, of the stack, and noise. */
static uint64_t address(struct input *input)
{
    static const char words[] = "words";

    switch (input_front(input) % 8) {
    case 0:
        return (uintptr_t)LLVMFuzzerTestOneInput + input_front(input) % 64;
    case 1:
        return (uintptr_t)ppi_describe_death + input_front(input);
    case 2:
        return (uintptr_t)memcpy + input_front(input) % 32;
    case 3:
        return (uintptr_t)words;
    case 4:
        return (uintptr_t)&input - 0x100 + input_front(input) * 8u;
    case 5:
        return UINT64_MAX - input_front(input);
    case 6:
        return input_front(input);
    default:
        return input_word(input, input_front);
    }
}

static uint64_t size(struct input *input, uint64_t most)
{
    switch (input_front(input) % 6) {
    case 0:
        return most;
    case 1:
        return most + 1;
    case 2:
        return input_word(input, input_front);
    default:
        return input_front(input) * 16u % (most + 1);
    }
}

static void fill_stack(struct input *input, struct ppi_crash_shm *report)
{
    unsigned words = input_front(input);

    for (unsigned i = 0; i < words; i++) {
        uint64_t word = input_front(input) % 4 ? report->stack_at + 16u * input_front(input)
                                               : address(input);

        memcpy(report->stack + (size_t)i * 8, &word, sizeof word);
    }
}

static void fill(struct input *input, struct ppi_crash_shm *report)
{
    static const int signals[] = { 11, 6, 7, 8, 4, 9 };

    report->signal = signals[input_front(input) % 6];
    report->code = input_front(input) % 4 ? (int32_t)(input_front(input) % 4) : 0x80;
    report->overflow = input_front(input) % 8 == 0;
    report->address = address(input);
    report->pc = input_front(input) % 4 ? address(input) : report->address;
    report->stack_at = address(input);
    report->sp = input_front(input) % 2 ? report->stack_at + input_front(input) : address(input);
    report->count = (uint32_t)size(input, PPI_CRASH_REGISTERS);
    for (unsigned i = 0; i < PPI_CRASH_REGISTERS; i++)
        report->registers[i] = input_front(input) % 2 ? report->sp + input_front(input) * 8u
                                                      : address(input);
    report->stack_size = size(input, PPI_CRASH_STACK);
    memset(report->words, (int)input_front(input), sizeof report->words);
    for (unsigned i = input_front(input); i > 0; i--)
        report->words[i % PPI_CRASH_WORDS] = (char)input_front(input);
    fill_stack(input, report);
    if (input_front(input) % 8 != 0)
        return;
    report->signal = 6; /* words without an end, and nothing behind them that is one */
    report->stack_size = PPI_CRASH_STACK;
    memset(report->words, 'w', sizeof report->words);
    memset(report->stack, 'w', sizeof report->stack);
}

/* What is left is written while the client looks. */
static void check_words(int signal)
{
    const struct ppi_outermost outermost = { (uintptr_t)LLVMFuzzerTestOneInput, "task" };
    pp_error error = { 0 };
    char *how = malloc(PPI_HOW_SIZE); /* so that a byte too many is seen */

    FUZZ_CHECK(how != NULL);
    memset(how, 'x', PPI_HOW_SIZE);
    rig_look();
    ppi_describe_death(rig.pool, SEAT, signal, &outermost, &error, how, PPI_HOW_SIZE);
    rig_look_away();
    FUZZ_CHECK(memchr(how, '\0', PPI_HOW_SIZE) != NULL);
    FUZZ_CHECK(strncmp(how, "was killed by SIG", 17) == 0 && error.signal == signal);
    FUZZ_CHECK(!error.backtrace || (strncmp(error.backtrace, "#0", 2) == 0 &&
                                    strlen(error.backtrace) < 128 * 512));
    free(how);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    static struct ppi_backtraces *backtraces; /* reading what is loaded takes long */
    struct input input = { data, data + length };
    struct ppi_seat_shm *seat;

    rig_begin(&input, (struct rig_powers){ .seat = true });
    seat = ppi_queue_seat(rig.pool->queue, SEAT);
    rig.pool->crashes.backtraces = backtraces;
    fill(&input, &seat->crash);
    atomic_store_explicit(&seat->crashed, input_front(&input) % 8 ? 1 : 2, memory_order_release);
    check_words(seat->crash.signal);
    backtraces = rig.pool->crashes.backtraces;
    rig.pool->crashes.backtraces = NULL;
    rig_end();
    return 0;
}
