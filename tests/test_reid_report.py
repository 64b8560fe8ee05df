"""The demonstration's page, from made-up results: whole, self-contained, saying what its numbers say."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

import report
import report_kit as kit
from drsl_cuda import metrics
from report import findings, page, results, retrieval, spread
from report.__main__ import main as command
from report.markup import png

PANELS = ["scores", "curves", "lists", "distances", "angles", "imbalance", "how"]
EMPTY = {"meta", "img", "br", "hr", "link", "input"}


class Checked(HTMLParser):
    """Complains about tags that are not closed in order; collects what the tests ask about."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.tags, self.text = [], [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        assert len(values) == len(attributes), f"an attribute twice: {tag} {attributes}"
        self.tags.append((tag, values))
        self.ids += [values["id"]] if "id" in values else []
        if tag not in EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> while in {self.open}"
        self.open.pop()

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def words(self):
        return re.sub(r"\s+", " ", " ".join(self.text))


@pytest.fixture(scope="module")
def made():
    return kit.comparison()


@pytest.fixture(scope="module")
def checked(made):
    return Checked(page.build(made))


# ------------------------------------------------------------------------- the page


def test_every_panel_is_there_and_linked(checked):
    assert [name for name in checked.ids if name in PANELS] == PANELS
    assert len(set(checked.ids)) == len(checked.ids)
    links = [values["href"] for tag, values in checked.tags if tag == "a"]
    assert [link.removeprefix("#") for link in links] == PANELS


def test_nothing_is_fetched(made, checked):
    text = page.build(made)
    assert not re.search(
        r"https?:|//|url\(|@import|<script|<link|<iframe", re.sub(r"base64,[\w+/=]*", "", text)
    )
    sources = [values["src"] for tag, values in checked.tags if tag == "img"]
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert text.count("<svg") > 10


def test_what_is_seen_is_told(checked):
    """Alternative texts; and right and wrong in signs, not by colour alone."""
    for tag, values in checked.tags:
        if tag == "img":
            assert len(values["alt"]) > 5
        if tag == "svg":
            assert values.get("aria-hidden") == "true" or len(values["aria-label"]) > 20
    words = checked.words()
    right = sum(values.get("class") == "hit right" for _, values in checked.tags)
    wrong = sum(values.get("class") == "hit wrong" for _, values in checked.tags)
    # the page's explanation has one of each
    assert words.count("✓") == right + 1 > 1
    assert words.count("✗") == wrong + 1 > 1


def test_every_number_in_a_chart_is_a_number(made):
    for path in re.findall(r' (?:d|transform|x|y)="([^"]*)"', page.build(made)):
        assert "nan" not in path and "inf" not in path


def test_pictures_are_what_was_saved(made):
    image = pytest.importorskip("PIL.Image")
    picture = made.pictures.query[0]
    read = np.asarray(image.open(io.BytesIO(png(picture))))
    assert (read.transpose(2, 0, 1) == picture).all()
    shown = page.build(made).count("data:image/png;base64,")
    known = {
        base64.b64encode(png(p)).decode() for p in (*made.pictures.query, *made.pictures.gallery)
    }
    used = re.findall(r"base64,([^\"]+)", page.build(made))
    assert len(used) == shown > 50 and set(used) <= known


