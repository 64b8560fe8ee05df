# make demo, make test: everything from a fresh clone; `make help` lists the rest.
#
# By default the tools live in .venv and are downloaded once. To use an environment as it is, with
# nothing downloaded and nothing installed into it:  make test PYTHON=/path/to/python VENV=

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=

ifeq ($(strip $(VENV)),)
PY := $(PYTHON)
export PYTHONPATH := $(CURDIR)$(if $(PYTHONPATH),:$(PYTHONPATH))
else
PY := $(VENV)/bin/python
ENVIRONMENT := $(VENV)/.environment
EDITABLE := $(VENV)/.editable
endif

CLANG_FORMAT := $(if $(ENVIRONMENT),$(VENV)/bin/)clang-format
NATIVE = $(shell find csrc tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')

.DEFAULT_GOAL := help
.PHONY: help environment build demo test lint format audit package wheel clean

help:  ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

demo: build $(EDITABLE)  ## what was built, which path runs, and a check against the reference
	$(PY) -m drsl_cuda

test: build $(EDITABLE)  ## all tests; PYTEST_ARGS="-k drsl -x" for some
	$(PY) -m pytest $(PYTEST_ARGS)

build: $(ENVIRONMENT)  ## the extension, in place; compiles what changed
	$(PY) setup.py --quiet build_ext --inplace

lint: $(ENVIRONMENT)  ## style of Python and C++; changes nothing
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(CLANG_FORMAT) --dry-run -Werror $(NATIVE)

format: $(ENVIRONMENT)  ## rewrites what lint would complain about, where it can
	$(PY) -m ruff check --fix
	$(PY) -m ruff format
	$(CLANG_FORMAT) -i $(NATIVE)

audit: build  ## the library needs nothing but torch's stable ABI
	$(PY) tools/check_abi.py

wheel: $(ENVIRONMENT)  ## sdist, and the wheel built from it, in dist/
	$(PY) -m build --no-isolation

clean:  ## removes what was built; .venv stays
	rm -rf build dist *.egg-info drsl_cuda/_C.*.so
	find . -path ./.venv -prune -o -name __pycache__ -exec rm -rf {} +

environment: $(ENVIRONMENT)  ## .venv with the pinned development requirements

$(VENV)/.environment: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("drsl_cuda needs Python 3.10 or later: \
	name one with make PYTHON=/path/to/python3." if sys.version_info < (3, 10) else 0)'
	@echo "Setting up $(VENV): downloads torch and the tools, once."
	$(PYTHON) -m venv $(VENV)
	$(PY) -m pip install --quiet -r $<
	@touch $@

# After the build, whose objects it reuses, so that drsl_cuda imports from every folder.
$(VENV)/.editable: pyproject.toml setup.py $(VENV)/.environment | build
	$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
