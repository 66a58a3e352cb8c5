/* SPDX-License-Identifier: MIT */
/*
 * What lies in the segment: the parts of src/shm/segment.h, field by field.
 *
 * Each table gives per field who writes it, who reads it, the order that makes it
 * right (naming the partner), and what holds when the writer has died.
 *
 * Words
 *
 *   position  a task's number, counted from 0 by the client.  Position p uses slot
 *             p mod PPI_WINDOW in generation p / PPI_WINDOW + 1, so that a slot
 *             that is used again is never taken for what it was.
 *   seat      a worker's place: its own part of the segment.  A worker that
 *             replaces another gets a seat that the client has emptied; the
 *             incarnation counts its workers.
 */
#ifndef PPI_QUEUE_LAYOUT_H
#define PPI_QUEUE_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/objects.h"

#define PPI_MAGIC UINT64_C(0x6c6f6f70636f7270) /* "procpool" */
#define PPI_LAYOUT 1

#define PPI_LINE 64

/* Tasks that can be in shared memory at a time; a power of two. */
#define PPI_WINDOW UINT64_C(4096)

/* Records that a worker can be ahead of the client; a power of two. */
#define PPI_RECORDS UINT64_C(1024)

/* From so many records on that nobody has taken, the client's service thread is woken. */
#define PPI_PRESSING (PPI_RECORDS / 4)

/* The most workers, and the most seats: a seat is taken until the client has emptied it. */
#define PPI_MAX_WORKERS 1024
#define PPI_MAX_SEATS (2 * PPI_MAX_WORKERS + 64)

/* The most objects of a fresh image that functions are looked for in. */
#define PPI_MAX_OBJECTS 512

#define PPI_MESSAGE_SIZE 1024 /* of pp_raise(), with the final zero */

#define PPI_CRASH_STACK ((size_t)256 << 10) /* bytes of its stack that a crash report keeps */
#define PPI_CRASH_REGISTERS 33              /* enough for those that unwinding needs */
#define PPI_CRASH_WORDS 256                 /* of libc on why it aborts, with the final zero */

#define PPI_INLINE_ARGS 64 /* bytes of arguments that a slot itself has room for */
#define PPI_INLINE_VALUE 16 /* bytes of a result that a record has room for */

/*
 * Task slot, in the queue part.
 *
 *   field   written by              read by              order          writer dead
 *   all     client, before it       the claimer, the     relaxed;       pool ends
 *           publishes the position  supervisor's reap    published by
 *                                                        word and tail
 *   over    client; set when it     the claimer, the     relaxed: only  pool ends
 *           knows all outcomes      supervisor's reap    liars need it
 *
 * Nobody but the client writes, and it does not before the position has all of
 * its outcomes: a claimer can read at leisure.  A worker that dies may have written
 * that it was at a task which it has long committed: what is over is not handed back.
 */
struct ppi_slot_shm {
    uint64_t begin, end;  /* items of the result; [0, 1) for a single call */
    uint64_t run;         /* the task's function, an address */
    uint64_t args;        /* offset in the segment of the first item's arguments */
    union {
        uint64_t out;      /* of fixed size: offset in the segment of item 0's place; 0: the
                              outbox */
        uint64_t args_end; /* of a string or bytes: offset in the segment of the end of what
                              the arguments point to; 0: they travel with nothing */
    };
    uint64_t limit_ns;    /* that an item may run; 0: no limit */
    uint32_t stride;      /* bytes from one item's arguments to the next's */
    uint32_t result_size; /* per item; 0: nothing is handed back */
    uint32_t grace_ms;    /* from SIGTERM to SIGKILL when it is stopped */
    uint16_t retries;     /* of an item whose worker crashed */
    uint8_t result_kind;  /* PP_VALUE_, PP_STRING_ or PP_BYTES_ */
    _Atomic uint8_t over; /* 1: all of its items have outcomes */
    _Alignas(PPI_LINE) unsigned char inline_args[PPI_INLINE_ARGS];
};
static_assert(sizeof(struct ppi_slot_shm) == 128, "two lines");

