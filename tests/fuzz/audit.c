/* SPDX-License-Identifier: MIT */
/* A worker that writes to the claims, and dies. */
#include "rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rig_play(data, size, (struct rig_powers){ .claims = true, .dies = true });
    return 0;
}
