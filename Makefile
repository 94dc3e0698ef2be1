# appuser_connectors: built with PGXS.  "make", "make install", and with a running
# server "make installcheck", as far as it can; test/check does everything.

PG_CONFIG ?= pg_config

MODULE_big = appuser_connectors
EXTENSION = appuser_connectors

# What an upgrade changes is in sql/upgrades/FROM--TO.sql; each brings the catalogue anew.
UPGRADES = $(sort $(wildcard sql/upgrades/*.sql))
DATA_built = sql/appuser_connectors--1.0.sql $(UPGRADES:sql/upgrades/%=sql/appuser_connectors--%)

OBJS = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c src/*/*.c)))

PG_CPPFLAGS = -Isrc $(shell curl-config --cflags)
PG_CFLAGS = -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers \
	-Wno-sign-compare
ifneq ($(findstring clang,$(CC)),)
# PostgreSQL's flags and headers are those of the compiler it was built with.
PG_CFLAGS += -Wno-ignored-optimization-argument -Wno-ignored-attributes \
	-Wno-unknown-warning-option -Wno-unused-command-line-argument -fno-lto
endif
SHLIB_LINK = -lcurl -lssl -lcrypto
ifneq ($(findstring clang,$(CC)),)
# gcc's -flto is among Ubuntu's linker flags, and clang's needs a plugin that may not be there.
SHLIB_LINK += -fno-lto
endif

