/* SPDX-License-Identifier: MIT */
/* Arguments and what they point to: how large they are, and how they travel. */
#include <errno.h>
#include <stdlib.h>

#include "client/client.h"
#include "harness.h"
#include "rounds.h"

static void use_all(const char *a, pp_bytes b, long c, const char *d)
{
    (void)a;
    (void)b;
    (void)c;
    (void)d;
}
PP_TASK(void, use_all, const char *, a, pp_bytes, b, long, c, const char *, d);

static int flat(char a, double b, void *c)
{
    (void)c;
    return a + (int)b;
}
PP_TASK(int, flat, char, a, double, b, void *, c);

static void nothing(void)
{
}
PP_TASK(void, nothing);

static void twelve(const char *a, const char *b, const char *c, const char *d, const char *e,
                   const char *f, const char *g, const char *h, const char *i, const char *j,
                   const char *k, const char *l)
{
    (void)a, (void)b, (void)c, (void)d, (void)e, (void)f;
    (void)g, (void)h, (void)i, (void)j, (void)k, (void)l;
}
PP_TASK(void, twelve, const char *, a, const char *, b, const char *, c, const char *, d,
        const char *, e, const char *, f, const char *, g, const char *, h, const char *, i,
        const char *, j, const char *, k, const char *, l);

/* Encodes into a block that ends where it must: what is written beyond is noticed. */
static void *encode(const pp_task *task, const void *items, size_t count)
{
    size_t size = 0;
    char *block;

    CHECK_EQ(ppi_encoded_size(task, items, count, &size), 0);
    block = malloc(size + 64);
    memset(block, 0x5a, size + 64);
    ppi_encode(task, items, count, block);
    for (size_t i = 0; i < 64; i++)
        CHECK_EQ(block[size + i], 0x5a);
    return block;
}

/* What points into the block lies there whole. */
static void check_inside(const void *block, size_t block_size, const void *data, size_t size)
{
    const char *begin = block, *at = data;

    CHECK(at >= begin && size <= block_size && at <= begin + block_size - size);
}

/* ---- Values -------------------------------------------------------------- */

TEST(values_take_their_own_size)
{
    static PP_ARGS(flat) items[] = { { 1, 2.5, &items }, { 3, 4.5, NULL } };
    size_t size;
    PP_ARGS(flat) *copy;

    CHECK_EQ(ppi_encoded_size(&flat_pp_task, items, 2, &size), 0);
    CHECK_EQ(size, sizeof items);
    copy = encode(&flat_pp_task, items, 2);
    CHECK(memcmp(copy, items, sizeof items) == 0);
    free(copy);
}

TEST(nothing_takes_nothing)
{
    size_t size = 1;

    CHECK_EQ(ppi_encoded_size(&nothing_pp_task, NULL, 1000000, &size), 0);
    CHECK_EQ(size, 0);
    ppi_encode(&nothing_pp_task, NULL, 1000000, NULL);
    CHECK_EQ(ppi_encoded_size(&flat_pp_task, NULL, 0, &size), 0);
    CHECK_EQ(size, 0);
    CHECK_EQ(ppi_encoded_size(&use_all_pp_task, NULL, 0, &size), 0);
    CHECK_EQ(size, 0);
}

/* ---- Strings and bytes --------------------------------------------------- */

TEST(strings_are_copied)
{
    char text[] = "a text that changes";
    PP_ARGS(use_all) item = { text, { "12345", 5 }, 7, "" }, *copy;
    size_t size;

    CHECK_EQ(ppi_encoded_size(&use_all_pp_task, &item, 1, &size), 0);
    copy = encode(&use_all_pp_task, &item, 1);
    memset(text, 'x', sizeof text - 1);
    CHECK_STR(copy->a, "a text that changes");
    CHECK_EQ(copy->b.size, 5);
    CHECK(memcmp(copy->b.data, "12345", 5) == 0);
    CHECK_EQ(copy->c, 7);
    CHECK_STR(copy->d, "");
    check_inside(copy, size, copy->a, sizeof text);
    check_inside(copy, size, copy->b.data, 5);
    check_inside(copy, size, copy->d, 1);
    CHECK_EQ(item.a, text); /* the caller's struct is as it was */
    free(copy);
}

