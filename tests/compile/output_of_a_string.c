/* SPDX-License-Identifier: MIT */
/* An array of characters for a string.  Expect: output is not of the task..?s result type */
#include <procpool.h>

static const char *name(int x)
{
    return x ? "one" : "none";
}
PP_TASK(const char *, name, int, x);

int use(pp_pool *pool);

int use(pp_pool *pool)
{
    char buffer[20];
    const char *text;
    char *own;

#ifdef BAD
    int error = pp_apply(pool, PP_CALL(name, 1), &buffer);
#else
    int error = pp_apply(pool, PP_CALL(name, 1), &text);
#endif
    (void)buffer, (void)text;
    return error + pp_apply(pool, PP_CALL(name, 1), &own);
}
