/* SPDX-License-Identifier: MIT */
/* pp_pool_fd(): the descriptor is readable when pp_poll() has something to do. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
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

static int die(struct gate *gate)
{
    gate_wait(gate);
    raise(SIGKILL);
    return 0;
}
PP_TASK(int, die, struct gate *, gate);

struct block {
    char bytes[100000];
};

static struct block make_block(long x)
{
    struct block block;

    memset(block.bytes, (int)x, sizeof block.bytes);
    return block;
}
PP_TASK(struct block, make_block, long, x);

static pp_pool *polled_pool(int workers)
{
    pp_pool *pool = pp_pool_new(.processes = workers, .callbacks = PP_CALLBACKS_POLL);

    CHECK(pool != NULL);
    return pool;
}

static bool is_readable(int fd)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };

    return poll(&poller, 1, 0) > 0;
}

/* Waits in poll() until the descriptor is readable. */
static void await(int fd)
{
    struct pollfd poller = { .fd = fd, .events = POLLIN };
    int ready = poll(&poller, 1, (int)(10000 * harness_time_factor()));

    CHECK_EQ(ready, 1);
    CHECK_EQ(poller.revents, POLLIN);
}

/* The loop of a program that waits for nothing else. */
static void loop_until(pp_pool *pool, const int *calls, int wanted)
{
    int fd = pp_pool_fd(pool);

    while (*calls < wanted) {
        await(fd);
        CHECK(pp_poll(pool) >= 0);
    }
}

/* Whether no process of the pool does anything, so that no signal can be on its way:
   the last ones of its start, say, which come when pp_pool_new() may have returned. */
static bool all_sleep(void)
{
    struct harness_process list[16];
    size_t count = harness_others(list, 16);

    CHECK(count <= 16);
    for (size_t i = 0; i < count; i++)
        if (list[i].state != 'S' && list[i].state != 'Z')
            return false;
    return true;
}

/* Whether nothing is left to be done, and nothing will be. */
static bool is_quiet(pp_pool *pool)
{
    if (!all_sleep())
        return false;
    CHECK(pp_poll(pool) >= 0);
    return !is_readable(pp_pool_fd(pool));
}

/* The same while a task runs: now and then there is a look at whether all is well. */
static bool has_nothing_to_do(pp_pool *pool)
{
    CHECK_EQ(pp_poll(pool), 0);
    return !is_readable(pp_pool_fd(pool));
}

static void count(pp_result *result, void *calls)
{
    CHECK_EQ(gettid(), getpid());
    ++*(int *)calls;
    pp_result_free(result);
}

static pp_result *submit(pp_pool *pool, long x, int *calls)
{
    pp_result *result = pp_apply_async(pool, PP_CALL(square, x), .callback = count,
                                       .error_callback = count, .user = calls);

    CHECK(result != NULL);
    return result;
}

/* ---- What it is ----------------------------------------------------------- */

TEST(the_same_descriptor_for_ever)
{
    size_t before = descriptors();
    pp_pool *pool = polled_pool(2);
    int fd = pp_pool_fd(pool), calls = 0;

    CHECK(fd >= 0);
    CHECK_EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
    submit(pool, 1, &calls);
    loop_until(pool, &calls, 1);
    CHECK_EQ(pp_pool_fd(pool), fd);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_fd(pool), fd);
    CHECK(!is_readable(fd));
    CHECK_EQ(pp_poll(pool), 0);
    CHECK(!is_readable(fd));
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK_EQ(fcntl(fd, F_GETFD), -1);
    CHECK_EQ(descriptors(), before);
}

TEST(none_in_other_modes)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_pool_fd(pool), -EINVAL);
    CHECK_EQ(pp_pool_fd(NULL), -EINVAL);
    finish(pool);
}

