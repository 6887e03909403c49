"""Every setting, with a sentence for each: what ``--config`` files and ``--set`` may say."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PositiveInt, model_validator

from detect.errors import nearest


def _rising(span: tuple[float, float]) -> tuple[float, float]:
    if span[0] > span[1]:
        raise ValueError("expected the lower bound first")
    return span


Fraction = Annotated[float, Field(ge=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Span = Annotated[tuple[Fraction, Fraction], AfterValidator(_rising)]
Positives = Annotated[tuple[Positive, ...], Field(min_length=1)]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["fp32", "bf16", "fp16"]


class Section(BaseModel):
    """Frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class BackboneConfig(Section):
    """The network whose features are shared."""

    name: str = "mobilenet_v2"
    """A network of detect.backbones.registry: a torchvision name, or `small`."""
    weights: str | None = None
    """Initial weights: null (random), a torchvision weight name such as IMAGENET1K_V1, or a .pth file."""
    norm: Literal["frozen", "batch"] = "frozen"
    """Batch normalisation: frozen at the initial weights' statistics, or trained."""
    frozen_stages: int = Field(0, ge=0)
    """How many stages, counted from the pixels, are not trained."""
    output: Literal["map", "merged"] = "map"
    """One map (the tail keeps the network's last stage), or the last two stages merged at the finer stride."""
    width: PositiveInt = 128
    """Channels of the merged map."""


class RpnConfig(Section):
    """The region proposal network."""

    width: PositiveInt = 512
    """Channels of its 3x3 convolution (256 for ZF and 512 for VGG in the paper)."""
    sides: Positives = (128, 256, 512)
    """Sides of the square anchors in pixels of the resized photo."""
    ratios: Positives = (0.5, 1.0, 2.0)
    """Height over width of the anchors."""
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
    nms: Fraction = 0.7
    """Proposals overlapping a better one by more are dropped."""
    min_side: NotNegative = 0.0
    """Proposals with a shorter side are dropped."""
    train_before: PositiveInt = 12000
    """Proposals that enter NMS in training."""
    train_after: PositiveInt = 2000
    """Proposals that leave it in training."""
    test_before: PositiveInt = 6000
    """Proposals that enter NMS when detecting."""
    test_after: PositiveInt = 300
    """Proposals that leave it when detecting."""


class HeadConfig(Section):
    """Region sampling, the head and its loss."""

    tail: Literal["network", "linear"] = "network"
    """The network's own layers above the cut, or two new fully connected ones."""
    width: PositiveInt = 1024
    """Units of each new fully connected layer."""
    bins: PositiveInt | None = None
    """Side of the pooled region map; null for what the tail was made for."""
    ranks: tuple[PositiveInt, ...] | None = None
    """Ranks of the tail's fully connected layers, as `detect model compress` sets them; null for whole layers."""
    number: PositiveInt = 128
    """Regions that train, an image."""
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


class PostprocessConfig(Section):
    """From scores to detections."""

    score: Fraction = 0.05
    """Detections below this score are dropped before NMS."""
    nms: Fraction = 0.3
    """Detections overlapping a better one of their class by more are dropped."""
    limit: PositiveInt = 100
    """The most detections an image."""


class TestTimeConfig(Section):
    """Several looks at each photo when detecting."""

    flip: bool = False
    """Look at the mirror image too."""
    scales: Positives = (1.0,)
    """Look at these multiples of the resized photo."""
    merge: Literal["fusion", "nms"] = "fusion"
    """Merge by weighted fusion of the boxes, or keep the best of each place."""


class SearchConfig(Section):
    """Selective search, for detectors that are given their proposals."""

    mode: Literal["single", "fast", "quality"] = "fast"
    """How many strategies: 1, 8 or 80."""
    seed: int = 0
    """The seed of the ranking."""
    min_side: NotNegative = 20
    """Boxes with a shorter side are dropped; in pixels as if the photo were 500 wide."""
    resize_to: PositiveInt | None = None
    """Search a copy of this width; null for the photo as it is."""
    train_number: PositiveInt = 2000
    """The best proposals of a photo that train, whether searched or from a file."""
    test_number: PositiveInt = 2000
    """The best proposals of a photo that are looked at when detecting."""


