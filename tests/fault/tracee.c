/* SPDX-License-Identifier: MIT */
#include "tracee.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"

#ifndef __x86_64__

bool tracee_possible(void)
{
    return false;
}

#else

typedef struct user_regs_struct registers;

enum { CALL_SIZE = 2, PATIENCE = 200 };

bool tracee_possible(void)
{
    return !harness_on_valgrind();
}

char tracee_state(pid_t pid)
{
    char path[32], text[256] = "", *end;
    int file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return '?';
    if (read(file, text, sizeof text - 1) <= 0)
        text[0] = '\0';
    close(file);
    end = strrchr(text, ')');
    return end && end[1] ? end[2] : '?';
}

/* ---- Going on and standing --------------------------------------------------------- */

static int stop_signal(const struct tracee *tracee)
{
    return WSTOPSIG(tracee->status);
}

static bool stands_at_call(const struct tracee *tracee)
{
    return stop_signal(tracee) == (SIGTRAP | 0x80);
}

static void note_stop(struct tracee *tracee)
{
    if (WIFSTOPPED(tracee->status))
        return;
    tracee->ended = true;
}

/* It may have been killed. */
static void ask(struct tracee *tracee, enum __ptrace_request request, void *address,
                void *data)
{
    if (!tracee->ended && ptrace(request, tracee->pid, address, data) != 0 && errno != ESRCH)
        FAIL("ptrace request %d: %s", (int)request, strerror(errno));
}

static void go_on(struct tracee *tracee, enum __ptrace_request how)
{
    ask(tracee, how, NULL, (void *)(long)tracee->signal);
    tracee->signal = 0;
}

static void await_stop(struct tracee *tracee)
{
    if (tracee->ended)
        return;
    CHECK_EQ(waitpid(tracee->pid, &tracee->status, __WALL), tracee->pid);
    note_stop(tracee);
}

/* The same, but for one that sleeps: false. */
static bool stands_soon(struct tracee *tracee)
{
    for (unsigned i = 1;; i++) {
        pid_t got = waitpid(tracee->pid, &tracee->status, __WALL | WNOHANG);

        if (got == tracee->pid) {
            note_stop(tracee);
            return true;
        }
        CHECK_EQ(got, 0);
        if (i % PATIENCE == 0 && tracee_state(tracee->pid) == 'S')
            return false;
        sched_yield();
    }
}

/* It may have been stopped for a signal, which it is to get when it goes on. */
static void keep_signal(struct tracee *tracee)
{
    if (!tracee->ended && !stands_at_call(tracee) && stop_signal(tracee) != SIGTRAP)
        tracee->signal = stop_signal(tracee);
}

/* One instruction.  A signal that comes meanwhile is kept, and the last one only. */
static void run_one(struct tracee *tracee)
{
    do {
        ask(tracee, PTRACE_SINGLESTEP, NULL, NULL);
        await_stop(tracee);
        keep_signal(tracee);
    } while (!tracee->ended && stop_signal(tracee) != SIGTRAP);
}

/* ---- The segment ------------------------------------------------------------------- */

static void note_range(struct tracee *tracee, const char *line)
{
    struct tracee_range *range = &tracee->ranges[tracee->count];
    unsigned long begin, end;
    char rights[5];

    if (!strstr(line, "/memfd:procpool") ||
        sscanf(line, "%lx-%lx %4s", &begin, &end, rights) != 3 || rights[0] != 'r')
        return;
    CHECK(tracee->count < TRACEE_RANGES);
    *range = (struct tracee_range){ .begin = begin, .end = end, .protection = PROT_READ };
    if (rights[1] == 'w')
        range->protection |= PROT_WRITE;
    if (range->protection & PROT_WRITE || tracee->reads)
        tracee->count++;
}

static void note_ranges(struct tracee *tracee)
{
    char path[32], line[512];
    FILE *file;

    tracee->count = 0;
    snprintf(path, sizeof path, "/proc/%d/maps", tracee->pid);
    file = fopen(path, "re");
    if (!file)
        return; /* it has been killed */
    while (fgets(line, sizeof line, file))
        note_range(tracee, line);
    fclose(file);
}

static void protect(struct tracee *tracee, const struct tracee_range *range, int protection,
                    const registers *saved)
{
    registers there = *saved;

    there.rip = tracee->call;
    there.rax = SYS_mprotect;
    there.orig_rax = (unsigned long long)-1;
    there.rdi = range->begin;
    there.rsi = range->end - range->begin;
    there.rdx = (unsigned)protection;
    ask(tracee, PTRACE_SETREGS, NULL, &there);
    run_one(tracee);
    ask(tracee, PTRACE_GETREGS, NULL, &there);
    if (!tracee->ended && there.rax != 0)
        FAIL("mprotect() in the tracee: %s", strerror(-(int)there.rax));
}

