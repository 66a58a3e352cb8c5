/* SPDX-License-Identifier: MIT */
/* The environment for a program that is to be executed. */
#include "base/environment.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness.h"

static size_t length_of(char *const *array)
{
    size_t length = 0;

    while (array[length])
        length++;
    return length;
}

static const char *value_in(char *const *array, const char *name)
{
    size_t length = strlen(name);

    for (size_t i = 0; array[i]; i++)
        if (strncmp(array[i], name, length) == 0 && array[i][length] == '=')
            return array[i] + length + 1;
    return NULL;
}

TEST(it_is_the_same)
{
    char **copy = ppi_environment_copy();

    CHECK(copy != NULL);
    CHECK_EQ(length_of(copy), length_of(environ));
    for (size_t i = 0; environ[i]; i++) {
        CHECK_STR(copy[i], environ[i]);
        CHECK(copy[i] != environ[i]);
    }
    ppi_environment_free(copy);
}

TEST(values_of_all_lengths)
{
    static const size_t lengths[] = { 0, 1, 100, 4095, 4096, 4097, 10000, 100000 };

    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        char *value = malloc(lengths[i] + 1), **copy;

        memset(value, 'x', lengths[i]);
        value[lengths[i]] = '\0';
        CHECK_EQ(setenv("ENVIRONMENT_TEST", value, 1), 0);
        copy = ppi_environment_copy();
        CHECK(copy != NULL);
        CHECK_STR(value_in(copy, "ENVIRONMENT_TEST"), value);
        ppi_environment_free(copy);
        free(value);
    }
}

TEST(there_is_none)
{
    char **before = environ, **copy;
    char *none[] = { NULL };

    environ = NULL;
    copy = ppi_environment_copy();
    CHECK(copy && length_of(copy) == 0);
    ppi_environment_free(copy);
    environ = none;
    copy = ppi_environment_copy();
    CHECK(copy && length_of(copy) == 0);
    ppi_environment_free(copy);
    environ = before;
    ppi_environment_free(NULL);
}

TEST(what_is_no_variable_is_left_out)
{
    char *odd[] = { (char *)"A=1", (char *)"nothing", (char *)"", (char *)"B=2", NULL };
    char **before = environ, **copy;

    environ = odd;
    copy = ppi_environment_copy();
    environ = before;
    CHECK(copy != NULL);
    CHECK_EQ(length_of(copy), 2);
    CHECK_STR(copy[0], "A=1");
    CHECK_STR(copy[1], "B=2");
    ppi_environment_free(copy);
}

/* Not a crash, but no copy. */
TEST(pointers_into_nowhere)
{
    char *bad[] = { (char *)"A=1", (char *)16, NULL }, **before = environ;

    environ = bad;
    CHECK(ppi_environment_copy() == NULL);
    environ = (char **)16;
    CHECK(ppi_environment_copy() == NULL);
    environ = before;
}

static atomic_bool enough;

static void *change(void *what)
{
    char name[32];

    while (!atomic_load(&enough))
        for (int i = 0; i < 20; i++) {
            snprintf(name, sizeof name, "%s_%d", (const char *)what, i);
            setenv(name, "value", 1);
            if (i % 3 == 0)
                unsetenv(name);
        }
    return NULL;
}

TEST(beside_threads_that_change_it, .timeout = 120)
{
    pthread_t threads[2];

    CHECK_EQ(setenv("ENVIRONMENT_TEST", "stays", 1), 0);
    CHECK_EQ(pthread_create(&threads[0], NULL, change, (void *)"ONE"), 0);
    CHECK_EQ(pthread_create(&threads[1], NULL, change, (void *)"TWO"), 0);
    for (int i = 0; i < 200; i++) {
        char **copy = ppi_environment_copy();

        CHECK(copy != NULL);
        CHECK_STR(value_in(copy, "ENVIRONMENT_TEST"), "stays");
        for (size_t k = 0; copy[k]; k++)
            CHECK(strchr(copy[k], '=') != NULL);
        ppi_environment_free(copy);
    }
    atomic_store(&enough, true);
    CHECK_EQ(pthread_join(threads[0], NULL), 0);
    CHECK_EQ(pthread_join(threads[1], NULL), 0);
}
