/* SPDX-License-Identifier: MIT */
/* Crash reports wherever a task crashes, and whoever else is there. */
#include <stdint.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "crashing.h"

/* ---- What the task may be in the middle of --------------------------------- */

static int compare_badly(const void *a, const void *b)
{
    store(at(0), *(const int *)a + *(const int *)b);
    return 0;
}

static int sort_badly(void)
{
    int numbers[] = { 3, 2, 1 };

    flockfile(stdout);
    qsort(numbers, 3, sizeof *numbers, compare_badly);
    funlockfile(stdout);
    return numbers[0];
}
PP_TASK(int, sort_badly);

TEST(in_a_callback_and_with_a_lock_held)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, sort_badly);

    CHECK_HAS(error->message, " in store() at ");
    CHECK_HAS(error->backtrace, "\n#1 compare_badly at ");
    CHECK_HAS(error->backtrace, "qsort");
    CHECK_HAS(error->backtrace, " sort_badly at ");
    free(error);
    finish(pool);
}

/* malloc() finds that somebody has written where it keeps its books. */
static NOINLINE int break_heap(void)
{
    void *volatile block = malloc(5000), *volatile next = malloc(5000);

    free(block);
    ((volatile size_t *)block)[-1] = 0x12345678;
    block = malloc(5000);
    return block != next;
}
PP_TASK(int, break_heap);

TEST(in_malloc)
{
    pp_pool *pool;
    pp_error *error;

    if (HARNESS_SANITIZED || harness_on_valgrind())
        SKIP("their malloc() is another");
    pool = pool_of(1);
    error = FAILURE(pool, break_heap);
    CHECK_HAS(error->message, " in break_heap() at ");
    free(error);
    finish(pool);
}

static NOINLINE int give_up(void)
{
    abort();
}
PP_TASK(int, give_up);

/* ---- Who else is there ------------------------------------------------------ */

/* A child of the task's crashes, which is no affair of the worker's seat. */
static int fork_and_crash(int then)
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        fill(at(0), 1);
    waitpid(pid, &status, 0);
    if (then) {
        signal(then, SIG_DFL);
        raise(then);
    }
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
}
PP_TASK(int, fork_and_crash, int, then);

TEST(child_of_a_task)
{
    pp_pool *pool = pool_of(1);
    pp_error *error;
    int signal = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(fork_and_crash, 0), &signal), 0);
    CHECK_EQ(signal, SIGSEGV);
    error = FAILURE(pool, fork_and_crash, SIGSEGV); /* which nobody reports */
    CHECK_STR(error->message, "fork_and_crash(...) was killed by SIGSEGV");
    CHECK(error->backtrace == NULL);
    free(error);
    finish(pool);
}

static int die_unreported(int number)
{
    signal(number, SIG_DFL);
    return raise(number);
}
PP_TASK(int, die_unreported, int, number);

/* Seats are used again, and what is in them is not. */
TEST(reports_of_earlier_workers)
{
    pp_pool *pool = pool_of(1);

    for (int i = 0; i < 80; i++) {
        bool reported = i < 40; /* there are fewer seats */
        pp_error *error =
            reported ? FAILURE(pool, give_up) : FAILURE(pool, die_unreported, SIGABRT);

        CHECK_EQ(error->signal, SIGABRT);
        CHECK_EQ(error->backtrace != NULL, reported);
        free(error);
    }
    finish(pool);
}

static void leave(int signal)
{
    _exit(signal);
}

static int handle(int number)
{
    signal(number, leave);
    return fill(at(0), 1);
}
PP_TASK(int, handle, int, number);

TEST(handler_of_the_task_s_own)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = FAILURE(pool, handle, SIGSEGV);

    CHECK_EQ(error->signal, 0);
    CHECK_EQ(error->status, SIGSEGV);
    CHECK(error->backtrace == NULL);
    free(error);
    finish(pool);
}

/* ---- Many, and everywhere ---------------------------------------------------- */

/* The items that are negative crash. */
static long square(long x)
{
    if (x < 0)
        store(at((size_t)-x), 1);
    return x * x;
}
PP_TASK(long, square, long, x);

enum { MANY = 300 };

TEST(each_of_many)
{
    pp_pool *pool = pool_of(2);
    long items[MANY], out[MANY];
    pp_result *result;

    for (long i = 0; i < MANY; i++)
        items[i] = i % 3 ? i : -8 * (i + 1);
    result = pp_map_async(pool, square, items, MANY);
    CHECK_EQ(pp_get(result, out), PP_ECRASHED);
    CHECK_EQ(pp_failures(result), MANY / 3);
    for (size_t i = 0; i < MANY / 3; i++) {
        const pp_error *error = pp_failure(result, i);
        char expected[100];

        CHECK_EQ(error->index, 3 * i);
        CHECK_EQ((size_t)error->address, 8 * (3 * i + 1));
        snprintf(expected, sizeof expected,
                 "square(...) with item %zu was killed by SIGSEGV at address 0x%zx in store()",
                 3 * i, 8 * (3 * i + 1));
        CHECK_HAS(error->message, expected);
        CHECK_HAS(error->backtrace, "#0 store at ");
        CHECK_HAS(error->backtrace, "\n#1 square at ");
    }
    finish(pool);
}

