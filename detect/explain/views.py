"""Which detections can be explained: those of one view of an image, not those that are merged from several views."""

from __future__ import annotations

from detect.errors import UserError
from detect.inference.predictor import Predictor


def require_one_view(predictor: Predictor) -> None:
    """Raise UserError for a model with test-time augmentation, and for a graph, which has no parts to explain."""
    if predictor.detector is not predictor.base_detector:
        raise UserError(
            "model.test_time: expected one view of each image, so that each detection has one origin, found others; "
            "--set model.test_time.flip=false --set model.test_time.scales=[1]"
        )


def require_whole_images(predictor: Predictor) -> None:
    """Raise UserError for a model that detects in slices too, and for what ``require_one_view`` refuses."""
    require_one_view(predictor)
    size = predictor.config.model.test_time.slice.size
    if size is not None:
        raise UserError(
            "model.test_time.slice.size: expected null, so that each detection is one of the whole image, found "
            f"{size}; --set model.test_time.slice.size=null, or --method trace, which knows slices"
        )
