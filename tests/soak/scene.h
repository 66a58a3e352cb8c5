/* SPDX-License-Identifier: MIT */
/*
 * scene.h - what all processes of the soak share: items and what is to become of them,
 * marks that workers leave, and what the conductor and the client tell each other
 *
 * The conductor starts a client, kills the workers of its pools, and watches.  The client
 * plays round after round: a pool, work, checks.  Each field says who writes it.
 */
#ifndef TESTS_SOAK_SCENE_H
#define TESTS_SOAK_SCENE_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { ITEMS = 1 << 17, MARKS = 1 << 16 };

/* What a task does with an item. */
enum kind {
    QUICK,
    WORK,       /* spins for some microseconds */
    NAP,        /* sleeps for some hundred */
    RAISE,
    SEGV,
    ABORT,
    EXIT,
    SUICIDE,    /* SIGKILL, by its own hand */
    CRASH_ONCE, /* at the first attempt */
    HANG,       /* for ever: its call has a time limit */
    FREEZE,     /* SIGSTOP, likewise */
    LINGER,     /* until SIGTERM comes: it has a grace period, too */
    KINDS,
};

struct item {
    atomic_uchar begun, ended; /* by workers: how often */
    uint8_t kind, retries;     /* by the client, before it is submitted */
    uint8_t size;              /* likewise: of its bytes, 0 to 2 */
    uint8_t outcomes;          /* by the client: that it has been told of */
};

/* Of the worker with this pid, modulo MARKS. */
struct mark {
    atomic_int ran;    /* by itself: its pid, since it has begun a task */
    atomic_int at;     /* by itself: enum doing */
    atomic_int killed; /* by the conductor: its pid, before the signal ... */
    _Atomic double when;
};
enum doing { NOTHING_YET, IN_TASK, RETURNED };

/* What a kill hit, as far as it can be seen from outside just before. */
enum hit { HIT_RUNNING, HIT_RETURNED, HIT_FRESH, HIT_SPARE, HIT_SUPERVISOR, HITS };

enum stage {
    SETTING_UP, /* nobody is to be killed */
    CREATING,   /* the pool is being made: workers may be killed if .early */
    OPEN,
    QUIET,      /* nobody is to be killed any more: checks */
    FREED,      /* nobody is to be left; the conductor goes on to SETTING_UP when nobody is */
};

/* How the conductor kills in a round; by the client, before the stage is CREATING. */
struct fury {
    unsigned pause_us;      /* on average between kills; 0: none are killed */
    unsigned fresh;         /* so many that have not run anything yet */
    unsigned spares;        /* so many of these */
    bool early;             /* also while the pool is made */
    bool unbounded;         /* whoever it is: the pool may give up */
    unsigned supervisor_us; /* after so long that one is killed; 0: it is not */
};

struct totals {
    atomic_ulong rounds, orders, items, failed;
    atomic_ulong lost;         /* to kills from outside, for good */
    atomic_ulong again;        /* attempts that were lost, and were made again */
    atomic_ulong crashed;      /* by themselves */
    atomic_ulong raised, timed_out, cancelled, ended, broken;
    atomic_ulong unseen;       /* freed before their end was seen */
    atomic_ulong deaths;       /* of SIGKILL from outside, as .on_death told */
    atomic_ulong gave_up;      /* pools */
    atomic_ulong orphaned;     /* pools that lost their supervisor */
    atomic_ulong resized, terminated;
    _Atomic double worst_answer; /* seconds from a kill to .on_death */
    atomic_ulong rss_kb, rss_base_kb, heap, heap_base;
};

struct scene {
    /* By the client. */
    _Atomic uint64_t round_seed;
    atomic_int stage;
    atomic_ulong steps; /* anything that shows that it goes on */
    struct fury fury;
    char plan[256]; /* the round in words */
    struct totals totals;
    atomic_bool failed;

    /* By the conductor. */
    atomic_bool killing;            /* it is about to */
    atomic_bool stop;               /* after this round */
    atomic_bool supervisor_killed;  /* in this round; before it is */
    atomic_ulong kills[HITS];
    atomic_ulong round_kills;       /* of workers, in this round */

    /* By workers. */
    atomic_int last;                /* the one that has begun an item last */
    atomic_ulong begun;             /* items: as long as there are more it does not hang */
    atomic_ulong wrong;             /* items that found something wrong themselves */

    struct mark marks[MARKS];
    struct item items[ITEMS];
};

extern struct scene *scene;

/* Makes it, so that it is inherited by forks and found by images of the program. */
void scene_make(void);

static inline struct mark *mark_of(pid_t pid)
{
    return &scene->marks[(unsigned)pid % MARKS];
}

/* Ends the process that found it, and with it the run. */
#define WRONG(...) wrong(__FILE__, __LINE__, __VA_ARGS__)
#define MUST(condition) ((condition) ? (void)0 : WRONG("not true: %s", #condition))
_Noreturn void wrong(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

double now(void);
void pause_us(unsigned long microseconds);
void spin_us(unsigned long microseconds);

/* splitmix64: any number is a good seed. */
static inline uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
    z = (z ^ z >> 27) * 0x94d049bb133111eb;
    return z ^ z >> 31;
}

static inline unsigned below(uint64_t *state, unsigned limit)
{
    return (unsigned)((draw(state) >> 32) * limit >> 32);
}

/* True once in so many times. */
static inline bool once_in(uint64_t *state, unsigned times)
{
    return below(state, times) == 0;
}

#endif
