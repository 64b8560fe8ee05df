"""The losses in plain PyTorch: any device, any type, slow, hungry for memory, easy to read.

What the native code computes, computed another way, so that the two can be compared. Nothing is
shared with the native code but the check of arguments.
"""

from drsl_cuda.reference.drsl import drsl_loss
from drsl_cuda.reference.drsl_row import Hats, drsl_hats, drsl_surrogate, rank_sort
from drsl_cuda.reference.pairwise import pairwise_distance_angle
from drsl_cuda.reference.scores import alrp_loss, ap_loss, rank_sort_loss

__all__ = [
    "Hats",
    "alrp_loss",
    "ap_loss",
    "drsl_hats",
    "drsl_loss",
    "drsl_surrogate",
    "pairwise_distance_angle",
    "rank_sort",
    "rank_sort_loss",
]
