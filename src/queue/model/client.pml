/* SPDX-License-Identifier: MIT */
/* The client: submits NT tasks, waits for all outcomes, gives the stop command. */

#define CLIENT_STEP(...) atomic { __VA_ARGS__ }
#define FULL (BIT(W) - 1)

/* FREE_AT_LAST: a slot is free when the record that ends the chunk is in, not when all are. */
#ifdef FREE_AT_LAST
#define COMPLETE (i == CHUNK || end == CHUNK)
#else
#define COMPLETE (i == CHUNK)
#endif

/* A record: each item gets its outcome, once; the slot is free when all items have theirs. */
inline take(pos, first, end, kind)
{
    assert(HAS(in_use, SLOT(pos)) && slot_pos[SLOT(pos)] == pos);
#if STOPS
    assert(kind == OK || died || pos == target);
#endif
    i = first;
    do
    :: i < end ->
        assert(!HAS(outcome, ITEM(pos, i)));
        assert((kind == OK) == HAS(finished, ITEM(pos, i)));
        assert(HAS(started, ITEM(pos, i)) || (i > 0 && HAS(finished, ITEM(pos, i - 1))));
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

inline drain_seat(s)
{
    do
    :: len(ring_of[s]) != 0 -> ring_of[s]?q,a,b; take(q, a, b, OK)
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
inline drain()
{
    atomic {
        drain_seat(0);
#if SEATS > 1
        THEN drain_seat(1);
#endif
#if SEATS > 2
        THEN drain_seat(2);
#endif
        THEN drain_supervisor();
        if
        :: in_use == 0 || (n < NT && in_use != FULL) -> goto go_on
        :: else
        fi
    }
}

/* CLIENT_NO_LOOK: sleeps without a look at the rings after client_waits is set. */
inline wait_for_records()
{
    client_bell_changed = 0;                /* b = client_bell */
    client_waits = 1;
    if
#ifdef CLIENT_NO_LOOK
    :: true
#else
    :: !NEW_RECORDS
    :: atomic { NEW_RECORDS -> client_bell_changed = 1; client_waits = 0; goto again }
#endif
    fi;
    atomic {
        if
        :: client_bell_changed
        :: else -> client_asleep = 1; client_bell_changed = 1
        fi
    };
    atomic { !client_asleep -> client_waits = 0; goto again }
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
    fi;
    if
    :: stops_left = 0
#if STOPS
    :: stops_left = 1
#endif
    fi
}

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

/* REUSE_WHEN_CLAIMED: a slot counts as free as soon as its task is claimed. */
active proctype client()
{
    byte n;                                 /* tasks submitted */
    byte in_use;                            /* slots */
    byte slot_pos[W] = NONE;                /* their positions */
    byte q, k, a, b, i, s;

    atomic { plan_faults() };
go_on:
    if
    :: atomic { n < NT && in_use != FULL -> fill_slot() };
       atomic { tail = q + 1; q = 0 };
       RING(CLIENT_STEP, q, goto go_on);
       goto go_on
    :: atomic { (n == NT || in_use == FULL) && in_use != 0 -> goto again }
    :: atomic { n == NT && in_use == 0 -> goto all_done }
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
all_done:
    atomic { assert(outcome == BIT(NT * CHUNK) - 1); command = 1 };
    bell_changed = ALL;
    asleep = 0
}
