"""Boxes of shapes that move, cross, hide each other and are missed, with their true identities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SIZE = (360, 480)  # (h, w) of the frames


@dataclass(frozen=True)
class TrueFrame:
    """The objects of a frame that can be seen: boxes (G, 4), labels (G,), ids (G,) from 1."""

    boxes: np.ndarray
    labels: np.ndarray
    ids: np.ndarray


def move_shapes(num_frames: int, num_shapes: int, seed: int) -> list[TrueFrame]:
    """Shapes of two classes that move straight on and bounce off the borders.

    One that is covered by a nearer shape to more than 0.7 cannot be seen.
    """
    draw = np.random.default_rng(seed)
    sides = draw.uniform(30, 70, (num_shapes, 2))
    limits = np.array(SIZE[::-1]) - sides
    corners, velocities = draw.uniform(0, 1, (num_shapes, 2)) * limits, draw.uniform(-4, 4, (num_shapes, 2))
    labels, frames = np.arange(num_shapes) % 2 + 1, []
    for _ in range(num_frames):
        corners = corners + velocities
        outside = (corners < 0) | (corners > limits)
        velocities = np.where(outside, -velocities, velocities)
        corners = np.clip(corners, 0, limits)
        boxes = np.concatenate([corners, corners + sides], 1)
        seen = [i for i in range(num_shapes) if _covered(boxes[i], boxes[i + 1 :]) <= 0.7]
        frames.append(TrueFrame(boxes[seen], labels[seen], np.array(seen) + 1))
    return frames


def _covered(box: np.ndarray, nearer: np.ndarray) -> float:
    """The largest part of a box that one of the nearer ones covers."""
    parts = [
        max(0.0, min(box[2], b[2]) - max(box[0], b[0])) * max(0.0, min(box[3], b[3]) - max(box[1], b[1]))
        for b in nearer
    ]
    return float(max(parts, default=0.0) / ((box[2] - box[0]) * (box[3] - box[1])))
