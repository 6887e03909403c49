from __future__ import annotations

import os

import numpy as np
import pytest

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.image_names import relative_to_shared_folder
from detect.errors import UserError
from detect.evaluation.predictions import Prediction, align, empty_prediction, flatten

NONE = np.zeros((0, 4))


def annotated(files: list[str]) -> Annotations:
    no, flags = np.zeros(0, np.int64), np.zeros(0, bool)
    images = [ImageAnnotation(f, n, (40, 30), NONE, no, flags, flags, np.zeros(0)) for n, f in enumerate(files, 1)]
    return Annotations.from_images(images, ["cat"])


def prediction_with_score(file: str, mark: int) -> Prediction:
    """A prediction that can be told from others by its score."""
    return Prediction(file, 30, 40, np.zeros((1, 4)), np.array([float(mark)]), np.ones(1, np.int64))


FLAT = ["/voc/JPEGImages/001.jpg", "/voc/JPEGImages/002.jpg", "/voc/JPEGImages/003.jpg"]
NESTED = ["/d/a/1.jpg", "/d/b/1.jpg", "/d/b/c.d.jpg"]
TABLE = {
    "nothing": ([], [], []),
    "none of the images": (FLAT, [], [None, None, None]),
    "full paths, another order": (FLAT, [FLAT[2], FLAT[0]], [1, None, 0]),
    "names": (FLAT, ["002.jpg"], [None, 0, None]),
    "stems": (FLAT, ["003", "001"], [1, None, 0]),
    "another suffix": (FLAT, ["003.png"], [None, None, 0]),
    "another machine": (FLAT, ["/mnt/x/002.jpg"], [None, 0, None]),
    "below the shared folder": (NESTED, ["b/1.jpg", "a/1.jpg"], [1, 0, None]),
    "below it, without suffix": (NESTED, ["b/1", "b/c.d"], [None, 0, 1]),
    "a stem with a dot": (NESTED, ["c.d"], [None, None, 0]),
    "below it, another suffix": (NESTED, ["b/1.png"], [None, 0, None]),
    "another machine, nested": (NESTED, ["/mnt/d/b/1.jpg"], [None, 0, None]),
    "one image": (["/d/only.jpg"], ["only"], [0]),
    "relative paths": (["a/1.jpg", "b/1.jpg"], ["b/1.jpg"], [None, 0]),
    "a folder above": (["../val/1.jpg", "x/1.jpg"], ["/data/x/1.jpg"], [None, 0]),
    "absolute and relative paths": (["/sets/val/1.jpg", "x/1.jpg"], ["/data/x/1.jpg"], [None, 0]),
    "an image above another of its name": (["/d/1.jpg", "/d/a/1.jpg"], ["/d/a/1.jpg", "/d/1.jpg"], [1, 0]),
}


@pytest.mark.parametrize(("images", "results", "expected"), TABLE.values(), ids=TABLE)
def test_align(images, results, expected):
    aligned = align(annotated(images), [prediction_with_score(file, index) for index, file in enumerate(results)])
    assert [int(p.scores[0]) if len(p) else None for p in aligned] == expected


def test_align_missing_prediction_gets_the_image_size():
    assert align(annotated(FLAT[:1]), [])[0].width == 30
    assert align(annotated(FLAT[:1]), [])[0].height == 40


def test_align_empty_prediction_stays():
    empty = empty_prediction("001.jpg", (40, 30))
    assert align(annotated(FLAT), [empty])[0] is empty


@pytest.mark.parametrize(
    ("images", "results", "words"),
    [
        ([], ["x.jpg"], ["x.jpg", "0 images"]),
        (NESTED, ["b/c.e.jpg"], ["b/c.e.jpg", "3 images", 'did you mean "b/c.d.jpg"']),
        (NESTED, ["1.jpg"], ["1.jpg", "/d/a/1.jpg and /d/b/1.jpg"]),
        (FLAT, ["001", "/x/001.jpg"], ["/x/001.jpg", FLAT[0], "after 001"]),
        ([FLAT[0], FLAT[0]], [FLAT[0]], [FLAT[0], "several"]),
    ],
)
def test_align_ambiguous_or_unknown_file_raises(images, results, words):
    with pytest.raises(UserError) as caught:
        align(annotated(images), [prediction_with_score(file, 0) for file in results])
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ([], []),
        (["/a/b.jpg"], ["b.jpg"]),
        (["/a/b.jpg", "/a/c/d.jpg"], ["b.jpg", "c/d.jpg"]),
        (["b.jpg", "c/d.jpg"], ["b.jpg", "c/d.jpg"]),
        (["x/b.jpg", "x/d.jpg"], ["b.jpg", "d.jpg"]),
        (["/a/b.jpg", "d.jpg"], ["a/b.jpg", "w/x/d.jpg"]),
        (["/w/x/b.jpg", "c/d.jpg"], ["b.jpg", "c/d.jpg"]),
        (["b.jpg", "../d.jpg"], ["x/b.jpg", "d.jpg"]),
        (["../../e/d.jpg"], ["d.jpg"]),
        (["c/../b.jpg", "./c/d.jpg"], ["b.jpg", "c/d.jpg"]),
    ],
)
def test_below_shared_folder(files, expected, monkeypatch):
    monkeypatch.setattr(os, "getcwd", lambda: "/w/x")
    assert relative_to_shared_folder(files) == expected


def test_flatten():
    assert flatten([]).boxes.shape == (0, 4)
    flat = flatten([prediction_with_score("a", 1), empty_prediction("b", (1, 1)), prediction_with_score("c", 2)])
    assert flat.images.tolist() == [0, 2]
    assert flat.scores.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("boxes", "scores", "labels"),
    [
        (np.zeros((1, 4)), np.zeros(0), np.zeros(0, np.int64)),
        (np.zeros((1, 4), np.float32), np.zeros(1), np.zeros(1, np.int64)),
        (np.zeros((1, 4)), np.zeros(1), np.zeros(1)),
    ],
)
def test_prediction_with_wrong_shape_or_dtype_raises(boxes, scores, labels):
    with pytest.raises(ValueError, match="expected"):
        Prediction("a", 1, 1, boxes, scores, labels)
