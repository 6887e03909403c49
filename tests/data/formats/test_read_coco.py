from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detect.data.annotations import Annotations
from detect.data.formats.coco import read_coco
from detect.errors import UserError
from tests.data.folders import coco_document, write_image

Coco = Callable[[Any], Path]


def annotation(
    annotation_id: int = 1, box: Any = (10, 5, 20, 30), category: int = 3, image: int = 7, **more: Any
) -> dict[str, Any]:
    return {
        "id": annotation_id,
        "image_id": image,
        "category_id": category,
        "bbox": box,
        "area": 99.5,
        "iscrowd": 0,
    } | more


def read(root: Path, classes: list[str] | None = None) -> Annotations:
    return read_coco(root / "instances.json", root / "images", classes)


def test_read_coco_without_annotations(coco: Coco) -> None:
    annotations = read(coco(coco_document([])))
    assert (len(annotations), len(annotations.labels), annotations.classes) == (2, 0, ("cat", "dog"))
    assert annotations[1].boxes.shape == (0, 4)


def test_read_coco_without_images(coco: Coco) -> None:
    assert len(read(coco(coco_document([], images=[])))) == 0


def test_read_coco_with_id_gaps_crowd_and_areas(coco: Coco) -> None:
    objects = [annotation(1, category=13), annotation(2, image=17), annotation(3, [0.5, 1, 2, 3], iscrowd=1)]
    annotations = read(coco(coco_document(objects)))
    assert annotations.image_ids.tolist() == [7, 17]
    assert annotations.category_ids.tolist() == [3, 13]
    assert annotations.labels.tolist() == [2, 1, 1]
    assert annotations.crowd.tolist() == [False, True, False]
    assert annotations.boxes.tolist() == [[10, 5, 30, 35], [0.5, 1, 2.5, 4], [10, 5, 30, 35]]
    assert annotations.areas.tolist() == [99.5] * 3
    assert annotations.size(0) == (40, 60)
    assert Path(annotations.file(1)).name == "b.jpg"


def test_read_coco_orders_classes_by_id(coco: Coco) -> None:
    document = coco_document([annotation(category=23)], names=["b", "a", "c"])
    document["categories"].reverse()
    annotations = read(coco(document))
    assert (annotations.classes, annotations.labels.tolist()) == (("b", "a", "c"), [3])


def test_read_coco_without_area_and_crowd(coco: Coco) -> None:
    record = annotation()
    del record["area"], record["iscrowd"]
    annotations = read(coco(coco_document([record])))
    assert (annotations.areas.tolist(), annotations.crowd.tolist()) == ([600.0], [False])


def test_read_coco_with_requested_classes(coco: Coco) -> None:
    annotations = read(coco(coco_document([annotation(category=13)])), ["cow", "dog"])
    assert (annotations.classes, annotations.labels.tolist()) == (("cow", "dog"), [2])
    assert annotations.category_ids.tolist() == [14, 13]


def test_read_coco_with_unknown_class_fails(coco: Coco) -> None:
    root = coco(coco_document([annotation(category=13)]))
    with pytest.raises(UserError, match=r'instances\.json: .* 1 classes, found "dog" \(did you mean "dogs"\?\)'):
        read(root, ["dogs"])


@pytest.mark.parametrize(
    ("box", "reason"),
    [
        ([1, 2, 0, 5], "without extent"),
        ([1, 2, 5, -1], "without extent"),
        ([1, float("nan"), 5, 5], "not finite"),
        ([1, 2, float("inf"), 5], "not finite"),
        ([1, 2, 10**400, 5], "not finite"),
        ([60, 2, 5, 5], "outside its 60 x 40 image"),
    ],
)
def test_read_coco_drops_and_reports_invalid_boxes(coco: Coco, box: list[float], reason: str) -> None:
    annotations = read(coco(coco_document([annotation(5), annotation(6, box)])))
    assert len(annotations.labels) == 1
    assert "instances.json: annotation 6 of a.jpg (cat): " in str(annotations.dropped[0])
    assert reason in str(annotations.dropped[0])