/* Takes the segment away, or gives it back, or only the part with this address, to a tracee
   that stands in its code; 0: all. */
static void hide(struct tracee *tracee, bool hidden, uintptr_t address)
{
    int protection = tracee->reads ? PROT_NONE : PROT_READ;
    registers saved;

    if (tracee->ended)
        return;
    ask(tracee, PTRACE_GETREGS, NULL, &saved);
    for (unsigned i = 0; i < tracee->count; i++) {
        struct tracee_range *range = &tracee->ranges[i];

        if (range->hidden == hidden ||
            (address && (address < range->begin || address >= range->end)))
            continue;
        protect(tracee, range, hidden ? protection : range->protection, &saved);
        range->hidden = hidden;
    }
    ask(tracee, PTRACE_SETREGS, NULL, &saved);
}

static bool is_hidden(const struct tracee *tracee, uintptr_t address)
{
    for (unsigned i = 0; i < tracee->count; i++)
        if (tracee->ranges[i].hidden && address >= tracee->ranges[i].begin &&
            address < tracee->ranges[i].end)
            return true;
    return false;
}

static bool hides_something(const struct tracee *tracee)
{
    for (unsigned i = 0; i < tracee->count; i++)
        if (tracee->ranges[i].hidden)
            return true;
    return false;
}

/* Stopped for an access to what is hidden: where that is; otherwise 0. */
static uintptr_t touched(const struct tracee *tracee)
{
    siginfo_t info;

    if (tracee->ended || stop_signal(tracee) != SIGSEGV ||
        ptrace(PTRACE_GETSIGINFO, tracee->pid, NULL, &info) != 0 ||
        info.si_code != SEGV_ACCERR || !is_hidden(tracee, (uintptr_t)info.si_addr))
        return 0;
    return (uintptr_t)info.si_addr;
}

/* ---- Steps -------------------------------------------------------------------------- */

static bool changes_mappings(unsigned long long call)
{
    return call == SYS_mmap || call == SYS_munmap || call == SYS_mprotect ||
           call == SYS_mremap;
}

/* It is about to call the kernel, which shall find the segment as it is: the call is put off
   for that. */
static void enter_call(struct tracee *tracee)
{
    registers call, nothing;

    ask(tracee, PTRACE_GETREGS, NULL, &call);
    tracee->call = call.rip - CALL_SIZE;
    tracee->place = TRACEE_IN_CALL;
    if (!hides_something(tracee))
        return;
    nothing = call;
    nothing.orig_rax = (unsigned long long)-1;
    ask(tracee, PTRACE_SETREGS, NULL, &nothing);
    go_on(tracee, PTRACE_SYSCALL);
    await_stop(tracee);
    hide(tracee, false, 0);
    call.rip -= CALL_SIZE;
    call.rax = call.orig_rax;
    ask(tracee, PTRACE_SETREGS, NULL, &call);
    do {
        go_on(tracee, PTRACE_SYSCALL);
        await_stop(tracee);
        keep_signal(tracee);
    } while (!tracee->ended && !stands_at_call(tracee));
}

static enum tracee_event leave_call(struct tracee *tracee)
{
    registers call;

    ask(tracee, PTRACE_GETREGS, NULL, &call);
    tracee->place = TRACEE_AFTER_CALL;
    tracee->calls++;
    if (changes_mappings(call.orig_rax))
        note_ranges(tracee);
    return TRACEE_STEPPED;
}

/* Whether the kernel will do its call once more. */
static bool restarts(struct tracee *tracee)
{
    registers call;
    long result;

    ask(tracee, PTRACE_GETREGS, NULL, &call);
    result = (long)call.rax;
    return (long)call.orig_rax >= 0 && result <= -512 && result >= -516;
}

/* From where the kernel has left it to its own code; false if there is an event before. */
static bool return_to_code(struct tracee *tracee)
{
    while (tracee->place == TRACEE_AFTER_CALL && !tracee->ended) {
        go_on(tracee, restarts(tracee) ? PTRACE_SYSCALL : PTRACE_SINGLESTEP);
        await_stop(tracee);
        if (tracee->ended)
            return false;
        if (stands_at_call(tracee)) {
            enter_call(tracee);
            return true;
        }
        if (stop_signal(tracee) == SIGSTOP)
            return false;
        if (stop_signal(tracee) == SIGTRAP)
            tracee->place = TRACEE_IN_CODE;
        else
            tracee->signal = stop_signal(tracee);
    }
    return true;
}

/* The instruction that needs this part of the segment, or several. */
static enum tracee_event touch(struct tracee *tracee, uintptr_t address)
{
    while (address) {
        hide(tracee, false, address);
        ask(tracee, PTRACE_SINGLESTEP, NULL, NULL);
        await_stop(tracee);
        address = touched(tracee);
    }
    keep_signal(tracee);
    if (!tracee->ended && stop_signal(tracee) != SIGTRAP)
        run_one(tracee); /* a signal came first */
    tracee->accesses++;
    return tracee->ended ? TRACEE_ENDED : TRACEE_STEPPED;
}

