/* SPDX-License-Identifier: MIT */
/* A string that could be written to.  Expect: char \* is refused */
#include <procpool.h>

#ifdef BAD
static long length(char *text)
#else
static long length(const char *text)
#endif
{
    return text[0] != '\0';
}
#ifdef BAD
PP_TASK(long, length, char *, text);
#else
PP_TASK(long, length, const char *, text);
#endif

extern const pp_task *use;
const pp_task *use = &length_pp_task;