# What a kind means where the settings of a slot do not say otherwise: the paper's choices.
KINDS: dict[str, dict[str, Any]] = {
    "fast_rcnn": {  # section 2.3: 64 regions of each of 2 photos, background with an IoU of 0.1 and more
        "proposals": "selective_search",
        "pool": "roi_pool",
        "head": {"number": 64, "share": 0.25, "background": (0.1, 0.5)},
    },
    "faster_rcnn": {"proposals": "rpn"},
}


class ModelConfig(Section):
    """The five slots."""

    kind: Literal["fast_rcnn", "faster_rcnn"] = "faster_rcnn"
    """Which generation; it sets the defaults of the slots."""
    proposals: str = "rpn"
    """Where proposals come from: rpn, selective_search, or a file of them (.npz, .mat, .json)."""
    classifier: Literal["softmax"] = "softmax"
    """What scores a region."""
    pool: Literal["roi_pool", "roi_align"] = "roi_align"
    """How a region is cut from the map."""
    init: str | None = None
    """A detector checkpoint to start from."""
    backbone: BackboneConfig = BackboneConfig()
    rpn: RpnConfig = RpnConfig()
    search: SearchConfig = SearchConfig()
    head: HeadConfig = HeadConfig()
    postprocess: PostprocessConfig = PostprocessConfig()
    test_time: TestTimeConfig = TestTimeConfig()

    @model_validator(mode="before")
    @classmethod
    def _as_the_kind_has_it(cls, settings: Any) -> Any:
        """Keys that are not set, from KINDS; two levels deep."""
        if not isinstance(settings, dict):
            return settings
        filled = dict(settings)
        for key, value in KINDS.get(str(settings.get("kind", "faster_rcnn")), {}).items():
            own = filled.setdefault(key, value)
            if isinstance(own, dict) and isinstance(value, dict):
                filled[key] = value | own
        return filled

    @model_validator(mode="after")
    def _possible_pair(self) -> ModelConfig:
        known = ("rpn", "selective_search")
        if self.proposals not in known and PurePath(self.proposals).suffix not in (".npz", ".mat", ".json"):
            raise ValueError(
                f"proposals: expected rpn, selective_search or a .npz, .mat or .json file, found {self.proposals}"
                f"{nearest(self.proposals, known)}"
            )
        if self.kind != "faster_rcnn" and not self.given:
            raise ValueError(
                f"{self.kind} is given its proposals: expected selective_search or a file in proposals, found rpn "
                "(which makes it a faster_rcnn)"
            )
        return self

    @property
    def given(self) -> bool:
        """Whether proposals come with the photos."""
        return self.proposals != "rpn"


class SourceConfig(Section):
    """One of several data sources that are joined."""

    root: str
    """VOC: the folder with ImageSets; COCO: the folder that paths are relative to."""
    list: str | None = None
    """VOC: a list in ImageSets/Main."""
    annotations: str | None = None
    """COCO: the annotation file."""
    images: str | None = None
    """COCO: the folder of the photos."""

    @model_validator(mode="after")
    def _one_selection(self) -> SourceConfig:
        if (self.list is None) == (self.annotations is None):
            raise ValueError("expected either list or annotations")
        return self


class AugmentConfig(Section):
    """Random changes to training photos."""

    flip: Fraction = 0.5
    """Probability of mirroring left to right."""
    crop: Fraction = 0.0
    """Probability of training on a random part of the photo."""
    colour: NotNegative = 0.0
    """Strength of brightness, contrast, saturation and hue changes."""


