"""What this GPU does at best: copies, products at our shapes, graphs of empty kernels."""

import torch

PRODUCT_SHAPES = ((1024, 512), (4096, 512), (16384, 512))


def copy_rate(timer, seconds):
    """Bytes read and written a second."""
    size = min(2**32, torch.cuda.mem_get_info()[0] // 8)
    source = torch.empty(size, dtype=torch.uint8, device="cuda").random_()
    target = torch.empty_like(source)
    times = timer.in_turns({"copy": lambda: target.copy_(source)}, seconds)
    return 2 * source.numel() / (times["copy"]["median"] * 1e-3)


def product_rates(timer, seconds):
    """[{"product", "type", "flops"}] of x @ x.T and s @ x."""
    found = []
    for size, dim in PRODUCT_SHAPES:
        for kind, dtype, precision in (
            ("float32", torch.float32, "highest"),
            ("TF32", torch.float32, "high"),
            ("bfloat16", torch.bfloat16, "highest"),
        ):
            torch.set_float32_matmul_precision(precision)
            x = torch.randn(size, dim, device="cuda").to(dtype)
            s = torch.randn(size, size, device="cuda").to(dtype)
            functions = {"x @ x.T": lambda x=x: x @ x.T, "s @ x": lambda x=x, s=s: s @ x}
            times = timer.in_turns(functions, seconds)
            for name, taken in times.items():
                flops = 2 * size * size * dim / (taken["median"] * 1e-3)
                found.append({"product": name, "size": size, "type": kind, "flops": flops})
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
    times = timer.in_turns({count: graph.replay for count, graph in graphs.items()}, seconds)
    return {count: taken["median"] for count, taken in times.items()}


def measure(timer):
    return {
        "copy_bytes_per_second": copy_rate(timer, 0.3),
        "products": product_rates(timer, 0.1),
        "empty_graphs_ms": empty_graphs(timer, 0.2),
    }
