"""The one validator of arguments.

Every function here returns what it was given, checked, or raises: TypeError for a thing of the
wrong kind, ValueError for one of the right kind that does not fit. A message names the argument,
what was wanted and what came. The plain call pays for this on every training step, so the checks
that pass are a few attribute reads and the messages are built only on the way out.

Nothing here reads the values of a tensor, with two exceptions, on CPU, outside of a trace: the range
of `self_index`, and how many `regression_losses` there should be. So the checks can be traced with
dynamic shapes and never stop a device. An evaluation is no training step: `finite_rows` looks.
"""

from drsl_cuda._check.embeddings import distance_problem, embedding_problem, pair
from drsl_cuda._check.evaluation import evaluation_problem, finite_rows
from drsl_cuda._check.options import choice, flag, identities, margin, no_terms, number, whole
from drsl_cuda._check.scores import regression_losses, score_problem
from drsl_cuda._check.tensors import FLOATING, INTEGER, kind

__all__ = [
    "FLOATING",
    "INTEGER",
    "choice",
    "distance_problem",
    "embedding_problem",
    "evaluation_problem",
    "finite_rows",
    "flag",
    "identities",
    "kind",
    "margin",
    "no_terms",
    "number",
    "pair",
    "regression_losses",
    "score_problem",
    "whole",
]
