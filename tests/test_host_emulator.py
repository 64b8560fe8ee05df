"""The emulator that runs CUDA kernels on host threads: right kernels are right in every order, and of
wrong ones it finds what it promises to find. The kernels are in tests/host."""

import os
import subprocess

import pytest

from on_host_threads import ORDERS, builder

RIGHT = ("row_sums", "scan", "transpose", "late_copies", "collectives", "subset_collectives", "atomics",
         "numbers", "host_threads", "shared_48K", "shared_100K_asked")  # fmt: skip

# Bugs that some order turns into wrong results, and the orders that have to.
RACES = {
    "row_sums_without_barrier": ("forward", "warp"),
    "scan_without_barrier": ("forward", "shuffle", "warp"),
    "transpose_without_barrier": ORDERS,
    "barrier_hidden_by_shuffles": ("warp",),
    "copies_without_wait": ORDERS,
    "copies_without_barrier": ORDERS,
    "unwritten_static": ORDERS,
    "unwritten_dynamic": ORDERS,
}

# Bugs that are refused in every order, and how.
REFUSED = {
    "divergent_barriers": "wait at different barriers",
    "early_return": "misses 1 threads that have returned",
    "mask_without_caller": "leaves out the calling lane",
    "masks_differ": "name different masks",
    "collectives_differ": "meet in different collectives",
    "source_outside_mask": "reads lane 9",
    "missing_lane": "or the block does not have",
    "deadlock": "deadlock",
    "beyond_dynamic": "wrote beyond its dynamic shared memory",
    "shared_49K": "cudaFuncSetAttribute was not asked for",
    "shared_228K": "more than the GPU has",
    "block_of_2048": "a block of 2048 threads",
    "grid_of_none": "a grid of 0 x 1 x 1 blocks",
    "grid_y_65536": "a grid of 1 x 65536 x 1 blocks",
    "launches_unchecked": "not followed by cudaGetLastError",
}

SANITIZED = {
    "out_of_bounds": "heap-buffer-overflow",
    "static_out_of_bounds": "out of bounds for type",
    "stack_out_of_bounds": "stack-buffer-overflow",
    "index_overflow": "signed integer overflow",
    "misaligned": "misaligned address",
    "beyond_dynamic": "use-after-poison",
}


@pytest.fixture(scope="module")
def plain():
    return builder().build("plain", "emulator_test")


@pytest.fixture(scope="module")
def sanitized():
    return builder().build("sanitized", "emulator_test")


def run(program, *arguments):
    environment = builder().without_preloads() | {"ASAN_OPTIONS": "detect_leaks=0"}
    return subprocess.run(
        [program, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        timeout=600,
    )


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_kernel_is_right_in_every_order(name, order, plain):
    assert run(plain, name, order).stdout == "ok\n"


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_kernel_passes_the_sanitizers(name, sanitized):
    assert run(sanitized, name, "shuffle").stdout == "ok\n"


@pytest.mark.parametrize("name, order", [(n, o) for n, orders in RACES.items() for o in orders])
def test_a_race_shows(name, order, plain):
    assert run(plain, name, order).stdout == "wrong\n"


@pytest.mark.parametrize("order", set(ORDERS) - {"warp"})
def test_the_order_by_warps_is_needed(order, plain):
    # A kernel whose missing barrier the other orders cannot see.
    assert run(plain, "barrier_hidden_by_shuffles", order).stdout == "ok\n"


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", REFUSED)
def test_what_no_order_gets_right_is_refused(name, order, plain):
    output = run(plain, name, order).stdout
    assert output.startswith("cuda_on_host: ") and REFUSED[name] in output


@pytest.mark.parametrize("order", ORDERS)
def test_a_lane_that_has_returned_is_waited_for_by_nobody(order, plain):
    output = run(plain, "returned_lane", order).stdout
    assert "names a lane that has returned" in output or "deadlock" in output


@pytest.mark.parametrize("name", SANITIZED)
def test_the_sanitizers_see_into_kernels(name, sanitized):
    assert SANITIZED[name] in run(sanitized, name, "forward").stdout


def test_what_is_refused_leaves_no_poisoned_stack_behind(sanitized):
    # Fibers that are left where they are have redzones on their stacks; the next kernel reuses them.
    assert run(sanitized, "right_after_wrong", "forward").stdout == "ok\n"


def test_the_environment_may_choose_the_order(plain):
    for order, wanted in {"warp": "wrong\n", "forward": "ok\n"}.items():
        environment = os.environ | {"DRSL_HOST_ORDER": order}
        done = subprocess.run([plain, "barrier_hidden_by_shuffles"], capture_output=True, text=True,
                              env=environment, timeout=600)  # fmt: skip
        assert done.stdout == wanted
