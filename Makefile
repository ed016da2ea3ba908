# SPDX-License-Identifier: Apache-2.0
#
# make                what a package ships, into build/
# sudo make demo      see it work on this machine: installs what it needs, under five minutes
# sudo make check     every test; make check-fast: the unprivileged ones, under 10 s
# make check-vm       the three runaways in a Debian 12 guest: systemd, cgroup v2
# make fuzz | sim SEEDS=n | bench-relief | figures | lint | sanitize | install DESTDIR= PREFIX=
#
# V=1 shows the commands; B=dir builds elsewhere; CC=clang, CFLAGS=..., WERROR=-Werror as usual.

B       ?= build
PREFIX  ?= /usr
# One of the three places where the guard looks, whatever PREFIX is.
POLICIES = /usr/lib/reprieve/policies
CC      ?= gcc
CLANG   ?= clang
CFLAGS  ?= -O2 -g -fstack-protector-strong -D_FORTIFY_SOURCE=2
WERROR  ?=
PKG     ?= pkg-config
VERSION := 0.1.0
SEEDS   ?= 500
Q       := $(if $(V),,@)
# A make in a make has nothing to say of what is there already.
INNER   := --no-print-directory $(if $(V),,-s)
say      = $(if $(V),,@printf '  %-6s %s\n' $(1) $(2);)

