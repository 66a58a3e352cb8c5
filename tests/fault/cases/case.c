/* SPDX-License-Identifier: MIT */
#include "case.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { LIMIT_S = 15 };

/* What the processes of a case know of it.  Times are of harness_now(); 0: has not been. */
static struct {
    _Atomic double fault, answered, replaced;
    _Atomic double worst_answer, worst_replacement; /* of former faults; seconds */
    double ended;
    bool hangs;
    char saw[1024];
} *report;

void saw(const char *format, ...)
{
    size_t length = strlen(report->saw);
    va_list args;

    if (length)
        length += (size_t)snprintf(report->saw + length, sizeof report->saw - length, "; ");
    va_start(args, format);
    if (length < sizeof report->saw)
        vsnprintf(report->saw + length, sizeof report->saw - length, format, args);
    va_end(args);
}

/* From the fault until then, or of a former fault if that was longer. */
static double worst(double former, double time)
{
    double seconds = time > 0 ? time - atomic_load(&report->fault) : 0;

    return seconds > former ? seconds : former;
}

static double worst_answer(void)
{
    return worst(atomic_load(&report->worst_answer), atomic_load(&report->answered));
}

static double worst_replacement(void)
{
    return worst(atomic_load(&report->worst_replacement), atomic_load(&report->replaced));
}

void fault_at(double seconds)
{
    atomic_store(&report->worst_answer, worst_answer());
    atomic_store(&report->worst_replacement, worst_replacement());
    atomic_store(&report->answered, 0);
    atomic_store(&report->replaced, 0);
    atomic_store(&report->fault, seconds);
}

void fault_now(void)
{
    fault_at(harness_now());
}

static void once(_Atomic double *time)
{
    double never = 0, now = harness_now();

    if (atomic_load(&report->fault) > 0)
        atomic_compare_exchange_strong(time, &never, now);
}

void answered_now(void)
{
    once(&report->answered);
}

void replaced_now(void)
{
    once(&report->replaced);
}

bool is_replaced(void)
{
    return atomic_load(&report->replaced) > 0;
}

void ended_in(double seconds)
{
    report->ended = seconds;
}

void case_hangs(void)
{
    report->hangs = true;
}

size_t full_size(size_t some, size_t all)
{
    return getenv("TEST_THOROUGH") ? all : some;
}

/* ---- For the harness ------------------------------------------------------------ */

static void run_in_session(void)
{
    setsid();
    the_case.run();
}

__attribute__((constructor)) static void add_case(void)
{
    static struct harness_test test = { .run = run_in_session };

    test.name = the_case.name;
    test.timeout = the_case.limit > 0 ? the_case.limit : LIMIT_S;
    report = shared_new(sizeof *report);
    harness_add(&test);
}

static bool begins(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

static const char *word(int verdict, const char *why)
{
    if (verdict == HARNESS_SKIPPED)
        return "skip";
    if (verdict == HARNESS_FAILED)
        return report->hangs || begins(why, "time limit") ? "hang" : "wrong";
    return "ok";
}

static void print(const char *key, const char *value)
{
    printf("%s=", key);
    for (const char *c = value ? value : ""; *c; c++)
        putchar(*c == '\n' ? ' ' : *c);
    putchar('\n');
}

static void print_ms(const char *key, double seconds)
{
    if (seconds > 0)
        printf("%s=%.2f\n", key, seconds * 1e3);
    else
        printf("%s=\n", key);
}

void harness_tell(const struct harness_test *test, int verdict, const char *why, double seconds)
{
    bool left = verdict == HARNESS_FAILED && begins(why, "leaked");

    (void)seconds;
    print("case", test->name);
    print("python", the_case.python);
    print("title", the_case.title);
    print("must", the_case.must);
    print("saw", report->saw);
    print("verdict", word(verdict, why));
    print("why", why);
    print_ms("answer_ms", worst_answer());
    print_ms("replaced_ms", worst_replacement());
    print_ms("end_ms", report->ended);
    print("left", left ? why + strlen("leaked ") : "nothing");
}
