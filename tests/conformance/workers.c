/* SPDX-License-Identifier: MIT */
/* What workers are: initializers, their replacement, the memory that they see, output. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "battery.h"

/* ---- Initializers ---- */

/* Runs are counted in a file, to which each adds a byte: there is no pool yet. */
struct plan {
    int answer;
    int code;
    bool raises;
    char path[64];
};

static atomic_int answer; /* several initializers may write it */

static int follow(void *arg)
{
    const struct plan *plan = arg;
    int file = open(plan->path, O_WRONLY | O_APPEND | O_CLOEXEC);

    if (file < 0 || write(file, "x", 1) != 1)
        return EIO;
    close(file);
    if (plan->raises)
        pp_raise(plan->code, "no luck today");
    atomic_store(&answer, plan->answer);
    return plan->code;
}

static int get_answer(int unused)
{
    return atomic_load(&answer) + 0 * unused;
}
PP_TASK(int, get_answer, int, unused);

static struct plan plan_new(void)
{
    struct plan plan = { .answer = 42 };
    int file;

    snprintf(plan.path, sizeof plan.path, "/tmp/conformance-XXXXXX");
    CHECK((file = mkstemp(plan.path)) >= 0);
    close(file);
    return plan;
}

static int runs_of(const struct plan *plan)
{
    struct stat status;

    CHECK_EQ(stat(plan->path, &status), 0);
    return (int)status.st_size;
}

static int plan_end(const struct plan *plan)
{
    int runs = runs_of(plan);

    CHECK_EQ(unlink(plan->path), 0);
    return runs;
}

/* Before the pool is there, once in each worker; inline once. */
CASE(initializer_runs_once_in_each_worker)
{
    struct plan plan = plan_new();
    pp_pool *pool = new_pool(.processes = 3, .initializer = follow, INITARG(plan));

    CHECK_EQ(runs_of(&plan), method == INLINE ? 1 : 3);
    for (int i = 0; i < 50; i++) {
        int value = 0;

        CHECK_EQ(pp_apply(pool, PP_CALL(get_answer, i), &value), 0);
        CHECK_EQ(value, 42);
    }
    CHECK_EQ(atomic_load(&answer), in_processes() ? 0 : 42); /* has it run here? */
    finish(pool);
    CHECK_EQ(plan_end(&plan), method == INLINE ? 1 : 3);
}

static int keep_nothing(void *arg)
{
    return arg ? EINVAL : 0;
}

CASE(initializer_without_argument)
{
    pp_pool *pool = new_pool(.processes = 2, .initializer = keep_nothing);

    check_works(pool);
    finish(pool);
}

static void check_fails(struct plan plan, int code)
{
    pp_error *error = NULL;

    CHECK_NULL(try_pool(.processes = 2, .initializer = follow, INITARG(plan)), code);
    CHECK_NULL(try_pool(.processes = 2, .initializer = follow, INITARG(plan), .error = &error),
               code);
    CHECK(error != NULL && *error->message);
    if (plan.raises)
        CHECK_HAS(error->message, "no luck today");
    free(error);
    CHECK_EQ(processes(), 0);
}

CASE(initializer_fails)
{
    struct plan plan = plan_new();

    plan.code = ENOTDIR;
    check_fails(plan, ENOTDIR);
    plan.raises = true;
    check_fails(plan, ENOTDIR);
    plan.code = 0;
    check_fails(plan, EINVAL);
    CHECK(plan_end(&plan) >= 6);
}

/* ---- Replacement ---- */

CASE(max_tasks_per_child)
{
    struct plan plan = plan_new();
    pp_pool *pool = new_pool(.processes = 1, .max_tasks_per_child = 10, .initializer = follow,
                             INITARG(plan));

    for (int i = 0; i < 95; i++) {
        int value = 0;

        CHECK_EQ(pp_apply(pool, PP_CALL(get_answer, i), &value), 0);
        CHECK_EQ(value, 42);
    }
    finish(pool);
    CHECK_EQ(plan_end(&plan), method == INLINE ? 1 : 10);
}

CASE(max_tasks_per_child_in_maps)
{
    static const long chunksizes[] = { 0, 1, 7, 100 };
    pp_pool *pool = new_pool(.processes = 2, .max_tasks_per_child = 25);
    long items[500], out[500];

    for (long i = 0; i < 500; i++)
        items[i] = i;
    for (int n = 0; n < 4; n++) {
        memset(out, -1, sizeof out);
        CHECK_EQ(pp_map(pool, square, items, 500, out, .chunksize = chunksizes[n]), 0);
        for (long i = 0; i < 500; i++)
            CHECK_EQ(out[i], i * i);
    }
    finish(pool);
}

