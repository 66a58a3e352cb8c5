/* SPDX-License-Identifier: MIT */
/* The runner: main() of every test program. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

enum { DEFAULT_TIMEOUT_S = 20, GRACE_S = 1, KILL_S = 30, MAX_PROCESSES = 2048 };

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_SKIPPED = 77 };

static struct harness_test *tests, **last = &tests;

void harness_add(struct harness_test *test)
{
    *last = test;
    last = &test->next;
}

/* ---- In the test's process ----------------------------------------------- */

static void *nothing(void *unused)
{
    return unused;
}

/* Some runtimes start a thread of their own beside the first one of the program:
   let that be there before stock is taken. */
static void start_runtime_threads(void)
{
    pthread_t thread;

    if (HARNESS_SANITIZED && pthread_create(&thread, NULL, nothing, NULL) == 0)
        pthread_join(thread, NULL);
}

static void prepare(void)
{
    sigset_t none;
    struct rlimit cores;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != harness_runner)
        _exit(1);
    harness_self = getpid();
    getrlimit(RLIMIT_CORE, &cores);
    cores.rlim_cur = 0;
    setrlimit(RLIMIT_CORE, &cores);
    start_runtime_threads();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Here so that leak checkers find it, whichever process and thread ends. */
static struct harness_holdings *before;

static void check_leaks(void)
{
    double end = harness_now() + GRACE_S * harness_time_factor();
    char why[1024];

    while (harness_processes_left(why, sizeof why) ||
           harness_compare(before, why, sizeof why)) {
        if (harness_now() > end) {
            why[strlen(why) - 2] = '\0';
            harness_blame(why);
        }
        harness_nap();
    }
}

_Noreturn static void be_test(const struct harness_test *test)
{
    prepare();
    before = harness_take_stock();
    test->run();
    check_leaks();
    harness_holdings_free(before);
    atomic_store(&harness_report->finished, true);
    exit(0);
}

/* ---- In the runner -------------------------------------------------------- */

static sigset_t awaited_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGHUP);
    return signals;
}

/* Waits up to a twentieth of a second for the death of a child; returns another
   signal that came instead, one that asks the runner to end, or 0. */
static int wait_for_signal(void)
{
    sigset_t signals = awaited_signals();
    int signal;

    signal = sigtimedwait(&signals, NULL, &(struct timespec){ .tv_nsec = 50000000 });
    return signal > 0 && signal != SIGCHLD ? signal : 0;
}

/* Reaps what is dead, whoever's child it was; true if the test was among it. */
static bool reap(pid_t test, int *status)
{
    bool found = false;
    int any;
    pid_t pid;

    while ((pid = waitpid(-1, &any, WNOHANG | __WALL)) > 0)
        if (pid == test) {
            *status = any;
            found = true;
        }
    return found;
}

/* Again and again, because what is killed may just have forked. */
static void kill_all(pid_t test, int *status)
{
    static struct harness_process list[MAX_PROCESSES];
    double end = harness_now() + KILL_S;
    size_t count;

    do {
        reap(test, status);
        count = harness_descendants(getpid(), list, MAX_PROCESSES);
        for (size_t i = 0; i < count && i < MAX_PROCESSES; i++)
            if (list[i].state != 'Z')
                kill(list[i].pid, SIGKILL);
        if (count)
            harness_nap();
    } while (count && harness_now() < end);
    if (count)
        fprintf(stderr, "%zu processes cannot be killed\n", count);
}

/* What the dead test left is given the time in which it may end by itself. */
static bool leaves_processes(char *why, size_t size)
{
    double end = harness_now() + GRACE_S * harness_time_factor();
    int status;

    while (harness_processes_left(why, size)) {
        if (harness_now() > end) {
            why[strlen(why) - 2] = '\0';
            return true;
        }
        reap(0, &status);
        harness_nap();
    }
    return false;
}

static void judge_status(const struct harness_test *test, int status, char *why, size_t size)
{
    int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    *why = '\0';
    if (signal != test->expect_signal) {
        if (signal)
            snprintf(why, size, "killed by SIG%s", sigabbrev_np(signal));
        else
            snprintf(why, size, "ended with status %d instead of SIG%s",
                     WEXITSTATUS(status), sigabbrev_np(test->expect_signal));
    } else if (!signal && WEXITSTATUS(status) != 0) {
        snprintf(why, size, "exit status %d", WEXITSTATUS(status));
    } else if (!signal && !atomic_load(&harness_report->finished)) {
        snprintf(why, size, "the test's process ended before the test did");
    }
}

/* Why the test failed, or an empty text. */
static void judge(const struct harness_test *test, int status, char *why, size_t size)
{
    if (atomic_load(&harness_report->verdict) == HARNESS_FAILED) {
        snprintf(why, size, "%s", harness_report->why);
        return;
    }
    judge_status(test, status, why, size);
    if (!*why && !leaves_processes(why, size))
        *why = '\0';
}

/* Waits for the end of the test; false if its time was over before. */
static bool await(const struct harness_test *test, pid_t pid, int *status)
{
    double limit = test->timeout > 0 ? test->timeout : DEFAULT_TIMEOUT_S;
    double end = harness_now() + limit * harness_time_factor();

    while (!reap(pid, status)) {
        int signal = wait_for_signal();

        if (signal) {
            kill_all(pid, status);
            fprintf(stderr, "ended by SIG%s in %s\n", sigabbrev_np(signal), test->name);
            exit(128 + signal);
        }
        if (harness_now() > end)
            return false;
    }
    return true;
}

