/* SPDX-License-Identifier: MIT */
/*
 * The client's side of a pool: what its files share.
 *
 * One lock guards it all.  Functions whose comment says "locked" are called with it
 * held; nothing of the user's is ever called while it is.
 */
#ifndef PPI_CLIENT_CLIENT_H
#define PPI_CLIENT_CLIENT_H

#include <procpool.h>
#include <pthread.h>

#include "base/clock.h"
#include "base/objects.h"
#include "base/slab.h"
#include "client/crash.h"
#include "client/list.h"
#include "client/result.h"
#include "queue/heritage.h"
#include "queue/spin.h"
#include "shm/buddy.h"

/* A slot's task, as the client knows it: the truth. */
struct ppi_flight {
    pp_result *result; /* NULL: the slot is free */
    uint64_t position;
    size_t begin, end;
    size_t left;     /* items without an outcome */
    void *block;     /* of arguments, to be freed */
    size_t staged;
    bool withdrawn;  /* cancelled before anyone had claimed it; ended at once */
    uint32_t others; /* of its first items: what workers did that died or retired in it */
    uint64_t looked; /* pool->looks when this was seen running, with ... */
    size_t ahead;    /* ... so many items done */
};

/* Changes of a pool's size that are told apart; older ones are taken together. */
#define PPI_SIZES_KNOWN 8

/* What pp_stats says.  Items are those of all results. */
struct ppi_counts {
    size_t submitted, done, failed;
    size_t shown; /* done, as was said last: never goes back */
    size_t bytes_in, bytes_out;
    size_t deaths, retired;
};

/* The workers of an id that have died. */
struct ppi_deaths_of {
    uint32_t count;
    uint8_t cause, signal, status; /* of the last one */
};

/* The worker whose death is about to be recorded: what it was at. */
struct ppi_dying {
    const char *function; /* NULL: nothing */
    size_t index;
    char message[PPI_MESSAGE_SIZE];
};

enum ppi_pool_phase { PPI_IS_OPEN, PPI_IS_CLOSED, PPI_IS_TERMINATED };

struct pp_pool {
    pthread_mutex_t lock;
    unsigned char *creator; /* a page that is 1 in the process that made the pool, 0 in others */
    struct ppi_heritage heritage;
    struct ppi_queue *queue; /* heritage.queue */
    struct ppi_buddy arena;
    struct ppi_buddy shared; /* the user's */
    struct ppi_objects *objects; /* the code that was loaded when the pool was created */
    pp_start start;
    size_t initarg_size;
    int supervisor; /* pidfd; -1: it is no process */
    pthread_t thread; /* the supervisor as a thread ... */
    bool has_thread;  /* ... if it is one, and not joined yet */
    struct ppi_worker *inliner; /* PP_INLINE: what runs the tasks */
    bool inlining;              /* it does, in some thread */
    struct ppi_futex_ops inline_futex;
    enum ppi_pool_phase phase;
    unsigned most; /* workers that there may be */
    /* How many there were, on average, since when, until the next began. */
    struct {
        uint64_t since_ns;
        double workers;
    } sizes[PPI_SIZES_KNOWN];
    unsigned sizes_known;
    bool audit_again; /* some claim word could not be judged yet */
    bool audit_doubts; /* a worker is dead, and what it had begun cannot be told */
    bool ending; /* the supervisor ends all workers: what they had claimed ends with the pool */
    bool lost; /* no worker is left: broken, or the supervisor died, or all has ended */
    pp_kind loss; /* how what was open ended then */
    bool leaving; /* a thread is about to shut the pool down: it reaps the supervisor, too */
    bool gone; /* the processes, the segment and the descriptor are */

    /* Tasks in shared memory. */
    uint64_t tail;
    size_t used; /* slots */
    struct ppi_flight *flights; /* PPI_WINDOW of them */
    uint64_t looks; /* at what is running, for progress */
    uint64_t trusted;     /* what lies below this position and is still in flight ... */
    uint64_t doubt_ns;    /* ... at this time ... */
    uint64_t patience_ns; /* ... has been there for so long, at least */
    unsigned glances;     /* of those who wait */
    /* Changed with the lock; atomic, since who waits awake looks without it. */
    _Atomic uint64_t control_taken;           /* records of the supervisor's */
    _Atomic uint64_t taken[PPI_MAX_SEATS];    /* records of a seat's */
    _Atomic uint32_t released[PPI_MAX_SEATS]; /* incarnations that are no more */
    uint32_t seen[PPI_MAX_SEATS];             /* that were there at the last drain */

