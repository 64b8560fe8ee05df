"""Fast ranking losses for embedding learning, re-identification first."""

from importlib.metadata import PackageNotFoundError, version

from drsl_cuda import functional, metrics, reference
from drsl_cuda._plan import build_info, explain
from drsl_cuda.losses import BatchHardTripletLoss, DRSLLoss, FIDILoss, SmoothAPLoss
from drsl_cuda.memory_bank import MemoryBank
from drsl_cuda.score_losses import ALRPLoss, APLoss, RankSortLoss
from drsl_cuda.terms import DRSLTerms, FIDITerms

__all__ = [
    "ALRPLoss",
    "APLoss",
    "BatchHardTripletLoss",
    "DRSLLoss",
    "DRSLTerms",
    "FIDILoss",
    "FIDITerms",
    "MemoryBank",
    "RankSortLoss",
    "SmoothAPLoss",
    "build_info",
    "explain",
    "functional",
    "metrics",
    "reference",
]

try:
    __version__ = version("drsl_cuda")
except PackageNotFoundError:  # used from a source tree that was never installed
    __version__ = build_info()["version"]
