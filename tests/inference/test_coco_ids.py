from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detect.config import DataConfig
from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.inference.coco_ids import coco_ids, find_coco_ids, write_coco_images
from detect.inference.result_files import read_results
from detect.inference.result_formats import write_format

SHAPES = DataConfig()
CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]


def write_annotations(
    file: Path, names: dict[str, int], categories: object = CATEGORIES, labels: Sequence[int] = ()
) -> None:
    """Write a COCO file; labels: the category ids of its objects."""
    file.parent.mkdir(parents=True, exist_ok=True)
    objects = [{"id": i, "category_id": label} for i, label in enumerate(labels, 1)]
    images = [{"id": image_id, "file_name": name, "width": 20, "height": 10} for name, image_id in names.items()]
    file.write_text(json.dumps({"images": images, "annotations": objects, "categories": categories}))


def prediction(labels: list[int]) -> Prediction:
    """A detection of each label, all with the same box and score."""
    boxes = np.tile([1.0, 2, 3, 4], (len(labels), 1)).reshape(-1, 4)
    return Prediction("a.jpg", 20, 10, boxes, np.full(len(labels), 0.5), np.array(labels, np.int64))


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    files = [tmp_path / "set/val" / name for name in ("a.jpg", "b.jpg")]
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return files


@pytest.mark.parametrize(
    ("file", "names"),
    [
        ("set/annotations/val.json", {"a.jpg": 40, "b.jpg": 9, "c.jpg": 1}),
        ("set/val/_annotations.coco.json", {"a.jpg": 40, "b.jpg": 9}),
        ("set/all.json", {"val/a.jpg": 40, "val/b.jpg": 9, "train/a.jpg": 1}),
    ],
)
def test_ids_are_those_of_the_data_set_beside_the_images(file, names, images, tmp_path):
    write_annotations(tmp_path / file, names)
    matched = find_coco_ids(SHAPES, images, ("cat", "dog"))
    assert matched.ids is not None
    assert [matched.ids.image_ids[str(image)] for image in images] == [40, 9]
    assert matched.ids.category_ids == (3, 7)
    assert str(tmp_path / file) in matched.note


def test_the_data_set_of_the_model_comes_first(images, tmp_path):
    write_annotations(tmp_path / "set/annotations/val.json", {"a.jpg": 1, "b.jpg": 2})
    write_annotations(tmp_path / "labels/mine.json", {"a.jpg": 5, "b.jpg": 6})
    settings = DataConfig(format="coco", root=str(tmp_path / "labels"), val="mine", images=str(tmp_path / "set/val"))
    matched = find_coco_ids(settings, images, ("cat", "dog"))
    assert matched.ids is not None
    assert matched.ids.file == tmp_path / "labels/mine.json"


@pytest.mark.parametrize(
    ("annotations", "words"),
    [
        ([], "numbered from 1"),
        ([({"a.jpg": 1}, CATEGORIES)], "numbered from 1"),
        ([({"a.jpg": 1, "b.jpg": 2}, CATEGORIES[:1])], "found no such category"),
        ([({"a.jpg": 1, "b.jpg": 2}, CATEGORIES), ({"a.jpg": 2, "b.jpg": 1}, CATEGORIES)], "under other ids"),
    ],
)
def test_without_one_data_set_of_all_images_the_note_says_so(annotations, words, images, tmp_path):
    for index, (names, categories) in enumerate(annotations):
        write_annotations(tmp_path / f"set/annotations/val{index}.json", names, categories)
    matched = find_coco_ids(SHAPES, images, ("cat", "dog"))
    assert matched.ids is None
    assert "numbered from 1" in matched.note
    assert words in matched.note


ROOT = [{"id": 0, "name": "animal"}, *({**category, "supercategory": "animal"} for category in CATEGORIES)]
CAT_TWICE = [*CATEGORIES, {"id": 9, "name": "cat"}]


@pytest.mark.parametrize(
    ("categories", "labels", "classes", "ids"),
    [
        ([], [], (), ()),
        (CATEGORIES, [], ("cat", "dog"), (3, 7)),
        (CAT_TWICE, [], ("cat", "dog"), (3, 7)),
        (CAT_TWICE, [3, 7], ("cat", "dog"), (3, 7)),
        (CAT_TWICE, [9, 7], ("cat", "dog"), (9, 7)),
        (ROOT, [3, 7], ("animal", "cat"), (0, 3)),
    ],
)
def test_of_categories_with_one_name_that_with_objects_gives_the_id(categories, labels, classes, ids, tmp_path):
    write_annotations(tmp_path / "gt.json", {}, categories, labels)
    assert coco_ids(tmp_path / "gt.json", [], classes).category_ids == ids


def test_two_categories_of_one_name_with_objects_are_refused(tmp_path):
    write_annotations(tmp_path / "gt.json", {}, CAT_TWICE, [3, 9])
    with pytest.raises(UserError, match=r'gt\.json: categories: .* found id 3 and id 9, both "cat" and with objects'):
        coco_ids(tmp_path / "gt.json", [], ("cat",))


TWO_IMAGES = {"a.jpg": 7, "b.jpg": 9}
ZOO = ("cat", "N/A 12", "dog")


