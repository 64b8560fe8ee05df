"""The losses in plain PyTorch: any device, any type, slow, hungry for memory, easy to read.

What the native code computes, computed another way, so that the two can be compared. Nothing is
shared with the native code but the check of arguments.
"""

from drsl_cuda.reference.batch_hard_triplet import batch_hard_triplet_loss
from drsl_cuda.reference.drsl import drsl_loss
from drsl_cuda.reference.drsl_row import Hats, drsl_hats, drsl_surrogate, rank_sort
from drsl_cuda.reference.fidi import fidi_loss
from drsl_cuda.reference.pairwise import pairwise_distance_angle
from drsl_cuda.reference.scores import alrp_loss, ap_loss, rank_sort_loss
from drsl_cuda.reference.smooth_ap import smooth_ap_loss

__all__ = [
    "Hats",
    "alrp_loss",
    "ap_loss",
    "batch_hard_triplet_loss",
    "drsl_hats",
    "drsl_loss",
    "drsl_surrogate",
    "fidi_loss",
    "pairwise_distance_angle",
    "rank_sort",
    "rank_sort_loss",
    "smooth_ap_loss",
]
