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

/* What a parameter or result of this kind takes itself; 0: it is for the task to say. */
static size_t size_of(unsigned kind)
{
    return kind == PP_STRING_ ? sizeof(char *) : kind == PP_BYTES_ ? sizeof(pp_bytes) : 0;
}

int ppi_check_task(const pp_task *task)
{
    if (!task || task->size < sizeof *task || !task->name || !task->run)
        return -EINVAL;
    if (task->nparams > PP_MAX_PARAMS)
        return -E2BIG;
    if (task->args_size > MAX_ARGS_SIZE || task->result_size > MAX_RESULT_SIZE ||
        task->result_kind > PP_BYTES_ ||
        (task->result_kind != PP_VALUE_ && task->result_size != size_of(task->result_kind)))
        return -EINVAL;
    for (unsigned i = 0; i < task->nparams; i++) {
        size_t size = size_of(task->params[i].kind);

        if (task->params[i].kind > PP_BYTES_ || size > task->args_size ||
            task->params[i].offset > task->args_size - size)
            return -EINVAL;
    }
    return 0;
}

bool ppi_is_flat(const pp_task *task)
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

/* More than any process can address. */
#define ABSURD ((size_t)1 << 47)

/* The bytes that an item's parameters point to; 0 or -errno. */
static int add_pointed_to(const pp_task *task, const char *item, size_t *size)
{
    for (unsigned p = 0; p < task->nparams; p++) {
        pp_bytes bytes = pointed_to(&task->params[p], item);

        if (!bytes.data && bytes.size > 0)
            return -EINVAL;
        if (bytes.size > ABSURD || *size > ABSURD)
            return -ENOMEM;
        *size += ppi_round_up(bytes.size, ALIGN);
    }
    return 0;
}

int ppi_encoded_size(const pp_task *task, const void *items, size_t count, size_t *size)
{
    int error = 0;

    if (__builtin_mul_overflow(task->args_size, count, size) || *size > ABSURD)
        return -ENOMEM;
    if (ppi_is_flat(task))
        return 0;
    *size = ppi_round_up(*size, ALIGN);
    for (size_t i = 0; i < count && !error; i++)
        error = add_pointed_to(task, (const char *)items + i * task->args_size, size);
    return error;
}

void ppi_encode(const pp_task *task, const void *items, size_t count, void *block)
{
    char *extra = (char *)block + ppi_round_up(task->args_size * count, ALIGN);

    if (task->args_size * count > 0)
        memcpy(block, items, task->args_size * count);
    if (ppi_is_flat(task))
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
