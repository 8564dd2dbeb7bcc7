# The stages, one command each:
#   make prep DATABASE=csv ROOT=videos DATA=data/mine PRESET=paper SETTINGS="epochs=9 seed=2" ARGS="--mos-range 1 5"
# Data:        DATABASE ROOT DATA RUN START OUT VIDEO TEACHER PUBLISHED RATED, paths with any characters but a dollar sign
# Settings:    PRESET SETTINGS SPLIT REPEATS PRECISION
# Machine:     WORKERS, processes of prep (default: one per core) and of all that reads videos (default: 1);
#              DEVICE, cpu, gpu or gpu:1 of all stages with a network; DEVICES, number of devices for training
# Other options: ARGS is passed to the stage, of several stages to prep; TRAIN_ARGS always to train.
# The paper's experiments: docs/experiments.

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
TEACHER  ?=
PUBLISHED ?=
RATED    ?=
VIDEO    ?=
DEVICES  ?= 1
DEVICE   ?=
PRECISION ?=
KILLS    ?= 30
TABLE_VIDEOS ?= 120
ARGS     ?=
TRAIN_ARGS ?=
WORKERS  ?=
RIVALS   ?=
PYTHON   ?= python3
BIN      := .venv/bin
PY       := $(BIN)/python
OWN_ARGS  = $(if $(filter prep,$(MAKECMDGOALS)),,$(ARGS))
# One word of a shell command, whatever characters it has.
quoted    = '$(subst ','\'',$(1))'
SET       = $(foreach setting,$(SETTINGS),--set $(call quoted,$(setting)))
ON        = $(if $(DEVICE),--device $(DEVICE))
IN        = $(if $(PRECISION),--precision $(PRECISION))
CORES     = $(shell nproc 2>/dev/null || echo 2)
AT        = $(if $(ROOT),--root $(call quoted,$(ROOT)))
# Of contents ROOT is what prep makes videos from; the later stages read those that it has made.
FROM      = $(if $(filter contents,$(DATABASE)),,$(AT))
BY        = $(if $(TEACHER),--teacher $(call quoted,$(TEACHER)))
WITH      = $(if $(WORKERS),--workers $(WORKERS))
IN_TWO   := --numprocesses 2 --dist loadfile

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help setup docs demo prep train features rivals compare report score test test-slow lint types check check-all fuzz bench chaos plan
.PHONY: teacher konvid1k live_qualcomm finetune fcn_lstm cross_database downscaling clip_grid lstm_size paper_table pretrained

help: ## list the targets
	@grep -E '^[a-z0-9_-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 16

setup: $(BIN)/.ready ## make .venv from the pinned requirements.txt

$(BIN)/.ready: requirements.txt setup.cfg setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check --quiet -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	@touch $@

docs: setup .venv-docs/.ready ## the documentation as a web site -> site/index.html
	$(PY) -m docs.command_reference docs/commands.md
	.venv-docs/bin/mkdocs build --strict --quiet

.venv-docs/.ready: requirements-docs.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --disable-pip-version-check --quiet -r requirements-docs.txt
	@touch $@

demo: ## the whole pipeline on the synthetic database, on a CPU in minutes
	$(MAKE) prep train features compare report DATABASE=synthetic
	@printf '%s\n' 'Next steps:' $(call quoted,  open $(RUN)/report.html in a browser) \
	  $(call quoted,  $(BIN)/nr-vqm score your.mp4 --run $(RUN) --html page.html) \
	  $(call quoted,  $(BIN)/nr-vqm compare one.mp4 other.mp4 --run $(RUN)) \
	  '  your own videos with people'"'"'s opinions: docs/databases.md; without: docs/adapt.md'

prep: setup ## videos and labels -> manifest and clip shards
	$(PY) -m data_prep $(DATABASE) --out $(call quoted,$(DATA)) --preset $(PRESET) $(SET) \
	  --workers $(or $(WORKERS),$(CORES)) $(AT) $(BY) $(ARGS)

teacher: setup ## PUBLISHED, features with people's MOS -> TEACHER, which labels contents: docs/adapt.md
	$(PY) -m experiments.train_teacher --features $(call quoted,$(PUBLISHED)) --out $(call quoted,$(TEACHER)) $(ARGS)

train: setup ## clip shards -> the 3D-CNN
	$(PY) -m experiments.train_cnn --data $(call quoted,$(DATA)) --run $(call quoted,$(RUN)) --preset $(PRESET) $(SET) \
	  --split $(call quoted,$(SPLIT)) --repeats $(REPEATS) $(if $(filter-out 1,$(DEVICES)),--devices $(DEVICES)) \
	  $(ON) $(IN) $(OWN_ARGS) $(TRAIN_ARGS)

