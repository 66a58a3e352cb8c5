/* SPDX-License-Identifier: MIT */
#ifndef NW
#define NW 2
#endif
#ifndef SEATS
#define SEATS NW
#endif
#ifndef W
#define W 2
#endif
#ifndef NT
#define NT 3
#endif
#ifndef CHUNK
#define CHUNK 1
#endif
#ifndef DEATHS
#define DEATHS 1
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef MEET
#define MEET 0
#endif

/* ---- Words, masks ---- */

#define NONE 15
#define QUEUED 1
#define REQUEUED 2
#define CLAIMED 3
#define WORD(gen, state, seat) ((gen) * 16 + (state) * 4 + (seat))
#define GEN(p) ((p) / W + 1)
#define SLOT(p) ((p) % W)
#define STATE_OF(word) (((word) / 4) % 4)
#define GEN_OF(word) ((word) / 16)

#define BIT(i) (1 << (i))
#define HAS(mask, i) (((mask) >> (i)) & 1)
#define SET(mask, i) mask = mask | BIT(i)
#define CLEAR(mask, i) mask = mask & (255 - BIT(i))
#define ALL (BIT(SEATS) - 1)
#define COUNT(mask) (HAS(mask, 0) + HAS(mask, 1) + HAS(mask, 2))
#define ITEM(task, i) ((task) * CHUNK + (i))

/* ---- Shared memory ---- */

/* queue part: the client writes */
byte tail = 0;
byte slot_task[W];
byte released = ALL - (BIT(NW) - 1);
bit command = 0;

/* claims part: all write */
byte head = 0;
byte words[W];
byte sleepers = 0;
bit waking = 0;
byte bell_changed = ALL;
byte asleep = 0;
bit client_waits = 0;
bit client_bell_changed = 1;
bit client_asleep = 0;

/* seats: their worker writes */
byte intent[SEATS] = NONE;
byte run_pos[SEATS] = NONE;
byte run_item[SEATS];
byte last_pos[SEATS] = NONE;
byte last_end[SEATS];
chan ring_of[SEATS] = [W * CHUNK] of { byte, byte, byte };

/* control part: the supervisor writes */
byte resume[W];
byte resume_pos[W] = NONE;
byte requeue_new = 0;
byte stop_flag = 0;
#define OK 0
#define CRASHED 1
#define DEATH 2
chan own_ring = [3 * (DEATHS + STOPS) + 1] of { byte, byte, byte, byte };

/* what the kernel knows */
byte alive = BIT(NW) - 1;
byte dead = 0;
byte killed = 0;
byte deaths = 0;

/* ghosts: for assertions only */
byte started = 0;
byte finished = 0;
byte outcome = 0;
byte target = NONE;

#if SEATS == 1
#define CHOOSE(v, mask) if :: HAS(mask, 0) -> v = 0 fi
#elif SEATS == 2
#define CHOOSE(v, mask) if :: HAS(mask, 0) -> v = 0 :: HAS(mask, 1) -> v = 1 fi
#else
#define CHOOSE(v, mask) if :: HAS(mask, 0) -> v = 0 :: HAS(mask, 1) -> v = 1 :: HAS(mask, 2) -> v = 2 fi
#endif

/* ---- Worker ---- */

#define w _pid

/* With seats that are all alike, the first worker to die may as well be worker 0. */
#ifdef SYMMETRIC
#define MAY_DIE ((deaths < DEATHS && (deaths > 0 || w == 0)) || HAS(killed, w))
#else
#define MAY_DIE (deaths < DEATHS || HAS(killed, w))
#endif

inline die()
{
#if STOPS
    assert(!HAS(killed, w) || !in_call || p == target);
    in_call = 0;
#endif
    if
    :: HAS(killed, w) -> CLEAR(killed, w)
    :: else -> deaths++
    fi;
    CLEAR(alive, w); SET(dead, w); CLEAR(asleep, w); SET(bell_changed, w); SET(requeue_new, w);
    h = 0; t = 0; p = 0; e = 0; item = 0; c = 0
}

/* One step of a worker; instead of it, the worker may die. */
#define DIES atomic { MAY_DIE -> die(); goto end_empty_seat }
#define STEP(...) if :: atomic { __VA_ARGS__ } :: DIES fi
/* One step of the client, which does not die. */
#define CLIENT_STEP(...) atomic { __VA_ARGS__ }

