"""Settings of each slot of a detector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from detect.config.base import Fraction, NotNegative, Positive, Positives, Section, Span

ConvolutionKind = Literal["standard", "dilated", "separable", "grouped"]


class PreprocessConfig(Section):
    """From an image to pixels; its size is in `data`."""

    resize: Literal["cv2", "float", "pil"] = "cv2"
    """cv2: sides and colours rounded; float: sides rounded down, colours exact, as torchvision's detectors do; pil:
    antialiased, as detectron2 does."""
    channels: Literal["rgb", "bgr"] = "rgb"
    """The order of colours that the network's weights were trained on (Caffe's and detectron2's: bgr)."""
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    """What is subtracted from red, green and blue, which are 0 to 255 (ImageNet's means; Caffe's 122.7717, 115.9465,
    102.9801). Not set, a timm:NAME has those of its weights, and so for std."""
    std: tuple[Positive, Positive, Positive] = (58.395, 57.12, 57.375)
    """What they are divided by then (ImageNet's deviations; 1 for Caffe's and detectron2's weights)."""


class BackboneConfig(Section):
    """The network whose features are shared."""

    name: str = "mobilenet_v2"
    """small, lenet, alexnet_original, caffenet, caffenet_padded, zf, vgg_cnn_m_1024, or torchvision's name of one of
    its AlexNets, VGGs, GoogLeNet (with batch normalisation, and 3x3 where the paper has 5x5), ResNets, ResNeXts,
    DenseNets, SqueezeNets, MobileNets, EfficientNets, ConvNeXts and RegNets; or timm:NAME for one of timm's
    convolutional networks, where timm is installed."""
    weights: str | None = None
    """Initial weights: null (random), a torchvision weight name such as IMAGENET1K_V1, a tag of timm's such as a1_in1k
    or DEFAULT, or a .pth, .safetensors or .pkl file."""
    norm: Literal["frozen", "batch", "sync", "group"] = "frozen"
    """Batch normalisation frozen at the initial weights' statistics, trained, trained over all processes; or by groups
    of channels, which starts anew."""
    frozen_stages: int = Field(0, ge=0)
    """How many stages, counted from the pixels, are not trained."""
    output: Literal["map", "dilated", "merged", "pyramid"] = "map"
    """One map (the tail keeps the network's last stage), the last stage at twice the resolution by dilation (DC5), the
    last two stages merged at the finer stride, or a feature pyramid (FPN) with one map more above it."""
    width: PositiveInt = 128
    """Channels of the merged map, or of each map of the pyramid (there 256 unless set)."""
    levels: PositiveInt = 4
    """From how many of the last stages the pyramid is made."""
    split: PositiveInt | None = None
    """Cut the last stage in two after so many layers (1 in torchvision's MobileNetV3 pyramids); null for whole."""
    neck_norm: Literal["batch", "sync", "group"] | None = None
    """What follows each convolution of the pyramid."""
    neck_convolution: ConvolutionKind = "standard"
    """Kind of the 3x3 convolutions of the merged map or the pyramid; see `rpn.convolution`."""
    upsampling: Literal["nearest", "transposed"] = "nearest"
    """How a coarse map becomes as large as the next finer one there: the nearest cells, or a transposed convolution."""


class RpnConfig(Section):
    """The region proposal network."""

    width: PositiveInt = 512
    """Channels of its 3x3 convolution (256 for ZF and 512 for VGG in the paper)."""
    convolutions: PositiveInt = 1
    """How many 3x3 convolutions."""
    convolution: ConvolutionKind = "standard"
    """Their kind: standard, dilated (by 2), separable (one kernel for each channel, then 1x1) or grouped (in 32)."""
    sides: Positives | Annotated[tuple[Positives, ...], Field(min_length=1)] = (128, 256, 512)
    """Sides of the square anchors in pixels of the resized image; of a pyramid one for each map, or a list for each."""
    ratios: Positives = (0.5, 1.0, 2.0)
    """Height over width of the anchors."""
    offset: Fraction = 0.5
    """Where in its cell an anchor stands: the middle (0.5), or the corner (0: torchvision, detectron2)."""
    rounded: bool = False
    """Whether half the sides of anchors are whole pixels, as torchvision's are."""
    spacing: Literal["stride", "canvas"] = "stride"
    """Anchors are a stride apart, or the canvas' side over the map's cells, rounded down (torchvision)."""
    foreground: Fraction = 0.7
    """An anchor with at least this IoU is foreground."""
    background: Span = (0.0, 0.3)
    """An anchor whose best IoU lies in this half-open span is background."""
    number: PositiveInt = 256
    """Anchors that train, an image."""
    share: Fraction = 0.5
    """The most of them that may be foreground."""
    outside: NotNegative | None = 0.0
    """How many pixels a training anchor may reach over the border (paper: 0); null for any."""
    beta: NotNegative = 1.0 / 9.0
    """Where the box loss turns from quadratic to linear."""
    box_weight: NotNegative = 1.0
    """Weight of the box loss against the objectness loss (the paper's lambda, in the code's normalisation)."""
    average: Literal["image", "batch"] = "image"
    """Losses are the mean over images of each one's mean, or the mean over the anchors of a batch (torchvision)."""
    growth: Positive | None = 62.5
    """The most by which a delta multiplies an anchor's side; null for no limit (the paper)."""
    nms: Fraction = 0.7
    """Proposals overlapping a better one by more are dropped."""
    min_side: NotNegative = 0.0
    """Proposals with a shorter side are dropped (torchvision: 0.001)."""
    score: Fraction = 0.0
    """Proposals below this score are dropped (torchvision's MobileNetV3: 0.05)."""
    train_before: PositiveInt = 12000
    """Proposals of each map that enter NMS in training; the limits below are of all maps together."""
    train_after: PositiveInt = 2000
    """Proposals that leave it in training."""
    test_before: PositiveInt = 6000
    """Proposals of each map that enter NMS when detecting."""
    test_after: PositiveInt = 300
    """Proposals that leave it when detecting."""


