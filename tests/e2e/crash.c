/* SPDX-License-Identifier: MIT */
/* A task that crashes is an error of that task, and of nothing else. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* The ways in which an item may end; the first is the good one. */
enum way { FINE, SEGV, KILLED, ABORTED, EXIT_0, EXIT_3, WAYS };

struct ending {
    int signal;
    int status;
};

static const struct ending endings[WAYS] = {
    [SEGV] = { SIGSEGV, 0 }, [KILLED] = { SIGKILL, 0 }, [ABORTED] = { SIGABRT, 0 },
    [EXIT_0] = { 0, 0 },     [EXIT_3] = { 0, 3 },
};

static void end(enum way way)
{
    volatile int *volatile nowhere = NULL;

    switch (way) {
    case SEGV:
        *nowhere = 1;
        break;
    case KILLED:
        raise(SIGKILL);
        break;
    case ABORTED:
        abort();
    case EXIT_0:
        exit(0);
    case EXIT_3:
        _exit(3);
    case FINE:
    case WAYS:
        break;
    }
}

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static long end_or_square(enum way way, long x)
{
    end(way);
    return x * x;
}
PP_TASK(long, end_or_square, enum way, way, long, x);

static int die_of(int signal)
{
    raise(signal);
    return signal;
}
PP_TASK(int, die_of, int, signal);

static int leave(int status)
{
    _exit(status);
    return status;
}
PP_TASK(int, leave, int, status);

static int recurse(int depth);
static int (*volatile recurse_again)(int) = recurse; /* compilers see through it else */

static int recurse(int depth)
{
    volatile char frame[10000];

    frame[0] = (char)depth;
    return frame[0] + recurse_again(depth + 1) + frame[0];
}
PP_TASK(int, recurse, int, depth);

static int exec(const char *program)
{
    execl(program, program, (char *)NULL);
    return errno;
}
PP_TASK(int, exec, const char *, program);

static int end_thread(void)
{
    pthread_exit(NULL);
    return 0;
}
PP_TASK(int, end_thread);

static int status_of_command(const char *command)
{
    return WEXITSTATUS(system(command));
}
PP_TASK(int, status_of_command, const char *, command);

static void check_works(pp_pool *pool)
{
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 12), &value), 0);
    CHECK_EQ(value, 144);
}

static void check_error(const pp_error *error, struct ending ending, const char *function)
{
    CHECK(error != NULL);
    CHECK_EQ(error->kind, PP_CRASHED);
    CHECK_EQ(error->code, 0);
    CHECK_EQ(error->signal, ending.signal);
    CHECK_EQ(error->status, ending.status);
    CHECK(error->pid > 0 && error->pid != getpid());
    CHECK_STR(error->function, function);
    CHECK_HAS(error->message, function);
}

TEST(each_way)
{
    pp_pool *pool = pool_of(2);

    for (int way = SEGV; way < WAYS; way++) {
        pp_result *result = pp_apply_async(pool, PP_CALL(end_or_square, (enum way)way, 3));
        long value = 42;

        CHECK_EQ(pp_get(result, &value), PP_ECRASHED);
        CHECK_EQ(value, 42);
        CHECK(!pp_successful(result));
        CHECK_EQ(pp_failures(result), 1);
        check_error(pp_error_of(result), endings[way], "end_or_square");
        check_works(pool);
    }
    finish(pool);
}

TEST(each_way_with_one_worker)
{
    pp_pool *pool = pool_of(1);

    for (int way = SEGV; way < WAYS; way++) {
        pp_error *error = NULL;

        CHECK_EQ(pp_apply(pool, PP_CALL(end_or_square, (enum way)way, 3), NULL,
                          .error = &error), PP_ECRASHED);
        check_error(error, endings[way], "end_or_square");
        free(error);
        check_works(pool);
    }
    finish(pool);
}

/* Of all signals that end a process by default; SIGINT is the client's to handle. */
TEST(each_signal, .timeout = 60)
{
    static const int signals[] = { SIGHUP,  SIGQUIT, SIGILL,  SIGTRAP, SIGABRT, SIGBUS,
                                   SIGFPE,  SIGKILL, SIGUSR1, SIGSEGV, SIGUSR2, SIGPIPE,
                                   SIGALRM, SIGTERM, SIGXCPU, SIGXFSZ, SIGSYS,  SIGVTALRM };
    pp_pool *pool = pool_of(2);

    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        pp_error *error = NULL;

        CHECK_EQ(pp_apply(pool, PP_CALL(die_of, signals[i]), NULL, .error = &error),
                 PP_ECRASHED);
        check_error(error, (struct ending){ signals[i], 0 }, "die_of");
        free(error);
    }
    check_works(pool);
    finish(pool);
}

TEST(each_status)
{
    static const int statuses[] = { 0, 1, 2, 23, 127, 255 };
    pp_pool *pool = pool_of(2);

    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        pp_error *error = NULL;

        CHECK_EQ(pp_apply(pool, PP_CALL(leave, statuses[i]), NULL, .error = &error),
                 PP_ECRASHED);
        check_error(error, (struct ending){ 0, statuses[i] }, "leave");
        free(error);
    }
    finish(pool);
}

