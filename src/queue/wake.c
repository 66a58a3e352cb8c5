/* SPDX-License-Identifier: MIT */
#include "queue/wake.h"
#include "base/point.h"

#include <errno.h>
#include <linux/futex.h>
#include <signal.h>

static _Atomic uint64_t *sleepers_of(struct ppi_queue *queue, unsigned seat)
{
    return &queue->claims->sleepers[seat / 64];
}

/* After an atomic change: where that is a fence itself, another would cost as much again. */
static void fence_after_change(void)
{
#if defined(__x86_64__) || defined(__i386__)
    atomic_signal_fence(memory_order_seq_cst);
#else
    atomic_thread_fence(memory_order_seq_cst);
#endif
}

bool ppi_anybody_sleeps(const struct ppi_queue *queue)
{
    uint64_t sleepers = 0;

    for (unsigned i = 0; i < (queue->seats + 63) / 64; i++)
        sleepers |= atomic_load_explicit(&queue->claims->sleepers[i], memory_order_relaxed);
    return sleepers != 0;
}

void ppi_ring(struct ppi_queue *queue)
{
    struct ppi_claims_shm *claims = queue->claims;
    uint32_t nobody = PPI_NOBODY;

    /* Partners: the fences in ppi_sleep() and ppi_clear_waking(). */
    atomic_thread_fence(memory_order_seq_cst);
    if (!ppi_anybody_sleeps(queue) ||
        atomic_load_explicit(&claims->waking, memory_order_relaxed) != PPI_NOBODY ||
        !atomic_compare_exchange_strong(&claims->waking, &nobody, PPI_WOKEN))
        return;
    PPI_POINT(RING_DUE);
    /* If nobody sleeps yet, who is about to finds the bell changed.  And it clears
       waking itself: done here, that could hide a task from it (the model's variant
       RINGER_RESETS). */
    atomic_fetch_add(&claims->bell, 1);
    PPI_POINT(RING_RUNG);
    queue->futex->wake(&claims->bell, 1);
}

void ppi_pass_on(struct ppi_claimer *claimer)
{
    if (ppi_anybody_sleeps(claimer->queue) && ppi_claimable(claimer))
        ppi_ring(claimer->queue);
}

void ppi_clear_waking(struct ppi_queue *queue, uint32_t mine)
{
    uint32_t seen = mine;

    atomic_compare_exchange_strong(&queue->claims->waking, &seen, PPI_NOBODY);
    fence_after_change(); /* partner: the fence in ppi_ring() */
}

bool ppi_told_to_end(const struct ppi_queue *queue)
{
    return atomic_load_explicit(&queue->shm->command, memory_order_acquire) >= PPI_FINISH;
}

bool ppi_told_to_stop(const struct ppi_queue *queue)
{
    return atomic_load_explicit(&queue->shm->command, memory_order_acquire) == PPI_TERMINATE;
}

bool ppi_is_dismissed(const struct ppi_claimer *claimer)
{
    return atomic_load_explicit(&claimer->queue->control->seats[claimer->index].dismissed,
                                memory_order_relaxed);
}

void ppi_sleep(struct ppi_claimer *claimer)
{
    struct ppi_queue *queue = claimer->queue;
    struct ppi_claims_shm *claims = queue->claims;
    uint64_t bit = UINT64_C(1) << claimer->index % 64;
    uint32_t bell = atomic_load_explicit(&claims->bell, memory_order_acquire);

    atomic_fetch_or(sleepers_of(queue, claimer->index), bit);
    PPI_POINT(WORKER_ANNOUNCED);
    /* Who has left the waking to another may have left it to us.  Fences, for ppi_wake_all(). */
    ppi_clear_waking(queue, PPI_WOKEN);
    PPI_POINT(WORKER_LOOKS_AGAIN);
    if (!ppi_claimable(claimer) && !ppi_told_to_end(queue) && !ppi_is_dismissed(claimer)) {
        ppi_wake_service(queue); /* there may be more in the backlog */
        PPI_POINT(WORKER_SLEEPS);
        queue->futex->wait(&claims->bell, bell, UINT64_MAX);
        PPI_POINT(WORKER_WOKEN);
        atomic_fetch_and(sleepers_of(queue, claimer->index), ~bit);
        PPI_POINT(WORKER_AWAKE);
        ppi_clear_waking(queue, PPI_WOKEN); /* it has arrived */
        return;
    }
    atomic_fetch_and(sleepers_of(queue, claimer->index), ~bit);
}