static void tell(const struct harness_test *test, int verdict, const char *why, double seconds)
{
    if (verdict == HARNESS_FAILED)
        printf("FAIL %s: %s\n", test->name, why);
    else if (verdict == HARNESS_SKIPPED)
        printf("skip %s: %s\n", test->name, why);
    else
        printf("ok %s (%.0f ms)\n", test->name, seconds * 1000);
}

static int run_test(const struct harness_test *test)
{
    double start = harness_now();
    char why[sizeof harness_report->why] = "";
    int status = 0, verdict;
    pid_t pid;

    memset(harness_report, 0, sizeof *harness_report);
    fflush(NULL);
    pid = fork();
    if (pid == 0)
        be_test(test);
    if (pid < 0)
        snprintf(why, sizeof why, "fork: %s", strerror(errno));
    else if (!await(test, pid, &status))
        snprintf(why, sizeof why, "time limit of %g s is over",
                 (test->timeout > 0 ? test->timeout : DEFAULT_TIMEOUT_S) *
                     harness_time_factor());
    verdict = atomic_load(&harness_report->verdict);
    if (!*why && verdict != HARNESS_SKIPPED)
        judge(test, status, why, sizeof why);
    kill_all(pid, &status);
    if (*why)
        verdict = HARNESS_FAILED;
    else
        snprintf(why, sizeof why, "%s", harness_report->why);
    (harness_tell ? harness_tell : tell)(test, verdict, why, harness_now() - start);
    fflush(stdout);
    return verdict;
}

/* The same of one that is left out if there is a reason, which ends with its line. */
static int run_unless(const struct harness_test *test, const char *why)
{
    char line[sizeof harness_report->why];

    if (!why)
        return run_test(test);
    snprintf(line, sizeof line, "%.*s", (int)strcspn(why, "\n"), why);
    (harness_tell ? harness_tell : tell)(test, HARNESS_SKIPPED, line, 0);
    fflush(stdout);
    return HARNESS_SKIPPED;
}

static bool wanted(const char *name, char **names)
{
    if (!*names)
        return true;
    while (*names)
        if (strcmp(*names++, name) == 0)
            return true;
    return false;
}

static bool exists(const char *name)
{
    for (const struct harness_test *test = tests; test; test = test->next)
        if (strcmp(test->name, name) == 0)
            return true;
    return false;
}

static void tell_all(const unsigned *counts)
{
    printf("%u passed, %u failed", counts[HARNESS_UNDECIDED], counts[HARNESS_FAILED]);
    if (counts[HARNESS_SKIPPED])
        printf(", %u skipped", counts[HARNESS_SKIPPED]);
    puts("");
}

/*
 * Where not all can be tested, under an emulator or valgrind, a file names what is left out:
 * a line is a program, a test or *, and the reason.
 */
static char *read_exceptions(void)
{
    const char *path = getenv("TEST_EXCEPTIONS");
    char *text = path ? harness_read(path) : NULL;

    if (path && !text) {
        fprintf(stderr, "TEST_EXCEPTIONS: %s: %s\n", path, strerror(errno));
        exit(EXIT_USAGE);
    }
    return text;
}

/* Why a test is left out: the rest of a line; NULL if it is not. */
static const char *exception(const char *exceptions, const char *test)
{
    char program[64], name[128];

    for (const char *line = exceptions; line; line = strchr(line, '\n')) {
        int at = 0;

        line += *line == '\n'; /* a line without a reason says nothing */
        if (*line != '#' && sscanf(line, "%63[^ \n] %127[^ \n] %n", program, name, &at) == 2 &&
            (size_t)at < strcspn(line, "\n") &&
            strcmp(program, program_invocation_short_name) == 0 &&
            (strcmp(name, "*") == 0 || strcmp(name, test) == 0))
            return line + at;
    }
    return NULL;
}

static int run_tests(char **names)
{
    char *exceptions = read_exceptions();
    unsigned counts[3] = { 0 };

    for (const struct harness_test *test = tests; test; test = test->next)
        if (wanted(test->name, names))
            counts[run_unless(test, exception(exceptions, test->name))]++;
    free(exceptions);
    if (!harness_tell)
        tell_all(counts);
    if (counts[HARNESS_FAILED])
        return EXIT_FAILED;
    return counts[HARNESS_UNDECIDED] == 0 && counts[HARNESS_SKIPPED] ? EXIT_SKIPPED : 0;
}

static void be_runner(void)
{
    sigset_t signals = awaited_signals();

    harness_runner = getpid();
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    harness_report = mmap(NULL, sizeof *harness_report, PROT_READ | PROT_WRITE,
                          MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (harness_report == MAP_FAILED) {
        perror("mmap");
        exit(EXIT_USAGE);
    }
}

int main(int argc, char **argv)
{
    if (harness_init)
        harness_init(&argc, &argv);
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        for (const struct harness_test *test = tests; test; test = test->next)
            puts(test->name);
        return 0;
    }
    for (int i = 1; i < argc; i++)
        if (!exists(argv[i])) {
            fprintf(stderr, "%s: no test named %s\n", argv[0], argv[i]);
            return EXIT_USAGE;
        }
    be_runner();
    return run_tests(argv + 1);
}
