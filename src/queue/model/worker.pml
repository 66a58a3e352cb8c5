/* SPDX-License-Identifier: MIT */
/* A seat and the worker on it. A death brings the process back to end_empty_seat. */

#define w _pid

/* Dies by a signal of the supervisor's, as long as one is on its way; else by itself. */
#define SIGNALLED HAS(killed | termed, w)
#ifdef SYMMETRIC
#define MAY_DIE ((deaths_left > 0 && MAY_BE_NEXT(w)) || SIGNALLED)
#else
#define MAY_DIE (deaths_left > 0 || SIGNALLED)
#endif

inline die()
{
#if CAN_STOP
    assert(!SIGNALLED || !in_call || (p == stop_pos[w] && ITEM_HIT(item, stop_item[w])));
    in_call = 0; seen = 0; SET(stop_changed, w);
    if
    :: SIGNALLED -> skip
    :: else -> SET(by_itself, w)
    fi;
#endif
    if
    :: SIGNALLED -> CLEAR(killed, w); CLEAR(termed, w)
    :: else -> deaths_left--; died = 1
    fi;
    CLEAR(alive, w); SET(dead, w); CLEAR(asleep, w);
    SET(bell_changed, w); SET(requeue_new, w);
    t = 0; p = 0; e = 0; item = 0; c = 0; untold = 0;
#ifdef LAZY
    ended = 0;
#endif
#ifdef HINTS
    h = 0; past = 0; known = 0; fresh = 0
#endif
}

/* One step of a worker; in its place, the worker may die. */
#define DIES atomic { MAY_DIE -> die(); goto end_empty_seat }
#define STEP(...) if :: atomic { __VA_ARGS__ } :: DIES fi

#include "claims.pml"
#include "idle.pml"

#if MEET
#define MAY_RETURN \
    (slot_task[SLOT(p)] != MEET - 1 || HAS(called | outcome, (NT - 1) * CHUNK) || \
     COUNT(alive) < 2)
#elif CANCELS
#define MAY_RETURN (slot_task[SLOT(p)] != cancel_task || item < ENDLESS)
#else
#define MAY_RETURN true
#endif

/* The user's function is called. Without stops that counts from where run_pos shows it. */
inline start_item()
{
    assert(!HAS(called, ITEM(p, item)));
    SET(called, ITEM(p, item));
#if CAN_STOP
    in_call = 1
#endif
}

/*
 * It has returned, its result is in the arena.
 * STARTED_LATE: item moves on before started is zero.
 */
inline finish_item()
{
    SET(finished, ITEM(p, item));
    item++;
#ifndef COMMIT_FIRST
    run_item[w] = item;
#endif
#if CAN_STOP
#ifndef STARTED_LATE
    CLEAR(started, w);
#endif
    in_call = 0
#endif
}

/* The record of the items [c, item): from here on their outcomes exist. */
inline commit(kind)
{
    assert(len(ring_of[w]) < W * CHUNK);
    ring_of[w]!p,c,item WITH_KIND(kind);
    last_pos[w] = p; last_end[w] = item;
    c = item
}

/* The client hears of a record that ends its task by what the worker does next. */
#ifdef LAZY
#define ENDS_TASK untold = 1; ended = p
#else
#define ENDS_TASK untold = 1
#endif
inline write_record(kind)
{
    commit(kind);
    if
    :: item == CHUNK -> ENDS_TASK; p = 0; c = 0; item = 0; goto next
    :: else
    fi
}

/*
 * Tells the client of the records committed, if it waits like that (WAITS); ends with DONE. The
 * last record of a task is told of only when the next one begins, which has a fence anyway, or
 * when there is none.
 * NO_TELL_IDLE, LAZY_UNTOLD: who finds no task does not tell, or not a lazy client.
 */
#ifdef LAZY_UNTOLD
#define WAITS_AT_ALL (client_waits == 1)
#else
#define WAITS_AT_ALL (client_waits != 0)
#endif
#define WAITS_FOR_RECORD (client_waits != 0)
#define WAKE_CLIENT(DONE) \
    STEP(client_bell_changed = 1); \
    STEP(client_asleep = 0; DONE)
#define TELL(WAITS, DONE) \
    STEP(untold = 0; if :: WAITS -> client_waits = 0 :: else -> DONE fi); \
    WAKE_CLIENT(DONE)

/*
 * The same when a task begins, after BEFORE in the same step. A lazy client is told only of the
 * end of the task that it wants; of another it need not be told later, either, since then there
 * will be another record.
 * NO_TELL_BEGIN: who begins a task does not tell. LAZY_WANTS_NONE: nor a lazy client of what it
 * wants.
 */
