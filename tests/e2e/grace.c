/* SPDX-License-Identifier: MIT */
/* .grace: what is stopped is told so by SIGTERM first, and may still end well. */
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

/* What a task does when SIGTERM comes. */
enum answer {
    RETURN,
    RAISE,
    RAISE_INSIDE, /* in the handler itself */
    JUMP,      /* out of the handler, as cleaning up may */
    LEAVE,     /* exits in the handler */
    LEAVE_LATER, /* exits after it */
    CRASH,
    GO_ON,
    DIE,       /* there is no handler */
    BLOCK,     /* it stays blocked */
    RETURN_UNSEEN, /* returns with a SIGTERM blocked that has come */
};

struct mark {
    atomic_int runs;
    atomic_int pid;
    atomic_int terms;   /* how often SIGTERM came */
    atomic_int cleaned; /* the task has done what it wanted to do before it ends */
};

static struct mark *marked;
static volatile sig_atomic_t told;
static sigjmp_buf way_out;

static void note(int signal)
{
    (void)signal;
    atomic_fetch_add(&marked->terms, 1);
    told = 1;
}

static void note_and_jump(int signal)
{
    note(signal);
    siglongjmp(way_out, 1);
}

static void note_and_raise(int signal)
{
    note(signal);
    atomic_store(&marked->cleaned, 1);
    pp_raise(EDOM, "told");
}

static void note_and_leave(int signal)
{
    note(signal);
    _exit(0);
}

static void set_mask(int how)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigprocmask(how, &set, NULL);
}

static bool is_pending(void)
{
    sigset_t set;

    sigpending(&set);
    return sigismember(&set, SIGTERM);
}

static void expect_term(enum answer answer)
{
    if (answer == BLOCK || answer == RETURN_UNSEEN)
        set_mask(SIG_BLOCK);
    else
        signal(SIGTERM, answer == DIE     ? SIG_DFL
                        : answer == LEAVE ? note_and_leave
                        : answer == RAISE_INSIDE ? note_and_raise
                        : answer == JUMP  ? note_and_jump
                                          : note);
}

static void wait_for_term(enum answer answer)
{
    if (answer == RETURN_UNSEEN) {
        while (!is_pending())
            sleep_for(100);
        return;
    }
    while (!told || answer == GO_ON)
        sleep_for(100);
}

/* Ends only after it was told. */
static long heed(struct mark *mark, enum answer answer, long x)
{
    marked = mark;
    told = 0;
    atomic_store(&mark->pid, getpid());
    atomic_fetch_add(&mark->runs, 1);
    if (!sigsetjmp(way_out, 1)) {
        expect_term(answer);
        wait_for_term(answer);
    }
    atomic_store(&mark->cleaned, 1);
    if (answer == RAISE)
        pp_raise(EDOM, "told");
    if (answer == LEAVE_LATER)
        _exit(0);
    if (answer == CRASH)
        raise(SIGSEGV);
    return 3 * x + 1;
}
PP_TASK(long, heed, struct mark *, mark, enum answer, answer, long, x);

static pid_t process_id(void)
{
    return getpid();
}
PP_TASK(pid_t, process_id);

/* As in a process that no task was told in: the disposition is the task's own affair, the
   mask, which a handler may have left behind, is not. */
static pid_t process_with_default(void)
{
    sigset_t mask;

    signal(SIGTERM, SIG_DFL);
    sigprocmask(SIG_SETMASK, NULL, &mask);
    return sigismember(&mask, SIGTERM) ? 0 : getpid();
}
PP_TASK(pid_t, process_with_default);

/* That the worker is still that one, and is not killed after all. */
static void check_survived(pp_pool *pool, pid_t pid)
{
    pid_t other = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(process_with_default), &other), 0);
    CHECK_EQ(other, pid);
    for (int i = 0; i < 200; i++) {
        sleep_for(100);
        CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &other), 0);
        CHECK_EQ(other, pid);
    }
}

/* Enough for the handler to be there, and to run. */
#define LIMIT (0.2 * harness_time_factor())

