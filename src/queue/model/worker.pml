/* SPDX-License-Identifier: MIT */
/* A seat and the worker on it. A death brings the process back to end_empty_seat. */

#define w _pid

#ifdef SYMMETRIC
#define MAY_DIE ((deaths_left > 0 && (died || w == 0)) || HAS(killed, w))
#else
#define MAY_DIE (deaths_left > 0 || HAS(killed, w))
#endif

inline die()
{
#if STOPS
    assert(!HAS(killed, w) || !in_call || p == target);
    in_call = 0;
#endif
    if
    :: HAS(killed, w) -> CLEAR(killed, w)
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
    (slot_task[SLOT(p)] != MEET - 1 || HAS(started | outcome, (NT - 1) * CHUNK) || \
     COUNT(alive) < 2)
#else
#define MAY_RETURN true
#endif

/* The user's function is called. */
inline start_item()
{
    assert(!HAS(started, ITEM(p, item)));
    SET(started, ITEM(p, item));
#if STOPS
    in_call = 1
#endif
}

/* It has returned, its result is in the arena. */
inline finish_item()
{
    SET(finished, ITEM(p, item));
    item++;
    run_item[w] = item;
#if STOPS
    in_call = 0
#endif
}

/* The record of the items [c, item): from here on their outcomes exist. */
inline write_record()
{
    assert(len(ring_of[w]) < W * CHUNK);
    ring_of[w]!p,c,item;
    last_pos[w] = p; last_end[w] = item;
    c = item;
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

/*
 * NO_CHAIN: no ring() after a claim that leaves work behind.
 * RUN_POS_FIRST: run_pos is written before run_item.
 * STOP_UNCHECKED: the stop flag is not looked at before a task starts.
 */
active [SEATS] proctype worker()
{
    byte h, t, p, e;        /* head and tail as read, position, the word as read */
    byte item, c;           /* next item, first item without a record */
#if STOPS
    bit in_call;
#endif

end_empty_seat:
    HAS(alive, w);
next:
    if
    :: atomic { item == 0 -> skip }                           /* to claim_requeued() */
    :: atomic { item != 0 -> start_item(); goto call }  /* a chunk that is not at its end */
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
#if STOPS && !defined(STOP_UNCHECKED)
    STEP(!HAS(stop_flag, w));                           /* waits while it is set */
#endif
#ifdef RUN_POS_FIRST
    STEP(run_pos[w] = p);
#endif
    STEP(run_item[w] = item; run_pos[w] = p; c = item; start_item());
call:
    STEP(MAY_RETURN; finish_item());
    if
    :: atomic { item < CHUNK -> start_item(); goto call }   /* one record for several items */
    :: atomic { true -> write_record() }
    :: DIES
    fi;
    wake_client();

leave:
    atomic { CLEAR(alive, w); CLEAR(killed, w); t = 0 };
end_left:
    false
}

#undef w
