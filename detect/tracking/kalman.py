"""A Kalman filter for boxes: center and sides move at a constant velocity (Wojke et al. 2017, DeepSORT, section 2.1).

The state is (cx, cy, w, h) and its change per frame. Both noises are proportional to the sides of the box, as in
DeepSORT and ByteTrack: an error of a twentieth of the side in position, of 1/160 in velocity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_POSITION, _VELOCITY = 1 / 20, 1 / 160  # standard deviations, in sides of the box


@dataclass(frozen=True)
class BoxState:
    """The mean (8,) and the covariance (8, 8) of a box and its velocity."""

    mean: np.ndarray
    covariance: np.ndarray

    @property
    def box(self) -> np.ndarray:
        """Return x1 y1 x2 y2, (4,)."""
        center, sides = self.mean[:2], np.maximum(self.mean[2:4], 1e-3)
        return np.concatenate([center - sides / 2, center + sides / 2])


def start(box: np.ndarray) -> BoxState:
    """Return the state of a box (4,) that is seen for the first time, with an unknown velocity around 0."""
    measured = _measure(box)
    sides = np.tile(measured[2:], 2)
    deviations = np.concatenate([2 * _POSITION * sides, 10 * _VELOCITY * sides])
    return BoxState(np.concatenate([measured, np.zeros(4)]), np.diag(deviations**2))


def predict(state: BoxState, frames: int = 1) -> BoxState:
    """Return the state ``frames`` frames later."""
    step = np.eye(8)
    step[:4, 4:] = np.eye(4)
    for _ in range(frames):
        sides = np.tile(state.mean[2:4], 2)
        noise = np.concatenate([_POSITION * sides, _VELOCITY * sides])
        state = BoxState(step @ state.mean, step @ state.covariance @ step.T + np.diag(noise**2))
    return state


def update(state: BoxState, box: np.ndarray) -> BoxState:
    """Return the state after a box (4,) was measured."""
    observe = np.eye(4, 8)
    noise = np.diag((_POSITION * np.tile(state.mean[2:4], 2)) ** 2)
    innovation = observe @ state.covariance @ observe.T + noise
    gain = np.linalg.solve(innovation, observe @ state.covariance).T  # both factors are symmetric
    mean = state.mean + gain @ (_measure(box) - state.mean[:4])
    return BoxState(mean, state.covariance - gain @ innovation @ gain.T)


def _measure(box: np.ndarray) -> np.ndarray:
    """Return (cx, cy, w, h) of x1 y1 x2 y2."""
    return np.concatenate([(box[:2] + box[2:]) / 2, box[2:] - box[:2]])
