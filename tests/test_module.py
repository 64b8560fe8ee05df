"""The public surface beside the loss itself: modules, build information, explain, the command line."""

import copy
import pickle
import re
import subprocess
import sys

import pytest
import torch

import drsl_cuda
from drsl_cuda import functional

SETTINGS = {
    "delta": 0.25,
    "rank_weight": 2.0,
    "sort_weight": 0.5,
    "angle_weight": 0.0,
    "normalize": True,
    "reduction": "sum",
    "backend": "reference",
}


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(12, 6, generator=generator, dtype=torch.float64), torch.arange(12) % 4


@pytest.mark.parametrize("backend", ["native", "reference", "auto"])
def test_the_module_computes_what_the_function_computes(batch, backend):
    settings = SETTINGS | {"backend": backend}
    x, labels = batch
    exclude = torch.eye(12, dtype=torch.bool).roll(1, 0)
    got, got_terms = drsl_cuda.DRSLLoss(**settings)(x, labels, exclude=exclude, return_terms=True)
    loss, terms = functional.drsl_loss(x, labels, exclude=exclude, return_terms=True, **settings)
    assert torch.equal(got, loss)
    assert all(torch.equal(a, b) for a, b in zip(got_terms, terms, strict=True))


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_setting_reaches_the_computation_and_the_repr(batch, setting):
    plain, changed = drsl_cuda.DRSLLoss(), drsl_cuda.DRSLLoss(**{setting: SETTINGS[setting]})
    assert f"{setting}={SETTINGS[setting]}" in repr(changed).replace("'", "")
    if setting != "backend":
        assert not torch.equal(plain(*batch), changed(*batch))


def test_positional_settings_keep_their_order(batch):
    by_position = drsl_cuda.DRSLLoss(0.25, 2.0, 0.5, 0.0, True, "sum", "reference")
    assert torch.equal(by_position(*batch), drsl_cuda.DRSLLoss(**SETTINGS)(*batch))


@pytest.mark.parametrize(
    "duplicate",
    [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))],
    ids=["copy", "deep", "pickle"],
)
def test_a_duplicate_of_a_module_computes_the_same(batch, duplicate):
    module = drsl_cuda.DRSLLoss(**SETTINGS)
    other = duplicate(module)
    assert other is not module
    assert repr(other) == repr(module)
    assert torch.equal(other(*batch), module(*batch))


def test_a_module_has_no_state_and_loads_none(batch):
    module = drsl_cuda.DRSLLoss(**SETTINGS)
    assert dict(module.state_dict()) == {}
    assert list(module.parameters()) == []
    before = module(*batch)
    module.load_state_dict({})
    assert torch.equal(module.train().double()(*batch), before)


def test_a_gallery_reaches_the_computation_through_the_module(batch):
    x, labels = batch
    where = torch.tensor([3, -1, 0, 2])
    got = drsl_cuda.DRSLLoss()(x[:4], labels[:4], x[4:], labels[4:], self_index=where)
    wanted = functional.drsl_loss(x[:4], labels[:4], x[4:], labels[4:], self_index=where)
    assert torch.equal(got, wanted)
    assert not torch.equal(got, drsl_cuda.DRSLLoss()(x[:4], labels[:4], x[4:], labels[4:]))


def test_the_reference_package_offers_the_same_functions(batch):
    x, labels = batch
    got = drsl_cuda.reference.drsl_loss(x, labels, delta=0.2)
    assert torch.equal(got, functional.drsl_loss(x, labels, delta=0.2, backend="reference"))
    for got, wanted in zip(
        drsl_cuda.reference.pairwise_distance_angle(x),
        functional.pairwise_distance_angle(x),
        strict=True,
    ):
        torch.testing.assert_close(got, wanted, rtol=1e-12, atol=1e-12)  # float64: a few roundings


def test_build_info_says_what_was_built():
    info = drsl_cuda.build_info()
    assert info["version"] == drsl_cuda.__version__
    assert info["torch"] == torch.__version__
    assert re.match(r"(g\+\+|clang) \d+\.\d+\.\d+", info["compiler"])
    assert "cpu" in info["devices"]
    assert info["cuda"] or "cuda" not in info["devices"]


def test_build_info_can_be_changed_without_changing_the_next():
    drsl_cuda.build_info().clear()
    assert drsl_cuda.build_info()


def explained(size, entries=None, dim=16, **kwargs):
    x, labels = torch.zeros(size, dim), torch.zeros(size, dtype=torch.int64)
    if entries is None:
        return drsl_cuda.explain(x, labels, **kwargs)
    return drsl_cuda.explain(
        x, labels, torch.zeros(entries, dim), torch.zeros(entries, dtype=torch.int64), **kwargs
    )


def test_explain_names_a_path_a_reason_and_the_memory():
    small, large = explained(64), explained(30_000)
    assert small.path and small.why
    assert small.path != large.path, "a batch far over the budget must take another way"
    assert 0 < small.workspace_bytes < large.workspace_bytes
    for part in (small.path, small.why, "MiB"):
        assert part in str(small)


def test_explain_says_when_the_reference_runs():
    asked = explained(64, backend="reference")
    assert asked.path == "reference"
    assert asked.workspace_bytes is None
    assert "asked for" in str(asked)


def test_explain_gives_a_gallery_the_streaming_path():
    assert "stream" in explained(64, 500).path
    assert "triangle" in explained(64).path


def test_explain_allocates_nothing_like_the_problem():
    # 10⁶ rows: B² numbers would be 4 TB, so it cannot have run anything.
    assert explained(1_000_000, dim=1).workspace_bytes < 2**30


def test_the_command_line_reports_the_build_and_checks_itself():
    done = subprocess.run(
        [sys.executable, "-m", "drsl_cuda"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert drsl_cuda.__version__ in done.stdout
    assert torch.__version__.split("+")[0] in done.stdout


def test_public_names():
    for name in ("DRSLLoss", "functional", "reference", "build_info", "explain", "__version__"):
        assert name in drsl_cuda.__all__ or name == "__version__"
        assert hasattr(drsl_cuda, name)
