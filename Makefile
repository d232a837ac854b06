# Every habit is a target. On a fresh machine with Python 3.11+, git and make: `make demo`, `make test`.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.installed
PEERS  ?= .venv-peers
PEERED := $(PEERS)/.installed
DOORS  ?= .venv-doors
DOORED := $(DOORS)/.installed
SWEEPER ?= .venv-hydra
AUDIT  ?= .venv-audit
SEEDS  ?= 1
FIRST  ?= 1
JOBS   ?= 1
RUNS   ?= $(OUT)/bench/search-runs.jsonl
# What proofs write (figures, logs); never committed.
OUT    := build

.PHONY: demo test test-api test-doors test-web audit check fmt bench bench-agents bench-board bench-fleet bench-gpus bench-nights bench-search bench-stop chaos compose-test deploy-test docs proofs site clean

demo: $(READY)            ## the nightly case on real flights, two nights, three airports: about five minutes
	$(BIN)/python -m examples.flights.demo

# Three at once on two cores: many tests wait, for a lease or a clock.
test: $(READY)            ## all tests but the proofs: fast ones first, then those that need servers
	$(BIN)/python -m pytest -q -n 3 --dist loadfile --no-loadscope-reorder tests

proofs: $(READY)          ## the tests of benchmarks that run real programs for minutes
	$(BIN)/python -m pytest -q -m proof tests

test-web: $(READY)        ## the board in a real browser, over the embedded stack; pictures of each page -> build/web
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q tests_web

check: $(READY)           ## format, lint, types, import arrows: nothing may be printed but the tools' own OK
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

audit:                    ## the pinned packages beside the database of known vulnerabilities; what cannot be looked up fails
	test -x $(AUDIT)/bin/python || $(PYTHON) -m venv $(AUDIT)
	$(AUDIT)/bin/python -m pip install --quiet --disable-pip-version-check 'pip-audit>=2.7'
	$(PYTHON) -m benchmarks.audit --with $(AUDIT)/bin/python --out $(OUT)/bench/audit.json

fmt: $(READY)             ## put the code into shape
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY)           ## speed and leanness beside peers and limits -> build/bench/*.json
	@failed=0; for each in gap lean; do \
	  OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.$$each --out $(OUT)/bench/$$each.json || failed=1; \
	done; exit $$failed

test-doors: $(DOORED)     ## every way in and out beside its real library, a dashboard in Chromium; a sweep's busy slots -> build/bench/doors.json
	OMP_NUM_THREADS=1 OUT=$(OUT) $(DOORS)/bin/python -m pytest -q -o filterwarnings=default --timeout 300 benchmarks/doors
	OMP_NUM_THREADS=1 $(DOORS)/bin/python -m benchmarks.doors.hydra_sweep --out $(OUT)/bench/doors.json --peer $(SWEEPER)/bin/python

bench-board: $(READY)     ## the board over 100,000 trials in 500 studies: pages, memory, 50 live viewers -> build/bench/board.json
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.board --out $(OUT)/bench/board.json

bench-fleet: $(READY)     ## many studies on many slots: shares, turns, connections -> build/bench/fleet.json
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.fleet --out $(OUT)/bench/fleet.json

bench-gpus: $(READY)      ## what is promised of GPUs, on this machine's processors, part by part: well over an hour -> build/bench/gpus.json
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.gpus --out $(OUT)/bench/gpus.json

bench-agents: $(READY)    ## agents: twenty tasks by MCP and by the command; what proposers of points cost: a quarter of an hour -> build/bench/agents.json, proposers.json
	@failed=0; export OMP_NUM_THREADS=1; \
	$(BIN)/python -m benchmarks.agents --out $(OUT)/bench/agents.json || failed=1; \
	$(BIN)/python -m benchmarks.proposers --out $(OUT)/bench/proposers.json || failed=1; \
	exit $$failed

bench-nights: $(READY)    ## nights with known truth: gate, many slices, when tuning pays; nights under faults: an hour -> build/bench/nights.json
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.nights --out $(OUT)/bench/nights.json

