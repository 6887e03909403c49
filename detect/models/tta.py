"""Test-time augmentation: several looks at each image, one set of detections.

Every look is detected on its own; the detections are brought back to the image and merged. The looks are made from the
resized image, so a larger one adds no detail, only finer cells for small objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.detector import Detector
from detect.ops import boxes as box_ops
from detect.ops.nms import nms
from detect.ops.preprocess import rescale_boxes
from detect.types import Detections, Images


@dataclass(frozen=True)
class Look:
    """One look: at ``scale`` times the size, mirrored or not."""

    scale: float = 1.0
    mirrored: bool = False


class ManyLooks(nn.Module):
    """A detector that takes several looks; answers ``detect`` as one does."""

    def __init__(self, detector: Detector, looks: Sequence[Look], merge: Literal["fusion", "nms"]) -> None:
        super().__init__()
        self.detector = detector
        self.looks = tuple(looks)
        self.merge = merge

    @torch.no_grad()
    def detect(self, images: Images) -> list[Detections]:
        """The merged detections of each image, in canvas pixels, best first."""
        seen = [self._detect_look(images, look) for look in self.looks]
        rule = self.detector.postprocess
        merged = []
        for found in zip(*seen, strict=True):
            boxes = torch.cat([one.boxes for one in found])
            scores, labels = torch.cat([one.scores for one in found]), torch.cat([one.labels for one in found])
            kept = nms(boxes, scores, rule.nms, labels)
            if self.merge == "fusion":
                fused, confidence = fuse(boxes, scores, labels, kept, len(self.looks))
                order = confidence.argsort(descending=True, stable=True)[: rule.limit]
                merged.append(Detections(fused[order], confidence[order], labels[kept][order], None, rule.classes))
            else:
                kept = kept[: rule.limit]
                merged.append(Detections(boxes[kept], scores[kept], labels[kept], None, rule.classes))
        return merged

    def _detect_look(self, images: Images, look: Look) -> list[Detections]:
        shown = mirrored(images) if look.mirrored else images
        shown = rescaled(shown, look.scale) if look.scale != 1.0 else shown
        back = []
        for found, size, original in zip(self.detector.detect(shown), shown.sizes, images.sizes, strict=True):
            boxes = rescale_boxes(found.boxes, size, original)
            boxes = box_ops.flip(boxes, original[1]) if look.mirrored else boxes
            back.append(Detections(boxes, found.scores, found.labels, None, found.classes))
        return back


def fuse(boxes: Tensor, scores: Tensor, labels: Tensor, kept: Tensor, looks: int) -> tuple[Tensor, Tensor]:
    """Weighted fusion (Solovyev et al. 2021, by the supporters of box voting, Gidaris and Komodakis 2015).

    Each kept box becomes the mean, weighted by score, of all boxes of its class with an IoU of at least 0.55; its score
    is the sum of theirs over the number of looks, at most 1: what only one look saw is trusted less.
    boxes (M, 4), scores (M,), labels (M,), kept (D,) -> boxes (D, 4), scores (D,).
    """
    same = labels[kept][:, None] == labels
    weights = scores * ((box_ops.iou(boxes[kept], boxes) >= 0.55) & same)  # (D, M)
    total = weights.sum(1, keepdim=True)
    return weights @ boxes / total, (total[:, 0] / looks).clamp(max=1.0)


def mirrored(images: Images) -> Images:
    """Every picture mirrored left to right in its own place on the canvas."""
    pixels = images.pixels.clone()
    for slot, (height, width) in zip(pixels, images.sizes, strict=True):
        slot[:, :height, :width] = slot[:, :height, :width].flip(2)
    if images.given is None:
        return Images(pixels, images.sizes, images.keys)
    given = tuple(
        replace(proposals, boxes=box_ops.flip(proposals.boxes, width))
        for proposals, (_, width) in zip(images.given, images.sizes, strict=True)
    )
    return Images(pixels, images.sizes, images.keys, given)


def rescaled(images: Images, scale: float) -> Images:
    """The canvas and every picture on it, ``scale`` times as large."""
    height, width = (round(side * scale) for side in images.pixels.shape[2:])
    y, x = height / images.pixels.shape[2], width / images.pixels.shape[3]
    pixels = functional.interpolate(images.pixels, size=(height, width), mode="bilinear", align_corners=False)
    sizes = tuple((max(1, round(h * y)), max(1, round(w * x))) for h, w in images.sizes)
    if images.given is None:
        return Images(pixels, sizes, images.keys)
    given = tuple(
        replace(proposals, boxes=rescale_boxes(proposals.boxes, size, wanted))
        for proposals, size, wanted in zip(images.given, images.sizes, sizes, strict=True)
    )
    return Images(pixels, sizes, images.keys, given)