@pytest.mark.parametrize("files", [[], ["a.jpg"], ["x/b.jpg", "s3://photos/a.jpg"]])
def test_an_image_has_the_id_of_its_name(files, tmp_path):
    write_annotations(tmp_path / "gt.json", TWO_IMAGES)
    image_ids = coco_ids(tmp_path / "gt.json", files, ("cat", "dog")).image_ids
    assert image_ids == {file: TWO_IMAGES[Path(file).name] for file in files}


@pytest.mark.parametrize(
    ("listed", "files", "advice"),
    [
        ("1.jpg", ["dup/a/1.jpg", "dup/b/1.jpg"], "name their folders in file_name"),
        ("1#2.jpg", ["a/1#2.jpg", "b/1#2.jpg"], "name their folders in file_name"),
        (
            "clip.mp4",
            ["x/clip.mp4#000000", "x/clip.mp4#000001"],
            "list the frames of the video as images, file_name clip.mp4#000000 for the first",
        ),
    ],
)
def test_two_images_never_have_the_same_id(listed, files, advice, tmp_path):
    write_annotations(tmp_path / "gt.json", {listed: 7})
    with pytest.raises(UserError) as raised:
        coco_ids(tmp_path / "gt.json", files, ("cat",))
    expected = f"expected an id of its own for each image, found 7 for {' and '.join(files)}: {advice}"
    assert str(raised.value) == f"{tmp_path}/gt.json: {expected}"


def test_frames_have_the_ids_of_their_names(tmp_path):
    frames = {"clip.mp4#000000": 7, "clip.mp4#000001": 9}
    write_annotations(tmp_path / "gt.json", {"clip.mp4": 3, **frames})
    assert coco_ids(tmp_path / "gt.json", list(frames), ("cat",)).image_ids == frames


@pytest.mark.parametrize("labels", [[], [1, 3]])
def test_a_class_without_a_name_needs_no_category(labels, tmp_path):
    write_annotations(tmp_path / "gt.json", {"a.jpg": 7})
    ids = coco_ids(tmp_path / "gt.json", ["a.jpg"], ZOO)
    assert ids.category_ids == (3, None, 7)
    write_format(tmp_path / "dt.json", "coco", [prediction(labels)], ZOO, ids)
    rows = json.loads((tmp_path / "dt.json").read_text())
    assert [row["category_id"] for row in rows] == [(3, None, 7)[label - 1] for label in labels]


def test_a_detection_of_a_class_without_a_category_is_refused(tmp_path):
    write_annotations(tmp_path / "gt.json", {"a.jpg": 7})
    ids = coco_ids(tmp_path / "gt.json", ["a.jpg"], ZOO)
    with pytest.raises(UserError, match=r"gt\.json: expected the class N/A 12, found no such category"):
        write_format(tmp_path / "dt.json", "coco", [prediction([1, 2])], ZOO, ids)
    with pytest.raises(UserError, match=r"gt\.json: expected the class bird, found no such category"):
        coco_ids(tmp_path / "gt.json", ["a.jpg"], ("cat", "bird"))


def test_no_images_have_no_ids():
    assert find_coco_ids(SHAPES, [], ("cat",)).ids is None


def write_list(file: Path, names: Sequence[str]) -> None:
    """Write the list that a run without ids leaves beside its results."""
    write_coco_images(file, [replace(prediction([]), file=name) for name in names], ("cat", "dog"))


@pytest.mark.parametrize("names", [[], ["b.jpg"], ["b.jpg", "a.jpg"]])
def test_the_list_of_an_earlier_run_does_not_explain_results_with_the_ids_of_a_data_set(names, tmp_path):
    write_annotations(tmp_path / "gt.json", {"a.jpg": 1, "b.jpg": 2})
    write_list(tmp_path / "coco_images.json", names)
    results, files = tmp_path / "coco_results.json", ["a.jpg", "b.jpg"]
    ids = coco_ids(tmp_path / "gt.json", files, ("cat", "dog"))
    write_format(results, "coco", [replace(prediction([1]), file=file) for file in files], ("cat", "dog"), ids)
    with pytest.raises(UserError, match=r"expected its images in .*coco_images\.json, found no such file"):
        read_results(results)
    found = read_results(results, annotations=tmp_path / "gt.json").predictions
    assert [(image.file, len(image)) for image in found] == [("a.jpg", 1), ("b.jpg", 1)]


@pytest.mark.parametrize("content", ["", "[]", '{"images": [], "categories": [], "annotations": [], "info": {}}', None])
def test_a_file_that_is_no_list_of_an_earlier_run_is_kept(content, tmp_path):
    """None: the annotation file itself, which may be such a list."""
    listed = tmp_path / "coco_images.json"
    write_list(tmp_path / "gt.json" if content is not None else listed, ["a.jpg"])
    if content is not None:
        listed.write_text(content)
    before = listed.read_bytes()
    ids = coco_ids(tmp_path / "gt.json" if content is not None else listed, ["a.jpg"], ("cat", "dog"))
    write_format(tmp_path / "coco_results.json", "coco", [prediction([1])], ("cat", "dog"), ids)
    assert listed.read_bytes() == before
