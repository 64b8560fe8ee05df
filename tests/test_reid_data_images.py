"""Image files of the example: every kind becomes uint8 [3, H, W], and one that is broken is named."""

import numpy as np
import pytest
import torch

import data

pytest.importorskip("PIL")

from PIL import Image

from data.images import read
from reid_trees import MARKET, image, tree


def test_grey_palette_and_transparent_ones_become_rgb(tmp_path):
    original = Image.new("RGB", (4, 6), (255, 0, 0))
    for name, mode in (("p.png", "P"), ("a.png", "RGBA"), ("g.png", "L"), ("c.jpg", "CMYK")):
        original.convert(mode).save(tmp_path / name)
        assert read(tmp_path / name, 6, 4).shape == (3, 6, 4)
    assert read(tmp_path / "a.png", 6, 4)[:, 3, 2].tolist() == [255, 0, 0]
    assert read(tmp_path / "g.png", 6, 4)[:, 3, 2].tolist() == [76] * 3


def test_a_photograph_lying_on_its_side_is_stood_up(tmp_path):
    photo = Image.new("RGB", (40, 20), (0, 0, 0))
    photo.paste((255, 255, 255), (0, 0, 20, 20))  # left half
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90° to the right to see it upright: left becomes top
    photo.save(tmp_path / "phone.jpg", exif=exif)
    image = read(tmp_path / "phone.jpg", 40, 20)
    assert image[:, 5].min() > 240 and image[:, 35].max() < 15


@pytest.mark.parametrize("kept", [0, 1, 40, 0.5, 0.9])
@pytest.mark.parametrize("name", ["0001_c1s1_001051_00.jpg", "x.png", "x.bmp", "x.webp"])
def test_a_truncated_file_is_named(tmp_path, name, kept):
    path = tmp_path / name
    grain = torch.randint(
        256, (64, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    Image.fromarray(grain.numpy()).save(path)
    assert read(path, 64, 32).shape == (3, 64, 32)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(kept * len(whole))])
    with pytest.raises(ValueError, match=f"{name} cannot be read as an image: "):
        read(path, 64, 32)


def test_one_that_is_gone_is_named(tmp_path):
    split = data.load(f"market1501:{tree(tmp_path, MARKET)}").query
    (tmp_path / "query/0001_c1s1_001051_00.jpg").unlink()
    with pytest.raises(
        ValueError, match=r"0001_c1s1_001051_00.jpg cannot be read as an image: No such"
    ):
        split[0]
    assert split[1].shape == (3, 256, 128)


def test_a_loader_with_processes_names_it_too(tmp_path):
    split = data.load(f"market1501:{tree(tmp_path, MARKET)}").query
    (tmp_path / "query/0001_c6s3_001052_00.jpg").write_bytes(b"<html>404</html>")
    with pytest.raises(ValueError, match=r"0001_c6s3_001052_00.jpg cannot be read as an image"):
        list(torch.utils.data.DataLoader(split, 2, num_workers=1))


def test_halves_are_averaged_not_skipped_when_made_smaller(tmp_path):
    stripes = torch.zeros(64, 64, 3, dtype=torch.uint8)
    stripes[::2] = 254
    Image.fromarray(stripes.numpy()).save(tmp_path / "stripes.png")
    small = read(tmp_path / "stripes.png", 8, 8).int()
    assert int((small - 127).abs().max()) <= 8
    image(tmp_path / "one.png")
    assert read(tmp_path / "one.png", 3, 5).unique(dim=2).shape == (3, 3, 1)


def test_a_contact_sheet_shows_one_identity_a_row(tmp_path, capsys):
    from data import sheet

    loaded = data.load("synthetic:identities=5,test=2,images=4,cameras=2,size=32x16")
    page = sheet.sheet(loaded.train, rows=3, columns=4, zoom=2)
    assert page.size == (4 * 18 * 2, 3 * 34 * 2)
    second = (loaded.train.identities == 2).nonzero()[:, 0]
    first_camera = second[loaded.train.cameras[second] == 1][0]
    seen = torch.from_numpy(np.array(page)).permute(2, 0, 1)[:, ::2, ::2]
    assert torch.equal(seen[:, 34 : 34 + 32, :16], loaded.train[int(first_camera)])
    assert int(seen[:, 32:34].min()) == 255

    out = tmp_path / "sheet.png"
    sheet.main(["synthetic:size=16x16,identities=4,images=4", "--rows", "3", "--out", str(out)])
    assert "train        16 images" in capsys.readouterr().out
    assert [file.name for file in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nothing"], "data must be one of synthetic"),
        (["synthetic", "--rows", "0"], "--rows must be in 1…1000, got 0"),
        (["synthetic", "--colours", "999"], "--colours must be in 2…256, got 999"),
        (["synthetic:images=4,size=16x16", "--out", "/nowhere/sheet.png"], "/nowhere/sheet.png"),
    ],
)
def test_a_contact_sheet_that_cannot_be_made(arguments, said, capsys):
    from data import sheet

    with pytest.raises(SystemExit) as raised:
        sheet.main(arguments)
    assert raised.value.code == 2 and said in capsys.readouterr().err
