#!/bin/sh
# SPDX-License-Identifier: MIT
#
# exports.sh LIBRARY MAP HEADER COMPILER...
#
# The library exports what its symbol map names, and that is what the public
# header declares: nothing is missing, nothing more is seen.
set -eu
export LC_ALL=C

library=$(readlink -f "$1") map=$(readlink -f "$2") header=$(readlink -f "$3")
shift 3
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
cd "$temporary"

nm -D --defined-only "$library" | awk '$2 != "A" { print $3 }' | sort >exported
version=$(sed -n 's/^\(PROCPOOL_[0-9.]*\).*/\1/p' "$map")
sed -n "s/^ *\(pp_[a-z_]*\);.*/\1@@$version/p" "$map" | sort >mapped

# All names that are followed by a parenthesis once macros and comments are gone,
# but for types and for what ends with an underscore.
"$@" -E -P -x c "$header" | grep -v '^typedef' | grep -o '\bpp_[a-z_]* *(' | tr -d ' (' |
    grep -v '_$' | sort -u | sed "s/\$/@@$version/" >declared

# Nor is there a trace of the points at which tests stop it.
if nm "$library" | grep ppi_point; then
    exit 1
fi

test -s exported
diff mapped exported
diff mapped declared
