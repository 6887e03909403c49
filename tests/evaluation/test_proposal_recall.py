"""Recall, AR, ABO and MABO by hand and against a plain loop."""

import numpy as np
import pytest

from detect.evaluation.proposal_recall import IOU_THRESHOLDS, ProposalsAndObjects, image_best_ious, score_proposals

OBJECT = [0, 0, 10, 10]


def proposals_and_objects(proposals, objects, labels):
    return ProposalsAndObjects(
        np.array(proposals, float).reshape(-1, 4), np.array(objects, float).reshape(-1, 4), np.array(labels, int)
    )


def test_score_proposals_without_objects_is_none():
    for images in ([], [proposals_and_objects([OBJECT], [], [])]):
        found = score_proposals(images, ("cat",))
        assert found.mabo is None
        assert found.abo == {"cat": None}
        assert set(found.recall.values()) == set(found.average_recall.values()) == {None}
        assert (found.images, found.objects) == (len(images), 0)


def test_an_image_without_proposals_counts_as_missed():
    found = score_proposals(
        [proposals_and_objects([OBJECT], [OBJECT], [1]), proposals_and_objects([], [OBJECT], [1])], ("cat",)
    )
    assert found.recall[0.5] == found.recall[0.95] == 0.5
    assert found.mabo == found.average_recall[100] == 0.5
    assert found.proposals_per_image == 0.5


def test_mabo_is_the_mean_of_the_classes_that_have_objects():
    images = [proposals_and_objects([OBJECT, [20, 0, 26, 10]], [OBJECT, OBJECT, [20, 0, 30, 10]], [1, 1, 2])]
    found = score_proposals(images, ("cat", "dog", "cow"))
    assert found.abo == {"cat": 1.0, "dog": 0.6, "cow": None}
    assert found.mabo == pytest.approx(0.8)
    assert found.recall[0.6] == 1
    assert found.recall[0.65] == pytest.approx(2 / 3)


def test_average_recall_uses_the_first_proposals_only():
    far = [[100, 100, 101, 101]] * 150
    found = score_proposals(
        [proposals_and_objects([*far, [0, 0, 10, 7.6]], [OBJECT], [1])], ("cat",), limits=(100, 151, 9999)
    )
    assert found.average_recall == {100: 0.0, 151: pytest.approx(0.6), 9999: pytest.approx(0.6)}


@pytest.mark.parametrize("seed", range(3))
def test_image_best_ious_equal_a_plain_loop(seed):
    rng = np.random.default_rng(seed)
    boxes = rng.uniform(0, 50, (37, 2, 2))
    boxes = np.concatenate([boxes.min(1), boxes.max(1)], axis=1)
    proposals, objects = boxes[:30], boxes[30:]
    found = image_best_ious(proposals, objects, (0, 1, 10, 99))
    for row, limit in zip(found, (0, 1, 10, 99), strict=True):
        for overlap, a in zip(row, objects, strict=True):
            best = 0.0
            for b in proposals[:limit]:
                width, height = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
                if width > 0 and height > 0:
                    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
                    best = max(best, width * height / (both - width * height))
            assert overlap == pytest.approx(best, abs=1e-12)


def test_iou_thresholds_run_from_half_to_0_95():
    assert IOU_THRESHOLDS == (0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95)
