"""Settings of the slots of a detector up to its regions: input, backbone, RPN, regions, crops, selective search."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from detect.config.base import (
    ConfigModel,
    DeltaStds,
    DistinctTuple,
    FilePath,
    Fraction,
    NonNegative,
    Positive,
    PositiveTuple,
    Range,
)
from detect.proposals.selective_search.settings import REFERENCE_WIDTH, Color, Measures

ConvType = Literal["standard", "dilated", "separable", "grouped"]


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
