/* SPDX-License-Identifier: MIT */
#include "support.h"

#include <dirent.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void *shared_new(size_t size)
{
    void *memory =
        mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(memory != MAP_FAILED);
    return memory;
}

void shared_free(void *memory, size_t size)
{
    CHECK_EQ(munmap(memory, size), 0);
}

struct gate *gate_new(void)
{
    return shared_new(sizeof(struct gate));
}

void gate_free(struct gate *gate)
{
    shared_free(gate, sizeof *gate);
}

static void futex(atomic_int *word, int operation, int value)
{
    syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

void gate_open(struct gate *gate)
{
    atomic_store(&gate->open, 1);
    futex(&gate->open, FUTEX_WAKE, INT_MAX);
}

void gate_wait(struct gate *gate)
{
    atomic_fetch_add(&gate->waiting, 1);
    while (!atomic_load(&gate->open))
        futex(&gate->open, FUTEX_WAIT, 0);
    atomic_fetch_add(&gate->passed, 1);
}

void spend_time(long microseconds)
{
    double end = harness_now() + (double)microseconds * 1e-6;

    while (harness_now() < end)
        ;
}

void sleep_for(long microseconds)
{
    struct timespec left = { microseconds / 1000000, microseconds % 1000000 * 1000 };

    while (nanosleep(&left, &left) != 0)
        ;
}

/* A supervisor is the parent of other processes of the test; it is itself a child
   of the client, or of whoever adopted it. */
bool take_census(struct census *census, size_t workers)
{
    struct harness_process list[256];
    size_t count = harness_others(list, 256);

    census->supervisor = 0;
    census->count = 0;
    for (size_t i = 0; i < count && i < 256; i++) {
        for (size_t j = 0; j < count && j < 256; j++)
            if (list[j].parent == list[i].pid)
                census->supervisor = list[i].pid;
    }
    for (size_t i = 0; i < count && i < 256; i++)
        if (census->supervisor && list[i].parent == census->supervisor &&
            list[i].state != 'Z' && census->count < 128)
            census->workers[census->count++] = list[i].pid;
    return census->count == workers && count == workers + 1;
}

bool is_alive(pid_t pid)
{
    struct harness_process list[256];
    size_t count = harness_others(list, 256);

    for (size_t i = 0; i < count && i < 256; i++)
        if (list[i].pid == pid)
            return list[i].state != 'Z';
    return false;
}

size_t processes(void)
{
    return harness_others(NULL, 0);
}

size_t living(void)
{
    struct harness_process list[256];
    size_t count = harness_others(list, 256), alive = 0;

    CHECK(count <= 256);
    for (size_t i = 0; i < count; i++)
        alive += list[i].state != 'Z';
    return alive;
}

static size_t entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    CHECK(dir != NULL);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count - 2;
}

size_t threads(void)
{
    return entries("/proc/self/task");
}

size_t descriptors(void)
{
    return entries("/proc/self/fd") - 1;
}

pp_pool *pool_of(int workers)
{
    pp_pool *pool = pp_pool_new(.processes = workers);

    if (!pool && errno == ENOSYS && harness_on_valgrind())
        SKIP("this valgrind does not know a system call that pools need");
    if (!pool)
        FAIL("pp_pool_new: %s", pp_strerror(-errno));
    return pool;
}

void finish(pp_pool *pool)
{
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

unsigned rounds(unsigned some, unsigned all)
{
    if (getenv("TEST_THOROUGH"))
        return all;
    return HARNESS_SANITIZED && some >= 100 ? some / 4 : some;
}

unsigned long choose_seed(void)
{
    const char *text = getenv("TEST_SEED");
    unsigned long seed =
        text ? strtoul(text, NULL, 10) : (unsigned long)(harness_now() * 1e6);

    printf("TEST_SEED=%lu\n", seed);
    return seed;
}

/* The generator of Knuth's MMIX, of which the upper bits are good. */
unsigned long next_random(unsigned long *seed)
{
    *seed = *seed * 6364136223846793005UL + 1442695040888963407UL;
    return *seed >> 33;
}
