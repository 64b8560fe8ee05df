"""The sweep's file and its tables: resumable, and the words follow the numbers."""

import json

import pytest

import sweep
from experiments import budget, line, tables
from sweep import Case


def record(one, value):
    """A line of the file, with a made-up score."""
    return {
        **one._asdict(), "epochs": 2, "per_batch": 6, "per_identity": 8, "mAP": value, "rank1": value,
        "mINP": value, "untrained_mAP": 0.3,
    }  # fmt: skip


def records(values):
    """{(loss, options): [mAP of seed 0, 1, ...]}"""
    return [
        record(sweep.case("digits", loss, json.loads(options), False, seed), value)
        for (loss, options), listed in values.items()
        for seed, value in enumerate(listed)
    ]


def test_every_case_is_one_and_the_defaults_are_among_them():
    made = sweep.cases(["synthetic", "digits"], 3)
    assert len(set(made)) == len(made) == 3 * 2 * (len(sweep.OPTIONS) + 3)
    assert sum(tables.is_default(one.loss, one.options) for one in made) == 6


def test_a_line_that_was_cut_off_is_run_again(tmp_path):
    path = tmp_path / "results" / "sweep.jsonl"
    first, second = sweep.cases(["digits"], 1)[:2]
    sweep.add(path, record(first, 0.5))
    with open(path, "a") as file:
        file.write('{"data": "digi')
    assert list(sweep.read(path)) == [first]
    sweep.add(path, record(second, 0.6))
    assert {one: r["mAP"] for one, r in sweep.read(path).items()} == {first: 0.5, second: 0.6}
    path.write_text("{broken\n" + path.read_text())
    with pytest.raises(ValueError, match="line 1 is damaged"):
        sweep.read(path)


def test_it_runs_what_is_missing_and_no_more(tmp_path, monkeypatch, capsys):
    path = tmp_path / "sweep.jsonl"
    monkeypatch.setitem(sweep.SHAPES, "tiny", (4, 2, 1))
    monkeypatch.setattr(sweep, "OPTIONS", [{}, {"sort_weight": 0.0}])
    monkeypatch.setattr(sweep, "OTHERS", [])
    load = sweep.data.load
    small = "synthetic:identities=8,test=4,images=4"
    monkeypatch.setattr(sweep.data, "load", lambda name: load(small if name == "tiny" else name))
    first, second = sweep.cases(["tiny"], 1)
    sweep.add(path, record(first, 0.123))
    sweep.run(path, [one for one in [first, second] if one not in sweep.read(path)])
    found = sweep.read(path)
    assert found[first]["mAP"] == 0.123
    assert 0 < found[second]["mAP"] <= 1 and found[second]["epochs"] == 1
    assert list(found) == [first, second]


def test_tables_say_what_the_numbers_say():
    default, wide, other = ("drsl", "{}"), ("drsl", '{"delta": 2.0}'), ("fidi", "{}")
    text = tables.tables(records({default: [0.5, 0.6], wide: [0.55, 0.65], other: [0.6, 0.6]}))
    rows = {row.split(" | ")[0]: row for row in text.splitlines() if row.startswith("| ")}
    assert "| 55.0 ± 7.1 | 55.0 ± 7.1 | 2 |  |" in rows["| DRSL"]
    # the same in both seeds: as clear as it gets
    assert "+5.0 (+5.0 … +5.0): **better**" in rows["| DRSL, δ = 2"]
    # +10 and 0: mean 5, ± 12.706 · 7.07 / √2
    assert "+5.0 (−58.5 … +68.5): within noise" in rows["| FIDI"]
    worse = tables.tables(records({default: [0.5, 0.6], wide: [0.45, 0.55], other: [0.4]}))
    assert "−5.0 (−5.0 … −5.0): **worse**" in worse
    assert "| FIDI | 40.0 | 40.0 | 1 | −10.0, one seed |" in worse


def test_tables_go_between_their_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"above\n{tables.BEGIN}\nold\n{tables.END}\nbelow\n")
    tables.write_into(page, "new")
    tables.write_into(page, "newer")
    assert page.read_text() == f"above\n{tables.BEGIN}\n\nnewer\n\n{tables.END}\nbelow\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="once each"):
        tables.write_into(page, "new")


def test_docs_have_the_tables_of_the_committed_results():
    """Nobody edited them: docs/choosing.md is what sweep.py --table makes of results/sweep.jsonl."""
    if not sweep.PAGE.exists():
        pytest.skip("not in a source tree")
    made = tables.tables(sweep.read(sweep.RESULTS).values())
    assert made and made in sweep.PAGE.read_text(encoding="utf-8")


def test_options_are_told_in_words():
    options = json.dumps({"normalize": True, "delta": 0.1})
    assert tables.told("drsl", options) == "DRSL, δ = 0.1, normalised"
    assert Case._fields[:4] == ("data", "loss", "options", "id_loss")


# ------------------------------------------------------------------------- time


def test_epochs_are_those_that_fit():
    cost = budget.Cost(epoch=1.0, evaluation=0.5, start=0.0)
    # 2 runs with an evaluation an epoch: 2 (e + (e + 1) / 2) = 3 e + 1
    assert cost.epochs_within(31.0, 20, 2, 0) == 10
    assert cost.epochs_within(31.0, 7, 2, 0) == 7
    # and 3 that are evaluated twice: 3 (e + 1) more
    assert cost.epochs_within(34.0, 20, 2, 3) == 5
    assert cost.epochs_within(0.0, 20, 2, 3) == budget.LEAST


def test_time_left_learns_from_what_was(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(line.time, "perf_counter", lambda: now[0])

    class Screen(list):
        def isatty(self):
            return True

        def write(self, text):
            self.append(text)

        def flush(self):
            pass

    screen = Screen()
    bar = line.Line(3, [10.0, 10.0, 10.0], screen)
    bar.begin(0, "first")
    bar.show(0, 4, None)
    assert "run 1 of 3: first, epoch 0 of 4, about 0:30 left" in screen[-1]
    now[0] += 20
    bar.end()
    bar.begin(1, "second")
    bar.show(1, 4, 0.5)
    assert "run 2 of 3: second, epoch 1 of 4  mAP 50.0 %, about 0:40 left" in screen[-1]
