/* SPDX-License-Identifier: MIT */
/* Mistakes, for scripts/analyze: a tool that is silent about them is not looking. */
#include <stdlib.h>
#include <string.h>

char *ppi_planted_leak(const char *text)
{
    char *copy = malloc(strlen(text) + 1);

    if (!copy || *text == '\0')
        return NULL; /* leaks what it has */
    return strcpy(copy, text);
}

int ppi_planted_null(const int *place)
{
    int value = 0;

    if (!place)
        value = 1;
    return value + *place;
}
