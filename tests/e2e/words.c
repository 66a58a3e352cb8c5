/* SPDX-License-Identifier: MIT */
/* pp_strerror() and pp_version(). */
#include <limits.h>

#include "support.h"

TEST(every_code_has_words)
{
    for (int code = -5000; code <= 5000; code++)
        CHECK(pp_strerror(code) && *pp_strerror(code));
    for (int code = -10010; code <= -10000; code++)
        CHECK(pp_strerror(code) && *pp_strerror(code));
    CHECK(pp_strerror(INT_MIN) && *pp_strerror(INT_MIN));
    CHECK(pp_strerror(INT_MAX) && *pp_strerror(INT_MAX));
}

TEST(codes_are_told_apart)
{
    static const int codes[] = { 0,         PP_ERAISED,   PP_ECRASHED, PP_ETIMELIMIT,
                                 PP_ECANCELLED, PP_EBROKEN, -EINVAL,   -ECHILD,
                                 -EBUSY,    -EDEADLK,     -ETIMEDOUT,  -ESHUTDOWN,
                                 -ERANGE,   -E2BIG,    -ENOTRECOVERABLE, -ENOEXEC, -ENOMEM };

    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(strcmp(pp_strerror(codes[i]), pp_strerror(codes[j])) != 0);
}

/* The words do not change while they are held. */
TEST(words_stay)
{
    const char *text = pp_strerror(-4321);
    char copy[200];

    strncpy(copy, text, sizeof copy - 1);
    copy[sizeof copy - 1] = '\0';
    for (int code = -4400; code < -4000; code++)
        pp_strerror(code);
    CHECK_STR(text, copy);
}

TEST(version)
{
    CHECK_STR(pp_version(), "0.1.0");
    CHECK_EQ(PP_VERSION_MAJOR, 0);
    CHECK_EQ(PP_VERSION_MINOR, 1);
    CHECK_EQ(PP_VERSION_PATCH, 0);
}
