/* SPDX-License-Identifier: MIT */
/*
 * Four ways to crash, each told by an error: what happened, where, how the task came there,
 * and how many milliseconds after it.
 */
#include <procpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double *died; /* in shared memory: when the task was about to */

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* ---- A write to nowhere ---- */

struct row {
    size_t length;
    double *volatile cells; /* NULL: nobody has made them, and no compiler may find that out */
};

static void store(struct row *row, size_t column, double value)
{
    row->cells[column] = value;
}

static void fill(struct row *row)
{
    for (size_t i = 0; i < row->length; i++)
        store(row, i, 0.1 * (double)i);
}

static struct row row = { .length = 10 };

static void use_row(double *time)
{
    *time = now();
    fill(&row);
}
PP_TASK(void, use_row, double *, time);

/* ---- A recursion without an end ---- */

static long descend(double *time, long depth)
{
    volatile char room[1000];

    if (depth == 0) /* never, when it begins at 1 */
        return 0;
    if (depth == 1)
        *time = now();
    room[0] = (char)depth;
    return descend(time, depth + 1) + room[0];
}
PP_TASK(long, descend, double *, time, long, depth);

/* ---- Memory that is freed twice ---- */

static void drop(char *volatile name)
{
    free(name);
}

static void rename_twice(double *time)
{
    char *name = malloc(100);

    drop(name);
    *time = now();
    drop(name);
}
PP_TASK(void, rename_twice, double *, time);

/* ---- An exception that nobody catches, in crash_report/shop.cc ---- */

double price_of(const char *article);

static double sell(double *time, const char *article)
{
    *time = now();
    return price_of(article);
}
PP_TASK(double, sell, double *, time, const char *, article);

/* ---- The reports ---- */

static void tell(const pp_error *error)
{
    double took = 1e3 * (now() - *died);

    printf("%s\n", error->message);
    if (error->backtrace)
        printf("%s\n", error->backtrace);
    printf("(%.1f ms)\n\n", took);
}

/* A call of which the error is told and freed. */
#define REPORT(pool, ...)                                                                  \
    do {                                                                                   \
        pp_error *error = NULL;                                                            \
        if (pp_apply((pool), PP_CALL(__VA_ARGS__), NULL, .error = &error) != 0 && error)   \
            tell(error);                                                                   \
        free(error);                                                                       \
    } while (0)

int main(void)
{
    PP_SCOPED pp_pool *pool = pp_pool_new(.processes = 1);

    died = pp_shared_alloc(pool, sizeof *died);
    if (!died)
        return 1;
    REPORT(pool, use_row, died);
    REPORT(pool, descend, died, 1);
    REPORT(pool, rename_twice, died);
    REPORT(pool, sell, died, "butter");
}
