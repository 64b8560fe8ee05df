"""The benchmark's parts: cases, statistics, floors, aims, validation, all without timing anything."""

import pytest
import torch

import bench_kit
from bench import (
    aims,
    cases,
    compare,
    contenders,
    floors,
    inputs,
    launches,
    plan,
    steps,
    timing,
    validate,
)
from bench.__main__ import shown
from bench.cases import Case

ROOT = bench_kit.ROOT
SMALL = cases.batch(24, 4, 16)


def test_quartiles():
    assert timing.statistics([4.0, 1.0, 2.0, 3.0, 100.0]) == {
        "median": 3.0, "q1": 2.0, "q3": 4.0, "calls": 5,
    }  # fmt: skip
    assert timing.statistics([1.0, 2.0])["median"] == 1.5
    assert timing.statistics([7.0])["q3"] == 7.0


def test_ratios_are_those_of_the_same_round():
    # A machine that is ten times as slow in one round is so for both.
    theirs, floor = [(1.0, 1.0), (20.0, 0.0), (2.0, 0.0)], [(1.0, 0.0), (10.0, 0.0), (0.5, 0.5)]
    assert timing.ratios(theirs, floor)["median"] == 2.0
    assert timing.figures(theirs)["both"]["median"] == 2.0
    assert timing.figures(theirs)["forward"]["median"] == 2.0


def test_steps_take_turns():
    order = []

    def step(name):
        return steps.Forward(lambda: order.append(name))

    taken = timing.Timer("cpu").in_turns({"a": step("a"), "b": step("b")}, 0.0, ready=True)
    assert order == ["a", "b"] * timing.AT_LEAST
    assert len(taken["a"]) == timing.AT_LEAST and all(pair[0] >= 0 for pair in taken["a"])


def test_every_case_has_a_name_of_its_own_and_losses_that_exist():
    names = [case.name for case in cases.CASES]
    assert len(set(names)) == len(names)
    for case in cases.CASES:
        assert case.losses and set(case.losses) <= set(cases.LOSSES)
        assert case.kind != "batch" or case.size % case.classes == 0, "classes are to be even"
    assert {case.kind for case in cases.CASES} == {"batch", "gallery", "scores", "evaluation"}


def test_cases_are_chosen_by_name_pattern_or_title():
    def names(*patterns, **more):
        return [case.name for case in cases.choose("cpu", patterns, **more)]

    assert names("1024x4x512") == names("(1024, 4, 512)") == ["1024x4x512"]
    assert len(names("scores-*")) == 3
    assert names("scores-10000-100", losses=["drsl"]) == []
    assert {c.losses for c in cases.choose("cpu", losses=["fidi"])} == {("fidi",)}
    assert all(case.quick for case in cases.choose("cpu", quick=True))
    assert not any("bf16" in name for name in names())


@pytest.mark.parametrize(
    ("choose", "told"),
    [
        (lambda: cases.choose("cpu", ["7x7x7"]), "no case is called '7x7x7'; there are 64x4x2048"),
        (
            lambda: cases.choose("cpu", losses=["arcface"]),
            "no loss is called 'arcface'; there are drsl",
        ),
        (lambda: contenders.choose(["gnu"]), "no contender is called 'gnu'; there are none, ours"),
    ],
)
def test_an_unknown_name_is_answered_with_those_that_exist(choose, told):
    with pytest.raises(cases.UnknownName, match=told.replace("(", r"\(")):
        choose()


def test_inputs_are_those_of_the_seed():
    for name in ("64x4x2048", "scores-10000-100", "8x64x4x768"):
        case = cases.BY_NAME[name]
        one, same, other = (inputs.make(case, "cpu", seed) for seed in (1, 1, 2))
        assert torch.equal(one[0], same[0]) and not torch.equal(one[0], other[0])
    gallery = cases.gallery(8, 96, 4, 16, both_sides=True)
    data = inputs.make(gallery, "cpu", 0)
    counts = data.gallery_labels.bincount()
    assert data.gallery.shape == (96, 16) and counts.tolist() == [4] * 24
    assert len(steps.leaves_of(gallery, data)) == 2


def test_clustered_features_lie_around_their_centres():
    x, labels = inputs.make(cases.batch(256, 4, 32, features="clustered"), "cpu", 0)[:2]
    same = labels[:, None] == labels
    stray = torch.arange(256) % 64 == 63
    same &= ~(stray[:, None] | stray | torch.eye(256, dtype=torch.bool))
    distance = torch.cdist(x, x)
    assert distance[same].max() < distance[~same & ~(stray[:, None] | stray)].median()


