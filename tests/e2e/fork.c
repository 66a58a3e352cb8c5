/* SPDX-License-Identifier: MIT */
/* A pool is its creator's alone: in a forked child every call says -ECHILD, and
   the destructors do nothing. */
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static long wait_and_square(struct gate *gate, long x)
{
    gate_wait(gate);
    return x * x;
}
PP_TASK(long, wait_and_square, struct gate *, gate, long, x);

static int fail(int code)
{
    pp_raise(code, "failed");
}
PP_TASK(int, fail, int, code);

/* What a task gets that calls the pool that runs it. */
static int use_pool(pp_pool *pool)
{
    long value = 0;
    int error = pp_apply(pool, PP_CALL(square, 3), &value);

    return error ? error : pp_close(pool);
}
PP_TASK(int, use_pool, pp_pool *, pool);

/* A pool in use, with results of every kind. */
struct scene {
    struct gate *gate;
    pp_pool *pool;
    pp_result *open;
    pp_result *done;
    pp_result *failed;
};

static struct scene scene_new(enum pp_callbacks callbacks)
{
    struct scene scene = { .gate = gate_new() };

    scene.pool = pp_pool_new(.processes = 2, .callbacks = callbacks);
    CHECK(scene.pool != NULL);
    scene.done = pp_apply_async(scene.pool, PP_CALL(square, 5));
    scene.failed = pp_apply_async(scene.pool, PP_CALL(fail, 7));
    CHECK_EQ(pp_wait(scene.done), 0);
    CHECK_EQ(pp_wait(scene.failed), 0);
    scene.open = pp_apply_async(scene.pool, PP_CALL(wait_and_square, scene.gate, 6));
    return scene;
}

/* The parent goes on as if nothing had happened. */
static void scene_finish(struct scene *scene)
{
    long value = 0;

    CHECK_EQ(pp_apply(scene->pool, PP_CALL(square, 7), &value), 0);
    CHECK_EQ(value, 49);
    gate_open(scene->gate);
    CHECK_EQ(pp_get(scene->open, &value), 0);
    CHECK_EQ(value, 36);
    CHECK_EQ(pp_get(scene->done, &value), 0);
    CHECK_EQ(value, 25);
    CHECK_EQ(pp_error_of(scene->failed)->code, 7);
    finish(scene->pool);
    gate_free(scene->gate);
}

static void in_child(void (*body)(struct scene *), struct scene *scene)
{
    int status;
    pid_t pid = fork();

    CHECK(pid >= 0);
    if (pid == 0) {
        body(scene);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 0);
}

static void submit(struct scene *scene)
{
    long item = 1, out = 42;
    PP_ARGS(square) star = { 1 };
    pp_pool *pool = scene->pool;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 1), &out), -ECHILD);
    CHECK_EQ(pp_map(pool, square, &item, 1, &out), -ECHILD);
    CHECK_EQ(pp_map(pool, square, &item, 0, &out), -ECHILD);
    CHECK_EQ(pp_starmap(pool, square, &star, 1, &out), -ECHILD);
    CHECK_NULL(pp_apply_async(pool, PP_CALL(square, 1)), ECHILD);
    CHECK_NULL(pp_map_async(pool, square, &item, 1), ECHILD);
    CHECK_NULL(pp_starmap_async(pool, square, &star, 1), ECHILD);
    CHECK_EQ(out, 42);
}

static void control(struct scene *scene)
{
    CHECK_EQ(pp_close(scene->pool), -ECHILD);
    CHECK_EQ(pp_join(scene->pool), -ECHILD);
    CHECK_EQ(pp_join(scene->pool, .timeout = 0), -ECHILD);
    CHECK_EQ(pp_terminate(scene->pool), -ECHILD);
}

static void poll_it(struct scene *scene)
{
    CHECK_EQ(pp_poll(scene->pool), -ECHILD);
}

static void ask(struct scene *scene)
{
    pp_result *results[] = { scene->open, scene->done, scene->failed };
    long out = 42;

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(pp_get(results[i], &out), -ECHILD);
        CHECK_EQ(pp_get(results[i], NULL, .timeout = 0), -ECHILD);
        CHECK_EQ(pp_wait(results[i]), -ECHILD);
        CHECK(!pp_ready(results[i]));
        CHECK(!pp_successful(results[i]));
        CHECK_NULL(pp_error_of(results[i]), ECHILD);
        CHECK_NULL(pp_failure(results[i], 0), ECHILD);
        CHECK_EQ(pp_failures(results[i]), 0);
    }
    CHECK_EQ(out, 42);
}

