"""Reads a labelled folder as each command does, into one form that can be compared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from detect.config import Config
from detect.config.builders.data import load_split, read_splits
from detect.config.builders.resolve import resolve
from detect.config.files import parse_config
from detect.data.annotations import Annotations
from detect.data.convert.convertible_dataset import read_convertible_dataset
from detect.data.formats.detect_format import detect_format
from detect.data.inspect.inspector import scan_folder
from detect.data.inspect.valid_annotations import valid_annotations

Boxes = dict[str, list[tuple[object, ...]]]
"""Path of an image below the root -> (class, x1, y1, x2, y2) of each object, sorted; pixels with two decimals."""


def read_as_inspect(root: Path) -> Boxes:
    return _sorted(
        {
            _name(image.file, root): [
                (instance.name, *instance.box) for instance in image.objects if instance.invalid_reason is None
            ]
            for image in scan_folder(root, None).distinct_images
        }
    )


def read_as_stats(root: Path) -> Boxes:
    return _from_annotations(valid_annotations(scan_folder(root, None)), root)


def read_as_convert(root: Path) -> Boxes:
    dataset = read_convertible_dataset(root, detect_format(root), None)
    return _sorted(
        {
            _name(file, root): [(instance.name, *instance.box) for instance in image.objects]
            for file, image in dataset.images().items()
        }
    )


def read_as_train(root: Path) -> Boxes:
    splits = read_splits(_config(root))
    return _from_annotations(splits.train, root) | _from_annotations(splits.val, root)


def read_as_eval(root: Path) -> Boxes:
    config = _config(root)
    train = _from_annotations(load_split(config, "train"), root)
    return train | _from_annotations(load_split(config, "val"), root)


READERS: dict[str, Callable[[Path], Boxes]] = {
    "inspect": read_as_inspect,
    "stats": read_as_stats,
    "convert": read_as_convert,
    "train": read_as_train,
    "eval": read_as_eval,
}
"""One for each command; train and eval read only the splits that are for training and validation."""


def _config(root: Path) -> Config:
    """The settings of ``data.format=auto``; where the validation split is a part of the only split, all is training."""
    config = resolve(
        parse_config(
            {"data": {"format": "auto", "root": str(root)}, "train": {"steps": 1, "validate_every": None}}, "test"
        )
    )
    val = 0.0 if isinstance(config.data.val, float) else config.data.val
    return config.model_copy(update={"data": config.data.model_copy(update={"val": val})})


def _from_annotations(annotations: Annotations, root: Path) -> Boxes:
    images = [annotations[index] for index in range(len(annotations))]
    return _sorted(
        {
            _name(Path(image.file), root): [
                (annotations.classes[label - 1], *box)
                for label, box in zip(image.labels.tolist(), image.boxes.tolist(), strict=True)
            ]
            for image in images
        }
    )


def _name(file: Path, root: Path) -> str:
    return file.relative_to(root.absolute()).as_posix()


def _sorted(boxes: dict[str, list[tuple[object, ...]]]) -> Boxes:
    rounded = {
        name: sorted((str(label), *(round(float(str(x)), 2) + 0.0 for x in box)) for label, *box in objects)
        for name, objects in boxes.items()
    }
    return dict(sorted(rounded.items()))
