/* SPDX-License-Identifier: MIT */
/*
 * Promela model of the protocol between client, supervisor and workers.
 * `./verify` runs all configurations with spin; this header says what they mean.
 *
 * Files: pool.pml (shared memory, parameters), worker.pml with claims.pml and idle.pml,
 * supervisor.pml, client.pml.
 * An inline stands for a C function or a part of one, a field for one in layout.h, where run_pos
 * is called runs, run_item item, and requeue_seq requeues; attempts count from 0 here.
 *
 * What is checked, in every configuration
 *  - Every item gets exactly one outcome: a second one violates an assertion in take(), a
 *    missing one leaves the client waiting for ever, which is an invalid end state.
 *  - No item is called twice, one that crashed included (start_item()), but for one more call
 *    with RETRIES after its first crash; CRASHED is said only after its last.
 *  - OK is said only of items that were finished, the rest only of items that were not, and a
 *    crash costs only an item that had begun or that came next in a chunk already begun
 *    (take()); with stops, where a worker may wait in between, one that its seat showed.
 *  - CRASHED is said, and an item tried again, only if its worker has died by itself (crash()),
 *    TIMED_OUT only of the item whose time was up, CANCELLED only of the task that the client
 *    has cancelled.
 *  - A worker that dies by a signal of the supervisor's is in no call, or in that of the item,
 *    or of the task, that the signal was meant for (die()).
 *  - A cancelled task ends even if it never returns (ENDLESS).
 *  - A record is of the position that its slot has now; a seat that is given back holds no
 *    claim (seat_is_done()): the client's safety net is for nonsense only.
 *  - Nobody sleeps for ever: the end labels are "supervisor waits for events", "no process on
 *    this seat" and "worker has left after the stop command". A worker asleep on the bell
 *    after the stop command is an error, so is a client that waits.
 *  - With MEET, task MEET-1 returns only when the last task has been started, as long as two
 *    workers live: a queued task beside a sleeping worker is then a deadlock, not a mere
 *    delay.
 *
 * Deaths: a worker may die in place of any of its steps (DIES), DEATHS times in a run, so also
 * while another one is being reaped, and the new worker on the same seat again. A replacement
 * may fail for good as long as one worker is left. How many of the DEATHS and STOPS happen, and
 * whether a SIGTERM will kill, is chosen beforehand: a death that can still come would hide a
 * hang, since it wakes everybody. Client and supervisor do not die here: their deaths end the
 * pool as a whole and need no protocol in shared memory.
 *
 * Sleeping: waking says that somebody will look for work without being woken for it: a wake-up
 * is on its way (WOKEN), or a worker searches (its MARK(), with SEARCH). Each clears only what
 * it has said itself, and looks once more afterwards; who is about to sleep also clears WOKEN
 * (it may be left by one who reached nobody), but no mark. The mark of a dead worker is cleared
 * by the reap. With NAP a worker may sleep for a moment without its sleepers bit: a wake-up that
 * was meant for a sleeper may hit it, so it clears WOKEN and looks, too.
 *
 * Telling the client: the record that ends a task leaves its worker with something untold. It
 * tells the client when it has claimed the next task and stored run_pos (begin()), or when it
 * has found none, before it searches, sleeps or leaves. Other records are told of at once. With
 * LAZY a client that waits for the end of one task, or for all that it has submitted, which is
 * all there is, may say so (client_waits is 2, wanted_pos): then who begins another task tells it
 * only of the task that it wants; who finds nothing does in any case, and so does the reap.
 *
 * The end: the command finds all workers, by a look or by the bell. With END_CHAIN the client
 * wakes one, each worker that ends two more, and the reap of one that has died then as well.
 *
 * Stops: the supervisor makes the stop word MAYBE, looks again at what the worker runs, and only
 * then sends SIGKILL, or with GRACE SIGTERM, after which it makes the word TERM. While the word
 * is not OFF the worker begins nothing: the signal hits what was seen, or a worker that waits.
 * One that finds TERM makes a call of the kernel, by which the SIGTERM has killed it or never
 * will, says that it has survived that word, and pokes the supervisor, which only then makes the
 * word OFF. So a stop is not forgotten before the death that it may cause is known, and the reap
 * judges by it: what lies beyond the stop's target had not begun. After a SIGKILL the word stays.
 * A time limit stops an item of a limited task (all are, in a configuration with STOPS), at any
 * time while started says that it runs; a cancel stops all of a task. A worker whose own task is
 * cancelled does not wait: it begins nothing of that task any more, and waits before the next.
 * Cancel: the client withdraws a task that is QUEUED or REQUEUED by a CAS; one that is CLAIMED
 * it names in the cancel word, and pokes the supervisor. Either the worker sees the cancel word
 * after it has stored run_pos, or the supervisor sees run_pos. With CANCEL_SOON the supervisor
 * stops nothing for it (PPI_SOON).
 *
 * What is abstracted
 *  - Memory is sequentially consistent: see "Memory order" below.
 *  - One step is one access to memory that another process can see at that time, together with
 *    what is private. Stores to a seat are seen by nobody before the worker's death (waitid),
 *    so they are joined with the access beside them: dying between the two is dying before
 *    both. The bytes of a record are joined with the move of the ring's tail that publishes
 *    them, the contents of a slot with its word. Several loads of which each can only turn
 *    from "nothing new" into "something new" are one step: if all said "nothing", they did so
 *    at the first. A load and the exchange that follows it if it pays are the exchange alone.
 *  - Where a worker's look at the positions begins, at head or at a place of its own, does not
 *    matter as long as nothing below is QUEUED: what is not QUEUED will never be, so to pass
 *    over it is no step that anybody could tell. Nor does it matter that it looks at what lies
 *    below the tail as read before, and reads it again only then: it does before it says that
 *    there is nothing. So the claim is one look, find(), below a tail that was read before it;
 *    a REQUEUED task it may see or not. With HINTS it is position by position as in C, with
 *    head, the private position (past) and the tail as known, in configurations of their own;
 *    whether head is moved after a claim (HEAD_STEP in C) is chosen each time.
 *  - The looks of a search are none: it may end at any time, and go to claim or to sleep.
 *    Whether a worker searches or naps, which in C depends on the CPUs and on what paid until
 *    now, is chosen each time.
 *  - A counter of which only "has it changed since I read it?" is used (bell, client_bell,
 *    requeue_seq, the upper bits of the stop word) is a bit per reader; survived is one, too:
 *    "is the stop word". So they never wrap; in C that takes 2^30 steps at least.
 *  - futex_wait compares and sleeps in one step, as the kernel does; futex_wake chooses any
 *    one sleeper; a process killed in its sleep may have swallowed a wake. No spurious
 *    returns: they are like a wake that finds nothing.
 *  - The time that an item has run is not counted: it may be up at once, or never. So started is
 *    a bit; in C it is the time, which tells one item's from another's. A look that finds the
 *    same before and after it has read run_item and run_pos is one step, since they stand still
 *    meanwhile. That started is zero and that run_item moves on are one step: while it is zero
 *    the supervisor does not go by run_item.
 *  - The looks of the supervisor after the flag is set are one step: what it saw before can only
 *    turn from "still so" into "no longer so". The poke and the looks that follow it are one: no
 *    other process can tell, but by a poke in between, which would make it look once more.
 *  - Not here: the client's service thread, which sleeps like the client but is woken by workers
 *    that fall asleep or have many records; its event loop, which is told when the client is;
 *    workers that retire or are dismissed: they tell the client as those that leave, and are to
 *    all others like workers that die between two tasks; that there are to be more of them, or
 *    fewer, is a fork that comes late, or that fails for good; the audit of damaged words.
 *  - An argument arena, payloads and ring overflow are left out (rings are large enough here,
 *    an assertion says so). The client is one thread, and drains only when it has to wait.
 *
 * Memory order: what the C code must add for the model to hold
 *  - release/acquire: tail (slot and word before it); the CAS of a word, acq_rel (resume[]
 *    before REQUEUED, slot contents after the claim); each completion ring's tail (record,
 *    payload and run_item before it); the supervisor's ring tail; requeue_seq++ after the CAS
 *    to REQUEUED; released[]; command.
 *  - Store, seq_cst fence, load on both sides (either side may be the last to look):
 *      submit: tail | sleepers, waking     worker: sleepers bit, WOKEN cleared | head, tail,
 *          words, requeue_seq, command (the reaper and the stop command wake all, without a look)
 *      submit: tail | waking   woken worker, one that has searched or napped: waking | tail,
 *          words
 *      commit: ring tail | client_waits    client: client_waits | the tails of all rings
 *          (the fence is that of start:, or one of its own when nothing was found)
 *      start: run_item, run_pos | stop word, cancel word (also after a limited item: run_item)
 *          stop: stop word | ring tail, run_pos, run_item, started
 *          cancel: cancel word, poke | run_pos (looked at by the supervisor, after a fence)
 *  - bell is read (acquire) before the sleepers bit is set, client_bell before client_waits.
 *    CAS(waking), bell++ and exchange(client_waits), client_bell++ are seq_cst in that order,
 *    each bell++ before its futex_wake. The mark is set by a CAS, and cleared by one.
 *  - intent before the CAS; run_item before run_pos: program order is enough for the reaper (a
 *    dead process has executed a prefix of its program), so the compiler must keep it: at
 *    least relaxed atomics with signal fences, release stores to be plain. Who reads them of a
 *    living worker (stop) needs release/acquire: started, run_item, run_pos, started again.
 *    started before the call; zero before run_item moves on, and before the next run_pos.
 *  - The stop word is TERM after kill(), survived stored (release) after the call of the kernel,
 *    the poke after that. The cancel word before the stop word that is due to it.
 *
 * Parameters: NW workers, SEATS seats (all above NW are spare), W slots, NT tasks of CHUNK
 * items, DEATHS, STOPS (items that last too long), CANCELS (tasks that are cancelled, unless
 * they end before), ENDLESS (from which item on the cancelled task never returns), RETRIES,
 * LIMITED (tasks have a time limit, as always with STOPS), GRACE, MEET, COMMIT_FIRST (each item
 * has a record, before run_item moves on; else a record is written when several may be done, and
 * the stop word was looked at), SEARCH, NAP, LAZY, HINTS, END_CHAIN. SYMMETRIC: the client drains
 * all rings in one step, by which all workers are alike, so that the first to die or to last too
 * long may as well be worker 0.
 * Configurations and the variants that must be rejected: see the table in `verify`; each
 * variant is a macro, explained where it is used.
 */
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
#define NT 2
#endif
#ifndef CHUNK
#define CHUNK 1
#endif
#ifndef DEATHS
#define DEATHS 0
#endif
#ifndef STOPS
#define STOPS 0
#endif
#ifndef CANCELS
#define CANCELS 0
#endif
#ifndef RETRIES
#define RETRIES 0
#endif
#if STOPS > 1 || CANCELS > 1 || DEATHS > 3
#error "plan_faults() chooses no more than that"
#endif
#if RETRIES > 1
#error "retried is a set"
#endif
#if SEATS > 3 || W > 3
#error "CHOOSE(), ANY_WORD() know of no more"
#endif
#ifndef ENDLESS
#define ENDLESS CHUNK
#endif
#define CAN_STOP (STOPS || CANCELS)
#if CAN_STOP && SEATS > 2
#error "SEATS_THAT() looks at no more"
#endif
#if STOPS && !defined(LIMITED)
#define LIMITED
#endif
#ifndef MEET
#define MEET 0
#endif

