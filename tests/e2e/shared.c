/* SPDX-License-Identifier: MIT */
/* pp_shared_alloc(): the same zeroed memory in all processes, whenever they came. */
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static void fill(unsigned char *memory, size_t size, int value)
{
    memset(memory, value, size);
}
PP_TASK(void, fill, unsigned char *, memory, size_t, size, int, value);

/* How many bytes have this value. */
static size_t count_of(const unsigned char *memory, size_t size, int value)
{
    size_t count = 0;

    for (size_t i = 0; i < size; i++)
        count += memory[i] == value;
    return count;
}
PP_TASK(size_t, count_of, const unsigned char *, memory, size_t, size, int, value);

static void crash(int signal)
{
    raise(signal);
}
PP_TASK(void, crash, int, signal);

static pid_t own_pid(void)
{
    return getpid();
}
PP_TASK(pid_t, own_pid);

static bool has(const unsigned char *memory, size_t size, int value)
{
    return count_of(memory, size, value) == size;
}

/* Whether a worker sees this value everywhere. */
static bool worker_has(pp_pool *pool, unsigned char *memory, size_t size, int value)
{
    size_t count = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(count_of, memory, size, value), &count), 0);
    return count == size;
}

/* Pages of a range that are in memory, whoever has touched them. */
static size_t in_memory(const void *memory, size_t size)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (size + page - 1) / page, count = 0;
    unsigned char *found = malloc(pages);

    CHECK(found != NULL);
    CHECK_EQ(mincore((void *)memory, size, found), 0);
    for (size_t i = 0; i < pages; i++)
        count += found[i] & 1;
    free(found);
    return count * page;
}

/* ---- What is allocated ---------------------------------------------------- */

TEST(blocks_are_zeroed_aligned_and_apart)
{
    static const size_t sizes[] = { 1, 4096, 65536, 65537, 100000, 10 << 20, 3 };
    enum { COUNT = sizeof sizes / sizeof *sizes };
    pp_pool *pool = pool_of(1);
    unsigned char *blocks[COUNT];

    for (int i = 0; i < COUNT; i++) {
        blocks[i] = pp_shared_alloc(pool, sizes[i]);
        CHECK(blocks[i] != NULL);
        CHECK_EQ((uintptr_t)blocks[i] % (uintptr_t)sysconf(_SC_PAGESIZE), 0);
        /* Also if pages are of the largest size that kernels have. */
        CHECK_EQ((size_t)(blocks[i] - blocks[0]) % (64 * KIB), 0);
        CHECK(has(blocks[i], sizes[i], 0));
        memset(blocks[i], i + 1, sizes[i]);
    }
    for (int i = 0; i < COUNT; i++)
        CHECK(has(blocks[i], sizes[i], i + 1));
    for (int i = 0; i < COUNT; i++)
        CHECK_EQ(pp_shared_free(pool, blocks[i]), 0);
    finish(pool);
}

TEST(nothing_is_a_block_too)
{
    pp_pool *pool = pool_of(1);
    char *one = pp_shared_alloc(pool, 0), *other = pp_shared_alloc(pool, 0);

    CHECK(one && other && one != other);
    CHECK_EQ(pp_shared_free(pool, one), 0);
    CHECK_EQ(pp_shared_free(pool, other), 0);
    CHECK_EQ(pp_shared_free(pool, NULL), 0);
    finish(pool);
}

TEST(address_space_alone_costs_nothing)
{
    pp_pool *pool = pool_of(1);
    char *memory = pp_shared_alloc(pool, 100 * MIB);

    CHECK_EQ(in_memory(memory, 100 * MIB), 0);
    memory[50 * MIB] = 1;
    CHECK(in_memory(memory, 100 * MIB) <= 64 * KIB);
    finish(pool);
}

/* The largest block that there can be. */
static char *largest(pp_pool *pool, size_t *size)
{
    char *memory = NULL;

    for (*size = (size_t)1 << 46; *size > 0 && !memory; *size /= 2)
        memory = pp_shared_alloc(pool, *size);
    *size *= 2;
    CHECK(memory != NULL);
    return memory;
}

