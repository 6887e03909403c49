"""Runs a trained detector on images. Detections are in pixels of the original images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import overload

import numpy as np
import torch
from torch import Tensor

from detect.config import Config
from detect.inference.auto_precision import PrecisionChoice
from detect.inference.image_detections import ImageDetections
from detect.inference.image_inputs import ImageLike, image_name, to_rgb
from detect.inference.runtimes.graph_detector import GraphDetector
from detect.models.detector import Detector
from detect.models.slices import MergedDetections, Slicing, move_to_image
from detect.models.tta import DetectorWithTTA
from detect.ops.preprocess import Preprocess, rescale_boxes
from detect.ops.slices import Window
from detect.proposals.lookups import BoxesAndScores, SearchOnTheFly
from detect.system import randomness
from detect.system.device import ComputeConfig
from detect.types import Detections, Images, Proposals, Size

SLICES_PER_BATCH = 8


@dataclass(frozen=True)
class PreparedImage:
    """An image as the network reads it.

    pixels (3, h, w): resized and normalized; size: (H, W) of the original; proposals: in resized pixels, None for a
    detector with a region proposal network.
    """

    pixels: Tensor
    size: Size
    proposals: Proposals | None = None


class Predictor:
    """A trained detector with its preprocessing, class names, device and precision.

    proposal_search: searches the proposals of an image, for a detector without a region proposal network; slicing: the
    slices in which images are detected, None for none; precision_choice: why the precision was chosen, None where it
    was given.
    """

    def __init__(
        self,
        detector: Detector | DetectorWithTTA | GraphDetector,
        classes: tuple[str, ...],
        preprocess: Preprocess,
        config: Config,
        file: Path,
        compute: ComputeConfig,
        proposal_search: SearchOnTheFly | None = None,
        slicing: Slicing | None = None,
        precision_choice: PrecisionChoice | None = None,
    ) -> None:
        self.detector = detector.eval().to(compute.device)
        self.classes = classes  # label k is classes[k - 1]
        self.preprocess = preprocess
        self.config = config
        self.file = file
        self.compute = compute
        self.proposal_search = proposal_search
        self.slicing = slicing
        self.precision_choice = precision_choice

    def __repr__(self) -> str:
        """Return the file, the kind of detector, the number of classes, the device and the precision."""
        model, compute = self.config.model, self.compute
        return (
            f"Predictor({self.file}: {model.kind} on {model.backbone.name}, {len(self.classes)} classes, "
            f"{compute.device.type}, {str(compute.dtype).removeprefix('torch.')})"
        )

    @property
    def base_detector(self) -> Detector:
        """Return the detector without test-time augmentation. Raises UserError for a graph of another runtime."""
        return self.detector.base_detector

    @property
    def has_views(self) -> bool:
        """Return whether detections come from other views than the whole image: flipped, of another size, slices."""
        return isinstance(self.detector, DetectorWithTTA) or self.slicing is not None

    @overload
    def predict(self, x: ImageLike, score: float = 0.5) -> ImageDetections: ...  # type: ignore[overload-overlap]

    @overload
    def predict(self, x: Sequence[ImageLike], score: float = 0.5) -> list[ImageDetections]: ...

    def predict(
        self, x: ImageLike | Sequence[ImageLike], score: float = 0.5
    ) -> ImageDetections | list[ImageDetections]:
        """Return the detections of at least ``score``, best first, with boxes in pixels of the original image.

        Those that score less than ``model.postprocess.score_threshold`` are dropped before: it is lowered in ``load``.
        x: a path; the bytes of an image file; a PIL image; an RGB array (H, W, 3) or a tensor (3, H, W) of uint8, or of
        floats in 0..1 or 0..255; a list or tuple of any of these, which gives a list. The images of a list are
        processed one by one; ``detect predict`` uses batches. Labels count from 1: that of ``classes[0]`` is 1. Raises
        UserError for anything else, and UnreadableImage for what cannot be decoded.
        """
        if isinstance(x, list | tuple):
            return [self._predict_image(image).above(score) for image in x]
        return self._predict_image(x).above(score)

    def _predict_image(self, image: object) -> ImageDetections:
        rgb = to_rgb(image)
        if self.slicing is None:
            return replace(self.detect_prepared([self.prepare(rgb)])[0], file=image_name(image))
        merged = self.detect_views(self.slicing, rgb, randomness.hash_key("predict")).merged
        return ImageDetections(
            boxes=merged.boxes.float(),
            scores=merged.scores,
            labels=merged.labels,
            classes=self.classes,
            masks=merged.masks,
            size=(rgb.shape[0], rgb.shape[1]),
            file=image_name(image),
        )

    def prepare(self, rgb: np.ndarray, proposals: BoxesAndScores | None = None) -> PreparedImage:
        """Return an RGB uint8 image (H, W, 3) as the network reads it; this needs neither the network nor its device.

        proposals: its proposals, in its pixels. None searches them, for a detector that needs proposals.
        """
        resized = self.preprocess.resize(rgb)
        size, resized_size = (rgb.shape[0], rgb.shape[1]), (resized.shape[0], resized.shape[1])
        pixels = self.preprocess.normalize(resized)
        if self.proposal_search is None:
            return PreparedImage(pixels, size)
        boxes, scores = (torch.from_numpy(array) for array in proposals or self.proposal_search.search(rgb))
        return PreparedImage(pixels, size, Proposals(rescale_boxes(boxes, size, resized_size), scores))

    def detect_prepared(self, prepared: Sequence[PreparedImage]) -> list[ImageDetections]:
        """Return all detections of images in one batch, each best first.

        Where their padded sizes are equal, no detection depends on the other images.
        """
        images = self._batch(prepared).to(self.compute.device)
        with torch.inference_mode(), self.compute.autocast():
            batch_detections = self.detector.detect(images)
        return [
            ImageDetections(
                boxes=rescale_boxes(detections.boxes.cpu(), resized_size, image.size),
                scores=detections.scores.cpu(),
                labels=detections.labels.cpu(),
                classes=self.classes,
                masks=None if detections.masks is None else detections.masks.cpu(),
                size=image.size,
            )
            for detections, resized_size, image in zip(batch_detections, images.sizes, prepared, strict=True)
        ]

    def detect_views(
        self, slicing: Slicing, rgb: np.ndarray, seed: int, batch_size: int = SLICES_PER_BATCH
    ) -> MergedDetections:
        """Detect on an image (H, W, 3) uint8 and on its slices, ``batch_size`` of these at a time, and merge them.

        seed: the root of the random draws of every view. The whole image is a batch of its own and all slices have one
        size, so that no result depends on the other views of a batch. Boxes are float64, in pixels of the image.
        """
        whole, *slices = slicing.views((rgb.shape[0], rgb.shape[1]))
        batches = [[whole], *(slices[start : start + batch_size] for start in range(0, len(slices), batch_size))]
        view_detections: list[Detections] = []
        for batch in batches:
            view_detections += self._detect_batch([rgb] * len(batch), batch, [seed] * len(batch))
        return slicing.merge(view_detections)

    def detect_images(self, images: Sequence[np.ndarray], seeds: Sequence[int]) -> list[Detections]:
        """Return all detections of RGB uint8 images (H, W, 3), which are one batch, on the CPU, boxes float64 in pixels
        of each. With slices each image is detected by itself.

        seeds: the root of the random draws of each image.
        """
        if self.slicing is not None:
            return [self.detect_views(self.slicing, rgb, seed).merged for rgb, seed in zip(images, seeds, strict=True)]
        return self._detect_batch(images, [(0, 0, rgb.shape[1], rgb.shape[0]) for rgb in images], seeds)

    def _detect_batch(
        self, images: Sequence[np.ndarray], views: Sequence[Window], seeds: Sequence[int]
    ) -> list[Detections]:
        """Return the detections of one view of each image, in pixels of the image; together they are one batch."""
        prepared = [self.prepare(rgb[y1:y2, x1:x2]) for rgb, (x1, y1, x2, y2) in zip(images, views, strict=True)]
        batch = self._batch(prepared, seeds).to(self.compute.device)
        with torch.inference_mode(), self.compute.autocast():
            detections = self.detector.detect(batch)
        return [move_to_image(*view) for view in zip(detections, batch.sizes, views, strict=True)]

    def preprocess_image(self, rgb: np.ndarray, proposals: BoxesAndScores | None = None) -> Images:
        """Return an RGB uint8 image (H, W, 3) as a batch of one; proposals: as in ``prepare``."""
        return self._batch([self.prepare(rgb, proposals)])

    def _batch(self, prepared: Sequence[PreparedImage], seeds: Sequence[int] | None = None) -> Images:
        proposals = [image.proposals for image in prepared if image.proposals is not None]
        seeds = seeds or [randomness.hash_key("predict")] * len(prepared)
        return self.preprocess.batch([image.pixels for image in prepared], seeds, proposals or None)
