"""Settings of each slot of a detector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from detect.config.base import (
    ConfigModel,
    DistinctTuple,
    FilePath,
    Fraction,
    NonNegative,
    Positive,
    PositiveTuple,
    Range,
    SliceSize,
)
from detect.proposals.selective_search.settings import REFERENCE_WIDTH, Color, Measures

ConvType = Literal["standard", "dilated", "separable", "grouped"]
DeltaStds = tuple[Positive, Positive, Positive, Positive]


class PreprocessConfig(ConfigModel):
    """Settings that turn an image into the network's input; its size is in `data`."""

    resize: Literal["cv2", "float", "pil"] = "cv2"
    """Way to resize. cv2: OpenCV, sides and colors rounded; float: sides rounded down, colors exact, as torchvision's
    detectors do; pil: antialiased by Pillow, as detectron2 does."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """Order of the color channels that the network's weights were trained on (Caffe's and detectron2's: bgr)."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """Mean that is subtracted from red, green and blue, which are 0 to 255 (ImageNet's; Caffe's is 122.7717, 115.9465,
    102.9801). If it is not set, a timm:NAME takes the mean of its weights; the same holds for std."""
    std: tuple[Positive, Positive, Positive] = (58.395, 57.12, 57.375)
    """Standard deviation that red, green and blue are then divided by (ImageNet's; 1 for Caffe's and detectron2's
    weights)."""


class BackboneConfig(ConfigModel):
    """Settings of the network whose features all regions share."""

    name: str = "mobilenet_v2"
    """Name of the network: small, lenet, alexnet_original, caffenet, caffenet_padded, zf, vgg_cnn_m_1024, or
    torchvision's name of one of its AlexNets, VGGs, GoogLeNet (with batch normalization, and 3x3 where the paper has
    5x5), ResNets, ResNeXts, DenseNets, SqueezeNets, MobileNets, EfficientNets, ConvNeXts and RegNets; or timm:NAME for
    one of timm's convolutional networks, if timm is installed."""
    weights: FilePath | None = None
    """Initial weights: null (random), a torchvision weight name such as IMAGENET1K_V1, a tag of timm's such as a1_in1k
    or DEFAULT, or a .pth, .safetensors or .pkl file."""
    norm: Literal["frozen", "batch", "sync", "group"] = "frozen"
    """Normalization: batch normalization frozen at the statistics of the initial weights (frozen), trained (batch), or
    trained over all processes (sync); or group normalization (group), which starts untrained."""
    frozen_stages: int = Field(0, ge=0)
    """Number of stages, counted from the pixels, that are not trained."""
    output: Literal["c4", "dc5", "merged", "fpn"] = "c4"
    """Feature maps that the backbone returns. c4: one map, and the head keeps the network's last stage; dc5: one map of
    the last stage, dilated to twice the resolution; merged: the last two stages merged at the finer stride; fpn: a
    feature pyramid with one coarser map added (Lin et al. 2017)."""
    neck_channels: PositiveInt = 128
    """Channels of the merged map, or of each map of the pyramid (256 there unless set)."""
    fpn_levels: PositiveInt = 4
    """Number of stages, counted from the last one, that the pyramid is made from."""
    split_last_stage: PositiveInt | None = None
    """Number of layers after which the last stage is cut in two (1 in torchvision's MobileNetV3 pyramids); null for no
    cut."""
    neck_norm: Literal["batch", "sync", "group"] | None = None
    """Normalization after each convolution of the pyramid; null for none."""
    neck_conv_type: ConvType = "standard"
    """Type of the 3x3 convolutions of the merged map or the pyramid; see `rpn.conv_type`."""
    upsampling: Literal["nearest", "transposed"] = "nearest"
    """Way to enlarge a coarse map of the neck to the size of the next finer one: nearest neighbor, or a transposed
    convolution."""


