/* SPDX-License-Identifier: MIT */
/*
 * procpool.h - a process pool for C
 *
 * The interface of Python's multiprocessing.Pool over shared memory, in which a
 * task that crashes is an error that pp_get() returns.  See procpool(7).
 *
 * What is not in this header, and names in it that end with an underscore, are
 * not part of the interface and may change at any time.
 *
 * Conventions
 *
 *  - A function that returns int returns 0 on success or a negative code: either
 *    -errno for a call that could not be carried out, or one of PP_E... for how
 *    the task ended.  pp_strerror() describes both.  A function that returns a
 *    pointer returns NULL and sets errno.
 *  - Outputs are written on success only.
 *  - Times are in seconds, as double.
 *  - Every function may be called from any thread of the process that created
 *    the pool, and from no other process: there each returns -ECHILD (NULL with
 *    errno ECHILD; false and 0 where these are all there is), except the
 *    destructors, which do nothing.
 *  - Options are named, all of them optional, and given as designated
 *    initializers at the end of a call: pp_pool_new(.processes = 4).  An option
 *    that is left out is zero.  Under each macro that takes options stands a
 *    plain function, whose name ends in _with, for other languages; options that
 *    are NULL there are all left out.  The size in each options struct lets
 *    programs and libraries of different versions meet: options that the library
 *    does not know must be zero, or the call fails with EINVAL.
 */
#ifndef PROCPOOL_H
#define PROCPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PP_VERSION_MAJOR 0
#define PP_VERSION_MINOR 1
#define PP_VERSION_PATCH 0

#ifdef __cplusplus
#define PP_NORETURN [[noreturn]]
#else
#define PP_NORETURN _Noreturn
#endif

/* A pool: a supervisor process and its workers.  Created by pp_pool_new(). */
typedef struct pp_pool pp_pool;

/* The handle of one call or one map (Python: AsyncResult). */
typedef struct pp_result pp_result;

/* Results that come one by one.  Created by pp_imap() and its kin. */
typedef struct pp_iter pp_iter;

/*
 * How an item ended: the negative codes that pp_get() and its kin return.  A
 * result, or arguments, larger than memory count as PP_ERAISED with code ENOMEM, and
 * so does an outcome that there was no memory in the client to keep.
 * Since 0.1.
 */
enum {
    PP_ERAISED = -10001,    /* the task called pp_raise() */
    PP_ECRASHED = -10002,   /* the task's process was killed or exited, or the supervisor died */
    PP_ETIMELIMIT = -10003, /* the task ran longer than its time limit */
    PP_ECANCELLED = -10004, /* it was cancelled, its map stopped, or its pool terminated */
    PP_EBROKEN = -10005,    /* the pool cannot keep any worker alive */
};

/* What pp_next() returns when there are no more items: Python's StopIteration. */
#define PP_STOP_ITERATION (-10100)

typedef enum pp_kind {
    PP_SUCCEEDED,
    PP_RAISED,
    PP_CRASHED,
    PP_TIMED_OUT,
    PP_CANCELLED,
    PP_BROKEN,
} pp_kind;

/* How one item failed.  Since 0.1. */
typedef struct pp_error {
    size_t size;          /* of this struct, in the library that filled it */
    pp_kind kind;         /* never PP_SUCCEEDED */
    int code;             /* PP_RAISED: what pp_raise() was given, or ENOMEM for a result or
                             arguments larger than memory; otherwise 0 */
    int signal;           /* PP_CRASHED: the signal that killed the worker, or 0 */
    int status;           /* PP_CRASHED without signal: the worker's exit status */
    pid_t pid;            /* the worker's process id, with PP_THREADS its thread's; 0 when none
                             ran the item */
    size_t index;         /* the item's index; 0 for a single call */
    const char *function; /* the task's name, or what failed in pp_pool_new(); never NULL */
    const char *message;  /* one line for people; never NULL */
    const void *address;  /* of a crash: the memory that SIGSEGV or SIGBUS is about, or the
                             instruction of SIGFPE or SIGILL; otherwise NULL */
    const char *backtrace; /* of a crash: where the task was; NULL if that is not known */
} pp_error;

/*
 * Crash reports
 *
 * A worker that dies of SIGSEGV, SIGBUS, SIGFPE, SIGILL or SIGABRT leaves where it was.  The
 * message then says it, "square(...) with item 3 was killed by SIGSEGV at address 0x0 in
 * store() at nested.c:12": the innermost function that is none of the C or C++ library's.  A
 * stack overflow is said to be one, and of SIGABRT also what glibc has to say of it.  The
 * backtrace has a line per function, the innermost first and without a newline at the end:
 *
 *   #0 store at nested.c:12            with debug information (compiled with -g)
 *   #1 fill in nested+0x1139           without; the offset is for addr2line
 *   #2-#9 descend at nested.c:40       eight frames that are the same
 *   ...                                there is more, or it is not known
 *
 * Both are as good as libdw of elfutils makes them; where the machine lacks it, and in a
 * program that is linked statically, only the innermost function can be told.  The address
 * and the backtrace are also there when a crashing initializer is why pp_pool_new() fails, or
 * the pool is broken (PP_BROKEN).  There is none for exits, for SIGKILL, in children of a
 * task, or when the task has a handler of its own for the signal.  Core dumps are written as
 * without all this.  Since 0.1.
 */

/* Bytes of any length, as a parameter or as a result of a task.  Since 0.1. */
typedef struct pp_bytes {
    const void *data;
    size_t size;
} pp_bytes;

/* ---- Tasks ------------------------------------------------------------- */

/* The most parameters that a task can have. */
#define PP_MAX_PARAMS 12

/* What a parameter or a result is, which decides how it travels. */
enum {
    PP_VALUE_, /* its bytes are copied as they are */
    PP_STRING_,
    PP_BYTES_,
    PP_CHARS_, /* char *, which is refused */
};

struct pp_param_ {
    unsigned offset;
    unsigned kind;
};

/*
 * What the library knows of a task.  PP_TASK() fills it; programs in other
 * languages may fill it themselves:
 *
 *   size         sizeof(pp_task)
 *   name         for messages; must outlive the pool
 *   run          calls the function with the arguments at args and stores its
 *                value at result; is called in a worker, and must have been
 *                loaded when the pool was created
 *   args_size    of the struct of arguments, at most 64 KiB
 *   result_size  0 for void; sizeof(char *) for strings; at most 1 GiB
 *   result_kind  PP_VALUE_, PP_STRING_ or PP_BYTES_
 *   nparams      at most PP_MAX_PARAMS, otherwise submitting fails with E2BIG
 *   params       where each parameter lies in the struct and its kind
 *
 * It must stay as it is until the results of its calls are freed.
 *
 * Since 0.1.
 */
typedef struct pp_task {
    size_t size;
    const char *name;
    void (*run)(const void *args, void *result);
    size_t args_size;
    size_t result_size;
    unsigned result_kind;
    unsigned nparams;
    struct pp_param_ params[PP_MAX_PARAMS];
} pp_task;

/* One call: a task and a pointer to the struct of its arguments.  Since 0.1. */
typedef struct pp_call {
    const pp_task *task;
    const void *args;
} pp_call;

/*
 * PP_TASK(result_type, function, type1, name1, ... type12, name12);
 *
 * Makes a plain function a task.  Stands at file scope, after the function's
 * definition or declaration; the function stays an ordinary function.  That the
 * types given are the function's own is checked at compile time.
 *
 * How parameters and results travel is decided by their types:
 *
 *   const char *   as a string: the characters are copied.  NULL stays NULL.
 *   pp_bytes       as bytes: what it points to is copied.
 *   char *         is refused when compiling: say const char * for a string, or
 *                  another pointer type for an address.
 *   anything else  its bytes are copied as they are; a pointer thus arrives as
 *                  the same address, which is of use for memory that existed,
 *                  unchanged, when the pool was created.
 *
 * In the task, strings and bytes are read-only and live until it returns.  A
 * string or bytes that it returns are copied out when it returns (unless they
 * come from pp_reserve()) and are never freed.
 *
 * Since 0.1.
 */
