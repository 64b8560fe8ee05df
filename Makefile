# make demo, make test: everything from a fresh clone; `make help` lists the rest.
#
# By default the tools live in .venv and are downloaded once. To use an environment as it is, with
# nothing downloaded and nothing installed into it:  make test PYTHON=/path/to/python VENV=

PYTHON ?= python3
VENV ?= .venv
PYTEST_ARGS ?=
export DRSL_STRICT ?= 1
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
.PHONY: help environment build demo test lint format audit package wheel lock matrix mutants clean bench gpu \
	report cpu-sanitized cpu-races fuzz fuzz-problems host host-sanitized host-coverage

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 17

# Kernels take minutes to compile: only for a GPU, or where they have been compiled before.
DEMO_CUDA = $(if $(wildcard /dev/nvidiactl build/temp-*/csrc/cuda),auto,off)
DEMO_ARGS ?=
demo: $(ENVIRONMENT)  ## builds and checks, trains with every loss, writes runs/demo/report.html; 6 minutes
	DRSL_CUDA=$${DRSL_CUDA:-$(DEMO_CUDA)} $(PY) setup.py --quiet build_ext --inplace
	PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" $(PY) -m drsl_cuda
	PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" $(PY) examples/reid/demo.py $(DEMO_ARGS)

test: build $(EDITABLE)  ## all tests; PYTEST_ARGS="-k drsl -x" for some
	$(PY) -m pytest $(PYTEST_ARGS)

build: $(ENVIRONMENT)  ## the extension, in place; compiles what changed
	$(PY) setup.py --quiet build_ext --inplace

lint: $(ENVIRONMENT)  ## style of Python and C++, and types; changes nothing
	$(PY) -m ruff check
	$(PY) -m ruff format --check
	$(PY) -m mypy
	$(CLANG_FORMAT) --dry-run -Werror $(NATIVE)

format: $(ENVIRONMENT)  ## rewrites what lint would complain about, where it can
	$(PY) -m ruff check --fix
	$(PY) -m ruff format
	$(CLANG_FORMAT) -i $(NATIVE)

audit: build  ## the library needs nothing but torch's stable ABI
	$(PY) tools/check_abi.py

# Into .venv goes what the benchmark can do without; an environment of yours stays as it is.
bench: build $(EDITABLE)  ## the benchmark, half an hour; BENCH_ARGS=--quick a minute, bench/README.md the rest
	$(if $(ENVIRONMENT),$(PY) -m bench.install)
	$(PY) -m bench $(BENCH_ARGS)

gpu:  ## with a GPU and nothing else: builds, tests, sanitizer, benchmark, in 8 minutes
	@$(PYTHON) tools/gpu $(GPU_ARGS)

# The CPU engine once more, for sanitizers: tests that go to its limits, and calls that a fuzzer found.
CPU_TESTS := $(addprefix tests/test_,operator_calls.py refusals.py degenerate.py extremes.py layouts.py \
	losses_degenerate.py redistribute.py rank_sort.py scores.py metrics.py)
# Libraries that have to be there before all others. libstdc++ as well: AddressSanitizer looks for the
# function that throws before Python loads it.
preload = LD_PRELOAD="$$($(CXX) -print-file-name=$(1)) $$($(CXX) -print-file-name=libstdc++.so)"
ADDRESS := ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=4096 \
	UBSAN_OPTIONS=print_stacktrace=1 OMP_WAIT_POLICY=passive
# What a sanitizer says goes past what pytest captures. ThreadSanitizer wants memory where it looks for it.
# When a process ends torch unlocks a mutex of its own that is gone: hence report_mutex_bugs=0 below.
fixed_addresses = $(shell setarch -R true 2>/dev/null && echo setarch -R)

cpu-sanitized: build $(EDITABLE)  ## the CPU engine under AddressSanitizer and UBSan
	$(PY) tools/build_cpu.py address
	$(call preload,libasan.so) $(ADDRESS) DRSL_CPU_VARIANT=address \
	$(PY) -m pytest --capture=sys -k "not reference and not cuda" $(CPU_TESTS) $(PYTEST_ARGS)

cpu-races: build $(EDITABLE)  ## many Python threads in the CPU engine at once under ThreadSanitizer
	$(PY) tools/build_cpu.py thread
	$(call preload,libtsan.so) DRSL_CPU_VARIANT=thread OMP_WAIT_POLICY=passive \
	TSAN_OPTIONS="suppressions=$(CURDIR)/tests/races.txt halt_on_error=1 report_mutex_bugs=0" \
	$(fixed_addresses) $(PY) -m pytest --capture=sys -m races tests/test_threads.py $(PYTEST_ARGS)