TEST(null_stays_null)
{
    PP_ARGS(use_all) item = { NULL, { NULL, 0 }, 7, NULL }, *copy;
    size_t size;

    CHECK_EQ(ppi_encoded_size(&use_all_pp_task, &item, 1, &size), 0);
    CHECK(size >= sizeof item && size < sizeof item + 16);
    copy = encode(&use_all_pp_task, &item, 1);
    CHECK(copy->a == NULL && copy->d == NULL);
    CHECK(copy->b.data == NULL && copy->b.size == 0);
    CHECK_EQ(copy->c, 7);
    free(copy);
}

TEST(bytes_of_no_size_are_not_null)
{
    PP_ARGS(use_all) item = { .b = { "", 0 } }, *copy = encode(&use_all_pp_task, &item, 1);

    CHECK(copy->b.data != NULL);
    CHECK_EQ(copy->b.size, 0);
    free(copy);
}

TEST(bytes_are_aligned_for_any_type)
{
    PP_ARGS(use_all)
    item = { "odd", { "12345", 5 }, 1, "even" }, *copy = encode(&use_all_pp_task, &item, 1);

    CHECK_EQ((uintptr_t)copy->b.data % _Alignof(max_align_t), 0);
    free(copy);
}

TEST(long_ones_are_whole)
{
    const size_t length = (size_t)5 << 20;
    char *text = malloc(length + 1);
    PP_ARGS(use_all) item, *copy;

    memset(text, 'a', length);
    text[length] = '\0';
    item = (PP_ARGS(use_all)){ text, { text, length }, 0, text + 1 };
    copy = encode(&use_all_pp_task, &item, 1);
    CHECK_EQ(strlen(copy->a), length);
    CHECK_EQ(strlen(copy->d), length - 1);
    CHECK(copy->b.size == length && memcmp(copy->b.data, text, length) == 0);
    free(copy);
    free(text);
}

TEST(twelve_parameters)
{
    PP_ARGS(twelve)
    item = { "a", "bb", "ccc", "dddd", "e", "", NULL, "h", "i", "j", "kkkkkkkkkkkkkkkk", "l" };
    PP_ARGS(twelve) *copy = encode(&twelve_pp_task, &item, 1);

    CHECK_EQ(ppi_check_task(&twelve_pp_task), 0);
    for (size_t i = 0; i < 12; i++)
        CHECK_STR(((const char **)copy)[i], ((const char **)&item)[i]);
    free(copy);
}

/* Random texts and bytes in many items. */
TEST(any_items)
{
    enum { ITEMS = 50 };
    static char text[1 << 12];

    memset(text, 't', sizeof text - 1);
    FOR_ROUNDS(random, 300) {
        PP_ARGS(use_all) items[ITEMS], *copy;
        size_t count = random_below(&random, ITEMS + 1);

        for (size_t i = 0; i < count; i++) {
            const char *a = text + sizeof text - random_size(&random, 12);
            const char *d = text + sizeof text - random_size(&random, 5);

            items[i].a = random_percent(&random, 80) ? a : NULL;
            items[i].b = (pp_bytes){ d, random_below(&random, strlen(d) + 1) };
            items[i].c = (long)i;
            items[i].d = random_percent(&random, 80) ? d : NULL;
        }
        copy = encode(&use_all_pp_task, items, count);
        for (size_t i = 0; i < count; i++) {
            CHECK_STR(copy[i].a, items[i].a);
            CHECK_STR(copy[i].d, items[i].d);
            HOLDS(random, copy[i].c == (long)i && copy[i].b.size == items[i].b.size);
            HOLDS(random, memcmp(copy[i].b.data, items[i].b.data, items[i].b.size) == 0);
            HOLDS(random, !copy[i].a || copy[i].a != items[i].a);
        }
        free(copy);
    }
}