TEST(more_than_there_is)
{
    static const size_t sizes[] = { SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 2, (size_t)1 << 60 };
    pp_pool *pool = pool_of(1);
    char *all, *block;
    size_t size;

    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        CHECK_NULL(pp_shared_alloc(pool, sizes[i]), ENOMEM);
    all = largest(pool, &size);
    all[0] = all[size - 1] = 1;
    CHECK_NULL(pp_shared_alloc(pool, 1), ENOMEM);
    CHECK_EQ(pp_shared_free(pool, all), 0);
    block = pp_shared_alloc(pool, size / 2);
    CHECK_EQ(block, all);
    CHECK_EQ(*block, 0);
    CHECK(pp_shared_alloc(pool, size / 2) != NULL);
    CHECK_NULL(pp_shared_alloc(pool, 1), ENOMEM);
    finish(pool);
}

/* ---- What processes see --------------------------------------------------- */

TEST(all_see_the_same)
{
    pp_pool *pool = pool_of(2);
    unsigned char *memory = pp_shared_alloc(pool, MIB);

    memset(memory, 1, MIB);
    for (int i = 0; i < 10; i++) {
        CHECK(worker_has(pool, memory, MIB, 1 + 2 * i));
        CHECK_EQ(pp_apply(pool, PP_CALL(fill, memory, MIB, 2 + 2 * i), NULL), 0);
        CHECK(has(memory, MIB, 2 + 2 * i));
        memset(memory, 3 + 2 * i, MIB);
    }
    finish(pool);
}

/* Made after the pool, unlike what shared_new() gives. */
static int pass_gate(struct gate *gate)
{
    gate_wait(gate);
    return atomic_load(&gate->open);
}
PP_TASK(int, pass_gate, struct gate *, gate);

TEST(tasks_and_client_meet_at_a_gate)
{
    pp_pool *pool = pool_of(3);
    struct gate *gate = pp_shared_alloc(pool, sizeof *gate);

    for (int i = 0; i < 3; i++)
        CHECK(pp_apply_async(pool, PP_CALL(pass_gate, gate)));
    CHECK_SOON(atomic_load(&gate->waiting) == 3);
    gate_open(gate);
    CHECK_SOON(atomic_load(&gate->passed) == 3);
    finish(pool);
}

TEST(replacements_see_it)
{
    pp_pool *pool = pool_of(1);
    unsigned char *memory = pp_shared_alloc(pool, MIB);
    pid_t before = 0, after = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(own_pid), &before), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(fill, memory, MIB, 7), NULL), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(crash, SIGSEGV), NULL), PP_ECRASHED);
    CHECK(has(memory, MIB, 7)); /* what the dead has written stays */
    CHECK(worker_has(pool, memory, MIB, 7));
    CHECK_EQ(pp_apply(pool, PP_CALL(own_pid), &after), 0);
    CHECK(after != before);
    CHECK_EQ(pp_apply(pool, PP_CALL(fill, memory, MIB, 8), NULL), 0);
    CHECK(has(memory, MIB, 8));
    finish(pool);
}

TEST(each_worker_for_one_task)
{
    pp_pool *pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 1);
    unsigned char *memory;

    CHECK(pool != NULL);
    memory = pp_shared_alloc(pool, MIB);
    for (int i = 1; i < 20; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(fill, memory, MIB, i), NULL), 0);
        CHECK(worker_has(pool, memory, MIB, i));
    }
    finish(pool);
}

/* What a task forks is its own; it has the memory all the same. */
static int fill_in_child(unsigned char *memory, size_t size, int value)
{
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        memset(memory, value, size);
        _exit(0);
    }
    waitpid(pid, &status, 0);
    return status;
}
PP_TASK(int, fill_in_child, unsigned char *, memory, size_t, size, int, value);

TEST(children_of_tasks_see_it)
{
    pp_pool *pool = pool_of(1);
    unsigned char *memory = pp_shared_alloc(pool, MIB);
    int status = -1;

    CHECK_EQ(pp_apply(pool, PP_CALL(fill_in_child, memory, MIB, 9), &status), 0);
    CHECK_EQ(status, 0);
    CHECK(has(memory, MIB, 9));
    finish(pool);
}

