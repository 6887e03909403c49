from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from detect.describe.formats.coco_captions import read_coco_captions
from detect.describe.formats.coco_nouns import SYNONYMS, find_nouns
from detect.errors import UserError

IMAGES = [{"id": n, "file_name": f"{n}.jpg", "height": 40, "width": 60} for n in (7, 8)]
CAPTIONS = [
    {"image_id": 7, "id": 1, "caption": "Two dogs beside a hot dog."},
    {"image_id": 7, "id": 2, "caption": "..."},
]
OBJECTS = [
    {"id": 1, "image_id": 7, "category_id": 18, "bbox": [1, 2, 10, 20], "iscrowd": 0},
    {"id": 2, "image_id": 7, "category_id": 18, "bbox": [30, 2, 10, 20], "iscrowd": 0},
    {"id": 3, "image_id": 7, "category_id": 18, "bbox": [0, 0, 60, 20], "iscrowd": 1},
]


def coco(folder: Path, captions: list[dict[str, Any]] = CAPTIONS, objects: list[dict[str, Any]] = OBJECTS) -> Path:
    (folder / "annotations").mkdir()
    (folder / "val").mkdir()
    documents = {
        "captions_val.json": {"images": IMAGES, "annotations": captions},
        "instances_val.json": {
            "images": IMAGES,
            "annotations": objects,
            "categories": [{"id": 18, "name": "dog"}, {"id": 58, "name": "hot dog"}],
        },
    }
    for name, document in documents.items():
        (folder / "annotations" / name).write_text(json.dumps(document))
    for image in IMAGES:
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / "val" / str(image["file_name"]))
    return folder


def test_nouns_mention_every_box_of_their_class_that_is_no_crowd(tmp_path: Path) -> None:
    captions = read_coco_captions(coco(tmp_path), Path("captions_val.json"), Path("instances_val.json"))
    (image,) = captions.images
    (sentence,) = image.sentences
    assert image.name == "7.jpg"
    (mention,) = sentence.mentions  # of the hot dog there is no box
    assert mention.words == (1,)
    assert mention.boxes.tolist() == [[1, 2, 11, 22], [30, 2, 40, 22]]
    assert image.labels.tolist() == [1, 1]
    assert captions.notes == (
        "1 sentences without letters or digits are left out",
        "1 of 2 images of captions_val.json have no caption, and are left out",
    )
    assert captions.read(0).shape == (40, 60, 3)


@pytest.mark.parametrize(
    ("boxes", "counts"),
    [
        ([], []),
        ([[1, 2, 10, 20]], []),
        ([[1, 2, 0, 20]], ["1 object"]),
        ([[1, 2, 10, 20], [1, 2, 0, 20], [70, 2, 10, 20]], ["2 objects"]),
    ],
)
def test_objects_without_a_usable_box_are_counted(tmp_path: Path, boxes: list[list[int]], counts: list[str]) -> None:
    objects = [{"id": n, "image_id": 7, "category_id": 18, "bbox": box} for n, box in enumerate(boxes, start=1)]
    root, start = coco(tmp_path, objects=objects), "left out, as their box cannot be used: "
    notes = read_coco_captions(root, Path("captions_val.json"), Path("instances_val.json")).notes
    lines = [note.removeprefix(start) for note in notes if note.startswith(start)]
    assert [line.partition(", ")[0] for line in lines] == counts
    assert all(f", the first {root / 'annotations/instances_val.json'}: annotation" in line for line in lines)


def test_without_a_file_of_objects_there_are_no_boxes(tmp_path: Path) -> None:
    captions = read_coco_captions(coco(tmp_path), Path("annotations/captions_val.json"))
    assert captions.classes == ()
    assert captions.images[0].boxes.shape == (0, 4)
    assert captions.images[0].sentences[0].mentions == ()


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ([], "expected captions of its 2 images, found none"),
        ([{"image_id": 9, "caption": "a"}], "expected the id of an image, found 9"),
        ([{"image_id": 7, "caption": 3}], '"caption": expected text, found 3'),
    ],
)
def test_damaged_captions_are_refused_in_one_line(tmp_path: Path, captions: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_coco_captions(coco(tmp_path, captions), Path("captions_val.json"))


def test_a_photo_that_is_not_there_is_refused(tmp_path: Path) -> None:
    (coco(tmp_path) / "val" / "7.jpg").unlink()
    with pytest.raises(UserError, match=r"expected its 1 photos, found 0: .*7\.jpg"):
        read_coco_captions(tmp_path, Path("captions_val.json"))


def test_a_photo_with_a_name_that_is_too_long_for_the_system_is_refused(tmp_path: Path) -> None:
    file = coco(tmp_path) / "annotations" / "captions_val.json"
    file.write_text(file.read_text().replace("7.jpg", "7" * 2000 + ".jpg"))
    with pytest.raises(UserError, match=r"captions_val\.json: expected its 1 photos, found .*7\.jpg: File name too"):
        read_coco_captions(tmp_path, Path("captions_val.json"))


@pytest.mark.parametrize(
    ("text", "nouns"),
    [
        ("", []),
        ("a hot dog", [((1, 2), "hot dog")]),
        ("a dog at a bus stop", [((1,), "dog")]),
        ("three men and two women on skis", [((1,), "person"), ((4,), "person"), ((6,), "skis")]),
        ("an orange bus", [((2,), "bus")]),
        ("oranges and knives", [((0,), "orange"), ((2,), "knife")]),
        ("a tennis player with a tennis racket", [((1, 2), "person"), ((5, 6), "tennis racket")]),
        ("a hot", []),
    ],
)
def test_find_nouns(text: str, nouns: list[tuple[tuple[int, ...], str]]) -> None:
    assert find_nouns(text.split()) == nouns


def test_every_class_of_coco_has_a_noun(shared_data: Path) -> None:
    document = json.loads((shared_data / "coco_masks_captions/annotations/instances_val.json").read_text())
    assert set(SYNONYMS) == {category["name"] for category in document["categories"]}


def test_real_captions_all_have_words_and_most_photos_a_mention(shared_data: Path) -> None:
    root = shared_data / "coco_masks_captions"
    captions = read_coco_captions(root, Path("captions_val.json"), Path("instances_val.json"))
    sentences = [sentence for image in captions.images for sentence in image.sentences]
    assert (len(captions.images), len(sentences), captions.notes) == (79, 395, ())
    nouns = Counter(name for sentence in sentences for _, name in find_nouns(sentence.tokens))
    mentions = sum(len(sentence.mentions) for sentence in sentences)
    assert mentions == 568
    assert mentions / nouns.total() > 0.9  # most nouns of the table name a class that has a box on the photo
