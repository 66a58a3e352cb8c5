/* SPDX-License-Identifier: MIT */
#include <stdlib.h>

#include "standard.h"

static long same(long x)
{
    return x;
}
PP_TASK(long, same, long, x);

static void stay(struct gate *gate)
{
    gate_wait(gate);
}
PP_TASK(void, stay, struct gate *, gate);

struct scene {
    pp_pool *pool;
    pp_result *others; /* whose callback has not run */
    struct gate *gate;
    atomic_int calls;
};

/* Does what it must not, and what others would not expect. */
static void misbehave(pp_result *result, void *user)
{
    struct scene *scene = user;
    long value = 0;

    atomic_fetch_add(&scene->calls, 1);
    answered_now();
    CHECK_EQ(pp_pool_free(scene->pool), -EDEADLK);
    CHECK_EQ(pp_join(scene->pool), -EDEADLK);
    CHECK_EQ(pp_get(scene->others, NULL), -EDEADLK);
    CHECK_EQ(pp_apply(scene->pool, PP_CALL(same, 7), &value), 0);
    CHECK_EQ(value, 7);
    CHECK_EQ(pp_cancel(scene->others), 0);
    pp_result_free(result);
}

static void note(pp_result *result, void *user)
{
    (void)result;
    atomic_fetch_add((atomic_int *)user, 1);
}

CASE(callback_misbehaves, .python = "c26_callback_raises",
     .title = "a callback that waits for itself, ends its own pool, frees its result",
     .must = "it is told EDEADLK where it would wait for ever; nothing else notices")
{
    struct scene scene = { .gate = gate_new() };
    atomic_int cancelled = 0;

    scene.pool = pool_of(2);
    scene.others = pp_apply_async(scene.pool, PP_CALL(stay, scene.gate),
                                  .error_callback = note, .user = &cancelled);
    fault_now();
    CHECK(pp_apply_async(scene.pool, PP_CALL(same, 1), .callback = misbehave, .user = &scene));
    check_bystanders(scene.pool);
    CHECK_SOON(atomic_load(&cancelled) == 1);
    CHECK_EQ(atomic_load(&scene.calls), 1);
    saw("EDEADLK from pp_pool_free(), pp_join(), pp_get(); 20 of 20 others right");
    check_works(scene.pool);
    end_pool(scene.pool);
    gate_free(scene.gate);
}
