# Two commands do everything: `make demo` and `make test`. Both set the machine up first.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
SETUP := .venv/.ready

.PHONY: help demo test test-fast lint bench fuzz install uninstall clean

help: ## what there is
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

$(SETUP): pyproject.toml $(wildcard native/*.c native/*.h native/*.py)
	@tools/setup "$(PYTHON)"
	@touch $@

demo: $(SETUP) ## a real training job on real data, under a daemon of its own; leaves nothing behind
	@demo/run

test: $(SETUP) ## everything: units, journeys, the live kernel, a Debian guest (what cannot run here is said)
	@tools/test

test-fast: $(SETUP) ## without the guest
	@$(BIN)/python -m pytest -m "not vm"

lint: $(SETUP) ## ruff, mypy --strict, the floors
	@$(BIN)/python -m pytest tests/test_house.py

bench: $(SETUP) ## every question in bench/, each beside its peer
	@bench/run

fuzz: $(SETUP) ## the parsers of the wire, of the keeper and of files, harder and from a new seed
	@MLOSD_FUZZ=20 $(BIN)/python -m pytest -s tests/native/test_spec_fuzz.py tests/journeys/test_wire_server.py \
		tests/unit/test_content_hostile.py -k "mutat or spec or any_bytes"

install: ## as root: mlosd into /opt/mlosd, its units into systemd, and start it
	@tools/install

uninstall: ## as root: take all of that away again; jobs and their records in /var/lib/mlosd stay
	@/opt/mlosd/bin/mlosd-setup uninstall && rm -rf /opt/mlosd

clean: ## forget what was built
	@rm -rf .venv .demo build dist native/generated src/mlosd/bin src/mlosd/*.so .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
