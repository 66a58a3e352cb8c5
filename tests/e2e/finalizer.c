/* SPDX-License-Identifier: MIT */
/* The finalizer: what runs when a worker ends as it should, and how a worker ends. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* Seen by all: what the finalizer is to do, and what it has done. */
static struct note {
    atomic_int starts, ends; /* of finalizers */
    atomic_int last;         /* of the local data of one */
    atomic_int exits;        /* of functions that were given to atexit() */
    atomic_int deaths;
    atomic_int cause, signal, status, code;
    char message[256];
    struct gate gate;
} *note;

static void note_new(void)
{
    note = shared_new(sizeof *note);
}

static void note_free(void)
{
    shared_free(note, sizeof *note);
    note = NULL;
}

static void say(void *local)
{
    atomic_fetch_add(&note->starts, 1);
    if (local)
        atomic_store(&note->last, *(int *)local);
    atomic_fetch_add(&note->ends, 1);
}

static int set_local(void *arg)
{
    static int number;

    number = *(int *)arg + pp_worker_incarnation();
    pp_worker_set_local(&number);
    return 0;
}

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static void die(void)
{
    raise(SIGKILL);
}
PP_TASK(void, die);

static void stay(void)
{
    gate_wait(&note->gate);
}
PP_TASK(void, stay);

static void check_squares(pp_pool *pool, long count, long chunksize)
{
    long items[2000], values[2000];

    for (long i = 0; i < count; i++)
        items[i] = i;
    CHECK_EQ(pp_map(pool, square, items, (size_t)count, values, .chunksize = chunksize), 0);
    for (long i = 0; i < count; i++)
        CHECK_EQ(values[i], i * i);
}

/* ---- When it runs ------------------------------------------------------------------- */

TEST(runs_in_each_worker_when_the_pool_is_joined)
{
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 3, .finalizer = say);
    check_squares(pool, 100, 1);
    CHECK_EQ(atomic_load(&note->starts), 0);
    finish(pool);
    CHECK_EQ(atomic_load(&note->starts), 3);
    CHECK_EQ(atomic_load(&note->ends), 3);
    note_free();
}

TEST(runs_in_workers_that_have_never_worked)
{
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 200, .finalizer = say);
    CHECK(pool != NULL);
    finish(pool);
    CHECK_EQ(atomic_load(&note->ends), 200);
    note_free();
}

TEST(is_given_what_the_worker_has_made)
{
    int start = 40;
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 1, .initializer = set_local, .initarg = &start,
                       .finalizer = say);
    CHECK_EQ(pp_apply(pool, PP_CALL(die), NULL), PP_ECRASHED);
    check_squares(pool, 1, 1);
    finish(pool);
    CHECK_EQ(atomic_load(&note->ends), 1); /* not of the one that was killed */
    CHECK_EQ(atomic_load(&note->last), 42);
    note_free();
}

/* Also in the middle of a chunk: its rest is run by the next. */
TEST(runs_when_a_worker_has_done_its_share)
{
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 10, .finalizer = say);
    check_squares(pool, 1000, 37);
    finish(pool);
    CHECK(atomic_load(&note->ends) >= 100);
    CHECK_EQ(atomic_load(&note->starts), atomic_load(&note->ends));
    note_free();
}

TEST(does_not_run_when_the_pool_is_terminated)
{
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 2, .finalizer = say);
    check_squares(pool, 100, 1);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    pool = pp_pool_new(.processes = 2, .finalizer = say);
    check_squares(pool, 100, 1);
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(atomic_load(&note->starts), 0);
    note_free();
}

static int fail(void *arg)
{
    (void)arg;
    return EIO;
}

TEST(does_not_run_when_the_initializer_failed)
{
    note_new();
    CHECK_NULL(pp_pool_new(.processes = 2, .initializer = fail, .finalizer = say), EIO);
    CHECK_EQ(atomic_load(&note->starts), 0);
    note_free();
}

static void look_around(void *local)
{
    char *memory = pp_reserve(10);

    if (!local && pp_worker_id() == 0 && pp_worker_incarnation() == 1 && pp_attempt() == 0 &&
        pp_random_seed() == pp_random_seed() && memory)
        atomic_fetch_add(&note->ends, 1);
    free(memory);
}

TEST(knows_who_it_is)
{
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 1, .finalizer = look_around);
    check_squares(pool, 1, 1);
    finish(pool);
    CHECK_EQ(atomic_load(&note->ends), 1);
    note_free();
}