TEST(in_an_iterator)
{
    pp_pool *pool = pool_of(2);
    long items[] = { 1, -8, 3 }, value = 0;
    pp_iter *iter = pp_imap(pool, square, .items = items, .count = 3);

    CHECK_EQ(pp_next(iter, &value), 0);
    CHECK_EQ(pp_next(iter, &value), PP_ECRASHED);
    CHECK_HAS(pp_iter_error(iter)->message,
              "with item 1 was killed by SIGSEGV at address 0x8 in store()");
    CHECK_HAS(pp_iter_error(iter)->backtrace, "#0 store at ");
    CHECK_EQ(pp_next(iter, &value), 0);
    CHECK_EQ(value, 9);
    pp_iter_free(iter);
    finish(pool);
}

/* The last attempt is what is told of. */
static int crash_elsewhere(void)
{
    if (pp_attempt() == 1)
        abort();
    return fill(at(8), 1);
}
PP_TASK(int, crash_elsewhere);

TEST(after_retries)
{
    pp_pool *pool = pool_of(2);
    pp_error *error = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(crash_elsewhere), NULL, .retries = 1, .error = &error),
             PP_ECRASHED);
    CHECK_HAS(error->message, "SIGSEGV at address 0x8 in store() at ");
    CHECK_HAS(error->backtrace, " crash_elsewhere at ");
    free(error);
    finish(pool);
}

static int go_to(void *folder)
{
    return chdir(folder) == 0 ? 0 : errno;
}

static bool writes_cores(void)
{
    char pattern[64] = "";
    FILE *file = fopen("/proc/sys/kernel/core_pattern", "r");
    struct rlimit limit;

    if (file && !fgets(pattern, sizeof pattern, file))
        *pattern = '\0';
    if (file)
        fclose(file);
    getrlimit(RLIMIT_CORE, &limit);
    limit.rlim_cur = limit.rlim_max;
    return strcmp(pattern, "core\n") == 0 && limit.rlim_max > 0 &&
           setrlimit(RLIMIT_CORE, &limit) == 0 && !HARNESS_SANITIZED;
}

/* As without reports: a core dump, if the system writes any where we can see them. */
TEST(core_dump)
{
    char folder[] = "/tmp/crash_where.XXXXXX", command[128];
    pp_pool *pool;

    if (!writes_cores())
        SKIP("there are none here, or nobody knows where");
    CHECK(mkdtemp(folder) != NULL);
    pool = pp_pool_new(.processes = 1, .initializer = go_to, .initarg = folder);
    free(FAILURE(pool, square, -8));
    finish(pool);
    snprintf(command, sizeof command, "rm %s/core* && rmdir %s", folder, folder);
    CHECK_EQ(system(command), 0);
}

/* ---- Initializers ------------------------------------------------------------ */

static int start_badly(void *address)
{
    return fill(address, 1) + 1;
}

TEST(initializer)
{
    pp_error *error = NULL;

    CHECK_NULL(pp_pool_new(.processes = 2, .initializer = start_badly, .error = &error),
               ENOTRECOVERABLE);
    CHECK_EQ(error->kind, PP_CRASHED);
    CHECK_EQ(error->signal, SIGSEGV);
    CHECK_HAS(error->message,
              "a worker's initializer was killed by SIGSEGV at address 0x0 in store() at ");
    CHECK_HAS(error->backtrace, "#0 store at ");
    CHECK_HAS(error->backtrace, "\n#2 start_badly at ");
    CHECK_EQ(lines_of(error->backtrace), 3);
    free(error);
}

struct scene {
    atomic_int started;
};

static int start_badly_later(void *scene)
{
    if (atomic_fetch_add(&((struct scene *)scene)->started, 1) >= 1)
        fill(at(16), 1);
    return 0;
}

TEST(initializer_of_replacements)
{
    struct scene *scene = shared_new(sizeof *scene);
    pp_pool *pool =
        pp_pool_new(.processes = 1, .initializer = start_badly_later, .initarg = scene);
    long items[] = { -8, 2, 3 };
    pp_result *result = pp_map_async(pool, square, items, 3, .chunksize = 3);

    CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
    CHECK_EQ(pp_failures(result), 3);
    for (size_t i = 1; i < 3; i++) {
        CHECK_EQ(pp_failure(result, i)->kind, PP_BROKEN);
        CHECK_HAS(pp_failure(result, i)->message, "SIGSEGV at address 0x10 in store() at ");
        CHECK_HAS(pp_failure(result, i)->backtrace, "start_badly_later at ");
        CHECK(pp_failure(result, i)->address == (void *)16);
    }
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    shared_free(scene, sizeof *scene);
}
