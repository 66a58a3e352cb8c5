/* SPDX-License-Identifier: MIT */
/* Which maps are done in place: those whose arrays lie in shared memory entirely. */
#include "client/client.h"
#include "harness.h"

static void run(const void *args, void *result)
{
    (void)args;
    (void)result;
}

enum { ARGS = 24, RESULT = 8, SIZE = 1 << 16 };

static _Alignas(16) char memory[3 * SIZE]; /* the middle third is shared */
static char *const shared = memory + SIZE;
static struct ppi_queue queue;
static pp_pool pool;
static pp_task task;
static pp_result result;

/* Items and values of these numbers of bytes from the shared part's begin. */
static void share(ptrdiff_t items, ptrdiff_t out, size_t count)
{
    queue = (struct ppi_queue){ .shared = memory + SIZE, .shared_size = SIZE };
    pool.queue = &queue;
    result.pool = &pool;
    result.task = &task;
    result.count = count;
    ppi_share(&result, shared + items, shared + out);
}

static void describe(unsigned kind)
{
    task = (pp_task){ .size = sizeof task,
                      .name = "task",
                      .run = run,
                      .args_size = ARGS,
                      .result_size = RESULT,
                      .nparams = 2,
                      .params = { { 0, PP_VALUE_ }, { 8, kind } } };
    result.limits.retries = 0;
}

TEST(bounds)
{
    enum { MANY = 10 };

    describe(PP_VALUE_);
    for (ptrdiff_t at = -SIZE; at <= SIZE; at++) {
        share(at, at, MANY);
        CHECK_EQ(result.items_shared, at >= 0 && at + MANY * ARGS <= SIZE);
        CHECK_EQ(result.in_place, at >= 0 && at + MANY * RESULT <= SIZE);
    }
}

TEST(counts)
{
    static const size_t counts[] = { 0,
                                     SIZE_MAX,
                                     SIZE_MAX / ARGS,
                                     SIZE_MAX / RESULT + 1,
                                     SIZE_MAX / ARGS + 1,
                                     SIZE / RESULT + 1 };

    describe(PP_VALUE_);
    share(0, 0, SIZE / RESULT);
    CHECK(result.in_place && !result.items_shared);
    share(0, 0, SIZE / ARGS);
    CHECK(result.in_place && result.items_shared);
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        share(0, 0, counts[i]);
        CHECK(!result.in_place && !result.items_shared);
    }
}

TEST(no_items_and_no_results)
{
    describe(PP_VALUE_);
    task.args_size = 0;
    share(0, 0, 1);
    CHECK(result.in_place && !result.items_shared);
    task.result_size = 0;
    share(0, 0, 1);
    CHECK(!result.in_place && !result.items_shared);
    describe(PP_VALUE_);
    ppi_share(&result, NULL, NULL);
    CHECK(!result.in_place && !result.items_shared);
}

/* Their characters and bytes lie anywhere, and are copied. */
TEST(strings_and_bytes)
{
    describe(PP_STRING_);
    share(0, 0, 1);
    CHECK(result.in_place && !result.items_shared);
    describe(PP_BYTES_);
    share(0, 0, 1);
    CHECK(result.in_place && !result.items_shared);
}

/* A second attempt must not take the first one's value for its argument. */
TEST(retries_need_their_arguments)
{
    enum { MANY = 10, END = MANY * ARGS };

    describe(PP_VALUE_);
    result.limits.retries = 1;
    for (ptrdiff_t out = 0; out < 2 * END; out++) {
        share(END, out, MANY);
        CHECK(result.items_shared);
        CHECK_EQ(result.in_place, out + MANY * RESULT <= END);
    }
    for (ptrdiff_t out = 2 * END; out < 3 * END; out++) {
        share(END, out, MANY);
        CHECK(result.items_shared && result.in_place);
    }
    result.limits.retries = 0;
    share(0, 0, MANY);
    CHECK(result.items_shared && result.in_place);
    describe(PP_STRING_); /* copied before */
    result.limits.retries = 1;
    share(0, 0, MANY);
    CHECK(!result.items_shared && result.in_place);
}