TEST(none_in_a_child)
{
    pp_pool *pool = polled_pool(1);
    pid_t pid = fork();
    int status;

    if (pid == 0)
        _exit(pp_pool_fd(pool) == -ECHILD && pp_poll(pool) == -ECHILD ? 0 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK(pp_pool_fd(pool) >= 0);
    finish(pool);
}

/* Whatever descriptor is the one that cannot be had. */
TEST(too_few_descriptors)
{
    size_t before = descriptors();
    int lowest = dup(STDERR_FILENO);
    pp_pool *pool = NULL;
    struct rlimit all;

    close(lowest);
    CHECK_EQ(getrlimit(RLIMIT_NOFILE, &all), 0);
    for (rlim_t most = (rlim_t)lowest; !pool; most++) {
        struct rlimit few = { .rlim_cur = most, .rlim_max = all.rlim_max };
        int error;

        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
        pool = pp_pool_new(.processes = 1, .callbacks = PP_CALLBACKS_POLL);
        error = errno;
        CHECK_EQ(setrlimit(RLIMIT_NOFILE, &all), 0);
        if (!pool) {
            CHECK_EQ(error, EMFILE);
            CHECK_EQ(descriptors(), before);
            CHECK_SOON(processes() == 0);
        }
    }
    finish(pool);
}

/* ---- When it is readable ---------------------------------------------------- */

TEST(readable_when_there_is_something)
{
    struct gate *gate = gate_new();
    pp_pool *pool = polled_pool(1);
    int fd = pp_pool_fd(pool), calls = 0;
    pp_result *result;

    CHECK_SOON(is_quiet(pool));
    result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3), .callback = count,
                            .user = &calls);
    CHECK(result != NULL);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_SOON(has_nothing_to_do(pool));
    gate_open(gate);
    do {
        await(fd);
        CHECK(is_readable(fd)); /* as long as nobody has looked */
        CHECK_EQ(calls, 0);
    } while (pp_poll(pool) == 0);
    CHECK_EQ(calls, 1);
    CHECK(!is_readable(fd));
    CHECK_EQ(pp_poll(pool), 0);
    CHECK(!is_readable(fd));
    finish(pool);
    gate_free(gate);
}

TEST(asked_for_when_all_is_done)
{
    pp_pool *pool = polled_pool(1);
    int calls = 0;

    submit(pool, 3, &calls);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 2), NULL), 0); /* runs the other's, too */
    submit(pool, 3, &calls);
    await(pp_pool_fd(pool));
    while (calls < 2)
        CHECK(pp_poll(pool) >= 0);
    CHECK_SOON(is_quiet(pool));
    finish(pool);
}

TEST(results_without_callbacks)
{
    pp_pool *pool = polled_pool(2);
    int fd = pp_pool_fd(pool);
    pp_result *results[50];

    for (int i = 0; i < 50; i++)
        results[i] = pp_apply_async(pool, PP_CALL(square, i));
    for (int i = 0; i < 50; i++)
        while (!pp_ready(results[i])) {
            await(fd);
            CHECK_EQ(pp_poll(pool), 0);
        }
    CHECK_SOON(is_quiet(pool));
    finish(pool);
}

/* A task that takes long makes it readable now and then, but not when it is over. */
TEST(readable_while_a_task_takes_long)
{
    struct gate *gate = gate_new();
    pp_pool *pool = polled_pool(1);
    struct pollfd poller = { .fd = pp_pool_fd(pool), .events = POLLIN };
    pp_result *result;
    long value = 0;

    CHECK_SOON(is_quiet(pool));
    result = pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3));
    for (int looks = 0; looks < 2; looks++) {
        await(poller.fd);
        CHECK_EQ(pp_poll(pool), 0);
    }
    gate_open(gate);
    CHECK_EQ(pp_get(result, &value), 0);
    CHECK_EQ(value, 9);
    CHECK_SOON(is_quiet(pool));
    CHECK_EQ(poll(&poller, 1, 1000), 0);
    pp_result_free(result);
    finish(pool);
    gate_free(gate);
}

