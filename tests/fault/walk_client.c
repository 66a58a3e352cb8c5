/* SPDX-License-Identifier: MIT */
/* The client of a walk: its tasks, and what must hold whatever the point was. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/client.h"
#include "harness.h"
#include "walk.h"

enum { LAST_ITEM = WALK_ITEMS - 1, THREAD_FIRST = WALK_ITEMS - 16 };

/* Of the client's process, and its workers. */
static struct walk_stage *stage;
static const struct walk_scenario *scenario;

void walk_violated(struct walk_stage *where, const char *format, ...)
{
    va_list arguments;

    if (*where->violation)
        return;
    va_start(arguments, format);
    vsnprintf(where->violation, sizeof where->violation, format, arguments);
    va_end(arguments);
}

/* ---- Waiting ---- */

static void sleep_while_closed(atomic_uint *gate)
{
    while (!atomic_load(gate))
        syscall(SYS_futex, gate, FUTEX_WAIT, 0, NULL, NULL, 0);
}

void walk_await_held(struct walk_client *client, unsigned count)
{
    while (atomic_load(&client->stage->held) < count)
        harness_nap();
}

void walk_open(struct walk_client *client)
{
    atomic_store(&client->stage->open, 1);
    syscall(SYS_futex, &client->stage->open, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* ---- Tasks ---- */

static long value_of(long item)
{
    return 1000 + 7 * item;
}

static long item(long number)
{
    unsigned before = atomic_fetch_add(&stage->runs[number], 1);

    if (number == scenario->dies && before == 0)
        raise(SIGKILL);
    if (number == scenario->crashes)
        abort();
    if (number == scenario->holds) {
        atomic_fetch_add(&stage->held, 1);
        sleep_while_closed(&stage->open);
    }
    return value_of(number);
}
PP_TASK(long, item, long, number);

static int initialize(void *unused)
{
    (void)unused;
    return 0;
}

static void finalize(void *unused)
{
    (void)unused;
}

/* ---- Paths ---- */

void walk_make_pool(struct walk_client *client)
{
    ppi_first_patience_ns = PPI_WITHOUT_DOUBT;
    client->pool = pp_pool_new(.processes = scenario->workers,
                               .max_tasks_per_child = scenario->max_tasks,
                               .initializer = initialize,
                               .finalizer = scenario->finalizer ? finalize : NULL);
    if (!client->pool && !atomic_load(&stage->bereft) && !atomic_load(&stage->deaths))
        walk_violated(stage, "pp_pool_new: %s", pp_strerror(-errno));
    if (!client->pool && errno != ENOTRECOVERABLE)
        walk_violated(stage, "pp_pool_new, in vain: %s", pp_strerror(-errno));
}

void walk_submit(struct walk_client *client, long first, long count, long chunksize)
{
    long items[WALK_ITEMS];
    pp_result *result;

    for (long i = 0; i < count; i++)
        items[i] = first + i;
    result = pp_map_async(client->pool, item, items, (size_t)count, .chunksize = chunksize,
                          .time_limit = scenario->limit, .grace = scenario->grace,
                          .retries = scenario->retries);
    if (!result) {
        walk_check(client, "pp_map_async", -errno);
        return;
    }
    client->results[client->count].result = result;
    client->results[client->count].first = first;
    client->results[client->count].count = count;
    atomic_fetch_add(&client->count, 1);
}

void walk_check(struct walk_client *client, const char *what, int code)
{
    (void)client;
    if (code == 0 || (code == -ENOTRECOVERABLE && atomic_load(&stage->bereft)))
        return;
    if (code == -EALREADY || (code == -ESHUTDOWN && atomic_load(&stage->ending)))
        return;
    walk_violated(stage, "%s: %s", what, pp_strerror(code));
}

/* ---- Verdict ---- */

/* Whether an item may have failed like this; counts those that a death must account for. */
static bool may_fail(long number, const pp_error *error, unsigned *crashes)
{
    switch (error->kind) {
    case PP_CRASHED:
        *crashes += number != scenario->dies && number != scenario->crashes;
        return true;
    case PP_TIMED_OUT: /* where limits are short any item may be too slow for once */
        return scenario->limit > 0 && scenario->limit < 1;
    case PP_CANCELLED:
        return atomic_load(&stage->ending);
    default:
        return false;
    }
}

static void judge_item(long number, const pp_error *error, long value, unsigned *crashes)
{
    unsigned runs = atomic_load(&stage->runs[number]);
    bool doomed = number == scenario->crashes ||
                  (number == scenario->dies && scenario->retries == 0) ||
                  (number == scenario->holds && scenario->limit > 0);

    if (runs > 1U + (unsigned)scenario->retries)
        walk_violated(stage, "item %ld has run %u times", number, runs);
    if (error && !may_fail(number, error, crashes))
        walk_violated(stage, "item %ld failed: %s", number, error->message);
    if (!error && runs == 0)
        walk_violated(stage, "item %ld has a value, and never ran", number);
    if (!error && doomed)
        walk_violated(stage, "item %ld has a value, and its worker died of it", number);
    if (!error && value != value_of(number))
        walk_violated(stage, "item %ld has a wrong value, %ld", number, value);
}

static void judge(pp_result *result, long first, long count, unsigned *crashes)
{
    long values[WALK_ITEMS] = { 0 };
    int code = pp_get(result, values, .timeout = stage->patience_s);
    size_t failures = pp_failures(result), next = 0;

    if (code == -ETIMEDOUT) {
        walk_violated(stage, "the result of items from %ld on does not end", first);
        return;
    }
    if ((code == 0) != (failures == 0))
        walk_violated(stage, "%zu failures, and pp_get() returned %d", failures, code);
    for (long i = 0; i < count; i++) {
        const pp_error *error = pp_failure(result, next);

        if (error && (long)error->index != i)
            error = NULL;
        next += error != NULL;
        judge_item(first + i, error, values[i], crashes);
    }
    if (next != failures)
        walk_violated(stage, "%zu failures, %zu of them in order", failures, next);
}

void walk_judge(struct walk_client *client)
{
    unsigned crashes = 0;

    for (; client->judged < client->count; client->judged++) {
        pp_result *result = client->results[client->judged].result;

        judge(result, client->results[client->judged].first,
              client->results[client->judged].count, &crashes);
        if (!atomic_load(&stage->keeps))
            pp_result_free(result);
    }
    if (crashes > atomic_load(&stage->deaths) && !atomic_load(&stage->bereft))
        walk_violated(stage, "%u items have crashed, and %u workers were killed", crashes,
                      atomic_load(&stage->deaths));
}

/* ---- The second thread ---- */

static void map_beside(struct walk_client *client)
{
    struct walk_client own = { .stage = stage, .scenario = scenario, .pool = client->pool };

    walk_submit(&own, THREAD_FIRST, 4, 2);
    walk_judge(&own);
}

static void cancel_all(struct walk_client *client)
{
    atomic_store(&stage->ending, true);
    for (unsigned i = 0; i < client->count; i++)
        walk_check(client, "pp_cancel", pp_cancel(client->results[i].result));
}

static void *be_thread(void *what)
{
    struct walk_client *client = what;

    atomic_store(&stage->thread, (int)syscall(SYS_gettid));
    sleep_while_closed(&stage->event);
    if (atomic_load(&stage->event) == WALK_THREAD_MAPS)
        map_beside(client);
    else if (atomic_load(&stage->event) == WALK_THREAD_CANCELS)
        cancel_all(client);
    atomic_store(&stage->acted, true);
    return NULL;
}

/* ---- The whole ---- */

static size_t entries(const char *path)
{
    DIR *dir = opendir(path);
    size_t count = 0;

    while (dir && readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static bool has_segment(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    bool found = false;

    while (fgets(line, sizeof line, maps))
        found |= strstr(line, "memfd:") != NULL;
    fclose(maps);
    return found;
}

/* A pool that has lost its supervisor says so; any other works as ever. */
static void check_pool(struct walk_client *client)
{
    bool killed = atomic_load(&stage->killed);
    long value = 0;
    int code = pp_apply(client->pool, PP_CALL(item, LAST_ITEM), &value);

    if (code == -ESHUTDOWN && atomic_load(&stage->ending))
        return;
    if (atomic_load(&stage->bereft) && (code == -ENOTRECOVERABLE || code == PP_ECRASHED)) {
        code = pp_apply(client->pool, PP_CALL(item, LAST_ITEM), &value);
        if (code != -ENOTRECOVERABLE)
            walk_violated(stage, "a broken pool takes more: %d", code);
        return;
    }
    if (killed)
        walk_violated(stage, "without a supervisor: %d", code);
    if (code == PP_ECRASHED && atomic_load(&stage->deaths))
        return;
    if (code != 0 || value != value_of(LAST_ITEM))
        walk_violated(stage, "the pool does not work any more: %s, %ld", pp_strerror(code),
                      value);
}

static void check_left(size_t descriptors)
{
    if (entries("/proc/self/fd") != descriptors)
        walk_violated(stage, "%zu descriptors, not %zu", entries("/proc/self/fd"),
                      descriptors);
    if (entries("/proc/self/task") != 3)
        walk_violated(stage, "%zu threads are left", entries("/proc/self/task") - 3);
    if (has_segment())
        walk_violated(stage, "the segment is still there");
    if (waitpid(-1, NULL, WNOHANG | __WALL) != -1)
        walk_violated(stage, "the client has a child");
}

void walk_be_client(struct walk_stage *shared, const struct walk_scenario *what)
{
    struct walk_client client = { .stage = shared, .scenario = what };
    size_t descriptors = entries("/proc/self/fd");
    pthread_t thread;
    bool second = !what->late;

    stage = shared;
    scenario = what;
    if (!what->late)
        walk_make_pool(&client);
    if (second)
        pthread_create(&thread, NULL, be_thread, &client);
    if (what->prepare)
        what->prepare(&client);
    atomic_store(&stage->ready, true);
    sleep_while_closed(&stage->go);
    what->path(&client);
    atomic_store(&stage->over, true);
    sleep_while_closed(&stage->leave);
    if (second) {
        unsigned none = 0;

        atomic_compare_exchange_strong(&stage->event, &none, WALK_EVENTS);
        syscall(SYS_futex, &stage->event, FUTEX_WAKE, 1, NULL, NULL, 0);
        pthread_join(thread, NULL);
    }
    if (client.pool)
        check_pool(&client);
    if (pp_pool_free(client.pool) != 0)
        walk_violated(stage, "pp_pool_free() fails");
    check_left(descriptors);
    _exit(*stage->violation != '\0');
}
