"""What the benchmark leaves behind: results, comparisons, README's figures, report, plots."""

import json
import os

import pytest

import bench_kit
from bench import compare, machine, plots, readme, report, results, standing
from bench.__main__ import main

a_run, ended, measured = bench_kit.a_run, bench_kit.ended, bench_kit.measured


def kept(folder, found, name=results.NAME):
    results.save(found, folder / name)
    return folder / name


def test_results_are_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = kept(tmp_path, a_run())

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        results.save(a_run(measured("64x4x512", "drsl", "ours", 1, 2)), path)
    assert results.read(path) == a_run()
    assert [file.name for file in tmp_path.iterdir()] == [results.NAME]


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"format": 99}'])
def test_a_file_that_is_none_of_results_is_refused_in_a_sentence(tmp_path, text):
    path = tmp_path / "old.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(results.Unusable, match=str(path)):
        results.read(path)


def test_only_the_same_run_goes_on(tmp_path):
    path = kept(tmp_path, a_run(measured("64x4x512", "drsl", "ours", 1, 2)))
    fresh = a_run()
    fresh["settings"]["seed"] = 8
    found = results.resume(path, fresh)
    assert len(found["rows"]) == 1 and found["settings"]["seed"] == 7  # its inputs too
    fresh["machine"]["threads"] = 1
    with pytest.raises(results.Unusable, match=r"made with threads 2, this is 1: begin anew"):
        results.resume(path, fresh)


OLD = (measured("64x4x512", "drsl", "ours", 1, 2.0), measured("256x4x512", "drsl", "ours", 4, 1.5))


@pytest.mark.parametrize(
    ("new", "status", "told"),
    [
        (OLD, 0, "2 rows compared: 0 slower, 0 lost"),
        ((measured("64x4x512", "drsl", "ours", 1, 2.5), OLD[1]), 1, "slower: 64x4x512 drsl ours: 2.00"),
        ((measured("64x4x512", "drsl", "ours", 1, 1.5), OLD[1]), 0, "faster: 64x4x512 drsl ours"),
        ((measured("64x4x512", "drsl", "ours", 9, 2.01), OLD[1]), 0, "0 slower"),  # the floor was too
        ((ended("64x4x512", "drsl", "ours", "died"), OLD[1]), 1, "lost: 64x4x512 drsl ours: died"),
        ((OLD[1],), 0, "1 rows compared"),
        ((), 1, "nothing is compared"),
    ],
)  # fmt: skip
def test_runs_are_compared(tmp_path, capsys, new, status, told):
    files = [str(kept(tmp_path, a_run(*rows), f"{n}.json")) for n, rows in enumerate((OLD, new))]
    assert main(["--compare", *files]) == status
    assert told in capsys.readouterr().out


def test_a_comparison_runs_what_the_older_run_measured():
    class Options:
        quick, case, against = False, [], []

    compare.narrow(Options, a_run(*OLD))
    assert Options.case == ["64x4x512", "256x4x512"] and Options.against == ["none"]


PAGE = "before\n<!-- bench: a-cpu -->\nold\n<!-- end of bench -->\nafter\n"


@pytest.fixture
def page(tmp_path):
    folder = tmp_path / "results" / "a-cpu"
    folder.mkdir(parents=True)
    rows = [
        measured("64x4x2048", "", "floor", 0.2),
        measured("64x4x2048", "drsl", "ours", 0.4, 2.0),
        measured("64x4x2048", "drsl", "reference", 4, 20.0, of_ours=bench_kit.spread(10)),
        measured("64x4x2048", "triplet", "pml-triplet", 0.3, 1.5, of_ours=bench_kit.spread(0.75)),
        measured("256x4x2048", "", "floor", 1.0),
        measured("scores-100000-2000", "rank_sort", "ours", 2, 0.35),
    ]
    kept(folder, a_run(*rows))
    file = tmp_path / "README.md"
    file.write_text(PAGE)
    return file


def rewritten(page, check=False):
    return readme.main(check, page, page.parent / "results")


def test_readmes_figures_come_from_the_results(page, capsys):
    assert (
        rewritten(page, check=True) == 1
        and "run python -m bench --readme" in capsys.readouterr().out
    )
    assert page.read_text() == PAGE, "to check is not to write"
    assert rewritten(page) == 0 and rewritten(page, check=True) == 0
    text = page.read_text()
    assert text.startswith("before\n<!-- bench: a-cpu -->\n| (B, K, D) |")
    assert text.endswith("<!-- end of bench -->\nafter\n") and "old" not in text
    assert "| (64, 4, 2048) | 0.200 ms | 2.00 |" in text
    assert "| (256, 4, 2048) | 1.00 ms | – | – | – |" in text, "a dash for what was not run"
    assert "| compiled |" not in text, "no column for what was never run"
    assert "1.5 (PML batch-hard triplet)" in text
    assert "0.350 of one `torch.sort`" in text
    told = " ".join(text.split())
    assert "- (64, 4, 2048): 2.00. A call costs" in told
    assert "Faster peers: PML batch-hard triplet at (64, 4, 2048)." in told
    assert "(bench/results/a-cpu/report.md#where-we-lose)" in told
    assert "while others computed" not in told
    assert rewritten(page) == 0 and page.read_text() == text, "the same results, the same page"


