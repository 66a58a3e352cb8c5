/* SPDX-License-Identifier: MIT */
/*
 * calls - makes each call of the library fail, at each place, and looks what comes of it
 *
 * For each way to start workers: each scenario is played once to learn at which places which
 * functions are called, and how often, and then once per order.  In the normal run of the
 * tests a call of each place fails once, in the way that is most likely; with
 * TEST_THOROUGH=1 calls before and after fail too, in all ways, and for good.
 *
 *   calls [fork|spawn|threads|inline|automatic]...
 *   calls --replay 'fork values client malloc slab.c:83 1 ENOMEM once'   (TEST_TRIALS times)
 *   calls --only fork values
 */
#include <poll.h>
#include <procpool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "internal.h"
#include "run.h"

/* Runs at a time: mostly they wait. */
enum { AT_A_TIME = 2 };

static const char *replayed, *only_scenario;

void harness_init(int *argc, char ***argv)
{
    static char *rest[3];

    if (pp_init(argc, argv) != 0)
        abort();
    if (*argc == 3 && strcmp((*argv)[1], "--replay") == 0) {
        replayed = (*argv)[2];
    } else if (*argc == 4 && strcmp((*argv)[1], "--only") == 0) {
        only_scenario = (*argv)[3];
    } else {
        return;
    }
    rest[0] = (*argv)[0];
    rest[1] = strndup((*argv)[2], strcspn((*argv)[2], " ")); /* the way to start */
    *argv = rest;
    *argc = 2;
}

/* ---- Names ---- */

static const char *error_name(int error)
{
    return error == SHORT   ? "SHORT"
           : error == DONE  ? "DONE"
           : error == EMPTY ? "EMPTY"
                            : strerrorname_np(error);
}

static const char *start_name(pp_start start)
{
    static const char *const names[] = {
        [PP_START_AUTO] = "automatic", [PP_FORK] = "fork",     [PP_SPAWN] = "spawn",
        [PP_THREADS] = "threads",      [PP_INLINE] = "inline",
    };

    return names[start];
}

/* "slab.c:83" for a site; as good as addr2line makes it. */
static void ask_for_name(uintptr_t site, char *name, size_t size)
{
    char path[512], command[640], line[512] = "", *end;
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - 1);
    FILE *pipe;

    path[length > 0 ? length : 0] = '\0';
    snprintf(command, sizeof command, "addr2line -s -e '%s' %#lx 2>/dev/null", path,
             (unsigned long)site - 1);
    pipe = popen(command, "r");
    if (pipe && fgets(line, sizeof line, pipe) && !strchr(line, '?')) {
        end = line + strcspn(line, " \n");
        *end = '\0';
        snprintf(name, size, "%s", line);
    } else {
        snprintf(name, size, "+%#lx", (unsigned long)site);
    }
    if (pipe)
        pclose(pipe);
}

static void name_site(uintptr_t site, char *name, size_t size)
{
    static struct known {
        uintptr_t site;
        char name[64];
    } all[1024];
    struct known *known = &all[site % 1024];

    if (!site) {
        snprintf(name, size, "anywhere");
        return;
    }
    if (known->site != site)
        ask_for_name(site, known->name, sizeof known->name);
    known->site = site;
    snprintf(name, size, "%s", known->name);
}

/* The same for one that is mentioned in a text, as +0x1234. */
static void name_mentioned(const char *text, char *name, size_t size)
{
    const char *offset = strstr(text, "+0x");

    *name = '\0';
    if (offset)
        name_site(strtoull(offset, NULL, 16), name, size);
}

/* Whether this is word number n of a text. */
static bool is_word(const char *text, int n, const char *word)
{
    for (; n > 0 && *text; n--)
        text += strcspn(text, " ") + (strchr(text, ' ') != NULL);
    return strcspn(text, " ") == strlen(word) && strncmp(text, word, strlen(word)) == 0;
}

static void name_order(const struct run *run, char *name, size_t size)
{
    const struct order *order = &run->order;
    char site[64];

    if (order->key == 0) {
        snprintf(name, size, "%s %s (nothing fails)", start_name(run->start),
                 run->scenario->name);
        return;
    }
    name_site(engine_site_of(order->key), site, sizeof site);
    snprintf(name, size, "%s %s %s %s %s %u %s %s", start_name(run->start),
             run->scenario->name, engine_role_names[engine_role_of(order->key)],
             engine_calls[engine_call_of(order->key)].name, site, order->nth,
             error_name(order->error), order->lasting ? "lasting" : "once");
}