fuzz: build $(EDITABLE)  ## a coverage-guided fuzzer on the operators (clang); FUZZ_ARGS="-max_total_time=600"
	$(PY) tools/fuzz_operators.py $(FUZZ_ARGS)

# Without a GPU: g++ compiles the kernels, whose threads take turns. `make test` runs the first of these.
KERNEL_TESTS := $(addprefix tests/test_host_,kernels.py losses.py metrics.py refusals.py scores.py)
OPERATOR_TESTS := $(addprefix tests/test_,drsl.py pairwise.py redistribute.py rank_sort.py \
	degenerate.py extremes.py properties.py gradients.py scores.py)

fuzz-problems: build $(EDITABLE)  ## the fuzz tests, at random and for long; FUZZ_TIMES=100 FUZZ_SEED=...
	HYPOTHESIS_PROFILE=long $(PY) -m pytest $(wildcard tests/test_*fuzz*.py) $(PYTEST_ARGS)

host: build $(EDITABLE)  ## the operators' tests, run by the CUDA kernels on host threads; HOST_ORDER=warp
	$(PY) -m pytest --on-host-threads=$(HOST_ORDER) -k "not reference" $(OPERATOR_TESTS) $(PYTEST_ARGS)

host-sanitized: build $(EDITABLE)  ## kernels on host threads under AddressSanitizer and UBSan
	$(PY) tools/build_host.py sanitized
	$(call preload,libasan.so) $(ADDRESS) DRSL_HOST_VARIANT=sanitized \
	$(PY) -m pytest --capture=sys -m sanitized $(KERNEL_TESTS) $(PYTEST_ARGS)

host-coverage: build $(EDITABLE)  ## kernels on host threads, and which of their lines were run
	$(PY) tools/host_coverage.py --reset
	DRSL_HOST_VARIANT=coverage $(PY) -m pytest $(KERNEL_TESTS) $(PYTEST_ARGS)
	$(PY) tools/host_coverage.py --missing --least 90

report: build  ## registers, shared memory, spills, opcodes of each kernel; needs no GPU
	@$(PY) tools/kernel_report.py $(REPORT_ARGS)

wheel: $(ENVIRONMENT)  ## sdist, and the wheel built from it, in dist/
	$(PY) -m build --no-isolation

lock:  ## requirements/*.lock from requirements/*.txt: versions and hashes; needs uv
	$(PYTHON) tools/lock.py $(LOCK_ARGS)

matrix:  ## every torch, Python, compiler and way to install (docs/compatibility.md); hours, downloads
	@$(PYTHON) tools/matrix $(MATRIX_ARGS)

mutants: build  ## flips operators and constants, and sees whether a test notices; MUTANT_ARGS="--sample 100"
	@$(PY) tools/mutate run $(MUTANT_ARGS)

clean:  ## removes what was built; .venv stays
	rm -rf build dist *.egg-info drsl_cuda/_C.*.so
	find . -path ./.venv -prune -o -name __pycache__ -exec rm -rf {} +

environment: $(ENVIRONMENT)  ## .venv with the pinned development requirements

# Every file that is installed has its hash in a lock. Where there is a torch without CUDA it is taken;
# the other asks for gigabytes of libraries besides.
LOCKS := $(addprefix requirements/,cpu.lock dev.lock cuda.lock)
INSTALL = $(PY) -m pip install --quiet --no-deps --require-hashes -r
$(VENV)/.environment: $(LOCKS)
	@$(PYTHON) -c 'import sys; sys.exit("drsl_cuda needs Python 3.10 or later: \
	name one with make PYTHON=/path/to/python3." if sys.version_info < (3, 10) else 0)'
	@echo "Setting up $(VENV): downloads torch and the tools, once."
	$(PYTHON) -m venv $(VENV)
	@$(INSTALL) requirements/cpu.lock 2>$(VENV)/.no-cpu-torch || true
	$(INSTALL) requirements/dev.lock
	@! $(PY) -m pip check | grep -q '^torch .* requires' || $(INSTALL) requirements/cuda.lock
	@touch $@

# After the build, whose objects it reuses, so that drsl_cuda imports from every folder.
$(VENV)/.editable: pyproject.toml setup.py $(VENV)/.environment | build
	$(PY) -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@
