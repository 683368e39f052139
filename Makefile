# `make` alone lists what can be made. Needs python3 (3.10 or newer, with venv) and make; everything else goes into .venv.
PYTHON ?= python3
VENV   ?= .venv
WORKERS ?= 2
BIN    := $(VENV)/bin
PACKAGING := settings.ini setup.py pyproject.toml
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lab docs bench format clean

help: ## List what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

# A stamp per set of requirements: made once, and again only when the requirements change.
$(VENV)/bin/activate:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 10) else f"smart_money needs Python 3.10 or newer; $(PYTHON) is {v.major}.{v.minor}. Name another one: make $(MAKECMDGOALS) PYTHON=python3.12")'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: $(VENV)/bin/activate $(PACKAGING)
	@echo "Installing smart_money into $(VENV) (once; a minute or two) ..."
	@$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/%.stamp: $(VENV)/bin/activate $(PACKAGING)
	@echo "Installing smart_money[$*] into $(VENV) (once; some minutes) ..."
	@$(BIN)/pip install --quiet --editable '.[$*]'
	@touch $@ $(VENV)/run.stamp

demo: $(VENV)/run.stamp ## Budget the example households
	@$(BIN)/smart-money demo

test: $(VENV)/dev.stamp ## Run every notebook and every test
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -q -rs -n $(WORKERS) --maxschedchunk=1 tests

lab: $(VENV)/dev.stamp ## Open the start page in JupyterLab (cleans notebooks on save)
	@git config --local include.path ../.gitconfig
	@cd nbs && JUPYTER_CONFIG_PATH=$(CURDIR)/.jupyter $(abspath $(BIN))/jupyter lab start.ipynb

docs: $(VENV)/docs.stamp ## Build the documentation site into _docs/ (with Quarto if it is installed, else offline)
	@$(BIN)/python -m smart_money.docs site

bench: $(VENV)/dev.stamp ## Run the benchmark notebooks and print what they measured
	@for nb in nbs/benchmarks/*.ipynb; do OMP_NUM_THREADS=1 $(BIN)/jupyter nbconvert --log-level=ERROR --to markdown --no-input --execute --stdout $$nb; done

format: $(VENV)/dev.stamp ## Export the notebooks, clean them, write README.md anew
	@$(BIN)/nbdev_export
	@$(BIN)/nbdev_clean
	@$(BIN)/python -m smart_money.docs readme

clean: ## Remove the environment and everything built
	@rm -rf $(VENV) _docs _proc _sphinx build dist *.egg-info .pytest_cache .cache nbs/nbdev.yml nbs/sidebar.yml
	@find . -name __pycache__ -prune -exec rm -rf {} +
