/* SPDX-License-Identifier: MIT */
/* A string that could be written to.  Expect: return const char \* for a string */
#include <procpool.h>

#ifdef BAD
static char *name(int x)
#else
static const char *name(int x)
#endif
{
    static char text[] = "?";

    text[0] = (char)x;
    return text;
}
#ifdef BAD
PP_TASK(char *, name, int, x);
#else
PP_TASK(const char *, name, int, x);
#endif

extern const pp_task *use;
const pp_task *use = &name_pp_task;
