/* SPDX-License-Identifier: MIT */
/* The initializer: it runs in each worker before its first task, and may fail. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

/* What an initializer does at its n-th run in any worker, and how often it ran. */
struct plan {
    atomic_int runs;
    int good;    /* runs that succeed before the first that does not */
    int bad;     /* runs that fail after these; then all succeed again */
    int code;    /* what the bad ones return */
    bool raises; /* they raise the code instead */
    bool exits;  /* they exit with it */
    int signal;  /* they are killed by this */
};

static int answer;

static int follow(void *arg)
{
    struct plan *plan = arg;
    int run = atomic_fetch_add(&plan->runs, 1);

    answer = 42;
    if (run < plan->good || run >= plan->good + plan->bad)
        return 0;
    if (plan->signal)
        raise(plan->signal);
    if (plan->exits)
        _exit(plan->code);
    if (plan->raises)
        pp_raise(plan->code, "no luck in run %d", run);
    return plan->code;
}

static int get_answer(void)
{
    return answer;
}
PP_TASK(int, get_answer);

static int crash(int signal)
{
    raise(signal);
    return 0;
}
PP_TASK(int, crash, int, signal);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

static struct plan *plan_new(int good, int bad)
{
    struct plan *plan = shared_new(sizeof *plan);

    plan->good = good;
    plan->bad = bad;
    return plan;
}

static void plan_free(struct plan *plan)
{
    shared_free(plan, sizeof *plan);
}

struct arrival {
    atomic_int runs, done;
    bool last_first; /* who comes first takes longest */
};

static int come_one_by_one(void *arg)
{
    struct arrival *arrival = arg;
    int run = atomic_fetch_add(&arrival->runs, 1);

    sleep_for(20000 * (arrival->last_first ? 4 - run : run + 1));
    atomic_fetch_add(&arrival->done, 1);
    return 0;
}

/* The pool is there when the last is ready, whichever is the last. */
TEST(some_take_longer)
{
    for (int i = 0; i < 6; i++) {
        struct arrival *arrival = shared_new(sizeof *arrival);
        pp_pool *pool;

        arrival->last_first = i % 2;
        pool = pp_pool_new(.processes = 4, .initializer = come_one_by_one, .initarg = arrival);
        CHECK(pool != NULL);
        CHECK_EQ(atomic_load(&arrival->done), 4);
        finish(pool);
        shared_free(arrival, sizeof *arrival);
    }
}

TEST(runs_once_in_each_worker)
{
    struct plan *plan = plan_new(1000, 0);
    pp_pool *pool = pp_pool_new(.processes = 3, .initializer = follow, .initarg = plan);

    CHECK(pool != NULL);
    CHECK_EQ(atomic_load(&plan->runs), 3);
    for (int i = 0; i < 100; i++) {
        int value = 0;

        CHECK_EQ(pp_apply(pool, PP_CALL(get_answer), &value), 0);
        CHECK_EQ(value, 42);
    }
    CHECK_EQ(answer, 0); /* here it did not run */
    finish(pool);
    CHECK_EQ(atomic_load(&plan->runs), 3);
    plan_free(plan);
}

TEST(runs_in_replacements)
{
    struct plan *plan = plan_new(1000, 0);
    pp_pool *pool = pp_pool_new(.processes = 1, .initializer = follow, .initarg = plan);

    for (int i = 1; i <= 10; i++) {
        int value = 0;

        CHECK_EQ(pp_apply(pool, PP_CALL(crash, SIGKILL), NULL), PP_ECRASHED);
        CHECK_EQ(pp_apply(pool, PP_CALL(get_answer), &value), 0);
        CHECK_EQ(value, 42);
        CHECK_EQ(atomic_load(&plan->runs), i + 1);
    }
    finish(pool);
    plan_free(plan);
}

static int read_answer(void *arg)
{
    answer = *(const int *)arg;
    return 0;
}

/* ---- Workers that die when they are ready, while others are not ---- */

struct couple {
    atomic_int first;       /* pid of the worker that is ready first */
    atomic_bool replaced;   /* another has come in its place */
};

static bool is_asleep(pid_t pid)
{
    char path[64], line[256] = "", *end;
    FILE *file;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    file = fopen(path, "re");
    if (file && !fgets(line, sizeof line, file))
        line[0] = '\0';
    if (file)
        fclose(file);
    end = strrchr(line, ')');
    return end && end[2] == 'S';
}

/* That with id 1 kills the other, which then has nothing to do, and is ready itself only when
   that has a successor. */
static int outlive(void *arg)
{
    struct couple *couple = arg;

    if (pp_worker_id() == 0) {
        if (pp_worker_incarnation() == 1)
            atomic_store(&couple->first, getpid());
        else
            atomic_store(&couple->replaced, true);
        return 0;
    }
    while (atomic_load(&couple->first) == 0 || !is_asleep(atomic_load(&couple->first)))
        harness_nap();
    kill(atomic_load(&couple->first), SIGKILL);
    while (!atomic_load(&couple->replaced))
        harness_nap();
    return 0;
}

