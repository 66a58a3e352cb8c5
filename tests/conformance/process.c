/* SPDX-License-Identifier: MIT */
/* What only processes can do: a crash is an error of its item, what runs can be stopped. */
#include <signal.h>

#include "battery.h"

enum way { FINE, SEGV, ABORTED, EXIT_0, EXIT_3, KILLED, OVERFLOWN };

static int recurse(int depth);
static int (*volatile recurse_again)(int) = recurse; /* compilers see through it else */

static int recurse(int depth)
{
    volatile char frame[10000];

    frame[0] = (char)depth;
    return frame[0] + recurse_again(depth + 1) + frame[0];
}

static int end(enum way way)
{
    volatile int *volatile nowhere = NULL;

    switch (way) {
    case FINE:
        break;
    case SEGV:
        *nowhere = 1;
        break;
    case ABORTED:
        abort();
    case EXIT_0:
        exit(0);
    case EXIT_3:
        _exit(3);
    case KILLED:
        kill(getpid(), SIGKILL);
        break;
    case OVERFLOWN:
        return recurse(0);
    }
    return (int)way;
}
PP_TASK(int, end, enum way, way);

static void check_crash(enum way way, int signal, int status)
{
    pp_pool *pool = new_pool(.processes = 1);
    pp_result *result = pp_apply_async(pool, PP_CALL(end, way));
    const pp_error *error;
    int value = 42;

    CHECK_EQ(pp_get(result, &value), PP_ECRASHED);
    CHECK_EQ(value, 42);
    error = pp_error_of(result);
    CHECK_EQ(error->kind, PP_CRASHED);
    CHECK_EQ(error->signal, signal);
    CHECK_EQ(error->status, status);
    CHECK_EQ(error->code, 0);
    CHECK(error->pid > 0 && error->pid != getpid());
    CHECK_STR(error->function, "end");
    CHECK_HAS(error->message, "end");
    check_works(pool); /* another worker is there */
    finish(pool);
}

/* Sanitizers report some and exit with a status of their own. */
CASE(crash_by_segfault)
{
    if (HARNESS_SANITIZED)
        SKIP("the sanitizer reports it and exits");
    check_crash(SEGV, SIGSEGV, 0);
}

CASE(crash_by_stack_overflow)
{
    if (HARNESS_SANITIZED)
        SKIP("the sanitizer reports it and exits");
    check_crash(OVERFLOWN, SIGSEGV, 0);
}

CASE(crash_by_abort)
{
    check_crash(ABORTED, SIGABRT, 0);
}

CASE(crash_by_exit)
{
    check_crash(EXIT_0, 0, 0);
    check_crash(EXIT_3, 0, 3);
}

CASE(crash_by_kill)
{
    check_crash(KILLED, SIGKILL, 0);
}

static int tell_and_wait(struct gate *gate, atomic_int *pid)
{
    atomic_store(pid, getpid());
    gate_wait(gate);
    return 0;
}
PP_TASK(int, tell_and_wait, struct gate *, gate, atomic_int *, pid);

CASE(killed_from_outside)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct gate *gate = gate_in(pool);
    atomic_int *pid = counter_in(pool);
    pp_error *error = NULL;

    for (int i = 0; i < 5; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(tell_and_wait, gate, pid));

        CHECK_SOON(atomic_load(pid) > 0);
        CHECK_EQ(kill(atomic_exchange(pid, 0), SIGKILL), 0);
        CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
        CHECK_EQ(pp_error_of(result)->signal, SIGKILL);
        check_works(pool);
    }
    free(error);
    finish(pool);
}

/* One that does nothing is replaced, and nobody else notices. */
static pid_t process_id(int unused)
{
    return getpid() + 0 * unused;
}
PP_TASK(pid_t, process_id, int, unused);

CASE(killed_while_idle)
{
    pp_pool *pool = new_pool(.processes = 1);

    for (int i = 0; i < 5; i++) {
        pid_t before = 0, after = 0;

        CHECK_EQ(pp_apply(pool, PP_CALL(process_id, i), &before), 0);
        CHECK_EQ(kill(before, SIGKILL), 0);
        CHECK_SOON(!is_alive(before));
        CHECK_EQ(pp_apply(pool, PP_CALL(process_id, i), &after), 0);
        CHECK(after != before);
    }
    finish(pool);
}

CASE(crashes_in_a_map)
{
    pp_pool *pool = new_pool(.processes = 2);
    enum way items[40] = { FINE };
    int out[40];

    for (int i = 0; i < 40; i++)
        items[i] = i % 8 == 5 ? (i % 16 == 5 ? KILLED : EXIT_3) : FINE;
    for (long chunksize = 0; chunksize < 41; chunksize += 8) {
        pp_result *result = pp_map_async(pool, end, items, 40, .chunksize = chunksize);

        memset(out, -1, sizeof out);
        CHECK_EQ(pp_get(result, out), PP_ECRASHED);
        CHECK_EQ(pp_failures(result), 5);
        for (size_t i = 0; i < 5; i++)
            CHECK_EQ(pp_failure(result, i)->index, 8 * i + 5);
        for (int i = 0; i < 40; i++)
            CHECK_EQ(out[i], i % 8 == 5 ? -1 : FINE);
        pp_result_free(result);
    }
    finish(pool);
}

