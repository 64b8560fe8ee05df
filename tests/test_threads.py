"""Many Python threads that call everything at once, forks, exceptions, signals: what goes on around calls.

The first part runs under ThreadSanitizer too (make cpu-races).
"""

import signal
import subprocess
import sys
import threading
import time

import pytest
import torch

from drsl_cuda import functional, metrics
from running import drsl

CALLERS = 4


def rows(count, dim, seed, dtype=torch.float32):
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def differentiated(loss, *inputs):
    """Losses and gradients, from copies of the inputs."""
    leaves = [t.clone().requires_grad_() for t in inputs]
    results = loss(*leaves)
    results = results if isinstance(results, tuple) else (results,)
    sum(r.sum() for r in results if r.requires_grad).backward()
    return [r.detach() for r in results] + [leaf.grad for leaf in leaves]


# Sizes at which every stage is shared out among two threads or more.
X, X64 = rows(260, 64, 1), rows(200, 20, 2, torch.float64)
LABELS, FEW = torch.arange(260) % 65, torch.arange(260) % 2
GALLERY, GALLERY_LABELS = rows(400, 64, 3), torch.arange(400) % 65
EXCLUDE = torch.rand(260, 400, generator=torch.Generator().manual_seed(4)) < 0.1
SCORES = rows(1, 70_000, 5)[0]
TARGETS = (SCORES.roll(1) > 2).float()
QUALITIES = rows(1, int(TARGETS.sum()), 6)[0].abs()


def evaluated():
    result = metrics.evaluate(X, LABELS, LABELS % 3, GALLERY, GALLERY_LABELS, GALLERY_LABELS % 2)
    return [torch.as_tensor(result.mAP), torch.as_tensor(result.cmc)]


CALLS = {
    "drsl": lambda: differentiated(lambda x: drsl(x, LABELS, normalize=True), X),
    "drsl_float64": lambda: differentiated(lambda x: drsl(x, LABELS[:200]), X64),
    "drsl_half": lambda: differentiated(lambda x: drsl(x, LABELS), X.half()),
    "drsl_sets": lambda: differentiated(lambda x: drsl(x, LABELS), X.expand(2, -1, -1)),
    "drsl_many_positives": lambda: differentiated(lambda x: drsl(x, FEW, delta=0.0), X),
    "drsl_gallery": lambda: differentiated(
        lambda x, r: drsl(x, LABELS, r, GALLERY_LABELS, exclude=EXCLUDE, reduction="none"),
        X,
        GALLERY,
    ),
    "fidi": lambda: differentiated(lambda x: functional.fidi_loss(x, LABELS), X),
    "smooth_ap": lambda: differentiated(lambda x: functional.smooth_ap_loss(x, LABELS), X),
    "triplet": lambda: differentiated(lambda x: functional.batch_hard_triplet_loss(x, LABELS), X),
    "pairwise": lambda: differentiated(functional.pairwise_distance_angle, X),
    "pairwise_gallery": lambda: differentiated(functional.pairwise_distance_angle, X, GALLERY),
    "rank_sort": lambda: list(
        torch.ops.drsl.rank_sort(
            (X @ X.T).abs(),
            (X @ X.T).clamp(-1, 1),
            LABELS,
            None,
            None,
            None,
            "drsl",
            [0.5, 1, 1, 1],
        )
    ),
    "rank_sort_loss": lambda: differentiated(
        lambda s: functional.rank_sort_loss(s, TARGETS), SCORES
    ),
    "ap_loss": lambda: differentiated(lambda s: functional.ap_loss(s, TARGETS), SCORES),
    "alrp_loss": lambda: differentiated(
        lambda s: functional.alrp_loss(s, TARGETS, QUALITIES)[0], SCORES
    ),
    "evaluate": evaluated,
}