/* ---- One that goes wrong --------------------------------------------------------------- */

static void crash(void *local)
{
    (void)local;
    atomic_fetch_add(&note->starts, 1);
    raise(SIGSEGV);
}

static void leave(void *local)
{
    (void)local;
    atomic_fetch_add(&note->starts, 1);
    _exit(0);
}

static void give_up(void *local)
{
    (void)local;
    atomic_fetch_add(&note->starts, 1);
    pp_raise(77, "no luck in %d", pp_worker_id());
}

static void hang(void *local)
{
    (void)local;
    atomic_fetch_add(&note->starts, 1);
    for (;;)
        pause();
}

static void told(const pp_death *death, void *user)
{
    CHECK(user == note);
    CHECK_EQ(death->cause, PP_DIED_IN_FINALIZER);
    CHECK(death->function == NULL);
    CHECK_EQ(death->index, 0);
    atomic_store(&note->signal, death->signal);
    atomic_store(&note->status, death->status);
    atomic_store(&note->code, death->code);
    snprintf(note->message, sizeof note->message, "%s", death->message);
    atomic_fetch_add(&note->deaths, 1);
}

/* No item is lost, the pool does not break, and each is told as the death that it is. */
static void check_bad(void (*finalizer)(void *local), double limit, int signal, int code,
                      const char *message)
{
    pp_pool *pool;
    pp_stats stats;

    note_new();
    pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 10, .finalizer = finalizer,
                       .finalizer_limit = limit, .on_death = told, .user = note);
    check_squares(pool, 400, 7);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    stats = pp_stats_of(pool);
    CHECK(atomic_load(&note->deaths) >= 40);
    CHECK(atomic_load(&note->starts) > 0);
    if (limit == 0) /* otherwise it may be over before the finalizer has got a CPU */
        CHECK_EQ(atomic_load(&note->deaths), atomic_load(&note->starts));
    CHECK_EQ((int)stats.deaths, atomic_load(&note->deaths));
    CHECK_EQ(stats.retired, 0);
    CHECK_EQ(stats.done, 400);
    CHECK_EQ(stats.failed, 0);
    CHECK_EQ(atomic_load(&note->signal), signal);
    CHECK_EQ(atomic_load(&note->code), code);
    CHECK_HAS(note->message, message);
    CHECK_EQ(pp_pool_free(pool), 0);
    note_free();
}

TEST(crashes)
{
    check_bad(crash, 0, SIGSEGV, 0, "a worker's finalizer was killed by SIGSEGV");
}

TEST(exits)
{
    check_bad(leave, 0, 0, 0, "a worker's finalizer exited with status 0");
}

TEST(raises)
{
    check_bad(give_up, 0, 0, 77, "no luck in ");
}

TEST(hangs)
{
    check_bad(hang, 0.01, SIGKILL, 0, "a worker's finalizer ran longer than its limit of 0.01 s");
}

/* A worker that has never worked may die there without breaking the pool. */
TEST(is_no_reason_to_give_up)
{
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 50, .finalizer = crash);
    CHECK(pool != NULL);
    finish(pool);
    CHECK_EQ(atomic_load(&note->starts), 50);
    note_free();
}

static void take_long(void *local)
{
    (void)local;
    atomic_fetch_add(&note->starts, 1);
    gate_wait(&note->gate);
    atomic_fetch_add(&note->ends, 1);
}

TEST(join_waits_for_it)
{
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 2, .finalizer = take_long, .finalizer_limit = INFINITY);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool, .timeout = 0.01), -ETIMEDOUT);
    CHECK_SOON(atomic_load(&note->starts) == 2);
    CHECK_EQ(pp_join(pool, .timeout = 0.01), -ETIMEDOUT);
    CHECK_EQ(atomic_load(&note->ends), 0);
    gate_open(&note->gate);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(atomic_load(&note->ends), 2);
    CHECK_EQ(pp_pool_free(pool), 0);
    note_free();
}

TEST(terminate_does_not)
{
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 2, .finalizer = hang, .finalizer_limit = 1e10);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool, .timeout = 0), -ETIMEDOUT);
    CHECK_SOON(atomic_load(&note->starts) == 2);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_stats_of(pool).deaths, 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    note_free();
}