static void on_death(const pp_death *death, void *user)
{
    (void)death;
    atomic_fetch_add((atomic_int *)user, 1);
}

/* It is told of when there is a pool. */
TEST(one_that_is_ready_may_die)
{
    struct couple *couple = shared_new(sizeof *couple);
    atomic_int told = 0;
    pp_pool *pool = pp_pool_new(.processes = 2, .initializer = outlive, .initarg = couple,
                                .on_death = on_death, .user = &told);
    int value = 0;

    CHECK(pool != NULL);
    CHECK_EQ(pp_apply(pool, PP_CALL(get_answer), &value), 0);
    CHECK_EQ(pp_stats_of(pool).deaths, 1);
    finish(pool);
    CHECK_EQ(atomic_load(&told), 1);
    shared_free(couple, sizeof *couple);
}

/* What its argument points to is seen as it was at creation, also much later. */
TEST(argument_is_that_of_creation)
{
    int value = 5, out = 0;
    pp_pool *pool = pp_pool_new(.processes = 1, .initializer = read_answer,
                                .initarg = &value);

    value = 6;
    CHECK_EQ(pp_apply(pool, PP_CALL(get_answer), &out), 0);
    CHECK_EQ(out, 5);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash, SIGKILL), NULL), PP_ECRASHED);
    CHECK_EQ(pp_apply(pool, PP_CALL(get_answer), &out), 0);
    CHECK_EQ(out, 5);
    finish(pool);
}

static int wants_null(void *arg)
{
    return arg ? EINVAL : 0;
}

TEST(argument_may_be_null)
{
    pp_pool *pool = pp_pool_new(.processes = 1, .initializer = wants_null);

    CHECK(pool != NULL);
    finish(pool);
}

/* ---- Failures at creation ------------------------------------------------------ */

/* No pool, this errno, within a second, after a few starts; gives the error. */
static pp_error *check_no_pool(struct plan *plan, int code)
{
    pp_error *error = NULL;
    double start = harness_now();

    CHECK_NULL(pp_pool_new(.processes = 2, .initializer = follow, .initarg = plan,
                           .error = &error), code);
    CHECK(harness_now() - start < harness_time_factor());
    CHECK(atomic_load(&plan->runs) <= 10);
    CHECK_SOON(processes() == 0);
    CHECK(error != NULL);
    CHECK_EQ(error->size, sizeof *error);
    CHECK(*error->message);
    CHECK(error->function != NULL);
    return error;
}

TEST(returns_a_code)
{
    static const int codes[] = { ENOENT, EACCES, 12345 };

    for (int i = 0; i < 3; i++) {
        struct plan *plan = plan_new(0, 1000);

        plan->code = codes[i];
        free(check_no_pool(plan, codes[i]));
        plan_free(plan);
    }
}

TEST(raises)
{
    struct plan *plan = plan_new(0, 1000);
    pp_error *error;

    plan->code = EDOM;
    plan->raises = true;
    error = check_no_pool(plan, EDOM);
    CHECK_EQ(error->kind, PP_RAISED);
    CHECK_EQ(error->code, EDOM);
    CHECK_HAS(error->message, "no luck in run ");
    free(error);
    plan_free(plan);
}

TEST(crashes)
{
    static const int signals[] = { SIGSEGV, SIGKILL, SIGABRT };

    for (int i = 0; i < 3; i++) {
        struct plan *plan = plan_new(0, 1000);
        pp_error *error;

        plan->signal = signals[i];
        error = check_no_pool(plan, ENOTRECOVERABLE);
        CHECK_EQ(error->kind, PP_CRASHED);
        CHECK_EQ(error->signal, signals[i]);
        free(error);
        plan_free(plan);
    }
}

TEST(exits)
{
    static const int codes[] = { 0, 3 };

    for (int i = 0; i < 2; i++) {
        struct plan *plan = plan_new(0, 1000);
        pp_error *error;

        plan->exits = true;
        plan->code = codes[i];
        error = check_no_pool(plan, ENOTRECOVERABLE);
        CHECK_EQ(error->kind, PP_CRASHED);
        CHECK_EQ(error->status, codes[i]);
        free(error);
        plan_free(plan);
    }
}

/* A pool of which one worker could not be made ready is none. */
TEST(fails_in_the_last_worker_only)
{
    struct plan *plan = plan_new(1, 1000);

    plan->code = ENOENT;
    free(check_no_pool(plan, ENOENT));
    plan_free(plan);
}

TEST(error_is_not_wanted)
{
    struct plan *plan = plan_new(0, 1000);

    plan->code = ENOENT;
    CHECK_NULL(pp_pool_new(.processes = 4, .initializer = follow, .initarg = plan), ENOENT);
    plan_free(plan);
}