@pytest.mark.races
@pytest.mark.parametrize("rounds", [2])
def test_many_callers_get_the_bits_that_one_gets(rounds, two_threads):
    alone = {name: call() for name, call in CALLS.items()}
    start, wrong = threading.Barrier(CALLERS), []

    def caller(number):
        names = list(CALLS)
        names = names[number * 4 % len(names) :] + names[: number * 4 % len(names)]
        start.wait()
        for name in names * rounds:
            try:
                for one, other in zip(alone[name], CALLS[name](), strict=True):
                    if not torch.equal(one, other):
                        wrong.append(f"{name} differs")
            except Exception as error:
                wrong.append(f"{name}: {error!r}")

    threads = [threading.Thread(target=caller, args=[i]) for i in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.races
def test_all_callers_at_the_same_operator(two_threads):
    for name in ("drsl", "drsl_gallery", "rank_sort_loss", "evaluate"):
        alone, results = CALLS[name](), [None] * CALLERS
        start = threading.Barrier(CALLERS)

        def caller(number, name=name, results=results, start=start):
            start.wait()
            results[number] = CALLS[name]()

        threads = [threading.Thread(target=caller, args=[i]) for i in range(CALLERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for result in results:
            assert all(torch.equal(a, b) for a, b in zip(alone, result, strict=True)), name


def test_the_number_of_threads_may_change_between_forward_and_backward(two_threads):
    weights = torch.linspace(-1, 2, 260)
    for reduction, by in (("none", weights), ("sum", torch.tensor(2.0))):
        x = X.clone().requires_grad_()
        drsl(x, LABELS, reduction=reduction).backward(by)
        wanted, x.grad = x.grad, None
        loss = drsl(x, LABELS, reduction=reduction)
        torch.set_num_threads(1)
        loss.backward(by)
        torch.set_num_threads(2)
        # sums are formed in other parts: a few roundings of float32
        torch.testing.assert_close(x.grad, wanted, rtol=1e-5, atol=1e-6)


def run(script, timeout=1200):
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=timeout, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.split()


FORK = """
import torch
from torch.utils.data import DataLoader, Dataset
from drsl_cuda import functional

torch.set_num_threads(2)
generator = torch.Generator().manual_seed(0)
x, labels = torch.randn(260, 64, generator=generator), torch.arange(260) % 65


def step():
    leaf = x.clone().requires_grad_()
    loss = functional.drsl_loss(leaf, labels)
    loss.backward()
    return torch.cat([loss.detach()[None], leaf.grad.flatten()])


class Steps(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return step()


step()  # threads have been started when workers fork
torch.set_num_threads(1)  # as in workers
wanted = step()
torch.set_num_threads(2)
step()
batches = list(DataLoader(Steps(), batch_size=None, num_workers=2, multiprocessing_context="fork"))
print(len(batches), all(torch.equal(batch, wanted) for batch in batches))
torch.set_num_threads(1)
print(torch.equal(step(), wanted))
"""


def test_workers_that_fork_get_the_same_bits():
    assert run(FORK) == ["4", "True", "True"]


# A little more address space than is in use at each try: allocations fail at one place after the other,
# in the calling thread and in others.
SHORT_OF_MEMORY = """
import resource
import torch
from drsl_cuda import functional

torch.set_num_threads(3)
generator = torch.Generator().manual_seed(0)
x = torch.randn(900, 32, generator=generator)
scores = torch.randn(200_000, generator=generator)
targets = (scores.roll(1) > 1).float()


def step():
    results = [functional.pairwise_distance_angle(x)[0]]
    for classes, options in ((2, {{}}), (2, {{"delta": 0.0}}), (300, {{}})):
        leaf = x.clone().requires_grad_()
        loss = functional.drsl_loss(leaf, torch.arange(900) % classes, **options)
        loss.backward()
        results += [loss.detach(), leaf.grad]
    return [*results, *functional.rank_sort_loss(scores, targets)]


def used():
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[0]) * resource.getpagesize()


wanted = step()
# What is kept between calls, and what threads have: a new one's share of the heap is 64 MiB.
raised = completed = 0
for extra in range(0, {most}, {step}):
    resource.setrlimit(resource.RLIMIT_AS, (used() + extra * 2**10, resource.RLIM_INFINITY))
    try:
        results = step()
        completed += 1
    except (RuntimeError, MemoryError):
        results = None
        raised += 1
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    if results is not None:
        assert all(torch.equal(a, b) for a, b in zip(results, wanted, strict=True))
assert all(torch.equal(a, b) for a, b in zip(step(), wanted, strict=True))
print(raised, completed)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's /proc")
def test_a_failed_allocation_in_any_thread_is_an_error_and_no_more():
    raised, completed = map(int, run(SHORT_OF_MEMORY.format(most=16_000, step=500)))
    assert raised > 0 and completed > 0


def test_an_interrupt_is_heard_when_the_call_is_over():
    """Python's handlers run between calls; a call is not left half done."""
    x, labels = rows(3000, 256, 7), torch.arange(3000) % 3
    wanted = drsl(x, labels)
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    heard = None
    try:
        try:
            threading.Timer(0.01, lambda: signal.raise_signal(signal.SIGINT)).start()
            while True:
                last = drsl(x, labels)
                assert torch.equal(last, wanted)
        except KeyboardInterrupt:
            heard = time.monotonic()
    finally:
        signal.signal(signal.SIGINT, previous)
    assert heard is not None
    assert torch.equal(drsl(x, labels), wanted)
