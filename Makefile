# SPDX-License-Identifier: MIT
# The build itself is Meson's; these targets install what it needs and call it.
.PHONY: help demo check bench model fuzz clean

## make demo    build, digest /usr/share/doc (or DIR=...), compare with sha256sum
## make check   build with every compiler and sanitizer, run all tests
## make bench   measure procpool beside others, draw the plots
## make model   check the protocol's model, and that its broken variants are rejected
## make fuzz    fuzz what reads what workers can write, MINUTES=1 each of TARGET=...
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

fuzz:
	@scripts/setup fuzz
	@scripts/fuzz $(or $(MINUTES),1) $(TARGET)

clean:
	rm -rf build
