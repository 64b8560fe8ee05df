"""The parts of a loss, for logging."""

from typing import NamedTuple

from torch import Tensor


class DRSLTerms(NamedTuple):
    """The three errors of DRSL: detached, unweighted, in the reduction and shape of the loss."""

    ranking: Tensor  # mean over positives of N_FP / rank
    sorting: Tensor  # mean over positives of the sorting error above its target
    angle: Tensor  # mean over positives of the angle error


class FIDITerms(NamedTuple):
    """The two sides of FIDI: detached, in the reduction and shape of the loss, which is their sum."""

    positive: Tensor  # from pairs of one identity
    negative: Tensor  # from pairs of two
