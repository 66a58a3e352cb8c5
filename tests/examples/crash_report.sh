#!/bin/sh
# SPDX-License-Identifier: MIT
#
# crash_report.sh PROGRAM
#
# The four reports say what has crashed and where.
set -eu

said=$("$1" 2>&1)
echo "$said"

failed=0
expect() {
    echo "$said" | grep -qE -e "$1" || { echo "it does not say: $1"; failed=1; }
}

expect '^use_row\(\.\.\.\) was killed by SIGSEGV at address 0x[0-9a-f]+ in store\(\) at .*crash_report\.c:[0-9]+$'
expect '^#1 fill at .*crash_report\.c:[0-9]+$'
expect '^#2 use_row at .*crash_report\.c:[0-9]+$'
expect '^descend\(\.\.\.\) was killed by SIGSEGV: stack overflow in descend\(\) at .*crash_report\.c:'
expect '^rename_twice\(\.\.\.\) was killed by SIGABRT.* in drop\(\) at .*crash_report\.c:[0-9]+$'
expect '^#[0-9]+ rename_twice at '
expect '^sell\(\.\.\.\) was killed by SIGABRT in look_up\(\) at .*shop\.cc:[0-9]+$'
expect '^#[0-9]+ price_of at '
expect '^#[0-9]+ sell at '
exit "$failed"