class DataConfig(Section):
    """Photos and their objects."""

    format: Literal["shapes", "voc", "coco"] = "shapes"
    """The built-in data set, VOC's layout, or COCO's."""
    root: str = "data/shapes"
    """The data set's folder; for shapes, where it is generated."""
    train: str | tuple[SourceConfig, ...] = "train"
    """A VOC list, a COCO annotation file, or sources to join."""
    val: str | Fraction | tuple[SourceConfig, ...] = "val"
    """The same for validation, or the fraction of `train` to split off by a hash of the file name."""
    images: str | None = None
    """COCO: the folder of the photos; null to look beside the annotation file."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Class names in order; null to read them from the data."""
    seed: int = 0
    """Shapes: the seed of the pictures."""
    train_images: PositiveInt = 2000
    """Shapes: how many training pictures."""
    val_images: PositiveInt = 300
    """Shapes: how many validation pictures."""
    difficult: bool = True
    """Whether objects marked difficult are trained on (they never count in VOC's evaluation)."""
    rare: Fraction = 0.0
    """Photos with a class that fewer than this fraction of photos show are trained on more often; 0 for none."""
    min_size: PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = 600
    """The shorter side of a resized photo; several to draw one for each training batch (the last one detects)."""
    max_size: PositiveInt = 1000
    """The longer side at most."""
    divisor: PositiveInt = 32
    """Canvas sides are padded to multiples of this."""
    workers: int = Field(2, ge=0)
    """Loader processes; 0 to load in the training process."""
    augment: AugmentConfig = AugmentConfig()

    @property
    def min_sizes(self) -> tuple[int, ...]:
        """`min_size` as a tuple."""
        return self.min_size if isinstance(self.min_size, tuple) else (self.min_size,)


class TrainConfig(Section):
    """How the weights are found."""

    recipe: Literal["joint"] = "joint"
    """All losses in one step."""
    epochs: PositiveInt | None = None
    """Passes over the training photos."""
    steps: PositiveInt | None = None
    """Or how many steps of the optimiser."""
    batch_size: PositiveInt = 2
    """Photos a batch."""
    accumulate: PositiveInt = 1
    """Batches whose gradients are averaged into one step."""
    optimizer: Literal["sgd", "rmsprop", "adamw"] = "sgd"
    """The optimiser."""
    lr: Positive = 1e-3
    """Learning rate after warm-up."""
    momentum: Fraction = 0.9
    """Momentum of sgd and rmsprop."""
    weight_decay: NotNegative = 5e-4
    """Weight decay; biases and normalisations have none."""
    backbone_lr: Positive = 1.0
    """Learning rate of the body's pretrained layers, relative to lr."""
    schedule: Literal["constant", "step", "cosine"] = "step"
    """How the learning rate falls."""
    milestones: tuple[Fraction, ...] = (5 / 7,)
    """step: where it falls, as fractions of the run (py-faster-rcnn: 50k of 70k)."""
    gamma: Fraction = 0.1
    """step: by how much it is multiplied."""
    warmup: Fraction = 0.0
    """The fraction of the run over which the learning rate rises from a thousandth."""
    clip: NotNegative = 0.0
    """Gradients are scaled down to this norm; 0 for no limit."""
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the exponential moving average of the weights that is evaluated and saved; 0 for none."""
    precision: Precision = "fp32"
    """What the networks compute in; boxes, losses and weights stay fp32."""
    validate_every: PositiveInt = 1
    """Epochs between two validations; the last epoch is always validated."""
    patience: PositiveInt | None = None
    """Stop after this many validations without a better metric; null for never."""
    log_every: PositiveInt = 20
    """Steps between two rows of metrics.csv."""
    checkpoint_every: PositiveInt = 500
    """Steps between two last.pt within an epoch."""

    @model_validator(mode="after")
    def _one_length(self) -> TrainConfig:
        if (self.epochs is None) == (self.steps is None):
            found = "neither" if self.epochs is None else "both"
            raise ValueError(f"expected either epochs or steps, found {found} (e.g. --set train.epochs=7)")
        return self


class Config(Section):
    """A whole run."""

    seed: int = 0
    """The root of every random draw."""
    device: Device = "auto"
    """Where to compute; auto takes a GPU when there is one."""
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig(epochs=1)


def as_plain(config: Section) -> dict[str, Any]:
    """The whole configuration as dicts, lists and plain values."""
    return config.model_dump(mode="json")