#ifdef RINGER_RESETS
#define NOBODY_WOKE(STEP) ; STEP(waking = 0)
#else
#define NOBODY_WOKE(STEP)
#endif
#define RING(STEP, v, DONE) \
    STEP(if :: sleepers == 0 -> DONE :: else fi); \
    STEP(if :: waking -> DONE :: else -> waking = 1 fi); \
    STEP(bell_changed = ALL); \
    STEP( \
        if \
        :: asleep != 0 -> CHOOSE(v, asleep); CLEAR(asleep, v); v = 0; DONE \
        :: else \
        fi) NOBODY_WOKE(STEP)

#ifdef NO_GENERATION
#define CLAIMABLE(word, p) (STATE_OF(word) == QUEUED || STATE_OF(word) == REQUEUED)
#else
#define CLAIMABLE(word, p) ((word) == WORD(GEN(p), QUEUED, 0) || (word) == WORD(GEN(p), REQUEUED, 0))
#endif
#ifdef TWO_STEP_CLAIM
#define CLAIMER 3
#else
#define CLAIMER w
#endif

/* The CAS of a claim: the word is still e. */
inline take_it()
{
    words[SLOT(p)] = WORD(GEN_OF(e), CLAIMED, CLAIMER);
    item = (STATE_OF(e) == REQUEUED -> resume[SLOT(p)] : 0);
    e = 0
}

/* Looks at the positions from the head hint to the tail. */
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
    :: atomic { p >= t -> p = 0; if :: head == h -> head = t :: else fi; h = 0; goto nothing_queued }
    :: DIES
    od
}

