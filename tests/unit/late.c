/* SPDX-License-Identifier: MIT */
/* An object that is loaded when a pool is there already. */
int late_function(int x);

int late_function(int x)
{
    return x + 1;
}