features: setup ## 3D-CNN and videos -> features and clip qualities
	$(PY) -m experiments.extract_features --data $(call quoted,$(DATA)) --run $(call quoted,$(RUN)) \
	  $(FROM) $(ON) $(IN) $(WITH) $(OWN_ARGS)

rivals: setup ## videos -> features of hand-crafted methods; RIVALS=brisque,niqe chooses them
	$(PY) -m experiments.extract_rivals --data $(call quoted,$(DATA)) --run $(call quoted,$(RUN)) \
	  $(if $(RIVALS),--rivals $(call quoted,$(RIVALS))) --workers $(or $(WORKERS),$(CORES)) $(FROM) $(OWN_ARGS)

compare: setup ## features -> SVR and LSTM heads, scores and metrics
	$(PY) -m experiments.compare_heads --run $(call quoted,$(RUN)) $(ON) $(OWN_ARGS)

report: setup ## metrics and scores -> report.html
	$(PY) -m experiments.report --run $(call quoted,$(RUN)) $(OWN_ARGS)

konvid1k: PRESET = paper
konvid1k: SPLIT = paper
konvid1k: ## the paper's experiment on KoNViD-1k: ROOT is the download
	$(MAKE) prep train features compare report DATABASE=konvid1k PRESET=$(PRESET) SPLIT=$(call quoted,$(SPLIT))

paper_table: DATABASE = $(if $(ROOT),konvid1k,synthetic)
paper_table: PRESET = $(if $(ROOT),paper,small)
paper_table: SPLIT = $(if $(ROOT),paper,strict)
paper_table: DATA = data/$(if $(ROOT),$(DATABASE)-$(PRESET),paper_table)
paper_table: RUN = runs/$(if $(ROOT),$(DATABASE)-$(PRESET),paper_table)
paper_table: ## all methods on the same videos: on KoNViD-1k with ROOT, else on TABLE_VIDEOS synthetic videos
	$(MAKE) prep train features rivals compare report DATABASE=$(DATABASE) PRESET=$(PRESET) \
	  SPLIT=$(call quoted,$(SPLIT)) DATA=$(call quoted,$(DATA)) RUN=$(call quoted,$(RUN)) \
	  SETTINGS=$(call quoted,$(if $(ROOT),,synthetic_videos=$(TABLE_VIDEOS) )$(SETTINGS))

pretrained: DATABASE = contents
pretrained: PRESET = default
pretrained: DATA = data/pretrained
pretrained: RUN = runs/pretrained
pretrained: OUT = $(RUN)-export
pretrained: ## the run that ships -> OUT: ROOT unlabelled videos, PUBLISHED features, RATED videos with people's MOS
	$(MAKE) demo PRESET=small DATA=data/synthetic-small RUN=runs/synthetic-small SETTINGS= ROOT=
	[ -f $(call quoted,$(RUN)-levels.h5) ] || $(MAKE) teacher TEACHER=$(call quoted,$(RUN)-levels.h5) ARGS="--sets brisque"
	[ -f $(call quoted,$(RUN)-teacher.h5) ] || $(MAKE) teacher TEACHER=$(call quoted,$(RUN)-teacher.h5) ARGS=
	$(MAKE) prep train features compare report DATABASE=$(DATABASE) PRESET=$(PRESET) DATA=$(call quoted,$(DATA)) \
	  RUN=$(call quoted,$(RUN)) TEACHER=$(call quoted,$(RUN)-levels.h5) TRAIN_ARGS="--start runs/synthetic-small"
	$(MAKE) rivals RUN=$(call quoted,$(RUN)) DATA=$(call quoted,$(DATA)) RIVALS=frame_statistics ROOT= ARGS=
	[ -f $(call quoted,$(RUN)-statistics.h5) ] || $(MAKE) teacher TEACHER=$(call quoted,$(RUN)-statistics.h5) \
	  ARGS="--sets frame_statistics --distorted $(call quoted,$(RUN))"
	$(MAKE) prep DATABASE=csv ROOT=$(call quoted,$(RATED)) DATA=$(call quoted,$(DATA)-rated) PRESET=$(PRESET) \
	  SETTINGS="train_groups=1 train_grid=1x1" ARGS="--mos-range 1 5"
	$(MAKE) cross_database RUN=$(call quoted,$(RUN)) DATA=$(call quoted,$(DATA)-rated) OUT=$(call quoted,$(RUN)-rated) \
	  ROOT= PRECISION=float32
	$(MAKE) rivals RUN=$(call quoted,$(RUN)-rated) DATA=$(call quoted,$(DATA)-rated) RIVALS=frame_statistics ROOT= ARGS=
	$(BIN)/nr-vqm export $(call quoted,$(RUN)) $(call quoted,$(OUT)) --validation $(call quoted,$(RUN)-rated) --align \
	  --teacher $(call quoted,$(RUN)-teacher.h5) --fusion $(call quoted,$(RUN)-statistics.h5) --head fusion

