"""folder:PATH of the example: one folder for each identity, cameras in the names or none."""

import os

import pytest
import torch

import data

pytest.importorskip("PIL")

from drsl_cuda.metrics import evaluate
from reid_trees import tree


def named(split):
    return [
        "/".join(split.where(i).split(os.sep)[-2:]) + f" {c}"
        for i, c in enumerate(split.cameras.tolist())
    ]


def people(count, names):
    return {f"person{i}": names for i in range(count)}


def valid(loaded):
    """Which queries count, with features that do not matter."""
    query, gallery = loaded.query, loaded.gallery
    generator = torch.Generator().manual_seed(0)
    return evaluate(
        torch.randn(len(query), 3, generator=generator), query.identities, query.cameras,
        torch.randn(len(gallery), 3, generator=generator), gallery.identities, gallery.cameras,
        junk_ids=loaded.junk_ids, distractor_ids=loaded.distractor_ids,
    ).valid.tolist()  # fmt: skip


class TestCameras:
    def test_are_read_from_the_names(self, tmp_path):
        loaded = data.load(
            f"folder:{tree(tmp_path, people(4, ['c1_a.jpg', 'c1_b.jpg', 'x_cam12.png']))}"
        )
        assert len(loaded.train) == 6
        assert sorted(set(loaded.train.cameras.tolist())) == [1, 12]
        # one query of camera 1, which has two; the gallery has the rest
        assert [q.partition("/")[2] for q in named(loaded.query)] == ["c1_a.jpg 1"] * 2
        assert [g.partition("/")[2] for g in named(loaded.gallery)] == [
            "c1_b.jpg 1",
            "x_cam12.png 12",
        ] * 2
        assert valid(loaded) == [True, True]

    @pytest.mark.parametrize(
        "name, camera",
        [
            ("c3_0001.jpg", 3),
            ("0002_c1s1_000451_03.jpg", 1),
            ("0005_c2_f0046985.jpg", 2),
            ("cam07-x.png", 7),
            ("a.camera_15.jpg", 15),
            ("C4.JPG", 4),
        ],
    )
    def test_are_written_in_many_ways(self, tmp_path, name, camera):
        loaded = data.load(f"folder:{tree(tmp_path, people(4, [name, 'c99_z.jpg']))}")
        assert camera in loaded.train.cameras.tolist()

    def test_without_any_no_match_is_left_out(self, tmp_path):
        loaded = data.load(f"folder:{tree(tmp_path, people(4, ['a.jpg', 'b.jpg', 'abc12.jpg']))}")
        assert named(loaded.query) == [
            f"{q.partition('/')[0]}/a.jpg 0" for q in named(loaded.query)
        ]
        assert len(loaded.query) == 2 and len(loaded.gallery) == 4
        assert valid(loaded) == [True, True]

    def test_in_some_names_only(self, tmp_path):
        tree(tmp_path, people(4, ["c1_a.jpg", "b.jpg"]))
        with pytest.raises(
            ValueError, match=r"a camera, .* in the names of 4 images of 8 but not .*b.jpg"
        ):
            data.load(f"folder:{tmp_path}")

    def test_that_see_someone_once_each_still_leave_a_match(self, tmp_path):
        loaded = data.load(f"folder:{tree(tmp_path, people(4, ['c1_a.jpg', 'c2_a.jpg']))}")
        assert len(loaded.query) == len(loaded.gallery) == 2 and valid(loaded) == [True, True]


class TestDivision:
    def test_identities_are_for_one_purpose_each_and_all_are_used(self, tmp_path):
        loaded = data.load(f"folder:{tree(tmp_path, people(7, ['a.jpg', 'b.jpg']))}")
        train, test = (set(s.identities.tolist()) for s in (loaded.train, loaded.gallery))
        assert train | test == set(range(1, 8)) and not train & test
        assert (len(train), len(test)) == (4, 3)

    def test_goes_by_the_seed_alone(self, tmp_path):
        path = tree(tmp_path, people(9, ["a.jpg", "b.jpg"]))
        asked = [data.load(f"folder:{path}", seed=s).query.identities.tolist() for s in (0, 0, 1)]
        assert asked[0] == asked[1] != asked[2]

    def test_who_is_seen_once_is_trained_on(self, tmp_path):
        tree(tmp_path, {**people(4, ["a.jpg", "b.jpg"]), "once": ["a.jpg"]})
        loaded = data.load(f"folder:{tmp_path}")
        assert any(name.startswith("once/") for name in named(loaded.train))

    def test_of_ones_own_is_kept(self, tmp_path):
        parts = {f"train/{i}": ["a.jpg"] for i in (3, 4, 5)}
        parts |= {"query/7": ["c1_q.jpg"], "gallery/7": ["c2_g.jpg"], "gallery/9": ["c2_g.jpg"]}
        parts = {k: [n if n[0] == "c" else f"c1_{n}" for n in v] for k, v in parts.items()}
        loaded = data.load(f"folder:{tree(tmp_path, parts)}")
        assert named(loaded.query) == ["7/c1_q.jpg 1"]
        assert named(loaded.gallery) == ["7/c2_g.jpg 2", "9/c2_g.jpg 2"]
        assert len(loaded.train) == 3 and valid(loaded) == [True]
        assert loaded.query.identities.tolist() == loaded.gallery.identities.tolist()[:1]


class TestWrongFolders:
    @pytest.mark.parametrize(
        "folders, path, said",
        [
            ({}, "x", "one folder for each identity in .*x, which does not exist$"),
            ({}, ".", "hold 2 images or more, in .* and found 0$"),
            (people(3, ["a.jpg", "b.jpg"]), ".", "and found 3$"),
            (people(4, ["a.jpg"]), ".", "and found 0$"),
            (
                {f"all/{i}": ["a.jpg", "b.jpg"] for i in range(5)},
                ".",
                "found 0; try folder:.*/all$",
            ),
            (people(5, ["a.jpg", "b.jpg"]), "person1", "found 0; try folder:.*[^1]$"),
            (
                {"train/1": ["a.jpg"], "query/2": [], "gallery/2": ["a.jpg"]},
                ".",
                "in .*query and found none",
            ),
            (
                {"train/1": ["a.jpg"], "query/2": ["a.jpg"], "gallery/3": ["a.jpg"]},
                ".",
                "no identity of",
            ),
        ],
    )
    def test_are_said_in_a_sentence(self, tmp_path, folders, path, said):
        for folder in folders:
            (tmp_path / folder).mkdir(parents=True)
        tree(tmp_path, folders)
        with pytest.raises(ValueError, match=said):
            data.load(f"folder:{tmp_path / path}")

    def test_a_file(self, tmp_path):
        (tmp_path / "x").touch()
        with pytest.raises(ValueError, match="x, which is a file"):
            data.load(f"folder:{tmp_path / 'x'}")
