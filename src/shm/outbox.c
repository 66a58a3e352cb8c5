/* SPDX-License-Identifier: MIT */
#include "shm/outbox.h"

#include "base/memory.h"
#include "shm/segment.h"

#define LAP(position) ((position) >> 48)
#define OFFSET(position) ((size_t)((position) & ((UINT64_C(1) << 48) - 1)))
#define POSITION(lap, offset) ((uint64_t)(lap) << 48 | (uint64_t)(offset))

/* A new lap begins when this much of the current one has been used and the front is free. */
#define LAP_SIZE ((size_t)4 << 20)

/* So much stays in memory when a block is allocated and nothing else is. */
#define KEEP ((size_t)64 << 20)

void ppi_outbox_init(struct ppi_outbox *outbox, char *base, size_t size)
{
    *outbox = (struct ppi_outbox){ .base = base, .size = size };
}

/* Nothing is allocated: begin at the front again. */
static void rewind_empty(struct ppi_outbox *outbox)
{
    outbox->start = outbox->end = POSITION(LAP(outbox->end) + 1, 0);
    if (outbox->highest > KEEP) {
        ppi_segment_release_pages(outbox->base + KEEP, outbox->highest - KEEP);
        outbox->highest = KEEP;
    }
}

/* Where a block of this size goes, or UINT64_MAX. */
static uint64_t find_room(const struct ppi_outbox *outbox, size_t size)
{
    size_t start = OFFSET(outbox->start), end = OFFSET(outbox->end);

    if (LAP(outbox->start) != LAP(outbox->end)) /* the end has lapped the start */
        return size <= start - end ? outbox->end : UINT64_MAX;
    if (size <= start && end + size > LAP_SIZE)
        return POSITION(LAP(outbox->end) + 1, 0);
    if (size <= outbox->size - end)
        return outbox->end;
    return size <= start ? POSITION(LAP(outbox->end) + 1, 0) : UINT64_MAX;
}

/* Pages up to here are going to be used. */
static void reach(struct ppi_outbox *outbox, size_t end)
{
    if (end <= outbox->highest)
        return;
    if (end - outbox->highest >= PPI_LARGE)
        ppi_prefer_huge_pages(outbox->base + outbox->highest, end - outbox->highest);
    outbox->highest = end;
}

void *ppi_outbox_alloc(struct ppi_outbox *outbox, size_t size)
{
    uint64_t position;

    if (size > outbox->size)
        return NULL;
    size = ppi_round_up(size ? size : 1, PPI_OUTBOX_ALIGN);
    if (ppi_outbox_empty(outbox) && OFFSET(outbox->end) > 0)
        rewind_empty(outbox);
    position = find_room(outbox, size);
    if (position == UINT64_MAX)
        return NULL;
    if (LAP(position) != LAP(outbox->end))
        outbox->lap_end = OFFSET(outbox->end);
    outbox->end = position + size;
    reach(outbox, OFFSET(outbox->end));
    return outbox->base + OFFSET(position);
}

void ppi_outbox_trim(struct ppi_outbox *outbox, const void *block, size_t size)
{
    size_t end = (size_t)((const char *)block - outbox->base) +
                 ppi_round_up(size ? size : 1, PPI_OUTBOX_ALIGN);

    outbox->end = POSITION(LAP(outbox->end), end);
}

void ppi_outbox_release(struct ppi_outbox *outbox, uint64_t mark)
{
    outbox->start = mark;
    /* The older lap is over: all that lives lies at the front. */
    if (LAP(mark) != LAP(outbox->end) && OFFSET(mark) == outbox->lap_end)
        outbox->start = POSITION(LAP(outbox->end), 0);
}

bool ppi_outbox_valid(const struct ppi_outbox *outbox)
{
    size_t start = OFFSET(outbox->start), end = OFFSET(outbox->end);

    if (start > outbox->size || end > outbox->size)
        return false;
    if (LAP(outbox->start) == LAP(outbox->end))
        return start <= end;
    return (uint16_t)(LAP(outbox->start) + 1) == LAP(outbox->end) && end <= start;
}
