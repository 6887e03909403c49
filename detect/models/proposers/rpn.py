"""Region proposal network: proposals from the shared map (Faster R-CNN, section 3.1).

Letters: N images, C channels, A anchors of all maps together, P proposals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from detect.models.proposers.candidates import NO_SCALING, Candidates
from detect.models.proposers.proposer import Proposed, Selection
from detect.models.proposers.rpn_head import RpnHead
from detect.ops import boxes as box_ops
from detect.ops.anchors import AnchorShapes
from detect.ops.dtype import widen
from detect.ops.losses import objectness_losses
from detect.ops.matching import Matcher, subsample
from detect.types import Images, Mean, Size, Targets

Spacing = Literal["stride", "canvas"]
Average = Literal["image", "batch"]


@dataclass(frozen=True)
class RpnOutput:
    """What the RPN said before any choice, without gradients: logits (N, A), deltas (N, A, 4); anchors (A, 4),
    counts of them by map; the maps themselves, which the losses look at again.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    counts: tuple[int, ...]
    maps: tuple[Tensor, ...]


@dataclass(frozen=True)
class AnchorSamples:
    """The anchors of one image that train: indices of foreground (F,) and background (B,); wanted deltas (F, 4)."""

    foreground: Tensor
    background: Tensor
    wanted: Tensor


@dataclass(frozen=True)
class RpnTraining:
    """Which anchors train the RPN, and how their loss is weighed.

    ``outside`` is how far an anchor may reach over the picture's border in pixels and still train (0 in the paper;
    None: any). ``average``: the losses are means over the images of each image's mean, or means over all chosen anchors
    of the batch, which differ where images have not as many.
    """

    matcher: Matcher
    number: int = 256
    share: float = 0.5
    outside: float | None = None
    beta: float = 1.0 / 9.0
    box_weight: float = 1.0
    average: Average = "image"


