"""YOLO: a ``data.yaml`` of names and splits, and a text file of boxes for each image.

The labels of ``images/a/b.jpg`` are in ``labels/a/b.txt`` (the last folder named images counts); if no folder has that
name they are beside the image. An image without a label file, or with an empty one, has no objects. Without
``data.yaml`` the names are the lines of ``classes.txt`` (as labelImg writes it, beside the images or in ``labels``) or
``obj.names`` (CVAT), and there is one split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.data.annotations import Annotations
from detect.data.formats.records import LabeledImage, LabeledSet, image_ids, to_annotations
from detect.data.formats.split_names import ONLY_SPLIT
from detect.data.formats.yolo_labels import read_labels
from detect.data.images import image_size, is_image
from detect.errors import UserError, did_you_mean, shorten
from detect.system.files import require_file, require_folder, text_lines
from detect.system.yaml_files import read_yaml

_SPLITS = ("train", "val", "test")
_YAML_SUFFIXES = (".yaml", ".yml")
_NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names")  # as labelImg and CVAT write them


@dataclass(frozen=True)
class YoloData:
    """The content of data.yaml, or of a list of names.

    file: that file; base_folder: the folder from which paths start; names: in the order of their class numbers; splits:
    for each split the folders of images and the ``.txt`` lists of images.
    """

    file: Path
    base_folder: Path
    names: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]


def read_yolo(root: Path, split: str, classes: Sequence[str] | None) -> Annotations:
    """Return the images of a split (a key of data.yaml): those of a folder by path, those of a list in its order.

    classes None: the names of data.yaml in their order. Boxes may reach outside the image; those without extent,
    entirely outside, or in pixels are dropped and reported. The box of a polygon is the one around it. The image id is
    the number in the file name if every name is a number, else the index from 1. Raises UserError.
    """
    return to_annotations(yolo_images(root, split), classes)


def yolo_images(root: Path, split: str) -> LabeledSet:
    """Return the images of a split with all their objects, valid or not. Raises UserError."""
    data = read_data_file(root)
    if split not in data.splits:
        known = ", ".join(data.splits) or "none"
        raise UserError(
            f"{data.file}: expected {split}, found nothing{did_you_mean(split, data.splits)}; splits: {known}"
        )
    listed = [image for entry in data.splits[split] for image in _split_images(data, split, entry)]
    images = list(dict.fromkeys(listed))
    labels = [label_file(image) for image in images]
    if images and not any(file.exists() for file in labels):
        raise UserError(f"{labels[0]}: expected the labels of {images[0].name}, found none for {len(images)} images")
    names = [_relative_name(image, data.base_folder) for image in images]
    rows = zip(images, labels, names, image_ids(names), strict=True)
    image_files = (_read_image(image, file, name, image_id, data.names) for image, file, name, image_id in rows)
    return LabeledSet(tuple(image_files), {name: i for i, name in enumerate(data.names, start=1)})


def yolo_splits(root: Path) -> list[str]:
    """Return the names of the splits."""
    return list(read_data_file(root).splits)


def label_file(image: Path) -> Path:
    """Return the path of an image's label file, which need not exist."""
    parts = list(image.parts)
    for i in range(len(parts) - 2, -1, -1):
        if parts[i] == "images":
            parts[i] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def find_data_file(root: Path) -> Path | None:
    """Return ``data.yaml``, else the only YAML file in the folder, else a list of names.

    None if there is none of them.
    """
    yamls = [*sorted(root.glob("*.yaml")), *sorted(root.glob("*.yml"))]
    candidates = [file for file in yamls if file.stem == "data"] or (yamls if len(yamls) == 1 else [])
    return next((file for file in (*candidates, *(root / name for name in _NAME_FILES)) if file.is_file()), None)


def read_data_file(root: Path) -> YoloData:
    """Return the content of a folder's data.yaml, or of its list of names. Raises UserError."""
    file = find_data_file(require_folder(root, "a folder with YOLO's data.yaml"))
    if file is None:
        raise UserError(f"{root / 'data.yaml'}: expected YOLO's names and splits, found nothing")
    if file.suffix not in _YAML_SUFFIXES:
        lines = [line.strip() for line in text_lines(file)]
        images = "images" if (root / "images").is_dir() else "."
        return YoloData(file, root, _parse_names(file, [line for line in lines if line]), {ONLY_SPLIT: (images,)})
    content = read_yaml(file, "YOLO's names and splits")
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected names and the splits train and val, found {type(content).__name__}")
    if "names" not in content:
        raise UserError(f"{file}: expected names, found nothing{did_you_mean('names', map(str, content))}")
    names = _parse_names(file, content["names"])
    if content.get("nc", len(names)) != len(names):
        raise UserError(f"{file}: nc: expected {len(names)}, the number of names, found {shorten(content['nc'])}")
    return YoloData(file, _find_base_folder(root, content.get("path")), names, _parse_splits(file, content))


