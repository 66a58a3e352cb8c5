# SPDX-License-Identifier: MIT
# The build itself is Meson's; these targets install what it needs and call it.
.PHONY: help demo check bench model analyze relacy arm valgrind clean

## make demo    build, digest /usr/share/doc (or DIR=...), compare with sha256sum
## make check   build with every compiler and sanitizer, run all tests
## make bench   measure procpool beside others, draw the plots
## make model   check the protocol's model, and that its broken variants are rejected
## make analyze run gcc's and clang's analyzers and cppcheck: no findings
## make relacy  run the queue under C11's memory model, and with each order weakened
## make arm     build for 64-bit Arm, run what an emulator can
## make valgrind run the unit tests under valgrind
## make clean   remove build/
help:
	@sed -n 's/^## //p' Makefile

demo:
	@scripts/setup demo
	@scripts/demo $(DIR)

check:
	@scripts/setup check
	@scripts/check

bench:
	@scripts/setup bench
	@scripts/bench

model:
	@scripts/setup model
	@src/queue/model/verify

analyze:
	@scripts/setup analyze
	@scripts/analyze

relacy:
	@scripts/setup relacy
	@tests/relacy/run --orders

arm:
	@scripts/setup arm
	@scripts/arm

valgrind:
	@scripts/setup valgrind
	@scripts/valgrind

clean:
	rm -rf build
