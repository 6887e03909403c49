"""Settings of the way from scores to detections: thresholds, suppression, slices and other views of an image."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt

from detect.config.base import ConfigModel, Fraction, NonNegative, Positive, PositiveTuple, SliceSize


class PostprocessConfig(ConfigModel):
    """Settings that turn the scores of regions into detections."""

    score_threshold: Fraction = 0.05
    """Lowest score of a detection; others are dropped before non-maximum suppression."""
    nms_iou: Fraction = 0.3
    """IoU threshold of non-maximum suppression: a detection that overlaps a better one of its class by more is
    dropped."""
    pre_nms_top_n_per_class: PositiveInt | None = None
    """Number of best detections of each class of an image that enter non-maximum suppression (100 in the code of R-CNN
    and Fast R-CNN); null for all."""
    max_detections: PositiveInt = 100
    """Largest number of detections per image; the best are kept."""
    box_regression: bool = True
    """Whether a detection is the proposal moved by its deltas, or the unchanged proposal."""
    max_scale_change: Positive | None = 62.5
    """Largest factor by which a delta multiplies a side of a proposal (1000 / 16, torchvision); null for no limit (the
    papers)."""
    min_size: NonNegative = 0.0
    """Shortest side of a detection, in pixels of the resized image; smaller ones are dropped (torchvision: 0.01)."""


class SliceConfig(ConfigModel):
    """Settings of the slices of a large image: each is detected like an image, beside the whole one."""

    size: SliceSize | None = None
    """Side of a slice in pixels of the image, or [width, height]; null for no slices."""
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    """Fraction of the sides of a slice that it shares with the next one."""
    match_metric: Literal["iou", "ios"] = "iou"
    """Overlap by which detections of several slices are merged: intersection over union (iou), or over the area of the
    smaller box (ios), which also drops the part of an object that a slice has cut."""
    match_threshold: Fraction | None = None
    """Overlap above which the detection with the lower score is dropped; null for postprocess.nms_iou."""


class TTAConfig(ConfigModel):
    """Settings of test-time augmentation: several views of each image when detecting."""

    flip: bool = False
    """Whether the horizontally flipped image is detected too."""
    scales: PositiveTuple = (1.0,)
    """Factors on the size of the resized image; the image is detected at each of them."""
    merge: Literal["wbf", "nms"] = "wbf"
    """Way to merge the detections of all views: weighted box fusion (Solovyev et al. 2021), or non-maximum
    suppression."""
    slice: SliceConfig = SliceConfig()
