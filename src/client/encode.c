/* SPDX-License-Identifier: MIT */
/*
 * Arguments travel as the struct that they are, followed by the strings and bytes
 * that it points to.  The segment lies at the same address in every process, so
 * that the pointers inside are right at once.
 */
#include <errno.h>
#include <string.h>

#include "client/client.h"
#include "shm/segment.h"

#define MAX_ARGS_SIZE ((size_t)64 << 10)
#define MAX_RESULT_SIZE ((size_t)1 << 30)

/* What follows the structs begins at, and bytes are kept at, multiples of this. */
#define ALIGN ((size_t)16)

int ppi_check_task(const pp_task *task)
{
    if (!task || task->size < sizeof *task || !task->name || !task->run)
        return -EINVAL;
    if (task->nparams > PP_MAX_PARAMS)
        return -E2BIG;
    if (task->args_size > MAX_ARGS_SIZE || task->result_size > MAX_RESULT_SIZE ||
        task->result_kind > PP_BYTES_)
        return -EINVAL;
    for (unsigned i = 0; i < task->nparams; i++) {
        size_t size = task->params[i].kind == PP_STRING_  ? sizeof(char *)
                      : task->params[i].kind == PP_BYTES_ ? sizeof(pp_bytes)
                                                          : 0;

        if (task->params[i].kind > PP_BYTES_ || size > task->args_size ||
            task->params[i].offset > task->args_size - size)
            return -EINVAL;
    }
    return 0;
}

static bool is_flat(const pp_task *task)
{
    for (unsigned i = 0; i < task->nparams; i++)
        if (task->params[i].kind != PP_VALUE_)
            return false;
    return true;
}

/* What a parameter of an item points to; data is NULL for nothing. */
static pp_bytes pointed_to(const struct pp_param_ *param, const char *item)
{
    pp_bytes bytes = { NULL, 0 };
    const char *string;

    if (param->kind == PP_BYTES_) {
        memcpy(&bytes, item + param->offset, sizeof bytes);
    } else if (param->kind == PP_STRING_) {
        memcpy(&string, item + param->offset, sizeof string);
        if (string)
            bytes = (pp_bytes){ string, strlen(string) + 1 };
    }
    return bytes;
}

size_t ppi_encoded_size(const pp_task *task, const void *items, size_t count)
{
    size_t size;

    if (__builtin_mul_overflow(task->args_size, count, &size) || size > SIZE_MAX / 2)
        return SIZE_MAX;
    if (is_flat(task))
        return size;
    size = ppi_round_up(size, ALIGN);
    for (size_t i = 0; i < count; i++)
        for (unsigned p = 0; p < task->nparams; p++) {
            pp_bytes bytes =
                pointed_to(&task->params[p], (const char *)items + i * task->args_size);

            if ((!bytes.data && bytes.size > 0) || bytes.size > SIZE_MAX / 2 - size)
                return SIZE_MAX;
            size += ppi_round_up(bytes.size, ALIGN);
        }
    return size;
}

void ppi_encode(const pp_task *task, const void *items, size_t count, void *block)
{
    char *extra = (char *)block + ppi_round_up(task->args_size * count, ALIGN);

    if (task->args_size * count > 0)
        memcpy(block, items, task->args_size * count);
    if (is_flat(task))
        return;
    for (size_t i = 0; i < count; i++)
        for (unsigned p = 0; p < task->nparams; p++) {
            char *item = (char *)block + i * task->args_size;
            pp_bytes bytes = pointed_to(&task->params[p], item);

            if (!bytes.data)
                continue;
            memcpy(extra, bytes.data, bytes.size);
            /* The first member of pp_bytes is its data: the same place for both. */
            memcpy(item + task->params[p].offset, &extra, sizeof extra);
            extra += ppi_round_up(bytes.size, ALIGN);
        }
}
