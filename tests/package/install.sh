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
if grep -q libdw "$pc"; then
    fail 'procpool.pc requires libdw, which is loaded where it is there'
fi
libdir=$root$(PKG_CONFIG_SYSROOT_DIR='' pkg-config --variable=libdir procpool)
cflags=$(pkg-config --cflags procpool)
libs=$(pkg-config --libs procpool)
static_libs=$(pkg-config --static --libs procpool)

test "$(pkg-config --modversion procpool)" = "$version" || fail 'procpool.pc: wrong version'
test -f "$root$prefix/include/procpool.h" || fail 'the header is not installed'
test -e "$libdir/libprocpool.so.0" || fail 'libprocpool.so.0 is not installed'
test "$(find "$root$prefix/include" -type f | wc -l)" -eq 1 || fail 'more than one header'

# Each page of the manual is found by each of its names.
man=$root$prefix/share/man
test -f "$man/man7/procpool.7" || fail 'procpool(7) is not installed'
for page in "$man"/man3/*.3; do
    for name in $(sed -n '/^\.Sh NAME/,/^\.Nd/s/^\.Nm \([A-Za-z_]*\).*/\1/p' "$page"); do
        cmp -s "$page" "$man/man3/$name.3" || fail "$name(3) is not ${page##*/}"
    done
done
test -f "$man/man3/pp_starmap.3" || fail 'pp_starmap(3) is not installed'

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

# As the guide says: its Makefile, its first program, `make first`.
guide=$sources/../../doc/guide.md
sed -n '/^```make$/,/^```$/p' "$guide" | sed '1d; $d' >Makefile
sed -n '/^```c$/,/^```$/p' "$guide" | sed '1d; /^```$/,$d' >first.c
make -s first CC="$*" || fail 'the Makefile of doc/guide.md does not build first.c'
said=$(LD_LIBRARY_PATH=$libdir ./first)
test "$said" = 25 || fail "the first program of doc/guide.md says: $said"
echo 'first: ok'
