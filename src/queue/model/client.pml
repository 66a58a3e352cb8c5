/* SPDX-License-Identifier: MIT */
/* The client: submits NT tasks, cancels, waits for all outcomes, gives the stop command. */

#define CLIENT_STEP(...) atomic { __VA_ARGS__ }
#define FULL (BIT(W) - 1)

/* FREE_AT_LAST: a slot is free when the record that ends the chunk is in, not when all are. */
#ifdef FREE_AT_LAST
#define COMPLETE (i == CHUNK || end == CHUNK)
#else
#define COMPLETE (i == CHUNK)
#endif

/* A record: each item gets its outcome, once; the slot is free when all items have theirs. */
#if CAN_STOP
#define COMES_NEXT(pos, i) (kind == CRASHED)            /* see crash() */
#else
#define COMES_NEXT(pos, i) (i > 0 && HAS(finished, ITEM(pos, i - 1)))
#endif
inline take(pos, first, end, kind)
{
    assert(HAS(in_use, SLOT(pos)) && slot_pos[SLOT(pos)] == pos);
    assert(kind != CRASHED || died);
    assert(kind != TIMED_OUT || (ITEM(pos, first) == late && HAS(called, late)));
#if CANCELS
    assert(kind != CANCELLED || (cancel_given && slot_task[SLOT(pos)] == cancel_task));
#endif
    i = first;
    do
    :: i < end ->
        assert(!HAS(outcome, ITEM(pos, i)));
        assert((kind == OK) == HAS(finished, ITEM(pos, i)));
        assert(kind == CANCELLED || HAS(called, ITEM(pos, i)) || COMES_NEXT(pos, i));
        SET(outcome, ITEM(pos, i));
        i++
    :: else -> break
    od;
    i = 0;
    do
    :: COMPLETE -> CLEAR(in_use, SLOT(pos)); slot_pos[SLOT(pos)] = NONE; break
    :: !COMPLETE && HAS(outcome, ITEM(pos, i)) -> i++
    :: else -> break
    od;
    i = 0; pos = 0; first = 0; end = 0
}

#if CANCELS
#define TAKE_NEXT ring_of[s]?q,a,b,k; take(q, a, b, k); k = 0
#else
#define TAKE_NEXT ring_of[s]?q,a,b; take(q, a, b, OK)
#endif
inline drain_seat(s)
{
    do
    :: len(ring_of[s]) != 0 -> TAKE_NEXT
    :: else -> break
    od
}

/* A DEATH record: the rest of the seat's ring, then the seat may be used again. */
inline seat_is_done()
{
    s = q; q = 0;
    drain_seat(s);
    do
    :: i < W ->
        assert(!HAS(in_use, i) || words[i] != WORD(GEN(slot_pos[i]), CLAIMED, s));
        i++
    :: else -> break
    od;
    i = 0;
    SET(released, s);
    s = 0
}

inline drain_supervisor()
{
    do
    :: len(own_ring) != 0 ->
        own_ring?k,q,a,b;
        if
        :: k == DEATH -> seat_is_done()
        :: else -> take(q, a, b, k)
        fi
    :: else -> break
    od;
    k = 0
}

#if SEATS == 1
#define NEW_RECORDS (len(ring_of[0]) + len(own_ring) != 0)
#elif SEATS == 2
#define NEW_RECORDS (len(ring_of[0]) + len(ring_of[1]) + len(own_ring) != 0)
#else
#define NEW_RECORDS (len(ring_of[0]) + len(ring_of[1]) + len(ring_of[2]) + len(own_ring) != 0)
#endif

#ifdef SYMMETRIC
#define THEN
#else
#define THEN }; atomic {
#endif

/* All rings; `goto go_on` if that is enough to go on. */
#if SEATS == 1
#define DRAIN_ALL drain_seat(0); THEN drain_supervisor()
#elif SEATS == 2
#define DRAIN_ALL drain_seat(0); THEN drain_seat(1); THEN drain_supervisor()
#else
#define DRAIN_ALL \
    drain_seat(0); THEN drain_seat(1); THEN drain_seat(2); THEN drain_supervisor()
#endif

inline drain()
{
    atomic {
        DRAIN_ALL;
        if
        :: in_use == 0 || (n < NT && in_use != FULL) -> goto go_on
        :: else
        fi
    }
}

#if CANCELS
#define IS_SLOT_OF(i) (HAS(in_use, i) && slot_task[i] == cancel_task)
#if W == 1
#define CANCEL_TO_GIVE (!cancel_given && IS_SLOT_OF(0))
#else
#define CANCEL_TO_GIVE (!cancel_given && (IS_SLOT_OF(0) || IS_SLOT_OF(1)))
#endif
#endif

/*
 * The client may be lazy and want the end of one task, here of the oldest; or none in
 * particular when all was submitted.
 * LAZY_EARLY: also before.
 */
#if W == 1
#define OLDEST slot_pos[0]
#elif W == 2
#define OLDEST (slot_pos[0] < slot_pos[1] -> slot_pos[0] : slot_pos[1])
#endif
#ifdef LAZY_EARLY
#define MAY_WANT_NONE true
#else
#define MAY_WANT_NONE (n == NT)
#endif
inline announce()
{
#ifdef LAZY
    if
    :: client_waits = 1
    :: wanted_pos = OLDEST; client_waits = 2
    :: atomic { MAY_WANT_NONE -> wanted_pos = NONE }; client_waits = 2
    fi
#else
    client_waits = 1
#endif
}

