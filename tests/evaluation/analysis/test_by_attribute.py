from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detect.evaluation.analysis.by_attribute import (
    Attribute,
    box_attributes,
    label_attributes,
    restrict_to,
    score_labeled_ranges,
    score_ranges,
)
from detect.evaluation.analysis.matches import images_of, match
from detect.evaluation.coco import evaluate_coco
from detect.evaluation.rules import COCO_AP, VOC12
from tests.evaluation.analysis.test_matches import iou
from tests.evaluation.example_data import data_set, random_scored_data_set

A, FAR, NEAR = (100.0, 100.0, 200.0, 200.0), (20.0, 250.0, 60.0, 300.0), (100.0, 100.0, 200.0, 190.0)
CAT, DOG = 1, 2
seeds = st.integers(0, 2**32 - 1)


def ranges_of_first_boxes(truth, found):
    """Of the first box and of the first detection: the ranges they are in, by attribute. Images are 300 wide and 400
    high, the area of a box is 0.9 of its sides' product.
    """
    by_name = box_attributes(match(*data_set([(truth, found)]), VOC12))
    return {
        name: tuple([range_ for range_, inside in zip(one.ranges, rows[0], strict=True) if inside] for rows in columns)
        for name, one in by_name.items()
        for columns in [(one.ground_truth, one.detections)]
    }


BOXES = {
    "small": ((50.0, 50.0, 70.0, 70.0), "size", ["small"]),
    "tall": ((50.0, 50.0, 73.0, 90.0), "aspect", ["tall"]),
    "three to four is tall": ((50.0, 50.0, 80.0, 90.0), "aspect", ["tall"]),
    "square": ((50.0, 50.0, 81.0, 90.0), "aspect", ["square"]),
    "wide": ((50.0, 50.0, 200.0, 90.0), "aspect", ["wide"]),
    "inside": ((2.5, 50.0, 60.0, 90.0), "border", ["inside"]),
    "left": ((2.0, 50.0, 60.0, 90.0), "border", ["at the border"]),
    "right": ((50.0, 50.0, 299.0, 90.0), "border", ["at the border"]),
    "bottom": ((50.0, 50.0, 90.0, 400.0), "border", ["at the border"]),
    "as low as the image is wide": ((50.0, 50.0, 90.0, 300.0), "border", ["inside"]),
}


@pytest.mark.parametrize(("box", "attribute", "expected"), BOXES.values(), ids=BOXES)
def test_ranges_of_a_box(box, attribute, expected):
    assert ranges_of_first_boxes([(box, CAT, "")], [(box, CAT, 0.9)])[attribute] == (expected, expected)


def test_size_of_ground_truth_is_the_annotations_area():
    box = (50.0, 50.0, 83.0, 83.0)  # 33 by 33; the annotation says nine tenths
    assert ranges_of_first_boxes([(box, CAT, "")], [(box, CAT, 0.9)])["size"] == (["small"], ["medium"])


# other objects; how crowded A is, and a detection on it
CROWDS = {
    "alone": ([], "alone"),
    "far from another": ([(FAR, DOG, "")], "alone"),
    "a tenth": ([((100.0, 100.0, 200.0, 110.0), DOG, "")], "alone"),
    "more": ([((100.0, 100.0, 200.0, 120.0), DOG, "")], "touching"),
    "much": ([(NEAR, CAT, "difficult")], "crowded"),
}


@pytest.mark.parametrize(("others", "expected"), CROWDS.values(), ids=CROWDS)
def test_crowding(others, expected):
    assert ranges_of_first_boxes([(A, CAT, ""), *others], [(A, CAT, 0.9)])["crowding"] == ([expected], [expected])


def test_no_images():
    scores = score_ranges(match(*data_set([]), COCO_AP))
    assert list(scores) == ["size", "aspect", "crowding", "border"]
    for ranges in scores.values():
        for score in ranges.values():
            assert (score.mAP, score.objects, set(score.per_class.values())) == (None, 0, {None})


