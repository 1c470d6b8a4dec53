# The README's commands. Each target makes its own environment in .venv first.
PYTHON ?= python3
# On Linux without a GPU: make TORCH_INDEX=https://download.pytorch.org/whl/cpu sweep (a smaller torch)
TORCH_INDEX ?=
BIN := .venv/bin
READY := .venv/.ready

.PHONY: sweep test test-all lab notebooks clean

sweep: $(READY)
	$(BIN)/hybridkit sweep

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow" --nbval-lax --nbval-current-env \
		--nbval-cell-timeout 900 tests notebooks

test-all: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --nbval-lax --nbval-current-env \
		--nbval-cell-timeout 900 tests notebooks

lab: $(READY)
	$(BIN)/jupyter lab notebooks

notebooks: $(READY)
	$(BIN)/python tools/execute_notebooks.py

clean:
	rm -rf .venv

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed, this is ' + sys.version.split()[0] + '; set PYTHON=/path/to/python3.11')"
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@