static void check_ends_well(enum answer answer, int code, double grace)
{
    struct mark *mark = shared_new(sizeof *mark);
    pp_pool *pool = pool_of(1);
    pp_error *error = NULL;
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(heed, mark, answer, 5), &value, .time_limit = LIMIT,
                      .grace = grace, .error = &error), code);
    CHECK_EQ(value, code ? 0 : 16);
    CHECK_EQ(atomic_load(&mark->runs), 1);
    CHECK_EQ(atomic_load(&mark->cleaned), 1);
    CHECK_EQ(atomic_load(&mark->terms), answer == RETURN_UNSEEN ? 0 : 1);
    if (code) {
        CHECK_EQ(error->kind, PP_RAISED);
        CHECK_EQ(error->code, EDOM);
        CHECK_STR(error->message, "told");
        free(error);
    }
    check_survived(pool, atomic_load(&mark->pid));
    finish(pool);
    shared_free(mark, sizeof *mark);
}

/* A grace that no test would wait for: what waits for it to end takes too long. */
#define LONG 1000

TEST(returns)
{
    check_ends_well(RETURN, 0, LONG);
}

TEST(returns_in_endless_grace)
{
    check_ends_well(RETURN, 0, 1.0 / 0.0);
    check_ends_well(RETURN, 0, 1e300);
    check_ends_well(RETURN, 0, 4294967.296); /* 2^32 ms */
}

TEST(returns_in_short_grace)
{
    check_ends_well(RETURN, 0, 0.3 * harness_time_factor());
}

TEST(raises)
{
    check_ends_well(RAISE, PP_ERAISED, LONG);
}

TEST(raises_in_the_handler)
{
    check_ends_well(RAISE_INSIDE, PP_ERAISED, LONG);
}

TEST(jumps_out_of_the_handler)
{
    check_ends_well(JUMP, 0, LONG);
}

TEST(returns_with_the_signal_pending)
{
    check_ends_well(RETURN_UNSEEN, 0, LONG);
}

/* Ends in another way than by returning or raising: then its time is what is over. */
static void check_is_lost(enum answer answer, bool cleans, double grace)
{
    struct mark *mark = shared_new(sizeof *mark);
    pp_pool *pool = pool_of(1);
    pp_error *error = NULL;
    pid_t pid = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(heed, mark, answer, 5), NULL, .time_limit = LIMIT,
                      .grace = grace, .error = &error), PP_ETIMELIMIT);
    CHECK_EQ(error->kind, PP_TIMED_OUT);
    CHECK_EQ(error->signal, 0);
    CHECK_EQ(error->status, 0);
    CHECK_EQ(error->pid, atomic_load(&mark->pid));
    CHECK_EQ(atomic_load(&mark->runs), 1);
    CHECK_EQ(atomic_load(&mark->cleaned), cleans);
    CHECK_EQ(atomic_load(&mark->terms), answer == DIE || answer == BLOCK ? 0 : 1);
    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &pid), 0);
    CHECK(pid != error->pid);
    free(error);
    finish(pool);
    shared_free(mark, sizeof *mark);
}

TEST(exits_in_the_handler)
{
    check_is_lost(LEAVE, false, LONG);
}

TEST(exits_after_it)
{
    check_is_lost(LEAVE_LATER, true, LONG);
}

TEST(crashes_after_it)
{
    check_is_lost(CRASH, true, LONG);
}

TEST(has_no_handler)
{
    check_is_lost(DIE, false, LONG);
}

TEST(does_not_heed_it)
{
    check_is_lost(GO_ON, false, LIMIT);
}

TEST(keeps_it_blocked)
{
    check_is_lost(BLOCK, false, LIMIT);
}

TEST(shortest_grace)
{
    check_is_lost(BLOCK, false, 1e-300);
}

/* Without a grace there is no SIGTERM. */
TEST(no_grace)
{
    struct mark *mark = shared_new(sizeof *mark);
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_apply(pool, PP_CALL(heed, mark, RETURN, 5), NULL, .time_limit = 0.05),
             PP_ETIMELIMIT);
    CHECK_EQ(atomic_load(&mark->runs), 1);
    CHECK_EQ(atomic_load(&mark->terms), 0);
    CHECK_EQ(atomic_load(&mark->cleaned), 0);
    finish(pool);
    shared_free(mark, sizeof *mark);
}

