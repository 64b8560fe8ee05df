"""What this machine does at best: copies, products at our shapes, on a GPU graphs of empty kernels."""

import torch

from bench.floors import LANES
from bench.steps import Forward
from bench.timing import Timer, figures

PRODUCT_SHAPES = {
    "cpu": ((1024, 512), (4096, 512)),
    "cuda": ((1024, 512), (4096, 512), (16384, 512)),
}
KINDS = (  # name, type, precision
    ("float32 highest", torch.float32, "highest"),
    ("float32 high", torch.float32, "high"),
    ("bfloat16", torch.bfloat16, "highest"),
)
BRIEF = 0.05  # seconds of timing, below which the smallest products do
COPIED = {"cpu": 2**28, "cuda": 2**32}  # bytes, beyond any cache


def median_ms(timer, calls, seconds):
    samples = timer.in_turns({name: Forward(call) for name, call in calls.items()}, seconds)
    return {name: figures(pairs)["both"]["median"] for name, pairs in samples.items()}


def copy_rate(timer, device, seconds):
    """Bytes read and written a second."""
    size = COPIED[device] // (8 if seconds < BRIEF else 1)
    if device == "cuda":
        size = min(size, torch.cuda.mem_get_info()[0] // 8)
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.ones_like(source)
    ms = median_ms(timer, {"copy": lambda: target.copy_(source)}, seconds)
    return 2 * size / (ms["copy"] * 1e-3)


def product_rates(timer, device, seconds):
    """[{"product", "size", "kind", "flops"}] of x @ x.T and s @ x."""
    found = []
    for size, dim in PRODUCT_SHAPES[device][: 1 if seconds < BRIEF else None]:
        for kind, dtype, precision in KINDS if device == "cuda" else KINDS[:1]:
            torch.set_float32_matmul_precision(precision)
            x = torch.randn(size, dim, device=device).to(dtype)
            s = torch.randn(size, size, device=device).to(dtype)
            calls = {"x @ x.T": lambda x=x: x @ x.T, "s @ x": lambda x=x, s=s: s @ x}
            for name, ms in median_ms(timer, calls, seconds).items():
                flops = 2 * size * size * dim / (ms * 1e-3)
                found.append({"product": name, "size": size, "kind": kind, "flops": flops})
    torch.set_float32_matmul_precision("highest")
    return found


def empty_graphs(timer, seconds):
    """{number of empty kernels: milliseconds of a graph of them}."""
    graphs = {}
    torch.cuda._sleep(0)
    for count in (1, 3, 4):
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            for _ in range(count):
                torch.cuda._sleep(0)
        graphs[count] = graph
    return median_ms(timer, {count: graph.replay for count, graph in graphs.items()}, seconds)


def lanes():
    """Instructions a second of the plain lanes, by this GPU's multiprocessors and clock."""
    device = torch.cuda.get_device_properties(0)
    clock = getattr(device, "clock_rate", 0) * 1e3  # kHz, where torch tells it
    return device.multi_processor_count * 128 * clock if clock else LANES


def measure(device, seconds):
    timer = Timer(device)
    measured = product_rates(timer, device, seconds / 4)
    best = {}
    for product in measured:
        best[product["kind"]] = max(product["flops"], best.get(product["kind"], 0))
    if "bfloat16" in best:
        best["float16"] = best["bfloat16"]
    rates = {"copy": copy_rate(timer, device, seconds), "products": best, "measured": measured}
    if device == "cuda":
        rates |= {"lanes": lanes(), "empty_graphs_ms": empty_graphs(timer, seconds / 2)}
    return rates
