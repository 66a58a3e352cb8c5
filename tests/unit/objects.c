/* SPDX-License-Identifier: MIT */
/* Which functions workers can call. */
#include <dlfcn.h>
#include <pthread.h>
#include <sys/mman.h>

#include "base/objects.h"
#include "harness.h"
#include "shm/segment.h"

static int a_function(void)
{
    return 1;
}

static const int a_constant = 1;
static int a_variable = 1;

static struct ppi_objects *objects_now(void)
{
    struct ppi_objects *objects;

    CHECK_EQ(ppi_objects_create(&objects), 0);
    return objects;
}

#define HAVE(objects, address) ppi_objects_have((objects), (uintptr_t)(address))

TEST(code_is_known)
{
    struct ppi_objects *objects = objects_now();

    for (int look = 0; look < 3; look++) { /* later ones find it in the cache */
        CHECK(HAVE(objects, a_function));
        CHECK(HAVE(objects, harness_now));
        CHECK(HAVE(objects, dlsym(RTLD_DEFAULT, "qsort")));
    }
    ppi_objects_destroy(objects);
}

TEST(data_is_no_code)
{
    struct ppi_objects *objects = objects_now();
    int local = 1;
    void *page = mmap(NULL, PPI_PAGE, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(page != MAP_FAILED);
    for (int look = 0; look < 3; look++) {
        CHECK(!HAVE(objects, &a_constant));
        CHECK(!HAVE(objects, &a_variable));
        CHECK(!HAVE(objects, &local));
        CHECK(!HAVE(objects, page)); /* of no object */
        CHECK(!HAVE(objects, UINTPTR_MAX));
        CHECK(!HAVE(objects, 8));
    }
    CHECK_EQ(munmap(page, PPI_PAGE), 0);
    ppi_objects_destroy(objects);
}

TEST(null_is_no_code)
{
    struct ppi_objects *objects = objects_now();

    CHECK(!HAVE(objects, 0));
    ppi_objects_destroy(objects);
}

/* Two addresses that share a place in the cache are not taken for each other. */
TEST(the_cache_knows_whole_addresses)
{
    struct ppi_objects *objects = objects_now();
    uintptr_t known = (uintptr_t)a_function;

    CHECK(HAVE(objects, known));
    for (uintptr_t bit = UINT64_C(1) << 40; bit != 0; bit <<= 1)
        CHECK(!HAVE(objects, known ^ bit));
    CHECK(HAVE(objects, known));
    ppi_objects_destroy(objects);
}

TEST(what_is_loaded_later_is_not_known)
{
    struct ppi_objects *before = objects_now(), *after;
    void *late = dlopen(LATE_OBJECT, RTLD_NOW), *function;

    if (!late)
        FAIL("dlopen: %s", dlerror());
    function = dlsym(late, "late_function");
    CHECK(function != NULL);
    after = objects_now();
    CHECK(!HAVE(before, function));
    CHECK(HAVE(after, function));
    CHECK_EQ(dlclose(late), 0);
    ppi_objects_destroy(before);
    ppi_objects_destroy(after);
}

TEST(nothing_is_destroyed_without_effect)
{
    ppi_objects_destroy(NULL);
}

/* Any thread of the client may submit. */
static void *look_often(void *what)
{
    for (int i = 0; i < 1000; i++) {
        CHECK(HAVE(what, (char *)(uintptr_t)a_function + i % 2));
        CHECK(HAVE(what, harness_now));
    }
    return NULL;
}

TEST(many_threads_look)
{
    struct ppi_objects *objects = objects_now();
    pthread_t threads[3];

    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_create(&threads[i], NULL, look_often, objects), 0);
    for (int i = 0; i < 3; i++)
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    ppi_objects_destroy(objects);
}
