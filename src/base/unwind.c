/* SPDX-License-Identifier: MIT */
/* Who has called whom. */
#ifdef PPI_HAVE_LIBDW

#include <string.h>

#include "base/libdw.h"

/* Libdw asks for a thread, its registers and its memory. */

#define THREAD 1 /* the only one that there is to libdw */

static pid_t next_thread(Dwfl *dwfl, void *user, void **thread)
{
    (void)dwfl;
    if (*thread)
        return 0;
    *thread = user;
    return THREAD;
}

static bool read_stack(const struct ppi_stopped *stopped, uint64_t at, uint64_t *word)
{
    if (stopped->stack_size < sizeof *word ||
        at - stopped->stack_at > stopped->stack_size - sizeof *word) /* or wraps around */
        return false;
    memcpy(word, stopped->stack + (at - stopped->stack_at), sizeof *word);
    return true;
}

static bool read_memory(Dwfl *dwfl, Dwarf_Addr at, Dwarf_Word *word, void *user)
{
    struct ppi_dwarf *dwarf = user;
    uint64_t value;
    bool done = read_stack(dwarf->stopped, at, &value);

    (void)dwfl;
    if (done)
        *word = value;
    dwarf->lacking |= !done;
    return done;
}

static bool set_registers(Dwfl_Thread *thread, void *user)
{
    const struct ppi_dwarf *dwarf = user;
    const struct ppi_stopped *stopped = dwarf->stopped;
    Dwarf_Word registers[64];

    if (stopped->count == 0 || stopped->count > sizeof registers / sizeof *registers)
        return false;
    for (size_t i = 0; i < stopped->count; i++)
        registers[i] = stopped->registers[i];
#if defined(__x86_64__)
    registers[7] = dwarf->sp;
    registers[16] = dwarf->pc;
#endif
    if (!dwarf->dwfl_thread_state_registers(thread, 0, (unsigned)stopped->count, registers))
        return false;
    dwarf->dwfl_thread_state_register_pc(thread, dwarf->pc);
    return true;
}

static const Dwfl_Thread_Callbacks thread_callbacks = {
    .next_thread = next_thread,
    .memory_read = read_memory,
    .set_initial_registers = set_registers,
};

static int add_frame(Dwfl_Frame *frame, void *user)
{
    struct ppi_dwarf *dwarf = user;
    Dwarf_Addr pc;
    bool is_first;

    if (dwarf->count == dwarf->max || !dwarf->dwfl_frame_pc(frame, &pc, &is_first))
        return DWARF_CB_ABORT;
    dwarf->addresses[dwarf->count++] = (uintptr_t)pc - !is_first; /* inside of the call */
    return DWARF_CB_OK;
}

/* Where the function was called from that has not begun yet; false if that is not known. */
static bool go_to_caller(struct ppi_dwarf *dwarf)
{
#if defined(__x86_64__)
    if (!read_stack(dwarf->stopped, dwarf->sp, &dwarf->pc))
        return false;
    dwarf->sp += sizeof(uint64_t);
#elif defined(__aarch64__)
    dwarf->pc = dwarf->stopped->registers[30];
#endif
    dwarf->pc--;
    return true;
}

size_t ppi_dwarf_unwind(struct ppi_dwarf *dwarf, const struct ppi_stopped *stopped,
                        uintptr_t *addresses, size_t max, bool *all)
{
    dwarf->stopped = stopped;
    dwarf->pc = stopped->pc;
    dwarf->sp = stopped->sp;
    dwarf->addresses = addresses;
    dwarf->max = max;
    dwarf->count = 0;
    dwarf->lacking = *all = false;
    if (!dwarf->attached) /* needs a module, and may find none */
        dwarf->attached = dwarf->dwfl_attach_state(dwarf->dwfl, NULL, THREAD,
                                                   &thread_callbacks, dwarf);
    if (stopped->astray) {
        addresses[dwarf->count++] = (uintptr_t)dwarf->pc;
        if (stopped->count == 0 || !go_to_caller(dwarf))
            return dwarf->count;
    }
    if (dwarf->attached)
        *all = dwarf->dwfl_getthread_frames(dwarf->dwfl, THREAD, add_frame, dwarf) == 0 &&
               !dwarf->lacking;
    if (dwarf->count == 0)
        addresses[dwarf->count++] = (uintptr_t)dwarf->pc;
    return dwarf->count;
}

#endif
