"""Build the annotations of both splits, and the random changes to training images, from the data settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from rich.console import Console

from detect.config import Config, DataConfig, SourceConfig
from detect.config.builders.resolve import resolve_data
from detect.data.annotations import Annotations
from detect.data.findings import DatasetFinding
from detect.data.formats.report import Report, strict_report, summarize
from detect.data.loading.transforms import Augment
from detect.data.near_duplicates import group_duplicates
from detect.data.near_duplicates_cache import hash_cache_file, image_hashes
from detect.data.repeat_factor import repeat_factor_sampling
from detect.data.shapes import dataset as shapes
from detect.data.sources import (
    MAX_GROUP,
    Source,
    drop_large_groups,
    hash_split,
    load_sources,
    remap_classes,
    without_difficult,
)
from detect.data.usage import DataUsage, data_usage, skipped_images
from detect.errors import UserError
from detect.system.files import require_folder
from detect.system.progress import show_progress

SplitSetting = str | tuple[SourceConfig, ...]


@dataclass(frozen=True)
class Splits:
    """Both splits with the same classes.

    usage: counts of images and objects that were read, kept and dropped; notes: lines for the log on how the splits
    were made.
    """

    train: Annotations
    val: Annotations
    usage: DataUsage
    notes: tuple[str, ...]


def training_data(config: Config) -> tuple[Annotations, Annotations]:
    """Return (train, val) of ``read_splits``."""
    splits = read_splits(config)
    return splits.train, splits.val


def read_splits(config: Config) -> Splits:
    """Return both splits with the same classes: those of the settings, else all that occur in either split.

    Difficult objects are removed from the training split if the settings say so; the validation split keeps them,
    marked. Raises UserError for a training split without images or objects.
    """
    data = _render_shapes(resolve_data(config.data))
    report = strict_report()
    notes: tuple[str, ...] = ()
    if isinstance(data.val, float | int):
        train, val, notes = _split_by_hash(_load_sources(data, data.train, data.classes, report), float(data.val))
    else:
        train, val = (_load_sources(data, setting, data.classes, report) for setting in (data.train, data.val))
        classes = _join_classes(train.classes, val.classes, data)
        train, val = remap_classes(train, classes), remap_classes(val, classes)
    if len(train) == 0:
        raise UserError(f"data.train: expected at least one image, found none in {data.root}")
    if len(train.boxes) == 0:
        raise UserError(f"data.train: expected at least one object, found none in {len(train)} images")
    usage = data_usage([train, val], report.findings)
    notes = (*notes, *_note_findings(data, [train, val], report.findings))
    train = train if data.train_on_difficult else without_difficult(train)
    if data.repeat_factor_threshold:
        train = repeat_factor_sampling(train, data.repeat_factor_threshold, config.seed)
    return Splits(train, val, usage, notes)


def load_split(config: Config, split: str) -> Annotations:
    """Return one split (train or val) with its own classes and its difficult objects; the other need not exist."""
    data = _render_shapes(resolve_data(config.data))
    if isinstance(data.val, float | int):
        train, val, _ = _split_by_hash(_load_sources(data, data.train, data.classes), float(data.val))
        return val if split == "val" else train
    return _load_sources(data, data.train if split == "train" else data.val, data.classes)


def load_split_for_model(config: Config, split: str, classes: Sequence[str]) -> Annotations:
    """Return a split with the labels of a model's ``classes``, for its evaluation.

    Raises UserError for an object of a class that the model does not have.
    """
    return remap_classes(load_split(config, split), classes)


def default_metric(config: Config) -> Literal["coco", "voc07"]:
    """Return the metric of the data's format: voc07 for VOC, else coco."""
    data = resolve_data(config.data) if config.data.format == "auto" else config.data
    return "voc07" if data.format == "voc" else "coco"


def build_augment(config: Config) -> Augment:
    """Return the random changes to training images."""
    settings = config.data.augment
    return Augment(flip=settings.flip, crop=settings.crop, color_jitter=settings.color_jitter)


def _render_shapes(data: DataConfig) -> DataConfig:
    """Return settings that read the built-in data set as COCO data, rendered if it does not exist yet."""
    if data.format != "shapes":
        return data
    folder = shapes.prepare_shapes(Path(data.root), data.seed, data.train_images, data.val_images)
    sources = {
        split: (SourceConfig(root=str(folder), annotations=f"{split}.json", images=split),)
        for split in ("train", "val")
    }
    return data.model_copy(update={"format": "coco", "root": str(folder), **sources})


