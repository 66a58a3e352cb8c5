/* SPDX-License-Identifier: MIT */
/* A worker's claim of a task, and its look whether there is one. */

/* NO_GENERATION: the claim looks at the state alone. */
#ifdef NO_GENERATION
#define CLAIMABLE(word, p) (STATE_OF(word) == QUEUED || STATE_OF(word) == REQUEUED)
#else
#define CLAIMABLE(word, p) \
    ((word) == WORD(GEN(p), QUEUED, 0) || (word) == WORD(GEN(p), REQUEUED, 0))
#endif
#define POS_OF(s) ((GEN_OF(words[s]) - 1) * W + (s))    /* that slot s has a word of */

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

#ifndef HINTS
/*
 * p becomes the position that a worker comes to which looks below t in order: the first one
 * QUEUED, or one REQUEUED before that if it starts there; NONE if there is none. What is not
 * QUEUED will never be: to have passed over it before is no step (see pool.pml).
 */
inline find()
{
    p = NONE;
    do
    :: e < W ->
        if
        :: STATE_OF(words[e]) == QUEUED && POS_OF(e) < t && POS_OF(e) < p -> p = POS_OF(e)
        :: STATE_OF(words[e]) == REQUEUED && POS_OF(e) < t && POS_OF(e) < p ->
            if
            :: p = POS_OF(e)
            :: skip
            fi
        :: else
        fi;
        e++
    :: else -> break
    od;
    e = 0
}

/* On success `goto claimed`; a try that fails may make it read the tail again. */
inline claim()
{
    STEP(t = tail);
    do
    :: atomic {
           find();
           if
           :: p == NONE -> p = 0; t = 0; goto nothing_queued
           :: else -> e = words[SLOT(p)]; intent[w] = p
           fi
       };
       STEP(
           if
           :: words[SLOT(p)] == e -> take_it(); t = 0; goto claimed
           :: else ->
               e = 0; p = 0;
               if
               :: skip
               :: t = 0; goto nothing_requeued
               fi
           fi)
    :: DIES
    od
}

#define TAIL_NOW tail
#define WOULD_TAKE(s) (STATE_OF(words[s]) == QUEUED && POS_OF(s) < t)
#define LEAVE_HINTS skip
#else
/*
 * The same with the hints: head as read, below which nothing is QUEUED; past, which is as good
 * but the worker's own; the tail as it was known, up to which it looks first.
 * TAIL_KEPT: once known, the tail is read no more.
 */
#define LEAVE_HINTS h = 0; fresh = 0
#ifdef TAIL_KEPT
#define TAIL_NOW (known != 0 -> known : tail)
#else
#define TAIL_NOW tail
#endif
#define FIRST_OF(end) (h < past && past <= (end) -> past : h)
inline claim()
{
    STEP(h = head; past = FIRST_OF(known));
    do
    :: atomic { past < known && !CLAIMABLE(words[SLOT(past)], past) -> past++ }
    :: atomic {
           past < known && CLAIMABLE(words[SLOT(past)], past) ->
           p = past; past++;
           e = words[SLOT(p)]; intent[w] = p
       };
       STEP(
           if
           :: words[SLOT(p)] == e -> take_it(); goto claimed
           :: else -> e = 0; p = 0
           fi)
    :: atomic { past >= known && !fresh -> known = TAIL_NOW; past = FIRST_OF(known); fresh = 1 }
    :: atomic {
           past >= known && fresh ->
           if :: head == h -> head = past :: else fi;
           LEAVE_HINTS;
           goto nothing_queued
       }
    :: DIES
    od
}

#define WOULD_TAKE(s) \
    ((STATE_OF(words[s]) == QUEUED || STATE_OF(words[s]) == REQUEUED) && \
     POS_OF(s) >= FIRST_OF(t) && POS_OF(s) < t)

/*
 * Whether a claim moves head depends on how far it is behind.
 * HEAD_TO_TAIL: it is moved over what was not looked at.
 */
#ifdef HEAD_TO_TAIL
#define HEAD_MOVES known
#else
#define HEAD_MOVES past
#endif
inline move_head()
{
    STEP(
        if
        :: skip
        :: if :: head == h -> head = HEAD_MOVES :: else fi
        fi;
        LEAVE_HINTS)
}
#endif

/*
 * claimable() in two steps: t is the tail, or NEWS if the first step saw any; then the words.
 * It starts anywhere where nothing before it is QUEUED.
 */
#define NEWS NONE
#if W == 1
#define ANY_WORD(is) is(0)
#elif W == 2
#define ANY_WORD(is) (is(0) || is(1))
#else
#define ANY_WORD(is) (is(0) || is(1) || is(2))
#endif
#ifdef HINTS
#define LOOK(news) h = head; t = ((news) -> NEWS : TAIL_NOW)
#define LOOKED t = 0; h = 0
#else
#define LOOK(news) t = ((news) -> NEWS : TAIL_NOW)
#define LOOKED t = 0
#endif
#define IS_CLAIMABLE (t == NEWS || ANY_WORD(WOULD_TAKE))

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