/* A set of seats or of items is a byte. */
#define BIT(i) (1 << (i))
#define HAS(mask, i) (((mask) >> (i)) & 1)
#define SET(mask, i) mask = mask | BIT(i)
#define CLEAR(mask, i) mask = mask & (255 - BIT(i))
#define COUNT(mask) (HAS(mask, 0) + HAS(mask, 1) + HAS(mask, 2))
/* A seat's stop word: OFF unless in stop_flag, then TERM if in stop_term, else MAYBE. */
#define STOP_OFF(v) CLEAR(stop_flag, v); CLEAR(stop_term, v); NEW_WORD(v)
#define STOP_MAYBE(v) SET(stop_flag, v); NEW_WORD(v)
#define STOP_TERM(v) SET(stop_term, v); NEW_WORD(v)
#if defined(GRACE) || CANCELS
#define NEW_WORD(v) SET(stop_changed, v); CLEAR(survived, v)
#else
#define NEW_WORD(v) skip
#endif
#define ITEM_HIT(item, target) ((target) == ANY || (target) == (item))
#define ALL (BIT(SEATS) - 1)
#define FIRST_SEATS (BIT(NW) - 1)

/* The first worker that dies or is stopped may as well be worker 0. */
#ifdef SYMMETRIC
#define MAY_BE_NEXT(v) (died || late != NONE || (v) == 0)
#else
#define MAY_BE_NEXT(v) true
#endif

