/* SPDX-License-Identifier: MIT */
/* The same when such workers die: what the supervisor makes of it. */
#include "rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rig_play(data, size, (struct rig_powers){ .seat = true, .dies = true });
    return 0;
}