/* A grace without a limit is for pp_cancel() alone. */
TEST(no_limit)
{
    struct mark *mark = shared_new(sizeof *mark);
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(heed, mark, RETURN, 5), .grace = 0.001);

    CHECK_SOON(atomic_load(&mark->runs) == 1);
    CHECK_EQ(pp_wait(result, .timeout = 0.2), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&mark->terms), 0);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    shared_free(mark, sizeof *mark);
}

/* ---- In maps ------------------------------------------------------------------ */

/* Items that are told, and items that end by themselves, which are never told. */
static long heed_or_triple(struct mark *mark, bool slow, long x)
{
    marked = mark;
    told = 0;
    signal(SIGTERM, note);
    atomic_store(&mark->pid, getpid());
    atomic_fetch_add(&mark->runs, 1);
    while (slow && !told)
        sleep_for(100);
    return 3 * x + 1;
}
PP_TASK(long, heed_or_triple, struct mark *, mark, bool, slow, long, x);

static void check_map(int workers, long chunksize)
{
    enum { COUNT = 60 };
    struct mark *marks = shared_new(COUNT * sizeof *marks);
    PP_ARGS(heed_or_triple) items[COUNT];
    struct census before, after;
    long out[COUNT];
    pp_pool *pool;

    for (int i = 0; i < COUNT; i++)
        items[i] = (PP_ARGS(heed_or_triple)){ &marks[i], i % 7 == 3 || i % 7 == 4, i };
    pool = pool_of(workers);
    CHECK(take_census(&before, (size_t)workers));
    CHECK_EQ(pp_starmap(pool, heed_or_triple, items, COUNT, out, .chunksize = chunksize,
                        .time_limit = 0.1 * harness_time_factor(), .grace = LONG), 0);
    for (int i = 0; i < COUNT; i++) {
        CHECK_EQ(out[i], 3 * i + 1);
        CHECK_EQ(atomic_load(&marks[i].runs), 1);
        CHECK_EQ(atomic_load(&marks[i].terms), items[i].slow);
    }
    CHECK(take_census(&after, (size_t)workers)); /* nobody had to be replaced */
    for (int i = 0; i < workers; i++) {
        int same = 0;

        for (int j = 0; j < workers; j++)
            same += before.workers[j] == after.workers[i];
        CHECK_EQ(same, 1);
    }
    finish(pool);
    shared_free(marks, COUNT * sizeof *marks);
}

TEST(in_one_chunk)
{
    check_map(1, 100);
}

TEST(in_chunks)
{
    check_map(2, 5);
}

TEST(in_guided_chunks)
{
    check_map(3, 0);
}

TEST(one_by_one)
{
    check_map(3, 1);
}

/* ---- Many in the same process -------------------------------------------------- */

/* Told again and again, a worker serves a hundred calls, and between them others that
   a late signal would kill. */
TEST(one_worker_is_told_often)
{
    enum { CALLS = 100 };
    struct mark *marks = shared_new(CALLS * sizeof *marks);
    pp_pool *pool = pool_of(1);
    pid_t first = 0, pid = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &first), 0);
    for (int i = 0; i < CALLS; i++) {
        long value = 0;
        int code = pp_apply(pool, PP_CALL(heed, &marks[i], i % 2 ? RETURN : JUMP, i), &value,
                            .time_limit = 0.002, .grace = LONG);

        if (!atomic_load(&marks[i].cleaned)) { /* hit before it had a handler */
            CHECK_EQ(code, PP_ETIMELIMIT);
            CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &first), 0);
            continue;
        }
        CHECK_EQ(code, 0);
        CHECK_EQ(value, 3 * i + 1);
        CHECK_EQ(atomic_load(&marks[i].terms), 1);
        CHECK_EQ(pp_apply(pool, PP_CALL(process_with_default), &pid), 0);
        CHECK_EQ(pid, first);
    }
    finish(pool);
    shared_free(marks, CALLS * sizeof *marks);
}
