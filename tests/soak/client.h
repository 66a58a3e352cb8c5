/* SPDX-License-Identifier: MIT */
/* client.h - plays rounds: a pool, work, checks */
#ifndef TESTS_SOAK_CLIENT_H
#define TESTS_SOAK_CLIENT_H

#include <stdint.h>

/* Until so many seconds have passed or the scene says that it is enough; the first round's
   seed is this one, each other's follows from that of the round before it. */
void be_client(uint64_t seed, double seconds);

#endif
