"""Build the slices of large images from settings: those that are detected in, and those that are trained on."""

from __future__ import annotations

from detect.config import Config, ModelConfig
from detect.data.slices import TrainingSlices
from detect.errors import UserError
from detect.models.slices import Slicing
from detect.types import Size


def build_slicing(model: ModelConfig) -> Slicing | None:
    """Return the slices that images are detected in; None without slices.

    Raises UserError where the proposals come from a file, which has those of whole images.
    """
    settings = model.test_time.slice
    if settings.size is None:
        return None
    if model.proposal_files:
        raise UserError(
            "model.test_time.slice.size: expected null with proposals from a file, which are those of whole images, "
            f"found {settings.size}"
        )
    threshold = settings.match_threshold
    return Slicing(
        slice_size=_sides(settings.size),
        overlap=settings.overlap,
        match_metric=settings.match_metric,
        match_threshold=model.postprocess.nms_iou if threshold is None else threshold,
    )


def build_training_slices(config: Config) -> TrainingSlices | None:
    """Return the slices of training images; None without.

    Raises UserError where proposals are looked up by the file of a whole image: precomputed ones, and in the recipe
    alternating those that an RPN has written.
    """
    settings = config.data.slice
    if settings.size is None:
        return None
    if config.model.uses_precomputed_proposals:
        raise UserError(
            "data.slice.size: expected null without an RPN, as proposals are those of whole images, found "
            f"{settings.size}"
        )
    if config.train.recipe == "alternating":
        raise UserError(
            "data.slice.size: expected null with train.recipe alternating, whose stages read the proposals of whole "
            f"images from a file, found {settings.size}; train with train.recipe=joint"
        )
    return TrainingSlices(
        slice_size=_sides(settings.size),
        overlap=settings.overlap,
        min_visibility=settings.min_visibility,
        empty=settings.empty,
        whole=settings.whole,
    )


def _sides(size: int | tuple[int, int]) -> Size:
    """Return the (h, w) of a slice: of a side, or of [width, height]."""
    return (size, size) if isinstance(size, int) else (size[1], size[0])
