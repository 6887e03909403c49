"""Detections as YOLO's text files: results with a score, and labels as ultralytics reads them."""

from __future__ import annotations

import filecmp
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePath

import yaml

from detect.data.formats.yolo import label_file
from detect.data.image_names import relative_to_shared_folder
from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.inference.result_writers import short_image_names, sorted_by_score, tracks_by_score
from detect.system.files import fit_name, write_text
from detect.system.overwriting import folder_entries
from detect.system.yaml_files import Dumper


def write_yolo(folder: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write one text file per image, best first: ``class cx cy w h score``, class from 0, the box in fractions.

    A tracked detection has its track at the end, as ultralytics writes it. ``data.yaml`` has the names of the classes
    by their numbers, from 0.
    """
    _write_data_file(folder, {}, classes)
    paths = text_paths(folder, [prediction.file for prediction in predictions])
    for path, prediction in zip(paths, predictions, strict=True):
        w, h = prediction.width, prediction.height
        lines = (
            f"{label - 1} {(x1 + x2) / 2 / w!r} {(y1 + y2) / 2 / h!r} {(x2 - x1) / w!r} {(y2 - y1) / h!r} {score!r}"
            f"{f' {track}' if track else ''}\n"
            for ((x1, y1, x2, y2), label, score), track in zip(
                sorted_by_score(prediction), tracks_by_score(prediction), strict=True
            )
        )
        write_text(path, "".join(lines))


def text_paths(folder: Path, files: Sequence[str]) -> list[Path]:
    """Return the text file of ``write_yolo`` for each image."""
    paths = [PurePath(name) for name in short_image_names(files)]
    return [folder / path.parent / fit_name(path.name, ".txt") for path in paths]


def write_yolo_labels(folder: Path, predictions: Sequence[Prediction], classes: Sequence[str]) -> None:
    """Write a data set that ultralytics, and ``detect`` itself, train on: the detections as labels without a score.

    ``labels/NAME.txt`` has the five columns ``class cx cy w h``, class from 0, the box clipped to the image, in
    fractions; a box that is empty then is left out. ``images/NAME`` is a link to the photo (a copy where the system
    allows no links), because ultralytics finds labels by the path of their image; ``data.yaml`` names both and the
    classes.
    """
    files = [prediction.file for prediction in predictions]
    require_places(folder, files)
    _write_data_file(folder, {"train": "images", "val": "images"}, classes)
    paths = zip(label_paths(folder, files), _image_paths(files), strict=True)
    for (path, name), prediction in zip(paths, predictions, strict=True):
        write_text(path, "".join(_label_lines(prediction)))
        _link(Path(prediction.file), folder / name)


def label_paths(folder: Path, files: Sequence[str]) -> list[Path]:
    """Return the label file of ``write_yolo_labels`` for each image."""
    return [folder / label_file(Path(name)) for name in _image_paths(files)]


def require_places(folder: Path, files: Sequence[str]) -> None:
    """Raise UserError if a file lies where the link to a photo goes, and is neither a link nor that photo.

    It may be somebody's only copy of another photo.
    """
    for file, name in zip(files, _image_paths(files), strict=True):
        image, target = Path(file), folder / name
        if target.exists() and not target.is_symlink() and image.is_file() and not _is_same_photo(image, target):
            raise UserError(
                f"{target}: expected a link to {image}, or a copy of it, found another file; give another --out"
            )


def _is_same_photo(first: Path, second: Path) -> bool:
    return first.samefile(second) or filecmp.cmp(first, second, shallow=False)


def _image_paths(files: Sequence[str]) -> list[str]:
    """Return the path of each image below the folder: images/a.jpg, and images/a.png.png where a.jpg is there too."""
    names = relative_to_shared_folder(files)
    paths = [PurePath(f"images/{name}") for name in names]
    counts = Counter(path.with_suffix("") for path in paths)
    return [
        (path if counts[path.with_suffix("")] == 1 else path.with_name(fit_name(path.name, path.suffix))).as_posix()
        for path in paths
    ]


def _label_lines(prediction: Prediction) -> list[str]:
    lines = []
    w, h = prediction.width, prediction.height
    for (x1, y1, x2, y2), label, _ in sorted_by_score(prediction):
        x1, x2 = (min(max(x / w, 0.0), 1.0) for x in (x1, x2))
        y1, y2 = (min(max(y / h, 0.0), 1.0) for y in (y1, y2))
        if x1 < x2 and y1 < y2:
            lines.append(f"{label - 1} {(x1 + x2) / 2!r} {(y1 + y2) / 2!r} {x2 - x1!r} {y2 - y1!r}\n")
    return lines


def count_boxes_outside(prediction: Prediction) -> int:
    """Return the number of boxes that ``write_yolo_labels`` leaves out, as they are empty in their photo."""
    return len(prediction) - len(_label_lines(prediction))


def _link(image: Path, target: Path) -> None:
    """Link or copy an image; one that is not on this machine is left out, one that lies there already stays."""
    if not image.is_file():  # nor a link that leads to itself
        return
    (image_entry, target_entry), source = folder_entries([image, target]), image.resolve()
    if image_entry == target_entry or (target.exists() and not target.is_symlink()):
        return
    target.unlink(missing_ok=True)  # a link: the source is known, also where the image leads through it
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        target.symlink_to(source)
    except OSError:
        shutil.copyfile(source, target)


def _write_data_file(folder: Path, splits: dict[str, str], classes: Sequence[str]) -> None:
    content = {**splits, "names": dict(enumerate(classes))}
    write_text(folder / "data.yaml", yaml.dump(content, Dumper=Dumper, sort_keys=False, allow_unicode=True))
