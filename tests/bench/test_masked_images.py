"""Photos with masks of VOC and of COCO."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.bench.masked_images import masked_files
from detect.errors import UserError
from tests.bench.masked_folders import Objects, write_coco, write_voc

OBJECTS: Objects = [("cat", [0, 0, 10, 20]), ("dog", [30, 40, 50, 60])]


@pytest.mark.parametrize(("write", "split"), [(write_voc, "val"), (write_coco, "annotations/instances_val")])
def test_masks_are_paired_with_their_objects(
    write: Callable[[Path, Path, Objects], Path], split: str, image: Path, tmp_path: Path
) -> None:
    (file,) = masked_files(write(tmp_path / "folder", image, OBJECTS), split, None)
    masked = file.read()
    assert masked.image == file.image
    assert masked.image.is_file()
    assert masked.names == ("cat", "dog")
    assert [int(mask.sum()) for mask in masked.masks] == [200, 400]
    assert masked.boxes.tolist() == [[0, 0, 10, 20], [30, 40, 50, 60]]


@pytest.mark.parametrize(
    ("skip", "most", "expected"), [(0, None, "abc"), (0, 2, "ab"), (1, None, "bc"), (1, 1, "b"), (2, 5, "c")]
)
def test_the_first_images_are_skipped(skip: int, most: int | None, expected: str, image: Path, tmp_path: Path) -> None:
    root = write_voc(tmp_path / "voc", image, [])
    for name in "bc":
        shutil.copy(root / "SegmentationObject" / "a.png", root / "SegmentationObject" / f"{name}.png")
    (root / "ImageSets" / "Main" / "val.txt").write_text("a\nnone\nb\nc\n")
    assert "".join(file.image.stem for file in masked_files(root, "val", most, skip)) == expected
    with pytest.raises(UserError, match="expected masks of images in val after the first 3, found none"):
        masked_files(root, "val", most, 3)


def test_a_list_without_masks_is_refused(image: Path, tmp_path: Path) -> None:
    root = write_voc(tmp_path / "voc", image, [])
    (root / "SegmentationObject" / "a.png").unlink()
    with pytest.raises(UserError, match="expected masks"):
        masked_files(root, "val", 5)
    with pytest.raises(UserError, match=r"train\.txt: expected a list of images"):
        masked_files(root, "train", 5)
    with pytest.raises(UserError, match="train"):
        masked_files(write_coco(tmp_path / "coco", image, OBJECTS), "train", 5)
