/* SPDX-License-Identifier: MIT */
/* What the hostile worker writes: noise, and what could be true but is not. */
#include <string.h>

#include "rig.h"

static struct input *in;
static input_byte *next;

static unsigned below(unsigned n)
{
    return next(in) % n;
}

static uint64_t word(void)
{
    return input_word(in, next);
}

/* Of positions: those that were given out, their likes of other generations, and noise. */
static uint64_t position(void)
{
    uint64_t tail = rig.pool->tail;
    uint64_t p = tail > 0 ? tail - 1 - next(in) % (tail < 64 ? tail : 64) : 0;

    switch (below(12)) {
    case 0:
        return p + (UINT64_C(1) << 44); /* has the same claim word */
    case 1:
        return p + PPI_WINDOW;
    case 2:
        return p - PPI_WINDOW;
    case 3:
        return tail + below(4);
    case 4:
        return PPI_NO_POSITION - below(2);
    case 5:
        return word();
    default:
        return p;
    }
}

/* Of items, counts and small numbers. */
static uint64_t number(void)
{
    switch (below(8)) {
    case 0:
        return word();
    case 1:
        return UINT64_MAX - below(16);
    case 2:
        return (UINT64_C(1) << below(64)) - below(3);
    default:
        return below(20);
    }
}

/* Of places in the outbox and, of what lies among arguments, in the segment. */
static uint64_t offset(void)
{
    const struct ppi_queue *queue = rig.pool->queue;

    switch (below(6)) {
    case 0:
        return queue->outbox_size - below(64);
    case 1:
        return word();
    case 2:
        return ppi_queue_slot(queue, position())->args + below(96);
    case 3:
        return (uint64_t)(queue->arena - queue->segment.base) + next(in) * 16;
    default:
        return next(in) * 16;
    }
}

static uint64_t any(void)
{
    switch (below(4)) {
    case 0:
        return position();
    case 1:
        return offset();
    default:
        return number();
    }
}

/* ---- The seat ---- */

static void change_record(struct ppi_record_shm *record)
{
    switch (below(10)) {
    case 0:
        record->position = position();
        break;
    case 1:
        record->first = number();
        break;
    case 2:
        record->count = number();
        break;
    case 3:
        record->payload = offset();
        break;
    case 4:
        record->payload_size = below(2) ? offset() : number();
        break;
    case 5:
        record->code = (int32_t)word();
        break;
    case 6:
        record->seat = (uint16_t)(below(2) ? below(RIG_SEATS) : word());
        break;
    case 7:
        record->outcome = (uint8_t)below(12);
        break;
    case 8:
        record->flags = (uint8_t)below(128);
        break;
    default:
        memset(record->value, (int)below(256), sizeof record->value);
    }
}

/* A record as it could be: of any task that is in flight, whoever has it. */
static void forge_record(struct ppi_record_shm *record)
{
    uint64_t at = position();
    const struct ppi_slot_shm *slot = ppi_queue_slot(rig.pool->queue, at);
    bool in_place = slot->out && slot->result_kind == PP_VALUE_;

    *record = (struct ppi_record_shm){
        .position = at,
        .first = slot->begin,
        .count = slot->result_kind == PP_VALUE_ ? slot->end - slot->begin : 1,
        .payload = next(in) * 16,
        .payload_size = slot->result_size,
        .outcome = (uint8_t)(below(3) ? PPI_OK : 1 + below(8)),
        .flags = (uint8_t)(PPI_LAST | (in_place ? PPI_IN_PLACE : 0)),
    };
    if (slot->result_kind == PP_VALUE_)
        record->payload_size = record->count * slot->result_size;
    if (record->flags & PPI_IN_PLACE)
        record->payload_size = 0;
    if (record->outcome != PPI_OK)
        record->count = 1;
    if (slot->result_kind != PP_VALUE_ && record->outcome == PPI_OK) {
        record->payload_size = 1 + next(in);
        if (below(2)) {
            record->flags |= PPI_IN_ARGS;
            record->payload = slot->args + below(32);
        }
    }
    if (below(3) == 0)
        change_record(record);
}

static void change_tail(struct ppi_seat_shm *seat, unsigned index)
{
    uint64_t tail = atomic_load(&seat->tail);

    switch (below(6)) {
    case 0:
        tail = word();
        break;
    case 1:
        tail = rig.pool->taken[index] + below(4) * (PPI_RECORDS / 2);
        break;
    case 2:
        tail -= 1 + below(4);
        break;
    default:
        tail += 1 + below(2);
    }
    atomic_store(&seat->tail, tail);
}

