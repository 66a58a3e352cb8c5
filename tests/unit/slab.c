/* SPDX-License-Identifier: MIT */
/* Objects of one size: zeros, apart from each other, used again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/slab.h"
#include "harness.h"
#include "rounds.h"

static bool is_all(const unsigned char *bytes, size_t size, unsigned char value)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i] != value)
            return false;
    return true;
}

enum { MOST = 20000 };

static unsigned char *objects[MOST];
static unsigned char marks[MOST];

static void run_round(struct random *random)
{
    size_t size = 1 + random_below(random, 600), count = 0;
    struct ppi_slab slab;

    ppi_slab_init(&slab, size);
    for (unsigned step = 0; step < 4 * MOST; step++) {
        /* More and more, then less and less. */
        if (random_percent(random, step < 2 * MOST ? 70 : 30) && count < MOST) {
            objects[count] = ppi_slab_alloc(&slab);
            HOLDS(*random, objects[count] && (uintptr_t)objects[count] % 16 == 0);
            HOLDS(*random, is_all(objects[count], size, 0));
            marks[count] = (unsigned char)(1 + random_below(random, 255));
            memset(objects[count], marks[count], size);
            count++;
        } else if (count > 0) {
            unsigned i = random_below(random, count--);

            HOLDS(*random, is_all(objects[i], size, marks[i]));
            ppi_slab_free(&slab, objects[i]);
            objects[i] = objects[count];
            marks[i] = marks[count];
        }
    }
    while (count > 0)
        ppi_slab_free(&slab, objects[--count]);
    ppi_slab_destroy(&slab);
}

TEST(objects_are_zero_at_first_and_keep_what_is_stored)
{
    FOR_ROUNDS(random, 20)
        run_round(&random);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define APART true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define APART true
#endif
#endif
#ifndef APART
#define APART false
#endif

TEST(what_is_freed_is_used_again_first)
{
    struct ppi_slab slab;

    if (APART)
        SKIP("sanitizers see each object on its own");
    ppi_slab_init(&slab, 512);
    for (unsigned i = 0; i < MOST; i++) /* several blocks, full ones */
        objects[i] = ppi_slab_alloc(&slab);
    for (unsigned i = 0; i < MOST / 2; i += 97) {
        ppi_slab_free(&slab, objects[i]);
        CHECK(ppi_slab_alloc(&slab) == objects[i]);
    }
    for (unsigned i = 0; i < MOST; i++)
        ppi_slab_free(&slab, objects[i]);
    ppi_slab_destroy(&slab);
}

TEST(nothing_is_freed_for_null)
{
    struct ppi_slab slab;

    ppi_slab_init(&slab, 100);
    ppi_slab_free(&slab, NULL);
    ppi_slab_destroy(&slab);
}