/*
 * What the client has taken from a seat, in the queue part.
 *
 *   field      written by          read by           order                      writer dead
 *   taken      client's drain      worker's          release / acquire          pool ends
 *                                  commit
 *   bell       client's drain      worker, futex     after taken; with the      pool ends
 *                                                    seat's wants_room both
 *                                                    sides store, fence, look
 *   released   client's drain,     supervisor        release / acquire          pool ends
 *              after the death
 *   condemned  client's drain      supervisor        release / acquire          pool ends
 *
 * released and condemned hold the incarnation that they are about: a late reader
 * cannot take them for its successor's.
 */
struct ppi_ack_shm {
    _Alignas(PPI_LINE) _Atomic uint64_t taken;
    _Atomic uint32_t bell;
    _Atomic uint32_t released;
    _Atomic uint32_t condemned;
};

enum ppi_command {
    PPI_STARTING,  /* pp_pool_new() has not returned yet: a worker that ends before it is ready
                      fails the pool */
    PPI_RUNNING,
    PPI_FINISH,    /* workers that find nothing to do end; then the supervisor does */
    PPI_TERMINATE, /* kill them */
};

/*
 * The queue part; the argument arena follows it.
 *
 *   field    written by       read by              order                       writer dead
 *   magic…   client, once     whoever attaches     before the first fork       -
 *   tail     client's         worker's claim       release / acquire: all      pool ends
 *            publish                               below it is published
 *   wanted   client that      worker that has      before client_waits is      pool ends
 *            waits            committed            set to PPI_ONE (seq_cst)
 *   client_  client           worker's search      relaxed: a guess            -
 *   cpu
 *   command  client           supervisor, worker   release / acquire; then a   pool ends
 *                                                  poke or the bell
 *   workers  client           supervisor; all      relaxed; then a poke        pool ends
 *                             others: a guess
 *   pin…     client, once     worker at its start  before the first fork       -
 *   awaited  client           worker, once it is   stored, fence, then looks   pool ends
 *                             ready                at the seat's state; the
 *                                                  worker the other way round
 *   audited_ client's audit   worker's claim       relaxed; before audits      pool ends
 *   from
 *   audits   client's audit   worker's claim,      release / acquire: the      pool ends
 *                             sleep                words are mended before
 *   hints    client when it   supervisor           then a poke                 pool ends
 *            is woken by the
 *            death of a worker
 *   birth    client, once     the image that       before the exec             -
 *                             becomes supervisor
 *   cancels  client's cancel  worker before and    seq_cst, then a poke; the   pool ends
 *   [s]                       in a task,           worker fences after runs:
 *                             supervisor's look    one of both sees it
 *
 * A cancel word is 0 or what ppi_cancel_word() makes of the position that it means.
 */
struct ppi_queue_shm {
    uint64_t magic;
    uint32_t layout;
    uint32_t seats;
    _Alignas(PPI_LINE) _Atomic uint64_t tail;
    _Atomic uint64_t wanted;
    _Atomic uint32_t client_cpu;
    _Alignas(PPI_LINE) _Atomic uint32_t command;
    _Atomic uint32_t workers; /* that there are to be */
    _Atomic uint32_t hints; /* that a worker is dying */
    _Atomic uint32_t awaited; /* the seat whose worker wakes the client when it is ready */
    _Atomic uint64_t audited_from; /* below this position no task was to be had at the last audit */
    _Atomic uint64_t audits;
    uint32_t pin_count;           /* CPUs that workers are pinned to; 0: they are not */
    uint32_t pins[PPI_MAX_SEATS]; /* the worker with id k to number k mod pin_count */
    struct ppi_ack_shm acks[PPI_MAX_SEATS];
    struct ppi_slot_shm slots[PPI_WINDOW];
    _Atomic uint64_t cancels[PPI_WINDOW];
    _Alignas(PPI_LINE) unsigned char birth[4096];
};

