"""YOLO: a ``data.yaml`` of names and splits, and a text file of boxes for each image.

The labels of ``images/a/b.jpg`` are in ``labels/a/b.txt`` (the last folder named images counts); where no folder has
that name they are beside the image. An image without label file has no objects, and so has one with an empty file.
Without ``data.yaml`` the names are the lines of ``classes.txt`` (as labelImg writes it, beside the images or in
``labels``) or ``obj.names`` (CVAT), and there is one split.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.data.annotations import Annotations
from detect.data.formats.records import LabelledImage, LabelledSet, annotations_of, image_ids
from detect.data.formats.yolo_labels import read_labels
from detect.data.images import image_size, is_image
from detect.errors import UserError, nearest, told
from detect.system.files import existing_file, existing_folder, text_lines
from detect.system.yaml_files import read_yaml

WITHOUT_SPLITS = "train"  # the name of the one split of a folder without data.yaml
_USUAL = ("train", "val", "test")
_YAML = (".yaml", ".yml")
_NAMES = ("classes.txt", "labels/classes.txt", "obj.names")  # as labelImg and CVAT write them


@dataclass(frozen=True)
class YoloData:
    """file: data.yaml or a list of names; base: the folder that paths start from; names in the order of their numbers;
    splits: name to folders of images and ``.txt`` lists of them."""

    file: Path
    base: Path
    names: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]


def read_yolo(root: Path, split: str, classes: Sequence[str] | None) -> Annotations:
    """The images of a split (a key of data.yaml): those of a folder by path, those of a list in its order.

    classes None: the names of data.yaml in their order. Boxes may reach outside the picture; those without extent,
    entirely outside, or in pixels are dropped and reported. The box of a polygon is the one around it. The image id is
    the number in the file's name where every name is a number, else the 1-based place. Raises UserError.
    """
    return annotations_of(yolo_images(root, split), classes)


def yolo_images(root: Path, split: str) -> LabelledSet:
    """The images of a split as their files give them. Raises UserError."""
    data = read_data_file(root)
    if split not in data.splits:
        known = ", ".join(data.splits) or "none"
        raise UserError(f"{data.file}: expected {split}, found nothing{nearest(split, data.splits)}; splits: {known}")
    found = [image for entry in data.splits[split] for image in _images_of(data, split, entry)]
    images = list(dict.fromkeys(found))
    labels = [label_file(image) for image in images]
    if images and not any(file.exists() for file in labels):
        raise UserError(f"{labels[0]}: expected the labels of {images[0].name}, found none for {len(images)} images")
    names = [_name(image, data.base) for image in images]
    numbered = zip(images, labels, names, image_ids(names), strict=True)
    image_files = (_read_image(image, file, name, number, data.names) for image, file, name, number in numbered)
    return LabelledSet(tuple(image_files), {name: place for place, name in enumerate(data.names, start=1)})


def yolo_lists(root: Path) -> list[str]:
    """The names of the splits."""
    return list(read_data_file(root).splits)


def label_file(image: Path) -> Path:
    """Where the labels of an image are."""
    parts = list(image.parts)
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            parts[place] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def find_data_file(root: Path) -> Path | None:
    """``data.yaml``, else the only YAML file there, else a list of names; None where there is none of them."""
    yamls = [*sorted(root.glob("*.yaml")), *sorted(root.glob("*.yml"))]
    named = [file for file in yamls if file.stem == "data"] or (yamls if len(yamls) == 1 else [])
    return next((file for file in (*named, *(root / name for name in _NAMES)) if file.is_file()), None)


def read_data_file(root: Path) -> YoloData:
    """What a folder's data.yaml, or its list of names, says. Raises UserError."""
    file = find_data_file(existing_folder(root, "a folder with YOLO's data.yaml"))
    if file is None:
        raise UserError(f"{root / 'data.yaml'}: expected YOLO's names and splits, found nothing")
    if file.suffix not in _YAML:
        lines = [line.strip() for line in text_lines(file)]
        images = "images" if (root / "images").is_dir() else "."
        return YoloData(file, root, _names(file, [line for line in lines if line]), {WITHOUT_SPLITS: (images,)})
    content = read_yaml(file, "YOLO's names and splits")
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected names and the splits train and val, found {type(content).__name__}")
    if "names" not in content:
        raise UserError(f"{file}: expected names, found nothing{nearest('names', map(str, content))}")
    names = _names(file, content["names"])
    if content.get("nc", len(names)) != len(names):
        raise UserError(f"{file}: nc: expected {len(names)}, the number of names, found {told(content['nc'])}")
    return YoloData(file, _base(root, content.get("path")), names, _splits(file, content))


