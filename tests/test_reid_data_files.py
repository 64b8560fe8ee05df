"""The example's loaders of published data sets, on small trees in their formats."""

import os

import pytest
import torch

import data

pytest.importorskip("PIL")


from reid_trees import DUKE, MARKET, VERI, msmt, tree

TREES = {"market1501": MARKET, "dukemtmc": DUKE, "veri776": VERI}


def rows(split):
    """(file's name, identity, camera)"""
    names = [os.path.basename(split.where(i)) for i in range(len(split))]
    return list(zip(names, split.identities.tolist(), split.cameras.tolist(), strict=True))


class TestMarket1501:
    def test_identity_and_camera_are_in_the_name(self, tmp_path):
        loaded = data.load(f"market1501:{tree(tmp_path, MARKET)}")
        assert rows(loaded.train) == [
            ("0002_c1s1_000451_03.jpg", 2, 1),
            ("0002_c2s1_000501_01.jpg", 2, 2),
            ("0007_c3s2_000001_01.jpg", 7, 3),
        ]
        assert rows(loaded.query) == [
            ("0001_c1s1_001051_00.jpg", 1, 1),
            ("0001_c6s3_001052_00.jpg", 1, 6),
        ]
        assert rows(loaded.gallery) == [
            ("-1_c1s1_000401_03.jpg", -1, 1),
            ("0000_c1s1_000151_01.jpg", 0, 1),
            ("0001_c1s1_001051_01.jpg", 1, 1),
            ("0001_c2s1_000301_00.jpg", 1, 2),
        ]
        assert (loaded.junk_ids, loaded.distractor_ids) == ((-1,), (0,))
        assert loaded.name == f"market1501:{tmp_path}"

    def test_images_are_decoded_and_brought_to_one_size(self, tmp_path):
        path = tree(tmp_path, MARKET)
        assert data.load(f"market1501:{path}").train[0].shape == (3, 256, 128)
        train = data.load(f"market1501:{path}", height=32, width=24).train
        for i in range(3):
            assert train[i].shape == (3, 32, 24) and train[i].dtype == torch.uint8
            # one colour, but for what JPEG rounds away
            wanted = torch.tensor([10 * i, 100, 50]).view(3, 1, 1)
            assert int((train[i].int() - wanted).abs().max()) <= 3

    def test_junk_and_distractors_are_not_trained_on(self, tmp_path):
        more = {
            **MARKET,
            "bounding_box_train": [*MARKET["bounding_box_train"], "-1_c1s1_000401_03.jpg"],
        }
        more["bounding_box_train"].append("0000_c1s1_000151_01.jpg")
        loaded = data.load(f"market1501:{tree(tmp_path, more)}")
        assert loaded.train.identities.tolist() == [2, 2, 7]

    def test_what_is_no_image_is_passed_over(self, tmp_path):
        tree(tmp_path, MARKET)
        for name in ("Thumbs.db", "._0002_c1s1_000451_03.jpg", "readme.txt"):
            (tmp_path / "query" / name).write_bytes(b"no image")
        assert len(data.load(f"market1501:{tmp_path}").query) == 2

    def test_home_is_understood(self, tmp_path, monkeypatch):
        monkeypatch.setenv("HOME", str(tmp_path))
        tree(tmp_path / "market", MARKET)
        assert len(data.load("market1501:~/market").train) == 3


def test_dukemtmc(tmp_path):
    loaded = data.load(f"dukemtmc:{tree(tmp_path, DUKE)}")
    assert rows(loaded.train) == [("0001_c2_f0046182.jpg", 1, 2), ("0001_c5_f0051341.jpg", 1, 5)]
    assert rows(loaded.query) == [("0005_c2_f0046985.jpg", 5, 2)]
    assert rows(loaded.gallery) == [
        ("0005_c5_f0051781.jpg", 5, 5),
        ("7139_c8_f0000001.jpg", 7139, 8),
    ]
    assert (loaded.junk_ids, loaded.distractor_ids) == ((), ())


