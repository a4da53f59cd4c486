# `make demo` and `make test` set up everything in .venv themselves.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo test check lint docs benchmark gpu slow clean

demo: $(VENV)/installed
	$(RUN) -m experiments.quantum_dot --n 2 --omega 1 --ansatz "ffnn(jastrow=True)" \
	  --sampler metropolis --optimizer "adam(learning_rate=0.02, schedule='cosine', final=0.01)" \
	  --n-walkers 1024 --iterations 800 --evaluation-steps 300

test: $(VENV)/installed
	$(RUN) -m pytest --numprocesses auto --dist loadfile

check: demo $(VENV)/installed-docs
	$(RUN) -m pytest -m "further and not slow and not gpu and not benchmark and not whole" \
	  --numprocesses auto --dist loadfile
	$(RUN) -m pytest -m "whole and not slow" --numprocesses auto --dist loadfile
	$(RUN) -m tests.check

slow: $(VENV)/installed
	$(RUN) -m pytest -m slow

benchmark: $(VENV)/installed
	$(RUN) -m pytest -m benchmark -s

gpu: $(VENV)/installed
	$(RUN) -m tests.benchmarks.gpu $(or $(DEVICE),gpu)

lint: $(VENV)/installed
	$(RUN) -m ruff format --check .
	$(RUN) -m ruff check .
	$(RUN) -m pyright

docs: $(VENV)/installed-docs
	NO_MKDOCS_2_WARNING=1 $(RUN) -m mkdocs build --strict

$(VENV)/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 12) or sys.exit("nqs needs \
	Python 3.12 or newer, but $(PYTHON) is " + sys.version.split()[0] + ": install one \
	and say make PYTHON=python3.13")'
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[dev]"
	@touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(RUN) -m pip install --quiet --editable ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) site
