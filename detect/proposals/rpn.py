"""Region proposal network: proposals from the shared map (Faster R-CNN, section 3.1).

Letters: N images, C channels, A anchors of all maps together, P proposals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detect.anchors import AnchorShapes
from detect.losses import objectness_losses
from detect.matching import Matcher, subsample
from detect.ops import boxes as box_ops
from detect.ops.nms import nms
from detect.proposals.proposer import Proposed, Selection
from detect.types import Images, Proposals, Size, Targets

NO_SCALING = (1.0, 1.0, 1.0, 1.0)


@dataclass(frozen=True)
class RpnOutput:
    """What the RPN said before any choice: logits (N, A), deltas (N, A, 4); anchors (A, 4) and their map (A,)."""

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    levels: Tensor


@dataclass(frozen=True)
class RpnTraining:
    """Which anchors train the RPN, and how their loss is weighed.

    ``outside`` is how far an anchor may reach over the picture's border in pixels and still train (0 in the paper;
    None: any).
    """

    matcher: Matcher
    number: int = 256
    share: float = 0.5
    outside: float | None = None
    beta: float = 1.0 / 9.0
    box_weight: float = 1.0


class RpnHead(nn.Module):
    """A 3x3 convolution, then an objectness logit and four deltas for each anchor of a cell."""

    def __init__(self, channels: int, width: int, per_cell: int) -> None:
        super().__init__()
        self.hidden = nn.Conv2d(channels, width, 3, padding=1)
        self.objectness = nn.Conv2d(width, per_cell, 1)
        self.deltas = nn.Conv2d(width, per_cell * 4, 1)
        for layer in (self.hidden, self.objectness, self.deltas):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias if layer.bias is not None else torch.empty(0))

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, h, w) -> logits (N, h * w * per_cell), deltas (N, h * w * per_cell, 4), ordered as the anchors are."""
        hidden = torch.relu(self.hidden(features))
        logits, deltas = self.objectness(hidden), self.deltas(hidden)
        return logits.permute(0, 2, 3, 1).flatten(1), deltas.permute(0, 2, 3, 1).reshape(len(deltas), -1, 4)


class Rpn(nn.Module):
    """The proposer of Faster R-CNN: one small head slid over every map."""

    def __init__(self, head: RpnHead, shapes: AnchorShapes, strides: Sequence[int], training: RpnTraining) -> None:
        super().__init__()
        self.head = head
        self.shapes = shapes
        self.strides = tuple(strides)
        self.rule = training

    def forward(self, images: Images, maps: Sequence[Tensor], selection: Selection) -> Proposed[RpnOutput]:
        """Proposals of each image, at most ``selection.after_nms``, best first, with the anchor each came from."""
        raw = self._run(maps)
        proposals = tuple(self._propose(raw, image, size, selection) for image, size in enumerate(images.sizes))
        return Proposed(proposals, raw)

    def losses(self, raw: RpnOutput, images: Images, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Mean over the images of the objectness and the box loss."""
        pairs = [
            self._image_losses(raw.logits[i], raw.deltas[i], raw.anchors, images.sizes[i], images.keys[i], targets[i])
            for i in range(len(images))
        ]
        objectness, box = (torch.stack(terms).mean() for terms in zip(*pairs, strict=True))
        return {"rpn_objectness": objectness, "rpn_box": box * self.rule.box_weight}

    def _run(self, maps: Sequence[Tensor]) -> RpnOutput:
        logits, deltas, anchors, levels = [], [], [], []
        for level, (features, stride) in enumerate(zip(maps, self.strides, strict=True)):
            level_logits, level_deltas = self.head(features)
            cells = (int(features.shape[2]), int(features.shape[3]))
            level_anchors = self.shapes.on_map(level, cells, stride, features.device)
            logits.append(level_logits.float())
            deltas.append(level_deltas.float())
            anchors.append(level_anchors)
            levels.append(torch.full((len(level_anchors),), level, device=features.device))
        return RpnOutput(torch.cat(logits, 1), torch.cat(deltas, 1), torch.cat(anchors), torch.cat(levels))

    @torch.no_grad()
    def _propose(self, raw: RpnOutput, image: int, size: Size, selection: Selection) -> Proposals:
        chosen = torch.cat(
            [
                _best(raw.logits[image], (raw.levels == level).nonzero().flatten(), selection.before_nms)
                for level in range(len(self.strides))
            ]
        )
        boxes = box_ops.clip(box_ops.decode(raw.deltas[image, chosen], raw.anchors[chosen], NO_SCALING), size)
        logits = raw.logits[image, chosen]
        usable = box_ops.has_extent(boxes, selection.min_side)
        boxes, logits, chosen = boxes[usable], logits[usable], chosen[usable]
        levels = raw.levels[chosen] if len(self.strides) > 1 else None
        kept = nms(boxes, logits, selection.nms, levels)[: selection.after_nms]
        return Proposals(boxes[kept], logits[kept].sigmoid(), chosen[kept])

    def _image_losses(
        self, logits: Tensor, deltas: Tensor, anchors: Tensor, size: Size, key: int, targets: Targets
    ) -> tuple[Tensor, Tensor]:
        rule = self.rule
        usable = self._trainable(anchors, size)
        matched = rule.matcher.match(anchors[usable], targets)
        foreground, background = subsample(matched, rule.number, rule.share, key, "anchors")
        wanted = box_ops.encode(targets.boxes[matched[foreground]].float(), anchors[usable[foreground]], NO_SCALING)
        return objectness_losses(logits, deltas, usable[foreground], usable[background], wanted, rule.beta)

    def _trainable(self, anchors: Tensor, size: Size) -> Tensor:
        """Indices of the anchors that may train in a picture of ``size``."""
        border = self.rule.outside
        if border is None:
            return torch.arange(len(anchors), device=anchors.device)
        limit = anchors.new_tensor([size[1], size[0]]) + border
        return ((anchors[:, :2] >= -border) & (anchors[:, 2:] <= limit)).all(1).nonzero().flatten()


def _best(scores: Tensor, candidates: Tensor, number: int) -> Tensor:
    """The ``number`` candidates with the best scores, best first."""
    return candidates[scores[candidates].topk(min(number, len(candidates))).indices]
