"""What an earlier run left in a folder of results: refused where its classes differ, counted where photos remain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detect.errors import UserError, shorten
from detect.evaluation.predictions import Prediction
from detect.inference.result_readers import comp4_classes
from detect.inference.result_writers import comp4_file
from detect.inference.yolo_results import label_paths, text_paths
from detect.system.numbers import format_count
from detect.system.yaml_files import read_yaml


def require_same_classes(folder: Path, name: str, classes: Sequence[str]) -> None:
    """Raise UserError if the folder has results in the format ``name`` that would mean other classes after this run.

    Of voc these are files of classes that this run does not write; of yolo and yolo-labels a data.yaml with other names
    or another order of them, as the labels of photos that this run does not have would get the new names.
    """
    if name == "voc" and folder.is_dir():
        for other in (other for other in comp4_classes(folder) if other not in classes):
            raise UserError(
                f"{folder / comp4_file(other)}: expected results of the classes {shorten(list(classes))} alone, found "
                f"those of {other} from another run; write to another folder, or remove this one"
            )
    data_file = folder / "data.yaml"
    if name in ("yolo", "yolo-labels") and data_file.is_file():
        found = _names(read_yaml(data_file, "the classes of an earlier run"))
        if found != list(classes):
            raise UserError(
                f"{data_file}: expected the classes {shorten(list(classes))}, found {shorten(found)} from another run, "
                "whose labels would get other names; write to another folder, or remove this one"
            )


def _names(content: Any) -> list[str]:
    """Return the class names of a data.yaml, a list or a mapping of numbers to names; none where it has none."""
    listed = content.get("names") if isinstance(content, dict) else None
    names = list(listed.values()) if isinstance(listed, dict) else listed
    return list(map(str, names)) if isinstance(names, list) else []


def describe_earlier_photos(folder: Path, name: str, predictions: Sequence[Prediction]) -> list[str]:
    """Return a line with the count of the label files in the folder of yolo or yolo-labels that this run did not write.

    They are kept, so that a data set can grow by the photos of several runs. Other formats hold one run alone.
    """
    files = [prediction.file for prediction in predictions]
    if name == "yolo":
        earlier = set(folder.rglob("*.txt")) - set(text_paths(folder, files))
    elif name == "yolo-labels":
        earlier = set((folder / "labels").rglob("*.txt")) - set(label_paths(folder, files))
    else:
        return []
    if not earlier:
        return []
    count = format_count(len(earlier), "label file")
    return [f"{name}: kept {count} of photos that this run did not detect on, the first {min(earlier)}"]
