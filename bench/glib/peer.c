/* SPDX-License-Identifier: MIT */
/* GLib's GThreadPool with threads of its own. */
#include "harness/peer.h"

#include <glib.h>
#include <stdlib.h>
#include <string.h>

struct task {
    void (*work)(struct task *task); /* in a thread of the pool */
    bench_range *range;
    long from, to, value;
    bool done;
    const void *source;
    void *target;
    GAsyncQueue *results;
};

static GThreadPool *pool;
static GMutex mutex;
static GCond changed;
static gint left;

static void dispatch(gpointer data, gpointer unused)
{
    struct task *task = (struct task *)data;

    (void)unused;
    task->work(task);
}

static void start(int workers)
{
    pool = g_thread_pool_new(dispatch, NULL, workers, TRUE, NULL);
    bench_check(pool != NULL, "cannot create a pool");
}

static void stop(void)
{
    g_thread_pool_free(pool, FALSE, TRUE);
}

/* ---- One call ---- */

static void finish(struct task *task)
{
    g_mutex_lock(&mutex);
    task->done = true;
    g_cond_signal(&changed);
    g_mutex_unlock(&mutex);
}

static void run_and_wait(struct task *task)
{
    g_thread_pool_push(pool, task, NULL);
    g_mutex_lock(&mutex);
    while (!task->done)
        g_cond_wait(&changed, &mutex);
    g_mutex_unlock(&mutex);
}

static void work_square(struct task *task)
{
    task->value = bench_square(task->from);
    finish(task);
}

static long square(long x)
{
    struct task task = { .work = work_square, .from = x };

    run_and_wait(&task);
    return task.value;
}

static void work_copy(struct task *task)
{
    memcpy(task->target, task->source, (size_t)task->to);
    finish(task);
}

static void echo(const void *from, void *to, size_t size)
{
    struct task task = { .work = work_copy, .source = from, .target = to, .to = (long)size };

    run_and_wait(&task);
}

/* ---- Many ---- */

static void work_range(struct task *task)
{
    task->range(task->from, task->to);
    if (!g_atomic_int_dec_and_test(&left))
        return;
    g_mutex_lock(&mutex);
    g_cond_signal(&changed);
    g_mutex_unlock(&mutex);
}

static void run(bench_range *range, long count, long chunk)
{
    long tasks = (count + chunk - 1) / chunk;
    struct task *task = (struct task *)calloc((size_t)tasks, sizeof *task);

    g_atomic_int_set(&left, (gint)tasks);
    for (long i = 0; i < tasks; i++) {
        task[i] = (struct task){ .work = work_range, .range = range, .from = i * chunk,
                                 .to = MIN(count, (i + 1) * chunk) };
        g_thread_pool_push(pool, &task[i], NULL);
    }
    g_mutex_lock(&mutex);
    while (g_atomic_int_get(&left) > 0)
        g_cond_wait(&changed, &mutex);
    g_mutex_unlock(&mutex);
    free(task);
}

static void work_queue(struct task *task)
{
    task->value = bench_square(task->from);
    g_async_queue_push(task->results, task);
}

static long unordered(long count)
{
    GAsyncQueue *results = g_async_queue_new();
    struct task *task = (struct task *)calloc((size_t)count, sizeof *task);
    long sum = 0;

    for (long i = 0; i < count; i++) {
        task[i] = (struct task){ .work = work_queue, .from = i, .results = results };
        g_thread_pool_push(pool, &task[i], NULL);
    }
    for (long i = 0; i < count; i++)
        sum += ((struct task *)g_async_queue_pop(results))->value;
    g_async_queue_unref(results);
    free(task);
    return sum;
}

const struct bench_peer bench_peer = {
    .start = start,
    .stop = stop,
    .square = square,
    .run = run,
    .unordered = unordered,
    .echo = echo,
};
