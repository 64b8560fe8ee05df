"""Losses on scores as their authors published them, from checkouts in a folder (--authors PATH).

    git clone https://github.com/kemaloksuz/RankSortLoss
    git clone https://github.com/cccorn/AP-loss
    git clone https://github.com/kemaloksuz/aLRPLoss

Any of the three may be missing. tools/compare_with_authors.py knows where the losses are in them.
"""

import contextlib
import os
import sys
from pathlib import Path

import torch

from bench.contenders import Contender, add
from bench.steps import Step, leaves_of, targets_of

FOLDER = "DRSL_BENCH_AUTHORS"  # an environment variable, so that worker processes know too
FILES = {
    "rank_sort": ("RankSortLoss", "mmdet/models/losses/ranking_losses.py", "RankSort"),
    "ap": ("AP-loss", "lib/model/aploss.py", "AP_loss"),
    "alrp": ("aLRPLoss", "mmdet/models/losses/alrp_loss.py", "aLRPLoss"),
}


def checkout(loss):
    return Path(os.environ.get(FOLDER, ""), FILES[loss][0])


def absent(loss):
    def why():
        if not os.environ.get(FOLDER):
            return "no checkouts were named (--authors)"
        if not checkout(loss).is_dir():
            return f"there is no {checkout(loss)}"
        return None

    return why


def published(loss):
    sys.path.append(str(Path(__file__).resolve().parents[1] / "tools"))
    from compare_with_authors import load

    (found,) = load(checkout(loss), *FILES[loss][1:])
    return found


@contextlib.contextmanager
def staying_on(device):
    """Their buffers are torch.zeros(...).cuda()."""
    cuda = torch.Tensor.cuda
    if torch.device(device).type != "cuda":
        torch.Tensor.cuda = lambda tensor, *_, **__: tensor
    try:
        yield
    finally:
        torch.Tensor.cuda = cuda


class _Ap(torch.autograd.Function):
    """Theirs returns the gradient with the loss, and their trainer hands it on."""

    @staticmethod
    def forward(ctx, scores, targets, function):
        gradient, loss = function(scores, targets)
        ctx.save_for_backward(gradient)
        return loss.reshape(())

    @staticmethod
    def backward(ctx, upstream):
        return ctx.saved_tensors[0] * upstream, None, None


def build(case, loss, data):
    theirs, targets = published(loss), targets_of(loss, data)

    def call(scores):
        with staying_on(scores.device):
            if loss == "ap":
                return _Ap.apply(scores, targets, theirs)
            if loss == "alrp":
                return theirs.apply(scores, targets, data.regression, 1.0)[0]
            return sum(theirs.apply(scores, targets, 0.5))

    return Step(call, leaves_of(case, data))


for _loss in FILES:
    add(
        Contender(
            f"authors-{_loss.replace('_', '-')}", "authors' code", build, (_loss,), ("scores",),
            installed=absent(_loss),
        )
    )  # fmt: skip
