"""Makes helpers, and the packages of the example, importable by name under every import mode; the devices."""

import gc
import signal
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))
# as in a run of one of its commands
sys.path.append(str(Path(__file__).parent.parent / "examples" / "reid"))

import cpu_variant

# Where Ctrl-C is ignored, as by a shell's jobs in the background, children would ignore it too, and tests
# send it to some.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if cpu_variant.VARIANT:  # make cpu-sanitized, make cpu-races
    cpu_variant.load()


def pytest_addoption(parser):
    parser.addoption(
        "--on-host-threads",
        choices=("forward", "reverse", "shuffle", "warp"),
        help="what would run on the CPU is run by the CUDA kernels, threads in this order",
    )


def pytest_collection_modifyitems(config, items):
    """Without a GPU the tests that need one are "deselected": a number, where skips are lines."""
    gc.freeze()  # the tests themselves, a million objects, would be gone through again and again
    if not torch.cuda.is_available():
        left_out = [item for item in items if item.get_closest_marker("cuda")]
        items[:] = [item for item in items if not item.get_closest_marker("cuda")]
        config.hook.pytest_deselected(items=left_out)


@pytest.fixture(scope="session", autouse=True)
def kernels_in_place_of_the_cpu(request):
    """See on_host_threads.py."""
    order = request.config.getoption("--on-host-threads")
    if order is None:
        yield
        return
    from on_host_threads import on_host_threads

    with on_host_threads(order):
        yield


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.cuda)])
def device(request):
    """Every test that takes it runs on the CPU and, where there is one, on the GPU."""
    return torch.device(request.param)


@pytest.fixture
def on_kernels(request, device):
    """Whether native code on this device is the CUDA kernels, on a GPU or on host threads."""
    return device.type == "cuda" or request.config.getoption("--on-host-threads") is not None


@pytest.fixture
def two_threads():
    """Some tests need more than one thread to mean anything; restores the number afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def one_thread():
    """Small tensors are quicker by one on a busy machine, and a forked child has no other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
