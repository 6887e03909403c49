"""The ranking of suspicious labels: each kind by hand, and planted errors beside perfect detections."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.data.annotations import Annotations, ImageAnnotation
from detect.evaluation.analysis.label_suspects import LabelSuspect, rank_label_suspects
from detect.evaluation.predictions import Prediction

CLASSES = ("cat", "dog", "cow")
LEFT, RIGHT = (0.0, 0.0, 40.0, 40.0), (50.0, 0.0, 90.0, 40.0)


def _image(*objects: tuple[tuple[float, ...], int], crowd: tuple[bool, ...] = ()) -> ImageAnnotation:
    boxes = np.asarray([box for box, _ in objects], np.float64).reshape(-1, 4)
    flags = np.asarray(crowd or [False] * len(objects), bool)
    return ImageAnnotation(
        file="/data/a.jpg",
        image_id=1,
        size=(100, 100),
        boxes=boxes,
        labels=np.asarray([label for _, label in objects], np.int64),
        difficult=np.zeros(len(objects), bool),
        crowd=flags,
        areas=np.ones(len(objects)),
    )


def _prediction(*detections: tuple[tuple[float, ...], int, float]) -> Prediction:
    return Prediction(
        file="/data/a.jpg",
        width=100,
        height=100,
        boxes=np.asarray([box for box, _, _ in detections], np.float64).reshape(-1, 4),
        scores=np.asarray([score for _, _, score in detections], np.float64),
        labels=np.asarray([label for _, label, _ in detections], np.int64),
    )


def _rank(image: ImageAnnotation, prediction: Prediction, judged: tuple[int, ...] = (1, 2, 3)) -> list[LabelSuspect]:
    return rank_label_suspects(Annotations.from_images([image], CLASSES), [prediction], judged)


@pytest.mark.parametrize(
    ("image", "prediction", "kinds"),
    [
        pytest.param(_image(), _prediction(), [], id="nothing"),
        pytest.param(_image((LEFT, 1)), _prediction((LEFT, 1, 0.9)), [], id="agreement"),
        pytest.param(_image(), _prediction((LEFT, 1, 0.9)), [("missing", None)], id="missing"),
        pytest.param(_image(), _prediction((LEFT, 1, 0.2)), [], id="a detection of a low score is no evidence"),
        pytest.param(_image((LEFT, 1)), _prediction((LEFT, 2, 0.9)), [("wrong-class", 0)], id="wrong class"),
        pytest.param(
            _image((LEFT, 1), (LEFT, 2)), _prediction((LEFT, 2, 0.9), (LEFT, 1, 0.8)), [], id="two classes, both there"
        ),
        pytest.param(
            _image(((20.0, 10.0, 60.0, 50.0), 1)),
            _prediction((LEFT, 1, 0.9)),
            [("misplaced", 0)],
            id="misplaced by half its side",
        ),
        pytest.param(
            _image((LEFT, 1), ((1.0, 1.0, 41.0, 41.0), 1)), _prediction((LEFT, 1, 0.9)), [("double", 1)], id="double"
        ),
        pytest.param(_image((LEFT, 1), crowd=(True,)), _prediction(), [], id="a crowd is never a suspect"),
        pytest.param(
            _image((LEFT, 1), crowd=(True,)), _prediction(((5.0, 5.0, 15.0, 15.0), 1, 0.9)), [], id="within a crowd"
        ),
        pytest.param(
            _image((LEFT, 1)), _prediction((LEFT, 1, 0.9), ((0.0, 0.0, 20.0, 40.0), 1, 0.9)), [], id="part of an object"
        ),
    ],
)
def test_each_kind_of_disagreement(image, prediction, kinds):
    assert [(suspect.kind, suspect.object) for suspect in _rank(image, prediction)] == kinds


def test_an_object_without_any_detection_is_suspicious_by_the_recall_of_its_class():
    image = _image((LEFT, 1), (RIGHT, 1), ((50.0, 50.0, 90.0, 90.0), 2))
    suspects = _rank(image, _prediction((LEFT, 1, 0.9)))
    assert [(suspect.kind, suspect.object, suspect.suspicion) for suspect in suspects] == [("unconfirmed", 1, 0.25)]


def test_labels_of_a_photo_that_cannot_be_read_are_no_suspects_and_lower_no_recall():
    images = [_image((LEFT, 1)), _image((LEFT, 1), (RIGHT, 1))]
    annotations, predictions = Annotations.from_images(images, CLASSES), [_prediction(), _prediction((LEFT, 1, 0.9))]
    suspects = rank_label_suspects(annotations, predictions, unreadable=(0,))
    assert [(suspect.image, suspect.object, suspect.suspicion) for suspect in suspects] == [(1, 1, 0.25)]
    assert rank_label_suspects(annotations, predictions, unreadable=(0, 1)) == []


def test_objects_of_unknown_classes_are_not_judged_but_count_as_labels():
    image, prediction = _image((LEFT, 3)), _prediction((LEFT, 1, 0.9))
    assert [suspect.kind for suspect in _rank(image, prediction)] == ["wrong-class"]
    assert _rank(image, prediction, judged=(1, 2)) == []


@settings(max_examples=40, deadline=None)
@given(
    counts=st.lists(st.integers(0, 4), min_size=1, max_size=6),
    planted=st.sampled_from(["removed", "relabelled", "doubled"]),
    seed=st.integers(0, 2**31),
)
def test_the_planted_error_ranks_first_beside_perfect_detections(counts, planted, seed):
    random = np.random.default_rng(seed)
    grid = [(x, y, x + 20.0, y + 20.0) for x in (0.0, 30.0, 60.0) for y in (0.0, 30.0, 60.0)]
    images, predictions = [], []
    for count in counts:
        boxes = [grid[i] for i in random.permutation(len(grid))[:count]]
        labels = random.integers(1, 4, count).tolist()
        images.append(list(zip(boxes, labels, strict=True)))
        predictions.append(_prediction(*((box, label, 0.95) for box, label in images[-1])))
    candidates = [(i, g) for i, objects in enumerate(images) for g in range(len(objects))]
    if candidates:
        i, g = candidates[int(random.integers(len(candidates)))]
        box, label = images[i][g]
        if planted == "removed":
            images[i].pop(g)
        elif planted == "relabelled":
            images[i][g] = (box, label % 3 + 1)
        else:
            images[i].append((box, label))
    annotations = Annotations.from_images([_image(*objects) for objects in images], CLASSES)
    suspects = rank_label_suspects(annotations, predictions)
    assert len(suspects) == bool(candidates)
    if candidates:
        kind = {"removed": "missing", "relabelled": "wrong-class", "doubled": "double"}[planted]
        assert (suspects[0].kind, suspects[0].image) == (kind, i)
        assert suspects[0].suspicion > 0.9


def test_predictions_of_other_images_are_refused():
    with pytest.raises(ValueError, match="expected 1 predictions"):
        rank_label_suspects(Annotations.from_images([_image()], CLASSES), [])


def test_a_detection_across_several_objects_is_about_the_nearest_one():
    image = _image(((0.0, 0.0, 20.0, 40.0), 1), ((18.0, 0.0, 50.0, 40.0), 1))
    suspects = _rank(image, _prediction(((0.0, 0.0, 80.0, 40.0), 1, 0.9)))
    assert [suspect.object for suspect in suspects if suspect.kind == "misplaced"] == [1]
