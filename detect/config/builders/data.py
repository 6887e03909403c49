"""Build the annotations of both splits, and the random changes to training images, from the data settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from detect.config import Config, DataConfig
from detect.config.builders.load_splits import load_setting, render_shapes, setting_sources
from detect.config.builders.missing_splits import split_origin
from detect.config.builders.resolve import SplitKey, resolve_data
from detect.config.builders.shared_images import NOTHING_SHARED, find_shared_images
from detect.config.builders.split_notes import (
    describe_empty_val,
    note_findings,
    split_notes,
    strict_counts,
    usage_notes,
)
from detect.config.builders.splits import count_unused, describe_setting, describe_splits, split_by_hash
from detect.config.builders.training_split import prepare_training
from detect.config.merge import DEFAULT_SPLIT_NAMES
from detect.config.overrides import refuse_splits_of_shapes
from detect.data.annotations import Annotations
from detect.data.formats.annotation_files import annotation_file
from detect.data.formats.coco_json import id_warning, load_document
from detect.data.formats.report import Report, strict_report
from detect.data.loading.transforms import Augment
from detect.data.sources import remap_classes, require_masks
from detect.data.usage import DataUsage, data_usage
from detect.errors import UserError

SPLIT_KEYS: tuple[SplitKey, ...] = ("train", "val")


@dataclass(frozen=True)
class Splits:
    """Both splits with the same classes.

    num_objects: the objects to learn from, each counted once in however many slices or repetitions it is, without
    crowds; usage: counts of images and objects that were read, kept and dropped; notes: lines for the log on how the
    splits were made.
    """

    train: Annotations
    val: Annotations
    num_objects: int
    usage: DataUsage
    notes: tuple[str, ...]


def training_data(config: Config) -> tuple[Annotations, Annotations]:
    """Return (train, val) of ``read_splits``."""
    splits = read_splits(config, compare_images=False)
    return splits.train, splits.val


def read_splits(config: Config, *, compare_images: bool = True) -> Splits:
    """Return both splits with the same classes: those of the settings, else all that occur in either split.

    Difficult objects are removed from the training split if the settings say so; the validation split keeps them,
    marked. Raises UserError for a training split without images or objects, also where the settings leave none, for a
    validation split without images unless there is no validation, and, where the model predicts masks, for objects
    without a mask.

    compare_images: count the images that are in both splits too, which takes a look at every file.
    """
    resolved = resolve_data(config.data)
    data = render_shapes(resolved)
    report, masks = strict_report(), config.model.predicts_masks
    notes: tuple[str, ...] = ()
    if isinstance(data.val, float | int):
        train, val, notes = split_by_hash(load_setting(data, "train", report, masks), float(data.val))
    else:
        train, val = (load_setting(data, key, report, masks) for key in SPLIT_KEYS)
        classes = _join_classes(train.classes, val.classes, data)
        train, val = remap_classes(train, classes), remap_classes(val, classes)
    if len(train) == 0:
        raise UserError(f"data.train: expected at least one image, found none in {data.root}")
    if len(train.boxes) == 0:
        raise UserError(f"data.train: expected at least one object, found none in {len(train)} images")
    if len(val) == 0 and config.train.validate_every is not None:
        raise UserError(describe_empty_val(data, len(train)))
    unused = {} if resolved.format == "shapes" else count_unused(data, [train, val], report)
    split_anew = config.data.val == DEFAULT_SPLIT_NAMES["val"] and isinstance(data.val, float) and bool(unused)
    compared = compare_images and not isinstance(data.val, float | int)
    shared = find_shared_images(train, val) if compared else NOTHING_SHARED
    usage = data_usage([train, val], report.findings)
    usage = replace(usage, noted={**usage.noted, **strict_counts(len(train) + len(val), shared, unused, split_anew)})
    notes = (
        *split_notes(data, train, val, unused, shared),
        *notes,
        *note_findings(data, [train, val], report.findings),
    )
    notes = notes[1:] if resolved.format == "shapes" else notes
    training = prepare_training(train, config)
    if masks:
        require_masks(val)
    return Splits(
        train=training.annotations,
        val=val,
        num_objects=training.num_objects,
        usage=usage,
        notes=(*notes, *training.notes),
    )


def load_split(config: Config, split: SplitKey) -> Annotations:
    """Return one split with its own classes and its difficult objects; the other need not exist.

    There are no masks.
    """
    return read_split(config, split)[0]


def read_split(
    config: Config, split: SplitKey, overrides: Sequence[str] | None = None, masks: bool = False
) -> tuple[Annotations, tuple[str, ...]]:
    """Return the split of ``load_split``, and the lines on it: where it is from, and what the reader left out or noted.

    overrides: the KEY=VALUE settings by which ``config`` differs from that of a model, for the message on a split that
    the folder does not have; masks: whether to read masks.
    """
    refuse_splits_of_shapes(config, overrides or ())
    data, report = render_shapes(resolve_data(config.data)), strict_report()
    key: SplitKey = "train" if isinstance(data.val, float | int) else split  # of the setting that names what is read
    origin = "" if overrides is None else split_origin(key, overrides)
    parts, line = _load_parts(data, split, report, masks, origin)
    loaded = parts[-1] if split == "val" else parts[0]
    if config.data.format == "shapes":
        return loaded, ()
    return loaded, (line, *note_findings(data, parts, report.findings), *usage_notes(parts, report.findings))


def load_split_for_model(config: Config, split: SplitKey, classes: Sequence[str]) -> Annotations:
    """Return a split with the labels of a model's ``classes``, and masks where it predicts them, for its evaluation.

    Raises UserError for a split without images, and for an object of a class that the model does not have.
    """
    return read_split_for_model(config, split, classes)[0]


def read_split_for_model(
    config: Config, split: SplitKey, classes: Sequence[str], overrides: Sequence[str] | None = None
) -> tuple[Annotations, tuple[str, ...]]:
    """Return the split of ``load_split_for_model``, and the lines on it, as ``read_split`` does.

    Raises UserError as it does.
    """
    loaded, notes = read_split(config, split, overrides, config.model.predicts_masks)
    if len(loaded) == 0:
        raise UserError(f"data.{split}: expected at least one image, found none in {config.data.root}")
    try:
        return remap_classes(loaded, classes), notes
    except UserError as error:
        raise UserError(
            f"{error}, in {_label_files(config, split)}: a class that the model does not have cannot be scored, so "
            "rename it in the labels or remove its objects"
        ) from None


def _load_parts(
    data: DataConfig, split: SplitKey, report: Report, masks: bool, origin: str
) -> tuple[list[Annotations], str]:
    """Return one split, or train and val where a hash makes them, and the line on it, which then has all counts."""
    if isinstance(data.val, float | int):
        train, val, _ = split_by_hash(load_setting(data, "train", report, masks, origin), float(data.val))
        return [train, val], describe_splits(data, train, val, count_unused(data, [train, val], report))
    loaded = load_setting(data, split, report, masks, origin)
    is_val = split == "val"
    return [loaded], describe_splits(data, None if is_val else loaded, loaded if is_val else None, {})


def _label_files(config: Config, split: SplitKey) -> str:
    """Return the annotation file of a split, else its name and its folder."""
    data = resolve_data(config.data)
    key: SplitKey = "train" if isinstance(data.val, float | int) else split
    setting = getattr(data, key)
    suffix = {"coco": ".json", "csv": ".csv"}.get(data.format)
    if suffix is not None and isinstance(setting, str):
        return str(annotation_file(Path(data.root), setting, suffix))
    return f"the labels of data.{key} ({describe_setting(setting)}) in {data.root}"


def annotation_id_warnings(config: Config, split: str) -> list[str]:
    """Return a line for each COCO file of a split whose annotation ids change pycocotools' metrics; none elsewhere."""
    data = resolve_data(config.data)
    if data.format != "coco":
        return []
    setting = data.train if split == "train" or isinstance(data.val, float | int) else data.val
    files = [annotation_file(source.root, source.selection, ".json") for source in setting_sources(data, setting)]
    warnings = [(file, id_warning(load_document(file).get("annotations") or [])) for file in files]
    return [f"{file}: {warning}" for file, warning in warnings if warning is not None]


