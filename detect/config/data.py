"""Settings of the images and their objects."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveInt, model_validator

from detect.config.base import Fraction, NotNegative, Section


class SourceConfig(Section):
    """One of several data sources that are joined."""

    root: str
    """VOC: the folder with ImageSets; YOLO: with data.yaml; COCO, CSV: the folder that paths are relative to."""
    list: str | None = None
    """VOC: a list in ImageSets/Main; YOLO: a split in data.yaml."""
    annotations: str | None = None
    """COCO, CSV: the annotation file."""
    images: str | None = None
    """COCO, CSV: the folder of the images."""

    @model_validator(mode="after")
    def _one_selection(self) -> SourceConfig:
        if (self.list is None) == (self.annotations is None):
            raise ValueError("expected either list or annotations")
        return self


class AugmentConfig(Section):
    """Random changes to training images."""

    flip: Fraction = 0.5
    """Probability of mirroring left to right."""
    crop: Fraction = 0.0
    """Probability of training on a random part of the image."""
    colour: NotNegative = 0.0
    """Strength of brightness, contrast, saturation and hue changes."""


class DataConfig(Section):
    """Images and their objects."""

    format: Literal["shapes", "voc", "coco", "yolo", "csv", "folders", "auto"] = "shapes"
    """The built-in data set, the format of the labels, folders named for their images' class (`detect pretrain`), or
    auto: what the folder is found to be."""
    root: str = "data/shapes"
    """The data set's folder; for shapes, where it is generated."""
    train: str | tuple[SourceConfig, ...] = "train"
    """A VOC list, a COCO or CSV file, a YOLO split, a folder of class folders, or sources to join."""
    val: str | Fraction | tuple[SourceConfig, ...] = "val"
    """The same for validation, or the fraction of `train` to split off by a hash of the file name, near-duplicates to
    one side. Where the folder has one list only and neither is set, a fifth of that list."""
    images: str | None = None
    """COCO, CSV: the folder of the images; null to look beside the annotation file."""
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
    """Images with a class that fewer than this fraction of images show are trained on more often; 0 for none."""
    min_size: PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = 600
    """The shorter side of a resized image; several to draw one for each training batch (the last one detects)."""
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