/* After a fence, wakes who has announced its sleep with this flag. */
static void wake(struct ppi_queue *queue, _Atomic uint32_t *flag, _Atomic uint32_t *bell)
{
    if (!atomic_load_explicit(flag, memory_order_relaxed) || !atomic_exchange(flag, 0))
        return;
    PPI_POINT(WAKE_DUE);
    atomic_fetch_add(bell, 1);
    PPI_POINT(WAKE_RUNG);
    queue->futex->wake(bell, PPI_ALL);
}

void ppi_ring_event(struct ppi_queue *queue)
{
    _Atomic uint32_t *waits = &queue->claims->event_waits;

    if (queue->event.writer < 0 || !atomic_load_explicit(waits, memory_order_relaxed) ||
        !atomic_exchange(waits, 0) || queue->futex->signal(&queue->event))
        return;
    PPI_POINT(EVENT_OWED);
    atomic_store(waits, PPI_EVENT_OWED);
    ppi_alarm(queue);
}

void ppi_ring_owed_event(struct ppi_queue *queue)
{
    if (atomic_load_explicit(&queue->claims->event_waits, memory_order_acquire) == PPI_EVENT_OWED)
        ppi_ring_event(queue);
}

void ppi_wake_client(struct ppi_queue *queue)
{
    atomic_thread_fence(memory_order_seq_cst); /* partners: announce(), ppi_event_announce() */
    ppi_wake_client_fenced(queue);
}

void ppi_wake_client_fenced(struct ppi_queue *queue)
{
    wake(queue, &queue->claims->client_waits, &queue->claims->client_bell);
    ppi_ring_event(queue);
}

void ppi_tell_client_fenced(struct ppi_queue *queue, uint64_t position)
{
    /* Acquire: the client stores what it wants before it says so. */
    if (atomic_load_explicit(&queue->claims->client_waits, memory_order_acquire) == PPI_ONE &&
        atomic_load_explicit(&queue->shm->wanted, memory_order_relaxed) != position)
        ppi_ring_event(queue);
    else
        ppi_wake_client_fenced(queue);
}

void ppi_wake_service(struct ppi_queue *queue)
{
    atomic_thread_fence(memory_order_seq_cst); /* partner: announce() */
    wake(queue, &queue->claims->service_waits, &queue->claims->service_bell);
}

void ppi_rouse_service(struct ppi_queue *queue)
{
    atomic_store(&queue->claims->service_waits, 0);
    atomic_fetch_add(&queue->claims->service_bell, 1);
    queue->futex->wake(&queue->claims->service_bell, PPI_ALL);
}

void ppi_wake_leader(struct ppi_queue *queue)
{
    atomic_fetch_add(&queue->claims->client_bell, 1);
    queue->futex->wake(&queue->claims->client_bell, PPI_ALL);
}

void ppi_wake_all(struct ppi_queue *queue)
{
    struct ppi_claims_shm *claims = queue->claims;

    atomic_store(&claims->waking, PPI_NOBODY);
    PPI_POINT(WAKE_ALL_BEGUN);
    atomic_fetch_add(&claims->bell, 1);
    queue->futex->wake(&claims->bell, PPI_ALL);
    atomic_store(&claims->client_waits, 0);
    PPI_POINT(WAKE_ALL_CLIENT);
    ppi_wake_leader(queue);
    PPI_POINT(WAKE_ALL_SERVICE);
    ppi_rouse_service(queue);
    PPI_POINT(WAKE_ALL_EVENT);
    /* Also when the flag is not set: the dead may have taken it, and not signalled. */
    atomic_store(&claims->event_waits, 0);
    if (queue->event.writer >= 0)
        queue->futex->signal(&queue->event);
}

