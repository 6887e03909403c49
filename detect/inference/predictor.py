"""Runs a trained detector on images. Detections are in pixels of the original images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch
from torch import Tensor

from detect.checkpoints.zoo import read_model
from detect.config import Config, Device, Precision
from detect.config.builders.detector import build_preprocess, build_uninitialized, with_tta
from detect.config.builders.proposals import on_the_fly_search
from detect.config.builders.slices import build_slicing
from detect.config.files import with_overrides
from detect.errors import UserError
from detect.inference.auto_precision import PrecisionChoice, choose_precision
from detect.inference.image_detections import ImageDetections
from detect.inference.image_inputs import ImageLike, image_name, to_rgb
from detect.inference.runtimes.graph_detector import GraphDetector, open_graph
from detect.inference.runtimes.sealed_files import SUFFIXES as GRAPH_SUFFIXES
from detect.models.backbones.frozen_norm import optimize_for_inference
from detect.models.detector import Detector
from detect.models.slices import MergedDetections, Slicing, move_to_image
from detect.models.tta import DetectorWithTTA
from detect.ops.preprocess import Preprocess, rescale_boxes
from detect.ops.slices import Window
from detect.proposals.lookups import BoxesAndScores, SearchOnTheFly
from detect.system import randomness
from detect.system.device import ComputeConfig, select_device
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


def load(
    model: str | Path,
    device: Device = "auto",
    precision: Precision | Literal["auto"] = "fp32",
    overrides: Sequence[str] = (),
) -> Predictor:
    """Load a trained detector.

    precision: auto takes bf16 where the device has it natively and this model is quicker in it, else fp32.

    model: a run folder (its best weights), a checkpoint or packaged file, a graph of ONNX or OpenVINO that ``detect
    model export`` wrote, or a name of the zoo: a detector of this package needs no network, the file of another one is
    downloaded once; overrides: KEY=VALUE settings that replace the checkpoint's: thresholds, input size, test-time
    augmentation, data; of a graph only input size and data. Raises UserError with the file and the reason.
    """
    if Path(model).suffix in GRAPH_SUFFIXES:
        return _load_graph(Path(model), device, precision, overrides)
    saved, file = read_model(Path(model))
    config = with_overrides(saved.config, overrides)
    classifier = saved.config.model.classifier
    if config.model.classifier != classifier:
        raise UserError(f"model.classifier: expected {classifier}, which {file} holds, found {config.model.classifier}")
    features = saved.config.model.head.svm_features
    if config.model.head.svm_features != features:
        raise UserError(
            f"model.head.svm_features: expected {features or 'null'}, which the SVMs of {file} read, "
            f"found {config.model.head.svm_features or 'null'}"
        )
    detector = build_uninitialized(config, saved.classes)
    try:
        detector.load_state_dict(saved.weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        if overrides:
            raise UserError(f"--set: expected a network that the weights in {file} fit, found {reason}") from None
        raise UserError(f"{file}: expected the weights of the detector in its settings, found {reason}") from None
    has_new_preprocess = build_preprocess(config) != build_preprocess(saved.config)
    preprocess = build_preprocess(config) if has_new_preprocess else saved.preprocess
    choice = None
    if precision == "auto":
        choice = choose_precision(detector.eval(), select_device(device, "fp32").device)
        precision = choice.precision
    compute = select_device(device, precision)
    optimize_for_inference(detector.eval(), compute.dtype)
    search, slicing = on_the_fly_search(config.model), build_slicing(config.model)
    return Predictor(
        with_tta(config, detector), saved.classes, preprocess, config, file, compute, search, slicing, choice
    )


def _load_graph(
    file: Path, device: Device, precision: Precision | Literal["auto"], overrides: Sequence[str]
) -> Predictor:
    """Load a graph, which computes on the CPU with the settings of the model that are a part of it."""
    if device == "cuda":
        raise UserError(f"device: expected cpu for {file}, on which graphs run, found cuda")
    choice = None
    if precision == "auto":
        choice = PrecisionChoice("fp32", "auto: a graph computes in the numbers of its weights")
        precision = choice.precision
    detector, description = open_graph(file, precision)
    saved = description.config
    config = with_overrides(saved, overrides)
    sources = {"proposals": saved.model.proposals, "search": saved.model.search}  # which no graph depends on
    if config.model.model_copy(update=sources) != saved.model or config.data.size_divisor != saved.data.size_divisor:
        raise UserError(
            f"--set: expected model.* and data.size_divisor as {file} has them in its graph, found others: set them "
            "for the model, and export it again"
        )
    has_new_preprocess = build_preprocess(config) != build_preprocess(saved)
    preprocess = build_preprocess(config) if has_new_preprocess else description.preprocess
    compute = select_device("cpu", precision)
    search, slicing = on_the_fly_search(config.model), build_slicing(config.model)
    return Predictor(detector, description.classes, preprocess, config, file, compute, search, slicing, choice)
