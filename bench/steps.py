"""What is timed: a step has a forward and, mostly, a backward that takes what forward returned."""

import torch

import drsl_cuda
from drsl_cuda import functional, metrics, reference

MODULES = {
    "drsl": drsl_cuda.DRSLLoss,
    "fidi": drsl_cuda.FIDILoss,
    "smooth_ap": drsl_cuda.SmoothAPLoss,
    "triplet": drsl_cuda.BatchHardTripletLoss,
}
FUNCTIONS = {
    "drsl": "drsl_loss",
    "fidi": "fidi_loss",
    "smooth_ap": "smooth_ap_loss",
    "triplet": "batch_hard_triplet_loss",
}


class Step:
    """A training step's loss: call(*leaves) -> a number with a graph behind it."""

    def __init__(self, call, leaves):
        self.call = call
        self.leaves = [leaf.detach().clone().requires_grad_() for leaf in leaves]

    def forward(self):
        for leaf in self.leaves:
            leaf.grad = None
        return self.call(*self.leaves)

    def backward(self, value):
        value.backward()

    def both(self):
        value = self.forward()
        self.backward(value)
        return value.detach()

    @property
    def gradients(self):
        return [leaf.grad for leaf in self.leaves]


class Forward:
    """Something that has no gradient: a sort, an evaluation, a graph."""

    backward = None

    def __init__(self, call):
        self.forward = call

    def both(self):
        return self.forward()


def leaves_of(case, data):
    if case.kind == "scores":
        return [data.scores]
    return [data.x, data.gallery] if case.both_sides else [data.x]


def targets_of(loss, data):
    """Labels that say how good a positive is are Rank & Sort's alone."""
    return data.targets if loss == "rank_sort" else (data.targets > 0).to(data.targets.dtype)


def on_embeddings(criterion, case, data):
    """The call of a criterion as in training, with a gallery where the case has one."""
    if case.kind == "batch":
        return lambda x: criterion(x, data.labels)
    if case.both_sides:
        return lambda x, r: criterion(x, data.labels, r, data.gallery_labels)
    return lambda x: criterion(x, data.labels, data.gallery, data.gallery_labels)


def on_scores(package, loss, data):
    targets = targets_of(loss, data)
    if loss == "rank_sort":
        return lambda s: sum(package.rank_sort_loss(s, targets))
    if loss == "ap":
        return lambda s: package.ap_loss(s, targets)
    return lambda s: package.alrp_loss(s, targets, data.regression)[0]


def ours(case, loss, data):
    if loss == "evaluate":
        return Forward(lambda: metrics.evaluate(*data))
    if case.kind == "scores":
        return Step(on_scores(functional, loss, data), leaves_of(case, data))
    return Step(on_embeddings(MODULES[loss](), case, data), leaves_of(case, data))


def plain(case, loss, data):
    """The reference, eagerly."""
    if loss == "evaluate":
        return Forward(lambda: metrics.evaluate(*data, backend="reference"))
    if case.kind == "scores":
        return Step(on_scores(reference, loss, data), leaves_of(case, data))
    function = getattr(reference, FUNCTIONS[loss])
    return Step(on_embeddings(function, case, data), leaves_of(case, data))


def compiled(case, loss, data):
    """torch.compile of the reference."""
    if case.kind == "scores":
        torch._dynamo.config.capture_scalar_outputs = True
        call = on_scores(reference, loss, data)
        return Step(torch.compile(call), leaves_of(case, data))
    function = torch.compile(getattr(reference, FUNCTIONS[loss]))
    return Step(on_embeddings(function, case, data), leaves_of(case, data))
