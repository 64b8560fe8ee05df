"""Made-up comparisons for the page: their numbers are chosen, their pictures are coloured noise."""

from dataclasses import replace

import numpy as np

from report.results import (
    UNTRAINED,
    Comparison,
    Features,
    Pictures,
    Plan,
    Run,
    save_arrays,
    save_plan,
    save_run,
)

LOSSES = {"drsl": "DRSL", "fidi": "FIDI", "smooth_ap": "Smooth-AP", "triplet": "Batch-hard triplet"}
FINAL = {"drsl": 0.70, "fidi": 0.60, "smooth_ap": 0.50, "triplet": 0.40}
PLAN = Plan(
    data="made-up people",
    losses=LOSSES,
    seeds=[0, 1, 2],
    batch=[8, 8],
    epochs=5,
    epochs_wanted=5,
    steps=17,
    ratios=[[4, 16], [8, 8], [16, 4], [32, 2]],
    ratio_losses=["drsl", "triplet"],
    ratio_seeds=[0, 1],
    settings={"optimiser": "Adam, learning rate 0.001"},
    options={"drsl": {"delta": 0.5}, "triplet": {"margin": 0.3}},
    machine={"processor": "a made-up one, 2 threads"},
)


def scores(value):
    return {"mAP": value, "rank1": min(1.0, 1.2 * value), "mINP": 0.6 * value}


def run(key, final, noise=0.01, before=0.2):
    """A curve from `before` to about `final`; seeds differ by `noise` and all losses go along."""
    shift = noise * (key.seed - 1)
    curve = [{"epoch": 0, "seconds": 0.0, **scores(before + shift)}]
    for epoch in range(1, PLAN.epochs + 1):
        value = before + (final - before) * epoch / PLAN.epochs + shift
        curve.append({"epoch": epoch, "seconds": 0.9 * epoch, **scores(value)})
    return Run(key, curve, 20.0 + len(key.loss) / 10, 0.5)


def pictures(people=6, cameras=3, seed=0):
    """Every person once by each camera as a query, twice in the gallery; two junk, two distractors."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(1, people + 1), cameras)
    cams = np.tile(np.arange(1, cameras + 1), people)
    gallery_ids = np.concatenate([np.repeat(ids, 2), [-1, -1, 0, 0]])
    gallery_cams = np.concatenate([np.repeat(cams, 2), [1, 2, 1, 2]])

    def drawn(count):
        return rng.integers(0, 256, (count, 3, 16, 8), dtype=np.uint8)

    return Pictures(drawn(len(ids)), ids, cams, drawn(len(gallery_ids)), gallery_ids, gallery_cams)


def features(shown, pull, dim=8, seed=0):
    """Noise around a centre for each identity; `pull` says how far centres are apart."""
    rng = np.random.default_rng(seed)
    centres = pull * rng.standard_normal((1 + int(shown.query_ids.max()), dim))

    def of(ids):
        return centres[ids] * (ids > 0)[:, None] + rng.standard_normal((len(ids), dim))

    query, gallery = of(shown.query_ids), of(shown.gallery_ids)
    return Features(query, gallery, gallery + 1.0)


def comparison(finals=None, noise=0.01, plan=PLAN, ratio_loss=None):
    """`finals`: {loss: mAP}. `ratio_loss`: {loss: mAP lost at each step towards more negatives}."""
    finals, ratio_loss = finals or FINAL, ratio_loss or {}
    runs = {}
    for key in plan.keys():
        further = plan.ratios.index([key.per_batch, key.per_identity]) - plan.ratios.index(
            plan.batch
        )
        final = finals[key.loss] - ratio_loss.get(key.loss, 0.0) * further
        runs[key] = run(key, final, noise)
    shown = pictures()
    made = {UNTRAINED: features(shown, 0.3)}
    made |= {loss: features(shown, 3 * value) for loss, value in finals.items()}
    return Comparison(plan, runs, shown, made)


def without(made, *keys):
    return replace(made, runs={key: run for key, run in made.runs.items() if key not in keys})


def save(folder, made):
    """The files that a demonstration would have left."""
    save_plan(folder, made.plan)
    for one in made.runs.values():
        save_run(folder, one)
    save_arrays(folder, "pictures", made.pictures)
    for name, arrays in made.features.items():
        save_arrays(folder, f"features/{name}", arrays)