class TestVeri776:
    def test_identity_and_camera_are_in_the_name(self, tmp_path):
        loaded = data.load(f"veri776:{tree(tmp_path, VERI)}")
        assert rows(loaded.train) == [
            ("0001_c001_00016450_0.jpg", 1, 1),
            ("0001_c020_00016450_0.jpg", 1, 20),
        ]
        assert [row[1:] for row in rows(loaded.query)] == [(2, 2)]
        assert [row[1:] for row in rows(loaded.gallery)] == [(2, 2), (2, 11)]
        assert loaded.query[0].shape == (3, 256, 256)

    def test_a_list_says_which_images_count(self, tmp_path):
        tree(tmp_path, VERI)
        (tmp_path / "name_test.txt").write_text("0002_c011_00030600_0.jpg\n")
        assert rows(data.load(f"veri776:{tmp_path}").gallery) == [
            ("0002_c011_00030600_0.jpg", 2, 11)
        ]

    def test_a_list_that_names_what_is_not_there(self, tmp_path):
        tree(tmp_path, VERI)
        (tmp_path / "name_test.txt").write_text(
            "0002_c011_00030600_0.jpg\n0003_c011_00030600_0.jpg\n"
        )
        with pytest.raises(
            ValueError, match=r"name_test.txt names 2 images, of which 1 are not in .*0003"
        ):
            data.load(f"veri776:{tmp_path}")


class TestMsmt17:
    @pytest.mark.parametrize("folders", [("train", "test"), ("mask_train_v2", "mask_test_v2")])
    def test_lists_say_who_and_names_which_camera(self, tmp_path, folders):
        loaded = data.load(f"msmt17:{msmt(tmp_path, folders)}", height=16, width=8)
        assert rows(loaded.train) == [
            ("0000_000_01_0303morning_0008_0.jpg", 0, 1),
            ("0000_001_14_0303morning_0015_0.jpg", 0, 14),
        ]
        assert rows(loaded.query) == [("0000_000_02_0302afternoon_1171_2.jpg", 0, 2)]
        assert rows(loaded.gallery) == [
            ("0000_003_05_0113noon_0002_0_ex.jpg", 0, 5),
            ("0001_004_15_0302morning_0123_1.jpg", 1, 15),
        ]
        # identities count from 0: none of them is a distractor
        assert (loaded.junk_ids, loaded.distractor_ids) == ((), ())
        assert loaded.gallery[1].shape == (3, 16, 8)

    @pytest.mark.parametrize(
        "line", ["0000/0000_000_01.png 0", "0000/0000_000_01_a.jpg", "0000/a.jpg 0"]
    )
    def test_a_line_that_is_no_line(self, tmp_path, line):
        msmt(tmp_path)
        with open(tmp_path / "list_val.txt", "a") as file:
            file.write(f"{line}\n")
        with pytest.raises(ValueError, match=f"list_val.txt and found '{line}' in line 2"):
            data.load(f"msmt17:{tmp_path}")

    def test_an_image_that_is_not_there(self, tmp_path):
        msmt(tmp_path)
        (tmp_path / "test/0001/0001_004_15_0302morning_0123_1.jpg").unlink()
        said = r"list_gallery.txt names 2 images, of which 1 are not there, the first being .*0001_004_15"
        with pytest.raises(ValueError, match=said):
            data.load(f"msmt17:{tmp_path}")

    def test_an_empty_list(self, tmp_path):
        msmt(tmp_path)
        (tmp_path / "list_query.txt").write_text("\n")
        with pytest.raises(ValueError, match=r"list_query.txt, which is empty"):
            data.load(f"msmt17:{tmp_path}")


def planted(kind, root):
    return msmt(root) if kind == "msmt17" else tree(root, TREES[kind])