/* v becomes any seat of the set. */
#if SEATS == 1
#define CHOOSE(v, mask) if :: HAS(mask, 0) -> v = 0 fi
#elif SEATS == 2
#define CHOOSE(v, mask) if :: HAS(mask, 0) -> v = 0 :: HAS(mask, 1) -> v = 1 fi
#else
#define CHOOSE(v, mask) \
    if :: HAS(mask, 0) -> v = 0 :: HAS(mask, 1) -> v = 1 :: HAS(mask, 2) -> v = 2 fi
#endif

/* A claim word: {generation, state, seat}; 0 if never used, seat 0 unless CLAIMED. */
#define WITHDRAWN 0
#define QUEUED 1
#define REQUEUED 2
#define CLAIMED 3
#define WORD(gen, state, seat) ((gen) * 16 + (state) * 4 + (seat))
#define STATE_OF(word) (((word) / 4) % 4)
#define GEN_OF(word) ((word) / 16)
#define GEN(p) ((p) / W + 1)
#define SLOT(p) ((p) % W)
#define NONE 15                             /* no position */
#define ANY CHUNK                           /* all items of the position */
/* Item i of position p among all items. */
#define ITEM(p, i) (slot_task[SLOT(p)] * CHUNK + (i))

/* ---- queue part: written by the client ---- */
byte tail;
byte slot_task[W];                          /* contents of a slot: which task */
byte released = ALL - FIRST_SEATS;          /* seats on which the supervisor may fork */
bit command;                                /* 1: stop */
#if CANCELS
byte cancels[W] = NONE;                     /* the position whose task is cancelled */
#endif

