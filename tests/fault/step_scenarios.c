/* SPDX-License-Identifier: MIT */
/* The tasks that are stepped through. */
#include <procpool.h>
#include <stdio.h>
#include <unistd.h>

#include "step.h"

static long value_of(long item)
{
    return 1000 + 7 * item;
}

/* Fits into the record: it counts as done when that is committed. */
static long number(long item)
{
    rig_called(item);
    return value_of(item);
}
PP_TASK(long, number, long, item);

static bool right_number(const struct rig_outcome *outcome, unsigned item)
{
    return outcome->kind == PPI_OK && outcome->size == sizeof(long) &&
           outcome->value.number == value_of(item);
}

struct block {
    long numbers[6];
};

static struct block block(long item)
{
    struct block block;

    rig_called(item);
    for (int i = 0; i < 6; i++)
        block.numbers[i] = value_of(item) + i;
    return block;
}
PP_TASK(struct block, block, long, item);

static bool right_block(const struct rig_outcome *outcome, unsigned item)
{
    struct block block;

    if (outcome->kind != PPI_OK || outcome->size != sizeof block)
        return false;
    memcpy(&block, &outcome->value, sizeof block);
    for (int i = 0; i < 6; i++)
        if (block.numbers[i] != value_of(item) + i)
            return false;
    return true;
}

static void nothing(long item)
{
    rig_called(item);
}
PP_TASK(void, nothing, long, item);

static bool right_nothing(const struct rig_outcome *outcome, unsigned item)
{
    (void)item;
    return outcome->kind == PPI_OK && outcome->size == 0;
}

/* Some fit into the record, others do not, and one is NULL. */
static const char *const texts[] = { "in the record", "far too long to go into the record",
                                     NULL, "" };

static const char *text(long item)
{
    rig_called(item);
    return texts[item % 4];
}
PP_TASK(const char *, text, long, item);

static bool right_text(const struct rig_outcome *outcome, unsigned item)
{
    const char *wanted = texts[item % 4];

    if (outcome->kind != PPI_OK || outcome->is_null != !wanted)
        return false;
    return !wanted ||
           (outcome->size == strlen(wanted) + 1 && strcmp(outcome->value.text, wanted) == 0);
}

/* Item 1 raises. */
static long raising(long item)
{
    rig_called(item);
    if (item == 1)
        pp_raise(77, "%s", "not this one, for it is odd");
    return value_of(item);
}
PP_TASK(long, raising, long, item);

static bool right_raising(const struct rig_outcome *outcome, unsigned item)
{
    if (item != 1)
        return right_number(outcome, item);
    return outcome->kind == PPI_RAISE && outcome->code == 77 &&
           strcmp(outcome->value.text, "not this one, for it is odd") == 0;
}

#define ITEM(i) (RIG_ITEM + (enum rig_mark)(i))

static const struct step_scenario scenarios[] = {
    { .name = "single call", .task = &number_pp_task, .items = 1, .right = right_number,
      .marks = { RIG_READY, ITEM(0), RIG_NEVER } },
    { .name = "chunk", .task = &number_pp_task, .items = 3, .right = right_number,
      .marks = { RIG_READY, ITEM(0), ITEM(1), ITEM(2), RIG_NEVER } },
    { .name = "blocks", .task = &block_pp_task, .items = 2, .right = right_block,
      .marks = { RIG_READY, ITEM(0), ITEM(1), RIG_NEVER } },
    { .name = "in place", .task = &block_pp_task, .items = 2, .right = right_block,
      .in_place = true, .marks = { RIG_READY, ITEM(0), ITEM(1), RIG_NEVER } },
    { .name = "raise in place", .task = &raising_pp_task, .items = 3, .in_place = true,
      .right = right_raising,
      .marks = { RIG_READY, ITEM(0), ITEM(1), ITEM(2), RIG_NEVER } },
    { .name = "retiring in place", .task = &number_pp_task, .items = 3, .in_place = true,
      .right = right_number, .max_items = 2,
      .marks = { RIG_READY, ITEM(0), ITEM(1), RIG_NEVER } },
    { .name = "void", .task = &nothing_pp_task, .items = 2, .right = right_nothing,
      .marks = { RIG_READY, ITEM(0), ITEM(1), RIG_NEVER } },
    { .name = "strings", .task = &text_pp_task, .items = 4, .right = right_text,
      .marks = { RIG_READY, ITEM(0), ITEM(1), ITEM(2), ITEM(3), RIG_NEVER } },
    { .name = "raise", .task = &raising_pp_task, .items = 3, .right = right_raising,
      .marks = { RIG_READY, ITEM(0), ITEM(1), ITEM(2), RIG_NEVER } },
    { .name = "handed back", .task = &number_pp_task, .items = 4, .right = right_number,
      .handed_back = true, .max_items = 2,
      .marks = { RIG_READY, ITEM(2), ITEM(3), RIG_NEVER } },
    { .name = "retiring", .task = &number_pp_task, .items = 3, .right = right_number,
      .max_items = 2, .marks = { RIG_READY, ITEM(0), ITEM(1), RIG_NEVER } },
    { .name = "woken", .task = &number_pp_task, .items = 1, .right = right_number,
      .woken = true, .marks = { RIG_WOKEN, ITEM(0), RIG_NEVER } },
    { .name = "second task", .task = &number_pp_task, .items = 3, .right = right_number,
      .worked_before = true, .woken = true,
      .marks = { RIG_WOKEN, ITEM(0), ITEM(1), ITEM(2), RIG_NEVER } },
    { .name = "start", .task = &number_pp_task, .items = 4, .right = right_number,
      .handed_back = true, .same_seat = true, .marks = { RIG_START, RIG_READY } },
};

const struct step_scenario *step_scenario(const char *name)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        if (strcmp(scenarios[i].name, name) == 0)
            return &scenarios[i];
    FAIL("no scenario %s", name);
}
