/* SPDX-License-Identifier: MIT */
/*
 * harness.h - each test is a process, and a test that leaves something behind fails
 *
 * A test program is made of
 *
 *     TEST(name) { ... CHECK_EQ(f(2), 4); ... }
 *     TEST(slow, .timeout = 60) { ... }
 *     TEST(dies, .expect_signal = SIGABRT) { abort(); }
 *
 * and of harness.c, which has main().  Usage: program [--list] [test...]
 *
 * The runner forks a process for each test, one at a time, and adopts whatever
 * that leaves behind (it is a subreaper).  When the body of the test returns,
 * the process looks whether something is there that was not there before the
 * body: another process of the test, alive or a zombie, a descriptor, a shared
 * or memfd mapping, a thread.  Such a test fails, as does one that ends in any
 * other way than by returning.  What ends asynchronously is given a second.
 * The process then ends through exit(), so that leak checkers have their say.
 * When a test is over, or its time is, all of its processes are killed.
 *
 * Prints a line per test, "ok name (12 ms)", "skip name: why" or "FAIL name:
 * why", and at the end "N passed, N failed".  Exit status: 0, 1 when a test
 * failed, 2 for wrong usage, 77 when there was nothing but skipped tests.
 *
 * Under sanitizers and valgrind all time limits are longer; the environment
 * variable TEST_TIME_FACTOR makes them longer still.
 */
#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/types.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define HARNESS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define HARNESS_SANITIZED 1
#endif
#endif
#ifndef HARNESS_SANITIZED
#define HARNESS_SANITIZED 0
#endif

struct harness_test {
    const char *name;
    void (*run)(void);
    double timeout;    /* in seconds; 0: 20 */
    int expect_signal; /* the test's process must be killed by this one */
    struct harness_test *next;
};