live_qualcomm: PRESET = paper
live_qualcomm: SPLIT = paper
live_qualcomm: ## the same on LIVE-Qualcomm, then fine-tuned from the run START
	$(MAKE) prep train features compare finetune report DATABASE=live_qualcomm PRESET=$(PRESET) \
	  SPLIT=$(call quoted,$(SPLIT)) START=$(call quoted,$(START))

finetune: setup ## the LSTM head of the run START, fine-tuned on RUN
	$(PY) -m experiments.finetune --run $(call quoted,$(RUN)) --start $(call quoted,$(START)) $(ON) $(OWN_ARGS)

fcn_lstm: setup ## the 3D-CNN and an LSTM head of RUN, trained end to end on whole videos
	$(PY) -m experiments.train_fcn_lstm --data $(call quoted,$(DATA)) --run $(call quoted,$(RUN)) $(SET) \
	  $(FROM) $(if $(filter-out 1,$(DEVICES)),--devices $(DEVICES)) $(ON) $(IN) $(OWN_ARGS)

cross_database: setup ## RUN tested on all videos of another database's DATA, into OUT
	$(PY) -m experiments.cross_database --run $(call quoted,$(RUN)) --data $(call quoted,$(DATA)) \
	  --out $(call quoted,$(OUT)) $(FROM) $(ON) $(IN) $(WITH) $(OWN_ARGS)
	$(PY) -m experiments.report --run $(call quoted,$(OUT))

downscaling: ## the ablation: every frame resized to one clip; variables as for all five stages
	$(MAKE) prep train features compare report DATA=$(call quoted,$(DATA)-downscaled) \
	  RUN=$(call quoted,$(RUN)-downscaled) \
	  SETTINGS=$(call quoted,$(SETTINGS) downscale=true train_grid=1x1 block_grid=1x1)

clip_grid: setup ## the ablation: heads on 8, 16 and 32 groups and blocks
	$(PY) -m experiments.ablations grid --run $(call quoted,$(RUN)) --data $(call quoted,$(DATA)) $(FROM) \
	  $(ON) $(IN) $(WITH) $(OWN_ARGS)

lstm_size: setup ## the ablation: LSTM heads of 8 to 128 units
	$(PY) -m experiments.ablations lstm_units --run $(call quoted,$(RUN)) --data $(call quoted,$(DATA)) $(FROM) \
	  $(ON) $(IN) $(WITH) $(OWN_ARGS)

score: setup ## score VIDEO, a file, a folder or a pattern, with the run
	$(BIN)/nr-vqm score $(call quoted,$(VIDEO)) --run $(call quoted,$(RUN)) $(ON) $(IN) $(WITH) $(ARGS)

test: setup ## the fast tests, in two processes
	$(PY) -m pytest -m "not slow" $(IN_TWO) $(ARGS)

test-slow: setup ## the slow tests
	$(PY) -m pytest -m slow $(IN_TWO) $(ARGS)

fuzz: setup ## score 2,000 damaged files: each is scored, warned about or refused
	$(PY) -m benchmarks.fuzz $(ARGS)

bench: setup ## the benchmarks, on a folder of real videos: make bench VIDEO=DIR
	$(PY) -m benchmarks.score
	$(PY) -m benchmarks.memory
	$(PY) -m benchmarks.compression --videos $(call quoted,$(VIDEO))
	$(PY) -m benchmarks.input_pipeline --videos $(call quoted,$(VIDEO))
	$(PY) -m benchmarks.train_step
	$(PY) -m benchmarks.comparison
	$(PY) -m benchmarks.svr_search
	$(PY) -m benchmarks.real_damage --videos $(call quoted,$(VIDEO)) --run $(call quoted,$(RUN))
	$(PY) -m benchmarks.decoding $(call quoted,$(VIDEO))/*.mp4

chaos: setup ## kill -9 at KILLS random moments of the stages: nothing may be lost
	$(PY) -m benchmarks.chaos --kills $(KILLS)

plan: setup ## clips, bytes, hours and memory of DATABASE with PRESET on DEVICES, before anything is started
	$(PY) -m benchmarks.plan $(DATABASE) --preset $(PRESET) $(SET) --devices $(DEVICES) $(ARGS)

lint: setup ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy, strict for nr_vqm
	$(BIN)/mypy nr_vqm

check: lint types test ## everything that must pass before a commit

check-all: check test-slow ## the slow tests too
