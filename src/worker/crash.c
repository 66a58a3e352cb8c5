/* SPDX-License-Identifier: MIT */
/*
 * The last words of a worker that crashes: a handler on a stack of its own writes into the
 * seat where it was, with a copy of the registers and of the stack.  To make sense of them
 * is the client's affair.  Then the signal does what it would have done without us.
 *
 * All that the handler calls is async-signal-safe, and it trusts no memory but its own:
 * what it copies is read by the kernel, which says no instead of faulting.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/point.h"
#include "worker/worker.h"

/* The kernel saves 12 KiB of registers there on large machines; we need little more. */
#define HANDLER_STACK ((size_t)64 << 10)
#define GUARD ((size_t)64 << 10) /* no page is larger */

/* The kernel maps nothing else so near to the main stack. */
#define MAIN_STACK_SPACE ((uintptr_t)128 << 20)
#define OTHER_STACK_SPACE ((uintptr_t)64 << 10) /* of which a frame is looked for */
#define RED_ZONE 256                            /* below sp, that a function may use */
#define PIECE ((uintptr_t)4096)                 /* the kernel copies all of one, or nothing */

static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT };
#define SIGNALS (sizeof signals / sizeof *signals)

/* This process's; children that a task forks have another pid. */
static struct {
    pid_t pid;
    uint32_t incarnation;
    struct ppi_seat_shm *seat;
    uintptr_t stack_end;
    const void *const *libc_words;
    _Atomic bool begun;
} self;

/* Copies what can be copied of this memory; how much that was. */
static size_t copy(void *to, uintptr_t from, size_t size)
{
    struct iovec local = { to, size }, pieces[PPI_CRASH_STACK / PIECE + 1];
    unsigned long count = 0;
    uintptr_t at, next;
    ssize_t copied;

    for (at = from; at < from + size && count < sizeof pieces / sizeof *pieces; at = next) {
        next = (at / PIECE + 1) * PIECE < from + size ? (at / PIECE + 1) * PIECE : from + size;
        pieces[count++] = (struct iovec){ (void *)at, next - at };
    }
    copied = process_vm_readv(self.pid, &local, 1, pieces, count, 0);
    return copied > 0 ? (size_t)copied : 0;
}

static bool is_readable(uintptr_t at)
{
    char byte;

    return copy(&byte, at, 1) == 1;
}

/* ---- What is written ---- */

#if defined(__x86_64__)
static void copy_registers(struct ppi_crash_shm *report, const ucontext_t *context)
{
    static const int order[] = { REG_RAX, REG_RDX, REG_RCX, REG_RBX, REG_RSI, REG_RDI,
                                 REG_RBP, REG_RSP, REG_R8,  REG_R9,  REG_R10, REG_R11,
                                 REG_R12, REG_R13, REG_R14, REG_R15, REG_RIP };

    report->count = sizeof order / sizeof *order;
    for (uint32_t i = 0; i < report->count; i++)
        report->registers[i] = (uint64_t)context->uc_mcontext.gregs[order[i]];
    report->sp = (uint64_t)context->uc_mcontext.gregs[REG_RSP];
    report->pc = (uint64_t)context->uc_mcontext.gregs[REG_RIP];
}
#elif defined(__aarch64__)
static void copy_registers(struct ppi_crash_shm *report, const ucontext_t *context)
{
    report->count = 32;
    memcpy(report->registers, context->uc_mcontext.regs, 31 * sizeof(uint64_t));
    report->registers[31] = report->sp = context->uc_mcontext.sp;
    report->pc = context->uc_mcontext.pc;
}
#else
static void copy_registers(struct ppi_crash_shm *report, const ucontext_t *context)
{
    (void)context;
    report->count = 0;
    report->pc = report->sp = 0;
}
#endif

/* Where a stack with this sp may end. */
static uintptr_t end_of_stack(uintptr_t sp)
{
    if (sp < self.stack_end && self.stack_end - sp < MAIN_STACK_SPACE)
        return self.stack_end;
    return sp < UINTPTR_MAX - OTHER_STACK_SPACE ? sp + OTHER_STACK_SPACE : sp;
}

/*
 * The lowest address from sp on that can be read.  That is sp, unless the stack has
 * overflown: of all that lies between it and the end, the upper part is there.
 */
static uintptr_t begin_of_stack(uintptr_t sp, uintptr_t end)
{
    uintptr_t low = sp / PIECE, high = end / PIECE; /* the first not, the last perhaps */

    if (is_readable(sp))
        return sp;
    while (high - low > 1) {
        uintptr_t middle = low + (high - low) / 2;

        if (is_readable(middle * PIECE))
            high = middle;
        else
            low = middle;
    }
    return high * PIECE;
}

