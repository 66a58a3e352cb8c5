#!/bin/sh
# SPDX-License-Identifier: MIT
#
# peer-parallel.sh list | map_commands SCALE
#
# The same as peer-xargs.sh with GNU parallel.
set -eu

case $1 in
list)
    if parallel --version 2>/dev/null | grep -q '^GNU parallel'; then
        echo map_commands
    fi
    ;;
map_commands)
    PARALLEL_HOME=$(mktemp -d)
    export PARALLEL_HOME
    trap 'rm -rf "$PARALLEL_HOME"' EXIT
    : >"$PARALLEL_HOME/will-cite"
    items=$(awk "BEGIN { print int(200 * $2) }")
    begin=$(date +%s%N)
    seq "$items" | parallel -j2 /bin/true
    end=$(date +%s%N)
    awk "BEGIN { print \"rate\", $items * 1e9 / ($end - $begin), \"/s\" }"
    ;;
*)
    exit 2
    ;;
esac