def _names(file: Path, found: Any) -> tuple[str, ...]:
    """A list, or a mapping of 0, 1, ... to names."""
    if isinstance(found, dict):
        if sorted(found, key=str) != sorted(range(len(found)), key=str):
            raise UserError(f"{file}: names: expected the numbers 0 to {len(found) - 1}, found {told(list(found))}")
        found = [found[number] for number in range(len(found))]
    if not isinstance(found, list) or not found:
        raise UserError(f"{file}: names: expected class names, found {told(found)}")
    strange = next((name for name in found if isinstance(name, bool) or not isinstance(name, str | int | float)), None)
    if strange is not None or None in found:  # YAML reads no, off and null as something else than a name
        raise UserError(f"{file}: names: expected text, found {told(strange)}: put names such as no in quotes")
    names = tuple(map(str, found))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UserError(f'{file}: names: expected each name once, found "{repeated[0]}" twice')
    return names


def _base(root: Path, path: Any) -> Path:
    """``path`` where it is there; a data set that was moved has it elsewhere, and then it is the file's folder."""
    return root / str(path) if path and (root / str(path)).is_dir() else root


def _splits(file: Path, content: dict[Any, Any]) -> dict[str, tuple[str, ...]]:
    """train, val and test where they are set, and further keys that name a ``.txt`` list."""
    splits = {}
    for key, value in content.items():
        further = isinstance(value, str) and value.endswith(".txt") and key != "download"
        if value is None or not (key in _USUAL or further):
            continue
        entries = value if isinstance(value, list) else [value]
        if not all(isinstance(entry, str) for entry in entries):
            raise UserError(f"{file}: {key}: expected a folder, a .txt list, or several of them, found {told(value)}")
        splits[str(key)] = tuple(entries)
    return splits


def _images_of(data: YoloData, split: str, entry: str) -> list[Path]:
    place = entry_place(data, split, entry)
    found = images_at(place, data.base)
    if place.is_dir() and not found:
        raise UserError(f"{data.file}: {split}: expected images in {place}, found none")
    return [existing_file(image, f"the image of {place}, {where}") for where, image in found]


def entry_place(data: YoloData, split: str, entry: str) -> Path:
    """The folder or list that an entry of a split means. Raises UserError where there is none.

    Roboflow writes ``../train/images`` for what is in ``train/images``.
    """
    places = [base / name for name in (entry, entry.removeprefix("../")) for base in (data.base, data.file.parent)]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise UserError(f"{data.file}: {split}: expected a folder of images or a list, found nothing at {places[0]}")
    return found


def images_at(place: Path, base: Path) -> list[tuple[str, Path]]:
    """(where it is named, absolute path) of every image of a folder, and of a list those that are not there too.

    A list's paths start from its own folder, else from ``base``.
    """
    if place.is_dir():
        images = sorted(file for file in place.rglob("*") if is_image(file))
        return [("", image.absolute()) for image in images]
    names = [line.strip() for line in text_lines(place)]
    return [(f"line {at}", _listed(place.parent, base, name)) for at, name in enumerate(names, start=1) if name]


def _listed(folder: Path, base: Path, name: str) -> Path:
    return next((path for path in (folder / name, base / name) if path.is_file()), folder / name).absolute()


def _name(image: Path, base: Path) -> str:
    """Below the last folder named images, else below the data set's folder."""
    folders = [place for place, part in enumerate(image.parts[:-1]) if part == "images"]
    if folders:
        return Path(*image.parts[folders[-1] + 1 :]).as_posix()
    root = base.absolute()
    return image.relative_to(root).as_posix() if image.is_relative_to(root) else image.name


def _read_image(image: Path, labels: Path, name: str, number: int, names: Sequence[str]) -> LabelledImage:
    size = image_size(image)
    return LabelledImage(image, name, labels, size, number, read_labels(labels, names, size))
