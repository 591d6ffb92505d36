PYTHON ?= python3
BIN := .venv/bin
export FREQKD_RUNS ?= $(CURDIR)/runs

.PHONY: help walk test test-long test-old coverage mutants audit lab explore pages handouts refresh clean

help:  ## what there is to make
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 11

$(BIN)/.installed: pyproject.toml requirements.txt tools/setup.py
	@$(PYTHON) tools/setup.py

walk: $(BIN)/.installed  ## install, run every notebook on the embedded default, write the pages
	@$(BIN)/freqkd walk

test: $(BIN)/.installed  ## all that CI runs, with the time of each stage
	@$(BIN)/python tools/checks.py

test-long: $(BIN)/.installed  ## 300 kills, 10,000 damaged files, 100 models: an hour or two
	@FREQKD_KILLS=300 FREQKD_CASES=600 FREQKD_MODELS=1 $(BIN)/pytest -p no:cacheprovider \
		tests/test_bad_input.py tests/test_features.py tests/cli/test_faults.py tests/distil/test_survival.py

test-old: $(BIN)/.installed  ## the wheel on the oldest dependencies allowed: 6 GB of disk
	@$(BIN)/python -m tools.wheel lowest

coverage: $(BIN)/.installed  ## branches that the unit tests take, as coverage.json
	@OMP_NUM_THREADS=1 $(BIN)/coverage run -m pytest -p no:cacheprovider -n auto --dist loadfile
	@$(BIN)/coverage combine -q && $(BIN)/coverage json -q

mutants: $(BIN)/.installed  ## mutation testing of bands, losses and statistics: two hours
	@$(PYTHON) -m venv .venv/mutmut && .venv/mutmut/bin/pip install -q mutmut==3.8.1
	@OMP_NUM_THREADS=1 $(BIN)/python -c 'import glob, sys; \
		sys.path += glob.glob(".venv/mutmut/lib/*/site-packages"); \
		from mutmut.__main__ import cli; cli()' run --max-children 1

audit: $(BIN)/.installed  ## known vulnerabilities of the pinned packages; asks PyPI
	@$(PYTHON) -m venv .venv/audit && .venv/audit/bin/pip install -q pip-audit
	@.venv/audit/bin/pip-audit --strict --no-deps --disable-pip -r requirements.txt

lab: $(BIN)/.installed  ## JupyterLab at the start page
	@$(BIN)/jupyter lab notebooks/00_start_here.ipynb

explore: $(BIN)/.installed  ## every option of the widgets, on this machine alone (voila)
	@$(BIN)/voila notebooks/explore.ipynb --Voila.ip=127.0.0.1 --token --Voila.tornado_settings="{'headers': {'Content-Security-Policy': \"default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob: ws:\"}}"

pages: $(BIN)/.installed  ## the finished notebooks of the last walk as pages
	@$(BIN)/freqkd pages

handouts: $(BIN)/.installed  ## pages, exercises and the lesson's route as one zip for a USB stick
	@$(BIN)/python -m tools.handouts

refresh: $(BIN)/.installed  ## run the notebooks and keep their outputs in notebooks/
	@$(BIN)/freqkd refresh

clean:  ## remove runs, pages and the environment
	rm -rf runs pages .venv *.egg-info
