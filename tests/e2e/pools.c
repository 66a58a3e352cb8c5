/* SPDX-License-Identifier: MIT */
/* A thousand pools made and freed in one process leave it as it was. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "support.h"

/* Sanitizers' memory makes forks slow, and there only descriptors are counted. */
enum { POOLS = HARNESS_SANITIZED ? 200 : 1000, WARM_UP = 50 };

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static int crash(int x)
{
    raise(SIGKILL);
    return x;
}
PP_TASK(int, crash, int, x);

static const char *echo(const char *text)
{
    return text;
}
PP_TASK(const char *, echo, const char *, text);

static atomic_int calls;

static void count(pp_result *result, void *user)
{
    (void)result;
    (void)user;
    atomic_fetch_add(&calls, 1);
}

/* Of /proc/self/status, in KiB. */
static long status(const char *name)
{
    FILE *file = fopen("/proc/self/status", "re");
    char line[200];
    long value = -1;

    CHECK(file != NULL);
    while (fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name) + 1, NULL, 10);
    fclose(file);
    return value;
}

static size_t mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "re");
    size_t lines = 0;

    CHECK(file != NULL);
    for (int c; (c = fgetc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}

static void use(pp_pool *pool)
{
    long items[100] = { 0 }, value = 0;
    const char *text = NULL;
    pp_result *result;

    CHECK_EQ(pp_apply(pool, PP_CALL(square, 5), &value), 0);
    CHECK_EQ(value, 25);
    CHECK_EQ(pp_map(pool, square, items, 100, items), 0);
    result = pp_apply_async(pool, PP_CALL(echo, "text"), .callback = count);
    CHECK_EQ(pp_get(result, &text), 0);
    CHECK_STR(text, "text");
    CHECK_EQ(pp_apply(pool, PP_CALL(crash, 5), NULL), PP_ECRASHED);
}

/* All the ways in which a pool may end. */
static void one_pool(int i)
{
    pp_pool *pool = pp_pool_new(.processes = 1 + i % 2);
    struct census census;
    bool kill_it = i % 50 == 49;

    CHECK(pool != NULL);
    if (i % 5 != 4)
        use(pool);
    if (i % 5 == 3)
        CHECK(pp_apply_async(pool, PP_CALL(square, 1)));
    if (i % 5 == 1)
        CHECK_EQ(pp_terminate(pool), 0);
    if (i % 5 == 2)
        CHECK_EQ(pp_close(pool), 0);
    if (i % 10 == 2)
        CHECK_EQ(pp_join(pool), 0);
    if (kill_it) {
        CHECK_SOON(take_census(&census, (size_t)(1 + i % 2)));
        CHECK_EQ(kill(census.supervisor, SIGKILL), 0);
    }
    CHECK_EQ(pp_pool_free(pool), 0);
}

TEST(a_thousand, .timeout = 300)
{
    size_t fds = descriptors(), mapped;
    long resident;

    for (int i = 0; i < WARM_UP; i++)
        one_pool(i);
    CHECK_SOON(processes() == 0);
    mapped = mappings();
    resident = status("RssAnon:");
    for (int i = 0; i < POOLS; i++)
        one_pool(i);
    CHECK_SOON(processes() == 0);
    CHECK_SOON(threads() == 1 || HARNESS_SANITIZED);
    CHECK_EQ(descriptors(), fds);
    if (HARNESS_SANITIZED || harness_on_valgrind())
        return; /* they keep freed memory back */
    CHECK(mappings() <= mapped + 2);
    if (status("RssAnon:") > resident + 1024)
        FAIL("%ld KiB resident, were %ld", status("RssAnon:"), resident);
}

/* Those that cannot be made leave nothing either. */
static int fails(void *arg)
{
    (void)arg;
    return ENOENT;
}

TEST(failed_ones, .timeout = 120)
{
    size_t fds = descriptors();

    for (int i = 0; i < 200; i++)
        CHECK_NULL(pp_pool_new(.processes = 2, .initializer = fails), ENOENT);
    CHECK_EQ(descriptors(), fds);
    CHECK_SOON(processes() == 0);
}