/* Looks at all words, if the supervisor has requeued something since the last look. */
inline claim_requeued()
{
    STEP(
        if :: command -> goto exits :: else fi;
        if :: HAS(requeue_new, w) -> CLEAR(requeue_new, w) :: else -> goto nothing_requeued fi);
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

inline sleep_on_bell()
{
    STEP(t = 0; CLEAR(bell_changed, w));
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
    STEP(waking = 0; goto next)
}

#if MEET
#define MAY_RETURN (slot_task[SLOT(p)] != 0 || HAS(started | outcome, ITEM(NT - 1, 0)) || COUNT(alive) < 2)
#else
#define MAY_RETURN true
#endif

/* The call of the user's function begins. */
inline start_item()
{
    assert(!HAS(started, ITEM(slot_task[SLOT(p)], item)));
    SET(started, ITEM(slot_task[SLOT(p)], item));
#if STOPS
    in_call = 1
#endif
}

/* The call returns, its result is in the arena. */
inline finish_item()
{
    SET(finished, ITEM(slot_task[SLOT(p)], item));
    item++;
    run_item[w] = item;
#if STOPS
    in_call = 0
#endif
}

inline write_record()
{
    assert(len(ring_of[w]) < W * CHUNK);
    ring_of[w]!p,c,item;
    last_pos[w] = p; last_end[w] = item; c = item;
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

active [SEATS] proctype worker()
{
    byte h, t, p, e, item, c;
#if STOPS
    bit in_call;
#endif

end_empty_seat:
    HAS(alive, w);
next:
    if
    :: atomic { item == 0 -> h = head }
    :: atomic { item != 0 -> start_item(); goto call }
    :: DIES
    fi;
    claim();
nothing_queued:
    claim_requeued();
nothing_requeued:
    sleep_on_bell();

claimed:
#ifdef TWO_STEP_CLAIM
    STEP(words[SLOT(p)] = WORD(GEN(p), CLAIMED, w));
#endif
    STEP(if :: head == h -> head = p + 1 :: else fi; h = 0);
claimed_requeued:
#ifndef NO_CHAIN
    STEP(if :: t < tail -> t = 0 :: else -> t = 0; goto run_it fi);
    RING(STEP, e, goto run_it);
#endif
run_it:
    t = 0;
#if STOPS && !defined(STOP_UNCHECKED)
    STEP(!HAS(stop_flag, w));
#endif
#ifdef RUN_POS_FIRST
    STEP(run_pos[w] = p);
#endif
    STEP(run_item[w] = item; run_pos[w] = p; c = item; start_item());
call:
    STEP(MAY_RETURN; finish_item());
    if
    :: atomic { item < CHUNK -> start_item(); goto call }
    :: atomic { true -> write_record() }
    :: DIES
    fi;
    wake_client();

exits:
    atomic { CLEAR(alive, w); CLEAR(killed, w); h = 0; t = 0; p = 0 };
end_exited:
    false
}

/* ---- Supervisor ---- */

inline death_record()
{
    own_ring!DEATH,v,0,0;
    p = NONE; c = 0; i = 0
}

/* What the dead worker of seat v has left undone, judged from its intent, the word and its last record. */
inline judge()
{
    p = intent[v];
    if
    :: p == NONE -> death_record(); goto tell
    :: else
    fi;
    if
    :: words[SLOT(p)] != WORD(GEN(p), CLAIMED, v) -> death_record(); goto tell
    :: else
    fi;
#ifdef RESUME_FORGOTTEN
    c = 0;
#else
    c = (resume_pos[SLOT(p)] == p -> resume[SLOT(p)] : 0);
#endif
#ifndef RUN_ITEM_ALONE
    if
    :: last_pos[v] == p && last_end[v] == CHUNK -> death_record(); goto tell
    :: last_pos[v] == p && last_end[v] != CHUNK -> c = last_end[v]
    :: else
    fi;
#endif
    if
    :: run_pos[v] != p -> i = c; goto requeue
    :: else
    fi;
    i = (run_item[v] > c -> run_item[v] : c);
    if
    :: c < i -> own_ring!OK,p,c,i
    :: else -> goto crashed
    fi
}

inline fork_worker()
{
    CHOOSE(v, released);
    if
    :: true ->
        CLEAR(released, v); SET(running, v);
#ifndef SEAT_NOT_RESET
        intent[v] = NONE; run_pos[v] = NONE; last_pos[v] = NONE; run_item[v] = 0; last_end[v] = 0;
#endif
        CLEAR(stop_flag, v);
        SET(alive, v)
    :: running != 0 -> wanted--
    fi;
    v = 0
}

#define RUNS(v) (HAS(running, v) && run_pos[v] != NONE)
#if SEATS == 1
#define STOPPABLE RUNS(0)
#else
#define STOPPABLE (RUNS(0) + 2 * RUNS(1))
#endif

active proctype supervisor()
{
    byte v, p = NONE, c, i;
    byte wanted = NW;
    byte running = BIT(NW) - 1;
#if STOPS
    byte stops = 0;
#endif

end_wait:
    if
    :: atomic { dead != 0 -> CHOOSE(v, dead); CLEAR(dead, v); CLEAR(running, v); judge() }
    :: atomic { COUNT(running) < wanted && released != 0 && !command -> fork_worker(); goto end_wait }
#if STOPS
    :: atomic {
           stops < STOPS && STOPPABLE != 0 -> CHOOSE(v, STOPPABLE); stops++; i = run_pos[v] };
       SET(stop_flag, v);
       atomic {
           if
#ifdef STOP_BLIND
           :: HAS(alive, v) -> SET(killed, v); target = i
#else
           :: HAS(alive, v) && run_pos[v] == i && !(last_pos[v] == i && last_end[v] == CHUNK) ->
               SET(killed, v); target = i
#endif
           :: else -> CLEAR(stop_flag, v)
           fi;
           i = 0; v = 0;
           goto end_wait
       }
#endif
    fi;
crashed:
    atomic {
        if
        :: i < CHUNK -> own_ring!CRASHED,p,i,i + 1; i++
        :: else
        fi;
        if
        :: i < CHUNK
        :: else -> goto finish
        fi
    };
requeue:
    atomic {
        resume[SLOT(p)] = i;
        resume_pos[SLOT(p)] = p;
        assert(words[SLOT(p)] == WORD(GEN(p), CLAIMED, v));
        words[SLOT(p)] = WORD(GEN(p), REQUEUED, 0)
    };
    requeue_new = ALL;
finish:
    atomic { death_record() };
tell:
    CLEAR(sleepers, v);
#ifndef WAKING_STAYS
    waking = 0;
#endif
#ifndef NO_WAKE_WORKERS
    bell_changed = ALL;
    asleep = 0;
#endif
#ifndef NO_WAKE_CLIENT
    client_bell_changed = 1;
    client_asleep = 0;
#endif
    atomic { v = 0; goto end_wait }
}

/* ---- Client ---- */

#ifdef FREE_AT_LAST
#define ALL_HAVE_OUTCOMES (i == CHUNK || end == CHUNK)
#else
#define ALL_HAVE_OUTCOMES (i == CHUNK)
#endif

/* A record: each item gets its outcome, once; the slot is free when all items have theirs. */
inline take(pos, first, end, kind)
{
    assert(HAS(in_use, SLOT(pos)) && slot_pos[SLOT(pos)] == pos);
#if STOPS
    assert(kind == OK || deaths > 0 || pos == target);
#endif
    i = first;
    do
    :: i < end ->
        assert(!HAS(outcome, ITEM(slot_task[SLOT(pos)], i)));
        assert((kind == OK) == HAS(finished, ITEM(slot_task[SLOT(pos)], i)));
        SET(outcome, ITEM(slot_task[SLOT(pos)], i));
        i++
    :: else -> break
    od;
    i = 0;
    do
    :: ALL_HAVE_OUTCOMES -> CLEAR(in_use, SLOT(pos)); slot_pos[SLOT(pos)] = NONE; break
    :: i < CHUNK && !ALL_HAVE_OUTCOMES && HAS(outcome, ITEM(slot_task[SLOT(pos)], i)) -> i++
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

inline seat_is_done()
{
    s = q; q = 0;
    drain_seat(s);
    do
    :: i < W ->
        assert(!(HAS(in_use, i) && words[i] == WORD(GEN(slot_pos[i]), CLAIMED, s)));
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
#define NOTHING_NEW (len(ring_of[0]) + len(own_ring) == 0)
#elif SEATS == 2
#define NOTHING_NEW (len(ring_of[0]) + len(ring_of[1]) + len(own_ring) == 0)
#else
#define NOTHING_NEW (len(ring_of[0]) + len(ring_of[1]) + len(ring_of[2]) + len(own_ring) == 0)
#endif
#ifdef SYMMETRIC
#define AND_THEN
#else
#define AND_THEN }; atomic {
#endif

inline drain()
{
    atomic {
        drain_seat(0);
#if SEATS > 1
        AND_THEN
        drain_seat(1);
#endif
#if SEATS > 2
        AND_THEN
        drain_seat(2);
#endif
        AND_THEN
        drain_supervisor();
        if
        :: in_use == 0 || (n < NT && in_use != BIT(W) - 1) -> goto drained
        :: else
        fi
    }
}

inline wait_for_records()
{
    client_bell_changed = 0;
    client_waits = 1;
    if
#ifdef CLIENT_NO_LOOK
    :: atomic { true -> skip }
#else
    :: atomic { NOTHING_NEW -> skip }
    :: atomic { !NOTHING_NEW -> client_bell_changed = 1; client_waits = 0; goto again }
#endif
    fi;
    atomic { if :: client_bell_changed :: else -> client_asleep = 1; client_bell_changed = 1 fi };
    atomic { !client_asleep -> client_waits = 0; goto again }
}

/* Finds a position whose slot is free, fills the slot. */
inline submit()
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

active proctype client()
{
    byte n, q, k, a, b, i, s;
    byte in_use;
    byte slot_pos[W] = NONE;

drained:
    if
    :: atomic { n < NT && in_use != BIT(W) - 1 -> submit() };
       atomic { tail = q + 1; q = 0 };
       RING(CLIENT_STEP, q, goto drained);
       atomic { goto drained }
    :: atomic { n == NT && in_use == 0 -> goto all_done }
#ifdef REUSE_WHEN_CLAIMED
    :: atomic { n < NT && HAS(in_use, 0) && STATE_OF(words[0]) == CLAIMED -> CLEAR(in_use, 0); goto drained }
#endif
    :: atomic { (n == NT && in_use != 0) || in_use == BIT(W) - 1 -> goto again }
    fi;
again:
    drain();
    wait_for_records();
all_done:
    atomic { assert(outcome == (1 << (NT * CHUNK)) - 1); command = 1 };
    bell_changed = ALL;
    asleep = 0
}
