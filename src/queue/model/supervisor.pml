/* SPDX-License-Identifier: MIT */
/* The supervisor: reaps the dead, replaces them, stops what lasts too long or is cancelled. */

inline write_death()
{
    own_ring!DEATH,v,0,0;
    p = NONE; c = 0; i = 0;
#if CAN_STOP
    stop_pos[v] = NONE; stop_item[v] = 0;   /* the stop is over with the death */
    CLEAR(asked, v); CLEAR(by_itself, v)
#endif
}

/*
 * The number of crashes of item i before this one: it is known of the item that the task was
 * handed back at.
 * TRIES_OF_TASK, TRIES_OF_SLOT: attempts are not told apart by item, nor by position.
 * TRIES_LOST: a crash does not count. TRIES_DROPPED: a task handed back unbegun counts anew.
 */
#if defined(TRIES_OF_TASK)
#define ATTEMPT_IS_OF_ITEM (resume_pos[SLOT(p)] == p)
#elif defined(TRIES_OF_SLOT)
#define ATTEMPT_IS_OF_ITEM (resume[SLOT(p)] == i)
#else
#define ATTEMPT_IS_OF_ITEM (resume_pos[SLOT(p)] == p && resume[SLOT(p)] == i)
#endif
#define ATTEMPT_AT_ITEM (ATTEMPT_IS_OF_ITEM -> attempt[SLOT(p)] : 0)
#if RETRIES && !defined(TRIES_DROPPED)
#define SAME_ATTEMPT next_attempt = ATTEMPT_AT_ITEM;
#else
#define SAME_ATTEMPT
#endif

/*
 * had_begun(): its worker has shown the task in run_pos, and did not wait with it for the end
 * of the stop of another.
 * REAP_BY_RUNS: the stop is not looked at.
 */
#if CAN_STOP && !defined(REAP_BY_RUNS)
#define HAD_BEGUN (run_pos[v] == p && (stop_pos[v] == NONE || stop_pos[v] == p))
#else
#define HAD_BEGUN (run_pos[v] == p)
#endif

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
    :: !HAD_BEGUN -> i = c; SAME_ATTEMPT goto requeue    /* nothing is lost */
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
#if CAN_STOP
        CLEAR(started, v); STOP_OFF(v);
#endif
        SET(alive, v)
    :: running != 0 -> wanted--
    fi;
    v = 0
}

/* Item i of position p was running when its worker died by itself, or may have been. */
inline crash()
{
#if CAN_STOP
    assert(HAS(by_itself, v));
#endif
#if RETRIES
    if
    :: ATTEMPT_AT_ITEM < RETRIES ->
#ifndef TRIES_LOST
        next_attempt = ATTEMPT_AT_ITEM + 1;
#endif
        assert(!HAS(retried, ITEM(p, i)));
        SET(retried, ITEM(p, i)); CLEAR(called, ITEM(p, i));
        goto requeue
    :: else -> assert(HAS(retried, ITEM(p, i)))
    fi;
#endif
    own_ring!CRASHED,p,i,i + 1; i++
}

/* REAP_ANY_ITEM: an item that its worker had not begun, since it waited, is timed out. */
#ifdef REAP_ANY_ITEM
#define WAITED_BEFORE_ITEM false
#else
#define WAITED_BEFORE_ITEM (i > stop_item[v])
#endif

/* A stop is for an item (time limit) or for all of its task (cancel). */
inline end_item()
{
#if CAN_STOP
    if
    :: stop_pos[v] == NONE -> crash()
    :: stop_pos[v] != NONE && stop_item[v] == ANY -> own_ring!CANCELLED,p,i,CHUNK; i = CHUNK
    :: stop_pos[v] != NONE && stop_item[v] != ANY ->
        if
        :: WAITED_BEFORE_ITEM -> goto requeue
        :: else -> own_ring!TIMED_OUT,p,i,i + 1; i++
        fi
    fi
#else
    crash()
#endif
}

/*
 * Looks at a seat whose worker is taken for living. No second stop while one is active there:
 * the supervisor looks for another when the first is over.
 */
#if SEATS == 1
#define SEATS_THAT(is) is(0)
#else
#define SEATS_THAT(is) (is(0) + 2 * is(1))
#endif
#define ENDED(v, p) (last_pos[v] == p && last_end[v] == CHUNK)
#define RUNS(v) \
    (HAS(running, v) && run_pos[v] != NONE && !ENDED(v, run_pos[v]) && \
     words[SLOT(run_pos[v])] == WORD(GEN(run_pos[v]), CLAIMED, v))
#define TOO_LONG(v) (RUNS(v) && HAS(started, v) && stop_pos[v] == NONE && MAY_BE_NEXT(v))
#ifdef CANCEL_SOON
#define CANCELLED_AT(v) 0
#else
#define CANCELLED_AT(v) \
    (RUNS(v) && cancels[SLOT(run_pos[v])] == run_pos[v] && stop_pos[v] == NONE)
#endif
#define STILL_RUNS(v, p, i) \
    (RUNS(v) && run_pos[v] == p && (i == ANY || (HAS(started, v) && run_item[v] == i)))
#define TARGET_RUNS(v) STILL_RUNS(v, stop_pos[v], stop_item[v])

/*
 * A SIGKILL once sent ends only with the worker. After a SIGTERM (asked) the supervisor looks
 * again when the grace period ends, and when it is poked; a worker that has survived does so.
 * CLEAR_KILLED: a stop is over even after a SIGKILL.
 * CLEAR_AT_ONCE: a stop is over when what it means is, survived or not.
 */