static void change_progress(struct ppi_seat_shm *seat)
{
    switch (below(8)) {
    case 0:
        atomic_store(&seat->intent, position());
        break;
    case 1:
        atomic_store(&seat->runs, position());
        break;
    case 2:
        atomic_store(&seat->item, number());
        break;
    case 3:
        atomic_store(&seat->run_first, number());
        break;
    case 4:
        atomic_store(&seat->outbox_at, offset());
        break;
    case 5:
        atomic_store(&seat->started, below(2) ? ppi_now_ns() - word() % PPI_SECOND : word());
        break;
    case 6: { /* it claims to be at something, consistently */
        uint64_t at = position();

        atomic_store(&seat->intent, at);
        atomic_store(&seat->runs, at);
        atomic_store(&seat->item, below(12));
        break;
    }
    default:
        atomic_store(&seat->survived, (uint32_t)word());
    }
}

static void change_life(struct ppi_seat_shm *seat)
{
    switch (below(8)) {
    case 0:
        atomic_store(&seat->incarnation, (uint32_t)(below(3) ? below(4) : word()));
        break;
    case 1:
        atomic_store(&seat->state, (uint32_t)(below(4) ? below(7) : word()));
        break;
    case 2:
        atomic_store(&seat->cpu, (uint32_t)word());
        break;
    case 3:
        seat->code = (int32_t)word();
        break;
    case 4:
        atomic_store(&seat->wants_room, (uint32_t)below(3));
        break;
    case 5:
        memset(seat->message, (int)below(256), sizeof seat->message);
        break;
    case 6:
        atomic_store(&seat->crashed, (uint32_t)below(4));
        break;
    default:
        seat->crash.signal = (int32_t)below(32);
        seat->crash.code = (int32_t)number();
        seat->crash.overflow = below(3);
        seat->crash.count = (uint32_t)number();
        seat->crash.stack_size = number();
        memset(seat->crash.words, (int)below(256), sizeof seat->crash.words);
    }
}

static void change_counts(struct ppi_seat_shm *seat)
{
    _Atomic uint64_t *all[] = { &seat->tasks, &seat->items, &seat->counted, &seat->waiting,
                                &seat->ready_at };

    atomic_store(all[below(5)], any());
}

static void change_seat(unsigned index)
{
    const struct ppi_queue *queue = rig.pool->queue;
    struct ppi_seat_shm *seat = ppi_queue_seat(queue, index);
    uint64_t tail = atomic_load(&seat->tail);

    switch (below(12)) {
    case 0:
        change_tail(seat, index);
        break;
    case 1:
    case 2:
        change_record(&seat->records[(tail - 1 - below(3)) % PPI_RECORDS]);
        break;
    case 3:
    case 4:
        forge_record(&seat->records[tail % PPI_RECORDS]);
        atomic_store(&seat->tail, tail + 1);
        break;
    case 5:
        forge_record(&seat->records[(tail - 1) % PPI_RECORDS]);
        break;
    case 6:
    case 7:
        change_progress(seat);
        break;
    case 8:
        change_life(seat);
        break;
    case 9:
        change_counts(seat);
        break;
    case 10:
        memset(ppi_queue_outbox(queue, index) + next(in) * 16, (int)below(256), 256);
        break;
    default: /* anywhere in front of the crash report */
        ((uint64_t *)(void *)seat)[word() % (offsetof(struct ppi_seat_shm, crash) / 8)] = any();
    }
}

/* ---- The claims ---- */

static uint64_t claim_word(uint64_t at)
{
    if (below(4) == 0)
        return below(2) ? word() : 0;
    if (below(6) == 0)
        at = position();
    return ppi_claim_word(at, (enum ppi_claim_state)below(6),
                          below(4) ? below(RIG_SEATS) : (unsigned)word());
}

static void change_waiters(struct ppi_claims_shm *claims)
{
    _Atomic uint32_t *all[] = { &claims->bell, &claims->waking, &claims->client_bell,
                                &claims->client_waits, &claims->event_waits,
                                &claims->service_bell, &claims->service_waits };

    switch (below(3)) {
    case 0:
        atomic_store(all[below(7)], (uint32_t)number());
        break;
    case 1:
        atomic_store(&claims->sleepers[below(2) ? 0 : below(PPI_MAX_SEATS / 64)], any());
        break;
    default:
        atomic_store(&claims->nappers[below(2) ? 0 : below(PPI_MAX_SEATS / 64)], any());
    }
}

static void change_claims(void)
{
    struct ppi_claims_shm *claims = rig.pool->queue->claims;
    uint64_t at = position();

    switch (below(6)) {
    case 0:
        atomic_store(&claims->head, below(2) ? position() : number());
        break;
    case 1:
        change_waiters(claims);
        break;
    case 2:
        atomic_store(&claims->words[next(in) % PPI_WINDOW], any());
        break;
    default:
        atomic_store(&claims->words[at % PPI_WINDOW], claim_word(at));
    }
}

void rig_mischief(input_byte *from)
{
    in = rig.input;
    next = from;
    if (rig.hostile < 0 || rig.silent)
        return;
    if (rig.powers.claims && (!rig.powers.seat || below(2)))
        change_claims();
    else
        change_seat((unsigned)rig.hostile);
}
