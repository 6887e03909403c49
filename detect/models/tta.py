"""Test-time augmentation: several augmented views of each image give one set of detections.

The detector runs on every view; the detections are mapped back to the image and merged. Views are made from the resized
image, so a larger view adds no detail, only finer cells for small objects.
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
from detect.ops.dtype import at_least_float32
from detect.ops.nms import nms
from detect.ops.preprocess import rescale_boxes
from detect.types import Detections, Images

SUPPORT_IOU = 0.55  # of boxes that are fused, where the suppression lets none as close stand (Solovyev et al. 2021)


@dataclass(frozen=True)
class AugmentedView:
    """One view of an image: at ``scale`` times its size, horizontally flipped or not."""

    scale: float = 1.0
    hflip: bool = False


class DetectorWithTTA(nn.Module):
    """A detector with test-time augmentation; it has the ``detect`` of a ``Detector``."""

    def __init__(self, detector: Detector, views: Sequence[AugmentedView], merge: Literal["wbf", "nms"]) -> None:
        super().__init__()
        self.detector = detector
        self.views = tuple(views)
        self.merge = merge

    @property
    def base_detector(self) -> Detector:
        """Return the detector that runs on each view."""
        return self.detector

    @torch.no_grad()
    def detect(self, images: Images) -> list[Detections]:
        """Return the merged detections of each image, in canvas pixels, best first."""
        view_detections = [self._detect_view(images, view) for view in self.views]
        postprocess = self.detector.postprocess
        merged = []
        for image_detections in zip(*view_detections, strict=True):
            boxes = torch.cat([detections.boxes for detections in image_detections])
            scores = torch.cat([detections.scores for detections in image_detections])
            labels = torch.cat([detections.labels for detections in image_detections])
            masks = _concatenated_masks(image_detections)
            keep = nms(boxes, scores, postprocess.nms_iou, labels)
            if self.merge == "wbf":
                views = _view_of_each_box(image_detections)
                min_iou = max(SUPPORT_IOU, postprocess.nms_iou)
                fused, confidence = weighted_box_fusion(boxes, scores, labels, views, keep, len(self.views), min_iou)
                order = confidence.argsort(descending=True, stable=True)[: postprocess.max_detections]
                fused_masks = None if masks is None else masks[keep][order]  # of the best box of each fused one
                merged.append(
                    Detections(
                        fused[order], confidence[order], labels[keep][order], None, postprocess.classes, fused_masks
                    )
                )
            else:
                keep = keep[: postprocess.max_detections]
                kept_masks = None if masks is None else masks[keep]
                merged.append(
                    Detections(boxes[keep], scores[keep], labels[keep], None, postprocess.classes, kept_masks)
                )
        return merged

    def _detect_view(self, images: Images, view: AugmentedView) -> list[Detections]:
        view_images = hflip_images(images) if view.hflip else images
        view_images = rescale_images(view_images, view.scale) if view.scale != 1.0 else view_images
        restored = []
        for detections, size, original in zip(
            self.detector.detect(view_images), view_images.sizes, images.sizes, strict=True
        ):
            boxes = rescale_boxes(detections.boxes, size, original)
            boxes = box_ops.hflip(boxes, original[1]) if view.hflip else boxes
            masks = detections.masks
            masks = masks.flip(2) if masks is not None and view.hflip else masks
            restored.append(Detections(boxes, detections.scores, detections.labels, None, detections.classes, masks))
        return restored


def _view_of_each_box(view_detections: Sequence[Detections]) -> Tensor:
    """Return the index of the view that has each box of an image, in the order of the boxes: (M,)."""
    return torch.cat(  # filled on the device: a tensor of Python values is one wait more for each image
        [
            torch.full((len(detections),), view, device=detections.boxes.device)
            for view, detections in enumerate(view_detections)
        ]
    )


def _concatenated_masks(view_detections: Sequence[Detections]) -> Tensor | None:
    """Return the masks of all views of an image, in the order of their boxes; None if the detector makes none."""
    masks = [detections.masks for detections in view_detections if detections.masks is not None]
    return torch.cat(masks) if masks else None


def weighted_box_fusion(
    boxes: Tensor, scores: Tensor, labels: Tensor, views: Tensor, keep: Tensor, num_views: int, min_iou: float
) -> tuple[Tensor, Tensor]:
    """Fuse boxes (Solovyev et al. 2021; supporters as in box voting, Gidaris and Komodakis 2015).

    Each box of ``keep`` becomes the mean, weighted by score, of its supporters: of each view the box of its class that
    overlaps it most, if their IoU is ``min_iou`` or more. No box supports two. Its score is the sum of their scores
    divided by the number of views, at most 1, so a box that only one view has gets a lower score. ``min_iou`` is no
    lower than the IoU that boxes of ``keep`` may have, or else two of them would become one box twice.
    boxes (M, 4), scores (M,), labels (M,), views (M,) 0 to num_views - 1, keep (D,) indices -> boxes (D, 4), scores
    (D,), both float32 or float64.
    """
    boxes, scores = at_least_float32(boxes), at_least_float32(scores)
    if not len(boxes):
        return boxes, scores
    overlaps = box_ops.iou(boxes[keep], boxes)  # (D, M)
    supports = (overlaps >= min_iou) & (labels[keep][:, None] == labels)
    supports &= overlaps == (overlaps * supports).amax(0)
    for view in range(num_views):
        of_view = supports & (views == view)
        supports &= (overlaps == (overlaps * of_view).amax(1, keepdim=True)) | (views != view)
    weights = scores * supports
    total = weights.sum(1, keepdim=True)
    # Autocast would compute the product in bf16, whose rounding moves a coordinate near 900 by up to 2.4 pixels.
    with torch.autocast(boxes.device.type, enabled=False):
        weighted_sum = weights @ boxes
    return weighted_sum / total, (total[:, 0] / num_views).clamp(max=1.0)


def hflip_images(images: Images) -> Images:
    """Flip every image horizontally within its own area of the canvas: pixels (N, 3, H, W), proposals too."""
    pixels = images.pixels.clone()
    for image, (height, width) in zip(pixels, images.sizes, strict=True):
        image[:, :height, :width] = image[:, :height, :width].flip(2)
    if images.proposals is None:
        return Images(pixels, images.sizes, images.seeds)
    flipped = tuple(
        replace(proposals, boxes=box_ops.hflip(proposals.boxes, width))
        for proposals, (_, width) in zip(images.proposals, images.sizes, strict=True)
    )
    return Images(pixels, images.sizes, images.seeds, flipped)


def rescale_images(images: Images, scale: float) -> Images:
    """Resize the canvas and every image on it to ``scale`` times the size: pixels (N, 3, H, W), proposals too."""
    height, width = (round(side * scale) for side in images.pixels.shape[2:])
    y, x = height / images.pixels.shape[2], width / images.pixels.shape[3]
    pixels = functional.interpolate(images.pixels, size=(height, width), mode="bilinear", align_corners=False)
    sizes = tuple((max(1, round(h * y)), max(1, round(w * x))) for h, w in images.sizes)
    if images.proposals is None:
        return Images(pixels, sizes, images.seeds)
    rescaled = tuple(
        replace(proposals, boxes=rescale_boxes(proposals.boxes, size, to_size))
        for proposals, size, to_size in zip(images.proposals, images.sizes, sizes, strict=True)
    )
    return Images(pixels, sizes, images.seeds, rescaled)