def luminance(colour):
    """Relative luminance of #rrggbb, as WCAG defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_letters_and_lines_stand_out_in_both_schemes():
    """WCAG AA asks for 4.5 : 1 of text; lines and marks are held to it too."""
    schemes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block))
        for block in re.findall(r":root \{(.*?)\}", page.STYLE.read_text(), re.S)
    ]
    assert len(schemes) == 2 and schemes[0].keys() == schemes[1].keys()
    for scheme in schemes:
        for ink in ("ink", "soft", "right", "wrong", "s0", "s1", "s2", "s3", "s4"):
            for ground in ("back", "card"):
                low, high = sorted((luminance(scheme[ink]), luminance(scheme[ground])))
                assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, scheme[ink], ground)
        low, high = sorted((luminance(scheme["ink"]), luminance(scheme["note"])))
        assert (high + 0.05) / (low + 0.05) >= 4.5


# ------------------------------------------------------------------------- its sentences


def words(**options):
    return Checked(page.build(kit.comparison(**options))).words()


def test_the_best_is_the_best():
    assert "Highest mean mAP: DRSL , 70.0" in words()
    swapped = words(finals={"drsl": 0.4, "fidi": 0.5, "smooth_ap": 0.6, "triplet": 0.7})
    assert "Highest mean mAP: Batch-hard triplet , 70.0" in swapped
    assert "DRSL is 30.0 points behind Batch-hard triplet: a clear difference" in swapped
    assert "DRSL is 30.0 points ahead of Batch-hard triplet: a clear difference" in words()


def noisy(finals, wobble):
    """Losses whose seeds do not go along: DRSL's second seed is off by `wobble`."""
    made = kit.comparison(finals)
    key = results.Key("drsl", 1, *made.plan.batch)
    run = made.runs[key]
    last = {**run.final, "mAP": run.final["mAP"] + wobble}
    return replace(made, runs={**made.runs, key: replace(run, curve=[*run.curve[:-1], last])})


def test_a_difference_within_noise_is_called_so():
    finals = {**kit.FINAL, "fidi": 0.695}
    assert findings.best(noisy(finals, 0.0)).endswith(
        "a clear difference (95\u202f% interval +0.5 to +0.5, 3 seeds)."
    )
    # +0.5, +6.5, +0.5: mean 2.5, deviation 3.46, t(2) 4.303 → ± 8.6
    assert (
        "+2.5 over FIDI, the next: within noise (95\u202f% interval −6.1 to +11.1, 3 seeds)"
        in findings.best(noisy(finals, 0.06))
    )


def test_one_seed_is_no_evidence():
    plan = replace(kit.PLAN, seeds=[0], ratio_seeds=[0])
    assert "one seed only" in findings.best(kit.comparison(plan=plan))
    Checked(page.build(kit.comparison(plan=plan)))


def test_training_that_does_not_help_is_told():
    assert "Training beat the untrained model in every seed" in words()
    bad = words(finals={**kit.FINAL, "fidi": 0.15})
    assert "FIDI did not beat the untrained model in every seed" in bad
    assert "Training beat" not in bad


def test_imbalance_follows_the_numbers():
    text = " ".join(findings.imbalance(kit.comparison(ratio_loss={"drsl": 0.01, "triplet": 0.05})))
    assert (
        "From 4 × 16 to 32 × 2 the mAP of DRSL changes by −3.0 points: a clear difference" in text
    )
    assert "DRSL bears it better than Batch-hard triplet by 12.0 points" in text
    text = " ".join(findings.imbalance(kit.comparison(ratio_loss={"drsl": 0.05, "triplet": 0.01})))
    assert "Batch-hard triplet bears it better than DRSL by 12.0 points" in text


def test_fewer_epochs_are_told():
    assert "too slow" not in words()
    assert "too slow for the usual 9 epochs" in words(plan=replace(kit.PLAN, epochs_wanted=9))


# ------------------------------------------------------------------------- what is missing


def test_missing_runs_are_noted(made):
    assert "Not finished" not in page.build(made)
    gone = [results.Key("fidi", 2, 8, 8), results.Key("triplet", 1, 32, 2)]
    text = page.build(kit.without(made, *gone))
    assert (
        "Not finished: 2 of 24 runs are missing (FIDI 8 × 8 seed 2 and Batch-hard triplet 32 × 2 seed 1)"
        in text
    )
    Checked(text)


def test_any_part_makes_a_page(made):
    """However early it was interrupted."""
    keys = made.plan.keys()
    for count in (0, 1, 2, 5, 13):
        part = replace(made, runs={key: made.runs[key] for key in keys[:count]})
        assert (
            f"Not finished: {len(keys) - count} of {len(keys)}" in Checked(page.build(part)).words()
        )
    for features in ({}, {"untrained": made.features["untrained"]}):
        Checked(page.build(replace(made, features=features)))
    Checked(page.build(replace(made, pictures=None, features={}, runs={})))


