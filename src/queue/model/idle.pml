/* SPDX-License-Identifier: MIT */
/* What a worker does that found nothing to do: it searches, naps, sleeps. */

/* What a worker has to say in waking is over; the mark of another's search stays. */
#define CLEAR_WOKEN if :: waking == WOKEN -> waking = 0 :: else fi
#define CLEAR_MARK if :: waking == MARK(w) -> waking = 0 :: else fi

/*
 * A search: the worker is awake, says so, and looks again and again. How that ends needs no
 * look here: what it found may be gone, what it missed may have come afterwards.
 * KEEP_MARK: it does not clear its mark. MARK_UNTIL_CLAIM: if it has found something it does
 * so only after pass_on(). MARK_UNTIL_SLEEP: if it has not, only after its last look.
 */
#if defined(KEEP_MARK)
#define FOUND_CLEARS skip
#define FAILED_CLEARS skip
#elif defined(MARK_UNTIL_CLAIM)
#define FOUND_CLEARS skip
#define FAILED_CLEARS CLEAR_MARK
#elif defined(MARK_UNTIL_SLEEP)
#define FOUND_CLEARS CLEAR_MARK
#define FAILED_CLEARS skip
#else
#define FOUND_CLEARS CLEAR_MARK
#define FAILED_CLEARS CLEAR_MARK
#endif
inline search()
{
    if
    :: atomic { true -> CLEAR(bell_changed, w); goto sleep }    /* not now */
    :: atomic { waking == 0 -> waking = MARK(w) }
    :: DIES
    fi;
    if
    :: atomic { true -> FOUND_CLEARS; goto next }
    :: atomic { true -> FAILED_CLEARS }
    :: DIES
    fi
}

/*
 * A nap: as below, but without the sleepers bit, and it ends by itself.
 * NAP_KEEPS_WAKING: a wake-up that hit it instead of a sleeper is forgotten.
 */
inline nap()
{
    STEP(CLEAR(asleep, w));
#ifndef NAP_KEEPS_WAKING
    STEP(CLEAR_WOKEN);
#endif
    goto next
}
#define FALL_ASLEEP if :: HAS(bell_changed, w) :: else -> SET(asleep, w); SET(bell_changed, w) fi

/*
 * NO_SECOND_LOOK: no look round between the sleepers bit and futex_wait.
 * WAKING_AFTER_LOOK: waking is cleared after it.
 * WOKEN_KEEPS_WAKING: a woken worker leaves waking set.
 */
inline sleep_on_bell()
{
    STEP(CLEAR(bell_changed, w));                       /* b = bell */
sleep:
#ifdef NAP
    if
    :: atomic { true -> FALL_ASLEEP; goto napping }
    :: atomic { true -> SET(sleepers, w) }
    :: DIES
    fi;
#else
    STEP(SET(sleepers, w));
#endif
#if !defined(RINGER_RESETS) && !defined(WAKING_AFTER_LOOK)
    STEP(CLEAR_WOKEN);
#endif
#ifndef NO_SECOND_LOOK
    STEP(LOOK(HAS(requeue_new, w) || command));
    if
    :: atomic { IS_CLAIMABLE -> SET(bell_changed, w); LOOKED };
       STEP(CLEAR(sleepers, w); goto next)
    :: atomic { !IS_CLAIMABLE -> LOOKED }
    :: DIES
    fi;
#endif
#ifdef WAKING_AFTER_LOOK
    STEP(CLEAR_WOKEN);
#endif
#ifdef MARK_UNTIL_SLEEP
    STEP(CLEAR_MARK);
#endif
    STEP(FALL_ASLEEP);
    if
    :: atomic { !HAS(asleep, w) -> CLEAR(sleepers, w) }
    :: DIES
    fi;
#ifndef WOKEN_KEEPS_WAKING
    STEP(CLEAR_WOKEN);
#endif
    goto next
}