/* ---- Memory ---- */

static int setting = 1; /* as the program starts */

static int get_setting(int unused)
{
    return setting + 0 * unused;
}
PP_TASK(int, get_setting, int, unused);

static int change_setting(int value)
{
    setting = value;
    return value;
}
PP_TASK(int, change_setting, int, value);

static int setting_in(pp_pool *pool)
{
    int value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(get_setting, 0), &value), 0);
    return value;
}

/* A variable that was changed before the pool was made: fork takes it over, a fresh image
   has it as it is at the start, and the rest share it. */
CASE(variables_from_before_the_pool)
{
    static const int seen[METHODS] = { [FORK] = 2, [SPAWN] = 1, [THREADS] = 2, [INLINE] = 2 };
    pp_pool *pool;

    setting = 2;
    pool = new_pool(.processes = 1);
    CHECK_EQ(setting_in(pool), seen[method]);
    finish(pool);
}

/* And after: only those that share it see it. */
CASE(variables_changed_later)
{
    static const int seen[METHODS] = { [FORK] = 1, [SPAWN] = 1, [THREADS] = 3, [INLINE] = 3 };
    pp_pool *pool = new_pool(.processes = 1);

    setting = 3;
    CHECK_EQ(setting_in(pool), seen[method]);
    finish(pool);
}

CASE(variables_changed_by_tasks)
{
    pp_pool *pool = new_pool(.processes = 1);

    CHECK_EQ(pp_apply(pool, PP_CALL(change_setting, 7), NULL), 0);
    CHECK_EQ(setting_in(pool), 7); /* the one worker keeps it */
    CHECK_EQ(setting, in_processes() ? 1 : 7);
    finish(pool);
}

struct place {
    pid_t process, thread;
};

static struct place get_place(int unused)
{
    return (struct place){ getpid() + 0 * unused, gettid() };
}
PP_TASK(struct place, get_place, int, unused);

CASE(where_tasks_run)
{
    pp_pool *pool = new_pool(.processes = 2);

    for (int i = 0; i < 20; i++) {
        struct place place = { 0 };

        CHECK_EQ(pp_apply(pool, PP_CALL(get_place, i), &place), 0);
        CHECK_EQ(place.process != getpid(), in_processes());
        CHECK_EQ(place.thread != gettid(), method != INLINE);
    }
    finish(pool);
}

/* ---- What else of the program they have ---- */

static int flags_of(int file)
{
    return fcntl(file, F_GETFD);
}
PP_TASK(int, flags_of, int, file);

/* Open files, and those that are closed when another program is executed. */
CASE(files_from_before_the_pool)
{
    int kept = memfd_create("kept", 0), closed = memfd_create("closed", MFD_CLOEXEC);
    pp_pool *pool = new_pool(.processes = 1);
    int flags = 42;

    CHECK_EQ(pp_apply(pool, PP_CALL(flags_of, kept), &flags), 0);
    CHECK_EQ(flags, 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(flags_of, closed), &flags), 0);
    CHECK_EQ(flags, method == SPAWN ? -1 : FD_CLOEXEC);
    finish(pool);
    close(kept);
    close(closed);
}

static bool has_default_action(int signal)
{
    struct sigaction action;
    sigset_t blocked;

    sigaction(signal, NULL, &action);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    return action.sa_handler == SIG_DFL && !sigismember(&blocked, signal);
}
PP_TASK(bool, has_default_action, int, signal);

static bool is_ignored(int signal)
{
    struct sigaction action;

    sigaction(signal, NULL, &action);
    return action.sa_handler == SIG_IGN;
}
PP_TASK(bool, is_ignored, int, signal);

static bool is_at_end(int file)
{
    char byte;

    return read(file, &byte, 1) == 0;
}
PP_TASK(bool, is_at_end, int, file);

static pid_t get_session(pid_t process)
{
    return getsid(process);
}
PP_TASK(pid_t, get_session, pid_t, process);

static bool ask(pp_pool *pool, pp_call call)
{
    bool yes = false;

    CHECK_EQ(pp_apply_with(pool, call, &yes, NULL), 0);
    return yes;
}

static void ignore_call(int signal)
{
    (void)signal;
}

