/* SPDX-License-Identifier: MIT */
/* The checks, and how a test's processes tell the runner that one failed. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "internal.h"

struct harness_report *harness_report;
pid_t harness_runner;
pid_t harness_self;

static bool decide(int verdict)
{
    int undecided = HARNESS_UNDECIDED;

    return atomic_compare_exchange_strong(&harness_report->verdict, &undecided, verdict);
}

/* Not exit(): a child that the test forked must not run the test's exit handlers,
   and after a failure a leak is no news. */
_Noreturn static void end(int status)
{
    fflush(stdout);
    fflush(stderr);
    _exit(status);
}

void harness_fail(const char *file, int line, const char *format, ...)
{
    va_list args;
    char what[sizeof harness_report->why - 200];
    const char *name = strrchr(file, '/');

    va_start(args, format);
    vsnprintf(what, sizeof what, format, args);
    va_end(args);
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    if (decide(HARNESS_FAILED))
        snprintf(harness_report->why, sizeof harness_report->why, "%.150s:%d: %s",
                 name ? name + 1 : file, line, what);
    end(1);
}

void harness_blame(const char *why)
{
    if (decide(HARNESS_FAILED))
        snprintf(harness_report->why, sizeof harness_report->why, "%s", why);
    end(1);
}

void harness_skip(const char *format, ...)
{
    va_list args;

    if (decide(HARNESS_SKIPPED)) {
        va_start(args, format);
        vsnprintf(harness_report->why, sizeof harness_report->why, format, args);
        va_end(args);
    }
    end(0);
}

/* Numbers are compared as the numbers that they are: -1 is not UINT_MAX. */
static bool equal(struct harness_value a, struct harness_value b)
{
    if (a.kind == HARNESS_POINTER || b.kind == HARNESS_POINTER)
        return a.kind == b.kind ? a.p == b.p : !a.p && !a.i && !b.p && !b.i;
    if (a.kind == b.kind)
        return a.i == b.i && a.u == b.u && !(a.d < b.d) && !(a.d > b.d) &&
               !isnan(a.d) == !isnan(b.d);
    if (a.kind == HARNESS_DOUBLE || b.kind == HARNESS_DOUBLE) {
        double x = a.d + (double)a.i + (double)a.u;
        double y = b.d + (double)b.i + (double)b.u;

        return !(x < y) && !(x > y) && !isnan(x) && !isnan(y);
    }
    return a.i >= 0 && b.i >= 0 &&
           a.u + (unsigned long long)a.i == b.u + (unsigned long long)b.i;
}

static void show(char *text, size_t size, struct harness_value value)
{
    switch (value.kind) {
    case HARNESS_SIGNED:
        snprintf(text, size, "%lld", value.i);
        break;
    case HARNESS_UNSIGNED:
        snprintf(text, size, "%llu", value.u);
        break;
    case HARNESS_DOUBLE:
        snprintf(text, size, "%.17g", value.d);
        break;
    case HARNESS_POINTER:
        snprintf(text, size, "%p", value.p);
        break;
    }
}

void harness_check_eq(const char *file, int line, const char *a_text, const char *b_text,
                      struct harness_value a, struct harness_value b)
{
    char a_value[64], b_value[64];

    if (equal(a, b))
        return;
    show(a_value, sizeof a_value, a);
    show(b_value, sizeof b_value, b);
    harness_fail(file, line, "%s is %s, not %s (%s)", a_text, a_value, b_value, b_text);
}

static const char *or_null(const char *text)
{
    return text ? text : "(null)";
}

void harness_check_str(const char *file, int line, const char *a_text, const char *b_text,
                       const char *a, const char *b)
{
    if (a == b || (a && b && strcmp(a, b) == 0))
        return;
    harness_fail(file, line, "%s is \"%.400s\", not \"%.400s\" (%s)", a_text, or_null(a),
                 or_null(b), b_text);
}

void harness_check_has(const char *file, int line, const char *a_text, const char *a,
                       const char *b)
{
    if (a && strstr(a, b))
        return;
    harness_fail(file, line, "%s has no \"%.400s\", it is \"%.800s\"", a_text, b, or_null(a));
}

void harness_check_null(const char *file, int line, const char *text, const void *pointer,
                        int found, int expected)
{
    if (pointer)
        harness_fail(file, line, "%s is not NULL", text);
    if (found != expected)
        harness_fail(file, line, "%s: errno is %d (%s), not %d (%s)", text, found,
                     strerrordesc_np(found), expected, strerrordesc_np(expected));
}

double harness_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void harness_nap(void)
{
    nanosleep(&(struct timespec){ .tv_nsec = 1000000 }, NULL);
}

bool harness_on_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");

    return preloaded && strstr(preloaded, "vgpreload");
}

double harness_time_factor(void)
{
    const char *text = getenv("TEST_TIME_FACTOR");
    double factor = text ? strtod(text, NULL) : 1;

    if (!(factor >= 1))
        factor = 1;
    if (HARNESS_SANITIZED)
        factor *= 4;
    if (harness_on_valgrind())
        factor *= 20;
    return factor;
}