def test_score_ranges_other_ranges_do_not_count():
    small = (10.0, 10.0, 30.0, 30.0)
    truth = [(small, CAT, ""), (A, CAT, "")]
    found = [(FAR, CAT, 0.9), (A, CAT, 0.8), (small, CAT, 0.7)]
    sizes = score_ranges(match(*data_set([(truth, found)]), VOC12))["size"]
    assert {name: asdict(score) for name, score in sizes.items()} == {
        "small": {"mAP": 1.0, "per_class": {"cat": 1.0, "dog": None, "zebra": None}, "objects": 1},
        "medium": {"mAP": 0.5, "per_class": {"cat": 0.5, "dog": None, "zebra": None}, "objects": 1},
        "large": {"mAP": None, "per_class": {"cat": None, "dog": None, "zebra": None}, "objects": 0},
    }


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(seeds)
def test_score_ranges_of_size_equal_coco(seed):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    numbers = evaluate_coco(annotations, predictions).metrics
    sizes = score_ranges(match(annotations, predictions, COCO_AP))["size"]
    for name, score in sizes.items():
        expected = numbers[f"AP{name[0]}"]
        assert score.mAP == (None if expected is None else pytest.approx(expected, abs=1e-12))


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_box_attributes_ranges_partition_all_boxes(seed):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    matches = match(annotations, predictions, COCO_AP)
    for name, attribute in box_attributes(matches).items():
        for column in (attribute.ground_truth, attribute.detections):
            assert (column.sum(axis=1) == 1).all() or name == "size"
        objects = [int((~part.columns.ground_truth.ignore).sum()) for part in restrict_to(matches, attribute).values()]
        assert name == "size" or sum(objects) == (~matches.columns.ground_truth.ignore).sum()


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_crowding_equals_a_plain_loop(seed):
    matches = match(*random_scored_data_set(np.random.default_rng(seed), 0.25), VOC12)
    truth = matches.columns.ground_truth
    crowding = box_attributes(matches)["crowding"]
    for column, inside in ((truth, crowding.ground_truth), (matches.columns.detections, crowding.detections)):
        for group, box, row in zip(column.groups, column.boxes.corners, inside, strict=True):
            image = images_of(matches.columns, truth.groups) == images_of(matches.columns, np.array([group]))
            overlaps = sorted([0.0, 0.0, *(iou(box, other) for other in truth.boxes.corners[image])])
            expected = [overlaps[-2] <= 0.1, 0.1 < overlaps[-2] <= 0.3, overlaps[-2] > 0.3]
            assert row.tolist() == expected


@settings(max_examples=20, deadline=None)
@given(seeds)
def test_restrict_to_everything_changes_nothing(seed):
    matches = match(*random_scored_data_set(np.random.default_rng(seed), 0.25), COCO_AP)
    case = matches.columns
    everything = Attribute(
        ("all",), np.ones((len(case.ground_truth.groups), 1), bool), np.ones((len(case.detections.groups), 1), bool)
    )
    unsplit = restrict_to(matches, everything)["all"]
    np.testing.assert_array_equal(unsplit.outcome, matches.outcome)
    np.testing.assert_array_equal(unsplit.columns.ground_truth.ignore, case.ground_truth.ignore)
    nothing = replace(everything, ground_truth=~everything.ground_truth, detections=~everything.detections)
    assert not np.isin(restrict_to(matches, nothing)["all"].outcome, [0, 1]).any()


def test_labels_without_marks_split_nothing():
    annotations, predictions = data_set([([(A, CAT, "")], [(A, CAT, 0.9)])])
    assert score_labeled_ranges(match(annotations, predictions, VOC12), annotations) == {}


def test_labeled_ranges_count_their_objects_and_all_false_positives():
    """A cat that is occluded and missed, one that is not and found, and a false positive before it in both ranges."""
    annotations, predictions = data_set([([(A, CAT, ""), (FAR, CAT, "")], [(NEAR, DOG, 0.9), (FAR, CAT, 0.8)])])
    annotations = replace(annotations, occluded=np.array([True, False]))
    ranges = score_labeled_ranges(match(annotations, predictions, VOC12), annotations)
    assert {name: {key: (score.mAP, score.objects) for key, score in of.items()} for name, of in ranges.items()} == {
        "occlusion": {"visible": (1.0, 1), "occluded": (0.0, 1)}
    }
    assert ranges["occlusion"]["visible"].to_dict()["objects"] == 1


@settings(max_examples=25, deadline=None)
@given(seeds)
def test_label_attributes_are_those_of_each_box(seed):
    rng = np.random.default_rng(seed)
    annotations, predictions = random_scored_data_set(rng, 0.25)
    marks = rng.random(len(annotations.boxes)) < 0.5
    annotations = replace(annotations, occluded=marks, truncated=~marks)
    for rules in (COCO_AP, VOC12):
        matches = match(annotations, predictions, rules)
        attributes = label_attributes(matches, annotations)
        truth = matches.columns.ground_truth
        owners = np.repeat(np.arange(len(annotations)), np.diff(annotations.offsets))
        images = matches.images[images_of(matches.columns, truth.groups)]
        for row, (image, corners, group) in enumerate(zip(images, truth.boxes.corners, truth.groups, strict=True)):
            same = (owners == image) & (annotations.labels == 1 + group // matches.columns.num_images)
            same &= np.isclose(annotations.boxes, corners).all(1)
            assert attributes["occlusion"].ground_truth[row, 1] in marks[same]
            if same.sum() == 1:
                assert attributes["occlusion"].ground_truth[row].tolist() == [not marks[same][0], marks[same][0]]
                assert attributes["truncation"].ground_truth[row].tolist() == [marks[same][0], not marks[same][0]]