    struct ppi_crashes crashes;
    struct ppi_slab slab;   /* of results ... */
    struct ppi_slab chunks; /* ... and of iterators' chunks */
    struct ppi_list results, backlog, due;
    struct ppi_list stopping; /* results of which an item failed, to be cancelled for that */
    size_t open; /* results that are */
    size_t submitted;
    struct ppi_counts counts;
    int processes;             /* that were asked for last, when they are gone */
    uint64_t made_ns, gone_ns; /* 0: they are not */
    struct {
        void (*run)(const void *args, void *result);
        double item_ns;
    } known; /* what an item of the last telling map took */

    struct ppi_list iterators;
    size_t undrawn; /* of them, arrays that are not drawn to their end */
    bool joined;    /* pp_join() was called: functions are not drawn from any more */

    /* Waiting: one thread sleeps for all, the others follow it. */
    bool led;
    struct ppi_spin spin; /* of the one that leads */
    bool choosy;          /* it sleeps until one result is there, and not for other news ... */
    bool alone;           /* ... which is true only as long as nothing else is submitted */
    unsigned followers;
    pthread_cond_t progress;

    /* Callbacks, and the thread that runs them and feeds the backlog. */
    pp_callbacks mode;
    size_t expected; /* open results that have one */
    bool served;     /* the thread was started */
    bool stop_serving;
    bool on_duty; /* it takes in records and feeds the backlog */
    bool dozing;  /* asleep while on duty */
    bool resting; /* asleep, with nothing to do */
    pthread_cond_t work;
    pthread_t service;
    int loop;     /* epoll descriptor for the program's event loop; -1: none */
    bool watched; /* the program knows it */
    int timer;         /* timerfd of the loop's; -1: none */
    uint64_t timer_ns; /* what it is set to; PPI_NEVER: it is not */
    bool calling; /* a callback is running, in the thread caller */
    pthread_t caller;
    pp_result *called;
    bool free_called; /* its callback has freed it */
    size_t made_due, not_due; /* results that have ever come into the list, and left it */

    /* Deaths, and who is told of them: NULL: nobody. */
    pp_death_callback *on_death;
    void *on_death_user;
    struct ppi_list deaths; /* that are to be told */
    struct ppi_dying *dying; /* NULL: nobody wants to know */
    struct ppi_deaths_of deaths_of[PPI_MAX_SEATS];
};

/* Slots from this one on hold no flight; most have never been touched, nor shall be. */
static inline size_t ppi_flights_end(const pp_pool *pool)
{
    if (pool->used == 0)
        return 0;
    return pool->tail < PPI_WINDOW ? (size_t)pool->tail : PPI_WINDOW;
}

/* Locked.  So many more items of a result have an outcome. */
static inline void ppi_count_done(pp_result *result, size_t items)
{
    result->done += items;
    result->pool->counts.done += items;
}

/* Locked.  The same for items that end like the rest. */
static inline void ppi_count_rest(pp_result *result, size_t items)
{
    ppi_count_done(result, items);
    result->pool->counts.failed += items;
}

/* ---- pool.c ---- */

/* A window of free flights, of which pages take memory when they are used; or NULL. */
struct ppi_flight *ppi_flights_new(void);
void ppi_flights_free(struct ppi_flight *flights);

/* 0 or what a function must return for this handle: -EINVAL for NULL, -ECHILD. */
int ppi_check_pool(const pp_pool *pool);
int ppi_check_result(const pp_result *result);

/* 0, or -EINVAL: copies an options struct that may be older or newer than the library's. */
int ppi_copy_options(void *copy, size_t size, const void *given);

/* 0, or -EINVAL: the options that say how long an item may run, and how often. */
int ppi_make_limits(double time_limit, double grace, int retries, struct ppi_limits *limits);