/*
 * The claims part: all may write, by atomic operations only.
 *
 *   field         changed by                    meaning                    after a death
 *   words[s]      client: publish; worker:      who may run what is in     CLAIMED by the dead:
 *                 claim; supervisor: requeue    the slot                   the reap decides
 *   head          worker's claim                a hint: all below it was   only a hint
 *                                               claimed, or is found by
 *                                               the requeue count
 *   sleepers      its worker; reap clears       bit per seat: is asleep    cleared by the reap
 *                                               or about to be
 *   nappers       its worker; reap clears       bit per seat: asleep, but  cleared by the reap
 *                                               will look again by itself
 *   bell          whoever has work to offer     workers sleep on it        rung by the reap
 *   waking        ring sets to PPI_WOKEN; a     somebody will look for     cleared by the reap
 *                 worker that is woken, or      work without being woken
 *                 about to sleep, clears that;  for it: a wake-up is on
 *                 a worker that searches sets   its way, or a worker
 *                 its own mark, and clears it   searches
 *   client_waits  client sets; waker clears     PPI_ANY, PPI_ONE: the      client is woken by
 *                                               client is asleep or about  the reap
 *                                               to be
 *   client_bell   whoever has a result          the client sleeps on it    rung by the reap
 *   event_waits   client sets; waker clears,    the client's event loop    cleared by the reap
 *                 or sets to PPI_EVENT_OWED     waits for the descriptor,
 *                 and alarms the supervisor     or is about to
 *   service_waits client sets; waker clears     the client's service       cleared by the reap
 *                                               thread dozes
 *   service_bell  a worker that falls asleep    it dozes on this           rung by the reap
 *                 or has much to be taken
 *
 * Sleeping is Dekker's: the sleeper stores its flag, fences and looks for work;
 * the other side stores the work, fences and looks for flags.  One of the two
 * sees the other (see src/queue/wake.c; partners are named there).
 */
struct ppi_claims_shm {
    _Alignas(PPI_LINE) _Atomic uint64_t head;
    _Alignas(PPI_LINE) _Atomic uint32_t bell;
    _Atomic uint32_t waking;
    _Alignas(PPI_LINE) _Atomic uint32_t client_bell;
    _Atomic uint32_t client_waits;
    _Atomic uint32_t event_waits;
    _Alignas(PPI_LINE) _Atomic uint32_t service_bell;
    _Atomic uint32_t service_waits;
    _Alignas(PPI_LINE) _Atomic uint64_t sleepers[(PPI_MAX_SEATS + 63) / 64];
    _Alignas(PPI_LINE) _Atomic uint64_t nappers[(PPI_MAX_SEATS + 63) / 64];
    _Alignas(PPI_LINE) _Atomic uint64_t words[PPI_WINDOW];
};

/*
 * Of client_waits: what the client sleeps for.  PPI_ONE: for the last record of the task at
 * the position wanted, or of none in particular; a worker that finds nothing to do wakes it,
 * too, as does everything that is no worker's going on from one task to the next.
 */
enum { PPI_AWAKE, PPI_ANY, PPI_ONE };

/* Of waking: nobody; a wake-up is on its way; from here on: the worker of seat n searches. */
enum { PPI_NOBODY, PPI_WOKEN, PPI_SEARCHING };

/* Of event_waits: the waker has no descriptor any more, the supervisor shall do it. */
#define PPI_EVENT_OWED 2

/* How an item, or a run of items, ended; and news. */
enum ppi_outcome {
    PPI_OK = 1,
    PPI_RAISE,   /* payload: the message */
    PPI_NO_ROOM, /* the result is larger than memory; payload_size says how large */
    PPI_CRASH,   /* the supervisor's: code is the wait status, seat the dead one's */
    PPI_TIMEOUT, /* the supervisor's: the item was stopped at its time limit */
    PPI_CANCEL,  /* of all items [first, first + count) */
    PPI_RETRY,   /* the supervisor's, no outcome: this item's worker has crashed as in PPI_CRASH,
                    and it will be run again */
    PPI_DEATH,   /* the supervisor's, no outcome: this seat's worker is dead; position is
                    its incarnation, first the tail of its records, payload its pid;
                    payload_size the task that it was at, if it was at one, of which
                    items below count have records; value[0] how it died, a pp_cause.  What
                    was recorded of its item comes right before it */
};