/* What is taken in by a function that runs no callbacks is left to pp_poll(). */
TEST(readable_when_a_callback_is_due)
{
    pp_pool *pool = polled_pool(1);
    int fd = pp_pool_fd(pool), calls = 0;
    pp_result *plain;

    CHECK_SOON(is_quiet(pool));
    submit(pool, 3, &calls);
    plain = pp_apply_async(pool, PP_CALL(square, 3));
    CHECK_SOON(pp_ready(plain));
    CHECK_EQ(calls, 0);
    CHECK(is_readable(fd));
    CHECK_EQ(pp_poll(pool), 1);
    CHECK_EQ(calls, 1);
    CHECK_SOON(is_quiet(pool));
    finish(pool);
}

TEST(readable_after_a_map_of_nothing)
{
    pp_pool *pool = polled_pool(1);
    int fd = pp_pool_fd(pool), calls = 0;

    CHECK_SOON(is_quiet(pool));
    CHECK(pp_map_async(pool, square, (long *)NULL, 0, .callback = count, .user = &calls));
    CHECK_EQ(calls, 0);
    CHECK(is_readable(fd));
    CHECK_EQ(pp_poll(pool), 1);
    CHECK(!is_readable(fd));
    finish(pool);
}

static void submit_nothing(pp_result *result, void *user)
{
    struct {
        pp_pool *pool;
        int calls;
    } *self = user;

    pp_result_free(result);
    self->calls++;
    CHECK(pp_map_async(self->pool, square, (long *)NULL, 0, .callback = submit_nothing,
                       .user = self));
}

/* Callbacks that always make another one due do not keep pp_poll() for ever. */
TEST(one_round_at_a_time)
{
    struct {
        pp_pool *pool;
        int calls;
    } self = { .pool = polled_pool(1) };
    int fd = pp_pool_fd(self.pool);

    CHECK_SOON(is_quiet(self.pool));
    CHECK(pp_map_async(self.pool, square, (long *)NULL, 0, .callback = submit_nothing,
                       .user = &self));
    for (int i = 1; i <= 100; i++) {
        CHECK(is_readable(fd));
        CHECK_EQ(pp_poll(self.pool), 1);
        CHECK_EQ(self.calls, i);
    }
    CHECK(is_readable(fd));
    CHECK_EQ(pp_pool_free(self.pool), 0);
}

TEST(readable_when_terminated)
{
    struct gate *gate = gate_new();
    pp_pool *pool = polled_pool(1);
    int fd = pp_pool_fd(pool), calls = 0;

    CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, 3), .error_callback = count,
                         .user = &calls));
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_SOON(is_quiet(pool));
    CHECK_EQ(pp_terminate(pool), 0); /* a function that waits: runs it */
    CHECK_SOON(pp_poll(pool) >= 0 && calls == 1);
    CHECK(!is_readable(fd));
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

/* ---- Deaths ---------------------------------------------------------------- */

TEST(readable_after_a_crash)
{
    struct gate *gate = gate_new();
    pp_pool *pool = polled_pool(2);
    int calls = 0, fd = pp_pool_fd(pool);
    struct census census;

    for (int i = 0; i < 20; i++)
        CHECK(pp_apply_async(pool, PP_CALL(die, gate), .error_callback = count, .user = &calls));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_SOON(is_quiet(pool));
    gate_open(gate);
    loop_until(pool, &calls, 20);
    CHECK_SOON(take_census(&census, 2));
    CHECK_SOON(is_quiet(pool));
    CHECK(!is_readable(fd));
    finish(pool);
    gate_free(gate);
}