#if defined(NO_TELL_BEGIN)
#define TELL_AT_BEGIN(BEFORE, DONE) STEP(BEFORE; DONE)
#elif !defined(LAZY)
#define TELL_AT_BEGIN(BEFORE, DONE) \
    STEP( \
        BEFORE; \
        if \
        :: untold && client_waits -> untold = 0; client_waits = 0 \
        :: else -> untold = 0; DONE \
        fi); \
    WAKE_CLIENT(DONE)
#else
#ifdef LAZY_WANTS_NONE
#define IS_WANTED false
#else
#define IS_WANTED (wanted_pos == ended)
#endif
#define TELL_AT_BEGIN(BEFORE, DONE) \
    STEP( \
        BEFORE; \
        if \
        :: untold && client_waits == 1 -> untold = 0; client_waits = 0; goto wakes \
        :: untold && client_waits == 2 -> untold = 0 \
        :: else -> untold = 0; DONE \
        fi); \
    STEP(if :: IS_WANTED && client_waits != 0 -> client_waits = 0 :: else -> DONE fi); \
wakes: \
    WAKE_CLIENT(DONE)
#endif

/* CANCEL_BIT: the cancel word does not say which position is cancelled. */
#ifdef CANCEL_BIT
#define CANCELLED_HERE (cancels[SLOT(p)] != NONE)
#else
#define CANCELLED_HERE (cancels[SLOT(p)] == p)
#endif
/* SURVIVED_EARLY: survived is stored without a call of the kernel. */
#ifdef SURVIVED_EARLY
#define KERNEL_CALL skip
#else
#define KERNEL_CALL CLEAR(termed, w)                    /* or, in place of the step, it kills */
#endif

inline say_survived()
{
    STEP(if :: HAS(stop_changed, w) :: else -> SET(survived, w) fi)
#ifndef NO_ALARM
    ; STEP(poked = 1)
#endif
}

/* Before it sleeps: a SIGTERM that was meant for its last task has not killed the worker. */
inline answer_stop()
{
    STEP(if :: HAS(stop_term, w) -> CLEAR(stop_changed, w) :: else -> goto answered fi);
    STEP(KERNEL_CALL);
    say_survived();
    STEP(SET(stop_changed, w))
}

/*
 * When run_pos and run_item tell what comes next: either the worker sees the stop word, or the
 * supervisor sees that it has gone on. It waits while the word is not OFF, unless its own task
 * is cancelled, of which it begins nothing any more.
 * STOP_UNCHECKED: the stop word is not looked at at all.
 * NO_ALARM: the worker does not tell the supervisor that it has survived.
 */
inline wait_while_stopped()
{
#if defined(STOP_UNCHECKED)
    skip
#elif !defined(GRACE) && !CANCELS
    STEP(!HAS(stop_flag, w))                            /* waits while it is not OFF */
#else
    STEP(
        if
        :: HAS(stop_flag, w) -> CLEAR(stop_changed, w); seen = HAS(stop_term, w)
        :: else -> goto not_stopped
        fi);
#if CANCELS
    STEP(
        if
        :: CANCELLED_HERE -> seen = 0; SET(stop_changed, w); goto not_stopped
        :: else
        fi);
#endif
#ifdef GRACE
    STEP(if :: seen -> seen = 0; KERNEL_CALL :: else -> goto wait_for_word fi);
    say_survived();
wait_for_word:
#endif
    STEP(HAS(stop_changed, w) -> goto look_again)       /* futex_wait */
#endif
}

#if CANCELS && !defined(CANCEL_FIRST)
#define BEGIN_OR_CANCEL if :: CANCELLED_HERE -> goto cancelled :: else fi
#else
#define BEGIN_OR_CANCEL skip
#endif
#ifdef LIMITED
#define LIMIT_BEGINS SET(started, w)
#else
#define LIMIT_BEGINS skip
#endif

/*
 * NO_CHAIN: no ring() after a claim that leaves work behind.
 * RUN_POS_FIRST: run_pos is written before run_item.
 * STOP_NOT_BETWEEN: the stop word is not looked at between the items of a limited task.
 * END_ALONE: who ends wakes nobody.
 * CANCEL_FIRST: the cancel word is looked at before run_pos is stored, and then no more.
 */