CASE(crashes_in_an_imap)
{
    pp_pool *pool = new_pool(.processes = 1);
    enum way items[] = { FINE, KILLED, FINE, EXIT_0, FINE };
    pp_iter *iter = pp_imap(pool, end, .items = items, .count = 5);

    for (int i = 0; i < 5; i++) {
        CHECK_EQ(pp_next(iter, NULL), i % 2 ? PP_ECRASHED : 0);
        if (i % 2)
            CHECK_EQ(pp_iter_error(iter)->kind, PP_CRASHED);
    }
    CHECK_EQ(pp_next(iter, NULL), PP_STOP_ITERATION);
    finish(pool);
}

static int exit_in_initializer(void *arg)
{
    (void)arg;
    _exit(5);
}

CASE(initializer_crashes)
{
    pp_error *error = NULL;

    CHECK_NULL(
        try_pool(.processes = 1, .initializer = exit_in_initializer, .error = &error),
        ENOTRECOVERABLE);
    CHECK_EQ(error->kind, PP_CRASHED);
    CHECK_EQ(error->status, 5);
    free(error);
}

/* ---- Retries ---- */

static int crash_until(int attempt)
{
    if (pp_attempt() < attempt)
        kill(getpid(), SIGKILL);
    return pp_attempt();
}
PP_TASK(int, crash_until, int, attempt);

CASE(retries)
{
    pp_pool *pool = new_pool(.processes = 2);
    int items[] = { 1, 2, 3, 4, 5 }, out[5] = { 0 }, value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(crash_until, 3), &value, .retries = 2), 0);
    CHECK_EQ(value, 3);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash_until, 3), NULL, .retries = 1), PP_ECRASHED);
    CHECK_EQ(pp_map(pool, crash_until, items, 5, out, .retries = 3), PP_ECRASHED);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(out[i], i + 1);
    CHECK_EQ(out[4], 0);
    finish(pool);
}

/* ---- Stopping what runs ---- */

static void stay(struct gate *gate)
{
    gate_wait(gate);
}
PP_TASK(void, stay, struct gate *, gate);

/* SIGTERM comes first: a task that heeds it can still return. */
static atomic_int asked;

static void note_signal(int signal)
{
    atomic_store(&asked, signal);
}

static int heed_sigterm(struct gate *gate)
{
    atomic_store(&asked, 0);
    signal(SIGTERM, note_signal);
    atomic_fetch_add(&gate->waiting, 1);
    while (!atomic_load(&asked))
        harness_nap();
    signal(SIGTERM, SIG_DFL);
    return atomic_load(&asked);
}
PP_TASK(int, heed_sigterm, struct gate *, gate);

CASE(cancel_what_runs)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct gate *gate = gate_in(pool);
    pp_result *result, *other = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 5));
    long value = 0;

    for (int i = 0; i < 5; i++) {
        result = pp_apply_async(pool, PP_CALL(stay, gate));
        CHECK_SOON(atomic_load(&gate->waiting) == i + 2);
        CHECK_EQ(pp_cancel(result), 0);
        CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    }
    gate_open(gate);
    CHECK_EQ(pp_get(other, &value), 0);
    CHECK_EQ(value, 25);
    finish(pool);
}

CASE(cancel_with_grace)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    pp_result *result = pp_apply_async(pool, PP_CALL(heed_sigterm, gate), .grace = 1000);
    int value = 0;

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_EQ(pp_cancel(result), 0);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, SIGTERM);
    finish(pool);
}

/* Enough for what ends by itself, and for a handler to be there. */
#define LIMIT (0.2 * harness_time_factor())

CASE(time_limit_with_grace)
{
    pp_pool *pool = new_pool(.processes = 1);
    struct gate *gate = gate_in(pool);
    int value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(heed_sigterm, gate), &value, .time_limit = LIMIT,
                      .grace = 1000),
             0);
    CHECK_EQ(value, SIGTERM);
    finish(pool);
}

/* Where what runs cannot be stopped a limit is refused, everywhere. */
CASE(time_limit)
{
    pp_pool *pool = new_pool(.processes = 2);
    struct gate *gate = gate_in(pool), *open = gate_in(pool);
    PP_ARGS(stay) items[] = { { open }, { gate }, { open } };
    int expected = in_processes() ? PP_ETIMELIMIT : -ENOTSUP;
    pp_result *result;

    gate_open(open);
    CHECK_EQ(pp_apply(pool, PP_CALL(stay, gate), NULL, .time_limit = LIMIT), expected);
    CHECK_EQ(pp_starmap(pool, stay, items, 3, NULL, .time_limit = LIMIT), expected);
    CHECK_EQ(pp_apply(pool, PP_CALL(stay, open), NULL, .time_limit = 1000),
             in_processes() ? 0 : -ENOTSUP);
    if (in_processes()) {
        result = pp_starmap_async(pool, stay, items, 3, .chunksize = 3, .time_limit = LIMIT);
        CHECK_EQ(pp_get(result, NULL), PP_ETIMELIMIT);
        CHECK_EQ(pp_failures(result), 1);
        CHECK_EQ(pp_error_of(result)->kind, PP_TIMED_OUT);
        CHECK_EQ(pp_error_of(result)->index, 1);
    } else {
        CHECK_NULL(pp_apply_async(pool, PP_CALL(stay, open), .time_limit = 1), ENOTSUP);
        CHECK_NULL(pp_starmap_async(pool, stay, items, 3, .time_limit = 1), ENOTSUP);
        CHECK_NULL(pp_istarmap(pool, stay, .items = items, .count = 3, .time_limit = 1),
                   ENOTSUP);
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(stay, open), NULL, .time_limit = __builtin_inf()), 0);
    finish(pool);
}