/* A worker that has left its task is not hit by what is done to that. */
TEST(a_cancel_does_not_hit_it)
{
    long items[100] = { 0 };
    pp_result *result;
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 1, .max_tasks_per_child = 10, .finalizer = take_long);
    result = pp_map_async(pool, square, items, 100, .chunksize = 100);
    CHECK_SOON(atomic_load(&note->starts) == 1);
    CHECK_EQ(pp_cancel(result), 0);
    gate_open(&note->gate);
    CHECK_EQ(pp_get(result, NULL), PP_ECANCELLED);
    CHECK_EQ(pp_failures(result), 90);
    CHECK(atomic_load(&note->ends) >= 1);
    CHECK_EQ(pp_stats_of(pool).deaths, 0);
    finish(pool);
    note_free();
}

/* Nor by the time limit of an item that it has not begun. */
TEST(a_time_limit_does_not_hit_it)
{
    double limit = 0.2 * harness_time_factor(); /* plenty for an item */
    long items[30] = { 0 };
    pp_result *result;
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 1, .max_tasks_per_child = 10, .finalizer = take_long);
    result = pp_map_async(pool, square, items, 30, .chunksize = 30, .time_limit = limit);
    CHECK_SOON(atomic_load(&note->starts) == 1);
    sleep_for((long)(2e6 * limit));
    gate_open(&note->gate);
    CHECK_EQ(pp_get(result, NULL), 0);
    CHECK_EQ(pp_stats_of(pool).deaths, 0);
    finish(pool);
    note_free();
}

TEST(a_limit_that_makes_no_sense)
{
    const double bad[] = { -1, -1e-9, -INFINITY, NAN };

    for (int i = 0; i < 4; i++) {
        pp_error *error = NULL;

        CHECK_NULL(pp_pool_new(.processes = 1, .finalizer = say, .finalizer_limit = bad[i],
                               .error = &error), EINVAL);
        CHECK_HAS(error->message, "finalizer_limit is ");
        free(error);
    }
}

/* ---- How a worker ends ------------------------------------------------------------------ */

static void at_exit(void)
{
    atomic_fetch_add(&note->exits, 1);
}

static void print_end(void *local)
{
    (void)local;
    printf("end\n");
    atomic_fetch_add(&note->ends, 1);
}

static void print_item(long x)
{
    printf("item %ld\n", x);
}
PP_TASK(void, print_item, long, x);

/* A program that has functions for its exit, and text in a buffer, and uses a pool. */
static void be_program(void)
{
    long item = 1;
    pp_pool *pool;

    atexit(at_exit);
    printf("begin\n");
    pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 1, .finalizer = print_end);
    CHECK_EQ(pp_map(pool, print_item, &item, 1, NULL), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(die), NULL), PP_ECRASHED);
    printf("between\n");
    finish(pool);
    printf("last\n");
    exit(0);
}

static size_t occurrences(const char *text, const char *word)
{
    size_t count = 0;

    while ((text = strstr(text, word))) {
        text += strlen(word);
        count++;
    }
    return count;
}

TEST(nothing_of_the_clients_is_done_twice)
{
    char text[1024] = "";
    size_t length = 0;
    int ends[2], status;
    ssize_t got;
    pid_t pid;

    note_new();
    CHECK_EQ(pipe(ends), 0);
    pid = fork();
    if (pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        close(ends[0]);
        close(ends[1]);
        be_program();
    }
    close(ends[1]);
    while ((got = read(ends[0], text + length, sizeof text - 1 - length)) > 0)
        length += (size_t)got;
    close(ends[0]);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(atomic_load(&note->exits), 1);
    CHECK_EQ(occurrences(text, "begin\n"), 1);
    CHECK_EQ(occurrences(text, "item 1\n"), 1);
    CHECK_EQ(occurrences(text, "between\n"), 1);
    CHECK_EQ(occurrences(text, "last\n"), 1);
    CHECK(atomic_load(&note->ends) >= 1);
    CHECK_EQ((int)occurrences(text, "end\n"), atomic_load(&note->ends));
    note_free();
}

/* While one worker is at its finalizer, the others work. */
TEST(others_go_on_meanwhile)
{
    pp_result *staying;
    pp_pool *pool;

    note_new();
    pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 5, .finalizer = take_long);
    staying = pp_apply_async(pool, PP_CALL(stay));
    CHECK_SOON(atomic_load(&note->gate.waiting) == 1);
    check_squares(pool, 5, 1);
    CHECK_SOON(atomic_load(&note->starts) == 1);
    CHECK(!pp_ready(staying));
    gate_open(&note->gate);
    CHECK_EQ(pp_get(staying, NULL), 0);
    finish(pool);
    note_free();
}
