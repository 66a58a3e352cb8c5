/* SPDX-License-Identifier: MIT */
/*
 * Threads of the client as processes of a schedule: linked in the place of those
 * functions of libpthread that the library uses.  A mutex is 1 in its first word while
 * somebody has it; conditions are known by their address alone.
 */
#include "stepping.h"

#include <pthread.h>

#include "harness.h"
#include "steps.h"

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*main)(void *), void *what);
int __real_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_cond_signal(pthread_cond_t *condition);
int __wrap_pthread_cond_broadcast(pthread_cond_t *condition);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*main)(void *), void *what);
int __wrap_pthread_join(pthread_t thread, void **result);
pthread_t __wrap_pthread_self(void);

/* ---- Mutexes ------------------------------------------------------------- */

static bool is_unlocked(void *mutex)
{
    return *(const int *)mutex == 0;
}

int __wrap_pthread_mutex_lock(pthread_mutex_t *mutex)
{
    steps_yield();
    steps_enter_kernel();
    while (!is_unlocked(mutex)) /* somebody may have been faster since it was ready */
        steps_await(is_unlocked, mutex);
    *(int *)(void *)mutex = 1;
    return 0;
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    CHECK(!is_unlocked(mutex));
    steps_enter_kernel();
    *(int *)(void *)mutex = 0;
    steps_yield();
    return 0;
}

/* ---- Conditions ---------------------------------------------------------- */

struct waiter {
    const pthread_cond_t *condition;
    bool woken;
    struct waiter *next;
};

static struct waiter *waiters;

static bool is_woken(void *waiter)
{
    return ((struct waiter *)waiter)->woken;
}

static void forget(const struct waiter *waiter)
{
    struct waiter **link = &waiters;

    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    struct waiter waiter = { .condition = condition, .next = waiters };

    waiters = &waiter;
    __wrap_pthread_mutex_unlock(mutex);
    if (!waiter.woken)
        steps_await(is_woken, &waiter);
    forget(&waiter);
    return __wrap_pthread_mutex_lock(mutex);
}

static void wake(const pthread_cond_t *condition, unsigned most)
{
    steps_yield();
    for (struct waiter *waiter = waiters; waiter && most > 0; waiter = waiter->next)
        if (waiter->condition == condition && !waiter->woken) {
            waiter->woken = true;
            most--;
        }
}

int __wrap_pthread_cond_signal(pthread_cond_t *condition)
{
    wake(condition, 1);
    return 0;
}

int __wrap_pthread_cond_broadcast(pthread_cond_t *condition)
{
    wake(condition, UINT32_MAX);
    return 0;
}

/* ---- Threads ------------------------------------------------------------- */

struct start {
    void *(*main)(void *);
    void *what;
};

static void be_thread(void *what)
{
    struct start start = *(struct start *)what;

    free(what);
    start.main(start.what);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*main)(void *), void *what)
{
    struct start *start;

    if (steps_self() < 0) /* the harness's, not the library's */
        return __real_pthread_create(thread, attributes, main, what);
    start = malloc(sizeof *start);
    CHECK(start && !attributes);
    *start = (struct start){ .main = main, .what = what };
    *thread = (pthread_t)steps_add(be_thread, start);
    return 0;
}

static bool has_ended(void *thread)
{
    return steps_state(*(unsigned *)thread) >= STEPS_ENDED;
}

int __wrap_pthread_join(pthread_t thread, void **result)
{
    unsigned number = (unsigned)thread;

    if (steps_self() < 0)
        return __real_pthread_join(thread, result);
    CHECK(!result);
    if (!has_ended(&number))
        steps_await(has_ended, &number);
    steps_forget(number);
    return 0;
}

pthread_t __wrap_pthread_self(void)
{
    return (pthread_t)steps_self();
}
