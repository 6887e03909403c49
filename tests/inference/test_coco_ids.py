from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.config import DataConfig
from detect.inference.coco_ids import find_coco_ids

SHAPES = DataConfig()
CATEGORIES = [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}]


def write_annotations(file: Path, names: dict[str, int], categories: object = CATEGORIES) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": image_id, "file_name": name, "width": 20, "height": 10} for name, image_id in names.items()]
    file.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))


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


def test_no_images_have_no_ids():
    assert find_coco_ids(SHAPES, [], ("cat",)).ids is None
