"""The detector: five slots that R-CNN, Fast R-CNN and Faster R-CNN fill in three ways.

backbone     images -> shared maps
proposer     images, maps -> proposals
regions      images, maps, boxes -> region maps
head         region maps -> logits, deltas
postprocess  logits, deltas, proposals -> detections
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from detect.models.postprocess import Postprocess
from detect.models.proposers.proposer import Proposer, Selection
from detect.ops import boxes as box_ops
from detect.ops.losses import region_losses
from detect.ops.matching import RegionSampler
from detect.types import Detections, Images, Mean, Proposals, Samples, Targets


@dataclass(frozen=True)
class Raw:
    """What the network says before postprocess: of each image proposals, logits (P, K + 1), deltas (P, K, 4)."""

    proposals: tuple[Proposals, ...]
    logits: tuple[Tensor, ...]
    deltas: tuple[Tensor, ...]


@dataclass(frozen=True)
class RegionTraining:
    """How the head's loss is made: which samples, how many proposals they come from, box loss beta and weight."""

    sampler: RegionSampler
    selection: Selection
    beta: float = 1.0
    box_weight: float = 1.0


class Detector(nn.Module):
    """Images in; ``forward`` gives losses and ``detect`` detections, whatever mode the modules are in."""

    def __init__(
        self,
        backbone: nn.Module,
        proposer: Proposer,
        regions: nn.Module,
        head: nn.Module,
        postprocess: Postprocess,
        training: RegionTraining,
        selection: Selection,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.proposer: Proposer = proposer
        self.regions = regions
        self.head = head
        self.postprocess = postprocess
        self.rule = training
        self.selection = selection
        self.frozen: frozenset[str] = frozenset()

    def freeze(self, parts: Iterable[str]) -> None:
        """Of ``backbone``, ``proposer`` and ``head`` those that do not learn: their weights and statistics stay, and
        what only they would learn from is not computed. The body is the backbone's, also where the regions run it.
        """
        self.frozen = frozenset(parts)
        for module in self._frozen_modules():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Detector:
        """As in every module, but the normalisation of frozen parts keeps its statistics, and dropout rests."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        parts = {"backbone": (self.backbone, self.regions), "proposer": (self.proposer,), "head": (self.head,)}
        chosen = [part for name in parts if name in self.frozen for part in parts[name]]
        return [part for part in chosen if isinstance(part, nn.Module)]

    def forward(self, images: Images, targets: Sequence[Targets]) -> dict[str, Tensor]:
        """The named losses of a batch; their sum is what training minimises."""
        return self.losses(images, self.backbone(images.pixels), targets)

    @torch.no_grad()
    def detect(self, images: Images) -> list[Detections]:
        """The detections of each image, in canvas pixels, best first."""
        return self.detections(images, self.raw(images, self.backbone(images.pixels)))

    def losses(self, images: Images, maps: Sequence[Tensor], targets: Sequence[Targets]) -> dict[str, Tensor]:
        """``forward`` from the maps on."""
        return {name: mean.value for name, mean in self.means(images, maps, targets).items()}

    def means(self, images: Images, maps: Sequence[Tensor], targets: Sequence[Targets]) -> dict[str, Mean]:
        """``losses``, each with the number that it is a mean over."""
        proposed = self.proposer(images, maps, self.rule.selection)
        losses = {} if "proposer" in self.frozen else self.proposer.losses(proposed.raw, images, targets)
        if "head" in self.frozen:
            return losses
        with torch.no_grad():
            samples = [
                self.rule.sampler.sample(proposals, target, key)
                for proposals, target, key in zip(proposed.proposals, targets, images.keys, strict=True)
            ]
        regional = self.regions(images, maps, [sample.boxes for sample in samples])
        logits, deltas = self.head(regional)
        return losses | self._region_losses(logits, deltas, samples)

    def raw(self, images: Images, maps: Sequence[Tensor]) -> Raw:
        """``detect`` from the maps up to the choice; explanations and test-time augmentation start here."""
        return self.judge(images, maps, self.proposer(images, maps, self.selection).proposals)

    def judge(self, images: Images, maps: Sequence[Tensor], proposals: tuple[Proposals, ...]) -> Raw:
        """``raw`` from the proposals on."""
        regional = self.regions(images, maps, [proposal.boxes for proposal in proposals])
        logits, deltas = self.head(regional)
        counts = [len(proposal) for proposal in proposals]
        return Raw(proposals, logits.split(counts), deltas.split(counts))

    def detections(self, images: Images, raw: Raw) -> list[Detections]:
        """The choice of detections, image by image."""
        return [
            self.postprocess(proposals, logits, deltas, size)
            for proposals, logits, deltas, size in zip(raw.proposals, raw.logits, raw.deltas, images.sizes, strict=True)
        ]

    def _region_losses(self, logits: Tensor, deltas: Tensor, samples: Sequence[Samples]) -> dict[str, Mean]:
        """The box loss is left out where its weight is 0 (R-CNN, whose boxes are regressed afterwards)."""
        labels = torch.cat([sample.labels for sample in samples])
        boxes = torch.cat([sample.boxes for sample in samples])
        matched = torch.cat([sample.matched for sample in samples])
        wanted = box_ops.encode(matched, boxes, self.postprocess.stds)
        label, box = region_losses(logits, deltas, labels, wanted, self.rule.beta)
        if not self.rule.box_weight:
            return {"region_class": Mean(label, len(labels))}
        return {"region_class": Mean(label, len(labels)), "region_box": Mean(box * self.rule.box_weight, len(labels))}
