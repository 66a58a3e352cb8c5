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

TEST(nothing_is_freed_for_null)
{
    struct ppi_slab slab;

    ppi_slab_init(&slab, 100);
    ppi_slab_free(&slab, NULL);
    ppi_slab_destroy(&slab);
}