TEST(stack_overflow)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(recurse, 0), NULL, .error = &error), PP_ECRASHED);
    check_error(error, (struct ending){ SIGSEGV, 0 }, "recurse");
    free(error);
    check_works(pool);
    finish(pool);
}

/* The process goes on as another program, which does not know of the task. */
TEST(other_program)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(exec, "/bin/true"), NULL, .error = &error), PP_ECRASHED);
    check_error(error, (struct ending){ 0, 0 }, "exec");
    free(error);
    check_works(pool);
    finish(pool);
}

TEST(only_thread_ends)
{
    pp_pool *pool = pool_of(1);

    CHECK_EQ(pp_apply(pool, PP_CALL(end_thread), NULL), PP_ECRASHED);
    check_works(pool);
    finish(pool);
}

/* Children of tasks are the tasks' own affair: their ends are no crash. */
TEST(children_of_tasks)
{
    pp_pool *pool = pool_of(1);
    int status = -1;

    CHECK_EQ(pp_apply(pool, PP_CALL(status_of_command, "exit 5"), &status), 0);
    CHECK_EQ(status, 5);
    CHECK_EQ(pp_apply(pool, PP_CALL(status_of_command, "kill -9 $$"), &status), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(status_of_command, "(true &)"), &status), 0);
    CHECK_EQ(status, 0);
    finish(pool);
}

/* ---- In maps --------------------------------------------------------------- */

/* An item that ends in the given way, and counts its runs. */
static long count_and_end(atomic_uchar *runs, int way, long x)
{
    atomic_fetch_add(runs, 1);
    end((enum way)way);
    return 3 * x + 1;
}
PP_TASK(long, count_and_end, atomic_uchar *, runs, int, way, long, x);

struct map {
    size_t count;
    atomic_uchar *runs;
    PP_ARGS(count_and_end) *items;
    long *out;
};

static struct map map_new(size_t count)
{
    struct map map = {
        .count = count,
        .runs = shared_new(count),
        .items = calloc(count, sizeof *map.items),
        .out = calloc(count, sizeof *map.out),
    };

    for (size_t i = 0; i < count; i++)
        map.items[i] = (PP_ARGS(count_and_end)){ &map.runs[i], FINE, (long)i };
    return map;
}

static void map_free(struct map *map)
{
    shared_free(map->runs, map->count);
    free(map->items);
    free(map->out);
}

/* Those that were to fail did, in the way given, and none else; each ran once. */
static void map_check(const struct map *map, pp_result *result)
{
    size_t failures = 0;

    for (size_t i = 0; i < map->count; i++) {
        CHECK_EQ(atomic_load(&map->runs[i]), 1);
        if (map->items[i].way == FINE) {
            CHECK_EQ(map->out[i], 3 * (long)i + 1);
        } else {
            const pp_error *error = pp_failure(result, failures++);

            CHECK_EQ(map->out[i], 0);
            CHECK(error != NULL);
            CHECK_EQ(error->index, i);
            check_error(error, endings[map->items[i].way], "count_and_end");
        }
    }
    CHECK_EQ(pp_failures(result), failures);
}

static void map_run(struct map *map, int workers, long chunksize)
{
    pp_pool *pool = pool_of(workers);
    pp_result *result = pp_starmap_async(pool, count_and_end, map->items, map->count,
                                         .chunksize = chunksize);

    CHECK_EQ(pp_get(result, map->out), PP_ECRASHED);
    map_check(map, result);
    check_works(pool);
    finish(pool);
}

TEST(anywhere_in_a_chunk, .timeout = 60)
{
    static const size_t places[] = { 0, 1, 49, 98, 99, 100, 150, 199 };

    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        struct map map = map_new(200);

        map.items[places[i]].way = (int)(SEGV + i % 5);
        map_run(&map, 1 + (int)i % 2, 100);
        map_free(&map);
    }
}

TEST(one_after_the_other_in_a_chunk)
{
    struct map map = map_new(100);

    for (size_t i = 40; i < 50; i++)
        map.items[i].way = (int)(SEGV + i % 5);
    map_run(&map, 2, 100);
    map_free(&map);
}

/* Crashes of tasks, however many, do not break the pool. */
TEST(all_of_them, .timeout = 60)
{
    for (long chunksize = 0; chunksize <= 100; chunksize = 3 * chunksize + 1) {
        struct map map = map_new(100);

        for (size_t i = 0; i < 100; i++)
            map.items[i].way = (int)(SEGV + i % 5);
        map_run(&map, 2, chunksize);
        map_free(&map);
    }
}

TEST(a_hundred_of_a_million, .timeout = 180)
{
    struct map map = map_new(1000000);
    unsigned long seed = choose_seed();

    for (int crashes = 0; crashes < 100;) {
        size_t i = next_random(&seed) % map.count;

        if (map.items[i].way == FINE) {
            map.items[i].way = (int)(SEGV + next_random(&seed) % 5);
            crashes++;
        }
    }
    map_run(&map, 2, 0);
    map_free(&map);
}
