/* SPDX-License-Identifier: MIT */
/*
 * src/queue/seat.c with a commit in the wrong order: first that there is a record,
 * then the record.  A program that is linked with this gets it instead of the
 * library's.
 */
#define ppi_seat_commit commit_in_order
#include "queue/seat.c"
#undef ppi_seat_commit

void ppi_seat_commit(struct ppi_seat *seat, const struct ppi_record_shm *record,
                     uint64_t mark);

void ppi_seat_commit(struct ppi_seat *seat, const struct ppi_record_shm *record, uint64_t mark)
{
    uint64_t place = seat->tail++ % PPI_RECORDS;

    atomic_store(&seat->shm->tail, seat->tail);
    seat->marks[place] = mark;
    seat->shm->records[place] = *record;
    ppi_wake_client(seat->queue);
}