/* ---- Failures in replacements ---------------------------------------------------- */

/* A pool whose two workers have started, and whose replacements do as planned; and
   a task that one of them runs. */
struct scene {
    struct plan *plan;
    struct gate *gate;
    pp_pool *pool;
    pp_result *running;
};

static struct scene scene_new(struct plan *plan)
{
    struct scene scene = { .plan = plan, .gate = gate_new() };

    scene.pool = pp_pool_new(.processes = 2, .initializer = follow, .initarg = plan);
    CHECK(scene.pool != NULL);
    scene.running = pp_apply_async(scene.pool, PP_CALL(wait_and_square, scene.gate, 3));
    CHECK_SOON(atomic_load(&scene.gate->waiting) == 1);
    return scene;
}

static void scene_free(struct scene *scene)
{
    CHECK_EQ(pp_pool_free(scene->pool), 0);
    plan_free(scene->plan);
    gate_free(scene->gate);
}

/* Every result that is open ends, and no more can be submitted; nothing hangs. */
static void check_breaks(struct plan *plan)
{
    struct scene scene = scene_new(plan);
    pp_result *crashing = pp_apply_async(scene.pool, PP_CALL(crash, SIGKILL));
    pp_result *submitted = NULL;
    double end = harness_now() + 10 * harness_time_factor();

    CHECK_EQ(pp_get(crashing, NULL), PP_ECRASHED);
    do {
        CHECK(harness_now() < end);
        submitted = pp_apply_async(scene.pool, PP_CALL(get_answer));
        CHECK(submitted || errno == ENOTRECOVERABLE);
        if (submitted)
            CHECK_EQ(pp_get(submitted, NULL), PP_EBROKEN);
    } while (submitted);
    CHECK_EQ(pp_get(scene.running, NULL), PP_EBROKEN);
    CHECK_EQ(pp_error_of(scene.running)->kind, PP_BROKEN);
    CHECK(*pp_error_of(scene.running)->message);
    CHECK_EQ(pp_apply(scene.pool, PP_CALL(get_answer), NULL), -ENOTRECOVERABLE);
    CHECK(atomic_load(&plan->runs) <= 2 + 10);
    CHECK_EQ(pp_close(scene.pool), 0);
    CHECK_EQ(pp_join(scene.pool), 0);
    scene_free(&scene);
}

TEST(replacements_return_a_code)
{
    struct plan *plan = plan_new(2, 1000);

    plan->code = EIO;
    check_breaks(plan);
}

TEST(replacements_raise)
{
    struct plan *plan = plan_new(2, 1000);

    plan->code = EIO;
    plan->raises = true;
    check_breaks(plan);
}

TEST(replacements_crash)
{
    struct plan *plan = plan_new(2, 1000);

    plan->signal = SIGSEGV;
    check_breaks(plan);
}

TEST(replacements_exit)
{
    struct plan *plan = plan_new(2, 1000);

    plan->exits = true;
    check_breaks(plan);
}

/* Two in a row that fail are not the end of the pool. */
TEST(replacements_recover)
{
    struct plan *plan = plan_new(2, 2);
    struct scene scene;
    int value = 0;
    long squared = 0;

    plan->code = EIO;
    scene = scene_new(plan);
    CHECK_EQ(pp_apply(scene.pool, PP_CALL(crash, SIGKILL), NULL), PP_ECRASHED);
    CHECK_EQ(pp_apply(scene.pool, PP_CALL(get_answer), &value), 0);
    CHECK_EQ(value, 42);
    CHECK_EQ(atomic_load(&plan->runs), 5);
    gate_open(scene.gate);
    CHECK_EQ(pp_get(scene.running, &squared), 0);
    CHECK_EQ(squared, 9);
    scene_free(&scene);
}

/* A whole map that is under way ends, with an error for each item that had not. */
TEST(map_ends_when_the_pool_breaks)
{
    struct plan *plan = plan_new(1, 1000);
    int items[1000], out[1000];
    pp_pool *pool;
    pp_result *result;

    plan->code = EIO;
    for (int i = 0; i < 1000; i++)
        items[i] = SIGKILL;
    pool = pp_pool_new(.processes = 1, .initializer = follow, .initarg = plan);
    result = pp_map_async(pool, crash, items, 1000, .chunksize = 10);
    CHECK_EQ(pp_get(result, out), PP_ECRASHED);
    CHECK_EQ(pp_failures(result), 1000);
    for (size_t i = 0; i < 1000; i++) {
        CHECK_EQ(pp_failure(result, i)->index, i);
        CHECK_EQ(pp_failure(result, i)->kind, i ? PP_BROKEN : PP_CRASHED);
    }
    CHECK_EQ(pp_pool_free(pool), 0);
    plan_free(plan);
}