/* ---- claims part: written by all ---- */
#ifdef HINTS
byte head;
#endif
byte words[W];
byte sleepers;
byte waking;                                /* 0, WOKEN or the MARK() of who searches */
#define WOKEN 1
#define MARK(w) (2 + (w))
byte bell_changed = ALL;                    /* has bell moved since this worker read it? */
byte asleep;                                /* kernel: who sleeps on bell */
#ifdef LAZY
byte client_waits;                          /* 1; 2: is lazy */
byte wanted_pos;                            /* then: a position, or NONE in particular */
#else
bit client_waits;
#endif
bit client_bell_changed = 1;
bit client_asleep;

/* ---- seats: written by their workers, reset by the supervisor before a fork ---- */
byte intent[SEATS] = NONE;
byte run_pos[SEATS] = NONE;
byte run_item[SEATS];
#if CAN_STOP
byte started;                               /* per seat: a limited item runs */
byte survived;                              /* per seat: is the stop word */
#endif
byte last_pos[SEATS] = NONE;                /* the ring's last record, read or not: position */
byte last_end[SEATS];                       /* first + count: has LAST if it is CHUNK */
#if CANCELS
chan ring_of[SEATS] = [W * CHUNK] of { byte, byte, byte, byte };
#define WITH_KIND(kind) , kind
#else
chan ring_of[SEATS] = [W * CHUNK] of { byte, byte, byte };      /* position, first, end */
#define WITH_KIND(kind)
#endif