/* ---- Orders ---- */

struct orders {
    struct run *all;
    size_t count, room;
};

static void add(struct orders *orders, const struct run *run)
{
    if (orders->count == orders->room) {
        orders->room = orders->room ? 2 * orders->room : 256;
        orders->all = realloc(orders->all, orders->room * sizeof *orders->all);
        if (!orders->all)
            abort();
    }
    orders->all[orders->count++] = *run;
}

/* Calls of one place: first ones, one in between, the last. */
static void add_all_ways(struct orders *orders, struct run run, const struct place *place)
{
    const struct call_info *call = &engine_calls[engine_call_of(run.order.key)];
    unsigned count = atomic_load(&place->count);
    const unsigned all[] = { 1, 2, 3, count / 2, count };

    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        if (all[i] > count || (i >= 3 && all[i] <= all[i - 1]))
            continue;
        run.order.nth = all[i];
        run.order.lasting = false;
        for (const int *error = call->once; *error; error++) {
            run.order.error = *error;
            add(orders, &run);
        }
        run.order.lasting = true;
        for (const int *error = call->lasting; *error && i != 1 && i != 4; error++) {
            run.order.error = *error;
            add(orders, &run);
        }
    }
}

/* The first call of a place and, of a few, the last: in the way that is most likely. */
static void add_likely(struct orders *orders, struct run run, const struct place *place)
{
    unsigned count = atomic_load(&place->count);

    run.order.error = engine_calls[engine_call_of(run.order.key)].once[0];
    run.order.nth = 1;
    add(orders, &run);
    if (count == 1 || count > 4)
        return;
    run.order.nth = count;
    add(orders, &run);
}

/* ---- Figures ---- */

static struct figures {
    size_t places, runs, untouched, well, documented, violations;
    double slowest;
} figures;

static struct seen {
    uint64_t *keys;
    size_t count, room;
} seen;

/* Whether this place is new; it is not any more. */
static bool is_new(uint64_t key)
{
    for (size_t i = 0; i < seen.count; i++)
        if (seen.keys[i] == key)
            return false;
    if (seen.count == seen.room) {
        seen.room = seen.room ? 2 * seen.room : 256;
        seen.keys = realloc(seen.keys, seen.room * sizeof *seen.keys);
        if (!seen.keys)
            abort();
    }
    seen.keys[seen.count++] = key;
    return true;
}

/* ---- Running ---- */

static struct run running[AT_A_TIME];
static double began[AT_A_TIME];

static void judge(const struct run *run, double took)
{
    const struct engine *end = run->engine;
    char name[256], mentioned[64];
    const char *why;

    figures.runs++;
    figures.slowest = took > figures.slowest ? took : figures.slowest;
    if (!run_is_right(run, &why)) {
        figures.violations++;
        name_order(run, name, sizeof name);
        name_mentioned(why, mentioned, sizeof mentioned);
        fprintf(stderr, "calls: --replay '%s': %s %s\n", name, why, mentioned);
    } else if (run->order.key && !atomic_load(&end->tripped)) {
        figures.untouched++;
    } else if (atomic_load(&end->deviations) > 0) {
        figures.documented++;
    } else {
        figures.well++;
    }
    if (getenv("TEST_VERBOSE") || replayed) {
        name_order(run, name, sizeof name);
        fprintf(stderr, "calls: %5.0f ms, %s, %u: %s: %s\n", took * 1e3,
                atomic_load(&end->tripped) ? "failed" : "never failed",
                atomic_load(&end->deviations), name, end->first);
    }
}

/* Waits until a run ends and judges it; its number, which is free then. */
static int await_one(void)
{
    for (;;) {
        pid_t pid = waitpid(-1, NULL, 0);

        for (int i = 0; i < AT_A_TIME; i++)
            if (running[i].keeper == pid && pid > 0) {
                running[i].keeper = 0;
                judge(&running[i], harness_now() - began[i]);
                return i;
            }
        if (pid < 0)
            FAIL("a run is lost");
    }
}

