# make demo | test | test-all | coverage | lint | figures | leaderboard | docs | linkcheck. Each installs what it needs into .venv.
comma := ,
PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
INSTALLED := .venv/.installed-$(subst $(comma),-,$(EXTRAS))
DEMO_METHODS := random,lcmd-tp_grad_rp-512
DEMO_SPLITS := [0,1,2,3,4,5,6,7,8,9]

.PHONY: demo test test-all coverage lint figures leaderboard docs linkcheck clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo      compare active learning with random selection: a table and a picture, in a few minutes'
	@echo 'make test      run the tests'
	@echo 'make test-all  run all tests, including the slow ones'
	@echo 'make coverage  show which lines of the library its own tests run'
	@echo 'make lint      run ruff and mypy'
	@echo 'make figures   draw every figure that the records in runs/ allow'
	@echo 'make leaderboard  write docs/leaderboard_table.md and its pictures from results/lite.zip and results/submissions'
	@echo 'make docs      build the documentation in build/docs'
	@echo 'make linkcheck check all links in the documentation; needs a network'

.venv/.installed-%: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(subst -,$(comma),$*)]'
	touch $@

# Idle threads sleep instead of spinning (OMP_WAIT_POLICY): on a busy machine, spinning threads slow each other down
# tenfold or more.
demo: export OMP_WAIT_POLICY = PASSIVE
demo: .venv/.installed-harness
	$(BIN)/python -m benchmark -m experiment.name=demo dataset=diamonds task=64x6 'splits=$(DEMO_SPLITS)' \
		method=$(DEMO_METHODS) hydra/launcher=local
	$(BIN)/python -m plots experiment=demo figure=savings method=$(DEMO_METHODS)
	$(BIN)/python -m results experiment=demo table=savings

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal -m 'not thorough and not attacks'

test-all: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist worksteal

coverage: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --cov --cov-report term:skip-covered tests/bmdal

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

figures: $(INSTALLED)
	$(BIN)/python -m plots figure=all

# Without runs of your own, which the leaderboard would contain as well.
leaderboard: $(INSTALLED)
	mkdir -p build/none
	$(BIN)/python -m results paths.runs=build/none table=leaderboard output=docs/leaderboard_table.md
	$(BIN)/python -m plots paths.runs=build/none paths.figures=build figure=leaderboard
	cp build/leaderboard/leaderboard_*.png docs/images
	$(BIN)/python -m plots paths.runs=results/lite.zip report=true

docs: $(INSTALLED)
	$(BIN)/python -m sphinx -W --keep-going -b html docs build/docs

linkcheck: $(INSTALLED)
	$(BIN)/python -m sphinx -b linkcheck docs build/linkcheck

clean:
	rm -rf .venv build dist docs/generated *.egg-info .pytest_cache .mypy_cache .ruff_cache