#define PP_TASK(result_type, function, ...)                                                \
    PP_GLUE_(PP_TASK_, PP_COUNT_(0, ##__VA_ARGS__))                                        \
    (result_type, function, ##__VA_ARGS__)

/*
 * PP_ARGS(function): the type of the struct of a task's arguments, its members
 * named as the parameters.  The items of pp_starmap() are of this type.  Since 0.1.
 */
#define PP_ARGS(function) struct function##_pp_args

/*
 * PP_CALL(function, arguments...): a call for pp_apply() and pp_apply_async().
 * Arguments are given by position, PP_CALL(divide, 10, 2), or by name,
 * PP_CALL(divide, .x = 10, .y = 2): those left out are then zero.  Too few by
 * position, or one of a wrong type, do not compile; too many are always warned
 * of.  Since 0.1.
 */
#define PP_CALL(function, ...)                                                             \
    ((union function##_pp_call){                                                           \
        .call = { &function##_pp_task,                                                     \
                  PP_ASSERT_((int)function##_pp_nparams == 0 || sizeof("" #__VA_ARGS__) > 1, \
                             "PP_CALL: this task has parameters: give their values")      \
                      ? &(PP_ARGS(function)){ __VA_ARGS__ }                                \
                      : NULL } })

/* ---- Pools ------------------------------------------------------------- */

/* Where callbacks run. */
typedef enum pp_callbacks {
    PP_CALLBACKS_THREAD, /* on a thread of the library's own, started when first needed */
    PP_CALLBACKS_POLL,   /* in pp_poll() and in the functions that wait; no thread is ever started */
} pp_callbacks;

/* How the pool's processes and the threads that wait for them wait.  Since 0.1. */
typedef enum pp_spin {
    PP_SPIN_ADAPTIVE, /* awake for some microseconds first, where a CPU is free and it pays */
    PP_SPIN_NEVER,    /* asleep at once */
} pp_spin;

/*
 * What runs the tasks.
 *
 *   PP_FORK     processes that see the program as it is when the pool is created: its memory,
 *               open files and loaded code.
 *   PP_SPAWN    processes of a fresh image of the program, which is executed anew: nothing of
 *               its memory is theirs, global variables have their first values, and pointers
 *               mean nothing there but those to memory of pp_shared_alloc().  For programs with
 *               threads, whose locks a fork could take along, with much memory, or with
 *               secrets.  main() must call pp_init().  Tasks and initializer must lie in the
 *               program or in libraries that it loads by itself at its start; if one of these
 *               is not there, or has another build-id, its tasks are refused with ENOEXEC.
 *   PP_THREADS  threads of this process, as Python's ThreadPool: the same interface, and
 *               nothing is isolated.  A crash ends the program, exit() does, too.  What runs
 *               cannot be stopped: time limits are refused with ENOTSUP, pp_cancel() and
 *               pp_terminate() drop what has not begun and leave alone what has.
 *   PP_INLINE   nothing: a call runs in the thread that makes it, before pp_apply_async() or
 *               pp_map_async() returns; pp_next() runs what it needs.  For debugging.  There is
 *               one "worker", which is never replaced; time limits are refused.
 *
 * With the last two a task may use its own pool; but pp_join(), pp_terminate() and
 * pp_pool_free() return -EDEADLK there, and with PP_INLINE all that waits does.
 *
 * Since 0.1.
 */
typedef enum pp_start {
    PP_START_AUTO, /* PP_SPAWN if the program has several threads, has called pp_init(), and
                      gives no .initarg without .initarg_size; otherwise PP_FORK */
    PP_FORK,
    PP_SPAWN,
    PP_THREADS,
    PP_INLINE,
} pp_start;

/*
 * At the top of main(), before anything else: makes PP_SPAWN possible.  In an image of the
 * program that was executed to be a supervisor it does not return; otherwise it does nothing.
 * The arguments of main() stay as they are.
 *
 * Returns 0, or -EALREADY (called before), -EINVAL (a pointer is NULL).  Since 0.1.
 */
int pp_init(int *argc, char ***argv);

/* What a worker was doing when it died, or what the library killed it for. */
typedef enum pp_cause {
    PP_DIED_IN_TASK,        /* its task crashed or exited, or it was killed from outside there */
    PP_DIED_AT_LIMIT,       /* it was killed at its item's time limit */
    PP_DIED_CANCELLED,      /* it was killed because its task was cancelled */
    PP_DIED_IDLE,           /* it had nothing to run, or was between two items */
    PP_DIED_IN_INITIALIZER, /* that failed, crashed or exited */
    PP_DIED_IN_FINALIZER,   /* that raised, crashed, exited, or ran too long */
} pp_cause;

/* How a worker died otherwise than it should.  Since 0.1. */
typedef struct pp_death {
    size_t size;          /* of this struct, in the library that filled it */
    pp_cause cause;
    int worker;           /* its pp_worker_id() ... */
    int incarnation;      /* ... and pp_worker_incarnation() */
    pid_t pid;
    int signal;           /* that killed it, or 0 */
    int status;           /* without signal: its exit status */
    int code;             /* that its initializer returned or raised, or its finalizer raised; or 0 */
    const char *function; /* the task that it was at, or NULL */
    size_t index;         /* then: the item that it was at; 0 for a single call */
    const char *message;  /* one line for people; never NULL */
} pp_death;

/* Called for each death, see .on_death.  *death lives until it returns. */
typedef void pp_death_callback(const pp_death *death, void *user);

/* Since 0.1. */
typedef struct pp_pool_options {
    size_t size; /* sizeof(pp_pool_options); the macro fills it */

    /*
     * The number of workers; 0: as many as this process may use CPUs at a time, by its
     * affinity and by the quotas of its cgroup (with .cpus: as many as these, if that is
     * less than the quotas allow); at most 1024.
     */
    int processes;

    /*
     * The most that pp_pool_resize() may ask for, at least .processes and at most 1024; 0: 32
     * or twice .processes, whichever is more.  Room for them costs address space, not memory.
     */
    int max_processes;

    /*
     * Runs in each worker before its first task, also in those that replace
     * others.  Returns 0, or an errno-like code, or calls pp_raise() (whose code 0
     * counts as EINVAL here); then, or when it crashes, pp_pool_new() fails.  If that happens later, in
     * replacements only, the pool is broken after three in a row.
     */
    int (*initializer)(void *arg);

    /* Given to the initializer; what it points to is seen as it was at creation. */
    void *initarg;

    /* With PP_SPAWN: so many bytes are copied from initarg, and the initializer is given the
       copy; with others it is not needed. */
    size_t initarg_size;

    /* A worker is replaced after this many items; 0: never. */
    long max_tasks_per_child;

    pp_callbacks callbacks;

    pp_spin spin;

    /* What runs the tasks, see above. */
    pp_start start;

    /*
     * Each worker runs on one CPU only: that with id k on the k-th of those that this process
     * may use, and when there are none left on the first again.  .cpus are the numbers of
     * .cpu_count others to do so, in that order; a number may come twice.  They are copied.
     * What takes its CPU from a worker later, a change of the cgroup's, is not an error: a
     * worker that cannot be kept on its CPU when it starts runs on all.
     */
    bool pin;
    const int *cpus;
    int cpu_count;

    /*
     * When set and creation fails, *error says why in words: one block of
     * memory that the caller gives to free().  NULL if there was no memory.
     */
    pp_error **error;

    /*
     * Runs in each worker that ends as it should, after its last task: because of
     * .max_tasks_per_child, or because the pool is joined; not where the worker is killed, nor
     * when the pool is terminated.  It is given pp_worker_local().  One that crashes, exits or
     * calls pp_raise() ends its worker, and one that has run too long is killed: no item is
     * lost by that, and it is no reason to break the pool.  pp_join() waits for it.
     */
    void (*finalizer)(void *local);

    /* Seconds that the finalizer may run; 0: 10. */
    double finalizer_limit;

    /*
     * Is called for each worker that dies otherwise than by ending as it should: by a crash,
     * at a time limit, by a cancel, by a signal from outside.  Not when the pool is terminated
     * or its supervisor dies.  It comes when the outcome of the worker's item is known, once
     * for each death, and runs where callbacks do and as they do: one at a time with them, and
     * it may do what they may.  Its thread, with PP_CALLBACKS_THREAD, is started with the pool.
     * pp_join() returns after the last of these calls; after pp_pool_free() there are none.  A
     * death for which there is no memory is counted in pp_stats, and not told.
     */
    pp_death_callback *on_death;
    void *user; /* given to it */
} pp_pool_options;

/*
 * pp_pool_new(.processes, .max_processes, .initializer, .initarg, .initarg_size,
 *             .max_tasks_per_child, .callbacks, .spin, .start, .pin, .cpus, .cpu_count, .error,
 *             .finalizer, .finalizer_limit, .on_death, .user)
 *
 * Creates a pool and waits until its workers are there and their initializers
 * have returned.  The workers see the program as it is now, its memory, open
 * files and loaded code, unless .start says otherwise.  Processes are in a session of their
 * own, their standard input is /dev/null, SIGINT is ignored and every other signal has its
 * default action, except that those of crash reports are noted before they kill.
 *
 * Buffered output is written first, of all streams if the program has one thread, otherwise
 * of stdout.  A worker process ends by _exit(): no function that the program has given to
 * atexit() runs in it, nothing that a stream held when the pool was made is written a second
 * time, and of what its tasks have written to streams only stdout is flushed.
 *
 * Returns the pool, which pp_pool_free() frees, or NULL with errno, and then
 * leaves nothing behind:
 *
 *   EINVAL           an option is out of its range, or .cpus has one that this process may not
 *                    use
 *   EAGAIN           no more processes, or threads, can be created
 *   EMFILE, ENFILE   no more descriptors
 *   ENOSPC           PP_CALLBACKS_POLL: this user may not watch more of them with epoll
 *   ENOMEM           not enough memory or address space
 *   ENOSYS           the kernel lacks memfd_create(), pidfd_open() or an advice of madvise()
 *                    (Linux 5.10 has all of them)
 *   ENOTRECOVERABLE  the initializer crashed
 *   ENOEXEC          PP_SPAWN: the image has not called pp_init() within 20 s, has another
 *                    build of this library, does not have the initializer, or cannot be
 *                    executed (as where there is no /proc)
 *   EEXIST           PP_SPAWN: in the image something lies where the pool's memory has to
 *   any other        the code that the initializer returned or raised
 *
 * Since 0.1.
 */
#define pp_pool_new(...)                                                                   \
    pp_pool_new_with(                                                                      \
        &(pp_pool_options){ .size = sizeof(pp_pool_options), ##__VA_ARGS__ })
pp_pool *pp_pool_new_with(const pp_pool_options *options);

/*
 * Changes the number of workers, from now on and until it is called again: to at least 1, and
 * to .max_processes of pp_pool_new() at most.  Returns at once.  Nothing is lost: those that
 * are too many go, highest ids first, when they have done what they have in hand (a chunk of
 * a map, of which the chunks that are cut already stay as they are), however long that takes;
 * those that sleep go at once.  New ones start at once and run the initializer first.  If the
 * system has no more processes for now the pool tries again and again, with fewer workers
 * meanwhile.  May be called from a callback, and for a pool that is closed but not joined.
 *
 * Returns 0, or -EINVAL (pool is NULL, processes less than 1), -ERANGE (more than the pool
 * was made for), -ENOTSUP (PP_INLINE), -ESHUTDOWN (the pool is terminated or joined),
 * -ENOTRECOVERABLE (it is broken), -ECHILD.  Since 0.1.
 */
int pp_pool_resize(pp_pool *pool, int processes);

/*
 * No more tasks can be submitted from now on; those that were run on.  Python:
 * Pool.close().  Returns 0, also when it is closed already, or -EINVAL (pool is
 * NULL), -ECHILD.  Since 0.1.
 */
int pp_close(pp_pool *pool);

/*
 * Ends the workers at once, with SIGKILL, and closes the pool.  Results that are
 * still open end with PP_ECANCELLED; those that are there stay.  May be called
 * from a callback.  With PP_THREADS and PP_INLINE what runs is waited for.  Returns, when all
 * workers are gone, 0 or -EINVAL, -ECHILD, -EDEADLK (called by a task in this process).
 * Since 0.1.
 */
int pp_terminate(pp_pool *pool);

/*
 * pp_join(pool, .timeout)
 *
 * Waits until every task has ended, every callback has returned and every
 * process of the pool is gone.  Python: Pool.join().  Results can still be got
 * afterwards.
 *
 * Returns 0, or -EDEADLK (called from a callback, or by a task in this process), -EBUSY (the
 * pool is neither closed nor terminated), -ETIMEDOUT, -EINVAL, -ECHILD.  Since 0.1.
 */
#define pp_join(pool, ...) pp_join_with((pool), PP_TIMEOUT_(__VA_ARGS__))
int pp_join_with(pp_pool *pool, double timeout);

/*
 * Terminates the pool if it still runs, waits until its processes are gone, and
 * frees it and all of its results: pointers to them, and what pp_get() handed
 * out by pointer, are not valid any more.  No callback runs from then on.  Accepts
 * NULL.  In a process other than the creator's it does nothing.
 *
 * Returns 0, or -EDEADLK, called from a callback or by a task in this process, and then it did
 * nothing.
 * Since 0.1.
 */
int pp_pool_free(pp_pool *pool);

/*
 * PP_SCOPED pp_pool *pool = pp_pool_new(...);
 *
 * The pool is freed, as by pp_pool_free(), when the variable goes out of scope.
 * Since 0.1.
 */
#define PP_SCOPED __attribute__((cleanup(pp_pool_free_scoped_)))

/*
 * Runs the callbacks that are due in a pool made with PP_CALLBACKS_POLL, and
 * takes in what the workers have done; does not wait.  Returns how many
 * callbacks ran, or -EINVAL (also for a pool made otherwise), -EDEADLK (called
 * from a callback), -ECHILD.  Since 0.1.
 */
int pp_poll(pp_pool *pool);

/*
 * A descriptor for poll(), epoll or an event loop, of a pool made with
 * PP_CALLBACKS_POLL: it is readable when pp_poll() has something to do.  Call that
 * then, and do nothing else with it; it belongs to the pool, stays the same and is
 * closed by pp_pool_free().  While a task runs for long it is readable now and then, at
 * first after a tenth of a second, for a look at whether all is well: pp_poll() may
 * then return 0.  An idle pool leaves it alone.
 *
 * Returns the descriptor, or -EINVAL (also for a pool made otherwise), -ECHILD.
 * Since 0.1.
 */
int pp_pool_fd(pp_pool *pool);

/* ---- Shared memory ----------------------------------------------------- */

/*
 * Memory that lies at the same address in the creator of the pool and in all of
 * its workers, those of later replacements too, and that all of them may read and
 * write: tasks get pointers to it as they are.  It is zeroed and aligned to a page; a
 * size of 0 counts as 1.  Children that the program forks itself do not have it.
 * A map whose items lie in it entirely does not copy them: they must then stay as they
 * are until the map has ended (items with strings or bytes are copied all the same).  A
 * pp_map() whose out lies in it lets the workers write their results there, also in the
 * place of the items, unless these are strings or bytes; the place of an item that fails
 * may then be half written.
 *
 * Nobody but the tasks themselves keeps two of them from writing to the same place,
 * and a wild pointer in a task can damage it.  Address space is taken in powers of
 * two, memory only as it is touched.
 *
 * It lives until pp_shared_free() or pp_pool_free(), also when the pool has been
 * closed, joined or terminated.  Returns NULL with errno ENOMEM, EINVAL (pool is
 * NULL), ECHILD, ESHUTDOWN (the pool's processes are gone).  Since 0.1.
 */
void *pp_shared_alloc(pp_pool *pool, size_t size) __attribute__((malloc));

/*
 * Gives memory from pp_shared_alloc() back to the system, all of it and at once: no
 * task may be using it any more.  Accepts NULL.  Returns 0, or -EINVAL (not the
 * address of such a block), -ECHILD.  Since 0.1.
 */
int pp_shared_free(pp_pool *pool, void *memory);

/* ---- Submitting -------------------------------------------------------- */

/*
 * Called once when a result is there, before it is reported ready to others;
 * callbacks of a pool run one at a time and hold none of its locks.  May get,
 * and free, the result; may submit, cancel, and terminate the pool.
 */
typedef void pp_callback(pp_result *result, void *user);

/* Options of calls that wait.  Since 0.1. */
typedef struct pp_apply_options {
    size_t size;
    /* When set and an item fails, *error describes it: one block for free(). */
    pp_error **error;
    double time_limit;   /* seconds that the call may run; 0: as long as it likes */
    double grace;        /* seconds from SIGTERM to SIGKILL when it is stopped; 0: SIGKILL at once */
    int retries;         /* so often a call whose worker crashed is run again, at most 65535 */
} pp_apply_options;

/* Options of calls that do not wait.  Since 0.1. */
typedef struct pp_async_options {
    size_t size;
    pp_callback *callback;       /* when every item succeeded */
    pp_callback *error_callback; /* when one failed or more */
    void *user;                  /* given to both */
    double time_limit;   /* seconds that the call may run; 0: as long as it likes */
    double grace;        /* seconds from SIGTERM to SIGKILL when it is stopped; 0: SIGKILL at once */
    int retries;         /* so often a call whose worker crashed is run again, at most 65535 */
} pp_async_options;

/* Options of maps that wait.  Since 0.1. */
typedef struct pp_map_options {
    size_t size;
    /* Items per task: what a worker takes at a time; 0: chosen by the library, by how
       long items take: large chunks first and smaller ones towards the end. */
    long chunksize;
    /* When set and an item fails, *error describes the first of them by index:
       one block for free(). */
    pp_error **error;
    double time_limit;   /* seconds that each item may run; 0: as long as it likes */
    double grace;        /* seconds from SIGTERM to SIGKILL when it is stopped; 0: SIGKILL at once */
    int retries;         /* so often an item whose worker crashed is run again, at most 65535 */
    bool stop_on_error; /* when an item fails, those that have not begun are cancelled */
} pp_map_options;

/* Options of maps that do not wait.  Since 0.1. */
typedef struct pp_map_async_options {
    size_t size;
    long chunksize;
    pp_callback *callback;
    pp_callback *error_callback;
    void *user;
    double time_limit;   /* seconds that each item may run; 0: as long as it likes */
    double grace;        /* seconds from SIGTERM to SIGKILL when it is stopped; 0: SIGKILL at once */
    int retries;         /* so often an item whose worker crashed is run again, at most 65535 */
    bool stop_on_error; /* when an item fails, those that have not begun are cancelled */
} pp_map_async_options;

/*
 * Time limits, grace and retries
 *
 * A time limit begins when the function is called, anew for each item and each
 * attempt; time in the queue does not count.  When it is over the item's outcome is
 * PP_ETIMELIMIT.  Its process is killed and replaced; only this item is lost.  With a
 * grace period (of 49 days at most) the process gets SIGTERM first: a task that handles it
 * may clean up and return, and if it returns or raises before the grace is over, that is
 * its outcome.  A time limit that is infinite is none.
 *
 * With retries, an item whose process crashes is run again, and its failure counts
 * only when the last attempt has crashed, too.  A task asks pp_attempt() which one it
 * is.  What it has changed outside of itself before the crash is for the task to deal
 * with.  Items that raise, run out of time or are cancelled are not retried.
 */

/*
 * Errors of submitting, for all functions of this section; blocking ones return
 * the negative, the others NULL with errno:
 *
 *   EINVAL           a pointer that is needed is NULL, the task's description or
 *                    an option is out of its range (a time that is negative or
 *                    not a number, too)
 *   E2BIG            the task has more than PP_MAX_PARAMS parameters
 *   ESHUTDOWN        the pool is closed or terminated
 *   ENOTRECOVERABLE  the pool is broken: no worker can be kept alive, or the
 *                    supervisor is gone
 *   ENOEXEC          the function is not in code that was loaded when the pool
 *                    was created, or not in the workers' image of the program (PP_SPAWN)
 *   ENOTSUP          a time limit for tasks that do not run in processes (PP_THREADS,
 *                    PP_INLINE)
 *   ENOMEM           not enough memory; nothing was submitted
 *   EAGAIN           a call with callbacks, when the thread that is to run them cannot be
 *                    started; nothing was submitted
 *   ECHILD           called in another process than the creator of the pool
 *   EDEADLK          PP_INLINE, for calls that wait: made in a task of the same pool
 *
 * Arguments are copied before the call returns.  Tasks start in the order in
 * which they were submitted.
 */

/*
 * pp_apply(pool, PP_CALL(function, ...), &out, .error, .time_limit, .grace, .retries)
 *
 * Runs one call in a worker and waits for it.  The value is stored at out, which
 * may be NULL.  A string, and the data of pp_bytes, that is stored is a block of
 * its own that the caller gives to free().
 *
 * Returns 0, or PP_E... of the task, or an error of submitting.  Since 0.1.
 */
#define pp_apply(pool, pp_call_, pp_out_, ...)                                             \
    PP_CHECKED_(int, PP_OUT_((pp_call_).out, pp_out_),                                     \
                pp_apply_with((pool), (pp_call_).call, (pp_out_),                          \
                              &(pp_apply_options){ .size = sizeof(pp_apply_options),       \
                                                   ##__VA_ARGS__ }))
int pp_apply_with(pp_pool *pool, pp_call call, void *out, const pp_apply_options *options);

/*
 * pp_apply_async(pool, PP_CALL(function, ...), .callback, .error_callback, .user,
 *                .time_limit, .grace, .retries)
 *
 * Submits one call and returns at once its result, which the caller frees with
 * pp_result_free() or leaves to pp_pool_free(); NULL with errno on failure.
 * Since 0.1.
 */
#define pp_apply_async(pool, pp_call_, ...)                                                \
    PP_CHECKED_(pp_result *, ,                                                             \
                pp_apply_async_with((pool), (pp_call_).call,                               \
                                    &(pp_async_options){ .size = sizeof(pp_async_options), \
                                                         ##__VA_ARGS__ }))
pp_result *pp_apply_async_with(pp_pool *pool, pp_call call, const pp_async_options *options);

/*
 * pp_map(pool, function, items, count, out, .chunksize, .error, .time_limit, .grace,
 *        .retries, .stop_on_error)
 *
 * Calls a function of one parameter for each item and waits for all of them.
 * items is an array of the parameter's type, out one of the result's type, or
 * NULL; it may be items itself if both types have the same size.  Every item is run
 * whatever becomes of the others, unless .stop_on_error is set; out[i] is stored for
 * each that succeeded and left alone for each that failed.  Strings, and the data of
 * pp_bytes, in out are blocks of their own that the caller gives to free().
 *
 * Returns 0 when all succeeded, otherwise PP_E... of the failed item with the
 * lowest index (with .stop_on_error, of those that were not just cancelled for that), or
 * an error of submitting.  To see every failure use
 * pp_map_async().  A count of 0 is no error.  Since 0.1.
 */
#define pp_map(pool, function, pp_items_, count, pp_out_, ...)                             \
    PP_CHECKED_(int,                                                                       \
                PP_ITEMS_(function, pp_items_)                                             \
                    PP_OUT_(((union function##_pp_call *)0)->out, pp_out_),                \
                pp_map_with((pool), &function##_pp_task, (pp_items_), (count), (pp_out_),  \
                            &(pp_map_options){ .size = sizeof(pp_map_options),             \
                                               ##__VA_ARGS__ }))

/*
 * pp_starmap(pool, function, items, count, out, and the options of pp_map())
 *
 * pp_map() for functions of any number of parameters: items is an array of
 * PP_ARGS(function).  Since 0.1.
 */
#define pp_starmap(pool, function, pp_items_, count, pp_out_, ...)                         \
    PP_CHECKED_(int,                                                                       \
                PP_STAR_ITEMS_(function, pp_items_)                                        \
                    PP_OUT_(((union function##_pp_call *)0)->out, pp_out_),                \
                pp_map_with((pool), &function##_pp_task, (pp_items_), (count), (pp_out_),  \
                            &(pp_map_options){ .size = sizeof(pp_map_options),             \
                                               ##__VA_ARGS__ }))
int pp_map_with(pp_pool *pool, const pp_task *task, const void *items, size_t count, void *out,
                const pp_map_options *options);

/*
 * pp_map_async(pool, function, items, count, .chunksize, .callback, .error_callback,
 *              .user, .time_limit, .grace, .retries, .stop_on_error)
 *
 * pp_map() that does not wait: returns the result, which the caller frees with
 * pp_result_free() or leaves to pp_pool_free(); NULL with errno on failure.  The items
 * are copied, unless they lie in shared memory.  A map of no items is ready at once, and
 * its callback is called.  Since 0.1.
 */
#define pp_map_async(pool, function, pp_items_, count, ...)                                \
    PP_CHECKED_(pp_result *, PP_ITEMS_(function, pp_items_),                               \
                pp_map_async_with((pool), &function##_pp_task, (pp_items_), (count),       \
                                  &(pp_map_async_options){                                 \
                                      .size = sizeof(pp_map_async_options),                \
                                      ##__VA_ARGS__ }))

/* pp_map_async() for functions of any number of parameters.  Since 0.1. */
#define pp_starmap_async(pool, function, pp_items_, count, ...)                            \
    PP_CHECKED_(pp_result *, PP_STAR_ITEMS_(function, pp_items_),                          \
                pp_map_async_with((pool), &function##_pp_task, (pp_items_), (count),       \
                                  &(pp_map_async_options){                                 \
                                      .size = sizeof(pp_map_async_options),                \
                                      ##__VA_ARGS__ }))
pp_result *pp_map_async_with(pp_pool *pool, const pp_task *task, const void *items,
                             size_t count, const pp_map_async_options *options);

/* ---- Results one by one ------------------------------------------------- */

/*
 * Stores the next item, of the task's parameter type, or returns false when there
 * are no more; then it is not called again.  See pp_imap().
 *
 * The item's memory is zeroed before.  What it points to (strings and bytes) is copied
 * before the function is called again, so that it may use one buffer for all.  It may do
 * with the pool what others may, also terminate it, or free its iterator, which then is
 * gone when it returns; but -EDEADLK is what pp_next() for its own iterator, pp_join() and
 * pp_pool_free() return there.
 */
typedef bool pp_input(void *item, void *user);

/* The options of pp_imap() and its kin, for items of this type. */
#define PP_IMAP_OPTIONS_(item_type)                                                        \
    size_t size;                                                                           \
    const item_type *items; /* an array, which is read as it is needed ... */              \
    size_t count;                                                                          \
    pp_input *input; /* ... or what draws them one by one */                               \
    void *user;      /* given to input */                                                  \
    long chunksize;  /* items per task, at most a window; 0: 1, as in Python */            \
    long window;     /* items that may be drawn and not yet read; 0: 256 chunks, or 8 per  \
                        worker if that is more, but less if the items are large */         \
    double time_limit; /* per item, as in pp_map() */                                      \
    double grace;                                                                          \
    int retries;

/* Since 0.1. */
typedef struct pp_imap_options {
    PP_IMAP_OPTIONS_(void)
} pp_imap_options;

/*
 * pp_imap(pool, function, .items, .count, .input, .user, .chunksize, .window,
 *         .time_limit, .grace, .retries)
 *
 * Calls a function of one parameter for each item; pp_next() hands out the results in
 * the order of the items.  Python: Pool.imap().  pp_imap_unordered() hands them out as
 * they come.  pp_istarmap() and pp_istarmap_unordered() are the same for functions of
 * any number of parameters: their items are of type PP_ARGS(function).
 *
 * Items come from an array, .items and .count, which must stay until all of it is
 * drawn; or from a function, .input, which may go on for ever: it is called in the
 * thread that uses the iterator, inside of pp_next() and of whatever else of this pool
 * that thread waits in, and never in another; not while a lock is held, so that it may
 * use the pool.  No more items are drawn than fit into the window of those whose
 * results have not been read: memory stays bounded.  An item whose arguments make no
 * sense (bytes that have a size and no data), or do not fit into memory, fails with
 * PP_ERAISED, code EINVAL or ENOMEM, like one that raises.
 *
 * An iterator survives pp_close(): what it was made for is still run.  pp_join()
 * draws an array to its end, whatever the window, and from then on no function is called
 * any more; what was drawn can be read afterwards.
 *
 * Returns the iterator, which the caller frees with pp_iter_free() or leaves to
 * pp_pool_free(); NULL with errno as for submitting, and EINVAL when both .input and
 * .items or .count are given, or .count alone.  An array of no items may be NULL.
 * Since 0.1.
 */
#define pp_imap(pool, function, ...)                                                       \
    PP_IMAP_(pp_imap_with, pool, function, function##_pp_item, ##__VA_ARGS__)
#define pp_imap_unordered(pool, function, ...)                                             \
    PP_IMAP_(pp_imap_unordered_with, pool, function, function##_pp_item, ##__VA_ARGS__)
#define pp_istarmap(pool, function, ...)                                                   \
    PP_IMAP_(pp_imap_with, pool, function, PP_ARGS(function), ##__VA_ARGS__)
#define pp_istarmap_unordered(pool, function, ...)                                         \
    PP_IMAP_(pp_imap_unordered_with, pool, function, PP_ARGS(function), ##__VA_ARGS__)
pp_iter *pp_imap_with(pp_pool *pool, const pp_task *task, const pp_imap_options *options);
pp_iter *pp_imap_unordered_with(pp_pool *pool, const pp_task *task,
                                const pp_imap_options *options);

/* Since 0.1. */
typedef struct pp_next_options {
    size_t size;
    double timeout; /* seconds; 0 or less: do not wait; the macro's default: for ever */
    size_t *index;  /* when set, *index becomes the item's index, also when it failed */
} pp_next_options;

/*
 * pp_next(iter, &out, .timeout, .index)
 *
 * Waits for the next result, at most timeout seconds if given, and stores its value at
 * out, which may be NULL.  Strings and the data of pp_bytes live until the next call of
 * pp_next() for this iterator, from whatever thread.  An item that failed is returned as
 * such, and the iteration goes on.  An input function is called first, as often as the
 * window allows, but no more when a result is there than for what was read before it, or
 * when the time is over.  Several threads may read one iterator: each item goes to one.
 *
 * Returns 0; PP_E... of the item; PP_STOP_ITERATION when there are no more; -ETIMEDOUT;
 * -ESHUTDOWN (the pool's processes have gone, by pp_join() or otherwise, before the end
 * of the input was reached); -ENOMEM (no memory for the next item; what is there is not
 * lost); -EDEADLK (called by the iterator's own input); -EINVAL, -ECHILD.  In
 * pp_next_with() options that are NULL mean to wait for ever.  Since 0.1.
 */
#define pp_next(iter, out, ...)                                                            \
    __extension__({                                                                        \
        _Pragma("GCC diagnostic push") PP_DEFAULTS_                                        \
        int pp_value_ = pp_next_with((iter), (out),                                        \
                                     &(pp_next_options){ .size = sizeof(pp_next_options),  \
                                                         .timeout = PP_FOREVER,            \
                                                         ##__VA_ARGS__ });                 \
        _Pragma("GCC diagnostic pop") pp_value_;                                           \
    })
int pp_next_with(pp_iter *iter, void *out, const pp_next_options *options);

/*
 * How the item failed that pp_next() returned last; NULL if it did not.  Lives until
 * the next call of pp_next() for this iterator.  Since 0.1.
 */
const pp_error *pp_iter_error(pp_iter *iter);

/*
 * Frees an iterator.  What it has not begun is cancelled; items that are running run on
 * and their results are dropped.  A thread that waits in pp_next() for it gets
 * PP_STOP_ITERATION.  Accepts NULL.  Since 0.1.
 */
void pp_iter_free(pp_iter *iter);

/* ---- Results ----------------------------------------------------------- */

/*
 * pp_get(result, &out, .timeout)
 *
 * Waits for a result, at most timeout seconds if given (0 or less: not at all),
 * and stores its value at out: that of a call, or the array of all values of a
 * map, in which only items that succeeded are stored.  out may be NULL.  Strings
 * and the data of pp_bytes belong to the result until it is freed.  May be
 * called as often as wanted.
 *
 * Returns 0, or PP_E... of the failed item with the lowest index (with .stop_on_error,
 * of those that were not just cancelled for that), or -ETIMEDOUT (the task runs on),
 * -EDEADLK (in a callback, for a result that has one of its own still to run), -EINVAL
 * (result is NULL or the timeout not a number), -ECHILD.  Since 0.1.
 */
#define pp_get(result, out, ...) pp_get_with((result), (out), PP_TIMEOUT_(__VA_ARGS__))
int pp_get_with(pp_result *result, void *out, double timeout);

/*
 * pp_wait(result, .timeout)
 *
 * Waits for a result and says nothing of how it ended.  Returns 0 or -ETIMEDOUT,
 * -EDEADLK, -EINVAL, -ECHILD, as pp_get().  Since 0.1.
 */
#define pp_wait(result, ...) pp_wait_with((result), PP_TIMEOUT_(__VA_ARGS__))
int pp_wait_with(pp_result *result, double timeout);

/* Whether the result is there; false for NULL.  Takes in what the workers have
   done, but neither waits nor runs callbacks: a result that has one is there when it
   has returned, and for the callback itself.  Since 0.1. */
bool pp_ready(pp_result *result);

/* Whether the result is there and no item failed; false for NULL.  Since 0.1. */
bool pp_successful(pp_result *result);

/*
 * The failure with the lowest index (with .stop_on_error, of those that were not just
 * cancelled for that); NULL while the result is not there, or when no item failed.
 * Belongs to the result.  Since 0.1.
 */
const pp_error *pp_error_of(pp_result *result);

/* How many items failed; 0 while the result is not there.  Since 0.1. */
size_t pp_failures(pp_result *result);

/*
 * The failure number i, counted from 0 in the order of the items; NULL if there
 * are fewer.  Belongs to the result.  Since 0.1.
 */
const pp_error *pp_failure(pp_result *result, size_t i);

/*
 * Cancels a call or a map.  What has not begun does not begin, and what is running is
 * stopped: by SIGTERM and, after the call's .grace, SIGKILL; without a grace by SIGKILL
 * at once.  Items that were done stay done; the others end with PP_ECANCELLED, which
 * also calls the error callback.  Hits nothing but this result's items.  Does not wait:
 * what is running ends soon, and if it ends by itself before it is stopped, that is its
 * outcome.  May be called from a callback.
 *
 * Returns 0, or -EALREADY (the result was there already, nothing has changed), -EINVAL,
 * -ECHILD.  Since 0.1.
 */
int pp_cancel(pp_result *result);

/* How far a call or map has come.  Since 0.1. */
typedef struct pp_progress {
    size_t total;   /* items */
    size_t done;    /* of these, that have ended in whatever way; never goes back */
    size_t failed;  /* of these, that failed */
    double elapsed; /* seconds from its first item's way to the workers to its end, or to now */
    double rate;    /* items per second; 0 as long as none is done */
    double eta;     /* seconds that are left at that rate: 0 at the end, until the first item
                       is done infinite */
    size_t reserved_[4];
} pp_progress;

/*
 * How far a result has come, at any time and from any thread.  Items that are done in
 * a chunk that is still running count.  Neither waits nor runs callbacks.  All zero for
 * NULL and in another process.  Since 0.1.
 */
pp_progress pp_progress_of(pp_result *result);

/*
 * pp_progress_bar(result, stream, .timeout)
 *
 * pp_wait() that, if stream is a terminal, draws on it how far the result is, ten
 * times a second, and ends with a line of its own; otherwise it writes nothing.
 * Returns as pp_wait(), and -EINVAL if stream is NULL.  Since 0.1.
 */
#define pp_progress_bar(result, stream, ...)                                               \
    pp_progress_bar_with((result), (stream), PP_TIMEOUT_(__VA_ARGS__))
int pp_progress_bar_with(pp_result *result, FILE *stream, double timeout);

/*
 * Frees a result and what it handed out by pointer.  If its task has not ended,
 * it runs on and its value is dropped.  A callback that has not been called yet is
 * not called any more.
 * In the result's own callback it is freed when the callback returns.  Accepts
 * NULL.  Since 0.1.
 */
void pp_result_free(pp_result *result);

/* ---- Looking into a pool ------------------------------------------------ */

/* What a pool does and has done.  Since 0.1. */
typedef struct pp_stats {
    pp_start start; /* never PP_START_AUTO: what that has come to */
    int processes; /* workers that were asked for */
    int workers;   /* that there are now */

    /* Items of all calls, maps and iterators.  Their sum: all that were submitted. */
    size_t queued;  /* not begun */
    size_t running; /* begun, without an outcome */
    size_t done;    /* ended in whatever way */
    size_t failed;  /* of these, that failed */

    size_t bytes_in;  /* of arguments that were copied to workers */
    size_t bytes_out; /* of results that were taken from them */
    size_t deaths;    /* of workers, as told by .on_death */
    size_t retired;   /* workers that have ended as they should */
    double elapsed;   /* seconds since the pool was made, or until its processes were gone */
    size_t reserved_[6];
} pp_stats;

/*
 * What a pool does now and has done, at any time and from any thread, without disturbing
 * its workers.  Items that are done in a chunk that is still running count as done.  Takes
 * in what the workers have done, but neither waits nor runs callbacks.  When the pool has
 * been joined or terminated the totals stay, until it is freed.  All zero for NULL and in
 * another process.  Since 0.1.
 */
pp_stats pp_stats_of(pp_pool *pool);

typedef enum pp_worker_state {
    PP_WORKER_STARTING, /* its initializer has not returned */
    PP_WORKER_IDLE,     /* it waits for something to do */
    PP_WORKER_BUSY,     /* it is at a task */
    PP_WORKER_LEAVING,  /* it is at the finalizer, or about to end */
} pp_worker_state;

/* What a worker does and has done.  Since 0.1. */
typedef struct pp_worker_stats {
    int id;               /* pp_worker_id() */
    int incarnation;      /* pp_worker_incarnation() */
    pid_t pid;
    pp_worker_state state;
    const char *function; /* the task that it is at, or NULL; lives as long as the task's name */
    size_t tasks;         /* calls and chunks that it has run ... */
    size_t items;         /* ... and items of these; those that are done of the running one, too */
    double busy;          /* seconds at tasks ... */
    double waiting;       /* ... and without one; a wait of less than a microsecond or so counts
                             as busy */
    size_t deaths;        /* of workers of this id before it ... */
    pp_cause cause;       /* ... and of these how the last one died: as in pp_death */
    int signal;
    int status;
    size_t reserved_[4];
} pp_worker_stats;

/*
 * What each worker does now and has done, at any time and from any thread, without disturbing
 * it.  Fills workers[0] to at most workers[room - 1], in the order of ids.  Returns how many
 * workers there are, which may be more; 0 for NULL, in another process, and when the pool's
 * processes are gone.  workers may be NULL if room is 0.  Since 0.1.
 */
size_t pp_worker_stats_of(pp_pool *pool, pp_worker_stats *workers, size_t room);

/* ---- In a task --------------------------------------------------------- */

/*
 * Ends the task: its result is PP_ERAISED, with this code, of any value, and a
 * message of at most 1023 bytes made like printf()'s.  Does not return and does
 * not unwind: what the task holds is not released.  In a signal handler it is as
 * longjmp() is: what it interrupts, pp_reserve() or malloc() too, stays half done.  In
 * an initializer it makes
 * the initializer fail with this code.  In a finalizer it ends that, and counts as a death of
 * the worker, with this code and message.  Outside of these it writes the message to
 * standard error and aborts, as an exception that nobody catches.  Since 0.1.
 */
PP_NORETURN void pp_raise(int code, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/*
 * Memory for the result of the running task, of size bytes, aligned for any
 * type, its contents undefined: a task that returns a string or pp_bytes that
 * lies in it saves a copy.  It lives until the task returns; a task may call
 * this several times.  Returns NULL with errno ENOMEM if there is not that much.
 *
 * Outside of a task it returns memory from malloc(), so that a task can be
 * called as the ordinary function that it is.  Since 0.1.
 */
void *pp_reserve(size_t size) __attribute__((malloc));

/*
 * Which attempt at its item the calling task is: 1, or with .retries up to one more than
 * these.  0 outside of a task.  Since 0.1.
 */
int pp_attempt(void);

/*
 * Who the calling worker is, in a task, an initializer or a finalizer.  Workers that live at
 * the same time have different ids, the lowest that are free, from 0 on: one that replaces
 * another mostly has its id.  -1 outside of these, also in threads and processes that a task
 * starts.  Since 0.1.
 */
int pp_worker_id(void);

/* Which of the workers that have had this id it is, from 1 on; 0 outside.  Since 0.1. */
int pp_worker_incarnation(void);

/*
 * A number to seed a random generator with: always the same in a worker, and different in
 * each worker of the pool, those of the same id too; that those of two pools are different is
 * only as sure as numbers of 64 bits can make it.  Outside of a worker another one each time.
 * Since 0.1.
 */
uint64_t pp_random_seed(void);

/*
 * A pointer of the worker's own, NULL at first: what the initializer has made for its tasks,
 * and the finalizer is given.  Outside of a worker it is the calling thread's, so that a task
 * can be called as the ordinary function that it is.  Since 0.1.
 */
void pp_worker_set_local(void *local);
void *pp_worker_local(void);

/* ---- Others ------------------------------------------------------------ */

/*
 * Describes what a function of this library returned, 0, -errno or PP_E...; for
 * -errno in the words that fit a pool.  Never NULL; lives for ever.  Since 0.1.
 */
const char *pp_strerror(int code);

/* The library's version, "0.1.0".  Since 0.1. */
const char *pp_version(void);

/* ---- What stands behind the macros ------------------------------------- */

/* A timeout for pp_get_with() and its kin: wait for ever. */
#define PP_FOREVER (__builtin_inf())

struct pp_timeout_ {
    double timeout;
};

static inline void pp_pool_free_scoped_(pp_pool **pool)
{
    pp_pool_free(*pool);
}

/* Without an argument: for ever.  With one, .timeout = x: x. */
#define PP_TIMEOUT_(...)                                                                   \
    (sizeof("" #__VA_ARGS__) > 1 ? ((struct pp_timeout_){ __VA_ARGS__ }).timeout : PP_FOREVER)

/* True, or a compile-time error. */
#define PP_ASSERT_(condition, text)                                                        \
    (sizeof(struct {                                                                       \
         _Static_assert(condition, text);                                                  \
         char pp_ok_;                                                                      \
     }) != 0)

#define PP_SAME_(a, b) __builtin_types_compatible_p(a, b)

/* The same type, but that char * serves as const char * */
#define PP_FITS_(given, wanted)                                                            \
    (PP_SAME_(given, wanted) || (PP_SAME_(given, char *) && PP_SAME_(wanted, const char *)))

/* Statements that look at the types of an output (NULL passes) and of items. */
#define PP_OUT_(typed, pp_out_)                                                            \
    _Static_assert(PP_SAME_(__typeof__(*(pp_out_)), void) ||                               \
                       PP_FITS_(__typeof__(*(pp_out_)), __typeof__(*(typed))),             \
                   "the output is not of the task's result type");
#define PP_ITEMS_(function, pp_items_)                                                     \
    _Static_assert((int)function##_pp_nparams == 1,                                        \
                   "pp_map() calls functions of one parameter: use pp_starmap()");         \
    _Static_assert(PP_FITS_(__typeof__(*(pp_items_)), function##_pp_item),                 \
                   "the items are not of the task's parameter type");
#define PP_STAR_ITEMS_(function, pp_items_)                                                \
    _Static_assert(PP_SAME_(__typeof__(*(pp_items_)), PP_ARGS(function)),                  \
                   "the items of a starmap are of type PP_ARGS(function)");

/* Evaluates an expression after these checks, and with doubtful conversions and
   missing arguments as errors. */
#ifdef __clang__
#define PP_EXCESS_ _Pragma("GCC diagnostic error \"-Wexcess-initializers\"")
#else
#define PP_EXCESS_
#endif
#define PP_CHECKED_(type, checks, expression)                                              \
    __extension__({                                                                        \
        _Pragma("GCC diagnostic push")                                                     \
        _Pragma("GCC diagnostic error \"-Wint-conversion\"")                               \
        _Pragma("GCC diagnostic error \"-Wincompatible-pointer-types\"")                   \
        _Pragma("GCC diagnostic error \"-Wmissing-field-initializers\"") PP_EXCESS_        \
        checks type pp_value_ = (expression);                                              \
        _Pragma("GCC diagnostic pop") pp_value_;                                           \
    })

/* The macro's defaults come first, the caller's options after them. */
#ifdef __clang__
#define PP_DEFAULTS_ _Pragma("GCC diagnostic ignored \"-Winitializer-overrides\"")
#else
#define PP_DEFAULTS_ _Pragma("GCC diagnostic ignored \"-Woverride-init\"")
#endif

/* The options of an imap go through a struct that knows the items' type. */
#define PP_IMAP_(submit, pool, function, item_type, ...)                                   \
    PP_CHECKED_(pp_iter *,                                                                 \
                _Static_assert(PP_SAME_(item_type, PP_ARGS(function)) ||                   \
                                   (int)function##_pp_nparams == 1,                        \
                               "pp_imap() calls functions of one parameter: use "          \
                               "pp_istarmap()");                                           \
                , submit((pool), &function##_pp_task,                                      \
                         &(union {                                                         \
                             struct {                                                      \
                                 PP_IMAP_OPTIONS_(item_type)                               \
                             } typed;                                                      \
                             pp_imap_options plain;                                        \
                         }){ .typed = { .size = sizeof(pp_imap_options), ##__VA_ARGS__ } } \
                              .plain))

#define PP_KIND_OF_(type)                                                                  \
    _Generic((__typeof__(type) *)0,                                                        \
        const char **: PP_STRING_,                                                         \
        const char *const *: PP_STRING_,                                                   \
        char **: PP_CHARS_,                                                                \
        char *const *: PP_CHARS_,                                                          \
        pp_bytes *: PP_BYTES_,                                                             \
        const pp_bytes *: PP_BYTES_,                                                       \
        default: PP_VALUE_)

/* The type itself, or char for void. */
#define PP_NONVOID_(type)                                                                  \
    __typeof__(*_Generic((__typeof__(type) *)0, void *: (char *)0, default: (__typeof__(type) *)0))

/* A task of n parameters.  What varies with n is made by the lists below. */
#define PP_DEFINE_(n, result_type, function, item_, types_, members_, values_, ...)         \
    _Static_assert(PP_SAME_(__typeof__(&function), __typeof__(result_type)(*) types_),      \
                   "PP_TASK: the types differ from those of " #function "()");             \
    _Static_assert((int)PP_KIND_OF_(result_type) != (int)PP_CHARS_,                        \
                   "PP_TASK: return const char * for a string");                           \
    PP_ARGS(function)                                                                      \
    {                                                                                      \
        members_                                                                           \
    };                                                                                     \
    typedef item_ function##_pp_item __attribute__((unused));                               \
    enum { function##_pp_nparams = (n) };                                                  \
    static void function##_pp_run(const void *pp_args_, void *pp_result_)                  \
    {                                                                                      \
        const PP_ARGS(function) *pp_a_ = (const PP_ARGS(function) *)pp_args_;              \
        (void)pp_a_;                                                                       \
        *(PP_NONVOID_(result_type) *)pp_result_ = __builtin_choose_expr(                   \
            PP_SAME_(result_type, void), (function values_, (char)0), function values_);     \
    }                                                                                      \
    static const pp_task function##_pp_task __attribute__((unused)) = {                    \
        .size = sizeof(pp_task),                                                           \
        .name = #function,                                                                 \
        .run = function##_pp_run,                                                          \
        .args_size = (n) ? sizeof(PP_ARGS(function)) : 0,                                  \
        .result_size =                                                                     \
            PP_SAME_(result_type, void) ? 0 : sizeof(PP_NONVOID_(result_type)),            \
        .result_kind = PP_KIND_OF_(result_type),                                           \
        .nparams = (n),                                                                    \
        .params = { __VA_ARGS__ },                                                              \
    };                                                                                     \
    union function##_pp_call {                                                             \
        pp_call call;                                                                      \
        __typeof__(result_type) *out;                                                      \
    }

#define PP_MEMBER_(f, t, n) __typeof__(t) n;
#define PP_TYPE_(f, t, n) __typeof__(t)
#define PP_VALUE_OF_(f, t, n) pp_a_->n
#define PP_PARAM_(f, t, n)                                                                 \
    { (unsigned)__builtin_offsetof(PP_ARGS(f), n) +                                        \
          0 * (unsigned)PP_ASSERT_((int)PP_KIND_OF_(t) != (int)PP_CHARS_,                  \
                                   "PP_TASK: char * is refused: const char * is a string"), \
      (unsigned)PP_KIND_OF_(t) }

#define PP_GLUE_(a, b) PP_GLUE2_(a, b)
#define PP_GLUE2_(a, b) a##b

/* The number of parameters from that of arguments, of which there are two each. */
#define PP_COUNT_(...)                                                                     \
    PP_COUNT2_(__VA_ARGS__, many, many, many, many, many, many, 12, odd, 11, odd, 10,      \
               odd, 9, odd, 8, odd, 7, odd, 6, odd, 5, odd, 4, odd, 3, odd, 2, odd, 1,     \
               odd, 0)
#define PP_COUNT2_(z, a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t, u, v, w, \
                   x, aa, bb, cc, dd, ee, ff, count, ...)                                                          \
    count

#define PP_TASK_0(r, f) PP_DEFINE_(0, r, f, struct pp_none_, (void), , (), { 0, 0 })
#define PP_TASKN_(n, r, f, t1, ...)                                                        \
    PP_DEFINE_(n, r, f, __typeof__(t1), (PP_LIST##n##_(PP_TYPE_, f, t1, __VA_ARGS__)),     \
               PP_EACH##n##_(PP_MEMBER_, f, t1, __VA_ARGS__),                              \
               (PP_LIST##n##_(PP_VALUE_OF_, f, t1, __VA_ARGS__)),                          \
               PP_LIST##n##_(PP_PARAM_, f, t1, __VA_ARGS__))
#define PP_TASK_1(r, f, ...) PP_TASKN_(1, r, f, __VA_ARGS__)
#define PP_TASK_2(r, f, ...) PP_TASKN_(2, r, f, __VA_ARGS__)
#define PP_TASK_3(r, f, ...) PP_TASKN_(3, r, f, __VA_ARGS__)
#define PP_TASK_4(r, f, ...) PP_TASKN_(4, r, f, __VA_ARGS__)
#define PP_TASK_5(r, f, ...) PP_TASKN_(5, r, f, __VA_ARGS__)
#define PP_TASK_6(r, f, ...) PP_TASKN_(6, r, f, __VA_ARGS__)
#define PP_TASK_7(r, f, ...) PP_TASKN_(7, r, f, __VA_ARGS__)
#define PP_TASK_8(r, f, ...) PP_TASKN_(8, r, f, __VA_ARGS__)
#define PP_TASK_9(r, f, ...) PP_TASKN_(9, r, f, __VA_ARGS__)
#define PP_TASK_10(r, f, ...) PP_TASKN_(10, r, f, __VA_ARGS__)
#define PP_TASK_11(r, f, ...) PP_TASKN_(11, r, f, __VA_ARGS__)
#define PP_TASK_12(r, f, ...) PP_TASKN_(12, r, f, __VA_ARGS__)
#define PP_TASK_many(...) _Static_assert(0, "PP_TASK: at most 12 parameters")
#define PP_TASK_odd(...) _Static_assert(0, "PP_TASK: every parameter needs a type and a name")

#define PP_EACH1_(M, f, t, n) M(f, t, n)
#define PP_EACH2_(M, f, t, n, ...) M(f, t, n) PP_EACH1_(M, f, __VA_ARGS__)
#define PP_EACH3_(M, f, t, n, ...) M(f, t, n) PP_EACH2_(M, f, __VA_ARGS__)
#define PP_EACH4_(M, f, t, n, ...) M(f, t, n) PP_EACH3_(M, f, __VA_ARGS__)
#define PP_EACH5_(M, f, t, n, ...) M(f, t, n) PP_EACH4_(M, f, __VA_ARGS__)
#define PP_EACH6_(M, f, t, n, ...) M(f, t, n) PP_EACH5_(M, f, __VA_ARGS__)
#define PP_EACH7_(M, f, t, n, ...) M(f, t, n) PP_EACH6_(M, f, __VA_ARGS__)
#define PP_EACH8_(M, f, t, n, ...) M(f, t, n) PP_EACH7_(M, f, __VA_ARGS__)
#define PP_EACH9_(M, f, t, n, ...) M(f, t, n) PP_EACH8_(M, f, __VA_ARGS__)
#define PP_EACH10_(M, f, t, n, ...) M(f, t, n) PP_EACH9_(M, f, __VA_ARGS__)
#define PP_EACH11_(M, f, t, n, ...) M(f, t, n) PP_EACH10_(M, f, __VA_ARGS__)
#define PP_EACH12_(M, f, t, n, ...) M(f, t, n) PP_EACH11_(M, f, __VA_ARGS__)

#define PP_LIST1_(M, f, t, n) M(f, t, n)
#define PP_LIST2_(M, f, t, n, ...) M(f, t, n), PP_LIST1_(M, f, __VA_ARGS__)
#define PP_LIST3_(M, f, t, n, ...) M(f, t, n), PP_LIST2_(M, f, __VA_ARGS__)
#define PP_LIST4_(M, f, t, n, ...) M(f, t, n), PP_LIST3_(M, f, __VA_ARGS__)
#define PP_LIST5_(M, f, t, n, ...) M(f, t, n), PP_LIST4_(M, f, __VA_ARGS__)
#define PP_LIST6_(M, f, t, n, ...) M(f, t, n), PP_LIST5_(M, f, __VA_ARGS__)
#define PP_LIST7_(M, f, t, n, ...) M(f, t, n), PP_LIST6_(M, f, __VA_ARGS__)
#define PP_LIST8_(M, f, t, n, ...) M(f, t, n), PP_LIST7_(M, f, __VA_ARGS__)
#define PP_LIST9_(M, f, t, n, ...) M(f, t, n), PP_LIST8_(M, f, __VA_ARGS__)
#define PP_LIST10_(M, f, t, n, ...) M(f, t, n), PP_LIST9_(M, f, __VA_ARGS__)
#define PP_LIST11_(M, f, t, n, ...) M(f, t, n), PP_LIST10_(M, f, __VA_ARGS__)
#define PP_LIST12_(M, f, t, n, ...) M(f, t, n), PP_LIST11_(M, f, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
