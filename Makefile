# Makefile
# Builds the C module for one Lua, runs the checks, installs, and starts the demo.
# Does not know how packages are installed (.ci/deps) nor how results are counted (.ci/suite).
# SPDX-License-Identifier: MIT

LUA_VERSION ?= 5.4
LUA_VERSIONS := 5.1 5.2 5.3 5.4 luajit
ifeq ($(filter $(LUA_VERSION),$(LUA_VERSIONS)),)
$(error LUA_VERSION=$(LUA_VERSION): not one of $(LUA_VERSIONS))
endif

CLANG ?= clang
PKG_CONFIG ?= pkg-config
CFLAGS ?= -O2 -g
# Compilers differ in what they warn about: whoever packages this may say WERROR= .
WERROR ?= -Werror
PREFIX ?= /usr/local

MAKEFLAGS += --no-print-directory
ifndef V
.SILENT:
endif

# ---- the Lua to build for ----------------------------------------------------------------------

LUA_ABI := $(LUA_VERSION:luajit=5.1)
ifeq ($(LUA_VERSION),luajit)
LUA_NAMES := luajit
else
LUA_NAMES := lua$(LUA_VERSION) lua-$(LUA_VERSION) lua$(subst .,,$(LUA_VERSION))
endif

# OpenResty keeps its LuaJIT, and the file that describes it, outside the system's folders.
export PKG_CONFIG_PATH := $(PKG_CONFIG_PATH):/usr/local/openresty/luajit/lib/pkgconfig

LUA_PC := $(firstword $(shell for name in $(LUA_NAMES); do \
	$(PKG_CONFIG) --exists $$name 2>/dev/null && echo $$name; done))
LUA_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(LUA_PC) 2>/dev/null)
LUA_LIBS = $(shell $(PKG_CONFIG) --libs $(LUA_PC))
LUA := $(shell for name in $(LUA_NAMES) \
	$(if $(filter luajit,$(LUA_VERSION)),/usr/local/openresty/luajit/bin/luajit); do \
	command -v $$name && break; done)

# ---- flags -------------------------------------------------------------------------------------

LIBS := libcurl libcrypto jansson sqlite3
LIB_CFLAGS := $(shell $(PKG_CONFIG) --cflags $(LIBS) 2>/dev/null)
LDLIBS := $(shell $(PKG_CONFIG) --libs $(LIBS) 2>/dev/null || \
	echo -lcurl -lcrypto -ljansson -lsqlite3) -ldl -pthread

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wold-style-definition -Wpointer-arith -Wvla -Wundef -Wwrite-strings -Wformat=2 $(WERROR)
BASE_CFLAGS := -std=c11 -D_GNU_SOURCE -fPIC -fno-plt -fvisibility=hidden -pthread $(WARNINGS) $(LIB_CFLAGS)
# nodelete: the worker thread runs this object's code, so it has to outlive lua_close().
MODULE_LDFLAGS := -shared -Wl,-z,nodelete -Wl,-z,relro -Wl,--as-needed

# ---- files -------------------------------------------------------------------------------------

