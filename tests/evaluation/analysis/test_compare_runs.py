from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from detect.data.annotations import Annotations
from detect.data.sources import remap_classes, select
from detect.evaluation.analysis.bootstrap import Interval, mean_aps, percentile_interval, sample_weights, weighted_aps
from detect.evaluation.analysis.compare_runs import (
    ImageCount,
    RunComparison,
    compare_runs,
)
from detect.evaluation.analysis.image_counts import best_thresholds, count_per_image
from detect.evaluation.analysis.matches import METRIC_RULES, Matches, match
from detect.evaluation.assignment import FALSE_POSITIVE, TRUE_POSITIVE
from detect.evaluation.predictions import Prediction
from detect.evaluation.rules import VOC12
from detect.evaluation.score import evaluate
from detect.evaluation.score_tables import difference_table, image_table
from tests.evaluation.analysis.example_untied_data import untied_data_set
from tests.evaluation.example_data import data_set, random_scored_data_set

A, B, FAR = (0.0, 0.0, 100.0, 100.0), (200.0, 0.0, 300.0, 100.0), (0.0, 200.0, 50.0, 250.0)
CAT, DOG = 1, 2
seeds = st.integers(0, 2**32 - 1)
# Both find the cat of the first image; in the second the first run misses one, in the third it sees two too many.
TRUTH = [[(A, CAT, "")], [(A, CAT, ""), (B, CAT, "")], [(A, CAT, "")]]
FIRST = [[(A, CAT, 0.9)], [(A, CAT, 0.9)], [(A, CAT, 0.5), (B, CAT, 0.8), (FAR, CAT, 0.7)]]
SECOND = [[(A, CAT, 0.9)], [(A, CAT, 0.9), (B, CAT, 0.8)], [(A, CAT, 0.8)]]


def files_of(annotations: Annotations) -> list[str]:
    return [annotations.file(index) for index in range(len(annotations))]


def three_images() -> tuple[Annotations, list[Prediction], list[Prediction]]:
    annotations, first = data_set(list(zip(TRUTH, FIRST, strict=True)))
    return annotations, first, data_set(list(zip(TRUTH, SECOND, strict=True)))[1]


def compare_by_voc(
    annotations: Annotations,
    first: list[Prediction],
    second: list[Prediction],
    replicates: int = 1000,
    seed: int = 0,
) -> RunComparison:
    runs = match(annotations, first, VOC12), match(annotations, second, VOC12)
    return compare_runs(runs[0], runs[1], files_of(annotations), replicates, seed)


def test_no_images():
    matches = match(*data_set([]), VOC12)
    compared = compare_runs(matches, matches, [], replicates=5)
    assert compared.to_dict("AP") == {
        "AP": None,
        "per_class": {"cat": None, "dog": None, "zebra": None},
        "images": [],
        "replicates": 5,
    }


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from(sorted(METRIC_RULES)))
def test_compare_runs_of_a_run_with_itself_is_zero(seed, metric):
    annotations, predictions = random_scored_data_set(np.random.default_rng(seed), 0.25)
    matches = match(annotations, predictions, METRIC_RULES[metric])
    compared = compare_runs(matches, matches, files_of(annotations), replicates=20)
    assert compared.images == ()
    for difference in (compared.mAP, *compared.per_class.values()):
        if difference is not None:
            assert difference.interval == Interval(0.0, 0.0, 0.0)
            assert difference.second_better == 0.5


def test_compare_runs_finds_the_better_run_and_the_images():
    annotations, first, second = three_images()
    compared = compare_by_voc(annotations, first, second)
    assert compared.mAP is not None
    assert compared.mAP == compared.per_class["cat"]
    assert compared.mAP.interval.value == pytest.approx(1.0 - (2 / 4 + 1 / 4 * 3 / 5))
    assert compared.mAP.second_better > 0.97
    assert compared.per_class["dog"] is None
    assert [(image.file, image.error_reduction) for image in compared.images] == [
        ("/photos/002.jpg", 1),
        ("/photos/003.jpg", 1),
    ]
    assert compared.images[0].first == ImageCount(true_positives=1, false_positives=0, false_negatives=1)
    assert compared.images[1].first == ImageCount(
        true_positives=0, false_positives=0, false_negatives=1
    )  # 0.9 is the score of its best F1
    assert compared.images[1].second == ImageCount(true_positives=1, false_positives=0, false_negatives=0)
    record = compared.to_dict("mAP")
    assert record["mAP"]["value"] == compared.mAP.interval.value
    assert record["mAP"]["interval"] == [compared.mAP.interval.low, compared.mAP.interval.high]
    assert record["images"][0]["first"] == {"found": 1, "false": 0, "missed": 1}


