/* SPDX-License-Identifier: MIT */
/* A worker that writes nonsense to its seat while it works: what the client takes in. */
#include "rig.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rig_play(data, size, (struct rig_powers){ .seat = true });
    return 0;
}
