"""Tests that conversions keep masks where the format can, and count the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.data.convert.convertible_dataset import ConvertibleDataset, read_convertible_dataset
from detect.data.convert.lost_fields import lost_fields
from detect.data.formats.detect_format import WritableFormat
from detect.data.masks import Mask, PolygonMask, RleMask
from tests.data.convert.test_convert import convert_and_read
from tests.data.folders import coco_document, write_image

SQUARE = [10, 5, 30, 5, 30, 25, 10, 25]
TRIANGLE = [11.37, 7.77, 33.33, 7.91, 20.05, 31.1]
WIDE = [5, 5, 50, 5, 50, 30]


@pytest.fixture
def dataset(tmp_path: Path) -> ConvertibleDataset:
    """Five objects: polygons that give the box again, one that does not, two rings, a crowd of runs, and none."""
    write_image(tmp_path / "set/images/a.jpg")

    def row(number: int, segmentation: object, box: tuple[float, ...], **fields: object) -> dict[str, object]:
        x1, y1, x2, y2 = box
        bbox = [x1, y1, x2 - x1, y2 - y1]
        return {"id": number, "image_id": 7, "category_id": 3, "bbox": bbox, "segmentation": segmentation, **fields}

    rows = [
        row(1, [SQUARE], (10, 5, 30, 25)),
        row(2, [TRIANGLE], (11.37, 7.77, 33.33, 31.1), corners=[11.37, 7.77, 33.33, 31.1]),
        row(3, [SQUARE], (10, 5, 31, 25)),
        row(4, [SQUARE, WIDE], (5, 5, 50, 30)),
        row(5, {"size": [40, 60], "counts": [400, 20, 20, 20, 1940]}, (10, 0, 12, 20), iscrowd=1),
        row(6, [], (10, 5, 30, 25)),
    ]
    (tmp_path / "set/train.json").write_text(json.dumps(coco_document(rows, ["a.jpg"], ["cat"])))
    return read_convertible_dataset(tmp_path / "set", "coco", None)


def masks_of(dataset: ConvertibleDataset) -> list[Mask | None]:
    return [instance.mask for instance in dataset.objects()]


@pytest.mark.parametrize(("target", "num_kept"), [("coco", 5), ("yolo", 2), ("voc", 0), ("csv", 0)])
def test_masks_are_kept_or_counted(
    dataset: ConvertibleDataset, tmp_path: Path, target: WritableFormat, num_kept: int
) -> None:
    before = masks_of(dataset)
    assert [type(mask) for mask in before] == [*[PolygonMask] * 4, RleMask, type(None)]
    back = convert_and_read(dataset, target, tmp_path / "new")
    kept = masks_of(back)
    assert kept == [*before[:num_kept], *[None] * (6 - num_kept)]
    assert [instance.box for instance in back.objects()] == [instance.box for instance in dataset.objects()]
    lost = [phrase for phrase in lost_fields(dataset.images().values(), target) if "outlines of" in phrase]
    assert lost == ([f"the outlines of {5 - num_kept} objects"] if num_kept < 5 else [])


def test_a_stated_area_stays_and_a_missing_one_is_that_of_the_mask(dataset: ConvertibleDataset, tmp_path: Path) -> None:
    back = convert_and_read(dataset, "coco", tmp_path / "new")
    areas = [instance.area for instance in back.objects()]
    assert areas[0] == 400
    assert areas[5] == 400  # of the box
    again = convert_and_read(back, "coco", tmp_path / "again")
    assert [instance.area for instance in again.objects()] == areas
