"""The detector: five slots that R-CNN, Fast R-CNN and Faster R-CNN fill in three ways.

A detector does two things: ``forward`` returns losses and ``detect`` returns detections. Both take the maps of the
backbone from a caller that has them already. The interfaces of the slots are in ``slots``.

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
from detect.models.proposers.proposer import ProposalSelection
from detect.models.slots import FeatureNetwork, Head, Proposer, Regions
from detect.ops import boxes as box_ops
from detect.ops.losses import region_losses
from detect.ops.matching import ProposalSampler
from detect.types import Detections, Images, MeanLoss, Proposals, Samples, Targets

# The modules of each part that can be frozen. The head has three: its tail and its two output layers.
SLOTS_OF_PART = {
    "backbone": ("backbone", "regions"),
    "proposer": ("proposer",),
    "head": ("head",),
    "tail": ("head.tail",),
    "classifier": ("head.logits",),
    "box_regressor": ("head.deltas",),
}


@dataclass(frozen=True)
class HeadOutputs:
    """The head's predictions before postprocessing: for each image proposals, logits (P, K + 1), deltas (P, K, 4)."""

    proposals: tuple[Proposals, ...]
    logits: tuple[Tensor, ...]
    deltas: tuple[Tensor, ...]


@dataclass(frozen=True)
class HeadTraining:
    """The configuration of the head's training: sampler, selection of the proposals, box loss beta and weight."""

    sampler: ProposalSampler
    selection: ProposalSelection
    beta: float = 1.0
    box_weight: float = 1.0


class Detector(nn.Module):
    """A detector: ``forward`` returns losses and ``detect`` returns detections, in training and evaluation mode alike.

    (torchvision's detectors return one or the other from ``forward``, by mode.)
    """

    def __init__(
        self,
        backbone: nn.Module,
        proposer: Proposer,
        regions: Regions,
        head: Head,
        postprocess: Postprocess,
        head_training: HeadTraining,
        test_selection: ProposalSelection,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.proposer: Proposer = proposer
        self.regions: Regions = regions
        self.head: Head = head
        self.postprocess = postprocess
        self.head_training = head_training
        self.test_selection = test_selection
        self.frozen: frozenset[str] = frozenset()

    def freeze(self, parts: Iterable[str]) -> None:
        """Freeze ``parts``, of SLOTS_OF_PART: their weights and statistics do not change.

        The loss of a frozen output layer is not computed, nor those of a frozen head or proposer. The body belongs to
        the backbone, also where the regions run it (R-CNN).
        """
        self.frozen = frozenset(parts)
        for module in self._frozen_modules():
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Detector:
        """Set the mode as every module does, but keep frozen parts in evaluation: fixed statistics, no dropout."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def _frozen_modules(self) -> list[nn.Module]:
        return [
            self.get_submodule(slot) for part, slots in SLOTS_OF_PART.items() if part in self.frozen for slot in slots
        ]

    def forward(
        self, images: Images, targets: Sequence[Targets], maps: Sequence[Tensor] | None = None
    ) -> dict[str, MeanLoss]:
        """Return the losses of a batch by name; training minimizes the sum of their values.

        Each loss has the number of samples or images that it is a mean over: with it, losses are averaged over several
        processes. maps: those of the backbone, None to compute them.
        """
        maps = self.backbone(images.pixels) if maps is None else maps
        proposed = self.proposer(images, maps, self.head_training.selection)
        losses = {} if "proposer" in self.frozen else self.proposer.losses(proposed.raw, images, targets)
        if "head" in self.frozen:
            return losses
        with torch.no_grad():
            samples = self.head_training.sampler.sample(proposed.proposals, targets, images.seeds)
        regional = self.regions(images, maps, [sample.boxes for sample in samples])
        logits, deltas = self.head(regional)
        return losses | self._region_losses(logits, deltas, samples)

    @torch.no_grad()
    def detect(self, images: Images, maps: Sequence[Tensor] | None = None) -> list[Detections]:
        """Return the detections of each image, in canvas pixels, best first.

        maps: those of the backbone, None to compute them.
        """
        maps = self.backbone(images.pixels) if maps is None else maps
        outputs = self.run_head(images, maps, self.proposer(images, maps, self.test_selection).proposals)
        return [
            self.postprocess(proposals, logits, deltas, size)
            for proposals, logits, deltas, size in zip(
                outputs.proposals, outputs.logits, outputs.deltas, images.sizes, strict=True
            )
        ]

    def run_head(self, images: Images, maps: Sequence[Tensor], proposals: tuple[Proposals, ...]) -> HeadOutputs:
        """Return the head's outputs for these proposals, N sets of boxes in canvas pixels, before postprocessing."""
        regional = self.regions(images, maps, [proposal.boxes for proposal in proposals])
        logits, deltas = self.head(regional)
        counts = [len(proposal) for proposal in proposals]
        return HeadOutputs(proposals, torch.split(logits, counts), torch.split(deltas, counts))

    def feature_network(self) -> FeatureNetwork:
        """Return the network that reads pixels: the backbone, or the body that runs on each crop (R-CNN)."""
        return self.regions.feature_network(self.backbone)

    @property
    def base_detector(self) -> Detector:
        """Return this detector; a detector with test-time augmentation returns the one that it runs on each view."""
        return self

    def _region_losses(self, logits: Tensor, deltas: Tensor, samples: Sequence[Samples]) -> dict[str, MeanLoss]:
        """Return the head's losses for S samples: logits (S, K + 1), deltas (S, K, 4) or (S, 1, 4).

        There is no box loss where its weight is 0 (R-CNN, which fits box regressors after training), and no loss of a
        frozen layer.
        """
        labels = torch.cat([sample.labels for sample in samples])
        boxes = torch.cat([sample.boxes for sample in samples])
        matched_boxes = torch.cat([sample.matched_boxes for sample in samples])
        target_deltas = box_ops.encode(matched_boxes, boxes, self.postprocess.delta_stds)
        class_loss, box_loss = region_losses(logits, deltas, labels, target_deltas, self.head_training.beta)
        losses = {}
        if "classifier" not in self.frozen:
            losses["region_class"] = MeanLoss(class_loss, len(labels))
        if self.head_training.box_weight and "box_regressor" not in self.frozen:
            losses["region_box"] = MeanLoss(box_loss * self.head_training.box_weight, len(labels))
        return losses
