/* SPDX-License-Identifier: MIT */
/* pp_apply(): one call, and its value. */
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "support.h"

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static double divide(double x, double y)
{
    return x / y;
}
PP_TASK(double, divide, double, x, double, y);

static long digits(long a, long b, long c)
{
    return 100 * a + 10 * b + c;
}
PP_TASK(long, digits, long, a, long, b, long, c);

static pid_t process_id(void)
{
    return getpid();
}
PP_TASK(pid_t, process_id);

static int variable = 1;

static int change_variable(int value)
{
    int before = variable;

    variable = value;
    return before;
}
PP_TASK(int, change_variable, int, value);

static const char *name_of(int number)
{
    static const char *const names[] = { "zero", "one", "two" };

    return number < 3 ? names[number] : NULL;
}
PP_TASK(const char *, name_of, int, number);

static pp_bytes zeros(size_t size)
{
    return (pp_bytes){ calloc(1, size), size };
}
PP_TASK(pp_bytes, zeros, size_t, size);

static void touch(atomic_int *counter)
{
    atomic_fetch_add(counter, 1);
}
PP_TASK(void, touch, atomic_int *, counter);

static int fail(int how)
{
    if (how == SIGKILL)
        raise(SIGKILL);
    pp_raise(how, "failed with %d", how);
}
PP_TASK(int, fail, int, how);

TEST(gives_the_value)
{
    pp_pool *pool = pool_of(2);
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 5), &value), 0);
    CHECK_EQ(value, 25);
    finish(pool);
}

TEST(gives_the_value_with_one_worker)
{
    pp_pool *pool = pool_of(1);
    long value = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, -7), &value), 0);
    CHECK_EQ(value, 49);
    finish(pool);
}

TEST(output_may_be_null)
{
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 5), NULL), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(name_of, 1), NULL), 0);
    finish(pool);
}

TEST(arguments_by_position)
{
    pp_pool *pool = pool_of(1);
    double value = 0;
    long number = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(divide, 10, 4), &value), 0);
    CHECK_EQ(value, 2.5);
    CHECK_EQ(pp_apply(pool, PP_CALL(digits, 1, 2, 3), &number), 0);
    CHECK_EQ(number, 123);
    finish(pool);
}

TEST(arguments_by_name)
{
    pp_pool *pool = pool_of(1);
    long number = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(digits, .c = 3, .a = 1, .b = 2), &number), 0);
    CHECK_EQ(number, 123);
    CHECK_EQ(pp_apply(pool, PP_CALL(digits, .b = 2), &number), 0);
    CHECK_EQ(number, 20);
    finish(pool);
}

TEST(runs_in_another_process)
{
    pp_pool *pool = pool_of(1);
    pid_t first = 0, second = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &first), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &second), 0);
    CHECK(first > 0 && first != getpid());
    CHECK_EQ(first, second);
    finish(pool);
}

/* A worker sees the memory as it was when the pool was made, and what it changes
   is changed for it alone. */
TEST(has_memory_of_its_own)
{
    pp_pool *pool;
    int before = 0;

    variable = 5;
    pool = pool_of(1);
    variable = 6;
    CHECK_EQ(pp_apply(pool, PP_CALL(change_variable, 7), &before), 0);
    CHECK_EQ(before, 5);
    CHECK_EQ(pp_apply(pool, PP_CALL(change_variable, 8), &before), 0);
    CHECK_EQ(before, 7);
    CHECK_EQ(variable, 6);
    finish(pool);
}

TEST(function_stays_ordinary)
{
    CHECK_EQ(square(3), 9);
    CHECK_STR(name_of(2), "two");
}

TEST(call_is_a_value)
{
    pp_pool *pool = pool_of(1);
    pp_call call = PP_CALL(square, 9).call;
    long value = 0;

    CHECK_EQ(pp_apply_with(pool, call, &value, NULL), 0);
    CHECK_EQ(value, 81);
    finish(pool);
}

TEST(void_task)
{
    atomic_int *counter = shared_new(sizeof *counter);
    pp_pool *pool = pool_of(2);

    CHECK_EQ(pp_apply(pool, PP_CALL(touch, counter), NULL), 0);
    CHECK_EQ(atomic_load(counter), 1);
    finish(pool);
    shared_free(counter, sizeof *counter);
}

TEST(string_is_the_callers)
{
    pp_pool *pool = pool_of(1);
    const char *first = NULL, *second = NULL, *none = "";

    CHECK_EQ(pp_apply(pool, PP_CALL(name_of, 1), &first), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(name_of, 2), &second), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(name_of, 3), &none), 0);
    finish(pool);
    CHECK_STR(first, "one");
    CHECK_STR(second, "two");
    CHECK_STR(none, NULL);
    free((void *)first);
    free((void *)second);
}

TEST(bytes_are_the_callers)
{
    static const char expected[10000];
    pp_pool *pool = pool_of(1);
    pp_bytes bytes = { NULL, 0 };

    CHECK_EQ(pp_apply(pool, PP_CALL(zeros, sizeof expected), &bytes), 0);
    finish(pool);
    CHECK_EQ(bytes.size, sizeof expected);
    CHECK_EQ(memcmp(bytes.data, expected, sizeof expected), 0);
    free((void *)bytes.data);
}

TEST(many_in_a_row, .timeout = 60)
{
    pp_pool *pool = pool_of(2);

    for (long i = 0; i < 20000; i++) {
        long value = -1;

        CHECK_EQ(pp_apply(pool, PP_CALL(square, i), &value), 0);
        CHECK_EQ(value, i * i);
    }
    finish(pool);
}

TEST(raised)
{
    pp_pool *pool = pool_of(1);
    int value = 42;

    CHECK_EQ(pp_apply(pool, PP_CALL(fail, 7), &value), PP_ERAISED);
    CHECK_EQ(value, 42);
    finish(pool);
}

TEST(raised_in_words)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = NULL;
    pid_t worker = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &worker), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(fail, 7), NULL, .error = &error), PP_ERAISED);
    CHECK(error != NULL);
    CHECK_EQ(error->size, sizeof *error);
    CHECK_EQ(error->kind, PP_RAISED);
    CHECK_EQ(error->code, 7);
    CHECK_EQ(error->signal, 0);
    CHECK_EQ(error->status, 0);
    CHECK_EQ(error->pid, worker);
    CHECK_EQ(error->index, 0);
    CHECK_STR(error->function, "fail");
    CHECK_STR(error->message, "failed with 7");
    finish(pool);
    free(error);
}

TEST(crashed_in_words)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = NULL;
    pid_t worker = 0;
    int value = 42;
    long squared = 0;

    CHECK_EQ(pp_apply(pool, PP_CALL(process_id), &worker), 0);
    CHECK_EQ(pp_apply(pool, PP_CALL(fail, SIGKILL), &value, .error = &error), PP_ECRASHED);
    CHECK_EQ(value, 42);
    CHECK(error != NULL);
    CHECK_EQ(error->kind, PP_CRASHED);
    CHECK_EQ(error->code, 0);
    CHECK_EQ(error->signal, SIGKILL);
    CHECK_EQ(error->pid, worker);
    CHECK_STR(error->function, "fail");
    CHECK(*error->message);
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), &squared), 0);
    CHECK_EQ(squared, 9);
    finish(pool);
    free(error);
}

TEST(no_error_to_describe)
{
    pp_pool *pool = pool_of(1);
    pp_error *error = NULL;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), NULL, .error = &error), 0);
    CHECK_EQ(error, NULL);
    finish(pool);
}
