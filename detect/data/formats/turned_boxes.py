"""The upright box around a box or an ellipse that is turned about its center."""

from __future__ import annotations

import math


def around_turned(cx: float, cy: float, w: float, h: float, angle: float) -> tuple[float, float, float, float]:
    """Return x1 y1 x2 y2 around the box of center ``cx cy`` and sides ``w h``, turned by ``angle`` in radians."""
    half_width = (abs(w * math.cos(angle)) + abs(h * math.sin(angle))) / 2
    half_height = (abs(w * math.sin(angle)) + abs(h * math.cos(angle))) / 2
    return cx - half_width, cy - half_height, cx + half_width, cy + half_height


def around_ellipse(cx: float, cy: float, rx: float, ry: float, angle: float) -> tuple[float, float, float, float]:
    """Return x1 y1 x2 y2 around an ellipse of center ``cx cy`` and radii ``rx ry``, turned by ``angle`` in radians."""
    half_width = math.hypot(rx * math.cos(angle), ry * math.sin(angle))
    half_height = math.hypot(rx * math.sin(angle), ry * math.cos(angle))
    return cx - half_width, cy - half_height, cx + half_width, cy + half_height


def is_turned(degrees: float) -> bool:
    """Return True if a box turned by this angle is another one; False for NaN and infinity, which say nothing."""
    return math.isfinite(degrees) and degrees % 180 != 0
