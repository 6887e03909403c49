"""R-CNN, Fast R-CNN and Faster R-CNN as three configurations of one detector.

import detect
detector = detect.load("runs/faster_rcnn-1")
found = detector.predict("photo.jpg")
found.boxes, found.scores, found.names()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.version import __version__

if TYPE_CHECKING:
    from detect.api import evaluate, load, train

__all__ = ["__version__", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    """``load``, ``train`` and ``evaluate`` import torch when first asked for: ``detect --help`` need not wait."""
    if name in ("evaluate", "load", "train"):
        from detect import api

        return getattr(api, name)
    raise AttributeError(f"module 'detect' has no attribute '{name}'")
