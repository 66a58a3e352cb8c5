# SPDX-License-Identifier: MIT
# The build itself is Meson's; these targets install what it needs and call it.
.PHONY: help demo check bench faults step inject calls soak orphans fuzz model relacy arm
.PHONY: analyze valgrind clean

## make demo      build, digest /usr/share/doc (or DIR=...), compare with sha256sum
## make check     build with every compiler and sanitizer, run all tests
## make bench     measure procpool beside others, draw the plots
##
## When things go wrong (see doc/reliability.md):
## make faults    put the pool through every fault; print what became of each, beside Python's
##                pools that are there (PEERS=install: all of them, PEERS=no: none)
## make step      kill and stop client, supervisor and workers at every point of their paths
## make inject    stop and kill processes at pairs of injection points (SEED=..., PER_PLACE=0)
## make calls     make each system call of the library fail, at each place and in all ways
## make soak      random work amid random kills, MINUTES=10; SEED=... begins with that round
## make orphans   kill clients and supervisors as they start: what is left of their pools
## make fuzz      fuzz what reads what workers can write, MINUTES=1 for each TARGET=...
##
## Other checks:
## make model     check the protocol's model, and that its broken variants are rejected
## make relacy    run the queue under C11's memory model, and with each order weakened
## make arm       build for 64-bit Arm, run what an emulator can
## make analyze   run gcc's and clang's analyzers and cppcheck: no findings
## make valgrind  run the unit tests under valgrind
## make clean     remove build/
help:
	@sed -n 's/^## \{0,1\}//p' Makefile

demo:
	@scripts/setup demo
	@scripts/demo $(DIR)

check:
	@scripts/setup check
	@scripts/check

bench:
	@scripts/setup bench
	@scripts/bench

faults:
	@scripts/setup faults
	@scripts/faults --peers="$(PEERS)"

step:
	@scripts/setup step
	@scripts/step

inject:
	@scripts/setup inject
	@scripts/inject

calls:
	@scripts/setup calls
	@scripts/calls

soak:
	@scripts/setup soak
	@scripts/soak "$(MINUTES)" "$(SEED)"

orphans:
	@scripts/setup soak
	@scripts/orphans $(TIMES)

fuzz:
	@scripts/setup fuzz
	@scripts/fuzz $(or $(MINUTES),1) $(TARGET)

model:
	@scripts/setup model
	@src/queue/model/verify

relacy:
	@scripts/setup relacy
	@tests/relacy/run --orders

arm:
	@scripts/setup arm
	@scripts/arm

analyze:
	@scripts/setup analyze
	@scripts/analyze

valgrind:
	@scripts/setup valgrind
	@scripts/valgrind

clean:
	rm -rf build