/* CLIENT_NO_LOOK: sleeps without a look at the rings after client_waits is set. */
inline wait_for_records()
{
    client_bell_changed = 0;                /* b = client_bell */
    announce();
    if
#ifdef CLIENT_NO_LOOK
    :: true
#else
    :: !NEW_RECORDS
    :: atomic { NEW_RECORDS -> client_bell_changed = 1; goto again }
#endif
    fi;
    atomic {
        if
        :: client_bell_changed
        :: else -> client_asleep = 1; client_bell_changed = 1
        fi
    };
    if
    :: atomic { !client_asleep -> goto again }
#if CANCELS
    :: atomic { CANCEL_TO_GIVE -> client_asleep = 0; goto cancel }
#endif
    fi
}

/* How many workers will die and how many tasks will be stopped in this run. */
inline plan_faults()
{
    if
    :: deaths_left = 0
#if DEATHS > 0
    :: deaths_left = 1
#endif
#if DEATHS > 1
    :: deaths_left = 2
#endif
#if DEATHS > 2
    :: deaths_left = 3
#endif
    fi;
    if
    :: stops_left = 0
#if STOPS
    :: stops_left = 1
#endif
    fi;
#if CANCELS
    if
    :: cancel_task = 0
#if NT > 1
    :: cancel_task = 1
#endif
#if NT > 2
    :: cancel_task = 2
#endif
    fi;
#endif
#ifdef GRACE
    if
    :: grace_ends = 1
#if ENDLESS == CHUNK
    :: true
#endif
    fi
#endif
}

#if CANCELS
/*
 * The task is nobody's any more, or `goto claimed`.
 * WITHDRAW_BLINDLY: the word is looked at, then stored.
 */
inline withdraw()
{
    atomic {
        cancel_given = 1;
        q = (IS_SLOT_OF(0) -> slot_pos[0] : slot_pos[W - 1])
    };
#ifdef WITHDRAW_BLINDLY
    atomic {
        if
        :: STATE_OF(words[SLOT(q)]) == CLAIMED -> goto claimed
        :: else
        fi
    };
    words[SLOT(q)] = WORD(GEN(q), WITHDRAWN, 0);
#else
    atomic {                                /* a CAS, tried until none is left to try */
        if
        :: STATE_OF(words[SLOT(q)]) == CLAIMED -> goto claimed
        :: else -> words[SLOT(q)] = WORD(GEN(q), WITHDRAWN, 0)
        fi
    };
#endif
}

/* The outcomes that a withdrawn task still lacks; it may lack none. */
inline end_withdrawn()
{
    i = 0;
    do
    :: i < CHUNK ->
        if
        :: HAS(outcome, ITEM(q, i))
        :: else -> assert(!HAS(finished, ITEM(q, i))); SET(outcome, ITEM(q, i))
        fi;
        i++
    :: else -> break
    od;
    i = 0;
    CLEAR(in_use, SLOT(q)); slot_pos[SLOT(q)] = NONE; q = 0
}

#endif

/* The next position whose slot is free: fills the slot. The tail moves in the next step. */
inline fill_slot()
{
    q = tail;
    do
    :: HAS(in_use, SLOT(q)) -> q++
    :: else -> break
    od;
    SET(in_use, SLOT(q));
    slot_pos[SLOT(q)] = q;
    slot_task[SLOT(q)] = n;
    words[SLOT(q)] = WORD(GEN(q), QUEUED, 0);
    n++
}

/*
 * WITHDRAW_UNDRAINED: a withdrawn task ends before its records are taken from the rings.
 * NO_POKE: the supervisor is not told of a cancel word.
 * REUSE_WHEN_CLAIMED: a slot counts as free as soon as its task is claimed.
 */
active proctype client()
{
    byte n;                                 /* tasks submitted */
    byte in_use;                            /* slots */
    byte slot_pos[W] = NONE;                /* their positions */
    byte q, k, a, b, i, s;
#if CANCELS
    byte wd;                                /* position withdrawn */
#endif

    atomic { plan_faults() };
go_on:
    if
    :: atomic { n < NT && in_use != FULL -> fill_slot() };
       atomic { tail = q + 1; q = 0 };
       RING(CLIENT_STEP, q, goto go_on);
       goto go_on
    :: atomic { (n == NT || in_use == FULL) && in_use != 0 -> goto again }
    :: atomic { n == NT && in_use == 0 -> goto all_done }
#if CANCELS
    :: atomic { CANCEL_TO_GIVE -> goto cancel }
#endif
#ifdef REUSE_WHEN_CLAIMED
    :: atomic {
           n < NT && HAS(in_use, 0) && STATE_OF(words[0]) == CLAIMED ->
           CLEAR(in_use, 0);
           goto go_on
       }
#endif
    fi;
again:
    drain();
    wait_for_records();
#if CANCELS
cancel:
    withdraw();
withdrawn:
    atomic {
        wd = q; q = 0;
#ifndef WITHDRAW_UNDRAINED
        DRAIN_ALL;
#endif
        q = wd; wd = 0;
        end_withdrawn();
        goto go_on
    };
claimed:
    cancels[SLOT(q)] = q;
#ifndef NO_POKE
    poked = 1;
#endif
    atomic { q = 0; goto go_on };
#endif
all_done:
    atomic { assert(outcome == BIT(NT * CHUNK) - 1); command = 1 };
    bell_changed = ALL;
#ifdef END_CHAIN
    atomic { WAKE_ONE(s) }
#else
    asleep = 0
#endif
}