TEST(each_pool_has_its_own)
{
    pp_pool *one = pool_of(1), *other = pool_of(1);
    unsigned char *memory = pp_shared_alloc(one, MIB);

    CHECK_EQ(pp_shared_free(other, memory), -EINVAL);
    CHECK_EQ(pp_apply(other, PP_CALL(fill, memory, MIB, 1), NULL), PP_ECRASHED);
    CHECK(has(memory, MIB, 0));
    CHECK_EQ(pp_apply(one, PP_CALL(fill, memory, MIB, 1), NULL), 0);
    CHECK(has(memory, MIB, 1));
    CHECK_EQ(pp_shared_free(one, memory), 0);
    finish(one);
    finish(other);
}

/* ---- What is freed -------------------------------------------------------- */

TEST(what_is_freed_goes_back_at_once)
{
    pp_pool *pool = pool_of(1);
    unsigned char *small = pp_shared_alloc(pool, 1), *large = pp_shared_alloc(pool, 20 * MIB);

    small[0] = 1;
    CHECK_EQ(pp_apply(pool, PP_CALL(fill, large, 20 * MIB, 1), NULL), 0);
    CHECK_EQ(in_memory(large, 20 * MIB), 20 * MIB);
    CHECK(in_memory(small, 1) > 0);
    CHECK_EQ(pp_shared_free(pool, large), 0);
    CHECK_EQ(in_memory(large, 20 * MIB), 0);
    CHECK_EQ(pp_shared_free(pool, small), 0);
    CHECK_EQ(in_memory(small, 1), 0);
    finish(pool);
}

TEST(what_was_freed_is_zero_again)
{
    enum { BLOCKS = 16, ROUNDS = 300 };
    unsigned long seed = choose_seed();
    pp_pool *pool = pool_of(1);
    unsigned char *blocks[BLOCKS] = { NULL };
    size_t sizes[BLOCKS];

    for (int round = 0; round < ROUNDS; round++) {
        unsigned i = next_random(&seed) % BLOCKS;

        if (blocks[i]) {
            CHECK(has(blocks[i], sizes[i], (int)i + 1));
            CHECK_EQ(pp_shared_free(pool, blocks[i]), 0);
            blocks[i] = NULL;
            continue;
        }
        sizes[i] = 1 + next_random(&seed) % ((size_t)1 << (10 + next_random(&seed) % 11));
        blocks[i] = pp_shared_alloc(pool, sizes[i]);
        CHECK(blocks[i] != NULL);
        CHECK(has(blocks[i], sizes[i], 0));
        if (next_random(&seed) % 2)
            fill(blocks[i], sizes[i], (int)i + 1);
        else
            CHECK_EQ(pp_apply(pool, PP_CALL(fill, blocks[i], sizes[i], (int)i + 1), NULL), 0);
    }
    finish(pool);
}

/* A task that goes on writing where it must not does not spoil the next block. */
TEST(stray_stores_after_the_end)
{
    pp_pool *pool = pool_of(1);
    unsigned char *memory = pp_shared_alloc(pool, MIB);

    CHECK_EQ(pp_shared_free(pool, memory), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(fill, memory, MIB, 5), NULL), 0);
    CHECK_EQ(pp_shared_alloc(pool, MIB), (void *)memory);
    CHECK(has(memory, MIB, 0));
    finish(pool);
}

TEST(locked_memory_is_freed)
{
    pp_pool *pool = pool_of(1);
    unsigned char *memory = pp_shared_alloc(pool, 16 * KIB);

    if (mlock(memory, 16 * KIB) != 0)
        SKIP("no memory may be locked here: %s", strerror(errno));
    memset(memory, 5, 16 * KIB);
    CHECK_EQ(pp_shared_free(pool, memory), 0);
    CHECK_EQ(in_memory(memory, 16 * KIB), 0);
    CHECK_EQ(pp_shared_alloc(pool, 16 * KIB), (void *)memory);
    CHECK(has(memory, 16 * KIB, 0));
    finish(pool);
}