/* Whether tasks run in processes of their own. */
static inline bool ppi_is_isolated(const pp_pool *pool)
{
    return pool->start < PP_THREADS;
}

/* Gives back what a pool holds that never got as far as a supervisor. */
void ppi_unmake(pp_pool *pool);

/* Wakes the supervisor. */
void ppi_poke(pp_pool *pool);

/* ---- size.c: how many workers, and where they run ---- */

/* 0, or an errno and why in words: the options that say so. */
int ppi_check_size(const pp_pool_options *options, char *why, size_t size);

/* What they come to, for a queue that is to be made, and room for that in seats. */
struct ppi_size {
    unsigned workers, most; /* at first, and after any pp_pool_resize() */
    unsigned seats;
};
struct ppi_size ppi_size_of(const pp_pool_options *options, unsigned cpus);

/* Says in a new queue where workers are to be pinned; 0 or -errno. */
int ppi_say_pins(struct ppi_queue *queue, const pp_pool_options *options);

/* Locked.  From now on there are to be so many workers. */
void ppi_set_size(pp_pool *pool, unsigned workers);

/* Locked.  The time that all workers had since then until now, about, in ns. */
double ppi_worked_ns(const pp_pool *pool, uint64_t since_ns);

/* ---- spawn.c ---- */

/* 0 or -errno: has a fresh image of the program become the supervisor. */
int ppi_begin_spawn(pp_pool *pool);

/* It is the supervisor: 0 or -ENOMEM. */
int ppi_know_image(pp_pool *pool);

/* ---- start.c ---- */

/* Starts what runs tasks and waits until it does; 0 or an errno, and then the pool is gone. */
int ppi_start(pp_pool *pool, const pp_pool_options *options, pp_error **error);

/* Waits until the supervisor, which is ending, is gone. */
void ppi_reap_supervisor(pp_pool *pool);

/* ---- inline.c ---- */

int ppi_begin_inline(pp_pool *pool);

/* Locked, but for the finalizer.  For good: what is still open ends with the pool. */
void ppi_end_inline(pp_pool *pool);

/* Locked.  Runs a task in this thread, unlocked, if there is one and it may; whether it did. */
bool ppi_run_inline(pp_pool *pool);

/* Locked.  Runs all that is submitted. */
void ppi_run_all_inline(pp_pool *pool);

/* Whether this thread runs a task of a pool without workers, so that it must not wait. */
bool ppi_in_inline_task(const pp_pool *pool);

/* ---- feed.c: from results to slots ---- */

/* Locked.  Submits of this result, then of the backlog, what there is room for. */
void ppi_feed(pp_pool *pool);

/* Locked.  Submits a new result; what does not fit yet waits in the backlog. */
void ppi_submit(pp_pool *pool, pp_result *result);

/* Locked.  Whether what waits in the backlog depends on how long items take. */
bool ppi_feeds_by_pace(const pp_pool *pool);

/* Locked.  Keeps what a complete map shows of its task's items. */
void ppi_remember_pace(const pp_result *result);
/*
 * Locked.  So many items of a task are in flight that nobody may be waiting for: has the
 * service thread look after what is, if it must.
 */
void ppi_have_served(pp_pool *pool, const pp_task *task, size_t items);

/* Where a task's function lies in the workers' image of the program. */
uintptr_t ppi_address_there(const pp_pool *pool, const pp_task *task);

/* 0 or what is wrong with an order of so many items of a task, with these limits. */
int ppi_check_order(pp_pool *pool, const pp_task *task, const void *items, size_t count,
                    const struct ppi_limits *limits);

/* Locked.  0, -ESHUTDOWN or -ENOTRECOVERABLE: whether the pool takes orders. */
int ppi_check_phase(pp_pool *pool);

/*
 * Locked.  Submits a new result whose arguments, of this size when encoded, are the
 * caller's only until this returns: they are copied if they have to wait.  0 or -ENOMEM,
 * and then nothing was submitted.
 */
int ppi_submit_copied(pp_pool *pool, pp_result *result, size_t size);