class RPNConfig(ConfigModel):
    """Settings of the region proposal network (Faster R-CNN, section 3.1)."""

    channels: PositiveInt = 512
    """Channels of its 3x3 convolution (256 for ZF and 512 for VGG in the paper)."""
    num_convs: PositiveInt = 1
    """Number of 3x3 convolutions."""
    conv_type: ConvType = "standard"
    """Type of these convolutions: standard, dilated (by 2), separable (one kernel for each channel, then 1x1) or
    grouped (in 32 groups)."""
    anchor_sizes: PositiveTuple | Annotated[tuple[PositiveTuple, ...], Field(min_length=1)] = (128, 256, 512)
    """Sides of the square anchors, in pixels of the resized image; with a pyramid one for each map, or a list for
    each map."""
    aspect_ratios: PositiveTuple = (0.5, 1.0, 2.0)
    """Height over width of the anchors."""
    anchor_offset: Fraction = 0.5
    """Position of an anchor in its cell: the middle (0.5), or the corner (0: torchvision, detectron2)."""
    round_anchors: bool = False
    """Whether half the side of an anchor is rounded to whole pixels, as in torchvision."""
    anchor_stride: Literal["stride", "canvas"] = "stride"
    """Distance between anchors. stride: the stride of the map; canvas: the side of the padded batch over the cells of
    the map, rounded down (torchvision)."""
    positive_iou: Fraction = 0.7
    """Lowest IoU with an object at which an anchor is a positive."""
    negative_iou: Range = (0.0, 0.3)
    """Range of the best IoU in which an anchor is a negative; the upper bound is excluded."""
    batch_size_per_image: PositiveInt = 256
    """Number of anchors that are sampled for the loss of an image."""
    positive_fraction: Fraction = 0.5
    """Largest fraction of positives among the sampled anchors."""
    allowed_border: NonNegative | None = 0.0
    """Number of pixels that a training anchor may reach over the border of the image (paper: 0); null for any."""
    smooth_l1_beta: NonNegative = 1.0 / 9.0
    """Error, in units of the normalized deltas, at which the box loss changes from quadratic to linear (py-faster-rcnn:
    1/9, paper: 1)."""
    delta_stds: DeltaStds = (1.0, 1.0, 1.0, 1.0)
    """Standard deviations that the deltas (dx, dy, dw, dh) of the anchors are divided by in training (the paper's code:
    those of the training set, so that they have unit variance)."""
    box_weight: NonNegative = 1.0
    """Weight of the box loss against the objectness loss (the paper's lambda, in the normalization of its authors'
    code)."""
    loss_average: Literal["image", "batch"] = "image"
    """Average that is the loss. image: the mean over the images of the mean of each; batch: the mean over all sampled
    anchors of the batch (torchvision, detectron2)."""
    max_scale_change: Positive | None = 62.5
    """Largest factor by which a delta multiplies a side of an anchor (1000 / 16, torchvision); null for no limit (the
    paper)."""
    box_regression: bool = True
    """Whether a proposal is the anchor moved by its deltas, or the unchanged anchor (table 2, "no reg")."""
    rank: Literal["score", "random"] = "score"
    """Order of the proposals. score: the best objectness first; random: anchors are drawn at random, and there is no
    non-maximum suppression (table 2, "no cls")."""
    nms_iou: Fraction = 0.7
    """IoU threshold of non-maximum suppression: a proposal that overlaps a better one by more is dropped."""
    min_size: NonNegative = 0.0
    """Shortest side of a proposal, in pixels of the resized image; smaller ones are dropped (torchvision: 0.001)."""
    score_threshold: Fraction = 0.0
    """Lowest score of a proposal; others are dropped (torchvision's MobileNetV3: 0.05)."""
    pre_nms_top_n_train: PositiveInt = 12000
    """Number of best proposals of each map that enter non-maximum suppression in training."""
    post_nms_top_n_train: PositiveInt = 2000
    """Number of best proposals of an image, of all maps together, that are kept after it in training."""
    pre_nms_top_n_test: PositiveInt = 6000
    """Number of best proposals of each map that enter non-maximum suppression when detecting."""
    post_nms_top_n_test: PositiveInt = 300
    """Number of best proposals of an image, of all maps together, that are kept after it when detecting."""


class RegionsConfig(ConfigModel):
    """Settings of RoIAlign, which cuts regions from feature maps."""

    sampling_ratio: int = Field(2, ge=0)
    """Number of sampling points along each side of an output cell; 0 for as many as the cell spans map cells
    (detectron2)."""
    aligned: bool = True
    """Whether the first cell of a map is centered at half a cell (detectron2), or at 0 (torchvision's default)."""


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


