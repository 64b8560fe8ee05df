"""Every loss with the same seeds and the same training, and a page that shows what came of it.

python examples/reid/demo.py: trains on drawn pedestrians for about three minutes on two cores, then writes
runs/demo/report.html. Interrupted, it keeps what is finished and goes on there the next time.
"""

import argparse
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path

import data
import report
from experiments import budget, conduct, network
from experiments.line import Line, clock
from experiments.machine import described
from report import results
from training import losses
from training.interrupt import Stopped

NAMES = {
    "drsl": "DRSL",
    "fidi": "FIDI",
    "smooth_ap": "Smooth-AP",
    "triplet": "Batch-hard triplet",
    conduct.ID_ALONE: "ID loss alone",
}
BATCH = (16, 4)
RATIOS = ((8, 8), BATCH, (32, 2))  # of equal size
RATIO_LOSSES = ("drsl", "triplet")
EPOCHS = 10
SECONDS = 150  # of training and evaluation; the page, the data and what is imported come on top


def parser():
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument(
        "--out", default="runs/demo", help="folder of results and report.html (runs/demo)"
    )
    made.add_argument(
        "--data", default="synthetic", help="what to train on, as for train.py (synthetic)"
    )
    made.add_argument("--seconds", type=float, default=SECONDS, help=f"for all runs together ({SECONDS}): "
                      "a slow machine does fewer epochs")  # fmt: skip
    made.add_argument(
        "--epochs", type=int, default=EPOCHS, help=f"of each run, if time allows ({EPOCHS})"
    )
    made.add_argument("--seeds", type=int, default=3, help="runs of each loss (3)")
    made.add_argument(
        "--fresh", action="store_true", help="throw away what the folder holds, begin anew"
    )
    made.add_argument("--page-only", action="store_true", help="make the page again, train nothing")
    return made


