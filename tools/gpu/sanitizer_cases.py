"""Every operator on small problems, for compute-sanitizer. Also runs on the CPU, to be tested.

Sizes are odd on purpose: below a tile, one beyond it, rows that are not multiples of 16 bytes.
"""

import sys

import torch

from drsl_cuda import functional, metrics
from drsl_cuda._torch_private import has_kernel

# name: (sets, B, G or None, D, classes, dtype, options)
CASES = {
    "small": (1, 64, None, 256, 16, torch.float32, {}),
    "ragged": (1, 67, None, 33, 16, torch.float32, {}),
    "bfloat16": (1, 129, None, 64, 30, torch.bfloat16, {}),
    "half": (1, 65, None, 72, 16, torch.float16, {}),
    "double": (1, 65, None, 31, 16, torch.float64, {}),
    "beyond small": (1, 520, None, 64, 130, torch.float32, {}),
    "many positives": (1, 300, None, 16, 2, torch.float32, {}),
    "very many positives": (1, 1100, None, 16, 1, torch.float32, {}),
    "sets": (3, 70, None, 40, 20, torch.float32, {}),
    "gallery": (1, 37, 201, 40, 12, torch.float32, {}),
    "gallery of sets": (2, 37, 130, 24, 12, torch.bfloat16, {}),
    "own copies and junk": (1, 40, 150, 24, 12, torch.float32, {"masked": True}),
    "unit length": (1, 70, None, 40, 20, torch.float32, {"normalize": True}),
    "per query": (1, 70, None, 40, 20, torch.float32, {"reduction": "none"}),
    "exact step": (1, 70, None, 40, 20, torch.float32, {"delta": 0.0}),
    "near pairs": (1, 140, None, 48, 20, torch.float32, {"near": True}),
    "bad rows": (1, 70, None, 40, 20, torch.float32, {"bad": True}),
    "one row": (1, 1, None, 8, 1, torch.float32, {}),
    "FIDI": (1, 67, None, 33, 16, torch.float32, {"loss": "fidi"}),
    "FIDI of a gallery": (1, 37, 201, 40, 12, torch.bfloat16, {"loss": "fidi"}),
    "Smooth-AP": (1, 67, None, 33, 2, torch.float32, {"loss": "smooth_ap"}),
    "Smooth-AP of a gallery": (1, 37, 201, 40, 2, torch.float64, {"loss": "smooth_ap"}),
    "triplet": (1, 67, None, 33, 16, torch.float32, {"loss": "batch_hard_triplet"}),
}

# name: (sets, entries, positives, dtype, delta)
SCORES = {
    "scores": (1, 3001, 150, torch.float32, 0.5),
    "scores, exact step": (1, 3001, 150, torch.float64, 0.0),
    "scores, many positives": (1, 5003, 4500, torch.float32, 0.5),
    "scores, sets": (3, 301, 0, torch.float32, 0.5),
}

# name: (queries, entries, dimensions, identities, dtype, whether rows repeat)
EVALUATIONS = {
    "evaluation": (37, 1003, 33, 20, torch.float32, False),
    "evaluation, repeated rows": (9, 301, 40, 3, torch.bfloat16, True),
}


def evaluate(queries, entries, dim, identities, dtype, repeat, device):
    generator = torch.Generator().manual_seed(0)

    def side(count):
        rows = torch.randn(count, dim, generator=generator)
        rows = rows[torch.arange(count) % 7] if repeat else rows
        numbers = (torch.arange(count) % n for n in (identities, 7))  # and several cameras each
        return (t.to(device) for t in (rows.to(dtype), *numbers))

    return metrics.evaluate(*side(queries), *side(entries)).ap


def run_scores(sets, entries, positives, dtype, delta, device):
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(sets, entries, generator=generator)
    targets = torch.where(torch.arange(entries) % 5 == 0, -1.0, 0.0).repeat(sets, 1)
    for s in range(sets):  # one positive more in each set
        chosen = torch.randperm(entries, generator=generator)[: positives + s]
        targets[s, chosen] = torch.rand(len(chosen), generator=generator) + 0.01
    regression = torch.rand(sets, entries, generator=generator)
    scores, targets, regression = (t.to(dtype).to(device) for t in (scores, targets, regression))
    scores.requires_grad_()
    ranking, sorting = functional.rank_sort_loss(scores, targets, delta)
    alrp = functional.alrp_loss(scores, targets, regression, delta)[0]
    (ranking + sorting + functional.ap_loss(scores, targets, delta) + alrp).sum().backward()
    return scores.grad.cpu()


def run(sets, B, G, D, classes, dtype, options, device):
    generator = torch.Generator().manual_seed(0)
    options = dict(options)

    def rows(count):
        return torch.randn(sets, count, D, generator=generator)

    x, r = rows(B), None if G is None else rows(G)
    if options.pop("near", False):
        x = x.mul_(1e-3).add_(1)
        x[:, 1] = x[:, 0]
    if options.pop("bad", False):
        x[:, 3, 2], x[:, 5] = torch.nan, 0
    if options.pop("masked", False):
        options["self_index"] = torch.arange(B).sub(3).clamp(min=-1).to(device)
        options["exclude"] = (torch.rand(B, G, generator=generator) < 0.2).to(device)
    labels, r_labels = (
        None if n is None else (torch.arange(n) % classes).to(device) for n in (B, G)
    )
    # Rounded on the host: a copy is a write that initcheck sees without any kernel.
    x, r = (None if t is None else t.to(dtype).to(device).requires_grad_() for t in (x, r))
    function = getattr(functional, options.pop("loss", "drsl") + "_loss")
    loss = function(x, labels, r, r_labels, **options)
    loss.backward(torch.ones_like(loss))
    distance, cosine = functional.pairwise_distance_angle(
        x.detach(), None if r is None else r.detach()
    )
    if has_kernel("drsl::rank_sort", device.upper()):
        gallery_labels = labels if r is None else r_labels
        own = torch.arange(B).to(device) if r is None else options.get("self_index")
        stages(x.detach(), r, labels, gallery_labels, own, options.get("exclude"), distance, cosine)
    return x.grad.cpu()


def stages(x, r, labels, gallery_labels, own, exclude, distance, cosine):
    """The stages as operators of their own."""
    _, _, by_distance, by_cosine = torch.ops.drsl.rank_sort(
        distance, cosine, labels, gallery_labels, own, exclude, "drsl", [0.5, 1.0, 1.0, 1.0]
    )
    gallery = None if r is None else r.detach()
    torch.ops.drsl.redistribute(by_distance, by_cosine, distance, cosine, x, gallery)


def main(device="cuda"):
    for name, case in CASES.items():
        run(*case, device)
        if device == "cuda":
            torch.cuda.synchronize()
        print(f"case {name} done", flush=True)
    for name, case in SCORES.items():
        run_scores(*case, device)
        if device == "cuda":
            torch.cuda.synchronize()
        print(f"case {name} done", flush=True)
    for name, case in EVALUATIONS.items():
        evaluate(*case, device)
        print(f"case {name} done", flush=True)
    print("all cases done", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