static enum tracee_event stopped(const struct tracee *tracee)
{
    return tracee->ended ? TRACEE_ENDED : TRACEE_MARKED;
}

enum tracee_event tracee_next(struct tracee *tracee)
{
    bool looks = tracee->place == TRACEE_IN_CALL; /* it sleeps: it is on its way */
    uintptr_t address;

    if (!return_to_code(tracee))
        return stopped(tracee);
    if (tracee->place == TRACEE_IN_CODE)
        hide(tracee, true, 0);
    for (;; looks = false) {
        if (!looks)
            go_on(tracee, PTRACE_SYSCALL);
        if (tracee->ended)
            return TRACEE_ENDED;
        if (!stands_soon(tracee))
            return TRACEE_SLEEPS;
        if (tracee->ended)
            return TRACEE_ENDED;
        if (stands_at_call(tracee) && tracee->place == TRACEE_IN_CALL)
            return leave_call(tracee);
        if (stands_at_call(tracee))
            enter_call(tracee);
        else if ((address = touched(tracee)))
            return touch(tracee, address);
        else if (stop_signal(tracee) == SIGSTOP)
            return TRACEE_MARKED;
        else
            keep_signal(tracee);
    }
}

/* ---- Beginning and end ---------------------------------------------------------------- */

enum { OPTIONS = PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL };
enum { BIRTHS = PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE };

/* It stands in the kernel: behind an instruction that has called that. */
static void begin(struct tracee *tracee, pid_t pid, bool reads)
{
    registers call;

    *tracee = (struct tracee){ .pid = pid, .reads = reads, .place = TRACEE_AFTER_CALL };
    await_stop(tracee);
    ask(tracee, PTRACE_SETOPTIONS, NULL, (void *)OPTIONS);
    ask(tracee, PTRACE_GETREGS, NULL, &call);
    if (!tracee->ended)
        tracee->call = call.rip - CALL_SIZE;
    note_ranges(tracee);
}

void tracee_take(struct tracee *tracee, pid_t pid, bool reads)
{
    if (ptrace(PTRACE_SEIZE, pid, NULL, (void *)OPTIONS) != 0 ||
        ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) != 0)
        SKIP("no process can be traced here: %s", strerror(errno));
    begin(tracee, pid, reads);
}

static pid_t await_birth(struct tracee *parent)
{
    unsigned long child;

    ask(parent, PTRACE_SETOPTIONS, NULL, (void *)(OPTIONS | BIRTHS));
    for (;;) {
        go_on(parent, PTRACE_CONT);
        await_stop(parent);
        if (parent->ended)
            return 0;
        if (parent->status >> 16 && stop_signal(parent) == SIGTRAP &&
            parent->status >> 16 <= PTRACE_EVENT_CLONE)
            break;
        if (!(parent->status >> 16) && stop_signal(parent) != SIGTRAP)
            parent->signal = stop_signal(parent);
    }
    ask(parent, PTRACE_GETEVENTMSG, NULL, &child);
    return (pid_t)child;
}

bool tracee_take_child(struct tracee *parent, struct tracee *child)
{
    bool reads = child->reads;
    pid_t pid = await_birth(parent);

    if (!pid)
        return false;
    begin(child, pid, reads);
    tracee_release(parent);
    return true;
}

void tracee_release(struct tracee *tracee)
{
    tracee_show(tracee);
    if (tracee->ended)
        return;
    if (tracee->place == TRACEE_IN_CALL) { /* only who stands can be let go */
        ask(tracee, PTRACE_INTERRUPT, NULL, NULL);
        await_stop(tracee);
        keep_signal(tracee);
    }
    if (!tracee->ended &&
        ptrace(PTRACE_DETACH, tracee->pid, NULL, (void *)(long)tracee->signal) != 0)
        await_stop(tracee); /* it was killed */
    tracee->ended = true;
}

void tracee_show(struct tracee *tracee)
{
    if (tracee->place == TRACEE_IN_CODE)
        hide(tracee, false, 0);
}

void tracee_look(struct tracee *tracee)
{
    if (tracee->ended || waitpid(tracee->pid, &tracee->status, __WALL | WNOHANG) <= 0)
        return;
    note_stop(tracee);
    if (tracee->ended)
        return;
    if (stands_at_call(tracee))
        leave_call(tracee);
    else
        keep_signal(tracee);
    tracee->place = TRACEE_AFTER_CALL;
}

void tracee_kill(struct tracee *tracee)
{
    tracee_show(tracee); /* the kernel marks its life word there */
    while (!tracee->ended) {
        kill(tracee->pid, SIGKILL);
        await_stop(tracee);
    }
}

#endif
