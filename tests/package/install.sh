#!/bin/sh
# SPDX-License-Identifier: MIT
#
# install.sh BUILD PREFIX VERSION SOURCES COMPILER...
#
# Installs into a temporary root and builds programs against that, as a user
# would: found by pkg-config, with the shared library, with the static one, all
# static, and in C++ if there is a compiler for it.
set -eu

build=$1 prefix=$2 version=$3 sources=$4
shift 4
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

fail() {
    echo "$@"
    exit 1
}

DESTDIR=$root meson install -C "$build" --no-rebuild --quiet
pc=$(find "$root" -name procpool.pc)
test -n "$pc" || fail 'procpool.pc is not installed'

export PKG_CONFIG_PATH="${pc%/*}"
export PKG_CONFIG_SYSROOT_DIR="$root"
libdir=$root$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --variable=libdir procpool)
cflags=$(pkg-config --cflags procpool)
libs=$(pkg-config --libs procpool)
static_libs=$(pkg-config --static --libs procpool)

test "$(pkg-config --modversion procpool)" = "$version" || fail 'procpool.pc: wrong version'
test -f "$root$prefix/include/procpool.h" || fail 'the header is not installed'
test -e "$libdir/libprocpool.so.0" || fail 'libprocpool.so.0 is not installed'
test "$(find "$root$prefix/include" -type f | wc -l)" -eq 1 || fail 'more than one header'

# expect PROGRAM: it runs and says what it should
expect() {
    said=$(LD_LIBRARY_PATH=$libdir "$1") || fail "$1 failed: $said"
    test "$said" = "25 $version" || fail "$1 says: $said"
    echo "${1##*/}: ok"
}

cd "$root"
# shellcheck disable=SC2046,SC2086 # the flags are lists
{
    "$@" -Wall -Wextra -Werror $cflags "$sources/consumer.c" $libs -o shared
    expect ./shared
    "$@" -Wall -Wextra -Werror $cflags "$sources/consumer.c" \
        $(echo "$static_libs" | sed 's/-lprocpool/-l:libprocpool.a/') -o archive
    expect ./archive
    "$@" -static $cflags "$sources/consumer.c" $static_libs -o static
    expect ./static
    if echo 'int main() {}' | c++ -x c++ - -o /dev/null 2>/dev/null; then
        c++ -Wall -Wextra -Werror $cflags "$sources/consumer.cc" $libs -o cplusplus
        expect ./cplusplus
    fi
}
