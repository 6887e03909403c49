from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from detect.errors import UserError
from detect.inference.image_detections import ImageDetections
from detect.system import packages

CLASSES = ("cat", "dog")


def detections(masked: bool = False, count: int = 2) -> ImageDetections:
    boxes = torch.tensor([[10.0, 20, 60, 40], [0, 0, 30.5, 30]])[:count]
    masks = torch.stack([torch.ones(4, 4), torch.eye(4)])[:count] if masked else None
    scores, labels = torch.tensor([0.9, 0.25])[:count], torch.tensor([2, 1])[:count]
    return ImageDetections(boxes, scores, labels, None, CLASSES, masks, (100, 200), "/p/a.jpg")


def test_coco_rows_have_the_ids_that_are_given() -> None:
    rows = detections().to_coco(40, category_ids=[3, 90])
    assert [(row["image_id"], row["category_id"], row["bbox"]) for row in rows] == [
        (40, 90, [10, 20, 50, 20]),
        (40, 3, [0, 0, 30.5, 30]),
    ]
    assert [row["category_id"] for row in detections().to_coco(1)] == [2, 1]
    assert detections(count=0).to_coco(1) == []
    assert detections(masked=True).to_coco(1)[0]["segmentation"]["size"] == [100, 200]
    with pytest.raises(UserError, match="expected 2 category_ids, one a class, found 1"):
        detections().to_coco(1, [3])


def test_torchmetrics_gets_labels_from_1_and_masks_of_the_image() -> None:
    fields = detections(masked=True).to_torchmetrics()
    assert fields["labels"].tolist() == [2, 1]
    assert fields["masks"].shape == (2, 100, 200)
    assert fields["masks"][0, 25:35, 20:50].all()
    assert fields["masks"][0].sum() <= 50 * 20
    assert "masks" not in detections().to_torchmetrics()


def test_a_selection_keeps_the_image() -> None:
    chosen = detections().above(0.5)
    assert (type(chosen), chosen.size, chosen.file, len(chosen)) == (ImageDetections, (100, 200), "/p/a.jpg", 1)
    assert repr(chosen) == "ImageDetections(1: dog 0.90)"
    with pytest.raises(UserError, match="expected detections with masks"):
        chosen.bitmaps()


@pytest.mark.parametrize("method", ["to_supervision", "to_pandas"])
def test_without_the_package_there_is_one_line(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "has_package", lambda name: False)  # noqa: ARG005
    with pytest.raises(UserError, match=f"^{method}: expected the package .* fix: pip install"):
        getattr(detections(), method)()


@pytest.mark.parametrize("count", [0, 2])
def test_supervision_counts_classes_from_0(count: int) -> None:
    pytest.importorskip("supervision", reason="the package supervision is optional, and not installed here")
    theirs = detections(masked=True, count=count).to_supervision()
    assert len(theirs) == count
    assert theirs.class_id.tolist() == [1, 0][:count]
    assert theirs.data["class_name"].tolist() == ["dog", "cat"][:count]
    assert theirs.xyxy.tolist() == detections(count=count).boxes.tolist()
    assert theirs.mask.shape == (count, 100, 200)


@pytest.mark.parametrize("count", [0, 2])
def test_pandas_has_a_row_for_each_detection(count: int) -> None:
    pytest.importorskip("pandas", reason="the package pandas is optional, and not installed here")
    table = replace(detections(count=count)).to_pandas()
    assert table.columns.tolist() == ["file", "name", "label", "score", "x1", "y1", "x2", "y2"]
    assert table["name"].tolist() == ["dog", "cat"][:count]
    assert np.array_equal(table[["x1", "y1", "x2", "y2"]].to_numpy(), detections(count=count).boxes.numpy())