@settings(max_examples=30, deadline=None)
@given(seeds, seeds)
def test_compare_runs_swapped_has_opposite_sign(seed, other):
    annotations, first = untied_data_set(seed)
    second = [with_shuffled_scores(one, other) for one in first]
    there = compare_by_voc(annotations, first, second, replicates=50)
    back = compare_by_voc(annotations, second, first, replicates=50)
    assert [image.error_reduction for image in there.images] == [-image.error_reduction for image in back.images]
    for a, b in ((there.mAP, back.mAP), (there.per_class["cat"], back.per_class["cat"])):
        assert (a is None) == (b is None)
        if a is not None and b is not None:
            assert a.interval.value == pytest.approx(-b.interval.value, abs=1e-12)
            assert a.interval.low == pytest.approx(-b.interval.high, abs=1e-12)
            assert a.second_better == pytest.approx(1 - b.second_better, abs=1e-12)
            assert a.second_better >= 0.95 or a.interval.low <= 0
            assert a.second_better <= 0.05 or a.interval.high >= 0


def with_shuffled_scores(prediction: Prediction, seed: int) -> Prediction:
    return replace(prediction, scores=np.random.default_rng(seed).permutation(prediction.scores))


def test_compare_runs_uses_the_same_samples_for_both():
    annotations, first, second = three_images()
    difference = compare_by_voc(annotations, first, second, replicates=200, seed=4).mAP
    weights = sample_weights(3, 200, seed=4)
    draws = [mean_aps(weighted_aps(match(annotations, run, VOC12), weights)) for run in (first, second)]
    assert (draws[1] >= draws[0]).all()  # on other samples for each it need not be
    assert difference is not None
    assert difference.interval == percentile_interval(difference.interval.value, draws[1] - draws[0])


def test_compare_runs_with_classes_in_another_order():
    annotations, first, second = three_images()
    other = remap_classes(annotations, ("dog", "zebra", "horse", "cat"))
    relabelled = [replace(one, labels=np.where(one.labels == CAT, 4, 1)) for one in second]
    expected = compare_by_voc(annotations, first, second)
    found = compare_runs(match(annotations, first, VOC12), match(other, relabelled, VOC12), files_of(annotations))
    assert found == expected


def test_compare_runs_with_other_images_raises():
    matches = match(*data_set([([], [])]), VOC12)
    with pytest.raises(ValueError, match="expected two runs of 2 images, found 1 and 1"):
        compare_runs(matches, matches, ["a", "b"])


@settings(max_examples=30, deadline=None)
@given(seeds, st.sampled_from([0.0, 0.01, 0.02, float("inf")]))
def test_count_per_image_equals_matching_the_detections_above_a_score(seed, score):
    annotations, predictions = untied_data_set(seed)
    tallies = count_per_image(match(annotations, predictions, VOC12), dict.fromkeys(annotations.classes, score))
    for index, one in enumerate(predictions):
        rows = one.scores >= score
        alone = match_alone(
            annotations, [replace(one, boxes=one.boxes[rows], scores=one.scores[rows], labels=one.labels[rows])], index
        )
        assert tallies.true_positives[index] == (alone.outcome == TRUE_POSITIVE).sum()
        assert tallies.false_positives[index] == (alone.outcome == FALSE_POSITIVE).sum()
        assert (
            tallies.false_negatives[index] == (~alone.columns.ground_truth.ignore).sum() - tallies.true_positives[index]
        )
    assert tallies.errors.tolist() == (tallies.false_positives + tallies.false_negatives).tolist()


def match_alone(annotations: Annotations, predictions: list[Prediction], index: int) -> Matches:
    return match(select(annotations, [index]), predictions, VOC12)


def test_best_thresholds_of_classes_never_found_are_infinite():
    annotations, first, _ = three_images()
    assert best_thresholds(match(annotations, first, VOC12)) == {"cat": 0.9, "dog": float("inf"), "zebra": float("inf")}


def printed_rows(table):
    text = io.StringIO()
    Console(width=200, file=text).print(table)
    return [" ".join(line.replace("│", " ").split()) for line in text.getvalue().splitlines()]


def test_difference_table_and_image_table():
    annotations, first, second = three_images()
    compared = compare_by_voc(annotations, first, second)
    scores = [evaluate(annotations, run, "voc12") for run in (first, second)]
    rows = printed_rows(difference_table(scores[0], scores[1], compared))
    assert rows[0] == "voc12: the second model against the first, 3 images"
    assert rows[4].startswith("cat 65.0 100.0 +35.0 ")
    assert rows[5] == "dog - - - - -"
    assert rows[-3].startswith("mAP 65.0 100.0 +35.0 ")
    assert rows[-3].endswith("%")
    assert rows[-1] == "fewer than 30 images: the intervals are too narrow"
    many = [replace(score, images=30) for score in scores]
    assert "too narrow" not in " ".join(printed_rows(difference_table(many[0], many[1], compared)))
    rows = printed_rows(image_table(compared, max_images=1))
    assert rows[-2:-1] == ["002.jpg 1, 0, 1 2, 0, 0 -1"]
    assert image_table(compare_by_voc(annotations, first, first)).row_count == 0
