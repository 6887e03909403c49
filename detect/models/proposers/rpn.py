"""The region proposal network: it predicts proposals from the shared maps (Faster R-CNN, section 3.1).

Letters: N images, C channels, A anchors of all maps together, M sampled anchors, P proposals.

A step runs the head twice. ``forward`` runs it on every cell without gradients, because proposals need all anchors but
carry no gradient. ``losses`` runs it again with gradients, on the cells of the sampled anchors alone: 256 of 71,000 in
a pyramid of 800 x 1067 pixels. The two give the same numbers as the plain loss, which runs the head once on every cell:

    logits, deltas = head(maps)                                   # (A,), (A, 4), with gradients
    foreground, background = sampled anchors                      # (F,), (B,) indices
    sampled = cat([foreground, background])                       # (F + B,)
    objectness = bce_with_logits(logits[sampled], [1] * F + [0] * B).mean()
    box = smooth_l1(deltas[foreground], encode(matched_boxes, anchors[foreground])).sum() / (F + B)

On a GPU that plain loss is cheaper, for its shapes are the same in every step: there ``forward`` alone runs the head,
on every cell and with gradients, and ``losses`` reads the sampled anchors.

``tests/models/proposers/test_rpn.py`` has this loss as ``dense_losses`` and holds losses and gradients to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from detect.models.proposers.candidates import UNIT_STDS, Candidates
from detect.models.proposers.proposer import AnchorLayout, ProposalSelection, ProposerOutput
from detect.models.proposers.random_ranks import draw_ranks
from detect.models.proposers.rpn_head import RPNHead
from detect.ops import boxes as box_ops
from detect.ops.anchors import AnchorGenerator
from detect.ops.constants import constant
from detect.ops.dtype import at_least_float32
from detect.ops.losses import rpn_losses
from detect.ops.matching import Matcher, sample_each_image
from detect.types import Images, MeanLoss, Size, Targets

AnchorStride = Literal["stride", "canvas"]
LossAverage = Literal["image", "batch"]


@dataclass(frozen=True)
class RPNOutput:
    """The RPN's predictions for all anchors, without gradients (with them on a GPU, for the losses).

    logits (N, A); deltas (N, A, 4); anchors (A, 4) in canvas pixels; counts: the number of anchors of each map; maps:
    the maps themselves, N x C x h x w each, from which the losses predict again with gradients; ranks (N, A): numbers
    drawn at random that rank the anchors in place of the logits, -inf for those in the padding, None without a draw.
    """

    logits: Tensor
    deltas: Tensor
    anchors: Tensor
    counts: tuple[int, ...]
    maps: tuple[Tensor, ...]
    ranks: Tensor | None = None


@dataclass(frozen=True)
class AnchorSamples:
    """The sampled anchors of one image: indices of foreground (F,) and background (B,); target_deltas (F, 4)."""

    foreground: Tensor
    background: Tensor
    target_deltas: Tensor


@dataclass(frozen=True)
class RPNTraining:
    """The configuration of RPN training: which anchors are sampled, and how their loss is weighted.

    allowed_border: an anchor that reaches further than so many pixels over the image's border does not train (0 in the
    paper; None: every anchor may train). loss_average: with "image" the losses are means over the images of each
    image's mean, with "batch" they are means over all sampled anchors of the batch. The two differ where images have
    different numbers of sampled anchors.
    """

    matcher: Matcher
    batch_size_per_image: int = 256
    positive_fraction: float = 0.5
    allowed_border: float | None = None
    beta: float = 1.0 / 9.0
    box_weight: float = 1.0
    loss_average: LossAverage = "image"


def runs_head_once(maps: Tensor) -> bool:
    """Return whether the head runs once, with gradients of all cells, on maps that are where ``maps`` is: on a GPU.

    The number of sampled cells changes from step to step, and cuDNN plans each new shape; all cells are some 0.2 TFLOP
    for an image of 800 pixels. CPUs compute the sampled cells alone.
    """
    return maps.is_cuda


class RPN(nn.Module):
    """The proposer of Faster R-CNN: one small head slides over every map.

    anchor_stride: with "stride" neighboring anchors are one stride of the map apart; with "canvas" they are the canvas
    side divided by the map's cells apart, rounded down, as in torchvision (53 pixels where 160 pixels have 3 cells of
    stride 64). max_scale: see ``boxes.decode``. delta_stds: the deltas of training are divided by these. apply_deltas:
    whether the deltas move the anchors, and random_rank: whether anchors are drawn at random in place of those with the
    best objectness (the paper's ablations "no reg" and "no cls", table 2).
    """

    def __init__(
        self,
        head: RPNHead,
        anchor_generator: AnchorGenerator,
        strides: Sequence[int],
        rpn_training: RPNTraining,
        anchor_stride: AnchorStride = "stride",
        max_scale: float | None = box_ops.MAX_SCALE,
        *,
        delta_stds: tuple[float, float, float, float] = UNIT_STDS,
        apply_deltas: bool = True,
        random_rank: bool = False,
    ) -> None:
        super().__init__()
        self.head = head
        self.anchor_generator = anchor_generator
        self.strides = tuple(strides)
        self.rpn_training = rpn_training
        self.anchor_stride = anchor_stride
        self.max_scale = max_scale
        self.delta_stds = delta_stds
        self.apply_deltas = apply_deltas
        self.random_rank = random_rank

    def forward(
        self, images: Images, maps: Sequence[Tensor], selection: ProposalSelection
    ) -> ProposerOutput[RPNOutput]:
        """Return the proposals of each image, at most ``selection.post_nms_top_n``, best first, with anchor indices.

        maps: one (N, C, h, w) for each stride. The proposals carry no gradient.
        """
        learns = any(parameter.requires_grad for parameter in self.head.parameters())
        with torch.set_grad_enabled(torch.is_grad_enabled() and learns and runs_head_once(maps[0])):
            raw = self._predict(maps, (int(images.pixels.shape[2]), int(images.pixels.shape[3])))
        if self.random_rank:
            raw = replace(raw, ranks=draw_ranks(raw.anchors, self.anchor_layout(raw), images))
        candidates = self.candidates(raw, images.sizes, selection)
        return ProposerOutput(tuple(candidate.proposals(selection) for candidate in candidates), raw)

    def _predict(self, maps: Sequence[Tensor], canvas: Size) -> RPNOutput:
        """Run the head on every cell of every map and lay the anchors; canvas: (H, W) of the padded batch."""
        logits, deltas, anchors = [], [], []
        for level, (features, stride) in enumerate(zip(maps, self.strides, strict=True)):
            level_logits, level_deltas = (at_least_float32(output) for output in self.head(features))
            map_size = (int(features.shape[2]), int(features.shape[3]))
            canvas_stride = (canvas[0] // map_size[0], canvas[1] // map_size[1])
            anchor_stride = stride if self.anchor_stride == "stride" else canvas_stride
            logits.append(level_logits)
            deltas.append(level_deltas)
            anchors.append(
                self.anchor_generator.grid_anchors(level, map_size, anchor_stride, features.device, level_deltas.dtype)
            )
        counts = tuple(len(level_anchors) for level_anchors in anchors)
        return RPNOutput(torch.cat(logits, 1), torch.cat(deltas, 1), torch.cat(anchors), counts, tuple(maps))

    def anchor_layout(self, raw: RPNOutput) -> AnchorLayout:
        """Return where the anchors lie on the maps."""
        grids = tuple((int(features.shape[2]), int(features.shape[3])) for features in raw.maps)
        return AnchorLayout(grids, raw.counts, self.anchor_generator)

    def run_layers(self, maps: Sequence[Tensor]) -> None:
        """Run the head on each of the maps (N, C, h, w), for the hooks on its layers."""
        for features in maps:
            self.head(features)

    def output_layers(self) -> dict[str, nn.Conv2d]:
        """Return the layers that predict objectness and deltas."""
        return {"objectness": self.head.objectness, "rpn_deltas": self.head.deltas}

    @torch.no_grad()
    def candidates(self, raw: RPNOutput, sizes: Sequence[Size], selection: ProposalSelection) -> tuple[Candidates, ...]:
        """Return the anchors of each image that may become proposals: the ``pre_nms_top_n`` best of each map.

        Their deltas are in units of the anchors: without deviations, and 0 where no deltas are applied.
        """
        all_logits = raw.logits if raw.ranks is None else raw.ranks
        best, levels, start = [], [], 0
        for level, count in enumerate(raw.counts):
            num_best = min(selection.pre_nms_top_n, count)
            best.append(all_logits[:, start : start + count].topk(num_best, 1).indices + start)
            levels.append(torch.full((num_best,), level, device=raw.logits.device))
            start += count
        top = torch.cat(best, 1)  # (N, C) anchor indices
        logits, level_of = all_logits.gather(1, top), torch.cat(levels)
        deltas = raw.deltas.gather(1, top[:, :, None].expand(-1, -1, 4))
        deltas = deltas * constant(self.delta_stds, deltas) if self.apply_deltas else torch.zeros_like(deltas)
        candidates = []
        for i, size in enumerate(sizes):
            ranked = slice(None) if raw.ranks is None else (logits[i] > -torch.inf).nonzero().flatten()
            anchor = top[i, ranked]
            candidates.append(
                Candidates(
                    anchor,
                    raw.anchors[anchor],
                    logits[i, ranked],
                    deltas[i, ranked],
                    level_of[ranked],
                    len(raw.counts),
                    size,
                    self.max_scale,
                )
            )
        return tuple(candidates)

    def losses(self, raw: RPNOutput, images: Images, targets: Sequence[Targets]) -> dict[str, MeanLoss]:
        """Return the objectness and the box loss, means over the images or over the sampled anchors.

        The head runs with gradients on the cells of sampled anchors alone (see the top of this module). A step of
        ResNet-50 takes 0.9 of the time that gradients of all cells need on two cores.

        Example: two images, one map of 4 x 6 cells with 2 anchors a cell, so A = 48. Anchor 31 of image 1 is sampled.
        Its cell is 31 // 2 = 15 of 24, which is row 2, column 3; it is anchor 31 % 2 = 1 there. In the batch the cell
        has the index 1 * 24 + 15 = 39, and the head predicts for it from the cells around it alone.
        """
        samples = self._sample_anchors(raw.anchors, images, targets)
        sampled = [sample.foreground for sample in samples] + [sample.background for sample in samples]
        anchor = torch.cat(sampled)  # (M,): the foreground of all images, then the background of all images
        image = torch.cat([torch.full_like(part, i % len(samples)) for i, part in enumerate(sampled)])  # (M,)
        target_deltas = torch.cat([sample.target_deltas for sample in samples])

        if runs_head_once(raw.logits):
            logits, deltas = raw.logits[image, anchor], raw.deltas[image, anchor]
        else:
            logits, deltas = self._forward_at(raw, image, anchor)
        counts = [len(sample.foreground) + len(sample.background) for sample in samples]
        weight_of_image = self._anchor_weights(counts)
        weights = torch.cat(
            [logits.new_full((len(part),), weight_of_image[i % len(samples)]) for i, part in enumerate(sampled)]
        )
        beta, box_weight = self.rpn_training.beta, self.rpn_training.box_weight
        objectness, box = rpn_losses(logits, deltas[: len(target_deltas)], target_deltas, weights, beta)
        count = sum(counts) if self.rpn_training.loss_average == "batch" else len(samples)
        return {"rpn_objectness": MeanLoss(objectness, count), "rpn_box": MeanLoss(box * box_weight, count)}

    @torch.no_grad()
    def _sample_anchors(self, anchors: Tensor, images: Images, targets: Sequence[Targets]) -> list[AnchorSamples]:
        """Match anchors (A, 4) to the targets of each image and sample foreground and background."""
        config = self.rpn_training
        inside = [self._anchors_inside(anchors, size) for size in images.sizes]
        matched = [config.matcher.match(anchors[i], target) for i, target in zip(inside, targets, strict=True)]
        sampled = sample_each_image(
            matched, config.batch_size_per_image, config.positive_fraction, images.seeds, "anchors"
        )
        samples = []
        for i, (foreground, background) in enumerate(sampled):
            matched_boxes = targets[i].boxes[matched[i][foreground]].to(anchors.dtype)
            target_deltas = box_ops.encode(matched_boxes, anchors[inside[i][foreground]], self.delta_stds)
            samples.append(AnchorSamples(inside[i][foreground], inside[i][background], target_deltas))
        return samples

    def _anchors_inside(self, anchors: Tensor, size: Size) -> Tensor:
        """Return the indices of the anchors (A, 4) that may train in an image of ``size``."""
        border = self.rpn_training.allowed_border
        if border is None:
            return torch.arange(len(anchors), device=anchors.device)
        starts_inside = (anchors[:, :2] >= -border).all(1)
        ends_inside = (anchors[:, 2] <= size[1] + border) & (anchors[:, 3] <= size[0] + border)
        return (starts_inside & ends_inside).nonzero().flatten()

    def _forward_at(self, raw: RPNOutput, image: Tensor, anchor: Tensor) -> tuple[Tensor, Tensor]:
        """Predict logits (M,) and deltas (M, 4) of M anchors; image, anchor: (M,) int64 indices.

        A map without sampled anchors takes part too, so that no process waits for its gradient.
        """
        logits, deltas, sample_index, start = [], [], [], 0
        for features, count in zip(raw.maps, raw.counts, strict=True):
            on_level = ((anchor >= start) & (anchor < start + count)).nonzero().flatten()
            num_cells = features.shape[2] * features.shape[3]
            num_anchors, index = count // num_cells, anchor[on_level] - start
            outputs = self.head.forward_at(features, image[on_level] * num_cells + index // num_anchors)
            level_logits, level_deltas = (
                at_least_float32(output[torch.arange(len(on_level), device=index.device), index % num_anchors])
                for output in outputs
            )
            logits.append(level_logits)
            deltas.append(level_deltas)
            sample_index.append(on_level)
            start += count
        order = torch.cat(sample_index).argsort()
        return torch.cat(logits)[order], torch.cat(deltas)[order]

    def _anchor_weights(self, counts: Sequence[int]) -> list[float]:
        """Return the weight of one sampled anchor of each image; counts: the number of sampled anchors of each."""
        if self.rpn_training.loss_average == "batch":
            return [1.0 / max(1, sum(counts))] * len(counts)
        return [1.0 / max(1, count) / len(counts) for count in counts]
