# make demo, make test: everything from a fresh clone; `make help` lists the rest.
#
# By default the tools live in .venv and are downloaded once. To use an environment as it is, with
# nothing downloaded and nothing installed into it:  make test PYTHON=/path/to/python VENV=

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
HOST_ORDER ?= warp

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
.PHONY: help environment build demo test lint format audit package wheel clean gpu report host host-sanitized host-coverage fuzz

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

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

gpu:  ## with a GPU and nothing else: builds, tests, sanitizer, benchmark, in 8 minutes
	@$(PYTHON) tools/gpu $(GPU_ARGS)

# Without a GPU: g++ compiles the kernels, whose threads take turns. `make test` runs the first of these.
KERNEL_TESTS := $(addprefix tests/test_host_,kernels.py losses.py scores.py)
OPERATOR_TESTS := $(addprefix tests/test_,drsl.py pairwise.py redistribute.py rank_sort.py \
	degenerate.py extremes.py properties.py gradients.py scores.py)

fuzz: build $(EDITABLE)  ## the fuzz tests at random and for long; FUZZ_TIMES=100 FUZZ_SEED=...
	HYPOTHESIS_PROFILE=long $(PY) -m pytest $(wildcard tests/test_*fuzz*.py) $(PYTEST_ARGS)

host: build $(EDITABLE)  ## the operators' tests, run by the CUDA kernels on host threads; HOST_ORDER=warp
	$(PY) -m pytest --on-host-threads=$(HOST_ORDER) -k "not reference" $(OPERATOR_TESTS) $(PYTEST_ARGS)

# libstdc++ as well: AddressSanitizer looks for the function that throws before Python loads it.
host-sanitized: build $(EDITABLE)  ## kernels on host threads under AddressSanitizer and UBSan
	$(PY) tools/build_host.py sanitized
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 DRSL_HOST_VARIANT=sanitized \
	$(PY) -m pytest -m sanitized $(KERNEL_TESTS) $(PYTEST_ARGS)

host-coverage: build $(EDITABLE)  ## kernels on host threads, and which of their lines were run
	$(PY) tools/host_coverage.py --reset
	DRSL_HOST_VARIANT=coverage $(PY) -m pytest $(KERNEL_TESTS) $(PYTEST_ARGS)
	$(PY) tools/host_coverage.py --missing --least 90

report: build  ## registers, shared memory, spills, opcodes of each kernel; needs no GPU
	@$(PY) tools/kernel_report.py $(REPORT_ARGS)

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
