"""What is timed against each other, each as a function without arguments."""

import torch

from drsl_cuda import BatchHardTripletLoss, DRSLLoss, FIDILoss, SmoothAPLoss

PRODUCT_BYTES = 2**33  # a result beyond is formed in blocks of rows, the memory used again
OTHERS = {"FIDI": FIDILoss, "Smooth-AP": SmoothAPLoss, "triplet": BatchHardTripletLoss}
REFERENCE_PAIRS = 2**28  # B · n · G: beyond, the reference takes minutes


def step(criterion, x, labels):
    """Forward and backward, as a training step calls them."""
    leaf = x.detach().clone().requires_grad_()

    def run():
        leaf.grad = None
        criterion(leaf, labels).backward()

    return run


def products(x):
    """x @ x.T and s @ x, which any implementation has to pay for, in the type of x."""
    size = x.shape[-2]
    block = max(1, min(size, PRODUCT_BYTES // (size * x.element_size())))
    queries = x[..., :block, :]
    s = torch.rand(*x.shape[:-2], block, size, device=x.device).to(x.dtype)
    gram, gradient = queries @ x.mT, s @ x

    def run():
        for first in range(0, size - block + 1, block):
            torch.matmul(x[..., first : first + block, :], x.mT, out=gram)
        for _ in range(0, size - block + 1, block):
            torch.matmul(s, x, out=gradient)

    return run


def replay(x, labels):
    """Forward and backward of our loss as a CUDA graph."""
    leaf = x.detach().clone().requires_grad_()
    criterion = DRSLLoss()

    def once():
        return torch.autograd.grad(criterion(leaf, labels), leaf)

    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            once()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = once()
    keep = (leaf, labels, result)
    return lambda: (graph.replay(), keep)[0]


class _ThreeLaunches(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        for _ in range(3):
            torch.cuda._sleep(0)
        return x.new_empty(())

    @staticmethod
    def backward(ctx, upstream):
        return None


def nothing(x):
    """What Python, autograd and three empty launches take: the least that a step can."""
    leaf = x.detach().clone().requires_grad_()
    return lambda: _ThreeLaunches.apply(leaf).backward()


def reference_fits(problem):
    return problem.sets * problem.size**2 * problem.positives <= REFERENCE_PAIRS


def reference(x, labels):
    return step(DRSLLoss(backend="reference"), x, labels)
