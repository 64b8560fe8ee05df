"""python -m bench: kernel against reference, peers and the physical limit. bench/README.md has it all."""

import argparse
import secrets
import sys
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
OTHERWISE = Path("runs/bench")  # where a run goes that is not about everything
QUICK = {"budget": 0.7, "seconds": 0.1, "patience": 12.0}
FULL = {"budget": 25.0, "seconds": 1.0, "patience": 60.0}


def parse(arguments):
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    what = parser.add_argument_group("what")
    what.add_argument("--quick", action="store_true", help="some cases, within a minute")
    what.add_argument(
        "--case", nargs="+", default=[], metavar="CASE", help="names or patterns: scores-*"
    )
    what.add_argument("--loss", nargs="+", default=[], metavar="LOSS")
    what.add_argument(
        "--against", nargs="+", default=[], metavar="NAME", help="contenders beside ours, or none"
    )
    what.add_argument(
        "--list", action="store_true", help="cases, losses and contenders; runs nothing"
    )
    what.add_argument("--authors", metavar="FOLDER", help="with checkouts of losses on scores")
    what.add_argument("--with", dest="modules", nargs="+", default=[], metavar="MODULE",
                      help="modules that add contenders of yours")  # fmt: skip
    how = parser.add_argument_group("how")
    how.add_argument("--device", choices=("cpu", "cuda"), help="default: a GPU where there is one")
    how.add_argument("--threads", type=positive_whole, help="default: those that torch takes")
    how.add_argument("--budget", type=positive, metavar="MINUTES", help="default: 25, quick 0.7")
    how.add_argument("--seconds", type=positive, help="of timing, a job; default: 1, quick 0.1")
    how.add_argument("--patience", type=positive, metavar="SECONDS", help="with a job; default: 60")
    how.add_argument(
        "--memory", type=positive, default=8.0, metavar="GIB", help="of a job; default: 8"
    )
    how.add_argument("--seed", type=int, help="of the inputs; default: a new one")
    how.add_argument("--resume", action="store_true", help="go on with a run that was cut off")
    how.add_argument("--out", type=Path, metavar="FOLDER", help="default: bench/results/DEVICE, or "
                     "runs/bench/DEVICE for a run that is not about everything")  # fmt: skip
    then = parser.add_argument_group("with what was measured")
    then.add_argument(
        "--profile", action="store_true", help="a trace (chrome) of each case, no times"
    )
    then.add_argument("--compare", nargs="+", metavar="FILE", type=Path,
                      help="OLD.json: runs and says what got slower; or OLD.json NEW.json")  # fmt: skip
    then.add_argument(
        "--redraw", type=Path, metavar="FOLDER", help="report and plots anew, from its results"
    )
    then.add_argument(
        "--readme", action="store_true", help="README's figures anew, from committed results"
    )
    then.add_argument("--check", action="store_true", help="with --readme: 1 if they are not those")
    options = parser.parse_args(arguments)
    if options.check and not options.readme:
        parser.error("--check goes with --readme")
    if options.compare and len(options.compare) > 2:
        parser.error("--compare takes one file or two")
    for name, value in (QUICK if options.quick else FULL).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


def positive(text):
    value = float(text)
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


def positive_whole(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be 1 or more, got {text}")
    return value


def main(arguments=None):
    options = parse(arguments)
    if options.readme:
        from bench import readme

        return readme.main(check=options.check)
    try:
        return act(options)
    except ValueError as error:  # of cases, contenders, files: a sentence each
        if type(error).__name__ not in ("UnknownName", "Unusable"):
            raise
        print(f"python -m bench: {error}", file=sys.stderr)
        return 2


def act(options):
    import importlib

    import torch

    from bench import cases, compare, contenders, report

    if options.compare and len(options.compare) == 2:
        return compare.files(*options.compare)
    if options.redraw:
        return report.write_all(options.redraw)
    if options.device is None:
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.device == "cuda" and not torch.cuda.is_available():
        raise cases.UnknownName("torch finds no CUDA device here; --device cpu needs none")
    for module in options.modules:
        importlib.import_module(module)
    if options.list:
        return listing(options.device)
    old = compare.baseline(options.compare[0]) if options.compare else None
    if old is not None:
        compare.narrow(options, old)
    chosen = cases.choose(options.device, options.case, options.loss, options.quick)
    others = contenders.choose(options.against)
    if options.profile:
        from bench import profiling

        return profiling.trace(chosen, options, folder_of(options))
    return measure(options, chosen, others, old)


def folder_of(options):
    from bench import machine

    name = machine.slug(machine.facts(options.device)["device"])
    narrowed = options.quick or options.case or options.loss or options.against or options.modules
    return options.out or (OTHERWISE if narrowed or options.profile else RESULTS) / name


def measure(options, chosen, others, old):
    import torch

    from bench import compare, machine, report, results, run, terminal

    if options.quick and not options.against:
        others = [other for other in others if not other.compiles]
    folder = folder_of(options)
    if options.threads:
        torch.set_num_threads(options.threads)
    seed = options.seed if options.seed is not None else secrets.randbelow(2**31)
    settings = {
        name: getattr(options, name)
        for name in ("quick", "case", "loss", "against", "budget", "seconds", "patience", "memory")
    }
    fresh = results.new(
        machine.facts(options.device, options.threads),
        {**settings, "command": shown(sys.argv[1:]), "seed": seed},
    )
    part = folder / results.PART
    found = fresh
    if options.resume:
        found = results.resume(part, fresh)
    show = terminal.Progress()
    going = run.Run(found, options, chosen, others, part, show)
    try:
        going.everything()
    except KeyboardInterrupt:
        show.warn(f"stopped; what was measured is in {part}, --resume goes on from there")
        return 130
    print(terminal.table(found))
    results.save(found, folder / results.NAME)
    part.unlink()
    report.write_all(folder)
    status = run.status_of(found)
    if old is not None:
        status = max(status, compare.told(old, found))
    return status


def shown(arguments):
    """The command line as others can give it: where a folder lies here is nobody's business."""
    return " ".join(
        "FOLDER" if before == "--authors" else argument
        for before, argument in zip(["", *arguments], arguments, strict=False)
    )


def listing(device):
    from bench import cases, contenders

    print("cases")
    for case in cases.choose(device):
        quick = "  quick" if case.quick else ""
        print(f"  {case.name:<28} {case.full_title}: {', '.join(case.losses)}{quick}")
    print("\ncontenders beside ours, by the losses that they do or stand beside")
    for contender in contenders.choose([]):
        why = contender.absent()
        absent = f"  ({why})" if why else ""
        print(f"  {contender.name:<28} {contender.title}: {', '.join(contender.losses)}{absent}")
    print(f"\nlosses\n  {', '.join(cases.LOSSES)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
