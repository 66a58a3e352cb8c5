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
    h = 0; t = 0; p = 0; e = 0; item = 0; c = 0
}

/* One step of a worker; in its place, the worker may die. */
#define DIES atomic { MAY_DIE -> die(); goto end_empty_seat }
#define STEP(...) if :: atomic { __VA_ARGS__ } :: DIES fi

/* NO_GENERATION: the claim looks at the state alone. */
#ifdef NO_GENERATION
#define CLAIMABLE(word, p) (STATE_OF(word) == QUEUED || STATE_OF(word) == REQUEUED)
#else
#define CLAIMABLE(word, p) \
    ((word) == WORD(GEN(p), QUEUED, 0) || (word) == WORD(GEN(p), REQUEUED, 0))
#endif

/* TWO_STEP_CLAIM: the claim first, the claimer's name (3 is nobody's) in a second step. */
#ifdef TWO_STEP_CLAIM
#define CLAIMER 3
#else
#define CLAIMER w
#endif

/* The CAS has succeeded. */
inline take_it()
{
    words[SLOT(p)] = WORD(GEN_OF(e), CLAIMED, CLAIMER);
    item = (STATE_OF(e) == REQUEUED -> resume[SLOT(p)] : 0);
    e = 0
}

/* Looks at the positions from the head hint to the tail; on success `goto claimed`. */
inline claim()
{
    STEP(t = tail; p = h);
    do
    :: atomic { p < t && !CLAIMABLE(words[SLOT(p)], p) -> p++ }
    :: atomic { p < t && CLAIMABLE(words[SLOT(p)], p) -> e = words[SLOT(p)]; intent[w] = p };
       STEP(
           if
           :: words[SLOT(p)] == e -> take_it(); t = p + 1; goto claimed
           :: else -> e = 0; p++
           fi)
    :: atomic {
           p >= t -> p = 0;
           if :: head == h -> head = t :: else fi;
           h = 0;
           goto nothing_queued
       }
    :: DIES
    od
}

/*
 * Looks at all words if something was requeued since it last found nothing there; before
 * claim(), since these tasks are older.
 */
inline claim_requeued()
{
    STEP(
        if
        :: HAS(requeue_new, w) -> CLEAR(requeue_new, w)
        :: else -> goto nothing_requeued
        fi);
    do
    :: atomic { p < W && STATE_OF(words[p]) != REQUEUED -> p++ }
    :: atomic {
           p < W && STATE_OF(words[p]) == REQUEUED ->
           e = words[p];
           p = (GEN_OF(e) - 1) * W + p;
           intent[w] = p
       };
       STEP(
           if
           :: words[SLOT(p)] == e -> take_it(); SET(requeue_new, w); goto claimed_requeued
           :: else -> e = 0; p = SLOT(p) + 1
           fi)
    :: atomic { p == W -> p = 0; goto nothing_requeued }
    :: DIES
    od
}

#define LOOKS_NEW (h < tail || HAS(requeue_new, w) || command)

/*
 * NO_SECOND_LOOK: no look round between the sleepers bit and futex_wait.
 * WOKEN_KEEPS_WAKING: a woken worker leaves waking set.
 */
inline sleep_on_bell()
{
    STEP(t = 0; CLEAR(bell_changed, w));                /* b = bell */
    STEP(SET(sleepers, w));
#ifndef RINGER_RESETS
    STEP(waking = 0);
#endif
#ifndef NO_SECOND_LOOK
    STEP(h = head);
    if
    :: atomic { LOOKS_NEW -> SET(bell_changed, w); h = 0 };
       STEP(CLEAR(sleepers, w); goto next)
    :: atomic { !LOOKS_NEW -> h = 0 }
    :: DIES
    fi;
#endif
    STEP(if :: HAS(bell_changed, w) :: else -> SET(asleep, w); SET(bell_changed, w) fi);
    if
    :: atomic { !HAS(asleep, w) -> CLEAR(sleepers, w) }
    :: DIES
    fi;
#ifndef WOKEN_KEEPS_WAKING
    STEP(waking = 0);
#endif
    goto next
}

#if MEET
#define MAY_RETURN \
    (slot_task[SLOT(p)] != MEET - 1 || HAS(called | outcome, (NT - 1) * CHUNK) || \
     COUNT(alive) < 2)
#elif CANCELS
#define MAY_RETURN (slot_task[SLOT(p)] != cancel_task || item < ENDLESS)
#else
#define MAY_RETURN true
#endif

/* The user's function is called. */
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

inline write_record(kind)
{
    commit(kind);
    if
    :: item == CHUNK -> p = 0; c = 0; item = 0
    :: else
    fi
}

inline wake_client()
{
    STEP(if :: client_waits -> client_waits = 0 :: else -> goto next fi);
    STEP(client_bell_changed = 1);
    STEP(client_asleep = 0; goto next)
}

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
    STEP(if :: HAS(stop_changed, w) :: else -> SET(survived, w) fi);
#ifndef NO_ALARM
    STEP(poked = 1);
#endif
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
 * CANCEL_FIRST: the cancel word is looked at before run_pos is stored, and then no more.
 */
active [SEATS] proctype worker()
{
    byte h, t, p, e;        /* head and tail as read, position, the word as read */
    byte item, c;           /* next item, first item without a record */
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
    STEP(h = head);
    claim();
nothing_queued:
    STEP(if :: command -> goto leave :: else fi);
    sleep_on_bell();

claimed:
#ifdef TWO_STEP_CLAIM
    STEP(words[SLOT(p)] = WORD(GEN(p), CLAIMED, w));
#endif
    STEP(if :: head == h -> head = p + 1 :: else fi; h = 0);
claimed_requeued:
#ifndef NO_CHAIN
    /* t: the first position that it has not looked at */
    STEP(if :: t < tail -> t = 0 :: else -> t = 0; goto run_task fi);
    RING(STEP, e, goto run_task);
#endif
run_task:
    t = 0;
#if CAN_STOP
#ifdef CANCEL_FIRST
    STEP(if :: CANCELLED_HERE -> goto cancelled :: else fi);
#endif
    STEP(run_item[w] = item; run_pos[w] = p; c = item);
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
    STEP(run_item[w] = item; run_pos[w] = p; c = item; start_item());
#endif
call:
#if CAN_STOP
#ifdef COMMIT_FIRST
    STEP(MAY_RETURN; finish_item(); commit(OK));
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
    STEP(if :: c < item -> write_record(OK) :: else fi);
    STEP(assert(slot_task[SLOT(p)] == cancel_task); item = CHUNK; write_record(CANCELLED));
#endif
#if CAN_STOP
committed:
#endif
    wake_client();

leave:
    atomic { CLEAR(alive, w); CLEAR(killed, w); t = 0 };
end_left:
    false
}

#undef w