class RegionsConfig(Section):
    """How regions are cut from maps by RoIAlign."""

    samples: int = Field(2, ge=0)
    """Points along each side of a cell; 0 for as many as the cell has map cells (detectron2)."""
    aligned: bool = True
    """Whether a map's first cell is centred at half a cell (detectron2), or at 0 (torchvision's default)."""


class HeadConfig(Section):
    """Region sampling, the head and its loss."""

    tail: Literal["network", "linear", "convolved"] = "network"
    """The network's own layers above the cut, two new fully connected ones, or new convolutions and one of those."""
    width: PositiveInt = 1024
    """Units of each new fully connected layer."""
    convolutions: PositiveInt = 4
    """convolved: how many, as wide as the map."""
    norm: Literal["batch", "sync", "group"] | None = None
    """convolved: what follows each of them."""
    transform: Literal["spatial_transformer"] | None = None
    """What region maps go through before the tail: a learned affine resampling (Jaderberg et al. 2015), or nothing."""
    bins: PositiveInt | None = None
    """Side of the pooled region map; null for what the tail was made for."""
    ranks: tuple[PositiveInt, ...] | None = None
    """Ranks of the tail's fully connected layers, as `detect model compress` sets them; null for whole layers."""
    sampling: Literal["hierarchical", "uniform"] = "hierarchical"
    """hierarchical: `number` regions of each image (Fast R-CNN); uniform: of a batch, drawn over all images (R-CNN)."""
    number: PositiveInt = 128
    """Regions that train, an image or (with uniform sampling) a batch."""
    share: Fraction = 0.25
    """The most of them that may be foreground."""
    foreground: Fraction = 0.5
    """A proposal with at least this IoU is foreground."""
    background: Span = (0.0, 0.5)
    """A proposal whose best IoU lies in this half-open span is background."""
    add_targets: bool = True
    """Whether the ground truth joins the proposals in training."""
    beta: NotNegative = 1.0
    """Where the box loss turns from quadratic to linear."""
    box_weight: NotNegative = 1.0
    """Weight of the box loss."""
    stds: tuple[Positive, Positive, Positive, Positive] = (0.1, 0.1, 0.2, 0.2)
    """What deltas are divided by in training."""


class CropConfig(Section):
    """R-CNN's crops."""

    side: PositiveInt = 227
    """Width and height of a crop in pixels (the paper's: 227 for AlexNet, 224 for VGG16)."""
    context: int = Field(16, ge=0)
    """How many of its pixels, on each side, show what is around the box."""
    chunk: int = Field(128, ge=3)
    """The most crops that go through the body at a time. Bounds the memory when detecting and computing features; a
    step of training keeps the maps of all its regions (model.head.number bounds those)."""

    @model_validator(mode="after")
    def _room_for_the_box(self) -> CropConfig:
        if 2 * self.context >= self.side:
            raise ValueError(
                f"context: expected at most {(self.side - 1) // 2} for a side of {self.side}, found {self.context}"
            )
        return self


class PostprocessConfig(Section):
    """From scores to detections."""

    score: Fraction = 0.05
    """Detections below this score are dropped before NMS."""
    nms: Fraction = 0.3
    """Detections overlapping a better one of their class by more are dropped."""
    limit: PositiveInt = 100
    """The most detections an image."""
    regress: bool = True
    """Whether a detection is the proposal moved by its deltas, or the proposal as it is."""
    growth: Positive | None = 62.5
    """The most by which a delta multiplies a proposal's side; null for no limit (the papers)."""
    min_side: NotNegative = 0.0
    """Detections with a shorter side are dropped (torchvision: 0.01)."""


class TestTimeConfig(Section):
    """Several looks at each image when detecting."""

    flip: bool = False
    """Look at the mirror image too."""
    scales: Positives = (1.0,)
    """Look at these multiples of the resized image."""
    merge: Literal["fusion", "nms"] = "fusion"
    """Merge by weighted fusion of the boxes, or keep the best of each place."""


class SearchConfig(Section):
    """Selective search, for detectors that are given their proposals."""

    mode: Literal["single", "fast", "quality"] = "fast"
    """How many strategies: 1, 8 or 80."""
    seed: int = 0
    """The seed of the ranking."""
    min_side: NotNegative = 20.0
    """Boxes with a shorter side are dropped; in pixels as if the image were 500 wide."""
    resize_to: PositiveInt | None = None
    """Search a copy of this width; null for the image as it is."""
    train_number: PositiveInt = 2000
    """The best proposals of an image that train, whether searched or from a file."""
    test_number: PositiveInt = 2000
    """The best proposals of an image that are looked at when detecting."""
