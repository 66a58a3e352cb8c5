/* SPDX-License-Identifier: MIT */
/*
 * Injection points: places between any two steps of the protocol, at which tests stop or kill
 * the process that comes there (tests/inject).
 *
 * PPI_POINT(NAME) stands where something that others can see has been done, and something else
 * that belongs to it has not.  In the library it is nothing at all: only tests/inject, which
 * builds the sources once more for itself, defines PPI_POINTS and ppi_point().
 *
 * The list is in the order of the protocol, and says how things stand at each point.  A
 * point's name begins with whose it is; what is the same for several (RING_, WAKE_, EVENT_) is
 * passed by whoever wakes.
 */
#ifndef PPI_BASE_POINT_H
#define PPI_BASE_POINT_H

#define PPI_POINTS_LIST(X)                                                                   \
    /* A pool is made. */                                                                    \
    X(CLIENT_FORKED, "the supervisor is forked; there is no pidfd of it yet")                \
    X(CLIENT_HOLDS_SUPERVISOR, "there is, or it came to nothing")                            \
    X(SUPERVISOR_BORN, "it is a process of its own, and nothing says that it lives")         \
    X(SUPERVISOR_LIVES, "the life word is its own")                                          \
    X(SUPERVISOR_CONFINED, "it can write its own part only")                                 \
    X(CLIENT_CONFINED, "the client can write its own parts only; it will wait")              \
    X(CLIENT_AWAITS, "it has said which worker it waits for, and looks at that next")        \
    X(CLIENT_STARTED, "all workers are ready; a failing one still fails the pool")           \
    X(CLIENT_RUNNING, "the command is RUNNING")                                              \
    /* A worker is born. */                                                                  \
    X(SUPERVISOR_FITTED, "it knows how many workers are missing")                            \
    X(SUPERVISOR_ANNOUNCED_SEAT, "the seat is announced for a worker that is not forked yet") \
    X(SUPERVISOR_FORKED, "the worker is; its pid is nowhere")                                \
    X(SUPERVISOR_STARTED_WORKER, "its pid is in the control part; the seat is not LIVE")     \
    X(SUPERVISOR_SAID_LIVE, "the seat is LIVE; the worker is not counted")                   \
    X(SUPERVISOR_STARTED, "as many as are to be were forked; the state says so")             \
    X(SUPERVISOR_FORKED_SPARE, "a spare is forked; nobody knows of it")                      \
    X(SUPERVISOR_CALLS_SPARE, "the spare has a seat, and is not told")                       \
    X(SUPERVISOR_CALLED_SPARE, "it is told, and not woken")                                  \
    X(SPARE_WAITS, "the spare can be called")                                                \
    X(SPARE_CALLED, "it was")                                                                \
    X(WORKER_BOUND, "it dies with its supervisor; has not looked whether that lives")        \
    X(WORKER_LEFT_SUPERVISOR, "descriptors and signals are its own")                         \
    X(WORKER_NAMED, "its pid is in the control part")                                        \
    X(WORKER_CONFINED, "it can write its own seat only, which is still its predecessor's")   \
    X(WORKER_SITS, "the seat is set; its incarnation is not")                                \
    X(WORKER_SEATED, "the seat is its own")                                                  \
    X(WORKER_WATCHED, "its death and its crashes will be told")                              \
    X(WORKER_INITIALIZES, "the initializer comes next")                                      \
    X(WORKER_INITIALIZED, "it has returned; nobody knows how")                               \
    X(WORKER_FAILS, "it has failed; code and message are there, the state is not")           \
    X(WORKER_READY, "the state is; the client may sleep for it")                             \
    /* A task is submitted. */                                                               \
    X(CLIENT_IN_BACKLOG, "a result is open, and nothing of it is in shared memory")          \
    X(CLIENT_FEEDS, "the first of the backlog comes next, if there is room")                 \
    X(CLIENT_STAGED, "arguments are copied; the slot is not filled")                         \
    X(CLIENT_FILLED, "slot and flight are; the word is another position's")                  \
    X(CLIENT_QUEUED, "the word is QUEUED; the tail is not moved")                            \
    X(CLIENT_PUBLISHED, "it is; nobody is woken")                                            \
    X(RING_DUE,                                                                              \
      "somebody sleeps and nobody is on its way: the ringer has taken that upon itself")     \
    X(RING_RUNG, "the workers' bell is changed, and nobody woken")                           \
    X(CLIENT_FED, "a worker was woken, or need not be")                                      \
    X(CLIENT_DRAWS, "an iterator's input comes next")                                        \
    X(CLIENT_DREW, "a chunk was drawn, and is not submitted")                                \
    /* It is claimed and begun. */                                                           \
    X(WORKER_INTENDS, "the intent says where to look; the word is not its own")              \
    X(WORKER_CLAIMED, "the word is; the worker knows nothing of the task")                   \
    X(WORKER_LOOKED_ON, "it has looked for tasks; the head is where it was")                 \
    X(WORKER_HAS_TASK,                                                                       \
      "the task is claimed; the wake-up that brought it here is not passed on")              \
    X(WORKER_PASSED_ON, "it is")                                                             \
    X(WORKER_KNOWS_TASK, "the slot is read; the seat speaks of the task before")             \
    X(WORKER_ITEM_NOTED, "the seat says where it begins, and not yet that it does")          \
    X(WORKER_RUNS, "it does: from here on a death costs the item")                           \
    X(WORKER_TOLD, "the client is told of the task before; the stop flag is not looked at")  \
    X(WORKER_BEGINS, "it may begin")                                                         \
    /* It is run. */                                                                         \
    X(WORKER_LIMIT_BEGUN, "the time limit runs; the supervisor may look too late")           \
    X(WORKER_CALLS, "the function is called next")                                           \
    X(WORKER_RETURNED, "it has returned, and nobody knows")                                  \
    X(WORKER_LIMIT_ENDED, "its time limit is over; the item is not")                         \
    X(WORKER_ITEM_OVER, "the seat says that it is; the stop flag is not looked at")          \
    X(WORKER_HAS_ROOM,                                                                       \
      "there is a place for a run's results; the seat does not say for which")               \
    X(WORKER_RUN_CALLS, "an item of a run is called next")                                   \
    X(WORKER_RUN_RETURNED, "it has returned, and nobody knows")                              \
    X(WORKER_RUN_NOTED, "the seat says that it is done; there is no record")                 \
    X(WORKER_RUN_OVER, "so are all of the run")                                              \
    X(WORKER_RAISED, "an item has called pp_raise()")                                        \
    X(WORKER_CANCELS, "the task is cancelled; nothing says yet that the rest is not run")    \
    /* It is committed. */                                                                   \
    X(WORKER_RECORD_FILLED, "the record is written, and below no tail")                      \
    X(WORKER_COMMITTED, "the tail is moved: the outcome exists")                             \
    X(WORKER_PRESSES, "many records wait; the service thread is woken next")                 \
    X(WORKER_PART_COMMITTED, "the task goes on; the client may sleep for what was committed") \
    X(WORKER_TASK_OVER, "the task is; nothing is counted")                                   \
    X(WORKER_DONE, "it is counted; the client is not told")                                  \
    X(WORKER_WANTS_ROOM,                                                                     \
      "the ring or the outbox is full, and the seat says so; not looked at again")           \
    X(WORKER_WAITS_FOR_ROOM, "nothing was taken meanwhile; it sleeps next")                  \
    /* Somebody sleeps and is woken. */                                                      \
    X(WORKER_IDLE, "nothing was found")                                                      \
    X(WORKER_SEARCHES, "it looks without sleeping, and says so")                             \
    X(WORKER_FOUND, "it has found something, or given up, and still says that it looks")     \
    X(WORKER_NAPS, "it says that it naps")                                                   \
    X(WORKER_NAPPED, "it has, and still says so")                                            \
    X(WORKER_ANNOUNCED, "it says that it sleeps; a wake-up may be on its way")               \
    X(WORKER_LOOKS_AGAIN, "no more; it looks once more next")                                \
    X(WORKER_SLEEPS, "nothing was found; the kernel is called next")                         \
    X(WORKER_WOKEN, "it is awake, and still says that it sleeps")                            \
    X(WORKER_AWAKE, "no more; that somebody is being woken still stands there")              \
    X(WAKE_DUE, "client or service thread sleep; the waker has taken that upon itself")      \
    X(WAKE_RUNG, "their bell is changed, and nobody woken")                                  \
    X(EVENT_OWED, "the event loop cannot be woken; the supervisor is not told")              \
    X(CLIENT_FOLLOWS, "another thread leads; this one waits for it next")                    \
    X(CLIENT_SPINS, "it leads without sleeping; the lock is released")                       \
    X(CLIENT_WANTS, "what it waits for is said, and not that it does")                       \
    X(CLIENT_ANNOUNCED, "that is, too; it looks once more next")                             \
    X(CLIENT_SLEEPS,                                                                         \
      "nothing was found, and the lock is released; the kernel is called next")              \
    X(CLIENT_WOKEN, "it is awake, without the lock")                                         \
    X(CLIENT_STOPS_LEADING, "it leads no more; nobody is told")                              \
    X(CLIENT_HINTS, "somebody dies; the supervisor is not poked")                            \
    X(CLIENT_EVENT_ANNOUNCED, "the event loop may be asleep; not fenced")                    \
    X(CLIENT_EVENT_LOOKS, "it looks once more next")                                         \
    X(CLIENT_DOZE_ANNOUNCED,                                                                 \
      "the service thread says that it dozes; it looks once more next")                      \
    X(CLIENT_DOZES, "nothing was found, and the lock is released")                           \
    X(CLIENT_DOZED, "it is awake, without the lock")                                         \
    X(CLIENT_RESTS, "the service thread has nothing to do")                                  \
    /* Records are taken in. */                                                              \
    X(CLIENT_COPIED, "a worker's record is copied, and not looked at")                       \
    X(CLIENT_CONTROL_COPIED, "one of the supervisor's is")                                   \
    X(CLIENT_MARKED, "the outcome is stored; the flight does not know")                      \
    X(CLIENT_FLIGHT_ENDED, "the slot is free; the result does not know")                     \
    X(CLIENT_COMPLETE, "a result has all of its outcomes, and is open")                      \
    X(CLIENT_DUE, "its callback is due; nobody is told")                                     \
    X(CLIENT_SETTLED, "it is not open any more; nobody is told")                             \
    X(CLIENT_TAKEN, "a seat's records are taken in; its worker is not told")                 \
    X(CLIENT_ACKNOWLEDGED, "it is; whether it waits for that is not looked at")              \
    X(CLIENT_ROOM_RUNG, "it does: its bell is changed, and it is not woken")                 \
    X(CLIENT_CONDEMNED, "a record made no sense; the supervisor is not poked")               \
    X(CLIENT_CALLS_BACK, "a callback is called next, without the lock")                      \
    X(CLIENT_CALLED_BACK, "it has returned; the result is not there for others")             \
    /* A worker dies. */                                                                     \
    X(WORKER_CRASHES, "in its handler, before its report")                                   \
    X(WORKER_REPORTED, "after it")                                                           \
    X(SUPERVISOR_SAW_DYING, "a worker begins to exit; nothing is judged")                    \
    X(SUPERVISOR_SAW_DEATH, "waitid() has said that it is dead; nothing is judged")          \
    X(SUPERVISOR_FOUND_TASK, "it had begun a task, which it has not ended")                  \
    X(SUPERVISOR_RECORDED_DONE, "what it had done of it has a record")                       \
    X(SUPERVISOR_RECORD_FILLED, "the supervisor's record is written, and below no tail")     \
    X(SUPERVISOR_RECORDED, "its tail is moved")                                              \
    X(SUPERVISOR_RESUME_SAID,                                                                \
      "where others are to go on is said; the word is the dead one's")                       \
    X(SUPERVISOR_REQUEUED, "the word is REQUEUED; nobody looks for it")                      \
    X(SUPERVISOR_HANDED_BACK, "all do; the supervisor has not noted it")                     \
    X(SUPERVISOR_SETTLED, "the task is dealt with; the death has no record")                 \
    X(SUPERVISOR_RECORDED_DEATH, "it has; the seat is LIVE")                                 \
    X(SUPERVISOR_SAID_DEAD, "the seat is DEAD, and still says that its worker sleeps")       \
    X(SUPERVISOR_WAKES, "no more; what the dead may have missed is not woken")               \
    X(WAKE_ALL_BEGUN, "that somebody is being woken is forgotten; nobody is woken")          \
    X(WAKE_ALL_CLIENT, "all workers are; the client's flag is cleared, and it is not")       \
    X(WAKE_ALL_SERVICE, "the client is; the service thread is not")                          \
    X(WAKE_ALL_EVENT, "it is; the event loop is not")                                        \
    X(SUPERVISOR_REAPED, "all of that is done; there is no replacement")                     \
    X(SUPERVISOR_AWAITS_DEATH, "the seat waits for the end of the process")                  \
    X(CLIENT_BURIES, "the record of the death is read; what the seat holds is not")          \
    X(CLIENT_LAST_TAKEN, "it is")                                                            \
    X(CLIENT_CLAIMS_ENDED, "what the dead had claimed has ended")                            \
    X(CLIENT_SEAT_EMPTIED, "the next one's records begin where the client is")               \
    X(CLIENT_BURIED, "the client is done with the seat; the words are not audited")          \
    X(CLIENT_MENDED, "some claim word was mended; nobody looks for it")                      \
    X(CLIENT_RELEASED, "the seat is released; the supervisor is not poked")                  \
    X(CLIENT_TELLS_DEATH, "the program is told next, without the lock")                      \
    /* The supervisor's round. */                                                            \
    X(SUPERVISOR_SLEEPS, "it sleeps next")                                                   \
    X(SUPERVISOR_WOKEN, "it is awake, and has looked at nothing")                            \
    X(SUPERVISOR_LOOKED, "at workers and tasks; not at the command")                         \
    X(SUPERVISOR_OBEYED, "at that, too; missing workers are not forked")                     \
    /* Tasks are stopped. */                                                                 \
    X(CLIENT_WITHDREW, "a task is taken back, or its end is asked for")                      \
    X(CLIENT_CANCEL_SAID, "the cancel word is there; not fenced")                            \
    X(CLIENT_CANCELS, "all of a result's are; the supervisor is not poked")                  \
    X(SUPERVISOR_LOOKS,                                                                      \
      "when it will look again is said; what has begun meanwhile is not looked at")          \
    X(SUPERVISOR_MAY_STOP,                                                                   \
      "the stop flag is set; whether the item still runs is not looked at")                  \
    X(SUPERVISOR_KILLS, "it does; its worker is killed next")                                \
    X(SUPERVISOR_TERMINATED, "SIGTERM is sent; the stop word does not say so")               \
    X(SUPERVISOR_ENDS_STOP, "the stop is over; the stop word does not say so")               \
    X(WORKER_WAITS_FOR_STOP, "the worker has seen the flag, and sleeps next")                \
    X(WORKER_GOES_ON, "it is awake, and looks again")                                        \
    X(WORKER_SURVIVED, "it says that it has outlived SIGTERM; the supervisor may sleep")     \
    /* Workers leave. */                                                                     \
    X(CLIENT_RESIZED, "there are to be more workers, or fewer; the supervisor is not poked") \
    X(SUPERVISOR_DISMISSED, "some are to leave; those that sleep do not know")               \
    X(WORKER_RETIRES, "it takes no more tasks; the client may sleep for its last one")       \
    X(WORKER_TOLD_TO_END, "there is nothing left to do, for ever; others are not woken")     \
    X(WORKER_LEAVES, "it has left its loop")                                                 \
    X(WORKER_FINALIZING, "it says that it finalizes; not fenced")                            \
    X(WORKER_FINALIZER_DUE, "it may; the supervisor does not know")                          \
    X(WORKER_FINALIZES, "the finalizer comes next")                                          \
    X(WORKER_FINALIZED, "it has returned")                                                   \
    X(WORKER_RETIRED, "the seat says that all went well; it exits next")                     \
    X(SUPERVISOR_ENDS_FINALIZER, "it has run too long; its worker is killed next")           \
    /* The pool ends. */                                                                     \
    X(CLIENT_CLOSED, "it takes no more orders")                                              \
    X(CLIENT_COMMANDS, "FINISH or TERMINATE comes next")                                     \
    X(CLIENT_COMMANDED, "it is stored; nobody is woken")                                     \
    X(CLIENT_POKES, "a worker is; the supervisor is not")                                    \
    X(SUPERVISOR_GIVES_UP, "no worker can be kept alive; nothing says so")                   \
    X(SUPERVISOR_ENDS, "everything is ended next")                                           \
    X(SUPERVISOR_ENDS_ALL, "those that were dead are reaped")                                \
    X(SUPERVISOR_KILLED_ALL, "all others are killed; it waits next")                         \
    X(SUPERVISOR_ALL_ENDED, "nobody is left; the state does not say so")                     \
    X(SUPERVISOR_SAID_STATE, "it does; nobody is woken")                                     \
    X(SUPERVISOR_LEAVES, "it exits next")                                                    \
    X(CLIENT_LOST, "the supervisor is gone, or about to be")                                 \
    X(CLIENT_ORPHANS_GONE, "so are its workers; what they had committed is not taken in")    \
    X(CLIENT_ENDS_OPEN, "it is; what is open is ended next")                                 \
    X(CLIENT_OPEN_ENDED, "it is; nobody is told")                                            \
    X(CLIENT_SHUTS_DOWN, "nobody uses the segment; it is unmapped next")                     \
    X(CLIENT_LEFT_MEMORY, "it is, but for shared memory")                                    \
    X(CLIENT_SERVICE_ENDS, "the service thread is to end; it is not told")                   \
    X(CLIENT_FREES, "results are freed next")                                                \
    X(CLIENT_RESULTS_FREED, "they are; shared memory is not")                                \
    /* Shared memory. */                                                                     \
    X(CLIENT_SHARED_CLEARED, "a block's pages are given back; the block is not")

#ifdef PPI_POINTS

#define PPI_POINT_NUMBER_(name, text) PPI_AT_##name,
enum ppi_point { PPI_POINTS_LIST(PPI_POINT_NUMBER_) PPI_POINT_COUNT };

/* The calling process, or thread, has come to this point. */
void ppi_point(enum ppi_point point);

#define PPI_POINT(name) ppi_point(PPI_AT_##name)

#else
#define PPI_POINT(name) ((void)0)
#endif

#endif
