# The README's commands. Each target makes its own environment in .venv first.
PYTHON ?= python3
# On Linux the package index has the CUDA build of torch, several GB: without an NVIDIA driver take the small one.
# `make TORCH_INDEX= sweep` takes whatever the index has.
ifeq ($(shell uname -s 2>/dev/null),Linux)
ifeq ($(shell command -v nvidia-smi 2>/dev/null),)
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
endif
endif
BIN := .venv/bin
READY := .venv/.ready
PIP = $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

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
	$(if $(TORCH_INDEX),-$(PIP) --no-deps --retries 1 --timeout 15 --index-url $(TORCH_INDEX) torch 2>/dev/null)
	$(PIP) -e ".[test]"
	@touch $@
