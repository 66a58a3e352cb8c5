/* SPDX-License-Identifier: MIT */
/*
 * The walk through all points.
 *
 *   inject                       tests, as any other: each point once, and some of the pairs
 *   inject --all [OPTION=N...]   everything, with figures: seed, lanes, passages, one_in,
 *                                per_place, see struct extent
 *   inject --replay SCENARIO ORDER [ORDER] [TIMES]
 *                                as a violation says
 *   inject --list                of the tests; --points: of the points and who passes them
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "inject.h"

static unsigned long given_seed(void)
{
    const char *given = getenv("TEST_SEED");
    unsigned long seed = given ? strtoul(given, NULL, 0) : (unsigned long)time(NULL);

    printf("seed %lu\n", seed);
    return seed;
}

static unsigned cpus(void)
{
    long count = sysconf(_SC_NPROCESSORS_ONLN);

    return count > 0 ? (unsigned)count : 1;
}

/* ---- Everything ---- */

static void say(const char *what, const struct tally *tally)
{
    printf("%s: %lu runs, %lu reached, %lu not reachable, %lu violations\n", what, tally->runs,
           tally->reached, tally->unreached, tally->violations);
    fflush(stdout);
}

static unsigned *option_named(struct extent *extent, const char *name)
{
    return strcmp(name, "lanes") == 0       ? &extent->lanes
           : strcmp(name, "passages") == 0  ? &extent->passages
           : strcmp(name, "one_in") == 0    ? &extent->one_in
           : strcmp(name, "per_place") == 0 ? &extent->per_place
                                            : NULL;
}

static struct extent parse_extent(char **arguments)
{
    struct extent extent = { .passages = 1, .one_in = 1, .lanes = cpus(), .seed = 0,
                             .progress = true };

    for (; *arguments; arguments++) {
        char *value = strchr(*arguments, '=');
        unsigned *option;

        if (value)
            *value++ = '\0';
        option = option_named(&extent, *arguments);
        if (value && option)
            *option = (unsigned)strtoul(value, NULL, 10);
        else if (value && strcmp(*arguments, "seed") == 0)
            extent.seed = strtoul(value, NULL, 0);
        else {
            fprintf(stderr, "inject: what is %s?\n", *arguments);
            exit(2);
        }
    }
    return extent;
}

static int do_all(char **arguments)
{
    struct extent extent = parse_extent(arguments), points = extent;
    struct tally alone = { 0 }, single = { 0 }, pairs = { 0 };
    double begun = harness_now();
    unsigned long runs, violations;
    unsigned missed;

    prepare_stage();
    walk_without_orders(&alone);
    say("without orders", &alone);
    points.passages = 2;
    points.per_place = 0;
    walk_points(&points, &single);
    say("single points", &single);
    walk_pairs(&extent, &pairs);
    say("pairs", &pairs);
    missed = count_missed();
    runs = alone.runs + single.runs + pairs.runs;
    violations = alone.violations + single.violations + pairs.violations;
    printf("%d points, with %u parties that pass them, %u missed; %lu runs in %.0f s, %lu "
           "violations\n",
           PPI_POINT_COUNT, count_places(), missed, runs, harness_now() - begun, violations);
    return violations + missed > 0;
}

static int replay(int argc, char **argv)
{
    const struct scenario *scenario = argc > 0 ? scenario_named(argv[0]) : NULL;
    struct order orders[ORDERS] = { { NOTHING, CLIENT, 0, 0 }, { NOTHING, CLIENT, 0, 0 } };
    unsigned long times = 20, violations = 0, reached = 0;
    int count = 0;

    for (int i = 1; i < argc; i++)
        if (strchr(argv[i], ':') && count < ORDERS && parse_order(argv[i], &orders[count]))
            count++;
        else
            times = strtoul(argv[i], NULL, 10);
    if (!scenario || times == 0) {
        fprintf(stderr, "inject: --replay SCENARIO ORDER [ORDER] [TIMES]\n");
        return 2;
    }
    prepare_stage();
    for (unsigned long i = 0; i < times; i++) {
        struct verdict verdict = run(scenario, orders);

        violations += verdict.violated;
        reached += verdict.reached[count > 1 ? SECOND : FIRST];
        if (verdict.violated)
            printf("%s\n", verdict.why);
    }
    printf("%lu of %lu runs reached it, %lu violations\n", reached, times, violations);
    return violations > 0;
}

static void list_points(void)
{
    for (int point = 0; point < PPI_POINT_COUNT; point++)
        printf("%-26s %s\n", point_names[point], point_texts[point]);
}

void harness_init(int *argc, char ***argv)
{
    if (*argc < 2)
        return;
    if (strcmp((*argv)[1], "--all") == 0)
        exit(do_all(*argv + 2));
    if (strcmp((*argv)[1], "--replay") == 0)
        exit(replay(*argc - 2, *argv + 2));
    if (strcmp((*argv)[1], "--points") == 0) {
        list_points();
        exit(0);
    }
}

/* ---- Some of it ---- */

TEST(points, .timeout = 300)
{
    struct extent extent = { .passages = 1, .per_place = 1, .lanes = cpus(),
                             .seed = given_seed() };
    struct tally alone = { 0 }, single = { 0 };

    prepare_stage();
    walk_without_orders(&alone);
    say("without orders", &alone);
    walk_points(&extent, &single);
    say("single points", &single);
    CHECK_EQ(count_missed(), 0);
    end_walk();
    leave_stage();
    CHECK_EQ(alone.violations + single.violations, 0);
}

TEST(pairs, .timeout = 300)
{
    struct extent extent = { .passages = 1, .one_in = 50, .per_place = 1,
                             .lanes = cpus(), .seed = given_seed() };
    struct tally alone = { 0 }, pairs = { 0 };

    if (HARNESS_SANITIZED)
        SKIP("each run takes many times longer under sanitizers");
    prepare_stage();
    walk_without_orders(&alone);
    walk_pairs(&extent, &pairs);
    say("pairs", &pairs);
    end_walk();
    leave_stage();
    CHECK(pairs.reached > 0);
    CHECK_EQ(alone.violations + pairs.violations, 0);
}
