from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from detect.data.masks import decode, encode
from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.inference.labeling_results import local_files, write_cvat, write_label_studio

CLASSES = ("cat", "dog & <co>")
SIZE = (40, 60)


def prediction(file: Path, masked: bool = False) -> Prediction:
    """Two detections; with masks, the second in two parts of which one has a hole."""
    first, second = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    first[5:20, 10:30] = True
    second[0:10, 40:50] = True
    second[3:5, 43:46] = False
    second[30:40, 0:5] = True
    return Prediction(
        file=str(file),
        width=SIZE[1],
        height=SIZE[0],
        boxes=np.array([[10.0, 5, 30, 20], [0.25, 0, 50, 40]]),
        scores=np.array([0.25, 0.9]),
        labels=np.array([1, 2]),
        masks=(encode(first), encode(second)) if masked else None,
    )


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    file = tmp_path / "cvat/images/a b.jpg"
    file.parent.mkdir(parents=True)
    cv2.imwrite(str(file), np.zeros((*SIZE, 3), np.uint8))
    return file


def test_no_images_are_no_tasks(tmp_path: Path) -> None:
    write_label_studio(tmp_path, [], CLASSES)
    write_cvat(tmp_path / "annotations.xml", [], CLASSES)
    assert json.loads((tmp_path / "tasks.json").read_text()) == []
    assert ElementTree.parse(tmp_path / "annotations.xml").findall("image") == []


def test_label_studio_has_percent_and_scores(photo: Path, tmp_path: Path) -> None:
    write_label_studio(tmp_path, [prediction(photo)], CLASSES)
    (task,) = json.loads((tmp_path / "tasks.json").read_text())
    assert task["data"]["image"] == "/data/local-files/?d=images/a%20b.jpg"
    storage = f"LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT={photo.parents[1]}, and add {photo.parent} as its local storage"
    assert local_files([str(photo)]).endswith(storage)
    best, other = task["predictions"][0]["result"]
    assert (best["score"], best["value"]["rectanglelabels"]) == (0.9, ["dog & <co>"])
    assert [other["value"][key] for key in ("x", "y", "width", "height")] == pytest.approx(
        [100 / 6, 12.5, 100 / 3, 37.5]
    )
    assert [label.get("value") for label in ElementTree.parse(tmp_path / "config.xml").iter("Label")] == list(CLASSES)


def test_relative_and_absolute_paths_share_a_folder(
    photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photo.parents[1])
    mixed = [prediction(photo), prediction(Path("images/c.jpg"))]
    write_label_studio(tmp_path, mixed, CLASSES)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    assert [task["data"]["image"].partition("=")[2] for task in tasks] == ["images/a%20b.jpg", "images/c.jpg"]
    write_cvat(tmp_path / "annotations.xml", mixed, CLASSES)
    images = ElementTree.parse(tmp_path / "annotations.xml").findall("image")
    assert [image.get("name") for image in images] == ["a b.jpg", "c.jpg"]


def test_label_studio_has_a_polygon_for_each_part_of_a_mask(photo: Path, tmp_path: Path) -> None:
    write_label_studio(tmp_path, [prediction(photo, masked=True)], CLASSES)
    regions = json.loads((tmp_path / "tasks.json").read_text())[0]["predictions"][0]["result"]
    assert [region["id"] for region in regions] == ["1-0", "1-1", "0-0"]
    points = np.array(regions[2]["value"]["points"]) * (0.6, 0.4)
    assert (points.min(axis=0), points.max(axis=0)) == (
        pytest.approx(np.array([10, 5]), abs=0.3),
        pytest.approx(np.array([30, 20]), abs=0.3),
    )


def test_cvat_has_masks_to_the_pixel(photo: Path) -> None:
    written = prediction(photo, masked=True)
    write_cvat(photo.parents[1] / "annotations.xml", [written], CLASSES)
    (image,) = ElementTree.parse(photo.parents[1] / "annotations.xml").findall("image")
    assert written.masks is not None
    for shape, mask in zip(image, written.masks[::-1], strict=True):
        left, top, width, height = (int(shape.get(key, "")) for key in ("left", "top", "width", "height"))
        lengths = list(map(int, shape.get("rle", "").split(",")))
        window = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths).reshape(height, width)
        bitmap = np.zeros(SIZE, bool)
        bitmap[top : top + height, left : left + width] = window
        assert np.array_equal(bitmap, decode(mask, SIZE))


@pytest.mark.parametrize("empty", [(), (0,), (1,), (0, 1)])
def test_a_detection_without_a_pixel_of_its_mask_is_a_box(empty: tuple[int, ...], photo: Path, tmp_path: Path) -> None:
    written = prediction(photo, masked=True)
    assert written.masks is not None
    nothing = encode(np.zeros(SIZE, bool))
    masks = tuple(nothing if index in empty else mask for index, mask in enumerate(written.masks))
    write_cvat(tmp_path / "a.xml", [replace(written, masks=masks)], CLASSES)
    write_label_studio(tmp_path, [replace(written, masks=masks)], CLASSES)
    (image,) = ElementTree.parse(tmp_path / "a.xml").findall("image")
    best_first = (1, 0)
    assert [shape.tag for shape in image] == ["box" if index in empty else "mask" for index in best_first]
    assert [shape.findtext("attribute") for shape in image] == ["0.9", "0.25"]
    regions = json.loads((tmp_path / "tasks.json").read_text())[0]["predictions"][0]["result"]
    objects = {region["id"].partition("-")[0]: region["from_name"] for region in regions}
    assert objects == {str(index): "box" if index in empty else "mask" for index in best_first}
    controls = {element.get("name") for element in ElementTree.parse(tmp_path / "config.xml").getroot()}
    assert controls == {"image", "box", "mask"}


def test_a_name_that_xml_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected names of images that XML can hold"):
        write_cvat(tmp_path / "b.xml", [prediction(Path("a\x01.jpg"))], CLASSES)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("masked", [False, True])
def test_label_studio_sdk_validates_the_tasks(masked: bool, photo: Path, tmp_path: Path) -> None:
    sdk = pytest.importorskip("label_studio_sdk.label_interface", reason="label_studio_sdk is not installed here")
    write_label_studio(tmp_path, [prediction(photo, masked)], CLASSES)
    interface = sdk.LabelInterface((tmp_path / "config.xml").read_text())
    for task in json.loads((tmp_path / "tasks.json").read_text()):
        assert interface.validate_prediction(task["predictions"][0], return_errors=True) == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("masked", [False, True])
def test_datumaro_reads_the_file_of_cvat(masked: bool, photo: Path) -> None:
    reader = pytest.importorskip("datumaro.plugins.data_formats.cvat.base", reason="datumaro is not installed here")
    written = prediction(photo, masked)
    write_cvat(photo.parents[1] / "annotations.xml", [written], CLASSES)
    (item,) = list(reader.CvatBase(str(photo.parents[1] / "annotations.xml")))
    best, other = item.annotations
    assert (best.attributes["score"], other.attributes["score"]) == (0.9, 0.25)
    assert (best.label, other.label) == (1, 0)
    if written.masks is None:
        assert best.get_bbox() == pytest.approx([0.25, 0, 49.75, 40])
    else:
        assert np.array_equal(best.image.astype(bool), decode(written.masks[1], SIZE))