static void begin(int i, const struct run *run)
{
    struct engine *memory = running[i].engine ? running[i].engine : engine_new();

    running[i] = *run;
    running[i].engine = memory;
    began[i] = harness_now();
    run_begin(&running[i]);
}

static void perform(const struct orders *orders, const char *what)
{
    double told = harness_now();
    int busy = 0;

    for (size_t n = 0; n < orders->count; n++) {
        int i = busy < AT_A_TIME ? busy++ : await_one();

        begin(i, &orders->all[n]);
        if (harness_now() - told > 20) {
            fprintf(stderr, "calls: %s: %zu of %zu runs, %zu violations\n", what, n,
                    orders->count, figures.violations);
            told = harness_now();
        }
    }
    while (busy-- > 0)
        await_one();
}

/* ---- Walking ---- */

/* Plays it as it is; the places lie in the engine then.  Once more for what comes and goes. */
static void count_places(const struct run *run)
{
    size_t violations = figures.violations;

    begin(0, run);
    await_one();
    if (figures.violations > violations)
        FAIL("%s: violations where nothing fails", run->scenario->name);
}

static void add_places(struct orders *orders, struct run run)
{
    const struct engine *counted = running[0].engine;

    for (size_t i = 0; i < PLACES; i++) {
        const struct place *place = &counted->places[i];
        bool fresh;

        run.order.key = atomic_load(&place->key);
        if (run.order.key == 0)
            continue;
        fresh = is_new(run.order.key);
        figures.places += fresh;
        if (getenv("TEST_THOROUGH") || replayed) {
            add_all_ways(orders, run, place);
        } else if (fresh) {
            add_likely(orders, run, place);
        }
    }
}

/* Whether the words of what is to be replayed are this order's. */
static bool is_replayed(const struct run *run)
{
    char name[256];

    name_order(run, name, sizeof name);
    return strcmp(name, replayed) == 0;
}

static void add_orders(struct orders *orders, struct run run)
{
    struct orders all = { NULL, 0, 0 };
    const char *given = getenv("TEST_TRIALS");
    unsigned trials = replayed && given ? (unsigned)strtoul(given, NULL, 10) : 1;

    add_places(&all, run);
    for (size_t i = 0; i < all.count; i++)
        for (unsigned n = 0; n < trials && (!replayed || is_replayed(&all.all[i])); n++)
            add(orders, &all.all[i]);
    free(all.all);
}

static void walk(pp_start start)
{
    bool isolated = start != PP_THREADS && start != PP_INLINE;

    for (unsigned i = 0; i < scenario_count; i++) {
        struct run run = { .scenario = &scenarios[i], .start = start };
        struct orders orders = { NULL, 0, 0 };

        if ((scenarios[i].needs_processes && !isolated) ||
            (only_scenario && strcmp(only_scenario, scenarios[i].name) != 0) ||
            (replayed && !is_word(replayed, 1, scenarios[i].name)))
            continue;
        count_places(&run);
        add_orders(&orders, run);
        perform(&orders, scenarios[i].name);
        free(orders.all);
    }
    printf("%s: %zu places, %zu runs: %zu not touched, %zu worked on, %zu with a documented "
           "error, %zu violations; the slowest took %.1f s\n",
           start_name(start), figures.places, figures.runs, figures.untouched, figures.well,
           figures.documented, figures.violations, figures.slowest);
    fflush(stdout);
    for (int i = 0; i < AT_A_TIME; i++)
        engine_free(running[i].engine);
    free(seen.keys);
    if (figures.violations > 0)
        FAIL("%zu violations", figures.violations);
}

#define WALK_LIMIT 36000

TEST(fork, .timeout = WALK_LIMIT)
{
    walk(PP_FORK);
}

TEST(spawn, .timeout = WALK_LIMIT)
{
    walk(PP_SPAWN);
}

TEST(threads, .timeout = WALK_LIMIT)
{
    walk(PP_THREADS);
}

TEST(inline, .timeout = WALK_LIMIT)
{
    walk(PP_INLINE);
}

TEST(automatic, .timeout = WALK_LIMIT)
{
    walk(PP_START_AUTO);
}
