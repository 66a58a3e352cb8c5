/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <unistd.h>

#include "standard.h"

enum { ITEMS = 1000, CALLS = 10000 };

static const char *stay(struct gate *gate, const char *text)
{
    atomic_fetch_add(&gate->waiting, 1);
    for (;;)
        pause();
    return text;
}
PP_TASK(const char *, stay, struct gate *, gate, const char *, text);

static void never(pp_result *result, void *user)
{
    (void)result, (void)user;
    FAIL("a callback after pp_pool_free()");
}

static void leave_child(struct gate *gate)
{
    if (fork() == 0) {
        setsid();
        atomic_fetch_add(&gate->waiting, 1);
        for (;;)
            pause();
    }
}
PP_TASK(void, leave_child, struct gate *, gate);

static void begin(pp_pool *pool, struct gate *gate)
{
    PP_ARGS(stay) items[ITEMS];

    for (int i = 0; i < ITEMS; i++)
        items[i] = (PP_ARGS(stay)){ gate, "an argument" };
    CHECK_EQ(get(pp_apply_async(pool, PP_CALL(leave_child, gate)), NULL), 0);
    for (int i = 0; i < CALLS; i++)
        CHECK(pp_apply_async(pool, PP_CALL(stay, gate, "another"), .callback = never,
                             .error_callback = never));
    CHECK(pp_starmap_async(pool, stay, items, ITEMS, .callback = never,
                           .error_callback = never));
    CHECK(pp_istarmap(pool, stay, .items = items, .count = ITEMS));
    CHECK(pp_shared_alloc(pool, 1 << 20));
    CHECK_SOON(atomic_load(&gate->waiting) == 3);
}

CASE(freed_with_work_open, .title = "pp_pool_free() with work of all kinds open, and a daemon",
     .must = "nothing is left: no process, descriptor, thread or mapping; no callback comes")
{
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    double begun;

    begin(pool, gate);
    begun = harness_now();
    CHECK_EQ(pp_pool_free(pool), 0);
    ended_in(harness_now() - begun);
    CHECK_EQ(processes(), 0);
    saw("nothing left after %.1f ms, the daemon of a task neither",
        (harness_now() - begun) * 1e3);
    gate_free(gate);
}
