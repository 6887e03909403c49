"""Names of photos and classes in results: what cannot be told apart, or has no place, is refused in every format."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detect.errors import UserError
from detect.inference.listed_images import ListedImages, listed_images
from detect.inference.result_files import read_results
from detect.inference.result_formats import file_name, write_format
from tests.inference.test_result_files import CLASSES, predictions, write_photos

READABLE = ("json", "csv", "voc", "yolo")


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    return write_photos(tmp_path)


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        ((), False),
        (("one/a.jpg",), False),
        (("one/a.jpg", "one/b.jpg"), False),
        (("one/a.jpg", "two/a.jpg"), True),
        (("one/a.jpg", "one/a.v1.jpg"), True),
    ],
)
@pytest.mark.parametrize("name", READABLE)
def test_two_names_of_one_photo_are_refused_in_every_format(name, names, refused, tmp_path):
    image = predictions([tmp_path / "one/a.jpg"])[0]
    written = [replace(image, file=str(tmp_path / file)) for file in names]
    path = tmp_path / file_name(name)
    write_format(path, name, written, CLASSES, None)
    given = [file for file in names if not file.endswith("v1.jpg") and not file.startswith("two")]
    images = ListedImages(tuple(str(tmp_path / file) for file in given), ((100, 200),) * len(given), are_photos=True)
    if refused:
        with pytest.raises(
            UserError,
            match=r"expected one (entry|name) for .*one/a\.jpg, found .* after |v1\.jpg: expected one of the 1 images",
        ):
            read_results(path, images)
        return
    assert [len(prediction) for prediction in read_results(path, images).predictions] == [2] * len(given)


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        ([], ["cat"], ""),
        ([1, 1], ["cat"], ""),
        ([1, 3], ["dog", "cat"], ""),
        ([1, 3], ["cat"], "expected classes among cat, found dog"),
    ],
)
@pytest.mark.parametrize("name", READABLE)
def test_detections_of_classes_that_are_not_in_the_order_are_refused(name, labels, classes, words, photos, tmp_path):
    image = predictions(photos)[0]
    count = len(labels)
    written = replace(image, boxes=image.boxes[:count], scores=image.scores[:count], labels=np.array(labels, np.int64))
    path = tmp_path / file_name(name)
    write_format(path, name, [written], CLASSES, None)
    if words:
        words = "expected one of cat, found dog" if name == "json" else words
        with pytest.raises(UserError, match=words):
            read_results(path, listed_images(photos[:1]), classes=classes)
        return
    (found,) = read_results(path, listed_images(photos[:1]), classes=classes).predictions
    assert sorted(classes[label - 1] for label in found.labels) == sorted(CLASSES[label - 1] for label in labels)
