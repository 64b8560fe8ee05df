"""One training step, in which the loss has a graph of its own so that its time can be told."""

import torch

from training.model import Output
from training.stopwatch import Stopwatch


class Step:
    """step(images, identities, classes) -> {name: 0-dim tensor}; weights are changed by step.update.

    The loss runs forward and backward on detached copies of the model's output; its gradient there then
    goes on through the model. That is the same arithmetic as one backward, and `watch` sees all of the
    loss and nothing else.
    """

    def __init__(self, network, criterion, optimizer, settings, device):
        self.network, self.criterion, self.optimizer = network, criterion, optimizer
        self.device, self.amp = device, settings.amp
        cuda = device.type == "cuda"
        self.half = torch.float16 if cuda else torch.bfloat16
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.amp and cuda)
        self.watch = Stopwatch(device)

    def forward(self, images, identities, classes):
        """The parts of the loss, and what update needs."""
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device.type, self.half, enabled=self.amp):
            output = self.network(images)
        with self.watch:
            leaves = Output(*map(_leaf, output))
            terms = self.criterion(leaves, identities, classes)
            self.scaler.scale(terms.total).backward()
        both = zip(output, leaves, strict=True)
        pairs = [(o, leaf.grad) for o, leaf in both if leaf is not None and leaf.grad is not None]
        return terms.parts, pairs

    def update(self, pairs, lr):
        """The model's backward and a step of the optimizer."""
        outputs, gradients = zip(*pairs, strict=True)
        torch.autograd.backward(outputs, gradients)
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.scaler.step(self.optimizer)
        self.scaler.update()


def _leaf(tensor):
    return None if tensor is None else tensor.detach().requires_grad_(tensor.requires_grad)


def optimizer_of(model, settings):
    """Biases and what normalises are not decayed: they have one dimension."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.dim() > 1], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=settings.lr, momentum=0.9)
    return torch.optim.AdamW(groups, lr=settings.lr)


class NotFinite(ArithmeticError):
    """A loss or a weight became NaN or infinite; training on would be for nothing."""


def refuse_not_finite(values, pairs, epoch, step, lr):
    """NotFinite, with what to look at, unless all values are finite."""
    bad = [name for name, value in values.items() if value != value or abs(value) == float("inf")]
    if not bad:
        return
    outputs = [o.detach() for o, _ in pairs]
    broken = any(not o.isfinite().all() for o in outputs)
    if broken:
        cause = (
            "the model's output is not finite: its weights have run away (a lower --lr, a longer "
            "--warmup) or the images are broken; with --amp try without"
        )
    else:
        length = max((float(o.norm(dim=-1).max()) for o in outputs), default=0.0)
        cause = (
            f"the model's output is finite, its longest row {length:.3g} long: "
            "look at the options of the loss"
        )
    raise NotFinite(
        f"{', '.join(bad)} is not finite at step {step} of epoch {epoch}, learning rate {lr:.3g}; {cause}"
    )


def refuse_broken(model, epoch):
    """NotFinite if a weight or a running mean is."""
    for name, tensor in model.state_dict().items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise NotFinite(
                f"{name} of the model is not finite after epoch {epoch}: try a lower --lr or a "
                "longer --warmup. The checkpoint of the epoch before is as it was"
            )
