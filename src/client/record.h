/* SPDX-License-Identifier: MIT */
/* What a completion record says of items.  All is called with the pool's lock held. */
#ifndef PPI_CLIENT_RECORD_H
#define PPI_CLIENT_RECORD_H

#include "client/client.h"

/* How the worker of a seat ended, which had this status: no exit status, the wait's. */
struct ppi_dead {
    unsigned seat;
    int status;
    pid_t pid;
};

/* As the supervisor has recorded it. */
struct ppi_dead ppi_dead_of(const struct ppi_record_shm *record);

/* "square(...) with item 3 was ..." */
void ppi_describe_item(const pp_result *result, size_t index, const char *how, char *text,
                       size_t size);

/* The errors of items whose worker crashed, or was stopped at their time limit; text is their
   message. */
pp_error ppi_describe_crash(const pp_result *result, size_t index, struct ppi_dead death,
                            char *text, size_t size);
pp_error ppi_describe_timeout(const pp_result *result, size_t index, pid_t pid, char *text,
                              size_t size);

/* Takes a record of the supervisor's; false if it is nonsense. */
bool ppi_take_outcome(pp_pool *pool, const struct ppi_record_shm *record);

/* The same for a worker's, which can say less. */
bool ppi_take_record(pp_pool *pool, const struct ppi_record_shm *record);

/* Ends a flight if it has all of its outcomes. */
void ppi_end_complete(pp_pool *pool, struct ppi_flight *flight);

#endif