def without(name: str, **changes: Any) -> dict[str, Any]:
    document = coco_document([annotation()]) | changes
    return {key: value for key, value in document.items() if key != name}


IMAGE = {"id": 7, "file_name": "a.jpg", "width": 60, "height": 40}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "found another JSON value"),
        (without("images"), 'top level: expected "images", found nothing'),
        (without("annotations", anotations=[]), '"annotations", found nothing (did you mean "anotations"?)'),
        (without("", images={}), '"images": expected a list, found {}'),
        (without("", images=[IMAGE, IMAGE]), "image 2: expected each image id once, found 7 again"),
        (without("", images=[IMAGE | {"id": "7"}]), 'image 1: "id": expected an integer, found "7"'),
        (without("", images=[IMAGE | {"id": True}]), "expected an integer"),
        (without("", images=[IMAGE | {"height": 0}]), "expected a height and width above 0"),
        (without("", images=[IMAGE | {"height": None}]), '"height": expected an integer, found null'),
        (without("", images=[IMAGE | {"file_name": "../.."}]), "expected a path inside"),
        (without("", images=[IMAGE | {"file_name": "/"}]), "expected a path inside"),
        (without("", images=[5]), "image 1: expected an object, found 5"),
        (without("", categories=[{"id": 3, "name": "a"}] * 2), "category 2: expected each category once"),
        (
            without("", annotations=[annotation(image=8)]),
            'annotation 1: "image_id": expected the id of an image, found 8',
        ),
        (without("", annotations=[annotation(category=4)]), '"category_id": expected the id of a category, found 4'),
        (without("", annotations=[annotation(box=[1, 2, 3])]), '"bbox": expected 4 numbers, found [1, 2, 3]'),
        (without("", annotations=[annotation(box="wide")]), '"bbox": expected a list'),
        (without("", annotations=[{"image_id": 7}]), 'annotation 1: expected "category_id"'),
    ],
)
def test_read_coco_of_invalid_document_fails(coco: Coco, document: Any, message: str) -> None:
    root = coco(document)
    with pytest.raises(UserError) as raised:
        read(root)
    assert message in str(raised.value)
    assert str(raised.value).startswith(f"{root}/instances.json: ")
    assert "\n" not in str(raised.value)


def test_read_coco_of_damaged_json_fails(coco: Coco) -> None:
    root = coco(coco_document([]))
    (root / "instances.json").write_text('{"images": [')
    with pytest.raises(UserError, match=r"instances\.json: expected a COCO annotation file, found damaged JSON"):
        read(root)


def test_read_coco_without_sizes_reads_the_images(coco: Coco) -> None:
    root = coco(coco_document([annotation()]) | {"images": [{"id": 7, "file_name": "a.jpg", "height": None}]})
    write_image(root / "images/a.jpg", (30, 50))
    assert read(root).size(0) == (30, 50)


def test_read_coco_without_image_fails(coco: Coco) -> None:
    root = coco(coco_document([]))
    (root / "images/b.jpg").unlink()
    with pytest.raises(UserError, match=r"b\.jpg: expected image 17 of .*instances\.json, found nothing"):
        read(root)


def test_read_coco_uses_the_first_folder_with_images(coco: Coco, tmp_path: Path) -> None:
    root = coco(coco_document([]))
    (tmp_path / "empty").mkdir()
    annotations = read_coco(root / "instances.json", [tmp_path / "empty", root / "images"], None)
    assert annotations.file(0) == str(root / "images/a.jpg")


def test_read_coco_with_images_in_sub_folders(coco: Coco) -> None:
    root = coco(coco_document([], images=["x/a.jpg"]))
    write_image(root / "images/x/a.jpg")
    assert read(root).file(0) == str(root / "images/x/a.jpg")


def test_read_coco_of_coco_mini(shared: Path) -> None:
    annotations = read(shared / "data/coco_mini")
    assert (len(annotations), len(annotations.labels), len(annotations.classes)) == (80, 648, 80)
    assert annotations.category_ids[-1] == 90
    assert int(annotations.crowd.sum()) == 8
    assert annotations.dropped == ()