static void destroy(struct scene *scene)
{
    pp_result_free(scene->open);
    pp_result_free(scene->done);
    CHECK_EQ(pp_pool_free(scene->pool), 0);
    CHECK_EQ(pp_pool_free(scene->pool), 0); /* nothing was freed */
}

static void check_in_child(void (*body)(struct scene *), enum pp_callbacks callbacks)
{
    struct scene scene = scene_new(callbacks);

    in_child(body, &scene);
    scene_finish(&scene);
}

TEST(submitting)
{
    check_in_child(submit, PP_CALLBACKS_THREAD);
}

TEST(controlling)
{
    check_in_child(control, PP_CALLBACKS_THREAD);
}

TEST(polling)
{
    check_in_child(poll_it, PP_CALLBACKS_POLL);
}

TEST(asking_results)
{
    check_in_child(ask, PP_CALLBACKS_THREAD);
}

TEST(freeing)
{
    check_in_child(destroy, PP_CALLBACKS_THREAD);
}

/* The child of a child, too. */
static void all_in_grandchild(struct scene *scene)
{
    in_child(submit, scene);
    in_child(control, scene);
    in_child(ask, scene);
    in_child(destroy, scene);
}

TEST(grandchild)
{
    check_in_child(all_in_grandchild, PP_CALLBACKS_THREAD);
}

/* A child may well have a pool of its own. */
static void own_pool(struct scene *scene)
{
    PP_SCOPED pp_pool *pool = pool_of(1);
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 8), &value), 0);
    CHECK_EQ(value, 64);
    CHECK_EQ(pp_apply(scene->pool, PP_CALL(square, 8), &value), -ECHILD);
}

TEST(pool_of_its_own)
{
    check_in_child(own_pool, PP_CALLBACKS_THREAD);
}

/* Both processes leave the scope of the same variable. */
static pid_t fork_in_scope(struct gate *gate)
{
    PP_SCOPED pp_pool *pool = pool_of(2);
    pp_result *result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    pid_t pid = fork();
    long value = 0;

    if (pid == 0)
        return 0;
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
    gate_open(gate);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 9);
    return pid;
}

TEST(leaving_a_scope)
{
    struct gate *gate = gate_new();

    if (fork_in_scope(gate) == 0)
        _exit(0);
    CHECK_EQ(processes(), 0);
    gate_free(gate);
}

static pp_pool *global_pool;

/* The child ends as programs do, exit handlers and all. */
TEST(exit_of_the_child)
{
    int status;
    pid_t pid;
    long value = 0;

    global_pool = pool_of(2);
    CHECK_EQ(pp_apply(global_pool, PP_CALL(square, 3), &value), 0);
    pid = fork();
    if (pid == 0)
        exit(0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(pp_apply(global_pool, PP_CALL(square, 3), &value), 0);
    finish(global_pool);
    global_pool = NULL;
}

TEST(in_a_task)
{
    pp_pool *pool = pool_of(2);
    int value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(use_pool, pool), &value), 0);
    CHECK_EQ(value, -ECHILD);
    finish(pool);
}

/* A fork while other threads are inside of the library: no lock that they hold
   may stop the child. */
struct busy {
    pp_pool *pool;
    atomic_bool stop;
};

static void *submit_all_the_time(void *user)
{
    struct busy *busy = user;
    long items[100] = { 0 }, value = 0;

    while (!atomic_load(&busy->stop)) {
        CHECK_EQ(pp_apply(busy->pool, PP_CALL(square, 3), &value), 0);
        CHECK_EQ(pp_map(busy->pool, square, items, 100, items), 0);
    }
    return NULL;
}

TEST(while_threads_use_the_pool, .timeout = 60)
{
    struct scene scene;
    struct busy busy = { 0 };
    pthread_t users[2];

    if (HARNESS_SANITIZED)
        SKIP("sanitizers do not support a fork of several threads");
    scene = scene_new(PP_CALLBACKS_THREAD);
    busy.pool = scene.pool;
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_create(&users[i], NULL, submit_all_the_time, &busy), 0);
    for (int i = 0; i < 50; i++) {
        in_child(submit, &scene);
        in_child(control, &scene);
        in_child(ask, &scene);
        in_child(destroy, &scene);
    }
    atomic_store(&busy.stop, true);
    for (int i = 0; i < 2; i++)
        CHECK_EQ(pthread_join(users[i], NULL), 0);
    scene_finish(&scene);
}

/* What is forked and goes on running does not keep the pool's processes alive, nor
   does the pool wait for it. */
TEST(child_outlives_the_pool)
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        gate_wait(gate);
        _exit(pp_close(pool) == -ECHILD ? 0 : 1);
    }
    finish(pool);
    CHECK_EQ(processes(), 1);
    gate_open(gate);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    gate_free(gate);
}