/* Locked.  A slot's task has all of its outcomes, or never will. */
void ppi_end_flight(pp_pool *pool, struct ppi_flight *flight);

/* ---- cancel.c ---- */

/*
 * Locked.  Ends what has not begun of an open result, for this reason in words; with
 * hard set, what is running, too.  The result may be settled, and a forgotten one gone,
 * when it returns.
 */
void ppi_cancel(pp_result *result, bool hard, const char *why);

/* ---- shared.c ---- */

/*
 * Locked.  What of a new map of these items, whose values go to out, needs no copy: sets
 * items_shared and in_place.
 */
void ppi_share(pp_result *result, const void *items, const void *out);

/* ---- drain.c: from completion records to outcomes ---- */

/* Locked.  Takes in all that workers and supervisor have recorded; whether it was anything. */
bool ppi_take_in(pp_pool *pool);

/* Locked.  The same without what may follow from it: cancelling maps that stop on errors. */
bool ppi_drain(pp_pool *pool);

/* The incarnation that the supervisor has announced for a seat; 0: there never was one. */
uint32_t ppi_announced(const pp_pool *pool, unsigned seat);

/* Locked.  Has the supervisor end a worker that is not to be trusted. */
void ppi_condemn(pp_pool *pool, unsigned seat, uint32_t incarnation);

/* Whether there is something to take in; so much of one worker's, if it is its. */
bool ppi_news(const pp_pool *pool, uint64_t least);

/* Whether the supervisor has recorded something that has not been taken in. */
bool ppi_control_news(const pp_pool *pool);

/* ---- death.c: telling of deaths ---- */

/*
 * Locked.  If deaths are told: the item that a worker was at whose death will be recorded
 * next, and what becomes of it in words.
 */
void ppi_note_dying(pp_result *result, size_t item, const char *text);

/* Locked.  A worker is dead, and what it leaves on its seat is still there. */
void ppi_note_death(pp_pool *pool, const struct ppi_record_shm *record);

/* Locked.  Whether a death is to be told before any callback that is due. */
bool ppi_death_is_next(const pp_pool *pool);

/* Locked.  Tells of the first, without the lock. */
void ppi_tell_death(pp_pool *pool);

/* Notices of deaths are kept from now on, until it is known whom to tell; 0 or -ENOMEM. */
int ppi_hear_of_deaths(pp_pool *pool);

/* Locked.  They, and those to come, are to be told to this function; 0 or -errno. */
int ppi_tell_deaths_to(pp_pool *pool, pp_death_callback *on_death, void *user);

/* Locked.  Nobody wants to hear of any more. */
void ppi_drop_deaths(pp_pool *pool);

/* ---- progress.c ---- */

/* Locked.  Whether a seat speaks of a worker whose death has not been dealt with. */
bool ppi_is_taken(const pp_pool *pool, unsigned seat);

/*
 * Locked.  The flight that a seat's worker, which has not been found dead, says that it runs;
 * NULL if there is none.
 */
struct ppi_flight *ppi_flight_on(const pp_pool *pool, unsigned seat);

/*
 * Locked.  How many items are done of chunks that are running, and have no record yet; of
 * one result's, or of all (NULL).  *running, if it is wanted: how many items are running.
 */
size_t ppi_done_on_seats(pp_pool *pool, const pp_result *only, size_t *running);

/* ---- audit.c ---- */

/* Locked.  After the crash of this seat's worker (-1: of none in particular): mends
   claim words that make no sense, or ends their tasks, the one that it ran among them. */
void ppi_audit(pp_pool *pool, int dead);

/* ---- wait.c ---- */

/*
 * Locked.  Waits until done(what) holds, taking in results, feeding the backlog and,
 * with PP_CALLBACKS_POLL, running callbacks meanwhile.  0 or -ETIMEDOUT.
 */
int ppi_wait_until(pp_pool *pool, bool (*done)(void *what), void *what, uint64_t deadline_ns);

/* Locked.  The same for a result, for the calling thread: for its own callback it is there
   already when that runs. */
int ppi_wait_for(pp_result *result, uint64_t deadline_ns);
bool ppi_is_there_for_me(void *result);