@pytest.mark.parametrize("kind", [*TREES, "msmt17"])
class TestWrongFolders:
    """Every sentence says what was looked for and where, and what to try where that can be known."""

    def said(self, kind, path):
        with pytest.raises(ValueError) as raised:
            data.load(f"{kind}:{path}")
        text = str(raised.value)
        assert text.startswith(f"{kind} looked for ") and "\n" not in text
        return text

    def test_nothing_there(self, kind, tmp_path):
        assert f"{tmp_path}/x, which does not exist" in self.said(kind, tmp_path / "x")

    def test_a_file(self, kind, tmp_path):
        (tmp_path / "x").touch()
        assert f"{tmp_path}/x, which is a file" in self.said(kind, tmp_path / "x")

    def test_empty(self, kind, tmp_path):
        assert f"in {tmp_path} and found nothing there" in self.said(kind, tmp_path)

    @pytest.mark.parametrize("below", ["pytorch", "a/b"])
    def test_one_or_two_levels_too_high(self, kind, below, tmp_path):
        planted(kind, tmp_path / below)
        assert self.said(kind, tmp_path).endswith(f"; try {kind}:{tmp_path / below}")

    def test_a_level_too_low(self, kind, tmp_path):
        planted(kind, tmp_path)
        inside = next(e for e in sorted(tmp_path.iterdir()) if e.is_dir())
        assert self.said(kind, inside).endswith(f"; try {kind}:{tmp_path}")

    def test_a_level_too_low_by_a_relative_path(self, kind, tmp_path, monkeypatch):
        planted(kind, tmp_path)
        monkeypatch.chdir(next(e for e in sorted(tmp_path.iterdir()) if e.is_dir()))
        assert self.said(kind, ".").endswith(f"; try {kind}:{tmp_path}")

    def test_half_unpacked(self, kind, tmp_path):
        planted(kind, tmp_path)
        folder = max(e for e in tmp_path.iterdir() if e.is_dir())
        folder.rename(tmp_path / ".hidden")
        text = self.said(kind, tmp_path)
        assert text.startswith(f"{kind} looked for {folder.name}/ in {tmp_path} and found ")

    def test_not_unpacked(self, kind, tmp_path):
        (tmp_path / "Data.zip").touch()
        assert self.said(kind, tmp_path).endswith("found Data.zip; unpack Data.zip first")


@pytest.mark.parametrize("kind", TREES)
def test_a_folder_without_images(kind, tmp_path):
    asked = tree(tmp_path, TREES[kind]) / list(TREES[kind])[1]
    for file in asked.iterdir():
        file.rename(tmp_path / file.name)
    with pytest.raises(
        ValueError, match=f"{kind} looked for images like .* in {asked} and found none"
    ):
        data.load(f"{kind}:{tmp_path}")


def test_the_name_of_another_data_set_is_recognised(tmp_path):
    tree(tmp_path, MARKET)
    said = (
        r"dukemtmc looked for images like 0005_c2_f0046985.jpg in .*bounding_box_train and found "
        r"0002_c1s1_000451_03.jpg; that is a name of market1501"
    )
    with pytest.raises(ValueError, match=said):
        data.load(f"dukemtmc:{tmp_path}")


def test_a_name_of_no_data_set(tmp_path):
    tree(tmp_path, {**MARKET, "query": ["0001_c1s1_001051_00.jpg", "someone.jpg"]})
    with pytest.raises(ValueError, match=r"query and found someone.jpg$"):
        data.load(f"market1501:{tmp_path}")


def test_nobody_to_train_on(tmp_path):
    tree(tmp_path, {**MARKET, "bounding_box_train": ["-1_c1s1_000401_03.jpg"]})
    with pytest.raises(ValueError, match=r"bounding_box_train shows nobody but \[-1, 0\]"):
        data.load(f"market1501:{tmp_path}")


def test_a_gallery_of_other_people(tmp_path):
    tree(tmp_path, {**MARKET, "query": ["0009_c1s1_001051_00.jpg"]})
    with pytest.raises(ValueError, match="no identity of query/ is in bounding_box_test/"):
        data.load(f"market1501:{tmp_path}")
