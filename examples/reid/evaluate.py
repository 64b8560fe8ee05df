"""mAP, mINP and Rank-k of a checkpoint, or of saved features:

python examples/reid/evaluate.py runs/train/best.pt --data market1501:PATH
python examples/reid/evaluate.py --features features.npz --json
"""

import argparse
import sys

from training import features, model, ranks
from training.checkpoint import load
from training.evaluation import evaluation, numbers
from training.log import line
from training.settings import Settings


def parser():
    result = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = result.add_argument
    add("checkpoint", nargs="?", help="best.pt or last.pt of a run")
    add("--data", metavar="NAME", help="what to evaluate on (the run's own data)")
    add("--features", metavar="FILE", help="an .npz in place of checkpoint and data")
    add("--save-features", metavar="FILE", help="write the features as an .npz")
    add("--before-neck", action="store_true", help="retrieve by what the ranking loss sees")
    add("--json", action="store_true", help="one JSON object on stdout, nothing else")
    add("--batch", type=int, default=256, metavar="N", help="images at a time (256)")
    add("--workers", type=int, default=0, metavar="N", help="processes that load images (0)")
    add("--device", default="auto", help="auto, cpu, cuda (auto)")
    return result


def model_of(checkpoint, device):
    """The trained model of a checkpoint, ready to extract features."""
    saved = load(checkpoint, ("settings", "classes", "size", "model"))
    settings = Settings.from_dict(saved["settings"])
    net = model.build(settings.model, classes=saved["classes"], size=tuple(saved["size"]))
    try:
        net.load_state_dict(saved["model"])
    except RuntimeError as error:
        told = " ".join(str(error).split())[:300]
        raise ValueError(f"{checkpoint} does not hold a {settings.model}: {told}") from error
    return net.to(device).eval(), settings, tuple(saved["size"])


def found_of(arguments):
    """Features, identities and cameras, from wherever the command line says."""
    if (arguments.checkpoint is None) == (arguments.features is None):
        raise ValueError("give a checkpoint or --features FILE, one of the two")
    if arguments.features is not None:
        for name in ("data", "save_features", "before_neck"):
            if getattr(arguments, name):
                flag = name.replace("_", "-")
                raise ValueError(f"--{flag} goes with a checkpoint, not with --features")
        return features.read_features(arguments.features)
    for name, least in (("batch", 1), ("workers", 0)):
        if getattr(arguments, name) < least:
            raise ValueError(f"--{name} must be at least {least}, got {getattr(arguments, name)}")
    net, settings, size = model_of(arguments.checkpoint, ranks.device_of(arguments.device))
    import data

    loaded = data.load(
        arguments.data or settings.data, height=size[0], width=size[1], seed=settings.data_seed
    )
    options = {"batch": arguments.batch, "workers": arguments.workers}
    found = features.of_data(net, loaded, before_neck=arguments.before_neck, **options)
    if arguments.save_features is not None:
        features.save_features(arguments.save_features, found)
    return found


def main(given=None):
    arguments = parser().parse_args(given)
    try:
        result = evaluation(found_of(arguments), progress=sys.stderr.isatty())
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"evaluate.py: {error}", file=sys.stderr)
        return 2
    if arguments.json:
        counted = {"queries": int(result.valid.sum()), "of": len(result.valid)}
        sys.stdout.write(line(numbers(result) | counted))
    else:
        print(result)
    return 0


if __name__ == "__main__":
    sys.exit(main())