bench-search: $(PEERED)   ## suggestions beside Optuna's, skopt's and BoTorch's: hours, in pieces (what is there is not run again)
	@failed=0; export PYTHONPATH=. OMP_NUM_THREADS=1; \
	$(PEERS)/bin/python -m benchmarks.search --judge --jobs $(JOBS) --runs $(RUNS) --out $(OUT)/bench/search.json || failed=1; \
	$(PEERS)/bin/python -m benchmarks.search.suggest --out $(OUT)/bench/suggest.json || failed=1; \
	$(PEERS)/bin/python -m benchmarks.search.faults --jobs $(JOBS) --out $(OUT)/bench/faults.json || failed=1; \
	exit $$failed

bench-stop: $(PEERED)     ## early stopping beside Optuna's and Ray's on real trainings: minutes -> build/bench/early_stop.json
	PYTHONPATH=. OMP_NUM_THREADS=1 $(PEERS)/bin/python -m benchmarks.early_stop --out $(OUT)/bench/early_stop.json

test-api: $(READY)         ## thousands of requests made from the OpenAPI document: no fault, no status that it does not say -> build/bench/api.json
	$(BIN)/python -m benchmarks.api_fuzz --out $(OUT)/bench/api.json

chaos: $(READY)           ## kill -9, flushes and restarts at seeded random moments: make chaos SEEDS=20 FIRST=1
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.chaos --seeds $(SEEDS) --first $(FIRST) --out $(OUT)/bench/chaos.json

compose-test: $(READY)    ## builds and runs the real docker-compose.yml on the engine that DOCKER_HOST names
	$(BIN)/python -m benchmarks.compose_test

deploy-test: $(READY)     ## what lies in deploy/, with the real kubectl, systemd, PgBouncer, Prometheus, Slurm, and servers with TLS, where this machine has them
	$(BIN)/pip install -q kubernetes-validate
	OMP_NUM_THREADS=1 $(BIN)/python -m benchmarks.deploy

docs: $(READY)            ## redraw the lifecycle pictures in docs/ from the tables
	$(BIN)/python -m docs.draw

site: $(READY)            ## the documentation as a site, each link and anchor checked -> build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

clean:                    ## what was made, not what was written
	rm -rf $(OUT) $(VENV) $(PEERS) $(DOORS) $(SWEEPER) $(AUDIT) *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

# The CPU build of torch is 190 MB, the CUDA build several GB: pip takes what the pinned version offers on this machine's index.
$(READY): pyproject.toml setup.py constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Celeriac needs Python 3.11 or newer: make PYTHON=python3.11 …"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	touch $@

# The peers of `make bench-search`, never beside what the tests and the service run with.
$(PEERED): pyproject.toml constraints.txt benchmarks/peers.txt
	test -x $(PEERS)/bin/python || $(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r benchmarks/peers.txt -e '.[coordinator]'
	touch $@

# What the ways in and out are for, in an environment over the tests' one (torch and all are not fetched again): Hydra
# wants an older antlr4 than the tests' libraries. Hydra's own Optuna sweeper, which is measured beside ours, needs
# Optuna 2 and so one more.
$(DOORED): $(READY) benchmarks/doors/libraries.txt
	test -x $(DOORS)/bin/python || $(PYTHON) -m venv $(DOORS)
	echo "import site; site.addsitedir('$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')')" > "$$($(DOORS)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tests_own.pth"
	grep -v antlr4 constraints.txt > $(DOORS)/constraints.txt
	$(DOORS)/bin/python -m pip install --quiet --disable-pip-version-check -c $(DOORS)/constraints.txt -r benchmarks/doors/libraries.txt
	test -x $(SWEEPER)/bin/python || $(PYTHON) -m venv $(SWEEPER)
	$(SWEEPER)/bin/python -m pip install --quiet --disable-pip-version-check hydra-core==1.3.2 hydra-optuna-sweeper==1.3.0 hydra-joblib-launcher==1.2.0
	touch $@
