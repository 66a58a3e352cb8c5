/* SPDX-License-Identifier: MIT */
/* Pools whose workers come from a fresh image of the program. */
#include <dlfcn.h>
#include <fcntl.h>
#include <locale.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support.h"

/* What an image is to do instead of calling pp_init(), for tests of that. */
#define INSTEAD "PROCPOOL_TEST_INSTEAD"

static bool was_first;

void harness_init(int *argc, char ***argv)
{
    const char *instead = getenv(INSTEAD);

    if (instead && strcmp(instead, "exit") == 0)
        exit(3);
    if (instead && strcmp(instead, "sleep") == 0)
        pause();
    was_first = pp_init(argc, argv) == 0;
}

static pp_pool *spawned(int workers)
{
    pp_error *error = NULL;
    pp_pool *pool = pp_pool_new(.processes = workers, .start = PP_SPAWN, .error = &error);

    if (!pool)
        FAIL("%s", error->message);
    return pool;
}

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static int secret;

static int see_secret(void)
{
    return secret;
}
PP_TASK(int, see_secret);

TEST(a_second_init_is_refused)
{
    char *arguments[] = { (char *)"name", NULL }, **argv = arguments;
    int argc = 1;

    CHECK(was_first);
    CHECK_EQ(pp_init(&argc, &argv), -EALREADY);
    CHECK_EQ(pp_init(NULL, &argv), -EINVAL);
    CHECK_EQ(pp_init(&argc, NULL), -EINVAL);
}

TEST(memory_of_the_client_is_not_there)
{
    pp_pool *pool;
    int seen = -1;

    secret = 42;
    pool = spawned(2);
    CHECK_EQ(pp_apply(pool, PP_CALL(see_secret), &seen), 0);
    CHECK_EQ(seen, 0);
    finish(pool);
}

static long at(const long *place)
{
    return *place;
}
PP_TASK(long, at, const long *, place);

TEST(shared_memory_lies_at_the_same_address)
{
    pp_pool *pool = spawned(2);
    long *place = pp_shared_alloc(pool, sizeof *place), seen = 0;

    CHECK(place != NULL);
    *place = 77;
    CHECK_EQ(pp_apply(pool, PP_CALL(at, place), &seen), 0);
    CHECK_EQ(seen, 77);
    finish(pool);
}

/* ---- The initializer ---- */

static struct setting {
    int number;
    char text[200];
} setting;

static int set(void *argument)
{
    struct setting *given = argument;

    given->number++; /* it is its own, each time anew */
    setting = *given;
    return 0;
}

static int number_set(int unused)
{
    return setting.number + unused;
}
PP_TASK(int, number_set, int, unused);

TEST(an_argument_is_copied)
{
    struct setting given = { .number = 6 };
    pp_pool *pool = pp_pool_new(.processes = 2, .start = PP_SPAWN, .initializer = set,
                                .initarg = &given, .initarg_size = sizeof given,
                                .max_tasks_per_child = 3);
    int numbers[20] = { 0 };

    CHECK(pool != NULL);
    CHECK_EQ(pp_map(pool, number_set, numbers, 20, numbers, .chunksize = 1), 0);
    for (int i = 0; i < 20; i++)
        CHECK_EQ(numbers[i], 7);
    CHECK_EQ(given.number, 6);
    finish(pool);
}

static int refuse(void *unused)
{
    (void)unused;
    pp_raise(ENOTTY, "not with me");
}

TEST(an_initializer_that_fails)
{
    pp_error *error = NULL;

    CHECK_NULL(pp_pool_new(.processes = 2, .start = PP_SPAWN, .initializer = refuse,
                           .error = &error), ENOTTY);
    CHECK_STR(error->message, "not with me");
    CHECK_STR(error->function, "initializer");
    free(error);
}

TEST(an_argument_without_size_is_refused)
{
    pp_error *error = NULL;

    CHECK_NULL(pp_pool_new(.start = PP_SPAWN, .initializer = set, .initarg = &setting,
                           .error = &error), EINVAL);
    CHECK_HAS(error->message, "initarg_size");
    free(error);
    error = NULL;
    CHECK_NULL(pp_pool_new(.start = PP_SPAWN, .initializer = set, .initarg_size = 3,
                           .error = &error), EINVAL);
    CHECK_HAS(error->message, "no initarg");
    free(error);
}