def test_readme_shows_the_worst_cases_first_and_says_how_many_there_are(page):
    folder = page.parent / "results" / "a-cpu"
    ratios = {"8x4x64": 1.2, "64x4x512": 4.0, "128x4x768": 1.5, "256x4x512": 3.0, "256x4x2048": 1.1,
              "1024x4x512": 2.0, "1024x16x512": 0.9}  # fmt: skip
    kept(
        folder, a_run(*(measured(name, "drsl", "ours", 1, ratio) for name, ratio in ratios.items()))
    )
    rewritten(page)
    text = page.read_text()
    assert "the worst 5 of 6 cases" in text
    shown = [line for line in text.splitlines() if line.startswith("- (")]
    assert [line.partition("): ")[2][:4] for line in shown] == [
        "4.00",
        "3.00",
        "2.00",
        "1.50",
        "1.20",
    ]
    assert "No peer was faster in any measured case." in " ".join(text.split())


def test_nothing_lost_is_said_in_a_sentence(page):
    kept(page.parent / "results" / "a-cpu", a_run(measured("8x4x64", "drsl", "ours", 1, 0.9)))
    rewritten(page)
    assert "**Where we lose.** No case takes longer than its products." in page.read_text()


def test_a_busy_machine_is_told(page):
    found = results.read(page.parent / "results" / "a-cpu" / results.NAME)
    found["load"][0]["average"] = 17.6
    kept(page.parent / "results" / "a-cpu", found)
    rewritten(page)
    assert "**while others computed there too** (load 18)" in " ".join(page.read_text().split())


def test_a_hand_edit_is_found(page, capsys):
    rewritten(page)
    page.write_text(page.read_text().replace("| 2.00 |", "| 0.50 |"))
    assert rewritten(page, check=True) == 1
    assert "not those of bench/results" in capsys.readouterr().out


def test_a_readme_without_marks_or_results_is_told_in_a_sentence(page, capsys):
    page.write_text(PAGE.replace("a-cpu", "another"))
    assert rewritten(page, check=True) == 2 and "there is no file" in capsys.readouterr().err
    page.write_text("no marks")
    assert rewritten(page) == 2 and "has no marks" in capsys.readouterr().err


def test_the_report_has_every_row(tmp_path):
    found = bench_kit.some_run()
    text = report.text(found, ["time"])
    assert "![Time against" in text and "(time.svg)" in text
    assert "| PML FastAP | out of memory: for a reason |" in text
    assert "- (64, 4, 512) float32 highest: PML FastAP takes 0.900 of ours" in text
    assert text.count("| floor: X @ X.T, S @ X |") == 4


def test_whatever_is_ahead_is_named_with_the_reason_where_one_is_known(monkeypatch):
    found = bench_kit.some_run()
    ((case, row),) = standing.ahead(found)
    assert (case.name, row["contender"]) == ("64x4x512", "pml-fastap")
    assert standing.why(case, "nobody") is None
    monkeypatch.setattr(standing, "WHY", (("64x4*", "pml-*", "It does less"),))
    assert standing.why(case, row["contender"]) == "It does less"
    assert "0.900 of ours. It does less." in report.text(found)


def test_plots_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    assert plots.draw(bench_kit.some_run(), tmp_path) == ["time", "memory", "ratios"]
    for name in ("time", "memory", "ratios"):
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text()
    assert len(list(tmp_path.iterdir())) == 6


def test_without_matplotlib_a_run_has_no_plots_and_says_so(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    kept(tmp_path, bench_kit.some_run())
    assert main(["--redraw", str(tmp_path)]) == 0
    assert "no plots" in capsys.readouterr().out
    assert sorted(file.name for file in tmp_path.iterdir()) == ["report.md", results.NAME]


def test_the_name_of_a_folder_is_plain():
    assert machine.slug("AMD EPYC 7B13 (64-Core) Processor") == "amd-epyc-7b13-64-core-processor"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--case", "7x7"], "no case is called '7x7'; there are"),
        (["--loss", "arcface"], "no loss is called 'arcface'"),
        (["--against", "gnu"], "no contender is called 'gnu'"),
        (["--compare", "nowhere.json"], "there is no file nowhere.json"),
        (["--resume", "--case", "24x4x16", "--out", "nowhere"], "there is no file nowhere"),
    ],
)
def test_a_command_that_cannot_be_followed_is_answered_in_a_sentence(capsys, arguments, told):
    assert main(["--device", "cpu", *arguments]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments", [["--check"], ["--budget", "0"], ["--threads", "x"], ["--compare", "a", "b", "c"]]
)
def test_a_wrong_use_is_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2


def test_the_lists_name_everything(capsys):
    assert main(["--device", "cpu", "--list"]) == 0
    said = capsys.readouterr().out
    for name in (
        "1024x16x512",
        "scores-1000000-10000",
        "evaluate-msmt17",
        "pml-triplet",
        "smooth_ap",
    ):
        assert name in said


def test_results_are_json_that_others_can_read(tmp_path):
    path = kept(tmp_path, bench_kit.some_run())
    assert json.loads(path.read_text())["format"] == results.FORMAT