PROCLIB := $(shell $(PKG) --exists libproc2 2>/dev/null && echo libproc2 || echo libprocps)
NOTNAMES := watchdog/steward/names_$(if $(filter libproc2,$(PROCLIB)),procps,proc2).c
MAINS   := guard steward courier reprieve
SRC     := $(filter-out $(NOTNAMES),$(wildcard watchdog/*/*.c))
OBJ     := $(SRC:%.c=$B/%.o) $B/watchdog/sense/probe-object.o
PURE    := $(patsubst %.c,$B/%.o,$(wildcard watchdog/base/*.c watchdog/core/*.c))
LIB     := $B/libreprieve.a
BINS    := $B/reprieved $B/reprieve-steward $B/reprieve-courier $B/reprieve
UNIT    := $(patsubst %.c,$B/%,$(wildcard tests/unit/test-*.c))
TOOLS   := $(patsubst tests/tools/%.c,$B/tools/%,$(wildcard tests/tools/*.c))
FUZZ    := $(patsubst tests/fuzz/%.c,$B/fuzz/%,$(wildcard tests/fuzz/fuzz-*.c))
SIM     := $B/tests/sim

ALLFLAGS = -std=gnu11 -D_GNU_SOURCE -DVERSION='"$(VERSION)"' -Iwatchdog -I. -Wall -Wextra -Wno-unknown-warning-option -Wshadow=local -Wstrict-prototypes \
	-Wmissing-prototypes -Wno-unused-parameter -Wno-missing-field-initializers $(WERROR) -fPIE -ffile-prefix-map=$(CURDIR)=. \
	$(shell $(PKG) --cflags $(PROCLIB) libbpf libsystemd libcurl json-c 2>/dev/null) $(CFLAGS) -MMD -MP
LDALL   = -pie -Wl,-z,relro,-z,now -Wl,--as-needed $(LDFLAGS)
LIBS    = -lbpf $(shell $(PKG) --libs $(PROCLIB) libsystemd libcurl json-c 2>/dev/null)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all lib clean deps install demo check check-built check-fast check-fast-built check-vm fuzz fuzz-built sim sim-built bench bench-relief \
	figures lint sanitize layers pure tests tests-built FORCE

all: $(BINS) layers pure

$B/reprieved: $B/watchdog/guard.o $(LIB)
$B/reprieve-steward: $B/watchdog/steward.o $(LIB)
$B/reprieve-courier: $B/watchdog/courier.o $(LIB)
$B/reprieve: $B/watchdog/reprieve.o $(LIB)
$(BINS):
	$(call say,LD,$@)$(CC) $(ALLFLAGS) $(LDALL) -o $@ $^ $(LIBS)
$(LIB): $(OBJ)
	$(call say,AR,$@)rm -f $@ && ar qcs $@ $^
$B/%.o: %.c
	$(call say,CC,$<)mkdir -p $(@D) && $(CC) $(ALLFLAGS) -c -o $@ $<

# The probe: compiled for BPF, embedded by the assembler; no bpftool, no vmlinux.h.
$B/probe.bpf.o: bpf/probe.bpf.c bpf/probe.h bpf/kernel.h
	$(call say,BPF,$<)mkdir -p $(@D) && $(CLANG) -target bpf -O2 -g -Wall -I. -ffile-prefix-map=$(CURDIR)=. -c -o $@ $<
$B/watchdog/sense/probe-object.o: $B/probe.bpf.o
	$(call say,EMBED,$<)mkdir -p $(@D) && printf '.section .rodata\n.balign 16\n.global probe_object, probe_object_end\nprobe_object:\n.incbin "$<"\nprobe_object_end:\n.section .note.GNU-stack,"",%%progbits\n' | $(CC) -c -x assembler -o $@ -

# The laws of the house: who may include whom, and a core that links against nothing.
layers: $B/.layers
$B/.layers: tests/layers $(wildcard watchdog/*.[ch] watchdog/*/*.[ch])
	$(call say,LAYERS,watchdog)mkdir -p $B && tests/layers && touch $@
pure: $B/.pure
$B/.pure: $(PURE) tests/pure
	$(call say,PURE,core)tests/pure $(PURE) && touch $@

$B/tests/unit/%: tests/unit/%.c $(LIB)
	$(call say,TEST,$@)mkdir -p $(@D) && $(CC) $(ALLFLAGS) -DREPRIEVE_TEST -UNDEBUG -Itests $(LDALL) -o $@ $< $(LIB) $(LIBS) -lcmocka
$(SIM): $(wildcard tests/sim/*.c tests/sim/*.h) $(LIB)
	$(call say,SIM,$@)mkdir -p $(@D) && $(CC) $(ALLFLAGS) -Itests $(LDALL) -o $@ $(wildcard tests/sim/*.c) $(LIB) -lm
$B/tools/%: tests/tools/%.c $(LIB)
	$(call say,TOOL,$@)mkdir -p $(@D) && $(CC) $(ALLFLAGS) -o $@ $< $(LDALL) $(LIB) $(LIBS) -lpthread
$B/fuzzlib/libreprieve.a: FORCE
	$(Q)$(MAKE) $(INNER) B=$B/fuzzlib CC=$(CLANG) WERROR= \
		CFLAGS="-O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined" lib
$B/fuzz/%: tests/fuzz/%.c tests/fuzz/stage.h $B/fuzzlib/libreprieve.a
	$(call say,FUZZ,$@)mkdir -p $(@D) && $(CLANG) -std=gnu11 -D_GNU_SOURCE -Iwatchdog -I. -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined \
		-o $@ $< $B/fuzzlib/libreprieve.a $(LIBS)

lib: $(LIB)
deps:
	$(Q)packaging/deps build
# What needs packages is two targets: one that gets them, and one, named -built, that is made by a make that sees them.
# Two of these at once would build the same files: one after the other.
ifneq ($(filter tests check% demo fuzz sim bench% lint sanitize,$(filter-out %-built,$(MAKECMDGOALS))),)
.NOTPARALLEL:
endif
tests:
	$(Q)packaging/deps fast
	$(Q)$(MAKE) $(INNER) tests-built
tests-built: $(UNIT) $(SIM) $(TOOLS)
check-fast:
	$(Q)packaging/deps fast
	$(Q)$(MAKE) $(INNER) check-fast-built
check-fast-built: all $(UNIT) $(SIM)
	$(Q)tests/run fast $B
check:
	$(Q)packaging/deps test
	$(Q)$(MAKE) $(INNER) check-built
check-built: all tests-built
	$(Q)tests/run all $B
check-vm:
	$(Q)packaging/deps vm
	$(Q)$(MAKE) $(INNER) all $(TOOLS)
	$(Q)$(MAKE) $(INNER) install DESTDIR=$B/root
	$(Q)REPRIEVE_VM_ROOT=$(abspath $B)/root tests/vm/run $(VMFLAGS)
demo: BEGAN := $(shell cut -d. -f1 /proc/uptime)
demo:
	$(Q)packaging/deps demo
	$(Q)$(MAKE) $(INNER) -j2 all $(TOOLS)
	$(Q)/usr/bin/python3 tests/demo/demo.py --build $B --began $(BEGAN)
fuzz:
	$(Q)packaging/deps fuzz
	$(Q)$(MAKE) $(INNER) fuzz-built
fuzz-built: $(FUZZ)
	$(Q)tests/fuzz/run $B/fuzz
sim:
	$(Q)packaging/deps build
	$(Q)$(MAKE) $(INNER) sim-built
sim-built: $(SIM)
	$(Q)$(SIM) --seeds $(SEEDS)
bench: bench-relief
bench-relief:
	$(Q)packaging/deps bench
	$(Q)$(MAKE) $(INNER) all tests-built
	$(Q)/usr/bin/python3 tests/bench/run all
figures:
	$(Q)/usr/bin/python3 tests/bench/figures
lint:
	$(Q)packaging/deps lint
	$(Q)tests/lint $B
sanitize:
	$(Q)$(MAKE) $(INNER) B=$B/asan CFLAGS="-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer" check-fast

install: all
	$(Q)install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/lib/reprieve $(DESTDIR)$(POLICIES) $(DESTDIR)$(PREFIX)/lib/systemd/system $(DESTDIR)/etc/reprieve/policies
	$(Q)install $B/reprieve $(DESTDIR)$(PREFIX)/bin/ && install $B/reprieved $(DESTDIR)$(PREFIX)/sbin/
	$(Q)install $B/reprieve-steward $B/reprieve-courier $(DESTDIR)$(PREFIX)/lib/reprieve/
	$(Q)install -m 644 policies/*.policy $(DESTDIR)$(POLICIES)/
	$(Q)for u in packaging/systemd/*.service; do sed 's,^\(Exec[A-Za-z]*=\)/usr/,\1$(PREFIX)/,' $$u >$(DESTDIR)$(PREFIX)/lib/systemd/system/$${u##*/} || exit; done
	$(Q)chmod 644 $(DESTDIR)$(PREFIX)/lib/systemd/system/reprieve*.service
	$(Q)install -D -m 644 packaging/systemd/reprieve.sysusers $(DESTDIR)$(PREFIX)/lib/sysusers.d/reprieve.conf
	$(Q)[ -n "$(DESTDIR)" ] || systemd-sysusers $(PREFIX)/lib/sysusers.d/reprieve.conf 2>/dev/null || getent passwd reprieve >/dev/null || \
		echo "no user for the courier, since systemd-sysusers is missing or failed: useradd --system --no-create-home --shell /usr/sbin/nologin reprieve"
	$(Q)[ -e $(DESTDIR)/etc/reprieve/reprieve.conf ] || install -m 644 packaging/reprieve.conf $(DESTDIR)/etc/reprieve/
clean:
	$(Q)rm -rf $B
FORCE:
-include $(shell find $B/watchdog $B/tests $B/tools -type f -name '*.d' 2>/dev/null)
