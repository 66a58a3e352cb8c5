/* SPDX-License-Identifier: MIT */
/* Which tests are not for every start method, and why. */
#include "battery.h"

enum {
    IN_FORK = 1 << FORK,
    IN_SPAWN = 1 << SPAWN,
    IN_THREADS = 1 << THREADS,
    IN_INLINE = 1 << INLINE,
};

static const char *const not_isolated = "workers are not processes: the program would die";
static const char *const not_stoppable = "what runs cannot be stopped without its process";
static const char *const no_process = "workers are part of the program, and have what it has";
static const char *const one_thread = "the call runs in the caller, who cannot do more beside";
static const char *const no_handle = "handles of the client are not in its workers' memory";

static const struct {
    const char *test;
    unsigned methods; /* under which it is left out */
    const char *const *why;
} exceptions[] = {
    { "crash_by_segfault", IN_THREADS | IN_INLINE, &not_isolated },
    { "crash_by_stack_overflow", IN_THREADS | IN_INLINE, &not_isolated },
    { "crash_by_abort", IN_THREADS | IN_INLINE, &not_isolated },
    { "crash_by_exit", IN_THREADS | IN_INLINE, &not_isolated },
    { "crash_by_kill", IN_THREADS | IN_INLINE, &not_isolated },
    { "killed_from_outside", IN_THREADS | IN_INLINE, &not_isolated },
    { "killed_while_idle", IN_THREADS | IN_INLINE, &not_isolated },
    { "crashes_in_a_map", IN_THREADS | IN_INLINE, &not_isolated },
    { "crashes_in_an_imap", IN_THREADS | IN_INLINE, &not_isolated },
    { "crash_tells_where", IN_THREADS | IN_INLINE, &not_isolated },
    { "resize_while_running", IN_INLINE, &one_thread },
    { "initializer_crashes", IN_THREADS | IN_INLINE, &not_isolated },
    { "retries", IN_THREADS | IN_INLINE, &not_isolated },
    { "cancel_what_runs", IN_THREADS | IN_INLINE, &not_stoppable },
    { "cancel_with_grace", IN_THREADS | IN_INLINE, &not_stoppable },
    { "time_limit_with_grace", IN_THREADS | IN_INLINE, &not_stoppable },
    { "surroundings_of_processes", IN_THREADS | IN_INLINE, &no_process },
    { "callback_cancels", IN_INLINE, &one_thread },
    { "not_called_for_what_is_freed", IN_INLINE, &one_thread },
    { "not_ready_before_its_callback_returns", IN_INLINE, &one_thread },
    { "descriptor_is_quiet_meanwhile", IN_INLINE, &one_thread },
    { "descriptor_is_readable_after_cancelling", IN_INLINE, &one_thread },
    { "unordered_comes_as_it_ends", IN_INLINE, &one_thread },
    { "cancel_what_waits", IN_INLINE, &one_thread },
    { "cancelled_is_never_run", IN_INLINE, &one_thread },
    { "cancel_between_the_items_of_a_chunk", IN_INLINE, &one_thread },
    { "cancel_calls_the_error_callback", IN_INLINE, &one_thread },
    { "freed_iterator_is_cancelled", IN_INLINE, &one_thread },
    { "workers_run_side_by_side", IN_INLINE, &one_thread },
    { "terminate", IN_INLINE, &one_thread },
    { "task_uses_its_pool", IN_SPAWN, &no_handle },
    { "task_submits", IN_SPAWN, &no_handle },
    { "task_ends_its_pool", IN_SPAWN, &no_handle },
    { "task_gets_what_is_there", IN_FORK | IN_SPAWN, &no_handle },
};

static struct noted_case *noted_cases;

void note_case(struct noted_case *noted)
{
    noted->next = noted_cases;
    noted_cases = noted;
}

void skip_exceptions(const char *name)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (exceptions[i].methods & 1U << method && strcmp(exceptions[i].test, name) == 0)
            SKIP("%s", *exceptions[i].why);
}

/* How many tests have this name. */
static int tests_named(const char *name)
{
    int count = 0;

    for (const struct noted_case *noted = noted_cases; noted; noted = noted->next)
        count += strcmp(noted->name, name) == 0;
    return count;
}

CASE(exceptions_are_of_tests)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (tests_named(exceptions[i].test) != 1)
            FAIL("%d tests are named %s", tests_named(exceptions[i].test), exceptions[i].test);
}

CASE(names_are_not_used_twice)
{
    for (const struct noted_case *noted = noted_cases; noted; noted = noted->next)
        if (tests_named(noted->name) != 1)
            FAIL("%d tests are named %s", tests_named(noted->name), noted->name);
}
