/* SPDX-License-Identifier: MIT */
/* What is stopped, and how. */
#include <signal.h>

#include "stop_step.h"

static void do_nothing(int number)
{
    (void)number;
    rig_signalled();
}

static void raise_it(int number)
{
    (void)number;
    rig_signalled();
    pp_raise(STOP_RAISED, "asked to end");
}

/* Times and limits are far longer than a test, or over when they begin: the length of
   nothing decides. */
static const struct stop_scenario scenarios[] = {
    /* Cancelled at once. */
    { .name = "cancel a call", .act = STOP_CANCEL, .tasks = "single call", .items = 1 },
    { .name = "cancel a string", .act = STOP_CANCEL, .tasks = "strings", .items = 1 },
    { .name = "cancel a chunk", .act = STOP_CANCEL, .tasks = "chunk", .items = 3 },
    { .name = "cancel limited blocks", .act = STOP_CANCEL, .tasks = "blocks", .items = 3,
      .limited = true },
    { .name = "cancel strings", .act = STOP_CANCEL, .tasks = "strings", .items = 3 },
    { .name = "cancel what raises", .act = STOP_CANCEL, .tasks = "raise", .items = 3,
      .limited = true },
    { .name = "cancel an endless call", .act = STOP_CANCEL, .tasks = "single call", .items = 1,
      .endless = 1 },
    { .name = "cancel an endless item", .act = STOP_CANCEL, .tasks = "void", .items = 3,
      .endless = 2 },
    { .name = "cancel what was handed back", .act = STOP_CANCEL, .tasks = "chunk", .items = 3,
      .handed_back = true, .max_items = 1, .ends_at = 3 },
    { .name = "cancel where a worker retires", .act = STOP_CANCEL, .tasks = "chunk", .items = 3,
      .max_items = 3, .ends_at = 2 },

    /* Cancelled soon. */
    { .name = "cancel a call soon", .act = STOP_SOON, .tasks = "single call", .items = 1 },
    { .name = "cancel a chunk soon", .act = STOP_SOON, .tasks = "chunk", .items = 3 },
    { .name = "cancel strings soon", .act = STOP_SOON, .tasks = "strings", .items = 3,
      .limited = true },

    /* At the time limit. */
    { .name = "limit of a call", .act = STOP_LIMIT, .tasks = "single call", .items = 1,
      .limited = true },
    { .name = "limit in a chunk", .act = STOP_LIMIT, .tasks = "chunk", .items = 3,
      .limited = true },
    { .name = "limit in blocks", .act = STOP_LIMIT, .tasks = "blocks", .items = 3,
      .limited = true },
    { .name = "limit in strings", .act = STOP_LIMIT, .tasks = "strings", .items = 3,
      .limited = true },
    { .name = "limit of what raises", .act = STOP_LIMIT, .tasks = "raise", .items = 3,
      .limited = true },
    { .name = "limit of an endless item", .act = STOP_LIMIT, .tasks = "chunk", .items = 3,
      .limited = true, .endless = 2 },
    { .name = "limit where a worker retires", .act = STOP_LIMIT, .tasks = "chunk", .items = 3,
      .limited = true, .max_items = 3, .ends_at = 2 },
    { .name = "limit on the seat of the dead", .act = STOP_LIMIT, .tasks = "chunk", .items = 3,
      .limited = true, .handed_back = true, .same_seat = true, .max_items = 1, .ends_at = 3 },
    { .name = "no limit", .act = STOP_LIMIT, .tasks = "single call", .items = 1 },

    /* With a grace period. */
    { .name = "grace, cancel a chunk", .act = STOP_CANCEL, .tasks = "chunk", .items = 3,
      .grace_ms = STOP_HOUR },
    { .name = "grace, limit in strings", .act = STOP_LIMIT, .tasks = "strings", .items = 3,
      .limited = true, .grace_ms = STOP_HOUR },
    { .name = "grace, cancel, handled", .act = STOP_CANCEL, .tasks = "strings", .items = 3,
      .grace_ms = STOP_HOUR, .on_term = do_nothing },
    { .name = "grace, cancel, limited, handled", .act = STOP_CANCEL, .tasks = "chunk",
      .items = 3, .limited = true, .grace_ms = STOP_HOUR, .on_term = do_nothing },
    { .name = "grace, limit, handled", .act = STOP_LIMIT, .tasks = "chunk", .items = 3,
      .limited = true, .grace_ms = STOP_HOUR, .on_term = do_nothing },
    { .name = "grace, cancel, ignored", .act = STOP_CANCEL, .tasks = "single call", .items = 1,
      .endless = 1, .grace_ms = 1, .on_term = do_nothing },
    { .name = "grace, limit, ignored", .act = STOP_LIMIT, .tasks = "strings", .items = 3,
      .limited = true, .endless = 2, .grace_ms = 1, .on_term = do_nothing },
    { .name = "grace, cancel, raises", .act = STOP_CANCEL, .tasks = "chunk", .items = 3,
      .grace_ms = STOP_HOUR, .on_term = raise_it, .raises = true },
    { .name = "grace, limit, raises", .act = STOP_LIMIT, .tasks = "blocks", .items = 3,
      .limited = true, .grace_ms = STOP_HOUR, .on_term = raise_it, .raises = true },
    { .name = "grace, limit of strings, raises", .act = STOP_LIMIT, .tasks = "strings",
      .items = 3, .limited = true, .grace_ms = STOP_HOUR, .on_term = raise_it,
      .raises = true },

    /* Taken back. */
    { .name = "take back a call", .act = STOP_WITHDRAW, .tasks = "single call", .items = 1 },
    { .name = "take back what was handed back", .act = STOP_WITHDRAW, .tasks = "chunk",
      .items = 3, .handed_back = true, .max_items = 1, .ends_at = 3 },
};

const struct stop_scenario *stop_scenario(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    FAIL("no scenario %s", name);
}
