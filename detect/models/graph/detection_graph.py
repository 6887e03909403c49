"""A detector as one function of tensors: an image in, a fixed number of detections out.

``Detector.detect`` returns as many detections as there are, and reads their number in Python. A graph for another
runtime has neither: every selection has a fixed size, of which the last rows are padding, and no branch depends on a
number. The parts are those of the detector, with their weights; the detections are the same.

Letters: P proposals, M detections (the maximum of the detector), C classes.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.detector import Detector
from detect.models.graph.proposals import GraphProposals, fixed_number, given_proposals, rpn_proposals
from detect.models.graph.regions import region_maps, runs_on_crops
from detect.models.graph.selection import select, top_n
from detect.models.heads.cascade import mean_logits
from detect.models.postprocess import Postprocess
from detect.models.proposers.rpn import RPN
from detect.ops import boxes as box_ops
from detect.ops.grouped_nms import NO_SCORE
from detect.types import Size

OUTPUTS = ("boxes", "scores", "labels", "masks", "count")  # masks: of a detector with a mask head alone


class DetectionGraph(nn.Module):
    """Detects in one image; ``divisor``: the sides of the padded image are multiples of it (``Preprocess.divisor``)."""

    def __init__(self, detector: Detector, divisor: int) -> None:
        super().__init__()
        self.detector = detector
        self.divisor = divisor

    @property
    def needs_proposals(self) -> bool:
        """True where proposals come with the image (R-CNN, Fast R-CNN)."""
        return not isinstance(self.detector.proposer, RPN)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of what ``forward`` returns."""
        return tuple(name for name in OUTPUTS if name != "masks" or self.detector.mask_head is not None)

    def forward(self, image: Tensor, proposals: Tensor | None = None) -> tuple[Tensor, ...]:
        """Detect in an image (1, 3, h, w), resized and normalized but not padded; proposals (P, 4) in its pixels.

        Returns boxes (M, 4) in its pixels, scores (M,), labels (M,) int64 in 1..C, masks (M, m, m) in 0..1 where there
        is a mask head, and the number () int64 of detections, which are the first rows; the others are 0. Raises
        ValueError for parts that a graph cannot run.
        """
        size = (image.shape[2], image.shape[3])
        padded = self._pad(image)
        maps = self.detector.backbone(padded)
        proposed = self._propose(padded, maps, size, proposals)
        boxes, logits, deltas = self._run_head(image, maps, proposed.boxes)
        boxes, scores, labels = select_detections(
            self.detector.postprocess, boxes, logits, deltas, proposed.is_valid, size
        )
        count = (labels > 0).sum()
        if self.detector.mask_head is None:
            return boxes, scores, labels, count
        return boxes, scores, labels, self._masks(image, maps, boxes, labels), count

    def _pad(self, image: Tensor) -> Tensor:
        """Pad on the right and at the bottom with 0, the mean color."""
        bottom, right = (-side % self.divisor for side in image.shape[2:])
        return functional.pad(image, (0, right, 0, bottom))

    def _propose(
        self, padded: Tensor, maps: tuple[Tensor, ...], size: Size, proposals: Tensor | None
    ) -> GraphProposals:
        proposer, selection = self.detector.proposer, self.detector.test_selection
        if isinstance(proposer, RPN):
            return rpn_proposals(proposer, maps, (padded.shape[2], padded.shape[3]), size, selection)
        if proposals is None:
            raise ValueError("expected proposals for a detector that does not make its own, found none")
        given = given_proposals(proposals, selection)
        return fixed_number(given, selection.post_nms_top_n) if runs_on_crops(self.detector.regions) else given

    def _run_head(self, image: Tensor, maps: tuple[Tensor, ...], boxes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the boxes (P, 4) that the last stage read, logits (P, C + 1) of all stages, and its deltas."""
        size, stage_logits = (image.shape[2], image.shape[3]), []
        for stage, refinement in zip(self.detector.head.stages, (*self.detector.refinements, None), strict=True):
            logits, deltas = stage(region_maps(self.detector.regions, image, maps, boxes))
            stage_logits.append(logits)
            if refinement is not None:
                boxes = refinement.boxes(boxes, logits, deltas, size)
        return boxes, mean_logits(stage_logits, self.detector.average), deltas

    def _masks(self, image: Tensor, maps: tuple[Tensor, ...], boxes: Tensor, labels: Tensor) -> Tensor:
        """Return the masks (M, m, m) of the classes of the detections."""
        mask_head = self.detector.mask_head
        assert mask_head is not None
        index = (labels - 1).clamp(min=0)[:, None, None, None]
        stage_masks = []
        for stage in mask_head.stages:
            logits = stage(region_maps(stage.regions, image, maps, boxes))
            of_class = logits.gather(1, index.expand(-1, 1, logits.shape[2], logits.shape[3]))
            stage_masks.append(of_class[:, 0].sigmoid().float())
        masks = torch.stack(stage_masks).mean(0)
        return masks * (labels > 0)[:, None, None]


def select_detections(
    postprocess: Postprocess, proposals: Tensor, logits: Tensor, deltas: Tensor, is_valid: Tensor, size: Size
) -> tuple[Tensor, Tensor, Tensor]:
    """Return what ``postprocess`` selects, padded with 0: boxes (M, 4), scores (M,), labels (M,) int64.

    proposals (P, 4); logits (P, C + 1); deltas (P, C, 4) or (P, 1, 4); is_valid (P,): those that are no padding.
    """
    scores = postprocess.score_fn(logits)
    boxes = proposals[:, None]
    if postprocess.apply_deltas:
        boxes = box_ops.decode(deltas, proposals, postprocess.delta_stds, postprocess.max_scale)
    boxes = box_ops.clip(boxes, size).expand(-1, scores.shape[1], -1)
    sides = boxes[..., 2:] - boxes[..., :2]
    takes_part = (scores >= postprocess.score_threshold) & (sides > postprocess.min_size).all(2) & is_valid[:, None]
    scores = torch.where(takes_part, scores, NO_SCORE).transpose(0, 1)  # (C, P)
    boxes = boxes.transpose(0, 1)
    if postprocess.pre_nms_top_n_per_class is not None:
        scores, index = top_n(scores, postprocess.pre_nms_top_n_per_class)
        boxes = boxes.gather(1, index[:, :, None].expand(-1, -1, 4))
    selected = select(boxes, scores, postprocess.nms_iou, postprocess.max_detections)
    label = selected.index // boxes.shape[1] + 1
    is_valid = selected.is_valid
    return (
        boxes.reshape(-1, 4)[selected.index] * is_valid[:, None],
        scores.flatten()[selected.index] * is_valid,
        label * is_valid,
    )
