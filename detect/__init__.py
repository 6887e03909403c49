"""R-CNN, Fast, Faster, Cascade and Mask R-CNN as configurations of one detector.

import detect
detector = detect.load("detect/voc_faster_rcnn")  # or a run folder, a checkpoint, another name of detect model zoo
detections = detector.predict("photo.jpg")
print(detections)  # detections.boxes, detections.scores, detections.names()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from detect.version import __version__

if TYPE_CHECKING:
    from detect.api import evaluate, load, train

__all__ = ["__version__", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    """Import torch only when ``load``, ``train`` or ``evaluate`` is first used, so that ``detect --help`` is fast."""
    if name in ("evaluate", "load", "train"):
        from detect import api

        return getattr(api, name)
    raise AttributeError(f"module 'detect' has no attribute '{name}'")