class Rpn(nn.Module):
    """The proposer of Faster R-CNN: one small head slid over every map.

    spacing: anchors are a map's stride apart, or the canvas' side over the map's cells, rounded down (torchvision's:
    53 pixels where 160 have 3 cells of stride 64). growth: see ``boxes.decode``.
    """

    def __init__(
        self,
        head: RpnHead,
        shapes: AnchorShapes,
        strides: Sequence[int],
        training: RpnTraining,
        spacing: Spacing = "stride",
        growth: float | None = box_ops.MAX_GROWTH,
    ) -> None:
        super().__init__()
        self.head = head
        self.shapes = shapes
        self.strides = tuple(strides)
        self.rule = training
        self.spacing = spacing
        self.growth = growth

    def forward(self, images: Images, maps: Sequence[Tensor], selection: Selection) -> Proposed[RpnOutput]:
        """Proposals of each image, at most ``selection.after_nms``, best first, with the anchor each came from."""
        with torch.no_grad():
            raw = self._run(maps, (int(images.pixels.shape[2]), int(images.pixels.shape[3])))
        candidates = self.candidates(raw, images.sizes, selection)
        return Proposed(tuple(one.proposals(selection) for one in candidates), raw)

    def losses(self, raw: RpnOutput, images: Images, targets: Sequence[Targets]) -> dict[str, Mean]:
        """The objectness and the box loss, means over the images or over the anchors.

        Only the cells whose anchors train are looked at with gradients, 256 of 71,000 in a pyramid of 800 x 1067
        pixels: a step of ResNet-50 takes 0.9 of the time that gradients of all cells need on two cores.
        """
        samples = [self._samples(raw.anchors, *image) for image in zip(images.sizes, images.keys, targets, strict=True)]
        chosen = [one.foreground for one in samples] + [one.background for one in samples]
        image = torch.cat([torch.full_like(one, place % len(samples)) for place, one in enumerate(chosen)])
        counts = [len(one.foreground) + len(one.background) for one in samples]
        shares = self._shares(counts)
        logits, deltas = self._at(raw, image, torch.cat(chosen))
        wanted = torch.cat([one.wanted for one in samples])
        weights = logits.new_tensor(shares)[image]
        objectness, box = objectness_losses(logits, deltas[: len(wanted)], wanted, weights, self.rule.beta)
        over = sum(counts) if self.rule.average == "batch" else len(samples)
        return {"rpn_objectness": Mean(objectness, over), "rpn_box": Mean(box * self.rule.box_weight, over)}

    def _at(self, raw: RpnOutput, image: Tensor, anchor: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (M,) and deltas (M, 4) of M anchors by image and place. A map without any takes part all the same, so
        that no process waits for its gradient.
        """
        logits, deltas, places, start = [], [], [], 0
        for features, count in zip(raw.maps, raw.counts, strict=True):
            here = ((anchor >= start) & (anchor < start + count)).nonzero().flatten()
            cells = features.shape[2] * features.shape[3]
            per_cell, place = count // cells, anchor[here] - start
            said = self.head.at(features, image[here] * cells + place // per_cell)
            level_logits, level_deltas = (widen(each[torch.arange(len(here)), place % per_cell]) for each in said)
            logits.append(level_logits)
            deltas.append(level_deltas)
            places.append(here)
            start += count
        order = torch.cat(places).argsort()
        return torch.cat(logits)[order], torch.cat(deltas)[order]

    def _shares(self, chosen: Sequence[int]) -> list[float]:
        """What one anchor of each image weighs in the losses; chosen: how many of each image teach."""
        if self.rule.average == "batch":
            return [1.0 / max(1, sum(chosen))] * len(chosen)
        return [1.0 / max(1, number) / len(chosen) for number in chosen]

    def _run(self, maps: Sequence[Tensor], canvas: Size) -> RpnOutput:
        logits, deltas, anchors = [], [], []
        for level, (features, stride) in enumerate(zip(maps, self.strides, strict=True)):
            level_logits, level_deltas = (widen(found) for found in self.head(features))
            cells = (int(features.shape[2]), int(features.shape[3]))
            even = (canvas[0] // cells[0], canvas[1] // cells[1])
            spacing = stride if self.spacing == "stride" else even
            logits.append(level_logits)
            deltas.append(level_deltas)
            anchors.append(self.shapes.on_map(level, cells, spacing, features.device, level_deltas.dtype))
        counts = tuple(len(one) for one in anchors)
        return RpnOutput(torch.cat(logits, 1), torch.cat(deltas, 1), torch.cat(anchors), counts, tuple(maps))

    @torch.no_grad()
    def candidates(self, raw: RpnOutput, sizes: Sequence[Size], selection: Selection) -> tuple[Candidates, ...]:
        """The anchors of each image that may become proposals: the best of each map."""
        best, levels, start = [], [], 0
        for level, count in enumerate(raw.counts):
            number = min(selection.before_nms, count)
            best.append(raw.logits[:, start : start + count].topk(number, 1).indices + start)
            levels += [level] * number
            start += count
        chosen = torch.cat(best, 1)  # (N, C)
        logits = raw.logits.gather(1, chosen)
        deltas = raw.deltas.gather(1, chosen[:, :, None].expand(-1, -1, 4))
        maps = torch.tensor(levels, device=chosen.device)
        return tuple(
            Candidates(
                chosen[i], raw.anchors[chosen[i]], logits[i], deltas[i], maps, len(raw.counts), size, self.growth
            )
            for i, size in enumerate(sizes)
        )

    @torch.no_grad()
    def _samples(self, anchors: Tensor, size: Size, key: int, targets: Targets) -> AnchorSamples:
        usable = self._trainable(anchors, size)
        matched = self.rule.matcher.match(anchors[usable], targets)
        foreground, background = subsample(matched, self.rule.number, self.rule.share, key, "anchors")
        truth = targets.boxes[matched[foreground]].to(anchors.dtype)
        wanted = box_ops.encode(truth, anchors[usable[foreground]], NO_SCALING)
        return AnchorSamples(usable[foreground], usable[background], wanted)

    def _trainable(self, anchors: Tensor, size: Size) -> Tensor:
        """Indices of the anchors that may train in a picture of ``size``."""
        border = self.rule.outside
        if border is None:
            return torch.arange(len(anchors), device=anchors.device)
        limit = anchors.new_tensor([size[1], size[0]]) + border
        return ((anchors[:, :2] >= -border) & (anchors[:, 2:] <= limit)).all(1).nonzero().flatten()