/* ---- Objects ---- */

TEST(an_object_that_the_image_lacks)
{
    void *plugin = dlopen(PLUGIN, RTLD_NOW);
    const pp_task *(*task_of)(void) = (const pp_task *(*)(void))dlsym(plugin, "plugin_task");
    long item = 3, seen = 0;
    pp_pool *pool = spawned(1);

    CHECK(task_of != NULL);
    CHECK_EQ(pp_map_with(pool, task_of(), &item, 1, &seen, NULL), -ENOEXEC);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 9), &seen), 0);
    CHECK_EQ(seen, 81);
    finish(pool);
    CHECK_EQ(dlclose(plugin), 0);
}

/* A library that the program has loaded with dlopen(), and the image from its start. */
static int call_preloaded(const char *preloaded, long *value)
{
    void *plugin = dlopen(PLUGIN, RTLD_NOW);
    const pp_task *(*task_of)(void) = (const pp_task *(*)(void))dlsym(plugin, "plugin_task");
    long item = 5;
    pp_pool *pool;
    int code;

    CHECK(task_of != NULL);
    CHECK_EQ(setenv("LD_PRELOAD", preloaded, 1), 0);
    pool = spawned(1);
    CHECK_EQ(unsetenv("LD_PRELOAD"), 0);
    code = pp_map_with(pool, task_of(), &item, 1, value, NULL);
    finish(pool);
    CHECK_EQ(dlclose(plugin), 0);
    return code;
}

static const char *const no_preload = "a sanitizer's library has to come first";

TEST(the_same_build_of_a_library)
{
    long value = 0;

    if (HARNESS_SANITIZED)
        SKIP("%s", no_preload);
    CHECK_EQ(call_preloaded(PLUGIN, &value), 0);
    CHECK_EQ(value, 15);
}

TEST(another_build_of_a_library)
{
    long value = 0;

    if (HARNESS_SANITIZED)
        SKIP("%s", no_preload);
    CHECK_EQ(call_preloaded(OTHER_PLUGIN, &value), -ENOEXEC);
    CHECK_EQ(value, 0);
}

TEST(another_build_of_procpool)
{
    pp_error *error = NULL;

    if (HARNESS_SANITIZED)
        SKIP("%s", no_preload);
    CHECK_EQ(setenv("LD_PRELOAD", OTHER_LIBRARY, 1), 0);
    CHECK_NULL(pp_pool_new(.start = PP_SPAWN, .processes = 1, .error = &error), ENOEXEC);
    CHECK_HAS(error->message, "another build of procpool");
    free(error);
    CHECK_EQ(unsetenv("LD_PRELOAD"), 0);
    finish(spawned(1));
}

/* ---- Images that do not become supervisors ---- */

static void check_image_fails(const char *how)
{
    pp_error *error = NULL;

    CHECK_EQ(setenv(INSTEAD, how, 1), 0);
    CHECK_NULL(pp_pool_new(.start = PP_SPAWN, .processes = 1, .error = &error), ENOEXEC);
    CHECK_HAS(error->message, "pp_init()");
    CHECK_STR(error->function, "pp_pool_new");
    CHECK_EQ(error->kind, PP_RAISED);
    free(error);
    CHECK_EQ(unsetenv(INSTEAD), 0);
}

TEST(an_image_that_exits)
{
    check_image_fails("exit");
}

TEST(an_image_that_never_calls, .timeout = 120)
{
    check_image_fails("sleep");
}

TEST(an_argument_that_somebody_else_gives)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        close(STDERR_FILENO);
        execl("/proc/self/exe", "program", "--procpool-supervisor=0", (char *)NULL);
        _exit(100);
    }
    CHECK(pid > 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 1);
}

/* ---- What the image has of the client ---- */

static bool is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

static int count_descriptors(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += is_open(fd);
    return count;
}
PP_TASK(int, count_descriptors);

