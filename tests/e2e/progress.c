/* SPDX-License-Identifier: MIT */
/* How far a result has come: pp_progress_of() and the bar. */
#include <ctype.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

/* Waits at the gate with item 5, and with no other. */
struct step {
    struct gate *gate;
    atomic_long *begun;
    long x;
};

static long go_on(struct step step)
{
    if (step.begun)
        atomic_fetch_add(step.begun, 1);
    if (step.x == 5 && step.gate)
        gate_wait(step.gate);
    return step.x;
}
PP_TASK(long, go_on, struct step, step);

static void go_on_void(struct step step)
{
    go_on(step);
}
PP_TASK(void, go_on_void, struct step, step);

static const char *go_on_text(struct step step)
{
    go_on(step);
    return step.x == 2 ? NULL : "some text that is longer than a record has room for";
}
PP_TASK(const char *, go_on_text, struct step, step);

static long go_on_or_die(struct step step)
{
    atomic_fetch_add(step.begun, 1);
    if (step.x % 97 == 96)
        raise(SIGKILL);
    if (step.x % 97 == 50)
        pp_raise(1, "so");
    return step.x;
}
PP_TASK(long, go_on_or_die, struct step, step);

static void fill(struct step *steps, size_t count, struct gate *gate, atomic_long *begun)
{
    for (size_t i = 0; i < count; i++)
        steps[i] = (struct step){ .gate = gate, .begun = begun, .x = (long)i };
}

static bool all_zero(pp_progress progress)
{
    return progress.total == 0 && progress.done == 0 && progress.failed == 0 &&
           progress.elapsed == 0 && progress.rate == 0 && progress.eta == 0;
}

/* ---- Numbers --------------------------------------------------------------- */

