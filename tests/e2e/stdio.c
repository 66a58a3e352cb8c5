/* SPDX-License-Identifier: MIT */
/* Buffered output: what the client has not written yet is written once, and so is
   what tasks print. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

/* Standard output goes to a file in memory.  Nothing that is printed here ends a
   line, so that it is buffered whether or not it goes to a terminal at first. */
struct capture {
    int file;
    int before;
    char text[65536];
};

static void capture_start(struct capture *capture)
{
    fflush(stdout);
    capture->before = dup(STDOUT_FILENO);
    capture->file = memfd_create("stdout", MFD_CLOEXEC);
    CHECK(capture->before >= 0 && capture->file >= 0);
    /* Processes that share a file's position would overwrite each other's output. */
    CHECK_EQ(fcntl(capture->file, F_SETFL, O_APPEND), 0);
    CHECK_EQ(dup2(capture->file, STDOUT_FILENO), STDOUT_FILENO);
}

/* What has been written so far; the buffers are left as they are. */
static const char *capture_text(struct capture *capture)
{
    ssize_t got = pread(capture->file, capture->text, sizeof capture->text - 1, 0);

    CHECK(got >= 0);
    capture->text[got] = '\0';
    return capture->text;
}

static void capture_end(struct capture *capture)
{
    fflush(stdout);
    capture_text(capture);
    CHECK_EQ(dup2(capture->before, STDOUT_FILENO), STDOUT_FILENO);
    close(capture->before);
    close(capture->file);
}

static int times(const char *text, const char *wanted)
{
    int count = 0;

    for (; (text = strstr(text, wanted)); text += strlen(wanted))
        count++;
    return count;
}

static struct capture output;

static long square(long x)
{
    return x * x;
}
PP_TASK(long, square, long, x);

static int print(int number)
{
    return printf("[task %d]", number);
}
PP_TASK(int, print, int, number);

static int print_and_exit(int number)
{
    printf("[task %d]", number);
    exit(0);
}
PP_TASK(int, print_and_exit, int, number);

static int leave(int how)
{
    if (how == 0)
        exit(0);
    if (how == 1)
        abort();
    pp_raise(how, "raised");
}
PP_TASK(int, leave, int, how);

TEST(clients_buffer_is_written_once)
{
    pp_pool *pool;

    capture_start(&output);
    printf("[client]");
    pool = pool_of(2);
    CHECK_STR(capture_text(&output), "[client]"); /* written before the workers are made */
    CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), NULL), 0);
    printf("[later]");
    CHECK_EQ(pp_apply(pool, PP_CALL(leave, 0), NULL), PP_ECRASHED);
    CHECK_EQ(pp_apply(pool, PP_CALL(leave, 1), NULL), PP_ECRASHED);
    CHECK_EQ(pp_apply(pool, PP_CALL(leave, 2), NULL), PP_ERAISED);
    finish(pool);
    capture_end(&output);
    CHECK_STR(output.text, "[client][later]");
}

TEST(clients_buffer_is_written_once_when_terminated)
{
    pp_pool *pool;

    capture_start(&output);
    printf("[client]");
    pool = pool_of(2);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    capture_end(&output);
    CHECK_STR(output.text, "[client]");
}

/* The workers have copies of the buffers of all other files, too. */
TEST(other_files_are_written_once)
{
    int fd = memfd_create("other", MFD_CLOEXEC);
    FILE *file = fdopen(fd, "w");
    char text[100] = "";
    pp_pool *pool;

    fprintf(file, "[other]");
    pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 2);
    for (int i = 0; i < 10; i++)
        CHECK_EQ(pp_apply(pool, PP_CALL(square, 3), NULL), 0);
    finish(pool);
    fflush(file);
    CHECK(pread(fd, text, sizeof text - 1, 0) > 0);
    CHECK_STR(text, "[other]");
    fclose(file);
}

static void check_tasks(int tasks)
{
    char wanted[32];

    for (int i = 0; i < tasks; i++) {
        snprintf(wanted, sizeof wanted, "[task %d]", i);
        if (times(output.text, wanted) != 1)
            FAIL("%s is there %d times: %s", wanted, times(output.text, wanted), output.text);
    }
}

TEST(tasks_output_arrives_once)
{
    enum { TASKS = 100 };
    pp_pool *pool;

    capture_start(&output);
    pool = pool_of(2);
    for (int i = 0; i < TASKS; i++)
        CHECK(pp_apply_async(pool, PP_CALL(print, i)));
    finish(pool);
    capture_end(&output);
    check_tasks(TASKS);
}

TEST(tasks_output_arrives_from_replaced_workers)
{
    enum { TASKS = 50 };
    pp_pool *pool;

    capture_start(&output);
    pool = pp_pool_new(.processes = 2, .max_tasks_per_child = 3);
    for (int i = 0; i < TASKS; i++)
        CHECK_EQ(pp_apply(pool, PP_CALL(print, i), NULL), 0);
    finish(pool);
    capture_end(&output);
    check_tasks(TASKS);
}

TEST(output_of_a_task_that_exits)
{
    pp_pool *pool;

    capture_start(&output);
    pool = pool_of(2);
    for (int i = 0; i < 5; i++)
        CHECK_EQ(pp_apply(pool, PP_CALL(print_and_exit, i), NULL), PP_ECRASHED);
    finish(pool);
    capture_end(&output);
    check_tasks(5);
}