static int has_descriptor(int fd)
{
    return is_open(fd);
}
PP_TASK(int, has_descriptor, int, fd);

TEST(descriptors_that_are_closed_on_exec)
{
    int hidden = open("/dev/null", O_RDONLY | O_CLOEXEC), given = open("/dev/null", O_RDONLY);
    int with, without, seen;
    pp_pool *pool = spawned(1), *forked;

    CHECK(hidden >= 0 && given >= 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(has_descriptor, given), &seen), 0);
    CHECK_EQ(seen, 1);
    CHECK_EQ(pp_apply(pool, PP_CALL(count_descriptors), &with), 0);
    finish(pool);
    forked = pp_pool_new(.start = PP_FORK, .processes = 1);
    CHECK_EQ(pp_apply(forked, PP_CALL(count_descriptors), &without), 0);
    CHECK_EQ(with, without - 1); /* a forked worker has the hidden one, too */
    finish(forked);
    close(hidden);
    close(given);
}

static int count_inheritable(void)
{
    int count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += is_open(fd) && !(fcntl(fd, F_GETFD) & FD_CLOEXEC);
    return count;
}
PP_TASK(int, count_inheritable);

/* What programs get that a task executes is what they get from a forked worker. */
TEST(descriptors_of_the_pool_go_no_further)
{
    pp_pool *pool = spawned(1), *forked = pp_pool_new(.start = PP_FORK, .processes = 1);
    int in_image = -1, in_fork = -2;

    CHECK_EQ(pp_apply(pool, PP_CALL(count_inheritable), &in_image), 0);
    CHECK_EQ(pp_apply(forked, PP_CALL(count_inheritable), &in_fork), 0);
    CHECK_EQ(in_image, in_fork);
    finish(pool);
    finish(forked);
}

static int blocked_signals(void)
{
    sigset_t mask;
    int count = 0;

    sigprocmask(SIG_SETMASK, NULL, &mask);
    for (int number = 1; number < 32; number++)
        count += sigismember(&mask, number);
    return count;
}
PP_TASK(int, blocked_signals);

TEST(no_signal_is_blocked)
{
    pp_pool *pool = spawned(1);
    int count = -1;

    CHECK_EQ(pp_apply(pool, PP_CALL(blocked_signals), &count), 0);
    CHECK_EQ(count, 0);
    finish(pool);
}

static pid_t session(void)
{
    return getsid(0);
}
PP_TASK(pid_t, session);

TEST(it_has_a_session_of_its_own)
{
    pp_pool *pool = spawned(1);
    pid_t seen = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(session), &seen), 0);
    CHECK(seen != getsid(0));
    finish(pool);
}

/* ---- Deaths ---- */

static void die(int signal)
{
    raise(signal);
}
PP_TASK(void, die, int, signal);

TEST(crashes_are_errors_here_too)
{
    pp_pool *pool = spawned(2);
    long seen;

    for (int i = 0; i < 10; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(die, i % 2 ? SIGKILL : SIGSEGV), NULL), PP_ECRASHED);
        CHECK_EQ(pp_apply(pool, PP_CALL(square, i), &seen), 0);
        CHECK_EQ(seen, (long)i * i);
    }
    finish(pool);
}