enum {
    PPI_LAST = 1, /* the task is over: the commit of the whole */
    PPI_NULL = 2, /* a string that is NULL */
    PPI_ENDED = 4, /* of a death: the supervisor killed the worker because the pool ends */
    PPI_IN_PLACE = 8, /* the values lie where the slot's out says: there is no payload */
    PPI_IN_ARGS = 16, /* the string or bytes lie among the task's own arguments */
    PPI_IN_ORDER = 32, /* of a death: the worker had retired */
    PPI_OVERDUE = 64, /* of a death: its finalizer had run too long */
};

/*
 * A completion record: the outcome of items [first, first + count) of a task.  In
 * a seat's ring and in the supervisor's.
 *
 *   field  written by          read by                 order              writer dead
 *   all    the ring's owner,   client's drain; reap,   before its tail    what the tail
 *          before the tail     after the death         moves (release)    covers is valid
 *
 * The client copies a record before it looks at it, and believes none of it.
 */
struct ppi_record_shm {
    uint64_t position;
    uint64_t first, count;
    uint64_t payload; /* offset in the seat's outbox; with PPI_IN_ARGS: in the segment, from
                         the slot's args on and before its args_end */
    uint64_t payload_size;
    int32_t code;
    uint16_t seat; /* whose outbox the payload lies in */
    uint8_t outcome;
    uint8_t flags;
    unsigned char value[PPI_INLINE_VALUE]; /* a payload of this size or less */
};
static_assert(sizeof(struct ppi_record_shm) == PPI_LINE, "one line");

/*
 * What a worker's signal handler leaves of its crash; pages that a worker which does not
 * crash never touches.
 *
 *   field     read by             order                      writer dead
 *   all       client, after the   before the seat's crashed  as a task may have left them:
 *             death                                          copied, then checked
 *
 * The client reads it when the supervisor has recorded the death, and before it says that
 * the seat is released: until then nobody else sits there.
 */
struct ppi_crash_shm {
    int32_t signal;
    int32_t code;      /* si_code */
    uint32_t overflow; /* 1: there was no more room on the stack */
    uint64_t address;  /* si_addr, if it is of a fault */
    uint64_t pc, sp;
    uint32_t count; /* of registers, numbered as DWARF does; 0: of no machine that we know */
    uint64_t registers[PPI_CRASH_REGISTERS];
    uint64_t stack_at, stack_size; /* what was copied, and how much */
    char words[PPI_CRASH_WORDS];
    unsigned char stack[PPI_CRASH_STACK];
};

enum ppi_seat_state {
    PPI_SEAT_STARTING, /* the initializer has not returned */
    PPI_SEAT_FAILED,   /* it failed: code and message say how */
    PPI_SEAT_READY,
    PPI_SEAT_FINALIZING, /* it runs no more tasks, but the pool's finalizer */
    PPI_SEAT_RAISED,   /* which called pp_raise(): code and message say what */
    PPI_SEAT_RETIRED,  /* ended as it should, after its last task or when told to */
};

