"""Finds the regions of a photo with a detector and computes their features.

The regions of Karpathy and Fei-Fei 2015, section 3.1.1: the 19 best detections and the whole photo.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detect.config import to_dict
from detect.config.describe import DescribeConfig, RegionFeaturesConfig
from detect.describe.region_vectors import (
    BodyVectors,
    HeadVectors,
    NetworkVectors,
    RegionVectors,
    hue_histogram,
    photo_box,
    pixel_grid,
)
from detect.describe.regions import RegionFeatures
from detect.errors import UserError
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.ops.preprocess import Preprocess, rescale_boxes
from detect.proposals.files import content_hash


@dataclass(frozen=True)
class RegionExtractor:
    """A detector whose best detections are the regions of a photo, and the network of their features.

    num_regions: at most so many detections; geometry: whether the corners and the area of a box, as fractions of the
    photo, follow its features; pixels: the side of the grid of colors that follows them, and hues: the number of hues
    of the histogram that follows these, both 0 for none; identity: a text of everything that the features depend on.
    """

    predictor: Predictor
    vectors: RegionVectors
    num_regions: int
    geometry: bool
    pixels: int
    hues: int
    identity: str

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the labels 1..K of regions."""
        return self.predictor.classes

    @torch.inference_mode()
    def extract(self, rgb: np.ndarray, boxes: np.ndarray | None = None) -> RegionFeatures:
        """Return the regions of a photo rgb (H, W, 3) uint8, the whole photo last.

        boxes (B, 4) x1 y1 x2 y2 in its pixels: the regions instead of the detections, with label 0 and score 1.
        """
        detector, device = self.predictor.base_detector, self.predictor.compute.device
        size = (rgb.shape[0], rgb.shape[1])
        images = self.predictor.preprocess_image(rgb).to(device)
        maps = detector.backbone(images.pixels)
        if boxes is None:
            (detections,) = detector.detect(images, maps)
            corners = rescale_boxes(detections.boxes[: self.num_regions].float(), images.sizes[0], size)
            labels, scores = detections.labels[: self.num_regions], detections.scores[: self.num_regions].float()
        else:
            corners = torch.from_numpy(boxes.astype(np.float32)).to(device).reshape(-1, 4)
            labels, scores = torch.zeros(len(corners), dtype=torch.int64), torch.ones(len(corners))
        all_boxes = torch.cat([corners, photo_box(size).to(device)])
        vectors = self.vectors(rgb, images, maps, all_boxes).float()
        if self.geometry:
            vectors = torch.cat([vectors, _geometry(all_boxes, size)], dim=1)
        if self.pixels:
            vectors = torch.cat([vectors, pixel_grid(rgb, all_boxes, self.pixels)], dim=1)
        if self.hues:
            vectors = torch.cat([vectors, hue_histogram(rgb, all_boxes, self.hues)], dim=1)
        return RegionFeatures(
            boxes=all_boxes.cpu().numpy(),
            features=vectors.half().float().cpu().numpy(),  # the numbers that the files of features hold
            labels=np.append(labels.cpu().numpy(), 0),
            scores=np.append(scores.cpu().numpy(), np.float32(0)),
        )


def build_region_extractor(config: DescribeConfig) -> RegionExtractor:
    """Return the extractor of the settings. Raises UserError for a detector or weights that cannot be loaded.

    A detector whose detections come from several views of a photo is run on one, whose features are those of the
    regions; a line on stderr says so.
    """
    settings = config.features
    predictor = load(config.detector, config.device, "fp32", [f"model.postprocess.score_threshold={settings.score}"])
    if predictor.has_views:
        print(
            f"{predictor.file}: its model.test_time is not used: regions are detected in one view of the whole photo, "
            "of which their features are too",
            file=sys.stderr,
        )
    return RegionExtractor(
        predictor=predictor,
        vectors=_build_vectors(config, predictor),
        num_regions=settings.regions,
        geometry=settings.geometry,
        pixels=settings.pixels,
        hues=settings.hues,
        identity=_identity(settings, predictor),
    )


def _identity(settings: RegionFeaturesConfig, predictor: Predictor) -> str:
    """Return a text of everything that the features of a photo depend on; files count by their content."""
    weights = settings.body.weights
    if weights is not None and Path(weights).is_file():
        weights = f"{content_hash(Path(weights).read_bytes())}"
    body = {"name": settings.body.name, "weights": weights}
    return f"{content_hash(predictor.file.read_bytes())} {to_dict(settings) | {'body': body}}"


def _build_vectors(config: DescribeConfig, predictor: Predictor) -> RegionVectors:
    """Return the network of the features. Raises UserError, which names the key."""
    settings = config.features
    name, weights = settings.body.name, settings.body.weights
    if settings.source == "head" and (name is not None or weights is not None):
        raise UserError(f"features.source: expected body with features.body.name {name}, found head")
    if (name is None) != (weights is None):
        raise UserError(f"features.body: expected a name and weights, or neither, found {name} and {weights}")
    if settings.source == "head":
        return HeadVectors(predictor.base_detector)
    if name is None or weights is None:
        return BodyVectors(predictor.base_detector)
    sizes = predictor.preprocess
    try:
        network = NetworkVectors(name, str(weights), Preprocess(sizes.min_size, sizes.max_size))
    except UserError as error:
        raise UserError(str(error).replace("model.backbone.", "features.body.")) from error
    return network.to(predictor.compute.device)


def _geometry(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return the corners and the area (R, 5) of boxes (R, 4) as fractions of a photo of ``size`` (h, w)."""
    height, width = size
    corners = boxes / boxes.new_tensor([width, height, width, height])
    areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    return torch.cat([corners, areas[:, None]], dim=1)
