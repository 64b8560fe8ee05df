"""How good a model is at retrieval, by drsl_cuda.metrics."""

from drsl_cuda import metrics
from training.features import of_data

RANKS = (1, 5, 10)


def evaluation(found, progress=False):
    """drsl_cuda.metrics.Evaluation of what features.of_data or features.read_features returned."""
    names = ("query", "query_ids", "query_cams", "gallery", "gallery_ids", "gallery_cams")
    told = {key: found[key] for key in ("junk_ids", "distractor_ids")}
    return metrics.evaluate(*(found[name] for name in names), **told, progress=progress)


def numbers(result):
    """{"mAP", "mINP", "rank1", "rank5", "rank10"} as plain numbers from 0 to 1."""
    at = {f"rank{r}": float(result.cmc[r - 1]) for r in RANKS}
    return {"mAP": result.mAP, "mINP": result.mINP, **at}


def evaluate(model, data, **options):
    """The numbers of a model on query and gallery of a ReidData."""
    return numbers(evaluation(of_data(model, data, **options)))
