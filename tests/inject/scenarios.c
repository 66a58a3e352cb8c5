/* SPDX-License-Identifier: MIT */
#include "scenarios.h"

#include <string.h>

#include "inject.h"

const struct scenario scenarios[] = {
    { "calls", run_calls, 0, false },
    { "map", run_map, 0, false },
    { "shared", run_shared, 0, false },
    { "strings", run_strings, 0, false },
    { "full", run_full, 0, false },
    { "backlog", run_backlog, 0, false },
    { "imap", run_imap, 0, false },
    { "imap_unordered", run_imap_unordered, 0, false },
    { "followers", run_followers, 0, false },
    { "callbacks", run_callbacks, 0, false },
    { "poll", run_poll, 0, false },
    { "search", run_search, 0, true },
    { "crash", run_crash, 0, false },
    { "retries", run_retries, 0, false },
    { "report", run_report, 0, false },
    { "told", run_told, 0, false },
    { "raise", run_raise, 0, false },
    { "nonsense", run_nonsense, 0, false },
    { "damage", run_damage, 0, false },
    { "owed", run_owed, 0, false },
    { "spare", run_spare, 0.03, false },
    { "broken", run_broken, 0, false },
    { "no_start", run_no_start, 0, false },
    { "limit", run_limit, 0.004, false },
    { "grace", run_grace, 0.004, false },
    { "cancel", run_cancel, 0, false },
    { "soon", run_soon, 0.002, false },
    { "retire", run_retire, 0, false },
    { "overdue", run_overdue, 0.004, false },
    { "resize", run_resize, 0, false },
    { "terminate", run_terminate, 0, false },
    { "free", run_free, 0, false },
    { NULL, NULL, 0, false },
};

const struct scenario *scenario_named(const char *name)
{
    for (const struct scenario *scenario = scenarios; scenario->name; scenario++)
        if (strcmp(scenario->name, name) == 0)
            return scenario;
    return NULL;
}