/* ---- control part: written by the supervisor ---- */
byte resume[W];
byte resume_pos[W] = NONE;                  /* the position that resume[] is of */
#if RETRIES
byte attempt[W];                            /* of the item at resume[], from 0 on */
#endif
byte requeue_new;                           /* per worker: requeue_seq != seen */
byte stop_flag;                             /* per seat: the stop word is not OFF */
byte stop_term;                             /* but TERM */
byte stop_changed = ALL;                    /* per worker: since it found it not OFF */
bit poked;                                  /* an eventfd: the supervisor looks at all seats */
#define OK 0
#define CRASHED 1
#define DEATH 2
#define TIMED_OUT 3
#define CANCELLED 4
chan own_ring = [3 * (DEATHS + STOPS + CANCELS) + 1] of { byte, byte, byte, byte };  /* kind first */

/* ---- private to the supervisor ---- */
#if CAN_STOP
byte stop_pos[SEATS] = NONE;                /* what a signal was sent for: position, */
byte stop_item[SEATS];                      /* and item or ANY */
byte asked;                                 /* seats in their grace period, or past it */
#endif

/* ---- what the kernel knows of the workers ---- */
byte alive = FIRST_SEATS;
byte dead;                                  /* dead, waitid() has not said so yet */
byte killed;                                /* SIGKILL is on its way */
byte termed;                                /* SIGTERM is; it need not kill */
byte deaths_left;
byte stops_left;
#if CANCELS
byte cancel_task = NONE;                    /* will be cancelled, unless it ends before */
#endif
#ifdef GRACE
bit grace_ends;                             /* or only the worker says that its item is over */
#endif
bit died;                                   /* has there been a death of its own accord? */
#if CAN_STOP
byte by_itself;                             /* seats: the death that is not yet reaped was one */
#endif

/* ---- for assertions only: sets of items ---- */
byte called;
byte finished;
byte outcome;
byte retried;
byte late = NONE;                            /* the item whose time was up when it was seen */
bit cancel_given;

/*
 * ring(): wakes one worker if some may sleep and nobody is on its way or searches. STEP is the
 * caller's kind of step, DONE ends it, v is a free local variable. A worker on its way resets
 * waking, and so does each worker before its last look round: the ringer itself never does.
 * RING_OVERWRITES: waking is exchanged, whatever it was.
 * RINGER_RESETS: the ringer does if it woke nobody, instead of the worker that goes to sleep.
 * In between a worker can lie down, and a submit still sees waking == 1.
 */
#ifdef RINGER_RESETS
#define WOKE_NOBODY(STEP) ; STEP(waking = 0)
#else
#define WOKE_NOBODY(STEP)
#endif
#ifdef RING_OVERWRITES
#define OVERWRITE waking = WOKEN
#else
#define OVERWRITE skip
#endif
#define RING(STEP, v, DONE) \
    STEP(if :: sleepers == 0 -> DONE :: else fi); \
    STEP(if :: waking != 0 -> OVERWRITE; DONE :: else -> waking = WOKEN fi); \
    STEP(bell_changed = ALL); \
    STEP( \
        if \
        :: asleep != 0 -> CHOOSE(v, asleep); CLEAR(asleep, v); v = 0; DONE \
        :: else \
        fi) WOKE_NOBODY(STEP)

/* Wakes of those who sleep on the bell one, or two if there are. */
#define WAKE_ONE(v) if :: asleep != 0 -> CHOOSE(v, asleep); CLEAR(asleep, v); v = 0 :: else fi
#define WAKE_TWO(v) WAKE_ONE(v); WAKE_ONE(v)

/* A chunk that is not at its end goes on after a record. */
#if !CAN_STOP
#define NEXT_ITEM start_item(); goto call
#elif defined(COMMIT_FIRST)
#define NEXT_ITEM goto item_over
#else
#define NEXT_ITEM goto not_stopped
#endif

/* In this order: processes are numbered from 0, a worker's number is its seat. */
#include "worker.pml"
#include "supervisor.pml"
#include "client.pml"
