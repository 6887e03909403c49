"""Settings of the heads of a detector: classes and boxes, cascade, masks, and the adversary of the regions."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from detect.config.base import ConfigModel, DeltaStds, Fraction, NonNegative, Positive, Range


class HeadConfig(ConfigModel):
    """Settings of the head, of its region sampling and of its loss."""

    type: Literal["backbone", "fc", "conv_fc"] = "backbone"
    """Layers before the outputs. backbone: the network's own layers above the cut; fc: two new fully connected layers;
    conv_fc: new convolutions and one new fully connected layer."""
    fc_dim: PositiveInt = 1024
    """Number of units of each new fully connected layer."""
    num_convs: PositiveInt = 4
    """Number of convolutions of conv_fc; each has as many channels as the map."""
    norm: Literal["batch", "sync", "group"] | None = None
    """Normalization after each convolution of conv_fc; null for none."""
    transform: Literal["spatial_transformer"] | None = None
    """Transformation of region maps before these layers: a learned affine resampling (Jaderberg et al. 2015), or
    null."""
    pool_size: PositiveInt | None = None
    """Side of the pooled region map, in cells; null for the size that the network's own layers were made for, 7 for
    new ones."""
    svd_ranks: tuple[PositiveInt, ...] | None = None
    """Ranks of the head's fully connected layers after truncated SVD, as `detect model compress` sets them; null for
    layers that are not compressed."""
    svm_features: str | None = None
    """Features that SVMs read: map (the flattened region map; R-CNN's pool5), fc1, fc2, ... (the output of the first,
    second, ... fully connected layer after its activation; fc6 and fc7 of AlexNet and VGG), or null for the last ones,
    which the softmax is trained on."""
    sampling: Literal["per_image", "global"] = "per_image"
    """Regions that a training step takes. per_image: `batch_size_per_image` regions of each image (Fast R-CNN); global:
    as many of the whole batch, drawn over all images of the data set (R-CNN)."""
    batch_size_per_image: PositiveInt = 128
    """Number of regions that are sampled for the loss of an image, or with global sampling of a step."""
    positive_fraction: Fraction = 0.25
    """Largest fraction of positives among the sampled regions."""
    positive_iou: Fraction = 0.5
    """Lowest IoU with an object at which a proposal is a positive."""
    negative_iou: Range = (0.0, 0.5)
    """Range of the best IoU in which a proposal is a negative (background); the upper bound is excluded."""
    add_gt_proposals: bool = True
    """Whether the ground-truth boxes are added to the proposals in training."""
    smooth_l1_beta: NonNegative = 1.0
    """Error, in units of the normalized deltas, at which the box loss changes from quadratic to linear."""
    box_weight: NonNegative = 1.0
    """Weight of the box loss against the classification loss."""
    delta_stds: DeltaStds = (0.1, 0.1, 0.2, 0.2)
    """Standard deviations that the deltas (dx, dy, dw, dh) are divided by in training."""
    class_agnostic: bool = False
    """Whether all classes share the four deltas of a region, instead of having their own."""


class CascadeConfig(ConfigModel):
    """Settings of a cascade: a chain of heads, of which each reads the boxes of the one before (Cascade R-CNN)."""

    ious: Annotated[tuple[Fraction, ...], Field(min_length=2)] | None = None
    """Lowest IoU of a positive in each stage of the head, that of the first as in `head.positive_iou` (the paper: 0.5,
    0.6, 0.7); null for a head of one stage."""
    delta_stds: Annotated[tuple[DeltaStds, ...], Field(min_length=2)] | None = None
    """Standard deviations that the deltas of each stage are divided by in training, those of the first as in
    `head.delta_stds`; null for these divided by 1, 2, 3, ... (the paper's code)."""
    average: Literal["scores", "logits"] = "scores"
    """What is averaged over the stages when detecting: the scores (detectron2), or the logits before their softmax
    (mmdetection)."""


class MaskConfig(ConfigModel):
    """Settings of the mask head, which predicts the pixels of each detection (Mask R-CNN)."""

    pool_size: PositiveInt | None = None
    """Side of the pooled region map that masks are predicted from, in cells, of which a mask has twice as many (the
    paper: 14); null for a detector without masks."""
    num_convs: int = Field(4, ge=0)
    """Number of 3x3 convolutions before the transposed one."""
    channels: PositiveInt = 256
    """Channels of these convolutions and of the transposed one."""
    norm: Literal["batch", "sync", "group"] | None = None
    """Normalization after each of these convolutions; null for none."""
    weight: Positive = 1.0
    """Weight of the mask loss against the classification loss."""
    per_stage: bool = False
    """Whether each stage of a cascade has a mask head of its own, and their masks are averaged when detecting
    (mmdetection), instead of a single one that is trained on the samples of the first stage (detectron2)."""


class AdversaryConfig(ConfigModel):
    """Settings of the adversary, which spoils the regions of objects in training so that the head learns to withstand
    it (A-Fast-RCNN, Wang et al. 2017)."""

    type: Literal["none", "random_dropout", "hard_dropout", "asdn", "astn", "both"] = "none"
    """Adversary. asdn: a network that hides cells of a region; astn: one that rotates groups of its channels; both: one
    after the other; random_dropout and hard_dropout: the paper's controls, which hide random cells, and the window that
    hurts most; all are trained by the recipe adversarial."""
    channels: PositiveInt = 256
    """Channels of the convolutions of asdn (256 in the authors' code)."""
    num_convs: int = Field(4, ge=0)
    """Number of its 3x3 convolutions before the one that gives each cell a logit (4 in the authors' code)."""
    candidates: Annotated[float, Field(gt=0, le=1)] = 20 / 49
    """Fraction of the cells of a region, those with the highest logits of asdn, among which the hidden ones are drawn
    (20 of 49 in the authors' code)."""
    dropped: Annotated[float, Field(gt=0, le=1)] = 15 / 49
    """Fraction of the cells of a region that asdn and random_dropout hide (15 of 49 in the authors' code)."""
    min_score_drop: Fraction = 0.1
    """Probability of the true class that a mask must cost for asdn to learn to repeat it (0.1 in the authors' code)."""
    loss_weight: NonNegative = 0.0025
    """Weight of the loss of asdn while the detector is trained against it (0.0025 in the authors' code); 0 for one
    that stays as it is."""
    max_angle: Annotated[float, Field(gt=0, le=180)] = 10.0
    """Largest rotation by astn, in degrees (the paper: 10)."""
    groups: PositiveInt = 4
    """Number of groups of channels that astn rotates, each by an angle of its own (the paper: 4)."""

    @model_validator(mode="after")
    def _require_candidates(self) -> AdversaryConfig:
        if self.dropped > self.candidates:
            raise ValueError(f"dropped: expected at most candidates, {self.candidates:g}, found {self.dropped:g}")
        return self

    @property
    def learns(self) -> bool:
        """Return whether the adversary is a network that is trained."""
        return self.type in ("asdn", "astn", "both")
