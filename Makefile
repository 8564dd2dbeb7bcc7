# The stages, one command each. Variables: DATABASE ROOT DATA RUN PRESET SETTINGS SPLIT REPEATS WORKERS VIDEO ARGS TRAIN_ARGS,
#   make prep DATABASE=csv ROOT=videos DATA=data/mine PRESET=paper SETTINGS="epochs=9 seed=2" ARGS="--mos-range 1 5"
# ARGS goes to the stage, of several to prep; TRAIN_ARGS always to train. The paper's experiments: docs/experiments.

DATABASE ?= synthetic
PRESET   ?= small
DATA     ?= data/$(DATABASE)-$(PRESET)
RUN      ?= runs/$(DATABASE)-$(PRESET)
SETTINGS ?=
SPLIT    ?= strict
REPEATS  ?= 1
START    ?= runs/konvid1k-$(PRESET)
OUT      ?= $(RUN)-cross
ROOT     ?=
VIDEO    ?=
DEVICES  ?= 1
KILLS    ?= 30
ARGS     ?=
TRAIN_ARGS ?=
WORKERS  ?= $(shell nproc 2>/dev/null || echo 2)
PYTHON   ?= python3
BIN      := .venv/bin
PY       := $(BIN)/python
OWN_ARGS  = $(if $(filter prep,$(MAKECMDGOALS)),,$(ARGS))
SET       = $(foreach setting,$(SETTINGS),--set $(setting))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup demo prep train features compare report score test lint check check-all fuzz bench chaos plan
.PHONY: konvid1k live_qualcomm finetune cross_database downscaling clip_grid lstm_size

help: ## list the targets
	@grep -E '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(BIN)/.ready ## make .venv from the pinned requirements.txt

$(BIN)/.ready: requirements.txt setup.cfg setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

demo: ## the whole line on the synthetic database, on a CPU in minutes
	$(MAKE) prep train features compare report DATABASE=synthetic

prep: setup ## videos and labels -> manifest and clip shards
	$(PY) -m data_prep $(DATABASE) --out $(DATA) --preset $(PRESET) $(SET) --workers $(WORKERS) \
	  $(if $(ROOT),--root $(ROOT)) $(ARGS)

train: setup ## clip shards -> the 3D-CNN
	$(PY) -m experiments.train_cnn --data $(DATA) --run $(RUN) --preset $(PRESET) $(SET) \
	  --split $(SPLIT) --repeats $(REPEATS) $(if $(filter-out 1,$(DEVICES)),--devices $(DEVICES)) $(OWN_ARGS) $(TRAIN_ARGS)

features: setup ## 3D-CNN and videos -> features and clip qualities
	$(PY) -m experiments.extract_features --data $(DATA) --run $(RUN) $(OWN_ARGS)

compare: setup ## features -> SVR and LSTM heads, scores and metrics
	$(PY) -m experiments.compare_heads --run $(RUN) $(OWN_ARGS)

report: setup ## metrics and scores -> report.html
	$(PY) -m experiments.report --run $(RUN) $(OWN_ARGS)

konvid1k: PRESET = paper
konvid1k: SPLIT = paper
konvid1k: ## the paper's experiment on KoNViD-1k: ROOT is the download
	$(MAKE) prep train features compare report DATABASE=konvid1k PRESET=$(PRESET) SPLIT=$(SPLIT)

live_qualcomm: PRESET = paper
live_qualcomm: SPLIT = paper
live_qualcomm: ## the same on LIVE-Qualcomm, then fine-tuned from the run START
	$(MAKE) prep train features compare finetune report DATABASE=live_qualcomm PRESET=$(PRESET) SPLIT=$(SPLIT) START=$(START)

finetune: setup ## the LSTM head of the run START, fine-tuned on RUN
	$(PY) -m experiments.finetune --run $(RUN) --start $(START) $(OWN_ARGS)

cross_database: setup ## RUN tested on all videos of another database's DATA, into OUT
	$(PY) -m experiments.cross_database --run $(RUN) --data $(DATA) --out $(OUT) $(OWN_ARGS)
	$(PY) -m experiments.report --run $(OUT)

downscaling: ## the ablation: every picture resized to one clip; variables as for all five stages
	$(MAKE) prep train features compare report DATA=$(DATA)-downscaled RUN=$(RUN)-downscaled \
	  SETTINGS="$(SETTINGS) downscale=true train_grid=1x1 block_grid=1x1"

clip_grid: setup ## the ablation: heads on 8, 16 and 32 groups and blocks
	$(PY) -m experiments.ablations grid --run $(RUN) --data $(DATA) $(OWN_ARGS)

lstm_size: setup ## the ablation: LSTM heads of 8 to 128 units
	$(PY) -m experiments.ablations lstm_units --run $(RUN) --data $(DATA) $(OWN_ARGS)

score: setup ## score VIDEO with the run
	$(BIN)/nr-vqm score $(VIDEO) --run $(RUN) $(ARGS)

test: setup ## the fast tests
	$(PY) -m pytest -m "not slow" $(ARGS)

fuzz: setup ## score 2,000 damaged files: each is scored, warned about or refused
	$(PY) -m benchmarks.fuzz $(ARGS)

bench: setup ## the benchmarks, on a folder of real videos: make bench VIDEO=DIR
	$(PY) -m benchmarks.score
	$(PY) -m benchmarks.compression --videos $(VIDEO)
	$(PY) -m benchmarks.input_pipeline --videos $(VIDEO)
	$(PY) -m benchmarks.train_step
	$(PY) -m benchmarks.real_damage --videos $(VIDEO) --run $(RUN)
	$(PY) -m benchmarks.decoding $(wildcard $(VIDEO)/*.mp4)

chaos: setup ## kill -9 at KILLS random moments of the stages: nothing may be lost
	$(PY) -m benchmarks.chaos --kills $(KILLS)

plan: setup ## clips, bytes, hours and memory of DATABASE with PRESET on DEVICES, before anything is started
	$(PY) -m benchmarks.plan $(DATABASE) --preset $(PRESET) $(SET) --devices $(DEVICES) $(ARGS)

lint: setup ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

check: lint test ## what must pass before a commit

check-all: check ## the slow tests too
	$(PY) -m pytest -m slow $(ARGS)