BINDING := $(patsubst src/%.c,%,$(wildcard src/lua_*.c))
CORE := $(filter-out $(BINDING),$(patsubst src/%.c,%,$(wildcard src/*.c)))
MODULE := build/$(LUA_VERSION)/quickaudience/core.so

C_TESTS := $(patsubst spec/c/%.c,%,$(wildcard spec/c/*_test.c))
LONG_TESTS := $(patsubst spec/long/%.c,long/%,$(wildcard spec/long/*_test.c))
TEST_SUPPORT := $(patsubst spec/c/%.c,%,$(wildcard spec/c/support/*.c))

.PHONY: all help env deps demo bench install uninstall clean test \
	test-c test-asan test-tsan test-valgrind test-lua test-lua-asan test-long test-long-c test-long-lua test-clang \
	lint lint-lua lint-headers
.DELETE_ON_ERROR:
.SECONDARY:

all: $(MODULE)

help:
	echo 'make [LUA_VERSION=5.1|5.2|5.3|5.4|luajit]  build the C module for one Lua'
	echo 'make demo | test | bench                   see it work | run every check | measure'
	echo 'make test LONG=1 | LONG=all                 and the long C tests, as CI does | all long ones'
	echo 'make test-c test-asan test-tsan test-valgrind test-lua test-lua-asan test-clang lint  one check'
	echo 'make deps | env | install | uninstall | clean        (V=1 shows the commands)'

# ---- what is compiled --------------------------------------------------------------------------
# The core knows no Lua: its objects are compiled once and serve every Lua.

define compile
mkdir -p $(@D)
echo "CC $@"
$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(CFLAGS) $(1) -MMD -MP -c -o $@ $<
endef

# $(call variant,NAME,DIR,FLAGS): under build/NAME the core and its tests, under build/DIR the
# binding and the module for LUA_VERSION.
define variant
build/$(1)/%.o: src/%.c Makefile
	$$(call compile,$(3))

build/$(1)/test/%.o: spec/c/%.c Makefile
	$$(call compile,-Isrc -Ispec/c $(3))

build/$(1)/test/long/%.o: spec/long/%.c Makefile
	$$(call compile,-Isrc -Ispec/c $(3))

build/$(1)/test/%_test: build/$(1)/test/%_test.o $(TEST_SUPPORT:%=build/$(1)/test/%.o) \
		$(CORE:%=build/$(1)/%.o)
	echo "LD $$@"
	$$(CC) $$(CFLAGS) $(3) $$(LDFLAGS) -Wl,--as-needed -o $$@ $$^ -lcmocka -lssl -lm $$(LDLIBS)

build/$(2)/%.o: src/%.c Makefile
	$$(call compile,$$(LUA_CFLAGS) $(3))

build/$(2)/quickaudience/core.so: $(BINDING:%=build/$(2)/%.o) $(CORE:%=build/$(1)/%.o)
	mkdir -p $$(@D)
	echo "LD $$@"
	$$(CC) $$(CFLAGS) $(3) $$(MODULE_LDFLAGS) $$(LDFLAGS) -o $$@ $$^ $$(LDLIBS)
endef

# gcc sees less of the ranges of sanitized code and warns falsely, hence no -Werror.
SANITIZE := -O1 -g -Wno-error -fno-omit-frame-pointer -fno-sanitize-recover=all
ASAN := $(SANITIZE) -fsanitize=address -fsanitize=undefined
TSAN := $(SANITIZE) -fsanitize=thread
$(eval $(call variant,core,$(LUA_VERSION),))
$(eval $(call variant,asan,asan-$(LUA_VERSION),$(ASAN)))
$(eval $(call variant,tsan,tsan-$(LUA_VERSION),$(TSAN)))

-include $(wildcard build/*/*.d build/*/test/*.d build/*/test/*/*.d)

# ---- running from the tree ---------------------------------------------------------------------

LUA_PATH_HERE = $(CURDIR)/lua/?.lua;$(CURDIR)/lua/?/init.lua;;
LUA_CPATH_HERE = $(CURDIR)/$(MODULE:%quickaudience/core.so=%?.so);;
quote = '$(subst ','\'',$(1))'
# Lua 5.2 and later read LUA_PATH_5_x first: where it is set, it has to be set here too.
SUFFIX := _$(subst .,_,$(LUA_ABI))
override_of = $(if $($(1)$(SUFFIX)), $(1)$(SUFFIX)=$(call quote,$($(1)_HERE)))
OVERRIDES = $(call override_of,LUA_PATH)$(call override_of,LUA_CPATH)
CPATH_AND_OVERRIDES = LUA_CPATH=$(call quote,$(LUA_CPATH_HERE))$(OVERRIDES)
ENVIRONMENT = LUA_PATH=$(call quote,$(LUA_PATH_HERE)) $(CPATH_AND_OVERRIDES)

env:
	printf '%s\n' $(call quote,export $(ENVIRONMENT))

# ---- checks ------------------------------------------------------------------------------------
# Each goes through .ci/suite, which counts what passed and failed; .ci/test adds up.

SPEC ?= $(filter-out spec/c spec/long spec/support,$(wildcard spec/*))
export SEED := $(or $(SEED),$(shell date +%s))
LUA_SUITES := $(LUA_VERSIONS:%=test-lua-%)
SUITES := test-c test-asan test-tsan test-valgrind $(LUA_SUITES) test-lua-asan test-clang lint-lua lint-headers \
	$(if $(LONG),test-long-c) $(if $(filter all,$(LONG)),test-long-lua)
# Where there are threads.
TSAN_TESTS := $(filter client_% sender_% transport_% faults_%,$(C_TESTS))

test: deps
	MAKE="$(MAKE)" .ci/test $(SUITES)

test-c test-asan test-tsan: test-%:
	.ci/suite --each $* $^
test-c: $(C_TESTS:%=build/core/test/%)
test-asan: $(C_TESTS:%=build/asan/test/%)
test-tsan: $(TSAN_TESTS:%=build/tsan/test/%)

# Not those that fork, because valgrind calls lost what they leave to their children; nor those that ask
# for absurd memory, count allocations or take long.
VALGRIND := valgrind -q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite
VALGRIND_TESTS := $(filter-out buf% client% faults% keeper_weather% sender_memory% spool_%,$(C_TESTS)) \
	$(filter spool_directory% spool_file% spool_receipts% spool_view%,$(C_TESTS))

test-valgrind: $(VALGRIND_TESTS:%=build/core/test/%)
	SUITE_WRAPPER="$(VALGRIND)" .ci/suite --each valgrind $^

BUSTED = $(LUA) .ci/busted.lua --output=TAP --shuffle --seed=$(SEED)

SUITE ?= lua-$(LUA_VERSION)
test-lua: all
	$(ENVIRONMENT) .ci/suite $(SUITE) $(BUSTED) $(SPEC)

# Under an interpreter that is sanitized, unlike those it starts: nginx and shells are not ours.
SANITIZED := build/asan-$(LUA_VERSION)
test-lua-asan: MODULE := $(SANITIZED)/quickaudience/core.so
test-lua-asan: LUA := $(SANITIZED)/lua
test-lua-asan: SPEC := $(wildcard spec/quickaudience spec/integration)
test-lua-asan: $(SANITIZED)/quickaudience/core.so $(SANITIZED)/lua
	$(ENVIRONMENT) .ci/suite asan-lua-$(LUA_VERSION) $(BUSTED) $(SPEC)

$(SANITIZED)/lua: spec/support/lua.c Makefile
	mkdir -p $(@D)
	echo "LD $@"
	$(CC) $(CPPFLAGS) $(BASE_CFLAGS) $(CFLAGS) $(LUA_CFLAGS) $(ASAN) $(LDFLAGS) -o $@ $< $(LUA_LIBS)

$(LUA_SUITES): test-lua-%:
	$(MAKE) test-lua LUA_VERSION=$*

test-long: test-long-c test-long-lua

test-long-c: $(LONG_TESTS:%=build/core/test/%)
	.ci/suite --each long $^

# They watch processes for a minute at a time: some twenty minutes in all.
test-long-lua:
	SUITE_TIMEOUT=3600 $(MAKE) test-lua SPEC=spec/long SUITE=long-lua-$(LUA_VERSION)

test-clang:
	.ci/suite --check clang $(CLANG) $(BASE_CFLAGS) $(LUA_CFLAGS) -Isrc -Ispec/c \
		-fsyntax-only $(wildcard src/*.c bench/*.c spec/*/*.c spec/*/*/*.c)

lint: lint-lua lint-headers

lint-lua:
	.ci/suite --check luacheck luacheck --quiet --no-color . \
		$(wildcard lua/quickaudience/bin/*)

lint-headers:
	.ci/suite --check headers .ci/headers $(CC) $(BASE_CFLAGS) $(LUA_CFLAGS)

bench:
	MAKE="$(MAKE)" bench/run

# ---- the rest ----------------------------------------------------------------------------------

deps:
	.ci/deps

demo:
	.ci/deps build demo
	$(MAKE) all LUA_VERSION=$(LUA_VERSION)
	# nginx runs LuaJIT, whichever Lua runs the demo.
	$(MAKE) all LUA_VERSION=luajit
	$(ENVIRONMENT) LUA=$(LUA) examples/demo

LUA_SHARE := $(DESTDIR)$(PREFIX)/share/lua/$(LUA_ABI)
LUA_LIB := $(DESTDIR)$(PREFIX)/lib/lua/$(LUA_ABI)
BIN := $(DESTDIR)$(PREFIX)/bin
HOME_OF := $(abspath $(PREFIX))
LUA_FILES := $(filter %.lua,$(shell find lua -type f -name '*.lua' 2>/dev/null))

install: all
	set -e; for file in $(LUA_FILES:lua/%=%); do \
		install -D -m 644 lua/$$file $(LUA_SHARE)/$$file; done
	install -D -m 755 $(MODULE) $(LUA_LIB)/quickaudience/core.so
	# A machine may have several Luas, and `lua` be another one than the module was built for; and
	# no Lua looks below another PREFIX than its own.
	mkdir -p $(BIN)
	sed -e "1s|.*|#!$(or $(LUA),/usr/bin/env lua)|" -e '1a\
	package.path = package.path .. ";$(HOME_OF)/share/lua/$(LUA_ABI)/?.lua;$(HOME_OF)/share/lua/$(LUA_ABI)/?/init.lua"\
	package.cpath = package.cpath .. ";$(HOME_OF)/lib/lua/$(LUA_ABI)/?.so"' \
		lua/quickaudience/bin/quickaudience >$(BIN)/quickaudience
	chmod 755 $(BIN)/quickaudience

uninstall:
	rm -rf $(LUA_SHARE)/quickaudience $(LUA_LIB)/quickaudience $(BIN)/quickaudience

clean:
	rm -rf build
