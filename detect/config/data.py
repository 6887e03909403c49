"""Settings of the images and their objects."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from detect.config.base import ConfigModel, FilePath, Fraction, NonNegative, SliceSize


class SourceConfig(ConfigModel):
    """Settings of one of several data sources that are joined."""

    root: FilePath
    """Folder of the source. VOC: the one with ImageSets; YOLO: the one with data.yaml; COCO, CSV: the one that paths
    are relative to."""
    list: str | None = None
    """Name of the split. VOC: a list in ImageSets/Main; YOLO: a split in data.yaml."""
    annotations: FilePath | None = None
    """Annotation file (COCO, CSV, CVAT, Label Studio)."""
    images: FilePath | None = None
    """Folder of the images (COCO, CSV, CVAT, Label Studio)."""

    @model_validator(mode="after")
    def _require_one_selection(self) -> SourceConfig:
        if (self.list is None) == (self.annotations is None):
            raise ValueError("expected either list or annotations")
        return self


class AugmentConfig(ConfigModel):
    """Settings of the random changes to training images."""

    flip: Fraction = 0.5
    """Probability of a horizontal flip."""
    crop: Fraction = 0.0
    """Probability of training on a random crop of the image."""
    color_jitter: NonNegative = 0.0
    """Strength of the random changes of brightness, contrast, saturation and hue; 0 for none."""


class TrainingSliceConfig(ConfigModel):
    """Settings of the slices of large images that are trained on; pixels are cut when a slice is loaded."""

    size: SliceSize | None = None
    """Side of a slice in pixels of the image, or [width, height]; null to train on whole images."""
    overlap: Annotated[float, Field(ge=0, le=0.9)] = 0.2
    """Fraction of the sides of a slice that it shares with the next one."""
    min_visibility: Fraction = 0.4
    """Fraction of the area of an object that a slice must show to have it as an object, with its box cut; of a crowd
    any part is enough."""
    empty: Fraction = 0.1
    """Number of slices without objects other than crowds that are trained on, as a fraction of those with objects."""
    whole: bool = True
    """Whether whole images are trained on beside their slices."""


class DataConfig(ConfigModel):
    """Settings of the data set: its files, its splits, and the size of its images."""

    format: Literal["shapes", "voc", "coco", "yolo", "csv", "labelme", "cvat", "label-studio", "folders", "auto"] = (
        "shapes"
    )
    """Format of the data: shapes (the built-in data set), the format of the labels, folders (class folders, for
    `detect pretrain`), or auto (detected from the folder)."""
    root: FilePath = "data/shapes"
    """Folder of the data set; for shapes, the folder in which it is generated."""
    train: FilePath | tuple[SourceConfig, ...] = "train"
    """Training split: a VOC list, a COCO or CSV file, a YOLO split, a folder of class folders, or a list of sources to
    join."""
    val: FilePath | Fraction | tuple[SourceConfig, ...] = "val"
    """Validation split: as train, or the fraction of train to split off by a hash of the file name, where
    near-duplicates stay on one side. If the folder has one list only and neither is set, it is a fifth of that list.
    The names train and val that a model or a file has for another data.root count as not set."""
    images: FilePath | None = None
    """Folder of the images (COCO, CSV, CVAT, Label Studio), in the current folder or in data.root; null for the one
    beside the annotation file."""
    encoding: str | None = None
    """Encoding of CSV and YOLO files that are not in Unicode, such as cp1252, gbk or shift_jis; null for UTF-8 (UTF-16
    is known by its first bytes, and XML names its own)."""
    classes: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Class names in order; null to read them from the data."""
    seed: int = 0
    """Seed of the images of shapes."""
    train_images: PositiveInt = 2000
    """Number of training images of shapes."""
    val_images: PositiveInt = 300
    """Number of validation images of shapes."""
    occlusion: Fraction | None = None
    """Probability that an object of shapes is placed in front of another, if the image has one, of which it may then
    hide 65%; the labels then say which objects are occluded and truncated. null for a fifth, 38% at most and no such
    labels."""
    train_on_difficult: bool = True
    """Whether objects marked difficult are used in training (they never count in VOC's evaluation)."""
    repeat_factor_threshold: Fraction = 0.0
    """Fraction of the images under which a class is rare: its images are repeated in training (repeat factor sampling,
    LVIS, Gupta et al. 2019); 0 for no repetition."""
    min_size: PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = 600
    """Shorter side of the resized image in pixels; of a list, one is drawn for each training batch, and the last one is
    used when detecting."""
    max_size: PositiveInt = 1000
    """Largest longer side of the resized image in pixels."""
    size_divisor: PositiveInt = 32
    """Number of which the sides of a padded batch are multiples."""
    workers: int = Field(2, ge=0)
    """Number of processes that load images; 0 to load in the training process."""
    augment: AugmentConfig = AugmentConfig()
    slice: TrainingSliceConfig = TrainingSliceConfig()

    @property
    def min_sizes(self) -> tuple[int, ...]:
        """Return `min_size` as a tuple."""
        return self.min_size if isinstance(self.min_size, tuple) else (self.min_size,)
