"""YOLO's description of a data set: ``data.yaml``, darknet's and CVAT's ``obj.data``, or a list of names alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detect.data.formats.image_index import has_file, listed_path
from detect.data.formats.label_text import label_lines, read_label_text
from detect.data.formats.split_names import ONLY_SPLIT, is_role_name, split_role
from detect.data.formats.yolo_names import name_lines, parse_names, require_spelled_names
from detect.data.images import is_image
from detect.errors import UserError, did_you_mean, shorten
from detect.system.files import require_folder
from detect.system.yaml_files import parse_yaml

_SPLITS = ("train", "val", "test")
_DARKNET_SPLITS = ("train", "valid", "val", "test")
_YAML_SUFFIXES = (".yaml", ".yml")
_DARKNET_FILE = "obj.data"
_NAME_FILES = ("classes.txt", "labels/classes.txt", "obj.names")  # as labelImg and CVAT write them
_NAMES_KEY = re.compile(r"^names\s*:", re.MULTILINE)
_HEAD = 1 << 16  # characters of a YAML file in which its names begin


@dataclass(frozen=True)
class YoloData:
    """The content of data.yaml, obj.data, or a list of names.

    file: that file; base_folder: the folder from which paths start; names: in the order of their class numbers; splits:
    for each split the folders of images and the ``.txt`` lists of images; keypoint_fields: numbers of an object that
    follow its box, 0 where ``kpt_shape`` says nothing of keypoints; encoding: of texts without a byte order mark, None
    for UTF-8; has_splits: False if the one split is all images, because nothing says more.
    """

    file: Path
    base_folder: Path
    names: tuple[str, ...]
    splits: dict[str, tuple[str, ...]]
    keypoint_fields: int = 0
    encoding: str | None = None
    has_splits: bool = True

    @property
    def is_yaml(self) -> bool:
        """Return True for data.yaml, which usually names splits; lists of names do not."""
        return self.file.suffix in _YAML_SUFFIXES


def find_data_file(root: Path) -> Path | None:
    """Return ``data.yaml``, else the only YAML file with names, else obj.data, else a list of names.

    None if there is none of them. A website's ``_config.yml`` has no names.
    """
    yamls = [*sorted(root.glob("*.yaml")), *sorted(root.glob("*.yml"))]
    with_names = [file for file in yamls if file.stem == "data" or _has_names(file)]
    candidates = [file for file in yamls if file.stem == "data"] or (with_names if len(with_names) == 1 else [])
    darknet = [root / _DARKNET_FILE] if _read_darknet(root, "latin-1") else []  # keys are ASCII in any encoding
    return next(
        (file for file in (*candidates, *darknet, *(root / name for name in _NAME_FILES)) if file.is_file()), None
    )


def other_name_files(data: YoloData, folders: Iterable[Path]) -> list[Path]:
    """Return the lists of names in the folder of ``data.file`` and in ``folders``, those of labels, besides that file.

    labelImg writes one beside the labels of each folder, and the next folder's may number the classes otherwise.
    """
    places = (data.file.parent.absolute(), *folders)
    files = dict.fromkeys(place / name for place in places for name in _NAME_FILES)
    return [file for file in files if has_file(file) and file != data.file.absolute()]


def read_data_file(root: Path, encoding: str | None = None) -> YoloData:
    """Return the content of a folder's data.yaml, or of its list of names. Raises UserError.

    encoding: of files without a byte order mark; None for UTF-8.
    """
    file = find_data_file(require_folder(root, "a folder with YOLO's data.yaml"))
    if file is None:
        raise UserError(f"{root / 'data.yaml'}: expected YOLO's names and splits, found nothing")
    if file.name == _DARKNET_FILE:
        return _parse_darknet(root, file, _read_darknet(root, encoding), encoding)
    if file.suffix not in _YAML_SUFFIXES:
        splits = _text_lists(root, encoding)
        names = parse_names(file, name_lines(file, encoding))
        return YoloData(
            file,
            root,
            names,
            splits or _all_images(root),
            encoding=encoding,
            has_splits=bool(splits),
        )
    text = read_label_text(file, "YOLO's names and splits", encoding)
    content = _parse_yaml(file, text)
    if not isinstance(content, dict):
        raise UserError(f"{file}: expected names and the splits train and val, found {type(content).__name__}")
    if "names" not in content:
        raise UserError(f"{file}: expected names, found nothing{did_you_mean('names', map(str, content))}")
    require_spelled_names(file, text)
    names = parse_names(file, content["names"], encoding)
    if content.get("nc", len(names)) != len(names):
        raise UserError(f"{file}: nc: expected {len(names)}, the number of names, found {shorten(content['nc'])}")
    base_folder = _find_base_folder(root, content.get("path"))
    keypoint_fields = _parse_keypoint_fields(file, content)
    splits = _parse_splits(file, content)
    return YoloData(
        file, base_folder, names, splits or _all_images(root), keypoint_fields, encoding, has_splits=bool(splits)
    )


def _all_images(root: Path) -> dict[str, tuple[str, ...]]:
    """Return the split of all images, where no file names splits: supervision's data.yaml has none."""
    return {ONLY_SPLIT: ("images" if (root / "images").is_dir() else ".",)}


