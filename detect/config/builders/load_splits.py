"""Loads the images and labels of a split, which the settings name or join from sources."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detect.config import DataConfig, SourceConfig
from detect.config.builders.missing_splits import describe_missing_split
from detect.config.builders.resolve import SplitKey
from detect.config.builders.splits import image_folder
from detect.data.annotations import Annotations
from detect.data.formats.report import Report
from detect.data.shapes import dataset as shapes
from detect.data.sources import Source, load_sources
from detect.errors import UserError
from detect.system.files import require_folder

SplitSetting = str | tuple[SourceConfig, ...]


def render_shapes(data: DataConfig) -> DataConfig:
    """Return settings that read the built-in data set as COCO data, rendered if it does not exist yet."""
    if data.format != "shapes":
        return data
    folder = shapes.prepare_shapes(Path(data.root), data.seed, data.train_images, data.val_images, data.occlusion)
    sources = {
        split: (SourceConfig(root=str(folder), annotations=f"{split}.json", images=split),)
        for split in ("train", "val")
    }
    return data.model_copy(update={"format": "coco", "root": str(folder), **sources})


def load_setting(data: DataConfig, key: SplitKey, report: Report, masks: bool, origin: str = "") -> Annotations:
    """Return the annotations that a setting names. Raises UserError, which names it where the folder has no such split.

    origin: words on where the name is from.
    """
    try:
        return _load_sources(data, getattr(data, key), data.classes, report, masks)
    except UserError as error:
        message = describe_missing_split(data, key, origin)
        if message is None:
            raise
        raise UserError(message) from error


def _load_sources(
    data: DataConfig, setting: SplitSetting, classes: Sequence[str] | None, report: Report, masks: bool
) -> Annotations:
    """Return the annotations of one split, read by the reader of its format; report, masks: as in ``load_sources``."""
    if data.format == "shapes" or data.format == "auto":
        raise ValueError(f"{data.format}: expected a format with a reader of its own")
    return load_sources(data.format, setting_sources(data, setting), classes, report, data.encoding, masks)


def setting_sources(data: DataConfig, setting: SplitSetting) -> list[Source]:
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