def checked(case, loss):
    data = inputs.make(case, "cpu", 3)
    step = steps.ours(case, loss, data)
    return validate.ours(step, step.both(), case, loss, data)


@pytest.mark.parametrize(
    ("case", "loss"),
    [
        *[(SMALL, loss) for loss in cases.FAMILY],
        (cases.batch(24, 4, 16, sets=2), "drsl"),
        (cases.gallery(8, 96, 4, 16), "drsl"),
        (cases.gallery(8, 96, 4, 16, both_sides=True), "drsl"),
        *[(cases.scores(300, 20), loss) for loss in cases.SCORES],
        (cases.evaluation("tiny", 40, 300, 16), "evaluate"),
    ],
)
def test_ours_is_right_in_every_kind_of_case(case, loss):
    check = checked(case, loss)
    assert check.good and check.against == "the reference", check.told()


def test_a_wrong_gradient_is_found(monkeypatch):
    def off(*arguments, **options):
        return 1.01 * plain(*arguments, **options)

    plain = validate.functional.drsl_loss
    monkeypatch.setattr(validate.functional, "drsl_loss", off)
    check = checked(SMALL, "drsl")
    assert not check.good and check.loss == pytest.approx(0.01, rel=1e-3)


def test_some_queries_are_checked_like_all(monkeypatch):
    monkeypatch.setattr(validate, "WHOLE_PAIRS", 0)
    case = cases.batch(64, 4, 16)
    check = checked(case, "drsl")
    assert check.queries == validate.QUERIES and check.good
    assert check.gradient == pytest.approx(0, abs=1e-5)


def test_many_scores_are_checked_with_some_positives(monkeypatch):
    monkeypatch.setattr(validate, "SCORE_PAIRS", {"cpu": 0})
    monkeypatch.setattr(validate, "POSITIVES", 5)
    check = checked(cases.scores(300, 20), "rank_sort")
    assert check.good and check.against == "the reference, with 5 positives"
    monkeypatch.setitem(validate.LIMITS, "float32 highest", (1e-20, 1e-20))
    assert checked(cases.scores(300, 20), "rank_sort").against == "ours in float64"


def test_another_loss_has_to_be_finite_and_to_have_a_gradient():
    data = inputs.make(SMALL, "cpu", 0)
    for call, good in ((lambda x: x.square().sum(), True), (lambda x: x.log().sum(), False),
                       (lambda x: (0 * x).sum(), False)):  # fmt: skip
        step = steps.Step(call, [data.x])
        assert validate.looked_at(step, step.both()).good is good


def test_peers_are_right_where_they_compute_the_same():
    pytest.importorskip("pytorch_metric_learning")
    table = contenders.load()
    for case in (SMALL, cases.batch(24, 4, 16, sets=2), cases.gallery(8, 96, 4, 16)):
        data = inputs.make(case, "cpu", 1)
        for contender in table.values():
            if contender.name.startswith("pml-") and case.kind in contender.kinds:
                step = contender.build(case, contender.losses[0], data)
                value = step.both()
                check = validate.check(contender, step, value, case, contender.losses[0], data)
                assert check.good, (contender.name, case.title, check.told())


def test_floors_are_what_a_pencil_gives():
    case = cases.BY_NAME["16384x4x512-bf16"]
    by_name = {floor.stage: floor for floor in floors.stages(case)}
    assert by_name["gram"].bytes == 16384 * 512 * 2 + 4 * 16384**2
    assert by_name["gram"].flops == pytest.approx(16384**2 * 512, rel=1e-3)  # the upper half
    assert by_name["redistribute"].flops == 2 * 16384**2 * 512
    assert by_name["turn"].seconds("bfloat16") == pytest.approx(8 * 16384**2 / 4.3e12, rel=0.02)
    assert floors.library_products(case) == pytest.approx(4 * 16384**2 * 512 / 790e12)
    held, streamed = cases.batch(16384, 4, 512), cases.batch(32768, 4, 512)
    assert not floors.is_streamed(held) and floors.is_streamed(streamed)
    assert floors.total(streamed) > 4 * floors.total(held)


