"""The line that says where the splits are from, and what strict training refuses about it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.config import Config
from detect.config.builders.data import load_split_for_model, read_split_for_model, read_splits
from detect.config.builders.splits import describe_folder_splits
from detect.config.files import parse_config
from detect.data.inspect.inspector import scan_folder
from detect.data.usage import require_clean
from detect.errors import UserError
from tests.conftest import Command
from tests.data.cases.write_cases import BOX, coco, voc, write_files, yolo

HINT = "test (1 image) is not used: data.val=test validates on it"
HASH = "split by a hash of the file names"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def make_config(root: Path, **data: object) -> Config:
    return parse_config({"data": {"format": "auto", "root": str(root)} | data, "train": {"steps": 1}}, "test")


def without_validation(config: Config) -> Config:
    return config.model_copy(update={"train": config.train.model_copy(update={"validate_every": None})})


def write(root: Path, files: Mapping[str, str]) -> Path:
    """Write files, and a picture of its own for each whose text is the word image."""
    write_files(root, {name: text for name, text in files.items() if text != "image"})
    for seed, name in enumerate(name for name, text in files.items() if text == "image"):
        cells = np.random.default_rng(seed).integers(0, 256, (4, 5, 3), np.uint8)
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(root / name), cv2.resize(cells, (96, 64), interpolation=cv2.INTER_NEAREST))
    return root


def voc_files(*names: str) -> dict[str, str]:
    return {f"{name}.jpg": "image" for name in names} | {f"{name}.xml": voc() for name in names}


def yolo_files(*names: str) -> dict[str, str]:
    images = {f"images/{name}.jpg": "image" for name in names}
    return images | {f"labels/{name}.txt": yolo() for name in names} | {"classes.txt": "cat\n"}


def voc_lists(**lists: str) -> dict[str, str]:
    files = {f"Annotations/{name}.xml": voc() for name in "abcd"} | {
        f"JPEGImages/{name}.jpg": "image" for name in "abcd"
    }
    return files | {f"ImageSets/Main/{name}.txt": "\n".join(members) for name, members in lists.items()}


def coco_file(*names: str) -> str:
    return coco([(name, (96, 64)) for name in names], [(i, 1, BOX) for i in range(1, len(names) + 1)])


def csv_file(*names: str) -> str:
    return "".join(f"{name},cat,10,12,40,44\n" for name in names)


CUT = "image of a split that is cut in two"
UNUSED = "image of a split that is not used"
LINES: dict[str, tuple[dict[str, str], str, str]] = {
    "VOC: Roboflow": (
        voc_files("train/a", "train/b", "valid/c", "test/d"),
        f"train from train (2 images), val from valid (1 image); {HINT}",
        "",
    ),
    "VOC: no splits": (voc_files("a", "b"), f"all 2 images {HASH}: 1 to train, 1 to validate", ""),
    "VOC: nested and others": (
        voc_files("x/Training/a", "x/Validation/b", "x/c", "x/old/d"),
        "train from Training (1 image), val from Validation (1 image); 2 images with labels in no split are not used",
        f"2 x {UNUSED}",
    ),
    "VOC: trainval and test": (
        voc_lists(trainval="abc", test="d"),
        f"trainval (3 images) {HASH}: 2 to train, 1 to validate; {HINT}",
        f"3 x {CUT}",
    ),
    "VOC: unlisted": (
        voc_lists(train="a", val="b", trainval="ab", extra="bc"),
        "train from train (1 image), val from val (1 image); "
        "extra (1 image) and 1 image with labels in no split are not used",
        f"2 x {UNUSED}",
    ),
    "COCO: folders": (
        {f"{split}/labels.json": coco_file(f"{split}.jpg") for split in ("Train", "Dev")}
        | {f"{split}/{split}.jpg": "image" for split in ("Train", "Dev")},
        "train from Train/labels (1 image), val from Dev/labels (1 image)",
        "",
    ),
    "COCO: all and test": (
        {"all.json": coco_file("a.jpg", "b.jpg"), "test.json": coco_file("c.jpg")}
        | {f"images/{name}.jpg": "image" for name in "abc"},
        f"all (2 images) {HASH}: 1 to train, 1 to validate; {HINT}",
        f"2 x {CUT}",
    ),
    "CSV: files": (
        {
            "my_train.csv": csv_file("a.jpg"),
            "my_validation.csv": csv_file("b.jpg"),
            "old.csv": csv_file("a.jpg", "c.jpg"),
        }
        | {f"{name}.jpg": "image" for name in "abc"},
        "train from my_train (1 image), val from my_validation (1 image); old (1 image) is not used",
        f"1 x {UNUSED}",
    ),
    "YOLO: folders": (
        yolo_files("train/a", "train/b", "val/c"),
        "train from train (2 images), val from val (1 image)",
        "",
    ),
    "YOLO: lists beside names": (
        yolo_files("a", "b", "c") | {"train.txt": "images/a.jpg\n", "Valid.txt": "images/b.jpg\n"},
        "train from train (1 image), val from Valid (1 image); 1 image with labels in no split is not used",
        f"1 x {UNUSED}",
    ),
}


@pytest.mark.parametrize(("files", "line", "refused"), LINES.values(), ids=LINES)
def test_line_on_splits(tmp_path: Path, files: dict[str, str], line: str, refused: str) -> None:
    splits = read_splits(make_config(write(tmp_path / "set", files)))
    assert splits.notes == (f"splits: {line}",)
    if not refused:
        require_clean(splits.usage, "here")
        return
    with pytest.raises(UserError, match=rf"found {refused}"):
        require_clean(splits.usage, "here")


def _without_counts(line: str) -> str:
    """The line on a split that is cut in two, as it is before the images are compared."""
    cut = f" {HASH}: \\d+ to train, \\d+ to validate"
    return re.sub(cut, ", of which training sets 20% aside to validate, by a hash of the file names", line)


@pytest.mark.parametrize(("files", "line"), [case[:2] for case in LINES.values()], ids=LINES)
def test_line_on_the_splits_of_a_folder_is_that_of_training(tmp_path: Path, files: dict[str, str], line: str) -> None:
    folder = scan_folder(write(tmp_path / "set", files), None)
    assert describe_folder_splits(folder) == f"splits: {_without_counts(line)}"


def test_line_on_the_splits_of_a_folder_that_leaves_them_in_doubt(tmp_path: Path) -> None:
    images = {f"{name}.jpg": "image" for name in "ab"}
    files = {"one.csv": csv_file("a.jpg"), "two.csv": csv_file("b.jpg")} | images
    line = describe_folder_splits(scan_folder(write(tmp_path, files), None))
    assert line.startswith("splits: one (1 image) and two (1 image); data.train: expected one split for training in")


@pytest.mark.parametrize(("files", "line"), [case[:2] for case in LINES.values()], ids=LINES)
def test_evaluation_says_which_split_it_scores(tmp_path: Path, files: dict[str, str], line: str) -> None:
    config = make_config(write(tmp_path / "set", files))
    _, (splits_line, *_) = read_split_for_model(config, "val", ["cat"])
    expected = line if HASH in line else line.partition(";")[0].partition(", ")[2]
    assert splits_line == f"splits: {expected}"


def test_split_that_is_asked_for_is_not_refused(tmp_path: Path) -> None:
    splits = read_splits(make_config(write(tmp_path / "set", voc_lists(trainval="abc", test="d")), val=0.3))
    require_clean(splits.usage, "here")
    assert splits.usage.noted == {}
    assert len(splits.train) + len(splits.val) == 3


def test_images_of_both_splits_are_counted(tmp_path: Path) -> None:
    root = write(tmp_path / "set", voc_lists(trainval="abc", val="bc", other="bd"))
    line = f"splits: trainval (3 images) {HASH}: 2 to train, 1 to validate; other (1 image) is not used"
    assert read_splits(make_config(root, train="trainval")).notes == (line,), "trainval contains val"
    splits = read_splits(make_config(root, train="trainval", val="other"))
    assert splits.notes[1:] == ("splits: 1 of the 2 images to validate are also trained on",)
    with pytest.raises(UserError, match="found 1 x image to train on and to validate"):
        require_clean(splits.usage, "here")


def test_copies_in_both_splits_are_counted(tmp_path: Path) -> None:
    root = write(tmp_path / "set", voc_files("train/a", "train/b", "val/c", "val/d", "val/e", "val/f"))
    content = (root / "train/b.jpg").read_bytes()
    long = (root / "train/a.jpg").read_bytes() + bytes(9000)
    for name, copy in (
        ("val/c", content),
        ("val/d", content[:-1] + b"!"),
        ("val/e", content),
        ("train/a", long),
        ("val/f", long[:-1] + b"!"),
    ):
        (root / f"{name}.jpg").write_bytes(copy)
    config = make_config(root, train="train", val="val")
    splits = read_splits(config)
    first = f"{root / 'val/c.jpg'} of {root / 'train/b.jpg'}"
    line = f"splits: 2 of the 4 images to validate are copies of images to train on, the first {first}"
    assert splits.notes[1:] == (line,)
    with pytest.raises(UserError, match="found 2 x image to validate that is a copy of one to train on"):
        require_clean(splits.usage, "here")
    assert read_splits(config, compare_images=False).usage.noted == {}


@pytest.mark.parametrize(
    ("files", "data", "message"),
    [
        (voc_files("a"), {}, "data.val: expected at least two images to split, found 1 in "),
        (voc_files("a", "b"), {"val": 0}, "data.val: expected a split, or a fraction above 0, found 0"),
        (voc_lists(train="ab", val=""), {}, "data.val: expected at least one image, found none in "),
    ],
)
def test_validation_on_nothing_is_refused(
    tmp_path: Path, files: dict[str, str], data: dict[str, object], message: str
) -> None:
    root = write(tmp_path / "set", files)
    with pytest.raises(UserError, match=rf"^{message}.*or train without validation: train\.validate_every=null$"):
        read_splits(make_config(root, **data))
    assert len(read_splits(without_validation(make_config(root, **data))).val) == 0
    with pytest.raises(UserError, match=r"^data\.val: expected at least one image, found none in"):
        load_split_for_model(make_config(root, **data), "val", ["cat"])


def test_images_that_are_one_group_are_split_with_a_line(tmp_path: Path) -> None:
    root = write(tmp_path / "set", voc_files("a"))
    for name in "bcd":
        (root / f"{name}.jpg").write_bytes((root / "a.jpg").read_bytes())
        (root / f"{name}.xml").write_text(voc())
    splits = read_splits(make_config(root))
    assert len(splits.train) + len(splits.val) == 4
    assert len(splits.train) > 0 < len(splits.val)
    assert splits.notes[1].startswith("near-duplicates: all 4 images are one group, so both sides of the split show")


def test_validation_without_objects_is_said(tmp_path: Path) -> None:
    root = write(tmp_path / "set", voc_files("train/a", "val/b") | {"val/b.xml": voc(boxes=[])})
    assert read_splits(make_config(root)).notes[1:] == (
        "splits: the 1 images to validate have no objects, so that there is no score",
    )


def test_config_show_has_the_splits_of_the_folder(tmp_path: Path, detect_command: Command) -> None:
    root = write(tmp_path / "set", voc_files("Training/a", "valid/b"))
    options = ("--set", "data.format=auto", "--set", f"data.root={root}")
    status, out, _ = detect_command("config", "show", "faster_rcnn", *options)
    assert status == 0
    assert "format: voc" in out
    assert "train: Training\n  val: valid\n" in out


def test_a_split_that_is_not_used_and_cannot_be_read_is_said(tmp_path: Path) -> None:
    files = {f"images/{name}/{name}.png": "image" for name in ("train", "val")}
    files |= {f"labels/{name}/{name}.txt": yolo() for name in ("train", "val")}
    write_files(
        tmp_path, files | {"data.yaml": "train: images/train\nval: images/val\ntest: images/gone\nnames: [cat]\n"}
    )
    splits = read_splits(make_config(tmp_path))
    (line,) = (note for note in splits.notes if note.startswith("damaged-annotation"))
    assert "data.yaml: test: " in line
    assert "images/gone" in line
    assert (len(splits.train), len(splits.val)) == (1, 1)
    with pytest.raises(UserError, match="annotation that cannot be read"):
        require_clean(splits.usage, "here")


@pytest.mark.parametrize("in_root", [True, False])
def test_the_folder_of_images_is_in_the_current_folder_or_in_the_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_root: bool
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.chdir(tmp_path)
    write(root if in_root else tmp_path, {"pixels/a.jpg": "image"})
    write_files(root, {"labels.json": coco([("a.jpg", (96, 64))], [(1, 1, BOX)])})
    config = make_config(root, format="coco", images="pixels", train="labels.json", val="labels.json")
    splits = read_splits(config)
    assert Path(splits.train.file(0)) == (root if in_root else tmp_path) / "pixels" / "a.jpg"
    assert not any("missing-image" in note or "not used" in note for note in splits.notes)