TEST(of_nothing)
{
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_map_async(pool, go_on, (struct step *)NULL, 0);
    pid_t pid;
    int status;

    CHECK(all_zero(pp_progress_of(NULL)));
    CHECK(all_zero(pp_progress_of(result)));
    result = pp_apply_async(pool, PP_CALL(go_on, { .x = 1 }));
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(pp_progress_of(result).done, 1);
    pid = fork();
    if (pid == 0)
        _exit(all_zero(pp_progress_of(result)) ? 0 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    finish(pool);
}

TEST(of_what_is_there)
{
    struct step steps[200];
    atomic_long *begun = shared_new(sizeof *begun);
    pp_pool *pool = pool_of(2);
    pp_progress progress, later;
    pp_result *result;

    fill(steps, 200, NULL, begun);
    result = pp_map_async(pool, go_on_or_die, steps, 200);
    CHECK_EQ(pp_wait(result), 0);
    progress = pp_progress_of(result);
    CHECK_EQ(progress.total, 200);
    CHECK_EQ(progress.done, 200);
    CHECK_EQ(progress.failed, 4);
    CHECK(progress.elapsed > 0);
    CHECK(fabs(progress.rate - 200 / progress.elapsed) < 1e-6 * progress.rate);
    CHECK(progress.eta == 0);
    CHECK_EQ(pp_close(pool), 0);
    CHECK_EQ(pp_join(pool), 0);
    later = pp_progress_of(result); /* also when the pool is gone */
    CHECK(later.elapsed == progress.elapsed);
    CHECK_EQ(later.done, 200);
    CHECK_EQ(pp_failures(result), 4);
    CHECK_EQ(pp_failure(result, 0)->index, 50);
    CHECK_EQ(pp_progress_of(result).failed, 4);
    CHECK_EQ(pp_pool_free(pool), 0);
    shared_free(begun, sizeof *begun);
}

/* In the middle of a chunk, of which nothing is recorded yet. */
static void in_a_chunk(const pp_task *task)
{
    struct gate *gate = gate_new();
    struct step steps[10];
    pp_pool *pool = pool_of(1);
    pp_map_async_options options = { .size = sizeof options, .chunksize = 10 };
    pp_result *result;
    pp_progress progress;

    fill(steps, 10, gate, NULL);
    result = pp_map_async_with(pool, task, steps, 10, &options);
    CHECK(result != NULL);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    progress = pp_progress_of(result);
    CHECK_EQ(progress.done, 5);
    CHECK_EQ(progress.total, 10);
    CHECK_EQ(progress.failed, 0);
    CHECK(progress.elapsed > 0 && progress.rate > 0);
    CHECK(fabs(progress.eta - progress.elapsed) < 1e-6); /* as much again */
    CHECK_EQ(pp_progress_of(result).done, 5);
    gate_open(gate);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(pp_progress_of(result).done, 10);
    finish(pool);
    gate_free(gate);
}

TEST(in_a_chunk_of_values)
{
    in_a_chunk(&go_on_pp_task);
}

TEST(in_a_chunk_of_void)
{
    in_a_chunk(&go_on_void_pp_task);
}

TEST(in_a_chunk_of_strings)
{
    in_a_chunk(&go_on_text_pp_task);
}

/* Two maps at a time: what runs of one is not counted for the other. */
TEST(of_each_its_own)
{
    struct gate *gate = gate_new();
    struct step steps[10];
    pp_pool *pool = pool_of(2);
    pp_result *results[3];

    fill(steps, 10, gate, NULL);
    for (int i = 0; i < 3; i++)
        results[i] = pp_map_async(pool, go_on, steps + i, 10 - (size_t)i, .chunksize = 10);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    CHECK_EQ(pp_progress_of(results[0]).done, 5);
    CHECK_EQ(pp_progress_of(results[1]).done, 4);
    CHECK_EQ(pp_progress_of(results[2]).done, 0);
    CHECK_EQ(pp_progress_of(results[2]).total, 8);
    CHECK(pp_progress_of(results[2]).rate == 0);
    CHECK(isinf(pp_progress_of(results[2]).eta));
    gate_open(gate);
    finish(pool);
    gate_free(gate);
}

TEST(of_what_waits_in_the_backlog)
{
    enum { TASKS = 5000 }; /* more than the queue holds */
    static pp_result *results[TASKS];
    struct gate *gate = gate_new();
    pp_pool *pool = pool_of(1);
    struct step step = { .gate = gate, .x = 5 };
    pp_progress progress;

    for (int i = 0; i < TASKS; i++)
        CHECK((results[i] = pp_apply_async(pool, PP_CALL(go_on, step))) != NULL);
    progress = pp_progress_of(results[TASKS - 1]);
    CHECK_EQ(progress.total, 1);
    CHECK_EQ(progress.done, 0);
    CHECK(progress.elapsed == 0);
    CHECK(progress.rate == 0);
    CHECK(isinf(progress.eta));
    CHECK_EQ(pp_terminate(pool), 0);
    progress = pp_progress_of(results[TASKS - 1]); /* it never started */
    CHECK_EQ(progress.done, 1);
    CHECK_EQ(progress.failed, 1);
    CHECK(progress.elapsed == 0);
    CHECK(progress.rate == 0);
    CHECK(progress.eta == 0);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(of_what_was_cancelled)
{
    struct gate *gate = gate_new();
    struct step steps[100];
    pp_pool *pool = pool_of(1);
    pp_result *result;

    fill(steps, 100, gate, NULL);
    result = pp_map_async(pool, go_on, steps, 100, .chunksize = 1);
    CHECK_SOON(pp_progress_of(result).done == 5);
    CHECK_EQ(pp_terminate(pool), 0);
    CHECK_EQ(pp_progress_of(result).done, 100);
    CHECK_EQ(pp_progress_of(result).failed, 95);
    CHECK_EQ(pp_failures(result), 95);
    CHECK(pp_failure(result, 0) != NULL);
    CHECK_EQ(pp_progress_of(result).failed, 95);
    CHECK_EQ(pp_pool_free(pool), 0);
    gate_free(gate);
}

TEST(of_what_is_forgotten)
{
    struct gate *gate = gate_new();
    struct step steps[10];
    pp_pool *pool = pool_of(2);
    pp_result *other, *result;

    fill(steps, 10, gate, NULL);
    other = pp_map_async(pool, go_on, steps, 10, .chunksize = 10);
    result = pp_map_async(pool, go_on, steps, 10, .chunksize = 10);
    CHECK_SOON(atomic_load(&gate->waiting) == 2);
    pp_result_free(other);
    CHECK_EQ(pp_progress_of(result).done, 5);
    gate_open(gate);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(pp_progress_of(result).done, 10);
    finish(pool);
    gate_free(gate);
}

static void look_inside(pp_result *result, void *user)
{
    *(pp_progress *)user = pp_progress_of(result);
}

TEST(in_its_callback)
{
    struct step steps[10];
    pp_progress progress = { 0 };
    pp_pool *pool = pool_of(1);
    pp_result *result;

    fill(steps, 10, NULL, NULL);
    result = pp_map_async(pool, go_on, steps, 10, .callback = look_inside, .user = &progress);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(progress.done, 10);
    CHECK(progress.eta == 0);
    finish(pool);
}

/* ---- Under load -------------------------------------------------------------- */

struct load {
    pp_result *result;
    atomic_long *begun;
    size_t total;
    atomic_bool over;
};

/* Never back, and never more than has been begun. */
static void *keep_looking(void *what)
{
    struct load *load = what;
    size_t done = 0, failed = 0;

    while (!atomic_load(&load->over)) {
        pp_progress progress = pp_progress_of(load->result);
        size_t begun = (size_t)atomic_load(load->begun);

        CHECK_EQ(progress.total, load->total);
        CHECK(progress.done >= done && progress.failed >= failed);
        CHECK(progress.done <= begun);
        CHECK(progress.failed <= progress.done && progress.done <= progress.total);
        CHECK(progress.elapsed >= 0 && progress.rate >= 0 && progress.eta >= 0);
        done = progress.done;
        failed = progress.failed;
    }
    return NULL;
}

static void under_load(const pp_task *task, long chunksize, long max_tasks)
{
    enum { COUNT = 3000, THREADS = 3 };
    struct step *steps = calloc(COUNT, sizeof *steps);
    struct load load = { .total = COUNT, .begun = shared_new(sizeof *load.begun) };
    pp_map_async_options options = { .size = sizeof options, .chunksize = chunksize };
    pp_pool *pool = pp_pool_new(.processes = 3, .max_tasks_per_child = max_tasks);
    pthread_t threads[THREADS];
    pp_progress progress;

    CHECK(pool && steps);
    fill(steps, COUNT, NULL, load.begun);
    load.result = pp_map_async_with(pool, task, steps, COUNT, &options);
    for (int i = 0; i < THREADS; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, keep_looking, &load), 0);
    CHECK_EQ(pp_wait(load.result), 0);
    atomic_store(&load.over, true);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    progress = pp_progress_of(load.result);
    CHECK_EQ(progress.done, COUNT);
    CHECK_EQ(progress.failed, pp_failures(load.result));
    CHECK_EQ(progress.failed, task == &go_on_or_die_pp_task ? 61 : 0);
    finish(pool);
    shared_free(load.begun, sizeof *load.begun);
    free(steps);
}

TEST(while_items_crash, .timeout = 60)
{
    for (long chunksize = 0; chunksize <= 450; chunksize += 150)
        under_load(&go_on_or_die_pp_task, chunksize, 0);
}

TEST(while_workers_retire, .timeout = 60)
{
    under_load(&go_on_pp_task, 100, 70);
    under_load(&go_on_text_pp_task, 100, 70);
}

/* ---- The bar ----------------------------------------------------------------- */

struct terminal {
    int master;
    FILE *stream;
    size_t columns;
    char text[65536]; /* all that was drawn, and a zero */
    size_t length;
};

static void open_terminal(struct terminal *terminal, unsigned short columns)
{
    struct winsize size = { .ws_row = 24, .ws_col = columns };
    int slave;

    memset(terminal, 0, sizeof *terminal);
    terminal->columns = columns > 0 ? columns : 80;
    terminal->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    CHECK(terminal->master >= 0);
    CHECK_EQ(grantpt(terminal->master), 0);
    CHECK_EQ(unlockpt(terminal->master), 0);
    CHECK_EQ(ioctl(terminal->master, TIOCSWINSZ, &size), 0);
    slave = open(ptsname(terminal->master), O_RDWR | O_NOCTTY | O_CLOEXEC);
    CHECK(slave >= 0);
    terminal->stream = fdopen(slave, "w");
    CHECK(terminal->stream != NULL);
    setenv("TERM", "xterm", 1);
}

static void read_terminal(struct terminal *terminal)
{
    ssize_t got;

    while ((got = read(terminal->master, terminal->text + terminal->length,
                       sizeof terminal->text - 1 - terminal->length)) > 0)
        terminal->length += (size_t)got;
    terminal->text[terminal->length] = '\0';
}

static void close_terminal(struct terminal *terminal)
{
    fclose(terminal->stream);
    close(terminal->master);
}

/* Whether this has been drawn by now. */
static bool shows(struct terminal *terminal, const char *text)
{
    read_terminal(terminal);
    return strstr(terminal->text, text) != NULL;
}

/* What stands on the screen in the end: one line, which nothing has gone beyond. */
static void check_screen(struct terminal *terminal, char *line)
{
    size_t column = 0, lines = 0;

    read_terminal(terminal);
    memset(line, ' ', terminal->columns);
    for (size_t i = 0; i < terminal->length; i++) {
        char c = terminal->text[i];

        if (c == '\n') {
            lines++;
        } else if (c == '\r') {
            column = 0;
        } else {
            CHECK(c >= ' ' && c <= '~');
            CHECK_EQ(lines, 0);
            CHECK(column < terminal->columns);
            line[column++] = c;
        }
    }
    CHECK_EQ(lines, 1);
    for (column = terminal->columns; column > 0 && line[column - 1] == ' '; column--)
        ;
    line[column] = '\0';
}

struct drawing {
    pp_result *result;
    struct terminal *terminal;
    double timeout;
    int error;
};

static void *draw(void *what)
{
    struct drawing *drawing = what;

    drawing->error =
        pp_progress_bar(drawing->result, drawing->terminal->stream, .timeout = drawing->timeout);
    return NULL;
}

/* Draws a map of ten items that is held back in the middle. */
static void draw_a_map(unsigned short columns, const char *middle, const char *end)
{
    struct gate *gate = gate_new();
    struct step steps[10];
    struct terminal terminal;
    pp_pool *pool = pool_of(1);
    struct drawing drawing = { .terminal = &terminal, .timeout = PP_FOREVER };
    pthread_t thread;
    char line[1024];

    fill(steps, 10, gate, NULL);
    drawing.result = pp_map_async(pool, go_on, steps, 10, .chunksize = 10);
    CHECK_SOON(atomic_load(&gate->waiting) == 1);
    open_terminal(&terminal, columns);
    CHECK_EQ(pthread_create(&thread, NULL, draw, &drawing), 0);
    CHECK_SOON(shows(&terminal, middle));
    gate_open(gate);
    pthread_join(thread, NULL);
    CHECK_EQ(drawing.error, 0);
    check_screen(&terminal, line);
    CHECK_HAS(line, end);
    CHECK(!strstr(line, "left"));
    CHECK(columns < 80 || isdigit(line[strlen(line) - 1])); /* nothing of a longer line */
    close_terminal(&terminal);
    finish(pool);
    gate_free(gate);
}

TEST(bar)
{
    draw_a_map(80, " 50% [####################                    ] 5/10  ",
               "100% [########################################] 10/10  ");
}

TEST(bar_where_the_width_is_not_known)
{
    draw_a_map(0, " 50% [####################                    ] 5/10  ",
               "100% [########################################] 10/10  ");
}

TEST(bar_where_there_is_little_room)
{
    draw_a_map(40, " 50%", "100%");
    draw_a_map(20, " 50%", "100%");
    draw_a_map(10, " 50% 5/10", "100%");
    draw_a_map(5, " 50%", "100%");
    draw_a_map(4, "\r", ""); /* not even for that */
    draw_a_map(1, "\r", "");
}

/* Draws what is over soon; returns what pp_progress_bar() does. */
static int draw_soon(pp_result *result, char *line, double timeout)
{
    struct terminal terminal;
    int error;

    open_terminal(&terminal, 80);
    error = pp_progress_bar(result, terminal.stream, .timeout = timeout);
    check_screen(&terminal, line);
    close_terminal(&terminal);
    return error;
}

TEST(bar_with_failures)
{
    atomic_long *begun = shared_new(sizeof *begun);
    struct step steps[200];
    pp_pool *pool = pool_of(1);
    char line[1024];

    fill(steps, 200, NULL, begun);
    CHECK_EQ(draw_soon(pp_map_async(pool, go_on_or_die, steps, 200), line, PP_FOREVER), 0);
    CHECK_HAS(line, "100% [####");
    CHECK_HAS(line, "] 200/200  ");
    CHECK_HAS(line, "  4 failed");
    CHECK_EQ(draw_soon(pp_map_async(pool, go_on, steps, 0), line, PP_FOREVER), 0);
    CHECK_HAS(line, "100% [####");
    CHECK_HAS(line, "] 0/0  ");
    CHECK(!strstr(line, "failed"));
    finish(pool);
    shared_free(begun, sizeof *begun);
}

TEST(bar_with_a_timeout)
{
    struct gate *gate = gate_new();
    struct step steps[10];
    pp_pool *pool = pool_of(1);
    pp_result *result;
    char line[1024];

    fill(steps, 10, gate, NULL);
    result = pp_map_async(pool, go_on, steps, 10);
    CHECK_SOON(pp_progress_of(result).done == 5);
    CHECK_EQ(draw_soon(result, line, 0.25), -ETIMEDOUT);
    CHECK_HAS(line, " 50% [####");
    CHECK_HAS(line, " left");
    CHECK_EQ(draw_soon(result, line, 0), -ETIMEDOUT);
    CHECK_HAS(line, " 50% [####");
    gate_open(gate);
    CHECK_EQ(pp_wait(result), 0);
    CHECK_EQ(draw_soon(result, line, -1), 0);
    CHECK_HAS(line, "100% [####");
    finish(pool);
    gate_free(gate);
}

TEST(nothing_but_on_terminals)
{
    struct step steps[10];
    pp_pool *pool = pool_of(1);
    struct terminal terminal;
    int ends[2], count = -1;
    pp_result *result;
    FILE *stream;

    fill(steps, 10, NULL, NULL);
    result = pp_map_async(pool, go_on, steps, 10);
    CHECK_EQ(pipe(ends), 0);
    stream = fdopen(ends[1], "w");
    CHECK_EQ(pp_progress_bar(result, stream), 0);
    CHECK_EQ(fflush(stream), 0);
    CHECK_EQ(ioctl(ends[0], FIONREAD, &count), 0);
    CHECK_EQ(count, 0);
    fclose(stream);
    close(ends[0]);
    open_terminal(&terminal, 80);
    setenv("TERM", "dumb", 1);
    CHECK_EQ(pp_progress_bar(result, terminal.stream), 0);
    fflush(terminal.stream);
    read_terminal(&terminal);
    CHECK_EQ(terminal.length, 0);
    close_terminal(&terminal);
    finish(pool);
}

TEST(bar_of_what_is_wrong)
{
    pp_pool *pool = pool_of(1);
    pp_result *result = pp_apply_async(pool, PP_CALL(go_on, { .x = 1 }));
    pid_t pid;
    int status;

    CHECK_EQ(pp_progress_bar(NULL, stderr), -EINVAL);
    CHECK_EQ(pp_progress_bar(result, NULL), -EINVAL);
    CHECK_EQ(pp_progress_bar(result, stderr, .timeout = (double)NAN), -EINVAL);
    pid = fork();
    if (pid == 0)
        _exit(pp_progress_bar(result, stderr) == -ECHILD ? 0 : 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    finish(pool);
}

struct inside {
    struct terminal *terminal;
    pp_result *other;
    int error, calls;
};

static void draw_inside(pp_result *result, void *user)
{
    struct inside *inside = user;

    inside->calls++;
    if (result != inside->other)
        inside->error = pp_progress_bar(inside->other, inside->terminal->stream);
}

/* The bar runs callbacks as pp_wait() does; in one of them it would wait for ever. */
TEST(bar_and_callbacks)
{
    struct gate *gate = gate_new();
    struct step step = { .gate = gate, .x = 5 };
    struct terminal terminal, other;
    struct inside inside = { .terminal = &other };
    pp_pool *pool = pp_pool_new(.processes = 2, .callbacks = PP_CALLBACKS_POLL);
    pp_result *result;

    CHECK(pool != NULL);
    open_terminal(&terminal, 80);
    open_terminal(&other, 80);
    inside.other =
        pp_apply_async(pool, PP_CALL(go_on, step), .callback = draw_inside, .user = &inside);
    result = pp_apply_async(pool, PP_CALL(go_on, { .x = 1 }), .callback = draw_inside,
                            .user = &inside);
    CHECK_EQ(pp_progress_bar(result, terminal.stream), 0);
    CHECK_EQ(inside.calls, 1);
    CHECK_EQ(inside.error, -EDEADLK);
    CHECK(shows(&terminal, "100%"));
    read_terminal(&other);
    CHECK_EQ(other.length, 0);
    gate_open(gate);
    CHECK_EQ(pp_progress_bar(inside.other, terminal.stream), 0);
    CHECK_EQ(inside.calls, 2);
    close_terminal(&terminal);
    close_terminal(&other);
    finish(pool);
    gate_free(gate);
}