#ifdef CLEAR_KILLED
#define MAY_GO_ON(v) (stop_pos[v] != NONE)
#else
#define MAY_GO_ON(v) HAS(asked, v)
#endif
#ifdef CLEAR_AT_ONCE
#define IS_OVER(v) (MAY_GO_ON(v) && (HAS(survived, v) || !TARGET_RUNS(v)))
#else
#define IS_OVER(v) (MAY_GO_ON(v) && HAS(survived, v))
#endif
#define IS_DUE(v) (HAS(asked, v) && (IS_OVER(v) || TARGET_RUNS(v)))

/* STOP_BLIND: no second look after the stop word is MAYBE. */
#ifdef STOP_BLIND
#define SECOND_LOOK true
#else
#define SECOND_LOOK STILL_RUNS(v, p, i)
#endif

inline end_stop(v)
{
    STOP_OFF(v); CLEAR(asked, v);
    stop_pos[v] = NONE; stop_item[v] = 0
}

inline go_on_stopping()
{
#ifdef GRACE
    if :: IS_OVER(0) -> end_stop(0) :: else fi;
#if SEATS > 1
    if :: IS_OVER(1) -> end_stop(1) :: else fi
#endif
#else
    skip
#endif
}

inline send_kill(v)
{
    if :: HAS(alive, v) -> SET(killed, v) :: else fi
}

/*
 * A SIGTERM that its worker survives is not sent here.
 * TERM_FIRST: the stop word is TERM before the signal is sent.
 */
#define SEND_TERM(v) if :: HAS(alive, v) -> SET(termed, v) :: else fi

/*
 * After the reaping of v: NO_WAKE_WORKERS, NO_WAKE_CLIENT: that side is not woken.
 * WAKING_STAYS: waking is not reset. NO_WAKE_AT_END: nobody is woken when all are to end.
 * LOOK_TORN: the first look reads started before item, and not once more after it. (In C the
 * second look would still find another time in started.)
 */
active proctype supervisor()
{
    byte v, p = NONE, c, i;
    byte wanted = NW;                       /* workers */
    byte running = FIRST_SEATS;             /* seats whose workers it takes for living */
#if RETRIES
    byte next_attempt;                      /* attempt[] of what is handed back */
#endif

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
           stops_left > 0 && SEATS_THAT(TOO_LONG) != 0 ->
           CHOOSE(v, SEATS_THAT(TOO_LONG)); stops_left--;
           p = run_pos[v]; i = run_item[v]; late = ITEM(p, i)
       };
#ifdef LOOK_TORN
       i = run_item[v];
#endif
       goto stop
#endif
#if CANCELS
    :: atomic {
           poked -> poked = 0;
           go_on_stopping();
           if
           :: SEATS_THAT(CANCELLED_AT) != 0 ->
               CHOOSE(v, SEATS_THAT(CANCELLED_AT)); p = run_pos[v]; i = ANY
           :: else -> goto end_wait
           fi
       };
       goto stop
#elif defined(GRACE)
    :: atomic { poked -> poked = 0; go_on_stopping(); goto end_wait }
#endif
#ifdef GRACE
    :: atomic {
           grace_ends && !poked && SEATS_THAT(IS_DUE) != 0 ->
           CHOOSE(v, SEATS_THAT(IS_DUE));
           if
           :: IS_OVER(v) -> poked = 1       /* it looks on, as if it was poked */
           :: else -> CLEAR(asked, v); send_kill(v)
           fi;
           v = 0;
           goto end_wait
       }
#endif
    fi;
crashed:
    atomic {
        if
        :: i < CHUNK -> end_item()
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
#if RETRIES
        attempt[SLOT(p)] = next_attempt; next_attempt = 0;
#endif
        assert(words[SLOT(p)] == WORD(GEN(p), CLAIMED, v));
        words[SLOT(p)] = WORD(GEN(p), REQUEUED, 0)
    };
    requeue_new = ALL;                      /* requeue_seq++ */
tell_client:
    atomic { write_death() };
wake_all:
    CLEAR(sleepers, v);
#ifdef END_CHAIN
    if                                      /* it may have looked before there was a command */
    :: atomic { command -> v = 0; goto wake_to_end }
    :: true
    fi;
#endif
#ifndef WAKING_STAYS
    waking = 0;
#endif
#ifndef NO_WAKE_WORKERS
    bell_changed = ALL;
    asleep = 0;
#endif
#ifndef NO_WAKE_CLIENT
    client_waits = 0;
    client_bell_changed = 1;
    client_asleep = 0;
#endif
    atomic { v = 0; goto end_wait };
#ifdef END_CHAIN
wake_to_end:
#ifndef NO_WAKE_AT_END
    bell_changed = ALL;
    atomic { WAKE_TWO(v) };
#endif
    goto end_wait;
#endif
#if CAN_STOP
stop:
    atomic { STOP_MAYBE(v) };
    atomic {
        if
        :: SECOND_LOOK ->
            assert(i == ANY || (ITEM(p, i) == late && HAS(called, late)));
            stop_pos[v] = p; stop_item[v] = i;
            if
            :: send_kill(v); goto stopped
#ifdef GRACE
            :: SET(asked, v)                /* and the task survives the SIGTERM */
#ifdef TERM_FIRST
            :: SET(asked, v); STOP_TERM(v); goto term
#else
            :: SET(asked, v); SEND_TERM(v)
#endif
#endif
            fi
        :: else -> STOP_OFF(v); goto stopped
        fi
    };
#ifdef GRACE
    atomic { STOP_TERM(v); goto stopped };
#ifdef TERM_FIRST
term:
    atomic { SEND_TERM(v) };
#endif
#endif
stopped:
    atomic { p = NONE; c = 0; i = 0; v = 0; goto end_wait }
#endif
}
