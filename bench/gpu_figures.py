"""What is asked of our step on a GPU beside its time: kernels, a graph of it, the least a step costs."""

import torch

from bench import launches
from bench.steps import Forward


def replay(step):
    """The step as a CUDA graph."""
    leaves = step.leaves

    def once():
        return torch.autograd.grad(step.call(*leaves), leaves)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            once()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = once()
    keep = (step, result)
    return Forward(lambda: (graph.replay(), keep)[0])


class _ThreeLaunches(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        for _ in range(3):
            torch.cuda._sleep(0)
        return x.new_empty(())

    @staticmethod
    def backward(ctx, upstream):
        return None


def nothing(leaf):
    """What Python, autograd and three empty launches take: the least that a step can."""
    leaf = leaf.detach().clone().requires_grad_()
    return Forward(lambda: _ThreeLaunches.apply(leaf).backward())


def of(step, row):
    """{name: step} to be timed in turns with the others; kernels and failures go into the row."""
    row["kernels"] = launches.kernels(step.both)
    row["launches"] = sum(kernel["launches"] for kernel in row["kernels"])
    row["ours_of_launches"] = sum(k["launches"] for k in row["kernels"] if k["ours"])
    more = {"nothing": nothing(step.leaves[0])}
    try:
        more["graph"] = replay(step)
    except RuntimeError as error:
        row["graph_failed"] = str(error).splitlines()[0]
    return more
