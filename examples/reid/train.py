"""Trains one model: python examples/reid/train.py --data market1501:PATH --loss drsl --id-loss"""

import argparse
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import torch

from training import losses, ranks
from training.checkpoint import WriteError
from training.interrupt import Stopped
from training.loop import Trainer
from training.settings import Settings
from training.step import NotFinite

HELP = {
    "data": "synthetic, digits, folder:PATH, market1501:PATH, msmt17:PATH, dukemtmc:PATH, veri776:PATH",
    "height": "of the images (the data set's own)",
    "width": "of the images (the data set's own)",
    "data_seed": "of data that are drawn or split by chance",
    "model": "small, resnet50 (torchvision), vit_small (timm)",
    "weights": "a file to take the backbone's weights from; nothing is downloaded",
    "loss": ", ".join(losses.NAMES),
    "loss_weight": "of the ranking loss",
    "id_loss": "cross-entropy of the identities behind the neck as well",
    "id_weight": "of the identity loss",
    "label_smoothing": "of the identity loss",
    "epochs": "times that every image comes up, at least",
    "per_batch": "identities in a batch of one process",
    "per_identity": "images of each",
    "augment": "flip, shift and erase",
    "optimizer": "adam (AdamW), sgd (momentum 0.9)",
    "lr": "learning rate after the warm-up; it falls in a cosine",
    "weight_decay": "of weights with two dimensions or more",
    "warmup": "epochs from a tenth of the learning rate to all of it",
    "final_lr": "part of the learning rate that is left at the end",
    "amp": "mixed precision: bfloat16 on a CPU, float16 with loss scaling on a GPU",
    "max_seconds": "of training; the learning rate then follows the clock",
    "seed": "of weights, batches and augmentation",
    "workers": "processes that load images; 0: this one does",
    "evaluate_every": "epochs; 0: after the last one only",
}
_OPTIONAL = {"height": int, "width": int, "weights": str, "max_seconds": float}


def parser():
    result = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    for one in fields(Settings):
        if one.name == "loss_options":
            continue
        flag, default = "--" + one.name.replace("_", "-"), one.default
        options = {"help": HELP.get(one.name, ""), "default": default}
        if isinstance(default, bool):
            options["action"] = argparse.BooleanOptionalAction
        else:
            options["type"] = _OPTIONAL.get(one.name) or type(default)
            options["metavar"] = "X"
            shown = default is not None and default is not MISSING and one.name != "data"
            options["help"] += f" ({default})" if shown else ""
        if one.name == "data":
            options["required"] = True
        result.add_argument(flag, **options)
    group = result.add_argument_group("options of the loss")
    for name, (default, whose) in _loss_options().items():
        flag, told = "--" + name.replace("_", "-"), f"{', '.join(whose)} ({default})"
        if isinstance(default, bool):
            group.add_argument(flag, action=argparse.BooleanOptionalAction, help=told)
        else:
            kind = _margin if name == "margin" else float
            group.add_argument(flag, type=kind, metavar="X", help=told)
    result.add_argument("--out", default="runs/train", help="folder of the run (runs/train)")
    result.add_argument(
        "--resume", action="store_true", help="go on from OUT/last.pt if there is one"
    )
    result.add_argument("--threads", type=int, metavar="X", help="of the CPU (torch's choice)")
    result.add_argument("--device", default="auto", help="auto, cpu, cuda (auto)")
    return result


def _loss_options():
    """{option: (default, losses that have it)} of all losses."""
    found = {}
    for loss in losses.NAMES:
        for name, default in losses.options_of(loss).items():
            found.setdefault(name, (default, []))[1].append(loss)
    return found


def _margin(text):
    return None if text == "soft" else float(text)


def settings_of(given):
    """Settings from parsed arguments; options of the loss are those that were given."""
    chosen = list(sys.argv[1:]) if given is None else given
    named = {word.split("=")[0].removeprefix("--no-").removeprefix("--") for word in chosen}
    arguments = parser().parse_args(chosen)
    options = {
        name: getattr(arguments, name)
        for name in _loss_options()
        if name.replace("_", "-") in named
    }
    own = {f.name: getattr(arguments, f.name) for f in fields(Settings) if f.name != "loss_options"}
    return Settings(**own, loss_options=options), arguments


def main(given=None):
    """Exit status: 0, 1 where training had to end, 2 for what was asked wrongly, 130 after Ctrl-C."""
    try:
        settings, arguments = settings_of(given)
        if arguments.threads is not None:
            if arguments.threads < 1:
                raise ValueError(f"--threads must be at least 1, got {arguments.threads}")
            torch.set_num_threads(arguments.threads)
        device = ranks.device_of(arguments.device)
        ranks.join(device)
        import data

        loaded = data.load(
            settings.data, height=settings.height, width=settings.width, seed=settings.data_seed
        )
        trainer = Trainer(
            loaded, settings, arguments.out, resume=arguments.resume, device=arguments.device
        )
    except (ValueError, TypeError, ImportError, OSError) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 2
    try:
        trainer.run()
    except Stopped as stopped:
        if trainer.ranks.first:
            print(stopped, file=sys.stderr)
        return 130
    except (WriteError, NotFinite) as error:
        print(f"train.py: {error}", file=sys.stderr)
        return 1
    finally:
        ranks.leave()
    if trainer.best and trainer.ranks.first:
        best = trainer.best
        print(
            f"best: epoch {best['epoch']}, mAP {100 * best['mAP']:.2f} %, "
            f"rank-1 {100 * best['rank1']:.2f} %: {Path(arguments.out) / 'best.pt'}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
