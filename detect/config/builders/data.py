"""Build the annotations of both splits, and the random changes to training images, from the data settings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from detect.config import Config, DataConfig, SourceConfig
from detect.config.builders.resolve import DEFAULT_SPLITS, resolve_data
from detect.config.builders.shared_images import NOTHING_SHARED, find_shared_images
from detect.config.builders.split_notes import describe_empty_val, split_notes, strict_counts
from detect.config.builders.splits import count_unused, describe_splits, image_folder, split_by_hash
from detect.config.builders.training_split import prepare_training
from detect.data.annotations import Annotations
from detect.data.findings import DatasetFinding
from detect.data.formats.annotation_files import annotation_file
from detect.data.formats.coco_json import id_warning, load_document
from detect.data.formats.report import Report, strict_report, summarize
from detect.data.loading.transforms import Augment
from detect.data.shapes import dataset as shapes
from detect.data.sources import Source, load_sources, remap_classes, require_masks
from detect.data.usage import DataUsage, data_usage, skipped_images
from detect.errors import UserError
from detect.system.files import require_folder

SplitSetting = str | tuple[SourceConfig, ...]


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
    data = _render_shapes(resolved)
    report, masks = strict_report(), config.model.predicts_masks
    notes: tuple[str, ...] = ()
    if isinstance(data.val, float | int):
        train, val, notes = split_by_hash(_load_sources(data, data.train, data.classes, report, masks), float(data.val))
    else:
        train, val = (_load_sources(data, setting, data.classes, report, masks) for setting in (data.train, data.val))
        classes = _join_classes(train.classes, val.classes, data)
        train, val = remap_classes(train, classes), remap_classes(val, classes)
    if len(train) == 0:
        raise UserError(f"data.train: expected at least one image, found none in {data.root}")
    if len(train.boxes) == 0:
        raise UserError(f"data.train: expected at least one object, found none in {len(train)} images")
    if len(val) == 0 and config.train.validate_every is not None:
        raise UserError(describe_empty_val(data, len(train)))
    unused = {} if resolved.format == "shapes" else count_unused(data, [train, val], report)
    split_anew = config.data.val == DEFAULT_SPLITS.val and isinstance(data.val, float) and bool(unused)
    compared = compare_images and not isinstance(data.val, float | int)
    shared = find_shared_images(train, val) if compared else NOTHING_SHARED
    usage = data_usage([train, val], report.findings)
    usage = replace(usage, noted={**usage.noted, **strict_counts(len(train) + len(val), shared, unused, split_anew)})
    notes = (
        *split_notes(data, train, val, unused, shared),
        *notes,
        *_note_findings(data, [train, val], report.findings),
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


def load_split(config: Config, split: str) -> Annotations:
    """Return one split (train or val) with its own classes and its difficult objects; the other need not exist.

    There are no masks.
    """
    return _load_split(_render_shapes(resolve_data(config.data)), split, strict_report())[0]


def load_split_for_model(config: Config, split: str, classes: Sequence[str]) -> Annotations:
    """Return a split with the labels of a model's ``classes``, and masks where it predicts them, for its evaluation.

    Raises UserError for a split without images, and for an object of a class that the model does not have.
    """
    return read_split_for_model(config, split, classes)[0]


def read_split_for_model(config: Config, split: str, classes: Sequence[str]) -> tuple[Annotations, tuple[str, ...]]:
    """Return the split of ``load_split_for_model``, and the lines on it: where it is from, and what the reader noted.

    Raises UserError as it does.
    """
    data, report = _render_shapes(resolve_data(config.data)), strict_report()
    loaded, line = _load_split(data, split, report, config.model.predicts_masks)
    if len(loaded) == 0:
        raise UserError(f"data.{split}: expected at least one image, found none in {config.data.root}")
    notes = () if config.data.format == "shapes" else (line, *_note_findings(data, [loaded], report.findings))
    return remap_classes(loaded, classes), notes


def _load_split(data: DataConfig, split: str, report: Report, masks: bool = False) -> tuple[Annotations, str]:
    """Return one split, and the line on it: with all counts where a hash makes it, else with its own."""
    if isinstance(data.val, float | int):
        train, val, _ = split_by_hash(_load_sources(data, data.train, data.classes, report, masks), float(data.val))
        line = describe_splits(data, train, val, count_unused(data, [train, val], report))
        return (val if split == "val" else train), line
    loaded = _load_sources(data, data.train if split == "train" else data.val, data.classes, report, masks)
    is_val = split == "val"
    return loaded, describe_splits(data, None if is_val else loaded, loaded if is_val else None, {})


def annotation_id_warnings(config: Config, split: str) -> list[str]:
    """Return a line for each COCO file of a split whose annotation ids change pycocotools' metrics; none elsewhere."""
    data = resolve_data(config.data)
    if data.format != "coco":
        return []
    setting = data.train if split == "train" or isinstance(data.val, float | int) else data.val
    files = [annotation_file(source.root, source.selection, ".json") for source in _sources(data, setting)]
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


def _render_shapes(data: DataConfig) -> DataConfig:
    """Return settings that read the built-in data set as COCO data, rendered if it does not exist yet."""
    if data.format != "shapes":
        return data
    folder = shapes.prepare_shapes(Path(data.root), data.seed, data.train_images, data.val_images, data.occlusion)
    sources = {
        split: (SourceConfig(root=str(folder), annotations=f"{split}.json", images=split),)
        for split in ("train", "val")
    }
    return data.model_copy(update={"format": "coco", "root": str(folder), **sources})


def _note_findings(
    data: DataConfig, parts: Sequence[Annotations], findings: Sequence[DatasetFinding]
) -> tuple[str, ...]:
    """Return a line for each kind of what the readers noted."""
    files = {part.file(index) for part in parts for index in range(len(part))} if findings else set()
    skipped = skipped_images(findings, files)
    lines = summarize([finding for finding in findings if finding not in skipped])
    if skipped:
        labels = {"labelme": "JSON file", "label-studio": "annotation", "folders": "folder of a class"}
        missing = labels.get(data.format, "XML file")
        cure = "move each into one" if data.format == "folders" else "detect data inspect"
        lines.append(f"{len(skipped)} images of {data.root} have no {missing} and are not used: {cure}")
    return tuple(lines)


def _load_sources(
    data: DataConfig, setting: SplitSetting, classes: Sequence[str] | None, report: Report, masks: bool
) -> Annotations:
    """Return the annotations of one split, read by the reader of its format; report, masks: as in ``load_sources``."""
    if data.format == "shapes" or data.format == "auto":
        raise ValueError(f"{data.format}: expected a format with a reader of its own")
    return load_sources(data.format, _sources(data, setting), classes, report, data.encoding, masks)


def _sources(data: DataConfig, setting: SplitSetting) -> list[Source]:
    """Return the sources that a split is joined from."""
    if isinstance(setting, str):
        root = require_folder(Path(data.root), "the folder data.root")
        return [Source(root, setting, image_folder(data))]
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
    if data.format in ("voc", "csv", "labelme", "label-studio", "folders"):
        return sorted({*train, *val})
    return [*train, *(name for name in val if name not in train)]


def list_images(config: Config, splits: Sequence[str]) -> list[Path]:
    """Return the image files of these splits, each once."""
    loaded = [load_split(config, split) for split in splits]
    files = (annotations.file(index) for annotations in loaded for index in range(len(annotations)))
    return [Path(file) for file in dict.fromkeys(files)]
