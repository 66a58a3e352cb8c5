/* SPDX-License-Identifier: MIT */
/* libuv's uv_queue_work(): a pool of threads for each process, results in the loop. */
#include "harness/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

struct task {
    uv_work_t work;
    bench_range *range;
    long from, to, value;
    const void *source;
    void *target;
};

static uv_loop_t loop;
static long sum;

static void start(int workers)
{
    char number[16];

    snprintf(number, sizeof number, "%d", workers);
    setenv("UV_THREADPOOL_SIZE", number, 1); /* counts until the first call */
    bench_check(uv_loop_init(&loop) == 0, "cannot create a loop");
}

static void stop(void)
{
    uv_loop_close(&loop);
}

static void work_square(uv_work_t *work)
{
    struct task *task = (struct task *)work;

    task->value = bench_square(task->from);
}

static void work_copy(uv_work_t *work)
{
    struct task *task = (struct task *)work;

    memcpy(task->target, task->source, (size_t)task->to);
}

static void work_range(uv_work_t *work)
{
    struct task *task = (struct task *)work;

    task->range(task->from, task->to);
}

static void ended(uv_work_t *work, int status)
{
    bench_check(status == 0, "a call failed");
    sum += ((struct task *)work)->value;
}

static void submit(struct task *task, uv_work_cb work)
{
    bench_check(uv_queue_work(&loop, &task->work, work, ended) == 0, "cannot submit");
}

static void finish_all(void)
{
    uv_run(&loop, UV_RUN_DEFAULT);
}

static long square(long x)
{
    struct task task = { .from = x };

    submit(&task, work_square);
    finish_all();
    return task.value;
}

static void echo(const void *from, void *to, size_t size)
{
    struct task task = { .source = from, .target = to, .to = (long)size };

    submit(&task, work_copy);
    finish_all();
}

static void run(bench_range *range, long count, long chunk)
{
    long tasks = (count + chunk - 1) / chunk;
    struct task *task = calloc((size_t)tasks, sizeof *task);

    for (long i = 0; i < tasks; i++) {
        task[i].range = range;
        task[i].from = i * chunk;
        task[i].to = (i + 1) * chunk < count ? (i + 1) * chunk : count;
        submit(&task[i], work_range);
    }
    finish_all();
    free(task);
}

static long unordered(long count)
{
    struct task *task = calloc((size_t)count, sizeof *task);

    sum = 0;
    for (long i = 0; i < count; i++) {
        task[i].from = i;
        submit(&task[i], work_square);
    }
    finish_all();
    free(task);
    return sum;
}

const struct bench_peer bench_peer = {
    .global = true,
    .start = start,
    .stop = stop,
    .square = square,
    .run = run,
    .unordered = unordered,
    .echo = echo,
};