def _parse_names(file: Path, listed: Any) -> tuple[str, ...]:
    """Return the class names of a list, or of a mapping of 0, 1, ... to names."""
    if isinstance(listed, dict):
        if sorted(listed, key=str) != sorted(range(len(listed)), key=str):
            raise UserError(
                f"{file}: names: expected the numbers 0 to {len(listed) - 1}, found {shorten(list(listed))}"
            )
        listed = [listed[i] for i in range(len(listed))]
    if not isinstance(listed, list) or not listed:
        raise UserError(f"{file}: names: expected class names, found {shorten(listed)}")
    wrong = next((name for name in listed if isinstance(name, bool) or not isinstance(name, str | int | float)), None)
    if wrong is not None or None in listed:  # YAML does not read no, off and null as text
        raise UserError(f"{file}: names: expected text, found {shorten(wrong)}: put names such as no in quotes")
    names = tuple(map(str, listed))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f'{file}: names: expected each name once, found "{repeated[0]}" twice')
    return names


def _find_base_folder(root: Path, path: Any) -> Path:
    """Return ``path`` if it exists; otherwise the data set was moved, and the folder of data.yaml is returned."""
    return root / str(path) if path and (root / str(path)).is_dir() else root


def _parse_splits(file: Path, content: dict[Any, Any]) -> dict[str, tuple[str, ...]]:
    """Return train, val and test if they are set, and further keys that name a ``.txt`` list."""
    splits = {}
    for key, value in content.items():
        is_list = isinstance(value, str) and value.endswith(".txt") and key != "download"
        if value is None or not (key in _SPLITS or is_list):
            continue
        entries = value if isinstance(value, list) else [value]
        if not all(isinstance(entry, str) for entry in entries):
            raise UserError(
                f"{file}: {key}: expected a folder, a .txt list, or several of them, found {shorten(value)}"
            )
        splits[str(key)] = tuple(entries)
    return splits


def _split_images(data: YoloData, split: str, entry: str) -> list[Path]:
    """Return the images of one entry of a split. Raises UserError if a folder has none or a file is missing."""
    path = resolve_entry(data, split, entry)
    images = list_images(path, data.base_folder)
    if path.is_dir() and not images:
        raise UserError(f"{data.file}: {split}: expected images in {path}, found none")
    return [require_file(image, f"the image of {path}, {location}") for location, image in images]


def resolve_entry(data: YoloData, split: str, entry: str) -> Path:
    """Return the folder or list that an entry of a split names. Raises UserError if there is none.

    Roboflow writes ``../train/images`` for a folder that is in ``train/images``.
    """
    paths = [
        base / name for name in (entry, entry.removeprefix("../")) for base in (data.base_folder, data.file.parent)
    ]
    existing = next((path for path in paths if path.exists()), None)
    if existing is None:
        raise UserError(f"{data.file}: {split}: expected a folder of images or a list, found nothing at {paths[0]}")
    return existing


def list_images(path: Path, base_folder: Path) -> list[tuple[str, Path]]:
    """Return (location, absolute path) of every image of a folder or list, including listed files that do not exist.

    The location is the line in the list, and empty for a folder. A list's paths start from its own folder, else from
    ``base_folder``.
    """
    if path.is_dir():
        images = sorted(file for file in path.rglob("*") if is_image(file))
        return [("", image.absolute()) for image in images]
    names = [line.strip() for line in text_lines(path)]
    return [
        (f"line {line_number}", _resolve_listed(path.parent, base_folder, name))
        for line_number, name in enumerate(names, start=1)
        if name
    ]


def _resolve_listed(folder: Path, base_folder: Path, name: str) -> Path:
    """Return the absolute path of a listed image, which may be relative to the list or to ``base_folder``."""
    return next((path for path in (folder / name, base_folder / name) if path.is_file()), folder / name).absolute()


def _relative_name(image: Path, base_folder: Path) -> str:
    """Return the path below the last folder named images, else below the data set's folder."""
    indices = [i for i, part in enumerate(image.parts[:-1]) if part == "images"]
    if indices:
        return Path(*image.parts[indices[-1] + 1 :]).as_posix()
    root = base_folder.absolute()
    return image.relative_to(root).as_posix() if image.is_relative_to(root) else image.name


def _read_image(image: Path, labels: Path, name: str, image_id: int, names: Sequence[str]) -> LabeledImage:
    """Return an image with the objects of its label file."""
    size = image_size(image)
    return LabeledImage(image, name, labels, size, image_id, read_labels(labels, names, size))
