# make run    a node on the embedded database, set up from nothing
# make test   every test, set up from nothing; with ENGINE=postgresql on a server of their own instead of SQLite
# make check  what must hold before a commit: lint, types, layers, tests
# make bench  speed and memory beside Postfix (needs its Debian package)
# make faults what the relay survives, at full length, and the table of it in README (root, for disks and clocks)
# make fuzz   any octets at the edge, the dialogue and reports, for SECONDS (300); what it learns stays in .fuzz
# make lock   the lock files anew, from the ranges in pyproject.toml

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-annotate --no-emit-index-url --no-emit-find-links -q

# Most tests wait for a server more than they compute: more of them at a time than there are processors. But those of
# the edge open a thousand connections, send 50 MB and measure memory: one after the other, alone.
# What fails in a crowd, where a second may be long, is asked once more by itself, and has to pass then.
EDGE := tests/integration/edge
ASK = $(BIN)/pytest --engine $(ENGINE)
AGAIN = || { [ $$? -eq 1 ] && $(ASK) --last-failed --last-failed-no-failures none; }
CROWD = -n 3 --dist loadfile --max-worker-restart=0 --ignore=$(EDGE)
PYTEST = { $(ASK) $(EDGE) $(AGAIN); } && { $(ASK) $(CROWD) $(AGAIN); }

SECONDS ?= 300
ENGINE ?= sqlite

.PHONY: run test check bench faults fuzz lock clean parts

run: $(VENV)/.run
	@test -f relay.toml || $(BIN)/relayctl init --example
	$(BIN)/relayctl serve

test: $(VENV)/.dev parts
	$(PYTEST)

check: $(VENV)/.dev parts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(PYTEST)

bench: $(VENV)/.dev parts
	$(BIN)/python -m tests.bench

faults: $(VENV)/.dev parts
	$(BIN)/python -m tests.faults --readme

# Not locked: atheris has no wheels for some machines, and nothing else needs it.
fuzz: $(VENV)/.dev
	$(PIP) install -e '.[fuzz]' --no-build-isolation
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

# The real mail and name servers of the tests come from Debian's packages. Installing them needs root and the
# apt command; elsewhere the tests that need one are skipped and say what to install.
parts:
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then tests/support/install.sh; fi

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python pyproject.toml deploy/requirements.lock
	$(PIP) install --require-hashes -r deploy/requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run tests/requirements.lock
	$(PIP) install --require-hashes -r tests/requirements.lock
	@touch $@

lock:
	$(LOCK) --extra build -o deploy/requirements.lock
	$(LOCK) --extra dev -c deploy/requirements.lock -o tests/requirements.lock

clean:
	rm -rf $(VENV) .fuzz *.egg-info