def test_saved_and_read_again(made, tmp_path):
    kit.save(tmp_path, made)
    again = results.load(tmp_path)
    assert again.plan == made.plan and again.runs == made.runs
    assert (again.pictures.gallery == made.pictures.gallery).all()
    assert report.write(tmp_path).read_text(encoding="utf-8") == page.build(made)


def test_the_page_by_command(made, tmp_path, capsys):
    kit.save(tmp_path, made)
    assert command([str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "report.html")
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == page.build(made)
    assert command([str(tmp_path / "nowhere")]) == 2
    assert "no comparison was begun" in capsys.readouterr().err
    assert command([]) == 2


def test_nothing_is_half_written(tmp_path):
    path = tmp_path / "runs" / "one.json"
    results.save_json(path, {"a": 1})

    def fail(file):
        file.write(b"half")
        raise OSError("no space left")

    with pytest.raises(OSError):
        results.write_whole(path, fail)
    assert results.read_json(path) == {"a": 1}
    assert [p.name for p in path.parent.iterdir()] == ["one.json"]


def test_a_damaged_or_missing_folder_is_told(tmp_path):
    with pytest.raises(ValueError, match="no comparison was begun"):
        results.load(tmp_path)
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        results.load(tmp_path)


# ------------------------------------------------------------------------- numbers behind it


def test_lists_are_those_of_the_protocol(made):
    """Same AP as drsl_cuda.metrics, junk and own camera left out, distractors matching nobody."""
    shown, found = made.pictures, made.features["fidi"]
    wanted = metrics.evaluate(
        *(np_tensor(a) for a in (found.query, shown.query_ids, shown.query_cams)),
        *(np_tensor(a) for a in (found.gallery, shown.gallery_ids, shown.gallery_cams)),
    )
    rankings = retrieval.rankings(found, shown, made.plan)
    np.testing.assert_allclose([r.ap for r in rankings], wanted.ap.numpy(), rtol=1e-12)
    for q, ranking in enumerate(rankings):
        ids, cams = shown.gallery_ids[ranking.order], shown.gallery_cams[ranking.order]
        assert not (ids == -1).any() and (ids == 0).sum() == 2
        assert not ((ids == shown.query_ids[q]) & (cams == shown.query_cams[q])).any()


def np_tensor(array):
    import torch

    return torch.from_numpy(np.ascontiguousarray(array))


def test_chance_of_being_closer():
    positives, negatives = np.array([1.0, 2.0]), np.array([0.5, 2.0, 3.0])
    # 1 beats 2 and 3; 2 beats 3 and ties with 2: (2 + 1.5) / 6
    assert retrieval.closer(positives, negatives) == pytest.approx(3.5 / 6)


def test_misplaced_positives():
    """Seen from (1, 0): (2, 0) is at distance 1 and angle 0, (1, 0.5) at distance 0.5 and a wider angle."""
    x = np.array([[1.0, 0.0], [2.0, 0.0], [1.0, 0.5]])
    ids = np.ones(3, int)
    shown = results.Pictures(None, ids, ids, None, ids, ids)
    found = retrieval.positives(results.Features(x, x, x), shown, kit.PLAN)
    # from (2, 0) the closer, (1, 0), has the smaller angle; from (1, 0.5) both have the same
    assert found.misplaced == pytest.approx(1 / 3)
    assert sorted(found.angle) == pytest.approx([0, 26.565, 26.565], abs=1e-3)


def test_difference_of_seeds():
    found = spread.difference({0: 1.0, 1: 2.0, 2: 4.0}, {0: 0.0, 1: 0.0, 2: 1.0, 7: 9.0})
    # 1, 2, 3: mean 2, deviation 1, t(2) = 4.303
    assert (found.mean, found.wins, found.seeds) == (2.0, 3, 3)
    assert found.half == pytest.approx(4.303 / 3**0.5)
    assert not found.clear
    assert spread.difference({0: 1.0}, {1: 1.0}) is None
    assert not spread.difference({0: 1.0}, {0: 0.0}).clear
