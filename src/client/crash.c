/* SPDX-License-Identifier: MIT */
/*
 * How workers died, in words: from what the kernel says, and from what the dead have left on
 * their seats, of which nothing is believed.
 */
#include <ctype.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/process.h"
#include "client/client.h"

void ppi_forget_crashes(struct ppi_crashes *crashes)
{
    free(crashes->backtrace.lines);
    ppi_backtraces_free(crashes->backtraces);
}

/*
 * A copy of what a worker has left of its end by this signal, to be freed; NULL if there is
 * nothing, or nothing that makes sense.
 */
static struct ppi_crash_shm *copy_report(const pp_pool *pool, unsigned seat,
                                         uint32_t incarnation, int number)
{
    const struct ppi_seat_shm *shm = ppi_queue_seat(pool->queue, seat);
    struct ppi_crash_shm *report;

    /* Partner: write_report() in the worker. */
    if (atomic_load_explicit(&shm->crashed, memory_order_acquire) != incarnation)
        return NULL;
    report = malloc(sizeof *report);
    if (!report)
        return NULL;
    memcpy(report, &shm->crash, offsetof(struct ppi_crash_shm, stack));
    if (report->signal != number || report->count > PPI_CRASH_REGISTERS ||
        report->stack_size > PPI_CRASH_STACK) {
        free(report);
        return NULL;
    }
    memcpy(report->stack, shm->crash.stack, report->stack_size);
    report->words[PPI_CRASH_WORDS - 1] = '\0';
    return report;
}

/* Whether the signal tells of memory that could not be reached. */
static bool is_of_memory(const struct ppi_crash_shm *report)
{
    return report->code > 0 && (report->signal == SIGSEGV || report->signal == SIGBUS);
}

/* Workers of a fresh image have its code where their supervisor has it. */
static struct ppi_backtraces *open_backtraces(const pp_pool *pool)
{
    struct ppi_backtraces *backtraces;
    char *maps;

    if (pool->start != PP_SPAWN)
        return ppi_backtraces_new(NULL);
    maps = ppi_read_maps((pid_t)(atomic_load(&pool->queue->control->life) & FUTEX_TID_MASK));
    backtraces = maps ? ppi_backtraces_new(maps) : NULL;
    free(maps);
    return backtraces;
}

static void find_way(pp_pool *pool, const struct ppi_crash_shm *report,
                     const struct ppi_outermost *outermost)
{
    struct ppi_crashes *crashes = &pool->crashes;
    const struct ppi_stopped stopped = {
        .pc = report->pc,
        .sp = report->sp,
        .registers = report->registers,
        .count = report->count,
        .stack = report->stack,
        .stack_at = report->stack_at,
        .stack_size = report->stack_size,
        .astray = is_of_memory(report) && report->address == report->pc,
    };

    if (!crashes->backtraces)
        crashes->backtraces = open_backtraces(pool);
    if (!crashes->backtraces ||
        !ppi_backtrace_of(crashes->backtraces, &stopped, outermost, &crashes->backtrace))
        crashes->backtrace = (struct ppi_backtrace){ 0 };
}

/* What libc has said of it, without what would not look well in the middle of a line. */
static void quote(const char *words, char *text, size_t size)
{
    size_t length = strlen(words);
    char *at;

    while (length > 0 &&
           (isspace((unsigned char)words[length - 1]) || words[length - 1] == '.'))
        length--;
    if (length > 0)
        snprintf(text, size, " (%.*s)", (int)length, words);
    for (at = text; *at; at++)
        if (iscntrl((unsigned char)*at))
            *at = ' ';
}

static void say_what(const struct ppi_crash_shm *report, char *text, size_t size)
{
    *text = '\0';
    if (report->signal == SIGABRT)
        quote(report->words, text, size);
    else if (report->overflow)
        snprintf(text, size, ": stack overflow");
    else if (is_of_memory(report) && report->code == SI_KERNEL)
        snprintf(text, size, " at an impossible address"); /* and does not say which */
    else if (is_of_memory(report))
        snprintf(text, size, " at address 0x%llx", (unsigned long long)report->address);
}

/* Makes the dead worker's report the one that crashes tells of, unless it is already. */
static void take_report(pp_pool *pool, unsigned seat, int number,
                        const struct ppi_outermost *outermost)
{
    struct ppi_crashes *crashes = &pool->crashes;
    uint32_t incarnation = ppi_announced(pool, seat);
    struct ppi_crash_shm *report;

    if (crashes->seat == seat && crashes->incarnation == incarnation)
        return;
    free(crashes->backtrace.lines);
    *crashes = (struct ppi_crashes){
        .backtraces = crashes->backtraces, .seat = seat, .incarnation = incarnation
    };
    report = copy_report(pool, seat, incarnation, number);
    if (!report)
        return;
    find_way(pool, report, outermost);
    say_what(report, crashes->what, sizeof crashes->what);
    if (report->code > 0 && report->signal != SIGABRT)
        crashes->address = (const void *)(uintptr_t)report->address;
    free(report);
}

/* Sets what the report says; what comes after "was killed by SIGSEGV". */
static void describe_report(pp_pool *pool, unsigned seat, int number,
                            const struct ppi_outermost *outermost, pp_error *error, char *text,
                            size_t size)
{
    const struct ppi_crashes *crashes = &pool->crashes;
    const char *where = crashes->backtrace.where;

    take_report(pool, seat, number, outermost);
    error->address = crashes->address;
    error->backtrace = crashes->backtrace.lines;
    snprintf(text, size, "%s%s%s", crashes->what, *where ? " in " : "", where);
}

void ppi_describe_death(pp_pool *pool, unsigned seat, int status,
                        const struct ppi_outermost *outermost, pp_error *error, char *how,
                        size_t size)
{
    char more[PPI_HOW_SIZE - 32];
    const char *name;

    error->kind = PP_CRASHED;
    if (!WIFSIGNALED(status)) {
        error->status = WEXITSTATUS(status);
        snprintf(how, size, "exited with status %d", error->status);
        return;
    }
    error->signal = WTERMSIG(status);
    describe_report(pool, seat, error->signal, outermost, error, more, sizeof more);
    name = sigabbrev_np(error->signal);
    snprintf(how, size, "was killed by SIG%s%s", name ? name : "?", more);
}

void ppi_describe_failure(pp_pool *pool, pp_error *error, char *text, size_t size)
{
    const struct ppi_control_shm *control = pool->queue->control;
    const struct ppi_outermost outermost = {
        ppi_objects_there(pool->objects, (uintptr_t)pool->heritage.initializer), NULL
    };
    int code = control->failure_code, status = control->failure_status;
    char more[PPI_HOW_SIZE] = "";

    error->kind = code ? PP_RAISED : PP_CRASHED;
    error->code = code < 0 ? -code : code;
    error->message = text;
    if (!code && WIFSIGNALED(status)) {
        error->signal = WTERMSIG(status);
        describe_report(pool, control->failure_seat, error->signal, &outermost, error, more,
                        sizeof more);
    } else if (!code && WIFEXITED(status)) {
        error->status = WEXITSTATUS(status);
    }
    snprintf(text, size, "%s%s",
             control->failure[0] ? control->failure : "the supervisor died", more);
}