/* ---- Nonsense ------------------------------------------------------------ */

static int error_of(const pp_task *task, const void *items, size_t count)
{
    size_t size;

    return ppi_encoded_size(task, items, count, &size);
}

TEST(bytes_at_null_are_refused)
{
    PP_ARGS(use_all) items[2] = { { .c = 1 }, { .b = { NULL, 1 } } };

    CHECK_EQ(error_of(&use_all_pp_task, items, 1), 0);
    CHECK_EQ(error_of(&use_all_pp_task, items, 2), -EINVAL);
}

TEST(sizes_that_cannot_be_are_refused)
{
    static const size_t sizes[] = { SIZE_MAX,     SIZE_MAX - 14,     SIZE_MAX - 15,
                                    SIZE_MAX / 2, SIZE_MAX / 2 + 1,  SIZE_MAX / 2 - 40,
                                    SIZE_MAX - 64 };

    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++) {
            PP_ARGS(use_all)
            items[] = { { .b = { "", sizes[i] } }, { .b = { "", sizes[j] } } };

            CHECK_EQ(error_of(&use_all_pp_task, items, 1), -ENOMEM);
            CHECK_EQ(error_of(&use_all_pp_task, items, 2), -ENOMEM);
        }
}

TEST(counts_that_cannot_be_are_refused)
{
    static const size_t counts[] = { SIZE_MAX, SIZE_MAX / 2, SIZE_MAX / sizeof(PP_ARGS(flat)),
                                     SIZE_MAX / sizeof(PP_ARGS(flat)) + 1 };

    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        CHECK_EQ(error_of(&flat_pp_task, "", counts[i]), -ENOMEM);
        CHECK_EQ(error_of(&use_all_pp_task, "", counts[i]), -ENOMEM);
    }
}

/* ---- Descriptions of tasks ------------------------------------------------ */

#define CHECK_REFUSED(code, ...)                                                           \
    do {                                                                                   \
        pp_task task = use_all_pp_task;                                                    \
        __VA_ARGS__;                                                                       \
        CHECK_EQ(ppi_check_task(&task), (code));                                           \
    } while (0)

TEST(descriptions_that_make_sense_are_taken)
{
    CHECK_REFUSED(0, (void)0);
    CHECK_EQ(ppi_check_task(&flat_pp_task), 0);
    CHECK_EQ(ppi_check_task(&nothing_pp_task), 0);
    CHECK_REFUSED(0, task.args_size = 65536);
    CHECK_REFUSED(0, task.size += 100);
    CHECK_REFUSED(0, task.result_size = (size_t)1 << 30);
}

TEST(descriptions_that_make_none_are_refused)
{
    CHECK_EQ(ppi_check_task(NULL), -EINVAL);
    CHECK_REFUSED(-EINVAL, task.size--);
    CHECK_REFUSED(-EINVAL, task.name = NULL);
    CHECK_REFUSED(-EINVAL, task.run = NULL);
    CHECK_REFUSED(-E2BIG, task.nparams = PP_MAX_PARAMS + 1);
    CHECK_REFUSED(-EINVAL, task.args_size = 65537);
    CHECK_REFUSED(-EINVAL, task.args_size = 8);
    CHECK_REFUSED(-EINVAL, task.result_size = ((size_t)1 << 30) + 1);
    CHECK_REFUSED(-EINVAL, task.result_kind = PP_CHARS_);
    CHECK_REFUSED(-EINVAL, task.result_kind = PP_STRING_; task.result_size = 4);
    CHECK_REFUSED(-EINVAL, task.params[1].kind = PP_CHARS_);
    CHECK_REFUSED(-EINVAL, task.params[0].offset = UINT32_MAX);
    CHECK_REFUSED(-EINVAL, task.params[3].offset = (unsigned)task.args_size - 7);
    CHECK_REFUSED(-EINVAL, task.params[1].offset = (unsigned)task.args_size - 15);
}