def _split_by_hash(annotations: Annotations, fraction: float) -> tuple[Annotations, Annotations, tuple[str, ...]]:
    """Return (train, val, notes); near-duplicate images are kept on the same side of the split.

    An image that has a near-duplicate in the training split would not test generalization. A note tells of large groups
    of near-duplicates.
    """
    if not 0 < fraction < 1:
        return *hash_split(annotations, fraction), ()
    images = [Path(annotations.file(index)) for index in range(len(annotations))]
    console = Console(stderr=True)
    with show_progress(console, "hashing images", len(images), "images") as progress:
        hashes = image_hashes(images, hash_cache_file(images), progress.advance)
    readable = [(index, image_hash) for index, image_hash in enumerate(hashes) if image_hash is not None]
    with show_progress(console, "comparing images", len(readable), "images") as progress:
        groups = group_duplicates([image_hash for _, image_hash in readable], progress.advance)
    duplicates = [[readable[member][0] for member in group] for group in groups]
    kept_together = drop_large_groups(duplicates, len(images))
    return *hash_split(annotations, fraction, kept_together), _note_large_groups(duplicates, kept_together)


def _note_large_groups(groups: Sequence[Sequence[int]], kept_together: Sequence[Sequence[int]]) -> tuple[str, ...]:
    """Return a note on large groups of near-duplicates on one side, and one on groups that were too large for that."""
    large = [group for group in groups if len(group) > MAX_GROUP]
    treatments = (
        ("each on one side of the split", [group for group in large if group in kept_together]),
        ("too large for one side, so split by name", [group for group in large if group not in kept_together]),
    )
    notes = []
    for treatment, treated in treatments:
        if treated:
            sizes = ", ".join(str(len(group)) for group in treated)
            notes.append(f"near-duplicates: {len(treated)} groups of over {MAX_GROUP} images ({sizes}), {treatment}")
    return tuple(notes)


def _note_findings(
    data: DataConfig, parts: Sequence[Annotations], findings: Sequence[DatasetFinding]
) -> tuple[str, ...]:
    """Return a line for each kind of what the readers noted."""
    files = {part.file(index) for part in parts for index in range(len(part))} if findings else set()
    skipped = skipped_images(findings, files)
    lines = summarize([finding for finding in findings if finding not in skipped])
    if skipped:
        kind = "JSON" if data.format == "labelme" else "XML"
        lines.append(f"{len(skipped)} images of {data.root} have no {kind} file and are not used: detect data inspect")
    return tuple(lines)


def _load_sources(
    data: DataConfig, setting: SplitSetting, classes: Sequence[str] | None, report: Report | None = None
) -> Annotations:
    """Return the annotations of one split, read by the reader of its format; report: as in ``load_sources``."""
    if data.format == "shapes" or data.format == "auto":
        raise ValueError(f"{data.format}: expected a format with a reader of its own")
    return load_sources(data.format, _sources(data, setting), classes, report, data.encoding)


def _sources(data: DataConfig, setting: SplitSetting) -> list[Source]:
    """Return the sources that a split is joined from."""
    if isinstance(setting, str):
        root = require_folder(Path(data.root), "the folder data.root")
        return [Source(root, setting, None if data.images is None else Path(data.images).absolute())]
    return [
        Source(
            require_folder(Path(source.root), "a source's root"),
            source.list or source.annotations or "",
            None if source.images is None else Path(source.images),
        )
        for source in setting
    ]


def _join_classes(train: Sequence[str], val: Sequence[str], data: DataConfig) -> list[str]:
    """Return the class names of both splits, sorted if the format has no order of its own."""
    if data.classes is not None:
        return list(data.classes)
    if data.format in ("voc", "csv", "labelme", "folders"):
        return sorted({*train, *val})
    return [*train, *(name for name in val if name not in train)]


def list_images(config: Config, splits: Sequence[str]) -> list[Path]:
    """Return the image files of these splits, each once."""
    loaded = [load_split(config, split) for split in splits]
    files = (annotations.file(index) for annotations in loaded for index in range(len(annotations)))
    return [Path(file) for file in dict.fromkeys(files)]