/* Locked.  Takes in what is there, without waiting. */
void ppi_look(pp_pool *pool);

/*
 * A task that is in flight for so long, and then each time for twice as long, makes doubt:
 * everybody is woken.  Tests that look for wake-ups which are lost set it to PPI_WITHOUT_DOUBT.
 */
extern uint64_t ppi_first_patience_ns;
#define PPI_WITHOUT_DOUBT (3600 * PPI_SECOND)

/* Locked.  When claims have to be looked at, as they may be damaged; or PPI_NEVER. */
uint64_t ppi_doubt_time(const pp_pool *pool);
void ppi_trust(pp_pool *pool); /* what is in flight was not before */

/* Locked.  Tells waiting threads that something has changed. */
void ppi_notify(pp_pool *pool);

/* ---- draw.c: from an iterator's items to results ---- */

/* Locked.  A chunk of an iterator's is there. */
void ppi_chunk_settled(struct ppi_chunk *chunk);

/*
 * Locked.  For a thread that is about to wait: draws a chunk of one of the iterators
 * that it uses, or, when the pool is being joined, of an array.  The lock is released
 * while an input function is called.  Whether there was anything to do.
 */
bool ppi_draw_for_waiter(pp_pool *pool);

/* Locked.  Whether this thread is in an iterator's input function. */
bool ppi_in_input(const pp_pool *pool);

/* ---- iterator.c ---- */

/* Locked.  Frees all iterators, but not the results that they have not handed out. */
void ppi_free_iterators(pp_pool *pool);

/* ---- callback.c ---- */

/* Locked.  Starts the service thread if there is none and may be one; 0 or -errno. */
int ppi_serve(pp_pool *pool);

/* Locked.  Has it take in records and feed the backlog until there is nothing in flight. */
void ppi_put_on_duty(pp_pool *pool);

/* Locked.  Something has changed that it must look at. */
void ppi_rouse(pp_pool *pool);

/* Ends it. */
void ppi_stop_serving(pp_pool *pool);

/* Locked.  Whether a callback is to be run, or a death to be told. */
bool ppi_has_due(const pp_pool *pool);

/* Locked.  Around a call of the user's, which is made without the lock; of this result's
   callback, or NULL. */
void ppi_begin_calling(pp_pool *pool, pp_result *result);
void ppi_end_calling(pp_pool *pool);

/* Locked.  Runs the callbacks that are due, unlocked; how many it were. */
int ppi_run_callbacks(pp_pool *pool);

/* Locked.  The same for those that are due now, not for what these make due. */
int ppi_run_callbacks_once(pp_pool *pool);

/* Locked.  Whether this thread is running one. */
bool ppi_in_callback(const pp_pool *pool);

/* ---- event.c ---- */

/* There is none yet. */
static inline void ppi_loop_init(pp_pool *pool)
{
    pool->loop = pool->timer = -1;
    pool->timer_ns = PPI_NEVER;
}

/* With PP_CALLBACKS_POLL, makes the descriptor for event loops; 0 or -errno. */
int ppi_loop_open(pp_pool *pool);
void ppi_loop_close(pp_pool *pool);

/* Locked.  Something is in flight, after a time when nothing was. */
void ppi_loop_begin(pp_pool *pool);

/* Locked.  Has the program's loop look when there is doubt, and not if there will be none. */
void ppi_loop_set_timer(pp_pool *pool);

/* Locked.  Its death has been dealt with and is no news any more. */
void ppi_loop_forget_supervisor(pp_pool *pool);

/* ---- end.c ---- */

/* Whether no worker is left, for good, and the client has not dealt with it yet. */
bool ppi_lost(const pp_pool *pool);

/* Locked.  Ends the processes' remains when no worker is left: reaps, unmaps, closes.
   Shared memory stays. */
void ppi_shut_down(pp_pool *pool);

/* Locked.  If the workers are gone or lost for good, ends what is still open. */
void ppi_notice_loss(pp_pool *pool);

/* ---- orphans.c ---- */

/* Locked.  The supervisor was killed, and has not been reaped: ends what tasks have started. */
void ppi_end_orphans(pp_pool *pool);

#endif