TEST(the_supervisor_is_killed)
{
    struct census census;
    pp_pool *pool = spawned(2);
    pp_result *result;

    CHECK_SOON(take_census(&census, 2));
    result = pp_apply_async(pool, PP_CALL(die, SIGSTOP)); /* it never ends by itself */
    CHECK(result != NULL);
    CHECK_EQ(kill(census.supervisor, SIGKILL), 0);
    CHECK_EQ(pp_get(result, NULL), PP_ECRASHED);
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(the_client_is_killed)
{
    int ready[2];
    pid_t client;
    char byte;

    CHECK_EQ(pipe2(ready, O_CLOEXEC), 0);
    client = fork();
    if (client == 0) {
        spawned(2);
        if (write(ready[1], "x", 1) == 1)
            pause();
    }
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    CHECK_EQ(kill(client, SIGKILL), 0);
    CHECK_EQ(waitpid(client, NULL, 0), client);
    CHECK_SOON(living() == 0);
    close(ready[0]);
    close(ready[1]);
}

/* ---- Threads ---- */

static atomic_bool enough;

/* Holds locks of libc now and then, as threads do. */
static void *hold_locks(void *what)
{
    const char *name = what;

    while (!atomic_load(&enough)) {
        time_t now = time(NULL);
        struct tm tm;
        void *libm;

        setenv(name, "1", 1);
        localtime_r(&now, &tm);
        libm = dlopen("libm.so.6", RTLD_NOW);
        if (libm)
            dlclose(libm);
        free(malloc(1000));
        unsetenv(name);
    }
    return NULL;
}

static long use_locks(long x)
{
    time_t now = time(NULL);
    struct tm tm;

    setenv("PROCPOOL_TEST_TASK", "1", 1);
    localtime_r(&now, &tm);
    free(malloc(1000));
    return x + 1;
}
PP_TASK(long, use_locks, long, x);

static void check_beside_threads(pp_start start, unsigned pools)
{
    static const char *const names[] = { "PT_A", "PT_B", "PT_C", "PT_D",
                                         "PT_E", "PT_F", "PT_G", "PT_H" };
    time_t now = time(NULL);
    struct tm tm;
    pthread_t all[8];

    localtime_r(&now, &tm); /* the first time it reads the environment, unlocked */

    for (int i = 0; i < 8; i++)
        CHECK_EQ(pthread_create(&all[i], NULL, hold_locks, (void *)(uintptr_t)names[i]), 0);
    for (unsigned i = 0; i < pools; i++) {
        pp_error *error = NULL;
        pp_pool *pool = pp_pool_new(.processes = 2, .start = start, .error = &error);
        long seen = 0;

        if (!pool)
            FAIL("%s", error->message);
        CHECK_EQ(pp_apply(pool, PP_CALL(use_locks, i), &seen), 0);
        CHECK_EQ(seen, i + 1);
        CHECK_EQ(pp_pool_free(pool), 0);
    }
    atomic_store(&enough, true);
    for (int i = 0; i < 8; i++)
        CHECK_EQ(pthread_join(all[i], NULL), 0);
}

TEST(beside_threads_that_hold_locks, .timeout = 300)
{
    check_beside_threads(PP_SPAWN, rounds(50, 200));
}

TEST(the_automatic_start_beside_threads, .timeout = 300)
{
    check_beside_threads(PP_START_AUTO, rounds(50, 200));
}

static void *wait_for_gate(void *what)
{
    gate_wait(what);
    return NULL;
}

/* By which memory the workers see. */
TEST(the_automatic_start_goes_by_threads)
{
    struct gate *gate = gate_new();
    pthread_t thread;
    pp_pool *alone, *beside;
    int seen;

    secret = 5;
    alone = pp_pool_new(.processes = 1);
    CHECK_EQ(pp_apply(alone, PP_CALL(see_secret), &seen), 0);
    CHECK_EQ(seen, HARNESS_SANITIZED ? seen : 5); /* a sanitizer has a thread of its own */
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_gate, gate), 0);
    beside = pp_pool_new(.processes = 1);
    CHECK_EQ(pp_apply(beside, PP_CALL(see_secret), &seen), 0);
    CHECK_EQ(seen, 0);
    gate_open(gate);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    finish(alone);
    finish(beside);
    gate_free(gate);
}

/* An argument that nobody could copy asks for a fork. */
TEST(the_automatic_start_goes_by_the_argument)
{
    struct gate *gate = gate_new();
    pthread_t thread;
    pp_pool *pool;
    int seen;

    secret = 5;
    CHECK_EQ(pthread_create(&thread, NULL, wait_for_gate, gate), 0);
    pool = pp_pool_new(.processes = 1, .initializer = set, .initarg = &setting);
    CHECK(pool != NULL);
    CHECK_EQ(pp_apply(pool, PP_CALL(see_secret), &seen), 0);
    CHECK_EQ(seen, 5);
    gate_open(gate);
    CHECK_EQ(pthread_join(thread, NULL), 0);
    finish(pool);
    gate_free(gate);
}
