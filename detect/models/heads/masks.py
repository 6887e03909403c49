"""The mask head of Mask R-CNN (He et al. 2017, sections 3 and 3.1): from regions of its own to a mask for each class.

It belongs to the head, but reads other regions: larger ones, in training those of the positive samples, and when
detecting those of the detections, after their suppression. The classes do not compete: each has a mask of its own, and
that of the detection's class is taken. A cascade has one mask head, as in detectron2, or one for each stage, as in
mmdetection.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.models.backbones.normalization import NewNorm, conv_norm
from detect.models.slots import Regions
from detect.ops.dtype import at_least_float32
from detect.ops.losses import mask_loss
from detect.ops.masks import crop_targets
from detect.types import Detections, Images, MeanLoss, Samples, Targets


class MaskHead(nn.Module):
    """Pools regions, runs 3x3 convolutions on them, doubles their sides, and predicts a mask logit for each class.

    regions: M / 2 cells a side; in_channels: of their maps; num_convs, channels, norm: of the convolutions, and of the
    transposed one; weight: of the loss; aligned_targets: see ``ops.masks.crop_targets``. Initial weights are those of
    torchvision and detectron2: He et al. 2015, by the number of outputs; the last layer's as detectron2's, so that all
    masks begin near 0.5.
    """

    def __init__(
        self,
        regions: Regions,
        in_channels: int,
        num_classes: int,
        num_convs: int = 4,
        channels: int = 256,
        norm: NewNorm | None = None,
        weight: float = 1.0,
        aligned_targets: bool = True,
    ) -> None:
        super().__init__()
        self.regions: Regions = regions
        widths = [in_channels, *[channels] * num_convs]
        blocks = [conv_norm(width, channels, 3, norm) for width in widths[:-1]]
        for block in blocks:
            block.append(nn.ReLU())
        self.layers = nn.Sequential(*blocks)
        self.upsample = nn.ConvTranspose2d(widths[-1], channels, 2, stride=2)
        self.logits = nn.Conv2d(channels, num_classes, 1)
        for layer in (*self.layers.modules(), self.upsample):
            if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self.upsample.bias)  # type: ignore[arg-type] # it has one
        nn.init.normal_(self.logits.weight, std=0.001)
        nn.init.zeros_(self.logits.bias)  # type: ignore[arg-type] # it has one
        self.weight = weight
        self.aligned_targets = aligned_targets

    @property
    def stages(self) -> tuple[MaskHead]:
        """Return the mask head itself, which reads the samples of the first stage of the head."""
        return (self,)

    def forward(self, regional: Tensor) -> Tensor:
        """Predict from region maps (S, C, M / 2, M / 2) -> logits (S, K, M, M), float32 at least."""
        return at_least_float32(self.logits(torch.relu(self.upsample(self.layers(regional)))))

    def losses(
        self, images: Images, maps: Sequence[Tensor], samples: Sequence[Samples], targets: Sequence[Targets]
    ) -> dict[str, MeanLoss]:
        """Return the loss of the positives of N images: the mean over their masks; 0 without positives.

        Raises ValueError for targets without masks.
        """
        positives = [sample.labels.nonzero().flatten() for sample in samples]
        boxes = [sample.boxes[index] for sample, index in zip(samples, positives, strict=True)]
        labels = torch.cat([sample.labels[index] for sample, index in zip(samples, positives, strict=True)])
        logits = self(self.regions(images, maps, boxes))
        cropped = [
            crop_targets(_bitmaps(target), sample.target_index[index], box, logits.shape[-1], self.aligned_targets)
            for target, sample, index, box in zip(targets, samples, positives, boxes, strict=True)
        ]
        loss = mask_loss(logits, labels, torch.cat(cropped).to(logits.dtype))
        return {"region_mask": MeanLoss(loss * self.weight, len(labels))}

    def class_logits(
        self, images: Images, maps: Sequence[Tensor], detections: Sequence[Detections]
    ) -> tuple[Tensor, ...]:
        """Return the mask logits (D, M, M) of the class of each detection, boxes in canvas pixels, of N images.

        The layers run on one image at a time, so that it has the same bits in any batch.
        """
        regional = self.regions(images, maps, [image.boxes for image in detections])
        logits = [self(part) for part in torch.split(regional, [len(image) for image in detections])]
        return tuple(
            image_logits[torch.arange(len(image), device=image.labels.device), image.labels - 1]
            for image_logits, image in zip(logits, detections, strict=True)
        )

    def output_layers(self) -> dict[str, nn.Conv2d]:
        """Return the layer that predicts the mask logits."""
        return {"mask_logits": self.logits}


class CascadeMaskHead(nn.ModuleList):
    """A mask head for each stage of a cascade, trained on the samples of that stage; their masks are averaged.

    (mmdetection weights the losses of the stages by 1, 0.5 and 0.25; the builder gives each an equal share.)
    """

    @property
    def stages(self) -> tuple[MaskHead, ...]:
        """Return the mask heads in the order of the stages."""
        return tuple(cast(MaskHead, stage) for stage in self)

    def class_logits(
        self, images: Images, maps: Sequence[Tensor], detections: Sequence[Detections]
    ) -> tuple[Tensor, ...]:
        """Return the logits (D, M, M) of the mean probabilities of all stages; see ``MaskHead.class_logits``."""
        stage_logits = [stage.class_logits(images, maps, detections) for stage in self.stages]
        return tuple(mean_mask_logits(torch.stack(image)) for image in zip(*stage_logits, strict=True))


def mean_mask_logits(logits: Tensor) -> Tensor:
    """Return the logits of the mean probabilities of logits (T, ...), over T stages.

    They are computed from logarithms, since a probability near 1 in float32 would give an infinite logit.
    """
    count = math.log(len(logits))
    mean: Tensor = functional.logsigmoid(logits).logsumexp(0) - count
    complement: Tensor = functional.logsigmoid(-logits).logsumexp(0) - count
    return mean - complement


def with_masks(detections: Detections, logits: Tensor) -> Detections:
    """Return D detections with the masks of these logits (D, M, M)."""
    return replace(detections, masks=logits.sigmoid().float())


def _bitmaps(targets: Targets) -> Tensor:
    """Return the masks of the targets. Raises ValueError where there are none."""
    if targets.masks is None:
        raise ValueError("targets: expected masks for the mask head, found none")
    return targets.masks