/*
 * A seat, written by its worker only; its outbox follows it.
 *
 *   field        read by                 order                          writer dead
 *   tail         client's drain;         release / acquire: THE COMMIT  records below it
 *                reap, after the death                                  are outcomes
 *   wants_room   client's drain          stored, fence, then looks at   -
 *                                        taken again
 *   cpu          client that waits       relaxed: a guess               -
 *   incarnation  client's drain; reap    release, after the others      an older one: the
 *                                        were set at the start          rest is not its own
 *   state        client at creation;     release / acquire              RETIRED and FAILED
 *                reap; supervisor's                                     are no crashes; in
 *                look; stats                                            the finalizer no
 *                                                                       task is lost
 *   intent       reap only               before the CAS of the claim    the claim word says
 *                                                                       whether it came to it
 *   runs         reap; progress          release / acquire: after item  differs from intent:
 *                                        and outbox_at                  nothing was started
 *   item         reap; progress          relaxed, after the result      this item was running
 *   outbox_at    reap only               before runs                    where results of
 *                                                                       [run_first, item) are
 *   run_first    reap only               before item moves              see outbox_at
 *   survived     supervisor's look       release, after a call of the   meaningless
 *                                        kernel: the signal has been
 *   started      supervisor's look       release, fence, then looks at  meaningless
 *                                        control.looks_at; 0 before item
 *                                        moves on
 *   tasks,       client's stats          before counted, which is       of a dead one
 *   items                                release / acquire              nobody asks
 *   counted      client's stats          see tasks; equal to runs: the  the same
 *                                        worker runs nothing now
 *   waiting,     client's stats          relaxed: a word says it all    the same
 *   ready_at
 *   code,        client at creation;     before state                   valid if state
 *   message      bury                                                   is FAILED or RAISED
 *   crashed      client, after the       release, after crash           not its incarnation:
 *                death                                                  there is no report
 *
 * The reap reads after the kernel has said that the worker runs no more: all that it
 * stored is there, in its program order, so compiler order is all that it needs of
 * the fields that only it, or only the client after it, reads.
 */
struct ppi_seat_shm {
    _Alignas(PPI_LINE) _Atomic uint64_t tail;
    _Atomic uint32_t wants_room;
    _Atomic uint32_t incarnation;
    _Atomic uint32_t state;
    _Atomic uint32_t cpu;
    int32_t code; /* of FAILED and RAISED; message below */
    _Atomic uint32_t crashed; /* the incarnation whose report crash is */

    _Alignas(PPI_LINE) _Atomic uint64_t intent;
    _Atomic uint64_t runs;
    _Atomic uint64_t item;
    _Atomic uint64_t run_first;
    _Atomic uint64_t outbox_at;
    _Atomic uint64_t started; /* when the running item was, if it has a time limit; or 0 */
    _Atomic uint32_t survived; /* the stop word whose SIGTERM it has outlived */

    _Alignas(PPI_LINE) _Atomic uint64_t tasks; /* that were run, to the end or to the worker's */
    _Atomic uint64_t items;    /* of these */
    _Atomic uint64_t counted;  /* the last of these */
    _Atomic uint64_t waiting;  /* ns without a task; see PPI_WAITS */
    _Atomic uint64_t ready_at; /* when the initializer had returned; or 0 */

    _Alignas(PPI_LINE) struct ppi_record_shm records[PPI_RECORDS];
    char message[PPI_MESSAGE_SIZE];
    _Alignas(PPI_LINE) struct ppi_crash_shm crash;
};

/* What a worker's intent and runs are before the first. */
#define PPI_NO_POSITION UINT64_MAX

/*
 * Of a seat's waiting: the worker waits, and the rest of the word is since when, minus the
 * time that it had waited before.  Without this bit: the time that it has waited.
 */
#define PPI_WAITS (UINT64_C(1) << 63)

enum ppi_pool_state {
    PPI_POOL_STARTING,
    PPI_POOL_RUNNING, /* as many workers as were asked for have been forked */
    PPI_POOL_BROKEN,  /* no more workers; failure says why */
    PPI_POOL_STOPPED, /* all processes but the supervisor are gone, for good */
};

enum ppi_control_seat_state { PPI_EMPTY, PPI_LIVE, PPI_DEAD };

/* The low bits of a stop word; the others count, so that each stop has words of its own. */
enum {
    PPI_STOP_OFF,
    PPI_STOP_MAYBE, /* its task may be about to be stopped: begin nothing else */
    PPI_STOP_TERM,  /* SIGTERM was sent: say when that is survived, and begin nothing else */
    PPI_STOP_BITS,
};

/* What the supervisor says of a seat. */
struct ppi_control_seat_shm {
    _Alignas(32) _Atomic uint32_t state;
    _Atomic uint32_t incarnation;
    _Atomic int32_t pid;
    _Atomic uint32_t stop;
    _Atomic uint32_t dismissed; /* 1: the worker is to leave when it has done its task */
    _Atomic uint32_t id;        /* the worker's, from 0; of those that live, each has its own */
    _Atomic uint32_t life;      /* how many workers have had this id, from 1 */
};

