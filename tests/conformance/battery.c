/* SPDX-License-Identifier: MIT */
/* The start method, and pools that are made with it. */
#include "battery.h"

enum method method;

static const char *const names[METHODS] = { "fork", "spawn", "threads", "inline" };

static void usage(const char *program)
{
    fprintf(stderr, "usage: %s fork|spawn|threads|inline [--list] [test...]\n", program);
    exit(2);
}

/* The first argument is taken away: the runner does not know it. */
static void take_method(int *argc, char ***argv)
{
    if (*argc < 2)
        usage(**argv);
    for (method = 0; method < METHODS && strcmp((*argv)[1], names[method]) != 0; method++)
        ;
    if (method == METHODS)
        usage(**argv);
    (*argv)[1] = (*argv)[0];
    ++*argv;
    --*argc;
}

void harness_init(int *argc, char ***argv)
{
    int code = pp_init(argc, argv); /* a supervisor that was started anew stays in there */

    if (code != 0) {
        fprintf(stderr, "pp_init: %s\n", pp_strerror(code));
        exit(2);
    }
    take_method(argc, argv);
}

pp_pool *try_pool_with(pp_pool_options options)
{
    static const pp_start starts[METHODS] = { PP_FORK, PP_SPAWN, PP_THREADS, PP_INLINE };

    options.start = starts[method];
    return pp_pool_new_with(&options);
}

pp_pool *new_pool_with(pp_pool_options options)
{
    pp_pool *pool = try_pool_with(options);

    if (!pool && errno == ENOSYS && harness_on_valgrind())
        SKIP("this valgrind does not know a system call that pools need");
    if (!pool)
        FAIL("pp_pool_new: %s", pp_strerror(-errno));
    return pool;
}

struct gate *gate_in(pp_pool *pool)
{
    struct gate *gate = pp_shared_alloc(pool, sizeof *gate);

    CHECK(gate != NULL);
    if (!runs_later())
        gate_open(gate);
    return gate;
}

atomic_int *counter_in(pp_pool *pool)
{
    atomic_int *counter = pp_shared_alloc(pool, sizeof *counter);

    CHECK(counter != NULL);
    return counter;
}

void let_end(struct gate *gate)
{
    if (!in_processes())
        gate_open(gate);
}

void in_thread(void *(*function)(void *), void *arg)
{
    pthread_t thread;

    CHECK_EQ(pthread_create(&thread, NULL, function, arg), 0);
    CHECK_EQ(pthread_join(thread, NULL), 0);
}