active [SEATS] proctype worker()
{
    byte t, p, e;           /* tail as read, position, the word as read */
    byte item, c;           /* next item, first item without a record */
    bit untold;             /* there is a record that the client was not told of */
#ifdef LAZY
    byte ended;             /* position of the task that it ends */
#endif
#ifdef HINTS
    byte h, past, known;    /* head as read, position and tail as known from before */
    bit fresh;              /* the tail was read in this claim */
#endif
#if CAN_STOP
    bit in_call;
    bit seen;               /* the stop word that was found not OFF is TERM */
#endif

end_empty_seat:
    HAS(alive, w);
next:
    if
    :: atomic { item == 0 -> skip }                           /* to claim_requeued() */
    :: atomic { item != 0 -> NEXT_ITEM }
    :: DIES
    fi;
    claim_requeued();
nothing_requeued:
    claim();
nothing_queued:
#ifndef NO_TELL_IDLE
    if
    :: atomic { untold -> skip };
       TELL(WAITS_AT_ALL, goto told)
    :: atomic { !untold -> if :: command -> goto leave :: else -> goto idle fi }
    :: DIES
    fi;
told:
#endif
    STEP(if :: command -> goto leave :: else fi);
idle:
#ifdef GRACE
    answer_stop();
answered:
#endif
#ifdef SEARCH
    search();
#endif
    sleep_on_bell();
#ifdef NAP
napping:
    nap();
#endif

claimed:
#ifdef TWO_STEP_CLAIM
    STEP(words[SLOT(p)] = WORD(GEN(p), CLAIMED, w));
#endif
#ifdef HINTS
    move_head();
#endif
claimed_requeued:
#ifndef NO_CHAIN
    STEP(if :: sleepers == 0 -> goto run_task :: else fi);
    STEP(LOOK(HAS(requeue_new, w)));
    STEP(if :: IS_CLAIMABLE -> LOOKED :: else -> LOOKED; goto run_task fi);
    RING(STEP, e, goto run_task);
#endif
run_task:
#ifdef MARK_UNTIL_CLAIM
    STEP(CLEAR_MARK);
#endif
#if CAN_STOP
#ifdef CANCEL_FIRST
    STEP(if :: CANCELLED_HERE -> goto cancelled :: else fi);
#endif
    STEP(
        run_item[w] = item; run_pos[w] = p; c = item;
        if :: untold :: else -> goto look_again fi);
    TELL_AT_BEGIN(skip, goto look_again);
look_again:
    wait_while_stopped();
not_stopped:
    if
    :: atomic { item < CHUNK -> BEGIN_OR_CANCEL }
    :: atomic { item > c -> write_record(OK); goto committed }      /* for several items */
#ifdef COMMIT_FIRST
    :: atomic { item == CHUNK && c == item -> p = 0; c = 0; item = 0; goto next }
#endif
    :: DIES
    fi;
    STEP(LIMIT_BEGINS; start_item());
#else
#ifdef RUN_POS_FIRST
    STEP(run_pos[w] = p);
#endif
    TELL_AT_BEGIN(run_item[w] = item; run_pos[w] = p; c = item; start_item(), goto call);
#endif
call:
#if CAN_STOP
#ifdef COMMIT_FIRST
    STEP(
        MAY_RETURN; finish_item(); commit(OK);
        if :: item == CHUNK -> ENDS_TASK; goto next :: else fi);
    goto committed;
item_over:
    STEP(run_item[w] = item);
#else
    STEP(MAY_RETURN; finish_item());
#endif
#ifdef STARTED_LATE
    STEP(CLEAR(started, w));
#endif
#if defined(LIMITED) && !defined(STOP_NOT_BETWEEN)
    goto look_again;
#else
    goto not_stopped;
#endif
#else
    STEP(MAY_RETURN; finish_item());
    if
    :: atomic { item < CHUNK -> NEXT_ITEM }             /* one record for several items */
    :: atomic { true -> write_record(OK) }
    :: DIES
    fi;
#endif
#if CANCELS
cancelled:                                              /* for all that is left */
    STEP(if :: c < item -> write_record(OK); goto committed :: else fi);
    STEP(assert(slot_task[SLOT(p)] == cancel_task); item = CHUNK; write_record(CANCELLED));
#endif
committed:
    TELL(WAITS_FOR_RECORD, goto next);

leave:
#if defined(END_CHAIN) && !defined(END_ALONE)
    STEP(bell_changed = ALL);
    STEP(WAKE_TWO(e));
#endif
    atomic { CLEAR(alive, w); CLEAR(killed, w); t = 0 };
end_left:
    false
}

#undef w