class CropConfig(ConfigModel):
    """Settings of R-CNN's warped crops."""

    size: PositiveInt = 227
    """Width and height of a crop in pixels (the paper's: 227 for AlexNet, 224 for VGG16)."""
    context: int = Field(16, ge=0)
    """Number of its pixels on each side that show the surroundings of the box (R-CNN, appendix A)."""
    batch_size: int = Field(128, ge=3)
    """Largest number of crops that go through the backbone at a time. It bounds the memory when detecting and when
    computing features; a step of training keeps the maps of all its regions (model.head.batch_size_per_image bounds
    those)."""

    @model_validator(mode="after")
    def _require_box_pixels(self) -> CropConfig:
        if 2 * self.context >= self.size:
            raise ValueError(
                f"context: expected at most {(self.size - 1) // 2} for a size of {self.size}, found {self.context}"
            )
        return self


class PostprocessConfig(ConfigModel):
    """Settings that turn the scores of regions into detections."""

    score_threshold: Fraction = 0.05
    """Lowest score of a detection; others are dropped before non-maximum suppression."""
    nms_iou: Fraction = 0.3
    """IoU threshold of non-maximum suppression: a detection that overlaps a better one of its class by more is
    dropped."""
    pre_nms_top_n_per_class: PositiveInt | None = None
    """Number of best detections of each class of an image that enter non-maximum suppression (100 in the code of R-CNN
    and Fast R-CNN); null for all."""
    max_detections: PositiveInt = 100
    """Largest number of detections per image; the best are kept."""
    box_regression: bool = True
    """Whether a detection is the proposal moved by its deltas, or the unchanged proposal."""
    max_scale_change: Positive | None = 62.5
    """Largest factor by which a delta multiplies a side of a proposal (1000 / 16, torchvision); null for no limit (the
    papers)."""
    min_size: NonNegative = 0.0
    """Shortest side of a detection, in pixels of the resized image; smaller ones are dropped (torchvision: 0.01)."""


class SliceConfig(ConfigModel):
    """Settings of the slices of a large image: each is detected like an image, beside the whole one."""

    size: SliceSize | None = None
    """Side of a slice in pixels of the image, or [width, height]; null for no slices."""
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    """Fraction of the sides of a slice that it shares with the next one."""
    match_metric: Literal["iou", "ios"] = "iou"
    """Overlap by which detections of several slices are merged: intersection over union (iou), or over the area of the
    smaller box (ios), which also drops the part of an object that a slice has cut."""
    match_threshold: Fraction | None = None
    """Overlap above which the detection with the lower score is dropped; null for postprocess.nms_iou."""


class TTAConfig(ConfigModel):
    """Settings of test-time augmentation: several views of each image when detecting."""

    flip: bool = False
    """Whether the horizontally flipped image is detected too."""
    scales: PositiveTuple = (1.0,)
    """Factors on the size of the resized image; the image is detected at each of them."""
    merge: Literal["wbf", "nms"] = "wbf"
    """Way to merge the detections of all views: weighted box fusion (Solovyev et al. 2021), or non-maximum
    suppression."""
    slice: SliceConfig = SliceConfig()


class SearchConfig(ConfigModel):
    """Settings of selective search, for detectors that use precomputed proposals."""

    mode: Literal["single", "fast", "quality"] = "fast"
    """Number of strategies: 1, 8 or 80; colors, similarities and k choose others."""
    seed: int = 0
    """Seed of the ranking."""
    min_size: NonNegative = 20.0
    """Shortest side of a box, in pixels of the image scaled to min_size_width; smaller ones are dropped."""
    min_size_width: PositiveInt | None = REFERENCE_WIDTH
    """Width of the image in which min_size is measured; null for the image as it is searched (R-CNN's code)."""
    resize_width: PositiveInt | None = None
    """Width in pixels to which the image is resized for the search; null for its own (R-CNN's code for VOC)."""
    colors: DistinctTuple[Color] | None = None
    """Color spaces of the search, of HSV, Lab, rgI, H, I, RGB and rgb (normalized); null for those of the mode."""
    similarities: DistinctTuple[Measures] | None = None
    """Similarities of the search, each letters of CTSF in this order (color, texture, size, fill), such as [CTSF, S];
    null for those of the mode."""
    k: DistinctTuple[PositiveInt] | None = None
    """Scales k of the initial segmentation, such as [50, 100]; null for those of the mode."""
    train_top_n: PositiveInt = 2000
    """Number of best proposals of an image that are used in training, whether searched or from a file; 100000 takes
    all."""
    test_top_n: PositiveInt = 2000
    """Number of best proposals of an image that are used when detecting."""
