# One-word targets. `make` alone says what there is.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
# Files of tests at once, the long ones first: most of them wait for processes of their own. Within a file sessions share names, by which they are ended.
JOBS ?= 3
READY := $(VENV)/.ready
# Whatever the environment says: each of a thousand processes would compile all of it again.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help setup demo test test-agents check style mypy pyright bench mutants chaos host fuzz lock clean

help:
	@echo "make demo     the main job on this repository: two spokes, a swarm, a message, an abort; AGENT=claude with a real agent"
	@echo "make test     every check and every test"
	@echo "make test-agents  the real coding agents against a scripted model (1 GB of CLIs, once)"
	@echo "make check    ruff, mypy, pyright, the import law, documents against code"
	@echo "make bench    the figures, each beside its floor or a peer, in one run"
	@echo "make mutants  hand-written bugs in the cores; each one must be caught by the tests"
	@echo "make chaos    random faults over real processes; DURATION=600 SESSIONS=200 SEED=7 repeats a run"
	@echo "make host     a machine is destroyed in the middle of edits, with default times: 5 minutes"
	@echo "make fuzz     100,000 hostile frames, greetings and orders of events against an oracle"
	@echo "make lock     resolve the dependencies again"

setup: $(READY)

$(READY): requirements/dev.lock pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing the locked dependencies into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(READY)
	@$(BIN)/python -m examples.demo --agent "$${AGENT:-}" --prompt "$${PROMPT:-}"

check: $(READY)
	@$(MAKE) --no-print-directory --jobs 2 --output-sync style mypy pyright

style:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

mypy pyright:
	$(BIN)/$@

# What this machine lacks is left out aloud, never in silence; CI lacks nothing.
test: check
	@chosen=""; \
	for need in browser:chromium openssl:openssl; do \
		if ! command -v $${need#*:} >/dev/null; then \
			echo "NOT RUN here: the tests that need $${need#*:}"; \
			chosen="$${chosen:+$$chosen and }not $${need%:*}"; \
		fi; \
	done; \
	if ! unshare --mount true 2>/dev/null && ! unshare --mount --map-root-user true; then \
		echo "NOT RUN here: the tests that need namespaces"; \
		chosen="$${chosen:+$$chosen and }not namespaces"; \
	fi; \
	set -x; $(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $${chosen:+-m "$$chosen"}

# The real CLIs, installed by name in the versions that tests/agents pins; no key, no internet.
test-agents: $(READY)
	$(BIN)/python -m tests.agents.install
	$(BIN)/pytest -n 2 --dist loadfile tests/agents

bench: $(READY)
	$(BIN)/python -m tests.benchmarks

mutants: $(READY)
	$(BIN)/python -m tests.mutants

chaos: $(READY)
	$(BIN)/python -m tests.chaos --duration $(or $(DURATION),60) $(if $(SEED),--seed $(SEED)) $(if $(SESSIONS),--sessions $(SESSIONS))

host: $(READY)
	$(BIN)/python -m tests.chaos.host

fuzz: $(READY)
	$(BIN)/pytest tests/fuzz --hypothesis-profile=fuzz --timeout=3600 --log-level=ERROR

lock:
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml -o requirements/run.lock
	uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header pyproject.toml --group dev -o requirements/dev.lock

clean:
	rm -rf $(VENV) .demo .run .agents
