"""The example's data sets by name: what load returns and refuses, and the digits."""

import sys

import pytest
import torch

import data
from data.split import Split, TensorSplit
from drsl_cuda.metrics import evaluate

SMALL = "synthetic:identities=6,test=4,images=4,cameras=3,size=16x16"


def splits(loaded):
    return {name: getattr(loaded, name) for name in ("train", "query", "gallery")}


def check_protocol(loaded):
    """What every data set holds to."""
    for name, split in splits(loaded).items():
        assert isinstance(split, torch.utils.data.Dataset) and len(split) > 0, name
        assert split.identities.dtype == split.cameras.dtype == torch.int64
        assert split.identities.shape == split.cameras.shape == (len(split),)
        image = split[0]
        assert image.dtype == torch.uint8 and image.dim() == 3 and image.shape[0] == 3
        assert torch.equal(split[len(split) - 1], split[-1])
        with pytest.raises(IndexError):
            split[len(split)]
    asked, there = (set(loaded.query.identities.tolist()), set(loaded.gallery.identities.tolist()))
    assert asked <= there
    assert not asked & {*loaded.junk_ids, *loaded.distractor_ids}


@pytest.mark.parametrize("spec", [SMALL, "digits"])
def test_every_query_counts_and_the_metrics_take_the_lists_as_they_are(spec):
    if spec == "digits":
        pytest.importorskip("sklearn")
    loaded = data.load(spec)
    check_protocol(loaded)
    query, gallery = loaded.query, loaded.gallery
    assert not set(loaded.train.identities.tolist()) & set(query.identities.tolist())
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(len(s), 4, generator=generator) for s in (query, gallery)]
    result = evaluate(
        features[0], query.identities, query.cameras,
        features[1], gallery.identities, gallery.cameras,
        junk_ids=loaded.junk_ids, distractor_ids=loaded.distractor_ids,
    )  # fmt: skip
    assert bool(result.valid.all())


def test_a_loader_takes_a_split_with_and_without_processes():
    split = data.load(SMALL).train
    alone, helped = (
        list(torch.utils.data.DataLoader(split, 5, num_workers=workers)) for workers in (0, 2)
    )
    assert torch.equal(torch.cat(alone), split.images)
    assert torch.equal(torch.cat(helped), split.images)


def test_describe_counts_images_identities_and_cameras():
    lines = data.describe(data.load(SMALL)).splitlines()
    # 4 test identities of 4 images; a query for each camera of 2; 16 more of junk and distractors
    assert [line.split() for line in lines] == [
        ["train", "24", "images", "6", "identities", "3", "cameras"],
        ["query", "8", "images", "4", "identities", "3", "cameras"],
        ["gallery", "24", "images", "4", "identities", "3", "cameras"],
    ]


@pytest.mark.parametrize(
    "spec, options, said",
    [
        ("market", {}, r"data must be one of synthetic\[:OPTIONS\], digits, market1501:PATH, .*'market'"),
        ("", {}, "got ''"),
        ("synthetic:people=3", {}, "identities=2…1000000, .*size=HEIGHTxWIDTH in 16…1024, got 'people=3'"),
        ("synthetic:identities", {}, "got 'identities'"),
        ("synthetic:images=3", {}, "images must be 4…10000, got '3'"),
        ("synthetic:images=+5", {}, r"images must be 4…10000, got '\+5'"),
        ("synthetic:images=", {}, "images must be 4…10000, got ''"),
        ("synthetic:cameras=1", {}, "cameras must be 2…1000, got '1'"),
        ("synthetic:size=64", {}, "size must be HEIGHTxWIDTH in 16…1024, got '64'"),
        ("synthetic:size=64x4", {}, "size must be HEIGHTxWIDTH in 16…1024, got '64x4'"),
        ("synthetic:images=4,images=5", {}, "images is given twice"),
        ("synthetic:images=4,", {}, "got ''"),
        ("synthetic:size=64x32", {"height": 64}, "size=64x32 and height or width are both given"),
        ("synthetic:identities=1000000", {}, "is 68.7 GiB of pictures, and 8 GiB are the most"),
        ("synthetic", {"height": 8.5}, "height must be a whole number in 8…4096, got 8.5"),
        ("synthetic", {"width": 4}, "width must be a whole number in 8…4096, got 4"),
        ("synthetic", {"width": True}, "width must be a whole number in 8…4096, got True"),
        ("synthetic", {"seed": -1}, "seed must be a whole number from 0 on, got -1"),
        ("digits:5", {}, "digits takes nothing after its name, got digits:5"),
        ("market1501", {}, "market1501 needs the folder of the data set: market1501:PATH"),
        ("folder:", {}, "folder needs the folder of the data set: folder:PATH"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded_is_said_in_a_sentence(spec, options, said):
    with pytest.raises(ValueError, match=said) as raised:
        data.load(spec, **options)
    assert "\n" not in str(raised.value)


def test_a_name_must_be_a_string():
    with pytest.raises(TypeError, match="data must be a string such as synthetic, got int"):
        data.load(3)


def test_split_refuses_lists_that_do_not_belong_together():
    with pytest.raises(ValueError, match=r"shapes \[2\] and \[3\]"):
        Split([1, 2], [1, 2, 3])
    with pytest.raises(ValueError, match=r"uint8 \[2, 3, H, W\], got torch.float32 \[2, 3, 4, 4\]"):
        TensorSplit(torch.zeros(2, 3, 4, 4), [1, 2], [1, 1])


class TestDigits:
    def test_are_all_there_and_divided_by_digit(self):
        pytest.importorskip("sklearn")
        loaded = data.load("digits")
        counts = [len(split) for split in splits(loaded).values()]
        assert sum(counts) == 1797
        assert counts[1] == 4 * 13  # each test digit once in each block
        assert loaded.train.identities.unique().tolist() == [0, 1, 3, 4, 6, 9]
        assert loaded.query.identities.unique().tolist() == [2, 5, 7, 8]
        assert loaded.query.cameras.unique().tolist() == list(range(1, 14))
        assert loaded.train[0].shape == (3, 32, 32)
        assert (loaded.junk_ids, loaded.distractor_ids) == ((), ())  # 0 is a digit

    def test_are_scikit_learns_pixels(self):
        datasets = pytest.importorskip("sklearn.datasets")
        original = datasets.load_digits()
        loaded = data.load("digits", height=16, width=8)
        first = int((torch.from_numpy(original.target) == 0).nonzero()[0])
        wanted = torch.from_numpy(original.images[first] * 255 / 16).round().to(torch.uint8)
        image = loaded.train[0]
        assert loaded.train.identities[0] == 0
        assert torch.equal(image[1, ::2], wanted) and torch.equal(image[2, 1::2], wanted)

    def test_name_the_package_that_is_missing(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
        with pytest.raises(ValueError, match="digits needs the package scikit-learn: pip install"):
            data.load("digits")
