/* SPDX-License-Identifier: MIT */
/* Through all points. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness.h"
#include "inject.h"

enum { MOST_SCENARIOS = 64, MOST_LANES = 64, LUCKY_RUNS = 40, QUIET_RUNS = 3 };

/* A place: a point, and who passes it. */
struct place {
    enum role role;
    enum ppi_point point;
};

/* Passages, by scenario, in a run without orders; and in any run. */
static unsigned profile[MOST_SCENARIOS][ROLES][PPI_POINT_COUNT];
static atomic_uint (*ever)[PPI_POINT_COUNT];

/* ---- Words ---- */

static const char *const action_names[] = { "nothing", "stop", "kill" };

void spell_order(const struct order *order, char *text, size_t size)
{
    snprintf(text, size, "%s:%s:%u:%s", role_names[order->role], point_names[order->point],
             order->nth, action_names[order->action]);
}

/* The place of a word in a list, or -1. */
static int find(const char *word, const char *const *words, int count)
{
    for (int i = 0; i < count; i++)
        if (strcmp(word, words[i]) == 0)
            return i;
    return -1;
}

bool parse_order(const char *text, struct order *order)
{
    char role[32], point[64], action[16];
    int whose, where, what;

    if (sscanf(text, "%31[^:]:%63[^:]:%u:%15s", role, point, &order->nth, action) != 4)
        return false;
    whose = find(role, role_names, ROLES);
    where = find(point, point_names, PPI_POINT_COUNT);
    what = find(action, action_names, KILL + 1);
    order->role = (enum role)whose;
    order->point = (enum ppi_point)where;
    order->action = (enum action)what;
    return whose >= 0 && where >= 0 && what >= 0;
}

static void report(const struct scenario *scenario, const struct order orders[ORDERS],
                   const struct verdict *verdict)
{
    char first[128] = "", second[128] = "";

    if (orders[FIRST].action != NOTHING)
        spell_order(&orders[FIRST], first, sizeof first);
    if (orders[SECOND].action != NOTHING)
        spell_order(&orders[SECOND], second, sizeof second);
    printf("VIOLATED --replay %s %s %s\n    %s\n", scenario->name, first, second,
           verdict->why);
    fflush(stdout);
}

/* ---- Runs that are counted ---- */

static struct verdict try(const struct scenario *scenario, const struct order orders[ORDERS],
                          struct tally *tally)
{
    struct verdict verdict = run(scenario, orders);

    for (int role = 0; role < ROLES; role++)
        for (int point = 0; point < PPI_POINT_COUNT; point++)
            atomic_fetch_add(&ever[role][point], atomic_load(&stage->passed[role][point]));
    tally->runs++;
    if (verdict.violated) {
        tally->violations++;
        report(scenario, orders, &verdict);
    }
    return verdict;
}

/* Whether a scenario that needs luck has shown all that it is there for. */
static bool was_lucky(void)
{
    static const enum ppi_point rare[] = { PPI_AT_WORKER_SEARCHES, PPI_AT_WORKER_NAPS,
                                           PPI_AT_CLIENT_SPINS };
    bool all = true;

    for (size_t i = 0; i < sizeof rare / sizeof *rare; i++)
        all &= atomic_load(&ever[WORKER][rare[i]]) + atomic_load(&ever[CLIENT][rare[i]]) > 0;
    return all;
}

static void know(size_t index, struct tally *tally)
{
    static const struct order nothing[ORDERS];
    const struct scenario *scenario = &scenarios[index];

    for (int i = 0; i < (scenario->two_cpus ? LUCKY_RUNS : QUIET_RUNS); i++) {
        if (scenario->two_cpus && was_lucky())
            break;
        try(scenario, nothing, tally);
        for (int role = 0; role < ROLES; role++)
            for (int point = 0; point < PPI_POINT_COUNT; point++) {
                unsigned passed = atomic_load(&stage->passed[role][point]);

                if (passed > profile[index][role][point])
                    profile[index][role][point] = passed;
            }
    }
}

void walk_without_orders(struct tally *tally)
{
    ever = mmap(NULL, ROLES * sizeof *ever, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                -1, 0);
    if (ever == MAP_FAILED)
        abort();
    for (size_t i = 0; scenarios[i].name; i++)
        know(i, tally);
}

void end_walk(void)
{
    munmap(ever, ROLES * sizeof *ever);
}

unsigned count_places(void)
{
    unsigned count = 0;

    for (int role = 0; role < ROLES; role++)
        for (int point = 0; point < PPI_POINT_COUNT; point++)
            count += atomic_load(&ever[role][point]) > 0;
    return count;
}

unsigned count_missed(void)
{
    bool one_cpu = sysconf(_SC_NPROCESSORS_ONLN) < 2;
    unsigned count = 0;

    for (int point = 0; point < PPI_POINT_COUNT; point++) {
        bool passed = false;

        for (int role = 0; role < ROLES; role++)
            passed |= atomic_load(&ever[role][point]) > 0;
        if (passed || (one_cpu && !was_lucky()))
            continue;
        count++;
        printf("no scenario passes %s: %s\n", point_names[point], point_texts[point]);
    }
    return count;
}

/* ---- Lanes: processes that share the work ---- */

struct work {
    const struct extent *extent;
    unsigned long number; /* of what there is to be done, until now */
    unsigned long mine;   /* the lane */
    double begun;
    double told;
    struct tally tally;
};

static void tell(struct work *work)
{
    double now = harness_now();

    if (!work->extent->progress || work->mine != 0 || now - work->told < 10)
        return;
    work->told = now;
    fprintf(stderr, "inject: after %.0f s: %lu runs of %lu here, %lu violations\n",
            now - work->begun, work->tally.runs, work->number, work->tally.violations);
}

