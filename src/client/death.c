/* SPDX-License-Identifier: MIT */
/*
 * Telling of deaths.
 *
 * The supervisor records each death after what became of the worker's item; the client
 * takes that in, counts it, and, if somebody wants to know, keeps a notice until it can be
 * told where callbacks run.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/point.h"
#include "client/client.h"

struct notice {
    struct ppi_link link; /* in pool->deaths */
    size_t after;         /* told when so many results have left the list of those that are due */
    pp_death death;
    char message[PPI_MESSAGE_SIZE];
};

static struct notice *first_of(const pp_pool *pool)
{
    return PPI_FIRST(&pool->deaths, struct notice, link);
}

/* ---- What is known of a death ---- */

void ppi_note_dying(pp_result *result, size_t item, const char *text)
{
    struct ppi_dying *dying = result->pool->dying;

    if (!dying)
        return;
    dying->function = result->task->name;
    dying->index = item + (result->is_chunk ? ppi_chunk_of(result)->first_index : 0);
    snprintf(dying->message, sizeof dying->message, "%s", text);
}

/* What the dead worker has said itself of how its initializer or finalizer failed, or NULL. */
static const struct ppi_seat_shm *own_words(const pp_pool *pool,
                                            const struct ppi_record_shm *record)
{
    const struct ppi_seat_shm *seat = ppi_queue_seat(pool->queue, record->seat);
    uint32_t state;

    if (atomic_load_explicit(&seat->incarnation, memory_order_acquire) != record->position)
        return NULL;
    state = atomic_load_explicit(&seat->state, memory_order_acquire);
    return state == PPI_SEAT_FAILED || state == PPI_SEAT_RAISED ? seat : NULL;
}

/* A line for a death that cost no item. */
static void describe(pp_pool *pool, const struct ppi_record_shm *record, pp_cause cause,
                     char *text)
{
    static const char *const who[] = {
        [PP_DIED_IN_TASK] = "a worker",
        [PP_DIED_AT_LIMIT] = "a worker, at a time limit,",
        [PP_DIED_CANCELLED] = "a worker, of a cancelled task,",
        [PP_DIED_IDLE] = "an idle worker",
        [PP_DIED_IN_INITIALIZER] = "a worker's initializer",
        [PP_DIED_IN_FINALIZER] = "a worker's finalizer",
    };
    const struct ppi_outermost outermost = { 0, NULL };
    char how[PPI_HOW_SIZE];
    pp_error error = { 0 };

    if (record->flags & PPI_OVERDUE)
        snprintf(how, sizeof how, "ran longer than its limit of %g s",
                 (double)pool->heritage.finalizer_ns / 1e9);
    else
        ppi_describe_death(pool, record->seat, record->code, &outermost, &error, how,
                           sizeof how);
    snprintf(text, PPI_MESSAGE_SIZE, "%s %s", who[cause], how);
}

static pp_death describe_death(pp_pool *pool, const struct ppi_record_shm *record,
                               char *message)
{
    const struct ppi_control_seat_shm *shown = &pool->queue->control->seats[record->seat];
    const struct ppi_seat_shm *seat = own_words(pool, record);
    const struct ppi_dying *dying = pool->dying;
    pp_death death = {
        .size = sizeof death,
        .cause = (pp_cause)record->value[0],
        .worker = (int)atomic_load_explicit(&shown->id, memory_order_relaxed),
        .incarnation = (int)atomic_load_explicit(&shown->life, memory_order_relaxed),
        .pid = (pid_t)record->payload,
        .signal = WIFSIGNALED(record->code) ? WTERMSIG(record->code) : 0,
        .status = WIFEXITED(record->code) ? WEXITSTATUS(record->code) : 0,
        .code = seat ? seat->code : 0,
        .function = dying->function,
        .index = dying->function ? dying->index : 0,
        .message = message,
    };

    if (dying->function)
        memcpy(message, dying->message, PPI_MESSAGE_SIZE);
    else if (seat)
        snprintf(message, PPI_MESSAGE_SIZE, "%.*s", PPI_MESSAGE_SIZE - 1, seat->message);
    else
        describe(pool, record, death.cause, message);
    return death;
}

/* ---- Counting, and keeping it until it is told ---- */

static void count(pp_pool *pool, const struct ppi_record_shm *record)
{
    uint32_t id = atomic_load_explicit(&pool->queue->control->seats[record->seat].id,
                                       memory_order_relaxed);
    struct ppi_deaths_of *deaths = &pool->deaths_of[id % PPI_MAX_SEATS];

    pool->counts.deaths++;
    deaths->count++;
    deaths->cause = record->value[0];
    deaths->signal = WIFSIGNALED(record->code) ? (uint8_t)WTERMSIG(record->code) : 0;
    deaths->status = WIFEXITED(record->code) ? (uint8_t)WEXITSTATUS(record->code) : 0;
}

static void keep(pp_pool *pool, const struct ppi_record_shm *record)
{
    struct notice *notice = calloc(1, sizeof *notice);

    if (!notice)
        return; /* it has been counted */
    notice->death = describe_death(pool, record, notice->message);
    notice->after = pool->made_due;
    ppi_list_append(&pool->deaths, &notice->link);
    ppi_rouse(pool);
    ppi_notify(pool);
}

void ppi_note_death(pp_pool *pool, const struct ppi_record_shm *record)
{
    if (record->flags & PPI_IN_ORDER)
        pool->counts.retired++;
    else if (!(record->flags & PPI_ENDED))
        count(pool, record);
    if (!(record->flags & (PPI_IN_ORDER | PPI_ENDED)) && pool->dying)
        keep(pool, record);
    if (pool->dying)
        pool->dying->function = NULL;
}

/* ---- Telling ---- */

bool ppi_death_is_next(const pp_pool *pool)
{
    return !ppi_list_empty(&pool->deaths) &&
           (ppi_list_empty(&pool->due) || pool->not_due >= first_of(pool)->after);
}

void ppi_tell_death(pp_pool *pool)
{
    struct notice *notice = first_of(pool);
    pp_death_callback *on_death = pool->on_death;

    ppi_list_remove(&notice->link);
    ppi_begin_calling(pool, NULL);
    PPI_POINT(CLIENT_TELLS_DEATH);
    on_death(&notice->death, pool->on_death_user);
    ppi_end_calling(pool);
    free(notice);
    ppi_notify(pool);
}

int ppi_hear_of_deaths(pp_pool *pool)
{
    pool->dying = calloc(1, sizeof *pool->dying);
    return pool->dying ? 0 : -ENOMEM;
}

int ppi_tell_deaths_to(pp_pool *pool, pp_death_callback *on_death, void *user)
{
    pool->on_death = on_death;
    pool->on_death_user = user;
    return ppi_serve(pool);
}

void ppi_drop_deaths(pp_pool *pool)
{
    free(pool->dying);
    pool->dying = NULL;
    pool->on_death = NULL;
    while (!ppi_list_empty(&pool->deaths)) {
        struct notice *notice = first_of(pool);

        ppi_list_remove(&notice->link);
        free(notice);
    }
}
