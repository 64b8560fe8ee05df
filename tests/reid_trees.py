"""Small data sets in the published formats, in a folder that a test gives."""

from PIL import Image

MARKET = {
    "bounding_box_train": ["0002_c1s1_000451_03.jpg", "0002_c2s1_000501_01.jpg", "0007_c3s2_000001_01.jpg"],
    "query": ["0001_c1s1_001051_00.jpg", "0001_c6s3_001052_00.jpg"],
    "bounding_box_test": [
        "-1_c1s1_000401_03.jpg",
        "0000_c1s1_000151_01.jpg",
        "0001_c2s1_000301_00.jpg",
        "0001_c1s1_001051_01.jpg",
    ],
}  # fmt: skip
DUKE = {
    "bounding_box_train": ["0001_c2_f0046182.jpg", "0001_c5_f0051341.jpg"],
    "query": ["0005_c2_f0046985.jpg"],
    "bounding_box_test": ["0005_c5_f0051781.jpg", "7139_c8_f0000001.jpg"],
}
VERI = {
    "image_train": ["0001_c001_00016450_0.jpg", "0001_c020_00016450_0.jpg"],
    "image_query": ["0002_c002_00030600_0.jpg"],
    "image_test": ["0002_c002_00030605_1.jpg", "0002_c011_00030600_0.jpg"],
}
MSMT = {  # list: lines, each an image in train or test
    "list_train.txt": [("0000/0000_000_01_0303morning_0008_0.jpg", 0)],
    "list_val.txt": [("0000/0000_001_14_0303morning_0015_0.jpg", 0)],
    "list_query.txt": [("0000/0000_000_02_0302afternoon_1171_2.jpg", 0)],
    "list_gallery.txt": [
        ("0000/0000_003_05_0113noon_0002_0_ex.jpg", 0),
        ("0001/0001_004_15_0302morning_0123_1.jpg", 1),
    ],
}


def image(path, colour=(200, 100, 50), size=(8, 16)):
    """A picture of one colour, size = (width, height)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def tree(root, folders):
    """{folder: [file]}; the n-th image of all is (10 n, 100, 50), as JPEG keeps it nearly."""
    number = 0
    for folder, names in folders.items():
        for name in names:
            image(root / folder / name, (10 * number, 100, 50))
            number += 1
    return root


def msmt(root, folders=("train", "test")):
    for name, lines in MSMT.items():
        place = root / folders[name in ("list_query.txt", "list_gallery.txt")]
        for file, _ in lines:
            image(place / file)
        (root / name).write_text("".join(f"{file} {who}\n" for file, who in lines))
    return root
