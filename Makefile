# Every target sets up what it needs: the first run makes .venv, later ones find it ready.
# Needed on the machine: Python 3.11, 3.12 or 3.13 (with venv) and make. `make` alone lists the targets.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# Threads that wait must sleep, not spin: tests share two cores with the processes that they start.
export OMP_WAIT_POLICY ?= PASSIVE

PYTHON ?= python3.11 python3.12 python3.13 python3
PORTRAIT ?= assets/portraits/anna.png
SPEECH ?= assets/speech/hello.wav
OUT ?= out/demo.mp4
PORT ?=
CONFIG ?=

# Below out/ everything is ours to replace.
OURS = $(if $(filter out/%,$(OUT)),--overwrite)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
MADE := $(VENV)/.made
RUNTIME := $(VENV)/.runtime
DEV := $(VENV)/.dev

SUITABLE := import ensurepip, sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
COMPLETE := import pip; $(SUITABLE)

.PHONY: help demo video test soak lint bench venv clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-6s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(RUNTIME) ## the app at http://127.0.0.1:7860, until Ctrl-C; PORT= takes another port, CONFIG= another of configs/serve
	@$(BIN)/python app.py $(if $(CONFIG),--config $(CONFIG)) $(if $(PORT),--port $(PORT))

video: $(RUNTIME) ## a talking portrait in out/demo.mp4; PORTRAIT=, SPEECH= and OUT= take your own
	@mkdir -p "$(dir $(OUT))"
	@$(BIN)/flashtalk generate --portrait "$(PORTRAIT)" --audio "$(SPEECH)" --output "$(OUT)" $(OURS)
	@echo "The video is in $(OUT)"

test: lint ## lint, then every test that needs no GPU, a whole video through the command line included
	@$(BIN)/python -m pytest -m "not gpu" --beside tests/train -rs

# Each writes out/soak/NAME.json; `make soak SOAK="faults door"` runs only those.
SOAK ?= faults jobs door live page web browsers film
soak_faults := -m tests.soak_faults --json out/soak/faults.json
soak_jobs := -m tests.soak_jobs --kills 100 --disk-full --minutes 60 > out/soak/jobs.json
soak_door := -m tests.soak_door > out/soak/door.json
soak_live := -m tests.soak_live --isolated --minutes 10 --json out/soak/live.json
soak_page := -m tests.soak_page --json out/soak/page.json
soak_web := -m tests.soak_web --json out/soak/web.json
soak_browsers := -m tests.soak_browsers --json out/soak/browsers.json
soak_film := -m tests.soak --minutes 60 --json out/soak/film.json -- --size 64x64

soak: $(DEV) ## what takes hours: faults, long videos, bad files, ten minutes live, 200 visits, an hour of film; figures in out/soak
	@mkdir -p out/soak; failed=""; \
	$(foreach name,$(SOAK),echo "soak: $(name)"; $(BIN)/python $(soak_$(name)) || failed="$$failed $(name)"; ) \
	[ -z "$$failed" ] || { echo "soak: not all is well in:$$failed" >&2; exit 1; }

lint: $(DEV) ## style, format and types
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet .
	@$(BIN)/mypy --no-error-summary

bench: $(RUNTIME) ## how fast this machine is: frames a second, latency, memory
	@$(BIN)/flashtalk bench

venv: $(DEV) ## only make or update .venv
	@:

clean: ## remove everything that make made: .venv, caches, builds, out/
	@rm -rf $(VENV) out build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment with a suitable Python and pip is kept; anything else in its place is made anew.
$(MADE):
	@if ! $(BIN)/python -c '$(COMPLETE)' >/dev/null 2>&1; then \
	  for python in $(PYTHON) ""; do \
	    if [ -n "$$python" ] && $$python -c '$(SUITABLE)' >/dev/null 2>&1; then break; fi; \
	  done; \
	  if [ -z "$$python" ]; then \
	    echo "FlashTalk needs Python 3.11, 3.12 or 3.13 with the venv module; none of these is it: $(PYTHON)." >&2; \
	    echo "Install one (on Debian and Ubuntu: packages python3 and python3-venv), or name it: make PYTHON=/path/to/python3" >&2; \
	    exit 1; \
	  fi; \
	  echo "Making $(VENV) with $$python"; \
	  $$python -m venv --clear $(VENV); \
	fi
	@touch $@

$(RUNTIME): requirements.txt pyproject.toml $(MADE)
	@echo "Installing what FlashTalk needs into $(VENV) (some minutes the first time)"
	@$(PIP) install --quiet -r requirements.txt
	@$(PIP) install --quiet --no-deps -e .
	@touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	@echo "Installing the tools for tests into $(VENV)"
	@$(PIP) install --quiet -r requirements-dev.txt
	@touch $@