def default_metric(config: Config) -> Literal["coco", "voc07"]:
    """Return the metric of the data's format: voc07 for VOC, else coco."""
    data = resolve_data(config.data) if config.data.format == "auto" else config.data
    return "voc07" if data.format == "voc" else "coco"


def build_augment(config: Config) -> Augment:
    """Return the random changes to training images."""
    settings = config.data.augment
    return Augment(flip=settings.flip, crop=settings.crop, color_jitter=settings.color_jitter)


def _join_classes(train: Sequence[str], val: Sequence[str], data: DataConfig) -> list[str]:
    """Return the class names of both splits, sorted if the format has no order of its own."""
    if data.classes is not None:
        return list(data.classes)
    if data.format in ("voc", "csv", "labelme", "label-studio", "folders"):
        return sorted({*train, *val})
    return [*train, *(name for name in val if name not in train)]


def read_image_files(config: Config, splits: Sequence[SplitKey]) -> tuple[list[Path], tuple[str, ...]]:
    """Return the image files of these splits, each once, and the lines on the splits."""
    read = [read_split(config, split) for split in splits]
    files = (part.file(index) for part, _ in read for index in range(len(part)))
    notes = dict.fromkeys(note for _, of_part in read for note in of_part)
    return [Path(file) for file in dict.fromkeys(files)], tuple(notes)