/* From now on this process can give no page of a file back. */
static bool refuse_removal(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_madvise, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MADV_REMOVE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = { sizeof code / sizeof *code, code };

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(zero_even_if_no_page_is_taken_back)
{
    pp_pool *pool = pool_of(1);
    unsigned char *memory = pp_shared_alloc(pool, MIB);

    if (!refuse_removal())
        SKIP("system calls cannot be filtered here: %s", strerror(errno));
    CHECK(madvise(memory, MIB, MADV_REMOVE) != 0);
    memset(memory, 5, MIB);
    CHECK_EQ(pp_shared_free(pool, memory), 0);
    CHECK_EQ(pp_shared_alloc(pool, 2 * MIB), (void *)memory); /* merged */
    CHECK(has(memory, 2 * MIB, 0));
    memset(memory, 5, 2 * MIB);
    CHECK_EQ(pp_shared_free(pool, memory), 0);
    CHECK_EQ(pp_shared_alloc(pool, 64 * KIB), (void *)memory); /* split */
    CHECK(has(memory, 2 * MIB, 0));
    finish(pool);
}

TEST(what_is_no_block_is_not_freed)
{
    pp_pool *pool = pool_of(1);
    unsigned char *memory = pp_shared_alloc(pool, MIB), *freed = pp_shared_alloc(pool, MIB);
    void *heap = malloc(MIB);
    int variable;
    void *const wrong[] = { memory + 1,         memory + 4096,    memory + 64 * KIB,
                            memory + MIB / 2,   memory + MIB - 1, memory - 1,
                            memory - 64 * KIB,  memory + (MIB << 20), heap,
                            &variable,          (void *)1,        (void *)UINTPTR_MAX,
                            (void *)(uintptr_t)own_pid };

    memset(memory, 5, MIB);
    CHECK_EQ(pp_shared_free(pool, freed), 0);
    CHECK_EQ(pp_shared_free(pool, freed), -EINVAL); /* a second time */
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK_EQ(pp_shared_free(pool, wrong[i]), -EINVAL);
    CHECK(has(memory, MIB, 5));
    CHECK_EQ(pp_shared_free(pool, memory), 0);
    CHECK_EQ(pp_shared_free(pool, memory), -EINVAL);
    finish(pool);
    free(heap);
}

/* ---- When the pool ends ---------------------------------------------------- */

/* The processes are gone: what is there stays and can be freed. */
static void check_afterwards(pp_pool *pool, unsigned char *memory, unsigned char *other)
{
    CHECK_NULL(pp_shared_alloc(pool, 1), ESHUTDOWN);
    CHECK(has(memory, MIB, 5));
    memset(memory, 6, MIB);
    CHECK(has(memory, MIB, 6));
    CHECK_EQ(pp_shared_free(pool, memory + 4096), -EINVAL);
    CHECK_EQ(pp_shared_free(pool, memory), 0);
    CHECK_EQ(in_memory(memory, MIB), 0);
    CHECK_EQ(pp_shared_free(pool, memory), -EINVAL);
    CHECK(has(other, MIB, 7));
}

TEST(it_outlives_the_processes)
{
    pp_pool *pool = pool_of(2);
    unsigned char *memory = pp_shared_alloc(pool, MIB), *other = pp_shared_alloc(pool, MIB);
    unsigned char *late;

    CHECK_EQ(pp_apply(pool, PP_CALL(fill, memory, MIB, 5), NULL), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(fill, other, MIB, 7), NULL), 0);
    CHECK_EQ(pp_close(pool), 0);
    late = pp_shared_alloc(pool, MIB); /* tasks may still be running */
    CHECK(late && has(late, MIB, 0));
    CHECK_EQ(pp_shared_free(pool, late), 0);
    CHECK_EQ(pp_join(pool), 0);
    check_afterwards(pool, memory, other);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(it_outlives_termination)
{
    pp_pool *pool = pool_of(2);
    unsigned char *memory = pp_shared_alloc(pool, MIB), *other = pp_shared_alloc(pool, MIB);

    memset(memory, 5, MIB);
    memset(other, 7, MIB);
    CHECK_EQ(pp_terminate(pool), 0);
    check_afterwards(pool, memory, other);
    CHECK_EQ(pp_join(pool), 0);
    CHECK(has(other, MIB, 7));
    CHECK_EQ(pp_shared_free(pool, other), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
}

static bool refuses(pp_pool *pool)
{
    void *memory = pp_shared_alloc(pool, 1);
    int error = errno;

    if (memory)
        CHECK_EQ(pp_shared_free(pool, memory), 0);
    return !memory && error == ESHUTDOWN;
}

/* Nobody else has noticed that it died. */
TEST(it_outlives_the_supervisor)
{
    pp_pool *pool = pool_of(2);
    unsigned char *memory = pp_shared_alloc(pool, MIB), *other = pp_shared_alloc(pool, MIB);
    struct census census;

    memset(memory, 5, MIB);
    memset(other, 7, MIB);
    CHECK_SOON(take_census(&census, 2));
    CHECK_EQ(kill(census.supervisor, SIGKILL), 0);
    CHECK_SOON(refuses(pool));
    check_afterwards(pool, memory, other);
    finish(pool);
}

TEST(it_is_gone_with_the_pool)
{
    pp_pool *pool = pool_of(1);
    char *memory = pp_shared_alloc(pool, MIB);
    unsigned char page;

    memory[0] = 1;
    CHECK_EQ(pp_pool_free(pool), 0);
    CHECK(mincore(memory, 4096, &page) != 0 && errno == ENOMEM);
}

/* Of this process, in bytes. */
static size_t address_space(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    size_t pages = 0;

    CHECK(file && fscanf(file, "%zu", &pages) == 1);
    fclose(file);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* What the client knows of its blocks, too: it is large, and not shared. */
TEST(no_address_space_stays)
{
    size_t before;

    if (HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("they take address space as they like");
    finish(pool_of(1));
    before = address_space();
    for (int i = 0; i < 5; i++)
        finish(pool_of(1));
    CHECK(address_space() < before + MIB);
}

/* ---- Who may call ----------------------------------------------------------- */

TEST(no_pool)
{
    CHECK_NULL(pp_shared_alloc(NULL, 1), EINVAL);
    CHECK_EQ(pp_shared_free(NULL, NULL), -EINVAL);
}

static int alloc_in_task(pp_pool *pool, void *memory)
{
    errno = 0;
    if (pp_shared_alloc(pool, 1) || errno != ECHILD)
        return -1;
    return pp_shared_free(pool, memory);
}
PP_TASK(int, alloc_in_task, pp_pool *, pool, void *, memory);

TEST(tasks_may_not)
{
    pp_pool *pool = pool_of(1);
    void *memory = pp_shared_alloc(pool, 1);
    int result = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(alloc_in_task, pool, memory), &result), 0);
    CHECK_EQ(result, -ECHILD);
    CHECK_EQ(pp_shared_free(pool, memory), 0);
    finish(pool);
}

TEST(children_may_not_and_do_not_have_it)
{
    pp_pool *pool = pool_of(1);
    unsigned char *memory = pp_shared_alloc(pool, MIB), page;
    int status = -1;
    pid_t pid = fork();

    if (pid == 0) {
        CHECK_NULL(pp_shared_alloc(pool, 1), ECHILD);
        CHECK_EQ(pp_shared_free(pool, memory), -ECHILD);
        CHECK_EQ(pp_shared_free(pool, NULL), -ECHILD);
        CHECK(mincore(memory, 4096, &page) != 0 && errno == ENOMEM);
        _exit(0);
    }
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(pp_shared_free(pool, memory), 0);
    finish(pool);
}

static void use_in_callback(pp_result *result, void *user)
{
    pp_pool *pool = user;
    unsigned char *memory = pp_shared_alloc(pool, MIB);

    (void)result;
    CHECK(memory && has(memory, MIB, 0));
    memset(memory, 1, MIB);
    CHECK_EQ(pp_shared_free(pool, memory), 0);
}

TEST(callbacks_may)
{
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 10; i++)
        CHECK(pp_apply_async(pool, PP_CALL(own_pid), .callback = use_in_callback, .user = pool));
    finish(pool);
}

static void *use_in_thread(void *what)
{
    pp_pool *pool = what;

    for (int i = 0; i < 50; i++) {
        unsigned char *memory = pp_shared_alloc(pool, 200 * KIB);

        CHECK(memory && has(memory, 200 * KIB, 0));
        CHECK_EQ(pp_apply(pool, PP_CALL(fill, memory, 200 * KIB, i), NULL), 0);
        CHECK(has(memory, 200 * KIB, i));
        CHECK_EQ(pp_shared_free(pool, memory), 0);
    }
    return NULL;
}

TEST(threads_may, .timeout = 60)
{
    pp_pool *pool = pool_of(2);
    pthread_t threads[4];

    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, use_in_thread, pool), 0);
    for (int i = 0; i < 4; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    finish(pool);
}