def test_on_a_cpu_the_floor_is_three_quarters_of_the_products():
    rates = {"copy": 1e10, "products": {"float32 highest": 1e11}}
    case = cases.BY_NAME["1024x4x512"]
    assert floors.total(case, "cpu", rates) == pytest.approx(3 * 1024**2 * 512 / 1e11, rel=1e-3)
    reached = floors.reached(case, "cpu", 0.1, rates)
    assert reached["of_bound"] == pytest.approx(0.161, rel=0.01)
    scores = cases.BY_NAME["scores-10000-100"]
    assert floors.total(scores, "cpu", rates) == pytest.approx(12 * 10_000 / 1e10)


def test_the_table_of_floors_in_the_docs_is_current():
    assert floors.table(floors.documented()) in (ROOT / "docs/kernels.md").read_text()


def test_what_was_too_much_is_not_tried_where_there_is_more():
    table = contenders.load()
    row = bench_kit.ended("1024x4x512", "drsl", "reference", "out of memory")
    rows = [row, bench_kit.ended("64x4x512", "drsl", "keops", "failed")]

    def reason(case, contender):
        job = plan.Job(cases.BY_NAME[case], table[contender], ("drsl",), 1.0)
        return plan.why_not(job, rows)

    assert reason("4096x4x512", "reference") == (
        "left out",
        "out of memory at (1024, 4, 512) already",
    )
    assert reason("256x4x512", "reference") is None  # smaller
    assert reason("4096x4x512", "keops") is None  # it failed, which says nothing of size
    assert reason("4096x4x512", "ours") is None
    rows[:] = [bench_kit.measured("256x4x512", "drsl", "reference", 500, 9.0)]
    left_out, told = reason("4096x4x512", "reference")  # 256 times as many pairs
    assert (left_out, told) == ("left out", "about 128 s a call, by its time at (256, 4, 512)")
    assert reason("64x4x512", "reference") is None


def test_ours_comes_first_and_what_takes_minutes_last():
    jobs = plan.jobs(cases.choose("cpu"), contenders.choose([]), 60)
    ours = [job.contender.name == "ours" and not job.case.heavy for job in jobs]
    assert ours == sorted(ours, reverse=True)
    heavy = [job for job in jobs if job.case.heavy and job.contender.name == "ours"]
    assert heavy[0].patience == 60 * plan.HEAVY
    assert heavy[-1].case.name == "65536x4x512"


def test_aims_are_judged_where_they_apply():
    row = bench_kit.measured("1024x4x512", "drsl", "ours", 10, 0.9)
    judged = {aim.what: met for aim, _, met in aims.judged(bench_kit.a_run(row))}
    assert judged == {"of floor": True}
    slow = bench_kit.measured("4096x2048x512", "drsl", "ours", 90, 3.0)
    quick = bench_kit.measured("4096x4x512", "drsl", "ours", 20, 1.0)
    ((aim, value, met),) = aims.judged(bench_kit.a_run(slow, quick))
    assert (aim.what, value, met) == ("of case 4096x4x512", 4.5, False)
    assert "missed" in aims.told(aim, value, met)[-1]
    assert all(aim.case in cases.BY_NAME for aim in aims.AIMS)


@pytest.mark.parametrize(("new", "which"), [(1.0, 0), (1.03, 0), (1.5, 1), (0.7, -1), (0.97, 0)])
def test_slower_is_what_lies_beyond_the_spread(new, which):
    assert compare.verdict(bench_kit.spread(1.0), bench_kit.spread(new)) == which


def test_a_wide_spread_hides_a_difference():
    wide = bench_kit.spread(1.0, around=0.4)
    assert compare.verdict(wide, bench_kit.spread(1.2)) == 0
    assert compare.verdict(bench_kit.spread(1.0), bench_kit.spread(1.2, around=0.3)) == 0


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("void drsl::cuda::turn_few<true, float, 4>(drsl::cuda::Task<float>)", "turn_few<true, float, 4>"),
        ("void at::(anonymous namespace)::add<int>(int*, f(int))", "at::(anonymous namespace)::add<int>"),
        ("Memset (Device)", "Memset"),
        ("sm90_xmma_gemm_bf16", "sm90_xmma_gemm_bf16"),
    ],
)  # fmt: skip
def test_names_of_kernels_are_shortened(name, short):
    assert launches.short_name(name) == short


def test_a_case_is_a_plain_tuple():
    assert isinstance(SMALL, Case) and SMALL.positives == 3 and SMALL.classes == 6


def test_a_report_names_no_folder_of_the_machine():
    told = shown(["--threads", "1", "--authors", "/home/me/authors", "--resume"])
    assert told == "--threads 1 --authors FOLDER --resume"