/* Whether this lane is to do the next piece of work. */
static bool is_mine(struct work *work)
{
    return work->number++ % work->extent->lanes == work->mine;
}

static void add(struct tally *sum, const struct tally *more)
{
    sum->runs += more->runs;
    sum->reached += more->reached;
    sum->unreached += more->unreached;
    sum->violations += more->violations;
}

/* Each lane goes the whole way and does its part. */
static void in_lanes(void (*walk)(struct work *work), const struct extent *extent,
                     struct tally *tally)
{
    struct tally *tallies = mmap(NULL, MOST_LANES * sizeof *tallies, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status, lanes = 0;

    if (tallies == MAP_FAILED)
        abort();
    fflush(NULL);
    for (; lanes < (int)extent->lanes && lanes < MOST_LANES; lanes++)
        if (fork() == 0) {
            struct work work = { .extent = extent, .mine = (unsigned long)lanes,
                                 .begun = harness_now(), .told = harness_now() };

            prepare_stage();
            walk(&work);
            tallies[lanes] = work.tally;
            fflush(NULL);
            _exit(0);
        }
    while (wait(&status) > 0)
        tally->violations += status != 0;
    for (int lane = 0; lane < lanes; lane++)
        add(tally, &tallies[lane]);
    munmap(tallies, MOST_LANES * sizeof *tallies);
}

/* ---- Single points ---- */

static unsigned long mix(unsigned long a, unsigned long b)
{
    unsigned long x = (a ^ b * 0x9e3779b97f4a7c15) + 0x2545f4914f6cdd1d;

    x = (x ^ x >> 32) * 0xd6e8feb86659fd93;
    return x ^ x >> 32;
}

static unsigned long hash_of(const struct extent *extent, struct place a, struct place b)
{
    return mix(mix(extent->seed, (unsigned long)a.role * PPI_POINT_COUNT + a.point),
               (unsigned long)b.role * PPI_POINT_COUNT + b.point);
}

static bool passes(size_t scenario, struct place place)
{
    return profile[scenario][place.role][place.point] > 0;
}

/*
 * The scenarios that are tried for two places: all that pass both, or some of these.  Writes
 * their numbers; returns how many.
 */
static size_t choose(const struct extent *extent, struct place a, struct place b,
                     size_t *chosen)
{
    size_t count = 0, most = extent->per_place;
    unsigned long hash = hash_of(extent, a, b);

    for (size_t i = 0; scenarios[i].name; i++)
        if (passes(i, a) && passes(i, b))
            chosen[count++] = i;
    if (most == 0 || count <= most)
        return count;
    for (size_t i = 0; i < most; i++) {
        size_t other = i + (hash = mix(hash, i)) % (count - i), swapped = chosen[i];

        chosen[i] = chosen[other];
        chosen[other] = swapped;
    }
    return most;
}

static void try_place(struct work *work, size_t scenario, struct place place)
{
    for (unsigned nth = 1; nth <= work->extent->passages; nth++)
        for (enum action action = STOP; action <= KILL; action++) {
            struct order orders[ORDERS] = { { action, place.role, place.point, nth } };
            struct verdict verdict;

            if (nth > profile[scenario][place.role][place.point] || !is_mine(work))
                continue;
            verdict = try(&scenarios[scenario], orders, &work->tally);
            *(verdict.reached[FIRST] ? &work->tally.reached : &work->tally.unreached) += 1;
            tell(work);
        }
}

static void walk_places(struct work *work)
{
    size_t chosen[MOST_SCENARIOS];

    for (int role = 0; role < ROLES; role++)
        for (int point = 0; point < PPI_POINT_COUNT; point++) {
            struct place place = { (enum role)role, (enum ppi_point)point };
            size_t count = choose(work->extent, place, place, chosen);

            for (size_t i = 0; i < count; i++)
                try_place(work, chosen[i], place);
        }
}

void walk_points(const struct extent *extent, struct tally *tally)
{
    in_lanes(walk_places, extent, tally);
}

/* ---- Pairs ---- */

static void try_pair(struct work *work, size_t scenario, struct place a, struct place b)
{
    for (unsigned nth = 1; nth <= work->extent->passages; nth++) {
        const struct order orders[ORDERS] = { { STOP, a.role, a.point, nth },
                                              { KILL, b.role, b.point, 1 } };
        struct verdict verdict;

        if (nth > profile[scenario][a.role][a.point] || !is_mine(work))
            continue;
        verdict = try(&scenarios[scenario], orders, &work->tally);
        *(verdict.reached[SECOND] ? &work->tally.reached : &work->tally.unreached) += 1;
        tell(work);
    }
}

static struct place place_of(unsigned number)
{
    return (struct place){ (enum role)(number / PPI_POINT_COUNT),
                           (enum ppi_point)(number % PPI_POINT_COUNT) };
}

/* There is one client and one supervisor. */
static bool can_be_two(struct place a, struct place b)
{
    return a.role != b.role || a.role == WORKER;
}

static void walk_all_pairs(struct work *work)
{
    const struct extent *extent = work->extent;
    size_t chosen[MOST_SCENARIOS];

    for (unsigned i = 0; i < ROLES * PPI_POINT_COUNT; i++)
        for (unsigned j = 0; j < ROLES * PPI_POINT_COUNT; j++) {
            struct place a = place_of(i), b = place_of(j);
            size_t count;

            if (!can_be_two(a, b) || hash_of(extent, a, b) % extent->one_in != 0)
                continue;
            count = choose(extent, a, b, chosen);
            for (size_t k = 0; k < count; k++)
                try_pair(work, chosen[k], a, b);
        }
}

void walk_pairs(const struct extent *extent, struct tally *tally)
{
    in_lanes(walk_all_pairs, extent, tally);
}
