from __future__ import annotations

import numpy as np
import pytest

from detect.tracking import kalman
from detect.tracking.byte_track import FrameDetections, TrackingConfig, track
from tests.tracking.idf1 import Rows, idf1
from tests.tracking.moving_shapes import TrueFrame, move_shapes


def frame(index: int, *rows: tuple[float, float, float, int]) -> FrameDetections:
    """A frame of boxes of 20 x 20 pixels, each given as x, y, score, label."""
    boxes = np.array([[x, y, x + 20, y + 20] for x, y, _, _ in rows], np.float64).reshape(-1, 4)
    return FrameDetections(
        index, boxes, np.array([row[2] for row in rows]), np.array([row[3] for row in rows], np.int64)
    )


def ids(frames: list[FrameDetections], every: int = 1) -> list[list[int]]:
    return [found.tolist() for found in track(frames, TrackingConfig(), every)]


def test_no_frames_and_empty_frames_have_no_tracks() -> None:
    assert ids([]) == []
    assert ids([frame(0), frame(1)]) == [[], []]


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        ([frame(0, (0, 0, 0.9, 1))], [[0]]),  # one detection is no track
        ([frame(0, (0, 0, 0.9, 1)), frame(1, (2, 0, 0.9, 1))], [[1], [1]]),
        ([frame(0, (0, 0, 0.9, 1)), frame(1, (2, 0, 0.9, 2))], [[1], [1]]),  # the detector changed its mind
        (  # its own class is preferred, though the other one is nearer
            [frame(0, (0, 0, 0.9, 1)), frame(1, (0, 0, 0.9, 2), (5, 0, 0.8, 1)), frame(2, (5, 0, 0.9, 1))],
            [[1], [0, 1], [1]],
        ),
        (  # a second class at the same box belongs to no track
            [frame(0, (0, 0, 0.9, 1), (1, 0, 0.8, 2)), frame(1, (2, 0, 0.8, 1), (1, 0, 0.9, 2))],
            [[1, 0], [0, 1]],
        ),
        ([frame(0, (0, 0, 0.9, 1)), frame(1, (60, 0, 0.9, 1))], [[0], [0]]),  # too far
        ([frame(0, (0, 0, 0.9, 1)), frame(1, (1, 0, 0.2, 1)), frame(2, (2, 0, 0.9, 1))], [[1], [1], [1]]),
        ([frame(0, (0, 0, 0.2, 1)), frame(1, (1, 0, 0.2, 1))], [[0], [0]]),  # a low score starts no track
        ([frame(0, (0, 0, 0.9, 1)), frame(1, (1, 0, 0.05, 1))], [[0], [0]]),  # a score that is not used
        ([frame(0, (0, 0, 0.9, 1)), frame(1), frame(2, (1, 0, 0.9, 1))], [[1], [], [1]]),
        ([frame(0, (0, 0, 0.9, 1)), frame(1), frame(2, (1, 0, 0.2, 1))], [[0], [], [0]]),  # lost: only by a high score
        ([frame(0, (0, 0, 0.9, 1)), frame(31, (0, 0, 0.9, 1))], [[0], [0]]),
        ([frame(0, (0, 0, 0.9, 1)), frame(30, (0, 0, 0.9, 1))], [[1], [1]]),
    ],
)
def test_stages_gaps_and_classes(frames: list[FrameDetections], expected: list[list[int]]) -> None:
    assert ids(frames) == expected


def test_gaps_are_counted_in_detected_frames() -> None:
    frames = [frame(0, (0, 0, 0.9, 1)), frame(60, (0, 0, 0.9, 1))]
    assert (ids(frames, 2), ids(frames, 1)) == ([[1], [1]], [[0], [0]])


def test_tracks_are_numbered_by_their_first_detections() -> None:
    rows = [(0.0, 0.0, 0.9, 1), (100.0, 0.0, 0.8, 1), (200.0, 0.0, 0.7, 2)]
    assert ids([frame(0, rows[1]), frame(1, *rows), frame(2, *rows[::-1])]) == [[1], [2, 1, 3], [3, 1, 2]]


def test_two_that_cross_keep_their_tracks() -> None:
    frames = [frame(t, (4.0 * t, 50, 0.9, 1), (120 - 4.0 * t, 58, 0.9, 1)) for t in range(31)]
    assert ids(frames) == [[1, 2]] * 31


def test_the_filter_learns_a_velocity_and_predicts_over_a_gap() -> None:
    state = kalman.start(np.array([0.0, 0, 20, 20]))
    for t in range(1, 30):
        state = kalman.update(kalman.predict(state), np.array([3.0 * t, -2 * t, 20 + 3 * t, 20 - 2 * t]))
    assert kalman.predict(state, 10).box == pytest.approx(np.array([117, -78, 137, -58]), abs=0.5)
    assert (kalman.predict(state, 10).covariance.diagonal() > state.covariance.diagonal()).all()
    assert np.allclose(state.covariance, state.covariance.T)


def as_rows(frames: list[TrueFrame]) -> Rows:
    return [(frame.boxes, frame.ids) for frame in frames]


def run(frames: list[TrueFrame], missed: float, jitter: float, false_rate: float, seed: int) -> Rows:
    """The tracks of noisy detections of the true boxes: some are missed, moved, of a low score, or false."""
    draw, detected = np.random.default_rng(seed), []
    for index, true_frame in enumerate(frames):
        stays = draw.random(len(true_frame.boxes)) >= missed
        boxes, labels = true_frame.boxes[stays], true_frame.labels[stays]
        sides = np.tile(boxes[:, 2:] - boxes[:, :2], 2)
        boxes = boxes + draw.normal(0, 1, boxes.shape) * jitter * sides
        scores = np.where(draw.random(len(boxes)) < 0.1 * (jitter > 0), 0.3, 0.9)
        if draw.random() < false_rate:
            x, y = draw.uniform(0, 400, 2)
            boxes, labels = np.concatenate([boxes, [[x, y, x + 40, y + 40]]]), np.append(labels, 1)
            scores = np.append(scores, 0.6)
        detected.append(FrameDetections(index, boxes, scores, labels))
    tracks = track(detected, TrackingConfig())
    return [(frame.boxes, found) for frame, found in zip(detected, tracks, strict=True)]


@pytest.mark.parametrize("seed", [0, 4])
def test_idf1_of_true_boxes_with_crossings_occlusions_and_missed_frames(seed: int) -> None:
    frames = move_shapes(300, 6, seed)
    num_hidden = sum(6 - len(frame.ids) for frame in frames)
    assert num_hidden > 3
    assert idf1(as_rows(frames), run(frames, 0.05, 0.0, 0.0, seed)) >= 0.95


@pytest.mark.parametrize("seed", [0, 4])
def test_idf1_of_noisy_detections(seed: int) -> None:
    frames = move_shapes(300, 6, seed)
    assert idf1(as_rows(frames), run(frames, 0.1, 0.03, 0.1, seed)) >= 0.85


def test_idf1_of_the_truth_is_1_and_of_swapped_halves_half() -> None:
    frames = as_rows(move_shapes(10, 2, 0))
    assert idf1(frames, frames) == 1
    swapped = [(boxes, ids if t < 5 else ids + 10) for t, (boxes, ids) in enumerate(frames)]
    assert idf1(frames, swapped) == pytest.approx(0.5)
    assert idf1([], []) == 1
