"""python bench/gpu.py: how fast a training step's loss is, against what it could be.

Each problem is checked against the reference first, then timed: ours (forward + backward), the same
as a CUDA graph, the two matrix products that any implementation pays for, the reference. Problems
come in the order of their importance, and those that the time does not suffice for are named.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import contenders
import floors
import launches
import rates
import report
import torch
import validate
from problems import FEATURES, FULL, QUICK, batch
from timing import Timer

from drsl_cuda import DRSLLoss, build_info, explain

CLUSTERED_FROM = 1024  # rows; what is smaller is bound by launches, whatever the features
WITHOUT_KERNELS = 1024  # rows that are worth a look where the reference runs in our place


def measure(problem, features, timer, device, seconds):
    """Everything about one problem, as a dict for JSON."""
    torch.set_float32_matmul_precision(problem.precision)
    x, labels = batch(problem, features, device)
    explained = explain(x.requires_grad_(), labels)
    x.requires_grad_(False)
    found = {"path": explained.path, "why": explained.why}
    if explained.path == "reference" and problem.size > WITHOUT_KERNELS:
        return {**found, "state": "not run", "told": explained.why}
    found["errors"] = validate.check(problem, x, labels)
    if not found["errors"]["good"]:
        return {**found, "state": "wrong", "told": report.errors(found["errors"])}

    functions = {
        "ours": contenders.step(DRSLLoss(), x, labels),
        "products": contenders.products(x),
    }
    if timer.on_gpu:
        found["bytes"] = peak_bytes(functions["ours"])
        found["kernels"] = launches.kernels(functions["ours"])
        found["launches"] = sum(kernel["launches"] for kernel in found["kernels"])
        found["ours_of_launches"] = sum(k["launches"] for k in found["kernels"] if k["ours"])
        functions["nothing"] = contenders.nothing(x)
        try:
            functions["graph"] = contenders.replay(x, labels)
        except RuntimeError as error:
            found["graph_failed"] = str(error).splitlines()[0]
    if problem.others:
        functions |= {
            name: contenders.step(loss(), x, labels) for name, loss in contenders.OTHERS.items()
        }
    if contenders.reference_fits(problem):
        functions["reference"] = contenders.reference(x, labels)
    found["ms"] = timer.in_turns(functions, seconds)
    for name in ("ours", "nothing"):
        if name in functions:
            loop = timer.one_after_the_other(functions[name], min(0.2, seconds / 4))
            found["ms"][f"{name}, eager"] = {"median": loop}
    return {**found, **derived(problem, found["ms"]), "state": "measured"}


def peak_bytes(run):
    """What a step holds at most beside its inputs."""
    run()
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def derived(problem, ms):
    seconds = 1e-3 * ms["ours"]["median"]
    stages = floors.stages(problem)
    return {
        "of_products": ms["ours"]["median"] / ms["products"]["median"],
        "floor_ms": 1e3 * floors.total(problem),
        "bytes_per_second": sum(stage.bytes for stage in stages) / seconds,
        "flops": sum(stage.flops for stage in stages) / seconds,
    }


def attempt(problem, features, timer, device, seconds):
    try:
        return measure(problem, features, timer, device, seconds)
    except (RuntimeError, ValueError, TypeError) as error:  # out of memory is a RuntimeError
        return {"state": "failed", "told": f"{type(error).__name__}: {error}".splitlines()[0]}
    finally:
        torch.set_float32_matmul_precision("highest")
        if timer.on_gpu:
            torch.cuda.empty_cache()


def add_compiled(cases, quick, seconds):
    """torch.compile of the reference, in a program of its own that may be stopped."""
    command = [sys.executable, str(Path(__file__).with_name("compiled.py"))]
    try:
        done = subprocess.run(
            [*command, *(["--quick"] if quick else [])],
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        said = (error.stdout or b"").decode()
    except subprocess.CalledProcessError as error:
        said = error.stdout
    else:
        said = done.stdout
    for line in said.splitlines():
        if line.startswith("{"):
            result = json.loads(line)
            for case in cases:
                if case["name"] == result["name"] and case["features"] == "random":
                    case.setdefault("ms", {})["compiled"] = {"median": result["ms"]}


def machine(device):
    info = {"torch": torch.__version__, "build": build_info(), "device": "CPU"}
    if device == "cuda":
        info["device"] = torch.cuda.get_device_name()
        query = ["nvidia-smi", "--query-gpu=clocks.sm,clocks.mem,power.draw", "--format=csv"]
        try:
            info["clocks"] = subprocess.run(
                query, capture_output=True, text=True, timeout=20, check=False
            ).stdout
        except (OSError, subprocess.TimeoutExpired):
            info["clocks"] = None
    return info


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny problems, to try this program")
    parser.add_argument("--budget", type=float, default=120, help="seconds")
    parser.add_argument(
        "--seconds", type=float, help="of timing, a problem; default: by the budget"
    )
    parser.add_argument("--out", type=Path, help="a file for everything, as JSON")
    arguments = parser.parse_args(arguments)
    end = time.monotonic() + arguments.budget
    if arguments.device == "cuda" and not torch.cuda.is_available():
        sys.exit("bench/gpu.py needs a CUDA device; --device cpu --quick tries it without.")

    timer = Timer(arguments.device)
    problems = QUICK if arguments.quick else FULL
    results = {"machine": machine(arguments.device), "rates": None, "cases": []}

    def save():
        report.judge(results["cases"])
        if arguments.out:
            arguments.out.write_text(json.dumps(results, indent=1))

    if timer.on_gpu:
        try:
            results["rates"] = rates.measure(timer)
        except RuntimeError as error:
            print(f"the rates of this GPU were not measured: {error}")
        save()
    seconds = arguments.seconds or min(2.0, arguments.budget / 60)
    for features in FEATURES:
        for problem in problems:
            if features == "clustered" and problem.size < CLUSTERED_FROM and not arguments.quick:
                continue
            case = {
                "name": problem.name,
                "features": features,
                "problem": {**problem._asdict(), "dtype": str(problem.dtype)},
            }
            results["cases"].append(case)
            if time.monotonic() + time_for(problem, seconds) > end:
                case |= {"state": "not run", "told": "no time was left"}
            else:
                case |= attempt(problem, features, timer, arguments.device, seconds)
            print(report.line(case), flush=True)
            save()
    left = end - time.monotonic()
    if timer.on_gpu and left > 20:
        add_compiled(results["cases"], arguments.quick, left)
    if timer.on_gpu:
        results["machine"]["after"] = machine(arguments.device).get("clocks")
    save()
    print("\n" + report.table(results))
    return 1 if any(case["state"] in ("wrong", "failed") for case in results["cases"]) else 0


def time_for(problem, seconds):
    """A guess: warm-up, calls of which one takes three floors, and the check."""
    one = 3 * floors.total(problem) + floors.library_products(problem)
    return max(2 * seconds, 12 * one)


if __name__ == "__main__":
    sys.exit(main())