def _parse_yaml(file: Path, text: str) -> Any:
    """Return the value of data.yaml. Raises UserError."""
    try:
        return parse_yaml(text)
    except ValueError as error:
        raise UserError(f"{file}: expected YAML, found {error}") from None


def _find_base_folder(root: Path, path: Any) -> Path:
    """Return ``path`` if it exists; otherwise the data set was moved, and the folder of data.yaml is returned."""
    return root / str(path) if path and (root / str(path)).is_dir() else root


def _parse_splits(file: Path, content: dict[Any, Any]) -> dict[str, tuple[str, ...]]:
    """Return train, val, test and words like valid if they are set, and other keys that name a ``.txt`` list."""
    splits = {}
    for key, value in content.items():
        is_list = isinstance(value, str) and value.endswith(".txt") and key not in ("download", "names")
        is_other_word = isinstance(value, str | list) and is_role_name(str(key))
        if value is None or not (key in _SPLITS or is_list or is_other_word):
            continue
        entries = value if isinstance(value, list) else [value]
        if not all(isinstance(entry, str) for entry in entries):
            raise UserError(
                f"{file}: {key}: expected a folder, a .txt list, or several of them, found {shorten(value)}"
            )
        splits[str(key)] = tuple(entries)
    return splits


def _text_lists(root: Path, encoding: str | None) -> dict[str, tuple[str, ...]]:
    """Return the lists of images beside a list of names (train.txt, val.txt), if one is for training.

    A ``train.txt`` beside ``train.jpg`` holds boxes, and names no image.
    """
    files = [
        file
        for file in sorted(root.glob("*.txt"))
        if split_role(file.stem) is not None and _names_image(file, encoding)
    ]
    has_train = any(split_role(file.stem) in ("train", "trainval") for file in files)
    return {file.stem: (file.name,) for file in files} if has_train else {}


def _names_image(file: Path, encoding: str | None) -> bool:
    """Return True if the first line of a list that is not empty ends like the name of an image."""
    first = next((line for line in label_lines(file, encoding) if line.strip()), "")
    return is_image(Path(str(listed_path(first))))


def _parse_keypoint_fields(file: Path, content: dict[Any, Any]) -> int:
    """Return the numbers of an object's keypoints: ``kpt_shape: [17, 3]`` has 51; 0 without it."""
    shape = content.get("kpt_shape")
    if shape is None:
        return 0
    is_shape = isinstance(shape, list) and len(shape) == 2 and all(type(side) is int and side > 0 for side in shape)
    if not is_shape or shape[1] not in (2, 3):
        raise UserError(f"{file}: kpt_shape: expected [points, 2] or [points, 3], found {shorten(shape)}")
    return int(shape[0]) * int(shape[1])


def _read_darknet(root: Path, encoding: str | None = None) -> dict[str, str]:
    """Return the keys of obj.data that say where names and lists are; empty without such a file or without names."""
    file = root / _DARKNET_FILE
    lines = label_lines(file, encoding) if file.is_file() else []
    pairs = (line.partition("=") for line in lines if "=" in line)
    content = {key.strip(): text.strip() for key, _, text in pairs}
    return content if "names" in content and any(split in content for split in _DARKNET_SPLITS) else {}


def _parse_darknet(root: Path, file: Path, content: dict[str, str], encoding: str | None) -> YoloData:
    """Return what obj.data says. Its paths start from the folder of the darknet program, so their ends count."""
    names_file = _find_end(root, content["names"])
    names = name_lines(names_file, encoding)
    lists = {split: content[split] for split in _DARKNET_SPLITS if content.get(split)}
    splits: dict[str, tuple[str, ...]] = {
        split: (str(_find_end(root, path).absolute()),) for split, path in lists.items()
    }
    return YoloData(file, root, parse_names(names_file, names), splits, encoding=encoding)


def _find_end(root: Path, name: str) -> Path:
    """Return the file in ``root`` that the end of a path names, as long as possible; the path itself without one."""
    parts = listed_path(name).parts
    paths = [root.joinpath(*parts[start:]) for start in range(len(parts))]
    return next((path for path in paths if path.is_file()), paths[0])


def _has_names(file: Path) -> bool:
    """Return True if a YAML file has the key ``names``, without parsing it."""
    with file.open(encoding="utf-8", errors="replace") as stream:
        return _NAMES_KEY.search(stream.read(_HEAD)) is not None
