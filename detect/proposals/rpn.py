"""Region proposal network: proposals from the shared map (Faster R-CNN, section 3.1).

Letters: N images, C channels, A anchors of all maps together, P proposals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor, nn

from detect.anchors import AnchorShapes
from detect.backbones.convolutions import ConvolutionKind, same_size
from detect.losses import objectness_losses
from detect.matching import Matcher, subsample
from detect.ops import boxes as box_ops
from detect.ops.nms import nms, suppressors
from detect.ops.widen import widen
from detect.proposals.proposer import Proposed, Selection
from detect.types import Images, Proposals, Size, Targets

NO_SCALING = (1.0, 1.0, 1.0, 1.0)
Spacing = Literal["stride", "canvas"]
Average = Literal["image", "batch"]


@dataclass(frozen=True)
class RpnOutput:
    """What the RPN said before any choice: logits (N, A), deltas (N, A, 4); anchors (A, 4), counts of them by map."""

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Candidates:
    """The C anchors of one image that may become proposals.

    source (C,) int64: their places among all; anchors (C, 4); logits (C,); deltas (C, 4); maps (C,) int64: which of
    ``levels`` maps each stands on; size: of the picture, (h, w); growth: see ``boxes.decode``.
    """

    source: Tensor
    anchors: Tensor
    logits: Tensor
    deltas: Tensor
    maps: Tensor
    levels: int
    size: Size
    growth: float | None

    @cached_property
    def boxes(self) -> Tensor:
        """Where the deltas take the anchors, cut to the picture: (C, 4)."""
        return box_ops.clip(box_ops.decode(self.deltas, self.anchors, NO_SCALING, self.growth), self.size)

    def entering(self, selection: Selection) -> Tensor:
        """Indices of those that are large and sure enough to enter the suppression."""
        usable = box_ops.has_extent(self.boxes, selection.min_side)
        if selection.score:
            usable = usable & (self.logits.sigmoid() >= selection.score)
        return usable.nonzero().flatten()

    def kept(self, selection: Selection) -> Tensor:
        """Indices of those that become proposals, best first: suppressed within each map, the best over all maps."""
        entered = self.entering(selection)
        return entered[nms(*self._rivals(entered, selection))[: selection.after_nms]]

    def suppressors(self, selection: Selection) -> Tensor:
        """Who took each out (C,) int64; itself for one that no other did, -1 for one that did not enter."""
        entered = self.entering(selection)
        takers = torch.full_like(self.source, -1)
        takers[entered] = entered[suppressors(*self._rivals(entered, selection))]
        return takers

    def proposals(self, selection: Selection) -> Proposals:
        """Those kept."""
        kept = self.kept(selection)
        return Proposals(self.boxes[kept], self.logits[kept].sigmoid(), self.source[kept])

    def _rivals(self, entered: Tensor, selection: Selection) -> tuple[Tensor, Tensor, float, Tensor | None]:
        groups = self.maps[entered] if self.levels > 1 else None
        return self.boxes[entered], self.logits[entered], selection.nms, groups


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


class RpnHead(nn.Module):
    """One 3x3 convolution or several, then an objectness logit and four deltas for each anchor of a cell."""

    def __init__(
        self, channels: int, width: int, per_cell: int, convolutions: int = 1, kind: ConvolutionKind = "standard"
    ) -> None:
        super().__init__()
        self.hidden = same_size(kind, channels, width, 3)
        self.further = nn.ModuleList(same_size(kind, width, width, 3) for _ in range(convolutions - 1))
        self.objectness = nn.Conv2d(width, per_cell, 1)
        self.deltas = nn.Conv2d(width, per_cell * 4, 1)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:  # not the kernels of a separable one
                nn.init.normal_(layer.weight, std=0.01)
                nn.init.zeros_(layer.bias)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, h, w) -> logits (N, h * w * per_cell), deltas (N, h * w * per_cell, 4), ordered as the anchors are."""
        hidden = torch.relu(self.hidden(features))
        for layer in self.further:
            hidden = torch.relu(layer(hidden))
        logits, deltas = self.objectness(hidden), self.deltas(hidden)
        return logits.permute(0, 2, 3, 1).flatten(1), deltas.permute(0, 2, 3, 1).reshape(len(deltas), -1, 4)


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
        raw = self._run(maps, (int(images.pixels.shape[2]), int(images.pixels.shape[3])))
        candidates = self.candidates(raw, images.sizes, selection)
        return Proposed(tuple(one.proposals(selection) for one in candidates), raw)

    def losses(self, raw: RpnOutput, images: Images, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """Mean over the images of the objectness and the box loss."""
        samples = [self._samples(raw.anchors, *image) for image in zip(images.sizes, images.keys, targets, strict=True)]
        # One look at the output for the whole batch: a look for each image costs a gradient of all anchors each.
        starts = [image * len(raw.anchors) for image in range(len(samples))]
        foreground = torch.cat([one.foreground + start for one, start in zip(samples, starts, strict=True)])
        background = torch.cat([one.background + start for one, start in zip(samples, starts, strict=True)])
        shares = self._shares([len(one.foreground) + len(one.background) for one in samples])
        weights = [
            raw.logits.new_full((len(part),), share)
            for parts in ([one.foreground for one in samples], [one.background for one in samples])
            for part, share in zip(parts, shares, strict=True)
        ]
        objectness, box = objectness_losses(
            raw.logits.flatten(),
            raw.deltas.flatten(0, 1),
            foreground,
            background,
            torch.cat([one.wanted for one in samples]),
            torch.cat(weights),
            self.rule.beta,
        )
        return {"rpn_objectness": objectness, "rpn_box": box * self.rule.box_weight}

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
        return RpnOutput(torch.cat(logits, 1), torch.cat(deltas, 1), torch.cat(anchors), counts)

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
