# The stages, one command each. Variables: DATABASE ROOT DATA RUN PRESET VIDEO ARGS, for example
#   make prep DATABASE=csv ROOT=videos DATA=data/mine PRESET=paper ARGS="--mos-range 1 5"

DATABASE ?= synthetic
PRESET   ?= small
DATA     ?= data/$(DATABASE)-$(PRESET)
RUN      ?= runs/$(DATABASE)-$(PRESET)
ROOT     ?=
VIDEO    ?=
ARGS     ?=
PYTHON   ?= python3
BIN      := .venv/bin
PY       := $(BIN)/python

.DEFAULT_GOAL := help
.PHONY: help setup demo prep train features compare report score test lint check check-all bench

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

setup: $(BIN)/.ready ## make .venv from the pinned requirements.txt

$(BIN)/.ready: requirements.txt setup.cfg setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: ## the whole line on the synthetic database, on a CPU in minutes
	$(MAKE) prep train features compare report DATABASE=synthetic

prep: setup ## videos and labels -> manifest and clip shards
	$(PY) -m data_prep $(DATABASE) --out $(DATA) --preset $(PRESET) $(if $(ROOT),--root $(ROOT)) $(ARGS)

train: setup ## clip shards -> the 3D-CNN
	$(PY) -m experiments.train_cnn --data $(DATA) --run $(RUN) --preset $(PRESET) $(ARGS)

features: setup ## 3D-CNN and videos -> features and clip qualities
	$(PY) -m experiments.extract_features --data $(DATA) --run $(RUN)

compare: setup ## features -> SVR and LSTM heads, scores and metrics
	$(PY) -m experiments.compare_heads --run $(RUN)

report: setup ## metrics and scores -> report.html
	$(PY) -m experiments.report --run $(RUN)

score: setup ## score VIDEO with the run
	$(BIN)/nr-vqm score $(VIDEO) --run $(RUN) $(ARGS)

test: setup ## the fast tests
	$(PY) -m pytest -m "not slow" $(ARGS)

bench: setup ## the benchmarks, on a folder of real videos: make bench VIDEO=DIR
	$(PY) -m benchmarks.score
	$(PY) -m benchmarks.compression --videos $(VIDEO)
	$(PY) -m benchmarks.real_damage --videos $(VIDEO) --run $(RUN)

lint: setup ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check: lint test ## what must pass before a commit

check-all: lint ## the slow tests too
	$(PY) -m pytest $(ARGS)
