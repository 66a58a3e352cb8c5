/* SPDX-License-Identifier: MIT */
/* The supervisor: reaps the dead, replaces them, stops a task. */

inline write_death()
{
    own_ring!DEATH,v,0,0;
    p = NONE; c = 0; i = 0
}

/*
 * What the dead worker of seat v left undone: items [c, i) done without a record, item i
 * crashed, the rest to be requeued. All that it reads stands still: the seat's worker is dead,
 * and a word {gen, CLAIMED, v} without a last record is changed by the supervisor alone.
 * RUN_ITEM_ALONE: the last record is not looked at.
 * RESUME_FORGOTTEN: a requeued task is taken for one that began at its first item.
 */
inline judge()
{
    p = intent[v];
    if
    :: p == NONE -> write_death(); goto wake_all
    :: else
    fi;
    if
    :: words[SLOT(p)] != WORD(GEN(p), CLAIMED, v) -> write_death(); goto wake_all
    :: else
    fi;
#ifndef RESUME_FORGOTTEN
    c = (resume_pos[SLOT(p)] == p -> resume[SLOT(p)] : 0);
#endif
#ifndef RUN_ITEM_ALONE
    if
    :: last_pos[v] == p && last_end[v] == CHUNK -> write_death(); goto wake_all
    :: last_pos[v] == p && last_end[v] != CHUNK -> c = last_end[v]
    :: else
    fi;
#endif
    if
    :: run_pos[v] != p -> i = c; goto requeue           /* not started: nothing is lost */
    :: else
    fi;
    i = (run_item[v] > c -> run_item[v] : c);
    if
    :: c < i -> own_ring!OK,p,c,i
    :: else -> goto crashed
    fi
}

/*
 * May fail, and for good as long as a worker is left. The new worker's seen is 0, as at the
 * start of the pool, so it scans for requeued tasks if there ever was one (die() has set
 * requeue_new).
 * KEEP_INTENT, KEEP_RUN_POS, KEEP_LAST: that field of the seat is not reset.
 * SEEN_AT_FORK: the new worker starts with seen = requeue_seq.
 */
inline fork_worker()
{
    CHOOSE(v, released);
    if
    :: true ->
        CLEAR(released, v); SET(running, v);
#ifndef KEEP_INTENT
        intent[v] = NONE;
#endif
#ifndef KEEP_RUN_POS
        run_pos[v] = NONE; run_item[v] = 0;
#endif
#ifndef KEEP_LAST
        last_pos[v] = NONE; last_end[v] = 0;
#endif
#ifdef SEEN_AT_FORK
        CLEAR(requeue_new, v);
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
/* STOP_BLIND: no second look after the stop flag is set. */
#ifdef STOP_BLIND
#define STILL_RUNS(v, p) HAS(alive, v)
#else
#define STILL_RUNS(v, p) \
    (HAS(alive, v) && run_pos[v] == p && !(last_pos[v] == p && last_end[v] == CHUNK))
#endif

/*
 * After the reaping of v: NO_WAKE_WORKERS, NO_WAKE_CLIENT: that side is not woken.
 * WAKING_STAYS: waking is not reset.
 */
active proctype supervisor()
{
    byte v, p = NONE, c, i;
    byte wanted = NW;                       /* workers */
    byte running = FIRST_SEATS;             /* seats whose workers it takes for living */

end_wait:
    if
    :: atomic { dead != 0 -> CHOOSE(v, dead); CLEAR(dead, v); CLEAR(running, v); judge() }
    :: atomic {
           COUNT(running) < wanted && released != 0 && !command ->
           fork_worker();
           goto end_wait
       }
#if STOPS
    :: atomic {
           stops_left > 0 && STOPPABLE != 0 ->
           CHOOSE(v, STOPPABLE); stops_left--; i = run_pos[v] };
       SET(stop_flag, v);
       atomic {
           if
           :: STILL_RUNS(v, i) -> SET(killed, v); target = i
           :: else -> CLEAR(stop_flag, v)   /* and futex_wake */
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
        :: else -> goto tell_client
        fi
    };
requeue:
    atomic {
        resume[SLOT(p)] = i;
        resume_pos[SLOT(p)] = p;
        assert(words[SLOT(p)] == WORD(GEN(p), CLAIMED, v));
        words[SLOT(p)] = WORD(GEN(p), REQUEUED, 0)
    };
    requeue_new = ALL;                      /* requeue_seq++ */
tell_client:
    atomic { write_death() };
wake_all:
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