# What is to be run may be named; else installcheck takes what the server can run, and
# says what it leaves out.
REGRESS = $(patsubst test/sql/%.sql,%,$(sort $(wildcard test/sql/*.sql)))
REGRESS_OPTS = --inputdir=test
ISOLATION = $(patsubst test/specs/%.spec,%,$(sort $(wildcard test/specs/*.spec)))
ISOLATION_OPTS = --inputdir=test --outputdir=.
ifneq ($(filter installcheck,$(MAKECMDGOALS)),)
SERVER_CAN = $(shell test/server-can "$$($(PG_CONFIG) --bindir)/psql" $(sort $(wildcard $(1))))
ifneq ($(origin REGRESS),command line)
REGRESS := $(call SERVER_CAN,test/sql/*.sql)
endif
ifneq ($(origin ISOLATION),command line)
ISOLATION := $(call SERVER_CAN,test/specs/*.spec)
endif
endif
# TAP tests start servers of their own: test/check sees to what they need.
PROVE_TESTS = test/t/*.pl

EXTRA_CLEAN = $(DATA_built) $(DATA_built:=.tmp) sql/catalogue $(UNIT_PROGRAMS) $(FUZZ_PROGRAMS) test/fuzz/found results output_iso tmp_check regression.diffs \
	regression.out

PGXS := $(shell $(PG_CONFIG) --pgxs)
include $(PGXS)

SQL_SOURCES = $(sort $(wildcard sql/[0-9]*.sql))
PROVIDERS = $(sort $(wildcard sql/providers/*.json))

sql/appuser_connectors--1.0.sql: $(SQL_SOURCES) $(PROVIDERS) sql/catalogue
	cat $(SQL_SOURCES) > $@.tmp
	sql/catalogue $(PROVIDERS) >> $@.tmp
	mv $@.tmp $@

$(UPGRADES:sql/upgrades/%=sql/appuser_connectors--%): sql/appuser_connectors--%: sql/upgrades/% $(PROVIDERS) sql/catalogue
	cat $< > $@.tmp
	sql/catalogue --replace $(PROVIDERS) >> $@.tmp
	mv $@.tmp $@

# Every header is small and most files include several: rebuild on any change.
$(OBJS): $(wildcard src/*.h src/*/*.h)

# Programs outside the server: the unit tests, and the one that reads the catalogue.  The
# first line of each names the sources it is built from.
UNIT_TESTS = $(sort $(wildcard test/unit/*_test.c))
UNIT_PROGRAMS = $(UNIT_TESTS:.c=)
UNIT_LIBS = $(libdir)/libpgcommon.a $(libdir)/libpgport.a

$(UNIT_PROGRAMS) sql/catalogue: %: %.c $(wildcard src/*.[ch] src/*/*.[ch] test/unit/*.h)
	$(CC) -DFRONTEND -D_GNU_SOURCE $(CFLAGS) $(CPPFLAGS) $(UNIT_FLAGS) -Itest/unit -o $@ $< \
		$(shell sed -n '1s/.*sources:\([^*]*\).*/\1/p' $<) \
		-L$(shell $(PG_CONFIG) --pkglibdir) -L$(shell $(PG_CONFIG) --libdir) \
		-lpgcommon -lpgport $(SHLIB_LINK) -lm

unit: $(UNIT_PROGRAMS)
	$(or $(PROVE),prove) $(PROVE_FLAGS) -e '' $(UNIT_PROGRAMS)

# The TAP tests against an extension built with sanitizers (SANITIZE_TESTS: some of
# them), and the unit tests under sanitizers and under valgrind.
sanitize:
	test/sanitize $(SANITIZE_TESTS)

SANITIZE = -g -O1 -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
VALGRIND = valgrind --quiet --error-exitcode=99 --leak-check=no

unit-asan:
	rm -f $(UNIT_PROGRAMS)
	ASAN_OPTIONS=detect_leaks=0 $(MAKE) unit CC=clang CFLAGS='$(SANITIZE)' \
		UNIT_FLAGS=-U_FORTIFY_SOURCE PROVE_FLAGS='$(PROVE_FLAGS)'
	rm -f $(UNIT_PROGRAMS)

# Not those of http, whose deadlines are real time: they would be late.
valgrind: $(UNIT_PROGRAMS)
	$(or $(PROVE),prove) $(PROVE_FLAGS) -e '$(VALGRIND)' $(filter-out test/unit/http_%,$(UNIT_PROGRAMS))

# What strangers send, by libFuzzer (clang): FUZZ_SECONDS split among the targets, or
# FUZZ_RUNS executions of each.  What it finds goes to test/fuzz/found.
FUZZ_TESTS = $(sort $(wildcard test/fuzz/*_fuzz.c))
FUZZ_PROGRAMS = $(FUZZ_TESTS:.c=)
FUZZ_SECONDS = 60
FUZZ_FLAGS = $(if $(FUZZ_RUNS),-runs=$(FUZZ_RUNS),-max_total_time=$(shell \
	expr $(FUZZ_SECONDS) / $(words $(FUZZ_TESTS)) \| 1))

$(FUZZ_PROGRAMS): %: %.c $(wildcard src/*.[ch] src/*/*.[ch] test/fuzz/*.h)
	clang -DFRONTEND -D_GNU_SOURCE $(SANITIZE) -fsanitize=fuzzer -Wno-ignored-attributes \
		$(CPPFLAGS) -U_FORTIFY_SOURCE -Itest/fuzz -o $@ $< \
		$(shell sed -n '1s/.*sources:\([^*]*\).*/\1/p' $<) \
		-L$(shell $(PG_CONFIG) --pkglibdir) -L$(shell $(PG_CONFIG) --libdir) \
		-lpgcommon -lpgport $(SHLIB_LINK) -lm

fuzz: $(FUZZ_PROGRAMS)
	@for target in $(notdir $(FUZZ_PROGRAMS)); do \
		found=test/fuzz/found/$$target; \
		mkdir -p $$found && \
		test/fuzz/$$target $(FUZZ_FLAGS) -max_len=4096 -timeout=10 -print_final_stats=1 \
			-artifact_prefix=$$found- $$found test/fuzz/corpus/$$target >$$found.log 2>&1 || \
			{ tail -100 $$found.log; exit 1; }; \
		sed -n "s/stat::number_of_executed_units: */$$target: executions: /p" $$found.log; \
	done

# Version 14: others do not agree with it.
CLANG_FORMAT = $(or $(shell command -v clang-format-14),clang-format)

format:
	$(CLANG_FORMAT) -i $(wildcard src/*.[ch] src/*/*.[ch] sql/*.c test/unit/*.[ch] test/fuzz/*.[ch])

.PHONY: unit sanitize unit-asan valgrind fuzz format
