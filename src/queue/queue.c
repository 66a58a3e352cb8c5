/* SPDX-License-Identifier: MIT */
#include "queue/queue.h"

#include <errno.h>

/* Where a seat's outbox begins, or the arena in the queue part. */
#define AFTER(type) ppi_round_up(sizeof(type), 65536)

int ppi_queue_create(struct ppi_queue *queue, unsigned seats, size_t arena_size,
                     size_t outbox_size, size_t shared_size)
{
    size_t seat_size = AFTER(struct ppi_seat_shm) + outbox_size;
    const size_t length[PPI_PARTS] = {
        [PPI_QUEUE] = AFTER(struct ppi_queue_shm) + arena_size,
        [PPI_CLAIMS] = sizeof(struct ppi_claims_shm),
        [PPI_CONTROL] = sizeof(struct ppi_control_shm),
        [PPI_SEATS] = seats * seat_size,
        [PPI_SHARED] = shared_size,
    };
    int error = ppi_segment_create(&queue->segment, length, seat_size);

    if (error)
        return error;
    queue->shm = (void *)ppi_segment_part(&queue->segment, PPI_QUEUE);
    queue->claims = (void *)ppi_segment_part(&queue->segment, PPI_CLAIMS);
    queue->control = (void *)ppi_segment_part(&queue->segment, PPI_CONTROL);
    queue->arena = (char *)queue->shm + AFTER(struct ppi_queue_shm);
    queue->arena_size = arena_size;
    queue->outbox_size = outbox_size;
    queue->shared = ppi_segment_part(&queue->segment, PPI_SHARED);
    queue->shared_size = shared_size;
    queue->seats = seats;
    queue->futex = &ppi_futex;
    queue->shm->magic = PPI_MAGIC;
    queue->shm->layout = PPI_LAYOUT;
    queue->shm->seats = seats;
    return 0;
}

void ppi_queue_leave(struct ppi_queue *queue)
{
    ppi_segment_leave(&queue->segment);
}

void ppi_queue_destroy(struct ppi_queue *queue)
{
    ppi_segment_destroy(&queue->segment);
}

int ppi_queue_check(const struct ppi_queue *queue)
{
    return queue->shm->magic == PPI_MAGIC && queue->shm->layout == PPI_LAYOUT &&
                   queue->shm->seats == queue->seats
               ? 0
               : -EINVAL;
}

struct ppi_seat_shm *ppi_queue_seat(const struct ppi_queue *queue, unsigned seat)
{
    return (void *)(ppi_segment_part(&queue->segment, PPI_SEATS) +
                    seat * queue->segment.seat_size);
}

char *ppi_queue_outbox(const struct ppi_queue *queue, unsigned seat)
{
    return (char *)ppi_queue_seat(queue, seat) + AFTER(struct ppi_seat_shm);
}
