#!/bin/sh
# SPDX-License-Identifier: MIT
#
# peer-xargs.sh list | map_commands SCALE
#
# A process for each item, two at a time, as the shell's users do it.
set -eu

case $1 in
list)
    if command -v xargs >/dev/null; then
        echo map_commands
    fi
    ;;
map_commands)
    items=$(awk "BEGIN { print int(500 * $2) }")
    begin=$(date +%s%N)
    seq "$items" | xargs -P2 -n1 /bin/true
    end=$(date +%s%N)
    awk "BEGIN { print \"rate\", $items * 1e9 / ($end - $begin), \"/s\" }"
    ;;
*)
    exit 2
    ;;
esac
