"""Data settings -> annotations of the two splits, and the random changes to training images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from detect.config import Config, DataConfig, SourceConfig
from detect.config.builders.resolve import settled_data, without_labels
from detect.data.annotations import Annotations
from detect.data.loading.transforms import Augment
from detect.data.near_duplicates import alike
from detect.data.near_duplicates_cache import cache_file, image_likenesses
from detect.data.repeat_factor import repeat_rare
from detect.data.shapes import dataset as shapes
from detect.data.sources import (
    LARGE_GROUP,
    Source,
    hash_split,
    load_sources,
    relabel,
    without_difficult,
    without_series,
)
from detect.data.usage import Account, account
from detect.errors import UserError
from detect.system.files import existing_folder
from detect.system.progress import display

SplitSetting = str | tuple[SourceConfig, ...]


@dataclass(frozen=True)
class Splits:
    """Both splits with the same classes, an account of what was read, and lines on how they came to be."""

    train: Annotations
    val: Annotations
    account: Account
    notes: tuple[str, ...]


def training_data(config: Config) -> tuple[Annotations, Annotations]:
    """Both splits as ``read_splits`` has them."""
    splits = read_splits(config)
    return splits.train, splits.val


def read_splits(config: Config) -> Splits:
    """Both splits with the same classes: those configured, else all that occur in either.

    Difficult objects leave the training split where the settings say so; validation keeps them, marked.
    """
    data = _drawn_shapes(settled_data(config.data))
    skipped = without_labels(data)
    notes: tuple[str, ...] = ()
    if isinstance(data.val, float | int):
        train, val, notes = _split_off(_load(data, data.train, data.classes), float(data.val))
    else:
        train, val = (_load(data, setting, data.classes) for setting in (data.train, data.val))
        classes = _union(train.classes, val.classes, data)
        train, val = relabel(train, classes), relabel(val, classes)
    if len(train) == 0:
        raise UserError(f"data.train: expected at least one image, found none in {data.root}")
    if len(train.boxes) == 0:
        raise UserError(f"data.train: expected at least one object, found none in {len(train)} images")
    read = account([train, val], skipped)
    if skipped:
        notes = (*notes, f"{skipped} images of {data.root} have no XML file and take no part: detect data inspect")
    train = train if data.difficult else without_difficult(train)
    return Splits(repeat_rare(train, data.rare, config.seed) if data.rare else train, val, read, notes)


def annotated_split(config: Config, split: str) -> Annotations:
    """One split (train or val) with the classes of its own, difficult objects kept; the other need not exist."""
    data = _drawn_shapes(settled_data(config.data))
    if isinstance(data.val, float | int):
        train, val, _ = _split_off(_load(data, data.train, data.classes), float(data.val))
        return val if split == "val" else train
    return _load(data, data.train if split == "train" else data.val, data.classes)


def split_data(config: Config, split: str, classes: Sequence[str]) -> Annotations:
    """``annotated_split`` labelled by a model's classes: as it is evaluated.

    Raises UserError for an object of a class that the model does not have.
    """
    return relabel(annotated_split(config, split), classes)


def default_metric(config: Config) -> Literal["coco", "voc07"]:
    """What the data's format calls for: voc07 for VOC, else coco."""
    data = settled_data(config.data) if config.data.format == "auto" else config.data
    return "voc07" if data.format == "voc" else "coco"


def augment_rule(config: Config) -> Augment:
    """The random changes to training images."""
    settings = config.data.augment
    return Augment(flip=settings.flip, crop=settings.crop, colour=settings.colour)


def _drawn_shapes(data: DataConfig) -> DataConfig:
    """The built-in data set as the COCO data that it is, drawn where it is not there yet."""
    if data.format != "shapes":
        return data
    folder = shapes.prepare(Path(data.root), data.seed, data.train_images, data.val_images)
    sources = {
        split: (SourceConfig(root=str(folder), annotations=f"{split}.json", images=split),)
        for split in ("train", "val")
    }
    return data.model_copy(update={"format": "coco", "root": str(folder), **sources})


def _split_off(annotations: Annotations, fraction: float) -> tuple[Annotations, Annotations, tuple[str, ...]]:
    """(train, val, lines), near-duplicates on one side: an image that is nearly in the training set validates nothing.

    A line says where a group of them is large.
    """
    if not 0 < fraction < 1:
        return *hash_split(annotations, fraction), ()
    images = [Path(annotations.file(index)) for index in range(len(annotations))]
    with display(Console(stderr=True), "looking for near-duplicates", len(images), "images") as shown:
        found = image_likenesses(images, cache_file(images), shown.advance)
    seen = [(place, each) for place, each in enumerate(found) if each is not None]
    with display(Console(stderr=True), "comparing", len(seen), "images") as shown:
        groups = alike([each for _, each in seen], shown.advance)
    same = [[seen[member][0] for member in group] for group in groups]
    kept = without_series(same, len(images))
    return *hash_split(annotations, fraction, kept), _on_large(same, kept)


def _on_large(groups: Sequence[Sequence[int]], kept: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """A line on groups of near-duplicates that went to one side, and one on those that were too large for it."""
    large = [group for group in groups if len(group) > LARGE_GROUP]
    lines = []
    for what, chosen in (
        ("each on one side of the split", [group for group in large if group in kept]),
        (
            "too large for one side, so split by name",
            [g for g in large if g not in kept],
        ),
    ):
        if chosen:
            images = ", ".join(str(len(group)) for group in chosen)
            lines.append(f"near-duplicates: {len(chosen)} groups of over {LARGE_GROUP} images ({images}), {what}")
    return tuple(lines)


def _load(data: DataConfig, setting: SplitSetting, classes: Sequence[str] | None) -> Annotations:
    if data.format == "shapes" or data.format == "auto":
        raise ValueError(f"{data.format} is loaded as what it is")
    return load_sources(data.format, _sources(data, setting), classes)


def _sources(data: DataConfig, setting: SplitSetting) -> list[Source]:
    if isinstance(setting, str):
        root = existing_folder(Path(data.root), "the folder data.root")
        return [Source(root, setting, None if data.images is None else Path(data.images).absolute())]
    return [
        Source(
            existing_folder(Path(source.root), "a source's root"),
            source.list or source.annotations or "",
            None if source.images is None else Path(source.images),
        )
        for source in setting
    ]


def _union(train: Sequence[str], val: Sequence[str], data: DataConfig) -> list[str]:
    """All names of both splits: sorted where the format has no order of its own."""
    if data.classes is not None:
        return list(data.classes)
    if data.format in ("voc", "csv", "folders"):
        return sorted({*train, *val})
    return [*train, *(name for name in val if name not in train)]


def split_images(config: Config, splits: Sequence[str]) -> list[Path]:
    """The images of these splits, each once."""
    splits_data = [annotated_split(config, split) for split in splits]
    files = (data.file(index) for data in splits_data for index in range(len(data)))
    return [Path(file) for file in dict.fromkeys(files)]
