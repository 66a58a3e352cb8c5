/* SPDX-License-Identifier: MIT */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>

#include "standard.h"

/* Memory of this worker's own, for its result; says where. */
static long reserve(void *_Atomic *where, struct gate *gate)
{
    atomic_store(where, pp_reserve(64));
    gate_wait(gate);
    return *(long *)atomic_load(where);
}
PP_TASK(long, reserve, void *_Atomic *, where, struct gate *, gate);

static void store(void *where)
{
    fault_now();
    *(volatile long *)where = 99;
}
PP_TASK(void, store, void *, where);

/* Over its own arguments, which are the client's. */
static void store_into_argument(const char *text)
{
    fault_now();
    *(volatile char *)(uintptr_t)text = 'x';
}
PP_TASK(void, store_into_argument, const char *, text);

/* The begin of the n-th part of the pool's memory that a worker cannot write; 0: no more. */
static unsigned long read_only_part(int n)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    unsigned long begin, end, found = 0;
    char line[512], rights[8];

    while (maps && fgets(line, sizeof line, maps))
        if (strstr(line, "memfd:procpool") &&
            sscanf(line, "%lx-%lx %7s", &begin, &end, rights) == 3 && rights[1] != 'w' &&
            n-- == 0)
            found = begin;
    if (maps)
        fclose(maps);
    return found;
}
PP_TASK(unsigned long, read_only_part, int, n);

static const struct ending crash = { .error = PP_ECRASHED, .signal = SIGSEGV };

CASE(wild_store, .title = "a wild store: into arguments, into another worker's result",
     .must = "the task is an error at once, and nothing is damaged")
{
    void *_Atomic *where = shared_new(sizeof *where);
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(2);
    pp_result *other = pp_apply_async(pool, PP_CALL(reserve, where, gate));
    unsigned long part;
    int parts = 0;
    long value = -1;

    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    check_ending(pp_apply_async(pool, PP_CALL(store, atomic_load(where))), &crash);
    gate_open(gate);
    CHECK_EQ(get(other, &value), 0);
    CHECK(value != 99);
    for (;; parts++) {
        CHECK_EQ(get(pp_apply_async(pool, PP_CALL(read_only_part, parts)), &part), 0);
        if (!part)
            break;
        CHECK_EQ(get(pp_apply_async(pool, PP_CALL(store, (void *)part)), NULL), PP_ECRASHED);
    }
    CHECK(parts > 0);
    saw("so in each of %d parts that workers only read", parts);
    STANDARD(.pool = pool, .victim = PP_CALL(store_into_argument, "text").call, .must = crash);
    gate_free(gate);
    shared_free(where, sizeof *where);
}