/* Whether the fault was at a place where a stack with this sp should be, and is not. */
static bool has_overflown(int number, const siginfo_t *info, uintptr_t sp, uintptr_t end)
{
    uintptr_t at = (uintptr_t)info->si_addr;

    return number == SIGSEGV && info->si_code > 0 && at < end && at + RED_ZONE >= sp &&
           !is_readable(at);
}

static void copy_stack(struct ppi_crash_shm *report, uintptr_t end)
{
    uintptr_t begin = begin_of_stack((uintptr_t)report->sp, end);
    size_t size = PPI_CRASH_STACK;

    if (end == self.stack_end)
        size = end <= begin ? 0 : end - begin < size ? end - begin : size;
    report->stack_at = begin;
    report->stack_size = copy(report->stack, begin, size);
}

/* What abort() has been called for: libc keeps it for such as us, after an int. */
static void copy_words(struct ppi_crash_shm *report)
{
    uintptr_t at;
    size_t length = 0;

    if (self.libc_words && copy(&at, (uintptr_t)self.libc_words, sizeof at) == sizeof at && at)
        length = copy(report->words, at + sizeof(int), sizeof report->words - 1);
    report->words[length] = '\0';
}

static void write_report(int number, const siginfo_t *info, const ucontext_t *context)
{
    struct ppi_crash_shm *report = &self.seat->crash;
    uintptr_t end;

    report->signal = number;
    report->code = info->si_code;
    report->address = (uintptr_t)info->si_addr;
    copy_registers(report, context);
    end = end_of_stack((uintptr_t)report->sp);
    report->overflow = has_overflown(number, info, (uintptr_t)report->sp, end);
    copy_stack(report, end);
    copy_words(report);
    atomic_store_explicit(&self.seat->crashed, self.incarnation, memory_order_release);
}

/* ---- When ---- */

/* Whether the instruction that we return to does it again. */
static bool repeats(int number, int code)
{
    return code > 0 && number != SIGABRT && !(number == SIGBUS && code == BUS_MCEERR_AO);
}

/* Signals are blocked meanwhile: a fault in here kills at once. */
static void on_crash(int number, siginfo_t *info, void *context)
{
    struct sigaction ordinary = { .sa_handler = SIG_DFL };

    if (getpid() == self.pid) {
        while (atomic_exchange(&self.begun, true))
            pause(); /* another thread has crashed, too, and the process with it */
        PPI_POINT(WORKER_CRASHES);
        write_report(number, info, context);
        PPI_POINT(WORKER_REPORTED);
    }
    sigaction(number, &ordinary, NULL);
    if (!repeats(number, info->si_code))
        syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), number); /* when we have returned */
}

/* A stack for the handler, of which the end cannot be overrun; false without memory. */
static bool make_stack(void)
{
    char *memory = mmap(NULL, GUARD + HANDLER_STACK, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    stack_t stack = { .ss_size = HANDLER_STACK };

    if (memory == MAP_FAILED)
        return false;
    stack.ss_sp = memory + GUARD;
    if (mprotect(stack.ss_sp, HANDLER_STACK, PROT_READ | PROT_WRITE) == 0 &&
        sigaltstack(&stack, NULL) == 0)
        return true;
    munmap(memory, GUARD + HANDLER_STACK);
    return false;
}

/* What the seat's last worker has left would stay in memory. */
static void give_back(struct ppi_seat_shm *seat)
{
    uintptr_t begin = ppi_round_up((uintptr_t)&seat->crash, PPI_PAGE);
    uintptr_t end = (uintptr_t)(&seat->crash + 1) / PPI_PAGE * PPI_PAGE;

    if (atomic_load_explicit(&seat->crashed, memory_order_relaxed) == 0)
        return;
    atomic_store_explicit(&seat->crashed, 0, memory_order_relaxed);
    ppi_segment_release_pages((void *)begin, end - begin);
}

void ppi_watch_for_crashes(const struct ppi_worker *worker, const void *stack_end,
                           const void *const *libc_words)
{
    struct sigaction action = { .sa_sigaction = on_crash,
                                .sa_flags = SA_SIGINFO | SA_ONSTACK };

    self.seat = worker->seat.shm;
    self.incarnation =
        atomic_load_explicit(&worker->seat.shm->incarnation, memory_order_relaxed);
    self.stack_end = (uintptr_t)stack_end;
    self.libc_words = libc_words;
    self.pid = getpid();
    self.begun = false;
    give_back(self.seat);
    if (!make_stack())
        return; /* then a crash is a crash, and no more is known */
    sigfillset(&action.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++)
        sigaction(signals[i], &action, NULL);
}