def main(arguments=None):
    options = parser().parse_args(arguments)
    folder = Path(options.out)
    try:
        for name, least in (("epochs", 1), ("seeds", 1), ("seconds", 0)):
            if not getattr(options, name) >= least:
                raise ValueError(f"--{name} must be at least {least}, got {getattr(options, name)}")
        finished = True
        if not options.page_only:
            finished = run_all(folder, options)
        print(f"report: {report.write(folder)}", flush=True)
    except (ValueError, OSError, ImportError, ArithmeticError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 2
    return 0 if finished else 130


def run_all(folder, options):
    """Trains what is missing. False: it was interrupted."""
    if options.fresh and (folder / "plan.json").exists():
        shutil.rmtree(folder)
    try:
        images = data.load(options.data)
        plan, cost = plan_of(folder, options, images)
        train_missing(folder, images, plan, cost)
    except (Stopped, KeyboardInterrupt):
        print("\ninterrupted: finished runs are kept, the same command goes on", file=sys.stderr)
        if not (folder / "plan.json").exists():
            raise SystemExit(130) from None
        return False
    return True


def asked(options):
    """What makes two comparisons different, as it was asked for."""
    return {name: getattr(options, name) for name in ("data", "seconds", "epochs", "seeds")}


def plan_of(folder, options, images):
    """The plan in the folder, or a new one that fits the time; and what a run costs here."""
    if (folder / "plan.json").exists():
        plan = results.load_plan(folder)
        if plan.asked != asked(options):
            raise ValueError(
                f"{folder} holds a comparison that was asked for otherwise ({told(plan.asked)}): the same "
                "again goes on with it, --fresh begins anew, --out takes another folder"
            )
        return plan, budget.Cost(*plan.cost)
    base = conduct.settings_of("drsl", 0, *BATCH, 1)
    plan = new_plan(options, images, base)
    print("measuring this machine: one epoch", file=sys.stderr, flush=True)
    start = time.perf_counter()
    cost = budget.measure(images, base)
    seconds = options.seconds - (time.perf_counter() - start)
    compared = len(plan.comparison_keys())
    others = len(plan.keys()) - compared
    epochs = cost.epochs_within(seconds, options.epochs, compared, others)
    machine = described()
    plan = replace(
        plan, epochs=epochs, machine=machine, cost=[cost.epoch, cost.evaluation, cost.start]
    )
    save_pictures(folder, images)
    results.save_plan(folder, plan)
    return plan, cost


def told(parts):
    return ", ".join(f"--{key} {value}" for key, value in parts.items())


def new_plan(options, images, base):
    seeds = list(range(options.seeds))
    people, needed = len(images.train.identities.unique()), max(ratio[0] for ratio in RATIOS)
    if people < needed:
        raise ValueError(
            f"--data must have {needed} identities or more to train on, {images.name} has {people}"
        )
    return results.Plan(
        data=f"{images.name}: {len(images.train)} pictures of "
        f"{people} people to learn from, {len(images.query)} queries and "
        f"{len(images.gallery)} gallery pictures of others",
        losses=NAMES,
        seeds=seeds,
        batch=list(BATCH),
        epochs=options.epochs,
        epochs_wanted=options.epochs,
        steps=conduct.steps_an_epoch(images, *BATCH),
        ratios=[list(ratio) for ratio in RATIOS],
        ratio_losses=list(RATIO_LOSSES),
        ratio_seeds=seeds,
        settings={
            "network": network.told(),
            "losses": "the ranking loss and the ID loss (cross-entropy of the identities behind the neck, "
            "labels smoothed), added: what published baselines do",
            "optimiser": f"AdamW, learning rate {base.lr:g} for every loss, warm-up and cosine, weight "
            f"decay {base.weight_decay:g}; no augmentation",
            "options of the losses": "each loss at the defaults of drsl_cuda; none was tuned for this page",
        },
        options={loss: losses.options_of(loss) for loss in NAMES if loss != conduct.ID_ALONE},
        junk_ids=list(images.junk_ids),
        distractor_ids=list(images.distractor_ids),
        asked=asked(options),
    )


def save_pictures(folder, images):
    parts = {}
    for name in ("query", "gallery"):
        split = getattr(images, name)
        parts[name] = conduct.stacked(split)
        parts[f"{name}_ids"] = split.identities.numpy()
        parts[f"{name}_cams"] = split.cameras.numpy()
    results.save_arrays(folder, "pictures", results.Pictures(**parts))


def save_features(folder, name, trainer, images):
    found = results.Features(*conduct.features(trainer, images))
    results.save_arrays(folder, f"features/{name}", found)


def train_missing(folder, images, plan, cost):
    keys = plan.keys()
    left = [key for key in keys if not results.run_path(folder, key).exists()]
    compared = set(plan.comparison_keys())
    total = plan.epochs * plan.steps
    shapes = {
        key: conduct.epochs_of_about(total, images, key.per_batch, key.per_identity) for key in left
    }
    expected = [cost.run(plan.epochs, plan.epochs + 1 if key in compared else 2) for key in left]
    print(
        f"{len(left)} of {len(keys)} runs to do, {plan.epochs} epochs each, about {clock(sum(expected))}",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    line = Line(len(left), expected)
    try:
        for place, key in enumerate(left):
            line.begin(
                place,
                f"{plan.losses[key.loss]} {key.per_batch} × {key.per_identity}, seed {key.seed}",
            )
            settings = conduct.settings_of(*key, shapes[key], every=1 if key in compared else 0)
            pictured = key in compared and key.seed == plan.seeds[0]
            train_one(folder, images, key, settings, line, pictured)
            line.end()
    finally:
        line.clear()


def train_one(folder, images, key, settings, line, pictured):
    def begin(trainer):
        line.show(0, settings.epochs, None)
        if pictured and not (folder / "features/untrained.npz").exists():
            save_features(folder, results.UNTRAINED, trainer, images)

    def on_epoch(record):
        line.show(record["epoch"], settings.epochs, record.get("mAP"))

    outcome = conduct.train(images, settings, begin=begin, on_epoch=on_epoch)
    if pictured:
        save_features(folder, key.loss, outcome.trainer, images)
    loss_ms = (
        None if key.loss == conduct.ID_ALONE else outcome.loss_ms
    )  # it has a ranking loss of weight 0
    results.save_run(folder, results.Run(key, outcome.curve, outcome.step_ms, loss_ms))


if __name__ == "__main__":
    sys.exit(main())
