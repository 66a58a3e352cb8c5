/* SPDX-License-Identifier: MIT */
/* All at once; only that the pool survives it is certain. */
#include "rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rig_play(data, size, (struct rig_powers){ .seat = true, .claims = true, .dies = true });
    return 0;
}