#define TEST(name_, ...)                                                                   \
    static void test_##name_(void);                                                        \
    static struct harness_test harness_test_##name_ = {                                    \
        .name = #name_, .run = test_##name_, ##__VA_ARGS__                                 \
    };                                                                                     \
    __attribute__((constructor)) static void harness_add_##name_(void)                     \
    {                                                                                      \
        harness_add(&harness_test_##name_);                                                \
    }                                                                                      \
    static void test_##name_(void)

/* For TEST() alone. */
void harness_add(struct harness_test *test);

/* If a program defines it, it is called first of all in main(), and takes from the
   arguments those that are its own. */
__attribute__((weak)) void harness_init(int *argc, char ***argv);

/* How a test ended. */
enum { HARNESS_UNDECIDED, HARNESS_FAILED, HARNESS_SKIPPED };

/* If a program defines it, it is called for each test in the place of what is printed;
   UNDECIDED is a test that has passed.  What a test has left behind begins with "leaked",
   what says that it took too long with "time limit". */
__attribute__((weak)) void harness_tell(const struct harness_test *test, int verdict,
                                        const char *why, double seconds);

/* ---- Checks -------------------------------------------------------------
 *
 * A check that fails ends the process that made it, and fails the test, in
 * whichever of its processes and threads it was.
 */

#define FAIL(...) harness_fail(__FILE__, __LINE__, __VA_ARGS__)

/* The test does not apply here, for the reason given like to printf(). */
#define SKIP(...) harness_skip(__VA_ARGS__)

#define CHECK(condition)                                                                   \
    ((condition) ? (void)0 : harness_fail(__FILE__, __LINE__, "not true: %s", #condition))

/* Two numbers or two addresses that are to be equal. */
#define CHECK_EQ(a, b)                                                                     \
    harness_check_eq(__FILE__, __LINE__, #a, #b, HARNESS_VALUE_(a), HARNESS_VALUE_(b))

/* Two strings that are to be equal; NULL equals NULL alone. */
#define CHECK_STR(a, b) harness_check_str(__FILE__, __LINE__, #a, #b, (a), (b))

/* The first string is to contain the second. */
#define CHECK_HAS(a, b) harness_check_has(__FILE__, __LINE__, #a, (a), (b))

/* An expression that is to give NULL and set errno to this code. */
#define CHECK_NULL(expression, code)                                                       \
    do {                                                                                   \
        errno = 0;                                                                         \
        const void *harness_pointer_ = (expression);                                       \
        int harness_errno_ = errno;                                                        \
        harness_check_null(__FILE__, __LINE__, #expression, harness_pointer_,              \
                           harness_errno_, (code));                                        \
    } while (0)

/* A condition that is to become true within so many seconds (made longer where
   everything is slower); looks about a thousand times per second. */
#define CHECK_WITHIN(seconds, condition)                                                   \
    do {                                                                                   \
        double harness_end_ = harness_now() + (seconds) * harness_time_factor();           \
        while (!(condition)) {                                                             \
            if (harness_now() > harness_end_)                                              \
                FAIL("not true after %g s: %s", (double)(seconds), #condition);            \
            harness_nap();                                                                 \
        }                                                                                  \
    } while (0)

/* A condition that is to become true, with the patience of a test that checks
   that something happens at all, not when. */
#define CHECK_SOON(condition) CHECK_WITHIN(10, condition)

/* ---- What tests need ---------------------------------------------------- */

double harness_now(void);         /* seconds of the monotonic clock */
void harness_nap(void);           /* a millisecond */
double harness_time_factor(void); /* 1 or more: how much slower this environment is */
bool harness_on_valgrind(void);

struct harness_process {
    pid_t pid;
    pid_t parent;
    char state; /* as in /proc/PID/stat: Z is a zombie */
    char name[32];
};

/*
 * The descendants of a process, at most max of them; returns how many there are.
 */
size_t harness_descendants(pid_t ancestor, struct harness_process *list, size_t max);

/* The processes of the running test other than the test's own, whoever's
   children they are now. */
size_t harness_others(struct harness_process *list, size_t max);

/* ---- What stands behind the macros -------------------------------------- */

struct harness_value {
    enum { HARNESS_SIGNED, HARNESS_UNSIGNED, HARNESS_DOUBLE, HARNESS_POINTER } kind;
    long long i;
    unsigned long long u;
    double d;
    const void *p;
};

static inline struct harness_value harness_signed(long long i)
{
    return (struct harness_value){ .kind = HARNESS_SIGNED, .i = i };
}

static inline struct harness_value harness_unsigned(unsigned long long u)
{
    return (struct harness_value){ .kind = HARNESS_UNSIGNED, .u = u };
}

static inline struct harness_value harness_double(double d)
{
    return (struct harness_value){ .kind = HARNESS_DOUBLE, .d = d };
}

static inline struct harness_value harness_pointer(const void *p)
{
    return (struct harness_value){ .kind = HARNESS_POINTER, .p = p };
}

#define HARNESS_VALUE_(x)                                                                  \
    _Generic((x), bool                                                                     \
             : harness_signed, char                                                        \
             : harness_signed, signed char                                                 \
             : harness_signed, short                                                       \
             : harness_signed, int                                                         \
             : harness_signed, long                                                        \
             : harness_signed, long long                                                   \
             : harness_signed, unsigned char                                               \
             : harness_unsigned, unsigned short                                            \
             : harness_unsigned, unsigned                                                  \
             : harness_unsigned, unsigned long                                             \
             : harness_unsigned, unsigned long long                                        \
             : harness_unsigned, float                                                     \
             : harness_double, double                                                      \
             : harness_double, default                                                     \
             : harness_pointer)(x)

_Noreturn void harness_fail(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
_Noreturn void harness_skip(const char *format, ...) __attribute__((format(printf, 1, 2)));
void harness_check_eq(const char *file, int line, const char *a_text, const char *b_text,
                      struct harness_value a, struct harness_value b);
void harness_check_str(const char *file, int line, const char *a_text, const char *b_text,
                       const char *a, const char *b);
void harness_check_has(const char *file, int line, const char *a_text, const char *a,
                       const char *b);
void harness_check_null(const char *file, int line, const char *text, const void *pointer,
                        int found, int expected);

#endif
