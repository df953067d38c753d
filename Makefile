# make demo | test | coverage | lint | figures. Each installs what it needs into .venv first, if it is not there yet.
comma := ,
PYTHON ?= python3
EXTRAS ?= dev
BIN := .venv/bin
INSTALLED := .venv/.installed-$(subst $(comma),-,$(EXTRAS))
DEMO_METHODS := random,maxdist-tp_grad_rp-512,lcmd-tp_grad_rp-512

.PHONY: demo test coverage lint figures clean
.DEFAULT_GOAL := help

help:
	@echo 'make demo      active learning and random selection: a table and a picture, in a few minutes'
	@echo 'make test      all tests'
	@echo 'make coverage  the lines of the library that its own tests run'
	@echo 'make lint      ruff and mypy'
	@echo 'make figures   every figure that the records in runs/ allow'

$(INSTALLED): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[$(EXTRAS)]'
	touch $@

# Idle threads sleep (OMP_WAIT_POLICY): on a busy machine, threads that spin slow each other down tenfold and more.
demo: export OMP_WAIT_POLICY = PASSIVE
demo: $(INSTALLED)
	$(BIN)/python -m benchmark -m experiment.name=demo dataset=friedman task=256x4 'splits=[0,1]' method=$(DEMO_METHODS)
	$(BIN)/python -m results experiment=demo
	$(BIN)/python -m plots experiment=demo method=$(DEMO_METHODS)

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

coverage: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --cov --cov-report term:skip-covered tests/bmdal

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

figures: $(INSTALLED)
	$(BIN)/python -m plots figure=all

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
