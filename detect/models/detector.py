"""The detector: five slots that R-CNN, Fast, Faster, Cascade and Mask R-CNN fill in five ways.

A detector does two things: ``forward`` returns losses and ``detect`` returns detections. Both take the maps of the
backbone from a caller that has them already. The interfaces of the slots are in ``slots``.

backbone     images -> shared maps
proposer     images, maps -> proposals
regions      images, maps, boxes -> region maps
head         region maps -> logits, deltas
postprocess  logits, deltas, proposals -> detections

The head is a chain of stages. A plain detector has one. In a cascade the regions and the next stage run again on the
boxes that the deltas of a stage give. The head may have a mask head beside the stages, which reads regions of its own:
in training those of the samples of the first stage, and when detecting those of the detections. In a cascade there may
be a mask head for each stage, trained on its samples; then their masks are averaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from detect.models.adversaries.adversary import AdversaryStep
from detect.models.heads.cascade import Refinement, StageAverage, mean_logits
from detect.models.heads.masks import CascadeMaskHead, MaskHead, with_masks
from detect.models.postprocess import Postprocess
from detect.models.proposers.proposer import ProposalSelection
from detect.models.slots import FeatureNetwork, Head, Proposer, Regions
from detect.ops import boxes as box_ops
from detect.ops.losses import region_losses
from detect.ops.matching import ProposalSampler
from detect.types import Detections, Images, MeanLoss, Proposals, Samples, Targets

# The modules of each part that can be frozen. Each stage of the head has three: its tail and its two output layers.
SLOTS_OF_PART = {
    "backbone": ("backbone", "regions"),
    "proposer": ("proposer",),
    "head": ("head", "mask_head"),
    "mask": ("mask_head",),
}
STAGE_MODULES = {"tail": "tail", "classifier": "logits", "box_regressor": "deltas"}


@dataclass(frozen=True)
class HeadOutputs:
    """The predictions of a stage, or of the whole head, before postprocessing.

    For each image the proposals whose boxes it read, logits (P, K + 1), and deltas (P, K, 4) or (P, 1, 4) of the boxes.
    """

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
        refinements: tuple[Refinement, ...] = (),
        average: StageAverage = "scores",
        mask_head: MaskHead | CascadeMaskHead | None = None,
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.proposer: Proposer = proposer
        self.regions: Regions = regions
        self.head: Head = head
        self.postprocess = postprocess
        self.head_training = head_training
        self.test_selection = test_selection
        self.refinements = refinements  # from each stage of the head to the next
        self.average: StageAverage = average
        self.mask_head = mask_head  # None in a detector without masks
        self.frozen: frozenset[str] = frozenset()

    def freeze(self, parts: Iterable[str]) -> None:
        """Freeze ``parts``, of SLOTS_OF_PART and STAGE_MODULES: their weights and statistics do not change.

        The loss of a frozen output layer is not computed, nor those of a frozen head or proposer. The body belongs to
        the backbone, also where the regions run it (R-CNN).
        """
        self.frozen = frozenset(parts)
        for module in self.modules_of(self.frozen):
            module.requires_grad_(False)
        self.train(self.training)

    def train(self, mode: bool = True) -> Detector:
        """Set the mode as every module does, but keep frozen parts in evaluation: fixed statistics, no dropout."""
        super().train(mode)
        for module in self.modules_of(self.frozen):
            module.eval()
        return self

    def modules_of(self, parts: Iterable[str]) -> list[nn.Module]:
        """Return the modules of ``parts``, of SLOTS_OF_PART, and of STAGE_MODULES those of every stage."""
        modules: list[nn.Module] = []
        for part in parts:
            slots = (getattr(self, slot) for slot in SLOTS_OF_PART.get(part, ()))
            modules += [module for module in slots if module is not None]
            if part in STAGE_MODULES:
                modules += [getattr(stage, STAGE_MODULES[part]) for stage in self.head.stages]
        return modules

    def forward(
        self,
        images: Images,
        targets: Sequence[Targets],
        maps: Sequence[Tensor] | None = None,
        adversary_step: AdversaryStep | None = None,
    ) -> dict[str, MeanLoss]:
        """Return the losses of a batch by name; training minimizes the sum of their values.

        Each loss has the number of samples or images that it is a mean over: with it, losses are averaged over several
        processes. maps: those of the backbone, None to compute them; adversary_step: of an adversary, which spoils
        regions that the head learns from, or learns alone where the head is frozen.
        """
        maps = self.backbone(images.pixels) if maps is None else maps
        proposed = self.proposer(images, maps, self.head_training.selection)
        losses = {} if "proposer" in self.frozen else self.proposer.losses(proposed.raw, images, targets)
        if "head" in self.frozen and adversary_step is None:
            return losses
        with torch.no_grad():
            samples = self.head_training.sampler.sample(proposed.proposals, targets, images.seeds)
        if "head" in self.frozen and adversary_step is not None:
            regional = self.regions(images, maps, [sample.boxes for sample in samples])
            return losses | adversary_step.losses_alone(self.head.stages[0], regional, samples, images.seeds)
        return losses | self._head_losses(images, maps, samples, targets, adversary_step)

    @torch.no_grad()
    def detect(self, images: Images, maps: Sequence[Tensor] | None = None) -> list[Detections]:
        """Return the detections of each image, in canvas pixels, best first.

        maps: those of the backbone, None to compute them.
        """
        maps = self.backbone(images.pixels) if maps is None else maps
        outputs = self.run_head(images, maps, self.proposer(images, maps, self.test_selection).proposals)
        detections = [
            self.postprocess(proposals, logits, deltas, size)
            for proposals, logits, deltas, size in zip(
                outputs.proposals, outputs.logits, outputs.deltas, images.sizes, strict=True
            )
        ]
        return self.predict_masks(images, maps, detections)

    @torch.no_grad()
    def predict_masks(self, images: Images, maps: Sequence[Tensor], detections: list[Detections]) -> list[Detections]:
        """Return the detections of each image, boxes in canvas pixels, with the masks that the mask head predicts.

        A detector without a mask head returns them as they are.
        """
        if self.mask_head is None:
            return detections
        logits = self.mask_head.class_logits(images, maps, detections)
        return [with_masks(*image) for image in zip(detections, logits, strict=True)]

    def run_head(self, images: Images, maps: Sequence[Tensor], proposals: tuple[Proposals, ...]) -> HeadOutputs:
        """Return the head's outputs for these proposals, N sets of boxes in canvas pixels, before postprocessing.

        Those of a cascade are the boxes that its last stage read, their deltas, and logits whose scores are the average
        of all stages.
        """
        return self.combine_stages(self.run_stages(images, maps, proposals))

    def combine_stages(self, stages: Sequence[HeadOutputs]) -> HeadOutputs:
        """Return the outputs of the head from those of its stages: the boxes of the last, the mean scores of all."""
        logits = tuple(
            mean_logits(image_logits, self.average)
            for image_logits in zip(*(stage.logits for stage in stages), strict=True)
        )
        return HeadOutputs(stages[-1].proposals, logits, stages[-1].deltas)

    def run_stages(
        self, images: Images, maps: Sequence[Tensor], proposals: tuple[Proposals, ...]
    ) -> tuple[HeadOutputs, ...]:
        """Return the outputs of each stage of the head; every stage has all proposals, in the same order."""
        counts, outputs = [len(proposal) for proposal in proposals], []
        for stage, refinement in zip(self.head.stages, (*self.refinements, None), strict=True):
            logits, deltas = stage(self.regions(images, maps, [proposal.boxes for proposal in proposals]))
            outputs.append(HeadOutputs(proposals, torch.split(logits, counts), torch.split(deltas, counts)))
            if refinement is not None:
                proposals = tuple(
                    replace(proposal, boxes=refinement.boxes(proposal.boxes, image_logits, image_deltas, size))
                    for proposal, image_logits, image_deltas, size in zip(
                        proposals, outputs[-1].logits, outputs[-1].deltas, images.sizes, strict=True
                    )
                )
        return tuple(outputs)

    def feature_network(self) -> FeatureNetwork:
        """Return the network that reads pixels: the backbone, or the body that runs on each crop (R-CNN)."""
        return self.regions.feature_network(self.backbone)

    @property
    def base_detector(self) -> Detector:
        """Return this detector; a detector with test-time augmentation returns the one that it runs on each view."""
        return self

    def _head_losses(
        self,
        images: Images,
        maps: Sequence[Tensor],
        samples: Sequence[Samples],
        targets: Sequence[Targets],
        adversary_step: AdversaryStep | None,
    ) -> dict[str, MeanLoss]:
        """Return the losses of the stages for the samples of the first; names of a cascade's end with the stage."""
        stages, losses = self.head.stages, dict[str, MeanLoss]()
        mask_stages: Sequence[MaskHead] = ()
        if self.mask_head is not None and "mask" not in self.frozen:
            mask_stages = self.mask_head.stages
        masks_alone = {"classifier", "box_regressor"} <= self.frozen
        all_stds = (*(refinement.delta_stds for refinement in self.refinements), self.postprocess.delta_stds)
        for i, (stage, stds) in enumerate(zip(stages, all_stds, strict=True)):
            if i < len(mask_stages):
                losses |= _of_stage(mask_stages[i].losses(images, maps, samples, targets), i, len(mask_stages))
            if masks_alone and i + 1 >= len(mask_stages):
                break
            regional = self.regions(images, maps, [sample.boxes for sample in samples])
            if len(stages) > 1 and regional.requires_grad:
                regional.register_hook(lambda gradient: gradient / len(stages))  # type: ignore[no-untyped-call]
            if adversary_step is not None:
                regional, adversary_losses = adversary_step.spoil(stage, regional, samples, images.seeds)
                losses |= adversary_losses
            logits, deltas = stage(regional)
            losses |= _of_stage(self._region_losses(logits, deltas, samples, stds), i, len(stages))
            if i < len(self.refinements):
                samples = self._refined_samples(self.refinements[i], images, samples, targets, logits, deltas)
        return losses

    @staticmethod
    def _refined_samples(
        refinement: Refinement,
        images: Images,
        samples: Sequence[Samples],
        targets: Sequence[Targets],
        logits: Tensor,
        deltas: Tensor,
    ) -> list[Samples]:
        """Return the samples of the next stage, from the predictions for all samples of this one, image after image."""
        counts = [len(sample) for sample in samples]
        boxes = [
            refinement.boxes(sample.boxes, image_logits, image_deltas, size, sample.labels)
            for sample, size, image_logits, image_deltas in zip(
                samples, images.sizes, torch.split(logits, counts), torch.split(deltas, counts), strict=True
            )
        ]
        return refinement.samples(boxes, targets)

    def _region_losses(
        self, logits: Tensor, deltas: Tensor, samples: Sequence[Samples], delta_stds: tuple[float, float, float, float]
    ) -> dict[str, MeanLoss]:
        """Return the losses of a stage for S samples: logits (S, K + 1), deltas (S, K, 4) or (S, 1, 4).

        There is no box loss where its weight is 0 (R-CNN, which fits box regressors after training), and no loss of a
        frozen layer.
        """
        labels = torch.cat([sample.labels for sample in samples])
        boxes = torch.cat([sample.boxes for sample in samples])
        matched_boxes = torch.cat([sample.matched_boxes for sample in samples])
        target_deltas = box_ops.encode(matched_boxes, boxes, delta_stds)
        class_loss, box_loss = region_losses(logits, deltas, labels, target_deltas, self.head_training.beta)
        losses = {}
        if "classifier" not in self.frozen:
            losses["region_class"] = MeanLoss(class_loss, len(labels))
        if self.head_training.box_weight and "box_regressor" not in self.frozen:
            losses["region_box"] = MeanLoss(box_loss * self.head_training.box_weight, len(labels))
        return losses


def _of_stage(losses: dict[str, MeanLoss], index: int, num_stages: int) -> dict[str, MeanLoss]:
    """Return the losses of a stage under their names in the detector, which end with the stage if there are several."""
    return {f"{name}_{index + 1}": loss for name, loss in losses.items()} if num_stages > 1 else losses