/* The client's handlers, and what it ignores or blocks, are not theirs. */
CASE(surroundings_of_processes)
{
    static const int signals[] = { SIGTERM, SIGPIPE, SIGUSR1, SIGHUP };
    sigset_t blocked;
    pid_t session = 0;
    pp_pool *pool;

    signal(SIGTERM, ignore_call);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &blocked, NULL);
    pool = new_pool(.processes = 1);
    for (int i = 0; i < 4; i++)
        CHECK(ask(pool, PP_CALL(has_default_action, signals[i]).call));
    CHECK(ask(pool, PP_CALL(is_ignored, SIGINT).call));
    CHECK(ask(pool, PP_CALL(is_at_end, STDIN_FILENO).call));
    CHECK_EQ(pp_apply(pool, PP_CALL(get_session, 0), &session), 0);
    CHECK(session > 0 && session != getsid(0));
    finish(pool);
    CHECK(signal(SIGTERM, SIG_DFL) == ignore_call); /* here nothing has changed */
}

/* ---- In a task ---- */

static int get_attempt(int unused)
{
    return pp_attempt() + 0 * unused;
}
PP_TASK(int, get_attempt, int, unused);

CASE(attempt)
{
    pp_pool *pool = new_pool(.processes = 1);
    int items[5] = { 0 }, out[5];

    CHECK_EQ(pp_attempt(), 0);
    CHECK_EQ(get_attempt(0), 0);
    CHECK_EQ(pp_map(pool, get_attempt, items, 5, out), 0);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(out[i], 1);
    CHECK_EQ(pp_apply(pool, PP_CALL(get_attempt, 0), out, .retries = 3), 0);
    CHECK_EQ(out[0], 1);
    CHECK_EQ(pp_attempt(), 0);
    finish(pool);
}

static const char *reserve_text(const char *text)
{
    size_t size = strlen(text) + 1;

    return memcpy(pp_reserve(size), text, size);
}
PP_TASK(const char *, reserve_text, const char *, text);

/* A task can be called as the function that it is. */
CASE(reserve_outside_of_tasks)
{
    const char *here = reserve_text("here"), *there = NULL;
    pp_pool *pool = new_pool(.processes = 1);

    CHECK_STR(here, "here");
    free((char *)here);
    CHECK_EQ(pp_apply(pool, PP_CALL(reserve_text, "there"), &there), 0);
    CHECK_STR(there, "there");
    free((char *)there);
    here = reserve_text("here again");
    CHECK_STR(here, "here again");
    free((char *)here);
    finish(pool);
}

static double spend(long microseconds)
{
    spend_time(microseconds);
    return 1;
}
PP_TASK(double, spend, long, microseconds);

/* Items that take longer than others. */
CASE(items_of_different_length)
{
    pp_pool *pool = new_pool(.processes = 3);
    long items[200];
    double out[200], sum = 0;

    for (long i = 0; i < 200; i++)
        items[i] = i % 20 == 0 ? 3000 : i % 7;
    CHECK_EQ(pp_map(pool, spend, items, 200, out), 0);
    for (int i = 0; i < 200; i++)
        sum += out[i];
    CHECK_EQ(sum, 200);
    finish(pool);
}

/* ---- Output ---- */

static int print(int number)
{
    return printf("[%d]", number); /* no end of line: it stays in the buffer */
}
PP_TASK(int, print, int, number);

static int read_output(int file, char *text, size_t size)
{
    ssize_t got = pread(file, text, size - 1, 0);

    CHECK(got >= 0);
    text[got] = '\0';
    return (int)got;
}

/* What a task prints is written when its result is there, and once. */
CASE(output_of_tasks)
{
    int file = memfd_create("output", MFD_CLOEXEC), before = dup(STDOUT_FILENO);
    char text[1000];
    pp_pool *pool;

    fflush(stdout);
    CHECK_EQ(fcntl(file, F_SETFL, O_APPEND), 0);
    CHECK_EQ(dup2(file, STDOUT_FILENO), STDOUT_FILENO);
    printf("[client]");
    pool = new_pool(.processes = 2);
    for (int i = 1; i <= 5; i++) {
        CHECK_EQ(pp_apply(pool, PP_CALL(print, i), NULL), 0);
        CHECK_EQ(read_output(file, text, sizeof text), 8 + 3 * i);
    }
    CHECK_EQ(pp_apply(pool, PP_CALL(raise_code, 1), NULL), PP_ERAISED);
    finish(pool);
    fflush(stdout);
    read_output(file, text, sizeof text);
    CHECK_EQ(dup2(before, STDOUT_FILENO), STDOUT_FILENO);
    close(before);
    close(file);
    CHECK_STR(text, "[client][1][2][3][4][5]");
}
