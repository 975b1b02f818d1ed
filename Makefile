# make setup | quickstart | test | test-slow | test-oracles | lint | format | wheels
# Needs Python 3.11, git and a C++ compiler; everything else is installed into .venv.

MAKEFLAGS += --no-builtin-rules
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
ORACLES := .venv-oracles
PACKAGES := llm-kernels llm-data llm-convert llm-infer llm-serve llm-train llm-peft llm-quant
PROJECTS := tools/llm-cli/pyproject.toml $(foreach p,$(PACKAGES),packages/$(p)/pyproject.toml)
NATIVE := packages/llm-kernels/CMakeLists.txt \
          $(shell find packages/llm-kernels/include packages/llm-kernels/csrc -type f)
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.PHONY: setup quickstart test test-slow test-oracles lint format wheels clean

setup: $(VENV)/ready

# Build tools first, so that the packages can be built without an environment of pip's own each.
$(VENV)/ready: $(PROJECTS) $(NATIVE) constraints.txt tools/requirements-dev.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt -r tools/requirements-dev.txt
	$(BIN)/python tools/install --editable $(PACKAGES) --pip -q -c constraints.txt --no-build-isolation
	# Many processes of the suite import Paddle: 6 s of processor time instead of 18 with bytecode.
	# Some packages hold templates that are no Python, so its verdict is not asked.
	-$(BIN)/python -m compileall -qq -j 0 $(VENV)/lib
	touch $@

quickstart: setup
	$(BIN)/python tools/quickstart/run.py runs/quickstart

test: setup
	$(BIN)/python -m pytest

# Minutes of work that the suite covers in small: every family in every parallel mode, kills.
test-slow: setup
	$(BIN)/python -m pytest -m slow

# Comparisons with torch, transformers and the like, in an environment of their own.
test-oracles: $(ORACLES)/ready
	$(ORACLES)/bin/python -m pytest tests/oracles

$(ORACLES)/ready: tests/oracles/requirements.txt $(PROJECTS) $(NATIVE)
	test -x $(ORACLES)/bin/python || $(PYTHON) -m venv $(ORACLES)
	$(ORACLES)/bin/python -m pip --disable-pip-version-check -q install -r tests/oracles/requirements.txt
	$(ORACLES)/bin/python tools/install --editable llm-infer \
	    --pip -q -c tests/oracles/requirements.txt --no-build-isolation
	# Of llm-quant only what needs no Paddle is compared.
	$(ORACLES)/bin/python -m pip --disable-pip-version-check -q install --no-deps \
	    --no-build-isolation -e packages/llm-quant
	touch $@

lint: setup
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	git ls-files 'packages/*.h' 'packages/*.cpp' 'packages/*.cu' | xargs -r $(BIN)/clang-format --dry-run -Werror

format: setup
	$(BIN)/ruff check --fix-only
	$(BIN)/ruff format
	git ls-files 'packages/*.h' 'packages/*.cpp' 'packages/*.cu' | xargs -r $(BIN)/clang-format -i

wheels: setup
	rm -rf dist
	$(BIN)/python -m pip -q wheel --no-deps --no-build-isolation -w dist \
	    tools/llm-cli $(foreach p,$(PACKAGES),packages/$(p))

clean:
	rm -rf $(VENV) $(ORACLES) dist build .pytest_cache .mypy_cache .ruff_cache