void ppi_wake_to_end(struct ppi_queue *queue, int count)
{
    atomic_fetch_add(&queue->claims->bell, 1);
    queue->futex->wake(&queue->claims->bell, count);
}

void ppi_forget_sleeper(struct ppi_queue *queue, unsigned seat)
{
    atomic_fetch_and(sleepers_of(queue, seat), ~(UINT64_C(1) << seat % 64));
    atomic_fetch_and(&queue->claims->nappers[seat / 64], ~(UINT64_C(1) << seat % 64));
}

/* The bell's value, from before the flag was set.  Partners: those who call wake(). */
static uint32_t announce(_Atomic uint32_t *flag, uint32_t what, const _Atomic uint32_t *bell)
{
    uint32_t value = atomic_load_explicit(bell, memory_order_acquire);

    atomic_store(flag, what);
    atomic_thread_fence(memory_order_seq_cst);
    return value;
}

void ppi_hint(struct ppi_queue *queue)
{
    atomic_fetch_add(&queue->shm->hints, 1);
    PPI_POINT(CLIENT_HINTS);
    queue->futex->signal(&queue->poke);
}

/* Sleeps while the bell has this value and the supervisor lives. */
static int sleep_on(struct ppi_queue *queue, const _Atomic uint32_t *bell, uint32_t value,
                    uint64_t deadline_ns)
{
    uint32_t life = atomic_load_explicit(&queue->control->life, memory_order_acquire);
    int error;

    if (life & FUTEX_OWNER_DIED)
        return -EAGAIN;
    error = queue->futex->wait_either(bell, value, &queue->control->life, life,
                                      &queue->control->dying, deadline_ns);
    if (error != PPI_HINTED)
        return error;
    ppi_hint(queue);
    return 0;
}

uint32_t ppi_client_announce(struct ppi_queue *queue, uint64_t wanted)
{
    uint32_t what = wanted == PPI_ANYTHING ? PPI_ANY : PPI_ONE;

    atomic_store(&queue->shm->wanted, wanted);
    PPI_POINT(CLIENT_WANTS);
    return announce(&queue->claims->client_waits, what, &queue->claims->client_bell);
}

int ppi_client_sleep(struct ppi_queue *queue, uint32_t bell, uint64_t deadline_ns)
{
    return sleep_on(queue, &queue->claims->client_bell, bell, deadline_ns);
}

void ppi_event_announce(struct ppi_queue *queue)
{
    /* A signal that is still on its way makes for one look in vain. */
    ppi_waker_clear(&queue->event);
    atomic_store(&queue->claims->event_waits, 1);
    PPI_POINT(CLIENT_EVENT_ANNOUNCED);
    atomic_thread_fence(memory_order_seq_cst); /* partner: the fence in ppi_wake_client() */
}

uint32_t ppi_service_announce(struct ppi_queue *queue)
{
    return announce(&queue->claims->service_waits, 1, &queue->claims->service_bell);
}

uint32_t ppi_service_bell(const struct ppi_queue *queue)
{
    /* Partner: ppi_rouse_service(): what was recorded before that is seen by a look from now on. */
    return atomic_load_explicit(&queue->claims->service_bell, memory_order_acquire);
}

void ppi_service_doze(struct ppi_queue *queue, uint32_t bell)
{
    sleep_on(queue, &queue->claims->service_bell, bell, UINT64_MAX);
}

void ppi_alarm(const struct ppi_queue *queue)
{
    if (!queue->futex->signal(&queue->poke) && queue->supervisor > 0)
        kill(queue->supervisor, SIGCHLD); /* its ppoll() ends by that */
}

bool ppi_supervisor_died(const struct ppi_queue *queue)
{
    return atomic_load_explicit(&queue->control->life, memory_order_acquire) &
           FUTEX_OWNER_DIED;
}
