/* SPDX-License-Identifier: MIT */
/* The items of a result that did not succeed: those with an error each, and the rest. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "client/client.h"

/* What is said when there is no memory to say more; index is nobody's. */
static pp_error want_of_memory = {
    .size = sizeof want_of_memory,
    .kind = PP_RAISED,
    .code = ENOMEM,
    .function = "",
    .message = "out of memory",
};
static struct ppi_failures want_of_failures = { .rest = &want_of_memory };

void ppi_fail_for_want(pp_result *result)
{
    if (result->failures)
        result->failures->rest = &want_of_memory;
    else
        result->failures = &want_of_failures;
}

static void free_rest(pp_error *rest)
{
    if (rest != &want_of_memory)
        free(rest);
}

void ppi_free_failures(pp_result *result)
{
    struct ppi_failures *failures = result->failures;

    if (failures == &want_of_failures)
        return;
    for (size_t i = 0; i < failures->count; i++)
        free((char *)failures->all[i].message);
    free(failures->all);
    free(failures->former_all);
    free_rest(failures->rest);
    free_rest(failures->former_rest);
    free(failures);
}

/* ---- Which items have none ---- */

bool ppi_has_outcome(const pp_result *result, size_t item)
{
    return ppi_own_outcomes(result, item / 64) >> item % 64 & 1;
}

size_t ppi_next_missing(const pp_result *result, size_t item)
{
    while (item < result->count && ppi_has_outcome(result, item))
        item += ppi_own_outcomes(result, item / 64) == UINT64_MAX ? 64 - item % 64 : 1;
    return item < result->count ? item : result->count;
}

void ppi_drop_needless_rest(pp_result *result)
{
    struct ppi_failures *failures = result->failures;

    if (!ppi_rest(result) || ppi_next_missing(result, 0) < result->count)
        return;
    if (failures == &want_of_failures) {
        result->failures = NULL;
        return;
    }
    free_rest(failures->rest);
    failures->rest = NULL;
}

/* Of a map that stopped on an error: the first item that failed and was not just stopped. */
static const pp_error *first_cause(pp_result *result)
{
    const struct ppi_failures *failures = result->failures;

    for (size_t i = 0; i < failures->count; i++)
        if (failures->all[i].kind != PP_CANCELLED)
            return &failures->all[i];
    return NULL;
}

const pp_error *ppi_first_failure(pp_result *result)
{
    struct ppi_failures *failures = result->failures;
    const pp_error *cause;

    if (!failures)
        return NULL;
    cause = result->stop_on_error ? first_cause(result) : NULL;
    if (cause)
        return cause;
    if (failures->rest) {
        failures->rest->index = ppi_next_missing(result, 0);
        if (failures->count == 0 || failures->rest->index < failures->all[0].index)
            return failures->rest;
    }
    return failures->count > 0 ? &failures->all[0] : NULL;
}

int ppi_error_code(const pp_error *error)
{
    static const int codes[] = {
        [PP_SUCCEEDED] = 0,           [PP_RAISED] = PP_ERAISED,
        [PP_CRASHED] = PP_ECRASHED,   [PP_TIMED_OUT] = PP_ETIMELIMIT,
        [PP_CANCELLED] = PP_ECANCELLED, [PP_BROKEN] = PP_EBROKEN,
    };

    return codes[error->kind];
}

/* Message and backtrace, one after the other. */
static size_t words_size(const pp_error *error)
{
    return strlen(error->message) + 1 + (error->backtrace ? strlen(error->backtrace) + 1 : 0);
}

static void put_words(char *words, const pp_error *error)
{
    size_t message = strlen(error->message) + 1;

    memcpy(words, error->message, message);
    if (error->backtrace)
        strcpy(words + message, error->backtrace);
}

char *ppi_copy_words(const pp_error *error)
{
    char *words = malloc(words_size(error));

    if (words)
        put_words(words, error);
    return words;
}

void ppi_set_words(pp_error *error, const char *words)
{
    error->message = words;
    if (error->backtrace)
        error->backtrace = words + strlen(words) + 1;
}

pp_error *ppi_error_copy(const pp_error *error)
{
    size_t words = words_size(error), function = strlen(error->function) + 1;
    pp_error *copy = malloc(sizeof *copy + words + function);
    char *text;

    if (!copy)
        return NULL;
    text = (char *)(copy + 1);
    *copy = *error;
    put_words(text, error);
    ppi_set_words(copy, text);
    copy->function = memcpy(text + words, error->function, function);
    return copy;
}

static int by_index(const void *a, const void *b)
{
    size_t x = ((const pp_error *)a)->index, y = ((const pp_error *)b)->index;

    return x < y ? -1 : x > y;
}

void ppi_sort_failures(pp_result *result)
{
    struct ppi_failures *failures = result->failures;

    if (failures && failures->count > 1)
        qsort(failures->all, failures->count, sizeof *failures->all, by_index);
}

/* Adds an entry for each item that the rest stands for; false without memory. */
static bool add_rest(const pp_result *result, pp_error *all, size_t *count)
{
    size_t old = *count;

    for (size_t i = ppi_next_missing(result, 0); i < result->count;
         i = ppi_next_missing(result, i + 1)) {
        pp_error *error = &all[*count];
        char *words = ppi_copy_words(result->failures->rest);

        *error = *result->failures->rest;
        error->index = i;
        error->function = result->task->name;
        if (words) {
            ppi_set_words(error, words);
        } else {
            while (*count > old)
                free((char *)all[--*count].message);
            return false;
        }
        ++*count;
    }
    return true;
}

bool ppi_spell_out_rest(pp_result *result)
{
    struct ppi_failures *failures = result->failures;
    size_t missing = 0, count = failures->count;
    pp_error *all;

    if (failures == &want_of_failures)
        return false;
    for (size_t i = ppi_next_missing(result, 0); i < result->count;
         i = ppi_next_missing(result, i + 1))
        missing++;
    all = malloc((count + missing) * sizeof *all);
    if (!all)
        return false;
    if (count > 0)
        memcpy(all, failures->all, count * sizeof *all);
    if (!add_rest(result, all, &count)) {
        free(all);
        return false;
    }
    memset(result->outcomes, 0xff, ppi_outcome_words(result) * sizeof(uint64_t));
    memset(result->outcomes + ppi_outcome_words(result), 0,
           ppi_outcome_words(result) * sizeof(uint64_t));
    failures->former_all = failures->all;
    failures->former_rest = failures->rest;
    failures->all = all;
    failures->count = count;
    failures->rest = NULL;
    ppi_sort_failures(result);
    return true;
}

pp_error *ppi_failure_of_item(pp_result *result, size_t item, size_t *failures)
{
    if (*failures < ppi_failed(result) && result->failures->all[*failures].index == item)
        return &result->failures->all[(*failures)++];
    if (ppi_has_outcome(result, item))
        return NULL;
    return ppi_rest(result) ? ppi_rest(result) : &want_of_memory;
}