/*
 * The control part, written by the supervisor only.
 *
 *   field        read by                 order                            writer dead
 *   life         client, futex           the kernel sets FUTEX_OWNER_DIED and wakes
 *                                        when the supervisor dies (robust futex)
 *   robust_…     the kernel, when the    before life                      leads it to life
 *                supervisor dies
 *   state        client                  release / acquire, then          life says so
 *                                        client_bell
 *   tail         client's drain          release / acquire                as a seat's
 *   seats_end    client's drain, news;   release / acquire: raised before  pool ends
 *                waiters, to guess       a seat is announced, lowered when
 *                                        the client has released those from
 *                                        there on
 *   requeues     worker's claim, sleep   release / acquire: resume and    -
 *                                        the word are set before
 *   resume[s]    the claimer of a        before the word's CAS to         -
 *   attempt[s]   REQUEUED word           REQUEUED (acq_rel)
 *   looks_at     worker, after started   stored, fence, then looks at     pool ends
 *                was set                 the seats' started
 *   stop of a    its worker, before it   seq_cst, fence, then looks at    pool ends
 *   seat         begins anything; futex  what it runs: either it sees
 *                                        the flag, or is seen to go on;
 *                                        TERM after the signal was sent
 *   dismissed    its worker before each  relaxed; then the bell; may be     pool ends
 *   of a seat    task and before it      taken back
 *                sleeps; client when it
 *                buries that
 *   seats[w]     client, worker w        id and life before incarnation,  pool ends
 *                                        incarnation before state; pid
 *                                        also by the worker, before it is
 *                                        confined: before its first record
 *   dying        futex only              0 for ever: the kernel wakes one who sleeps on
 *                                        it when a worker begins to die
 *   spare        client when it ends     release / acquire                pool ends
 *   call         the spare, futex        release / acquire: called_to_seat  pool ends
 *                                        and called_incarnation are set before,
 *                                        and not again until that seat has this
 *                                        incarnation, or its worker is dead
 *   failure…     client                  before state                     -
 *   objects…     client                  before life                      -
 */
struct ppi_control_shm {
    _Alignas(PPI_LINE) _Atomic uint32_t life;
    _Atomic uint32_t state;
    uint64_t robust_node[2]; /* the kernel's struct robust_list ... */
    uint64_t robust_head[3]; /* ... and struct robust_list_head, of which it is the one node */
    int32_t failure_status;  /* wait status, or 0 */
    int32_t failure_code;    /* what the initializer returned, or -errno of the call that failed */
    char failure[PPI_MESSAGE_SIZE];
    uint32_t failure_seat; /* whose last worker died so, with a status */
    _Alignas(PPI_LINE) _Atomic uint64_t tail;
    _Atomic uint32_t seats_end; /* on those from here on is nobody, and nothing left to take */
    _Alignas(PPI_LINE) _Atomic uint64_t requeues;
    _Alignas(PPI_LINE) _Atomic uint64_t looks_at; /* when it looks at time limits next */
    _Atomic uint32_t dying;
    _Atomic int32_t spare; /* pid of a process that waits for a seat, or 0 */
    _Atomic uint32_t call; /* the number of the spare that was given a seat last: this one */
    uint32_t called_to_seat, called_incarnation;
    struct ppi_control_seat_shm seats[PPI_MAX_SEATS];
    _Atomic uint64_t resume[PPI_WINDOW];
    _Atomic uint32_t attempt[PPI_WINDOW]; /* of the item at resume; from 1 on */
    struct ppi_record_shm records[4 * PPI_MAX_SEATS];
    uint32_t objects_count; /* PP_SPAWN: what is loaded in it, and so in its workers */
    struct ppi_object objects[PPI_MAX_OBJECTS];
};

/* A death leaves at most three records, and a seat at most one death. */
#define PPI_CONTROL_RECORDS (4 * (uint64_t)PPI_MAX_SEATS)

#endif
