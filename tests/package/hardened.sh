#!/bin/sh
# SPDX-License-Identifier: MIT
#
# hardened.sh LIBRARY COMPILER...
#
# The shared library is bound when it is loaded and read-only after that, has no stack that
# can be executed, and checks its own stack and buffers.
set -eu
export LC_ALL=C

library=$1
shift

fail() {
    echo "$library: $*"
    exit 1
}

dynamic=$(readelf -dW "$library")
segments=$(readelf -lW "$library")
symbols=$(readelf --dyn-syms -W "$library" | awk '$7 == "UND" { print $8 }')

# has TEXT PATTERN WHAT
has() {
    echo "$1" | grep -Eq "$2" || fail "$3"
}

has "$dynamic" 'BIND_NOW|FLAGS_1.*\bNOW' 'symbols are bound when they are called'
has "$segments" GNU_RELRO 'the table of what was bound can be written to'
has "$segments" 'GNU_STACK.* RW ' 'the stack can be executed'
if echo "$segments" | grep -E '^ *LOAD' | grep -q 'RWE'; then
    fail 'memory can be written to and executed'
fi
if echo "$dynamic" | grep -q TEXTREL; then
    fail 'code is changed when it is loaded'
fi
has "$symbols" '^__stack_chk_fail' 'functions do not check their stack'
has "$symbols" '^__[a-z]+_chk(@|$)' 'copies into buffers are not checked'

# The mark of the whole file needs a C library that is built so, too.
if echo | "$@" -dM -E -x c - -fcf-protection 2>/dev/null | grep -q __CET__; then
    has "$(objdump -d --disassemble=pp_get_with "$library")" endbr 'calls may land anywhere'
fi