TEST(readable_when_the_supervisor_dies)
{
    struct gate *gate = gate_new();
    pp_pool *pool = polled_pool(2);
    int calls = 0, fd = pp_pool_fd(pool);
    struct census census;

    for (int i = 0; i < 2; i++)
        CHECK(pp_apply_async(pool, PP_CALL(wait_and_square, gate, i), .error_callback = count,
                             .user = &calls));
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_SOON(take_census(&census, 2));
    CHECK_SOON(is_quiet(pool));
    kill(census.supervisor, SIGKILL);
    loop_until(pool, &calls, 2);
    CHECK_SOON(is_quiet(pool)); /* not for ever */
    CHECK(!is_readable(fd));
    CHECK_NULL(pp_apply_async(pool, PP_CALL(square, 1)), ENOTRECOVERABLE);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(readable_when_an_idle_pool_loses_its_supervisor)
{
    pp_pool *pool = polled_pool(1);
    struct census census;
    pid_t pid;

    CHECK_SOON(take_census(&census, 1));
    CHECK_SOON(is_quiet(pool));
    pid = fork(); /* has copies of all descriptors for as long as it lives */
    if (pid == 0)
        for (;;)
            pause();
    kill(census.supervisor, SIGKILL);
    await(pp_pool_fd(pool));
    CHECK_SOON(is_quiet(pool));
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK(!is_readable(pp_pool_fd(pool)));
    CHECK_EQ(pp_pool_free(pool), 0);
    kill(pid, SIGKILL);
    CHECK_EQ(waitpid(pid, NULL, 0), pid);
}

static atomic_bool *fails;

static int fail_later(void *unused)
{
    (void)unused;
    return atomic_load(fails) ? EIO : 0;
}

TEST(readable_when_the_pool_breaks)
{
    struct gate *gate = gate_new();
    int calls = 0;
    pp_pool *pool;

    fails = shared_new(sizeof *fails);
    pool = pp_pool_new(.processes = 1, .callbacks = PP_CALLBACKS_POLL,
                       .initializer = fail_later);
    CHECK(pool != NULL);
    atomic_store(fails, true);
    CHECK(pp_apply_async(pool, PP_CALL(die, gate), .error_callback = count, .user = &calls));
    for (int i = 0; i < 9; i++)
        CHECK(pp_apply_async(pool, PP_CALL(square, i), .error_callback = count, .user = &calls));
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    CHECK_SOON(is_quiet(pool));
    gate_open(gate);
    loop_until(pool, &calls, 10);
    CHECK_SOON(is_quiet(pool));
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
    shared_free(fails, sizeof *fails);
}

/* ---- What tasks do to descriptors --------------------------------------------- */

static int close_all(void *unused)
{
    (void)unused;
    closefrom(3);
    return 0;
}

/* ... and opens others in their places, which must be left alone. */
static int replace_all(void *unused)
{
    int ends[2];

    close_all(unused);
    CHECK_EQ(pipe2(ends, O_NONBLOCK), 0);
    for (int fd = 5; fd < 60; fd++)
        CHECK_EQ(dup2(ends[1], fd), fd);
    CHECK_EQ(dup2(ends[0], 60), 60);
    CHECK_EQ(dup2(ends[1], 3), 3);
    CHECK_EQ(dup2(ends[1], 4), 4);
    return 0;
}

static int count_written(void)
{
    char written[1000];
    ssize_t count = read(60, written, sizeof written);

    return count < 0 && errno == EAGAIN ? 0 : -1;
}
PP_TASK(int, count_written);

static void without_descriptors(int (*initializer)(void *), bool looks)
{
    enum { TASKS = 200 };
    int calls = 0, found = -1;
    pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL,
                                .initializer = initializer);

    CHECK(pool != NULL);
    for (int i = 1; i <= TASKS; i++) { /* one by one: each must wake us */
        CHECK_SOON(is_quiet(pool));
        submit(pool, i, &calls);
        loop_until(pool, &calls, i);
    }
    for (int i = 0; i < 10 && looks; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(count_written), &found), 0);
        CHECK_EQ(found, 0);
    }
    finish(pool);
}

TEST(workers_that_close_all)
{
    without_descriptors(close_all, false);
}

TEST(workers_that_replace_all)
{
    without_descriptors(replace_all, true);
}

/* ---- Loops ------------------------------------------------------------------- */

TEST(a_flood, .timeout = 60)
{
    enum { TASKS = 100000 };
    size_t before = threads();
    pp_pool *pool = polled_pool(2);
    int calls = 0;

    for (int i = 0; i < TASKS; i++)
        submit(pool, i, &calls);
    CHECK_EQ(threads(), before);
    CHECK_EQ(calls, 0);
    loop_until(pool, &calls, TASKS);
    CHECK_EQ(threads(), before);
    CHECK_SOON(is_quiet(pool));
    finish(pool);
}

