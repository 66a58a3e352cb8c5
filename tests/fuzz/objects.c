/* SPDX-License-Identifier: MIT */
/* What an image of the program says that it has loaded. */
#include <string.h>
#include <unistd.h>

#include "rig.h"

static void fill(struct input *input, struct ppi_object *there, const struct ppi_object *here,
                 size_t count)
{
    unsigned how = input_front(input);

    memset(there, (int)input_front(input), sizeof *there);
    if (how % 4)
        *there = here[input_front(input) % count];
    if (how & 4)
        there->base = input_word(input, input_front);
    if (how & 8)
        there->id_size = (uint8_t)input_front(input);
    if (how & 16)
        there->id[input_front(input) % sizeof there->id] ^= 1;
    if (how & 32)
        memset(there->name, 'n', sizeof there->name); /* without an end */
}

/* The first of those there that is this one: a library by its build-id alone, the program
   also without one. */
static const struct ppi_object *same_there(const struct ppi_control_shm *control,
                                           const struct ppi_object *object)
{
    for (size_t i = 0; i < control->objects_count && i < PPI_MAX_OBJECTS; i++) {
        const struct ppi_object *there = &control->objects[i];

        if (!*object->name == !*there->name && (!*object->name || object->id_size > 0) &&
            there->id_size == object->id_size &&
            memcmp(there->id, object->id, object->id_size) == 0)
            return there;
    }
    return NULL;
}

/* The same build lies wherever it is said to; all else is not there. */
static void check(struct ppi_objects *objects, const struct ppi_control_shm *control,
                  uintptr_t here)
{
    const struct ppi_object *there;
    struct ppi_far function;

    FUZZ_CHECK(ppi_objects_describe(objects, here, &function));
    there = same_there(control, &function.object);
    FUZZ_CHECK(ppi_objects_have(objects, here) == (there != NULL));
    if (there)
        FUZZ_CHECK(ppi_objects_there(objects, here) == there->base + function.offset);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = { data, data + size };
    struct ppi_control_shm *control;
    const struct ppi_object *here;
    pp_pool pool = { 0 };
    size_t count;

    FUZZ_CHECK(ppi_objects_create(&pool.objects) == 0);
    here = ppi_objects_list(pool.objects, &count);
    control = calloc(1, sizeof *control);
    FUZZ_CHECK(control != NULL);
    pool.queue = &pool.heritage.queue;
    pool.queue->control = control;
    control->objects_count = input_front(&input) % 8 ? input_front(&input) % 16
                                                     : (uint32_t)input_word(&input, input_front);
    for (unsigned i = 0; i < 16; i++)
        fill(&input, &control->objects[i], here, count);
    FUZZ_CHECK(ppi_know_image(&pool) == 0);
    check(pool.objects, control, (uintptr_t)LLVMFuzzerTestOneInput);
    check(pool.objects, control, (uintptr_t)getpid); /* of libc, mostly */
    ppi_objects_destroy(pool.objects);
    free(control);
    return 0;
}