/* Results that fill the workers' rings and outboxes while nobody looks. */
TEST(a_flood_of_large_results, .timeout = 60)
{
    enum { TASKS = 3000 };
    pp_pool *pool = polled_pool(2);
    int calls = 0;

    for (int i = 0; i < TASKS; i++)
        CHECK(pp_apply_async(pool, PP_CALL(make_block, i), .callback = count, .user = &calls));
    loop_until(pool, &calls, TASKS);
    finish(pool);
}

TEST(nested_in_another_epoll)
{
    enum { POOLS = 3, TASKS = 300 };
    pp_pool *pools[POOLS];
    int outer = epoll_create1(EPOLL_CLOEXEC), calls = 0;

    for (int i = 0; i < POOLS; i++) {
        struct epoll_event event = { .events = EPOLLIN };

        pools[i] = polled_pool(1);
        event.data.ptr = pools[i];
        CHECK_EQ(epoll_ctl(outer, EPOLL_CTL_ADD, pp_pool_fd(pools[i]), &event), 0);
    }
    for (int i = 0; i < TASKS; i++)
        submit(pools[i % POOLS], i, &calls);
    while (calls < TASKS) {
        struct epoll_event event;

        CHECK_EQ(epoll_wait(outer, &event, 1, (int)(10000 * harness_time_factor())), 1);
        CHECK(pp_poll(event.data.ptr) >= 0);
    }
    for (int i = 0; i < POOLS; i++)
        finish(pools[i]);
    close(outer);
}

struct chain {
    pp_pool *pool;
    int left, calls;
};

static void submit_next(pp_result *result, void *user)
{
    struct chain *chain = user;
    long value = 0;

    CHECK_EQ(pp_get(result, &value), 0);
    pp_result_free(result);
    chain->calls++;
    if (chain->left-- > 0)
        CHECK(pp_apply_async(chain->pool, PP_CALL(square, value % 1000), .callback = submit_next,
                             .user = chain));
}

TEST(callbacks_that_submit_more)
{
    struct chain chain = { .pool = polled_pool(2), .left = 1000 };

    for (int i = 0; i < 4; i++)
        CHECK(pp_apply_async(chain.pool, PP_CALL(square, 3), .callback = submit_next,
                             .user = &chain));
    loop_until(chain.pool, &chain.calls, 1004);
    finish(chain.pool);
}

static void *wait_for_many(void *pool)
{
    for (long i = 0; i < 500; i++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(square, i));
        long value = 0;

        CHECK_EQ(pp_get(result, &value), 0);
        CHECK_EQ(value, i * i);
        CHECK_EQ(pp_apply(pool, PP_CALL(square, i), &value), 0);
        pp_result_free(result);
    }
    return NULL;
}

static void count_anywhere(pp_result *result, void *calls)
{
    atomic_fetch_add((atomic_int *)calls, 1);
    pp_result_free(result);
}

/* Other threads wait at the same time, take in what is the loop's, and run callbacks. */
TEST(beside_threads_that_wait, .timeout = 60)
{
    enum { THREADS = 3, TASKS = 2000 };
    pthread_t waiting[THREADS];
    pp_pool *pool = polled_pool(2);
    int fd = pp_pool_fd(pool);
    atomic_int calls = 0;

    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&waiting[i], NULL, wait_for_many, pool), 0);
    for (int i = 0; i < TASKS; i++)
        CHECK(pp_apply_async(pool, PP_CALL(square, i), .callback = count_anywhere,
                             .user = &calls));
    while (atomic_load(&calls) < TASKS) {
        struct pollfd poller = { .fd = fd, .events = POLLIN };

        /* The last callback may be run by another thread, which tells us nothing. */
        CHECK(poll(&poller, 1, 10) >= 0);
        CHECK(pp_poll(pool) >= 0);
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(waiting[i], NULL);
    CHECK_SOON(is_quiet(pool));
    finish(pool);
}
