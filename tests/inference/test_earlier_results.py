"""A second run into the same folder: results of other classes are refused, labels of other photos are counted."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.errors import UserError
from detect.evaluation.predictions import Prediction
from detect.inference.result_formats import (
    ResultFormat,
    describe_earlier_results,
    file_name,
    require_result_classes,
    write_results,
)
from tests.conftest import Command
from tests.inference.test_slices import save_model

FOLDERS: tuple[ResultFormat, ...] = ("voc", "yolo", "yolo-labels")


def detected(folder: Path, names: str, label: int = 1) -> list[Prediction]:
    """One detection in each photo ``folder/a.png``, ..., with a name for each letter."""
    box, score = np.array([[10.0, 10.0, 50.0, 50.0]]), np.array([0.9])
    return [Prediction(str(folder / f"{name}.png"), 100, 100, box, score, np.array([label])) for name in names]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize(
    ("first", "second", "refused"),
    [
        ((), ("cat", "dog"), ()),
        (("cat", "dog"), ("cat", "dog"), ()),
        (("cat", "dog"), ("dog", "cat"), ("yolo", "yolo-labels")),
        (("cat", "dog"), ("dog",), FOLDERS),
        (("dog",), ("dog", "cat"), ("yolo", "yolo-labels")),
        (("no", "1e3"), ("no", "1e3"), ()),
    ],
)
@pytest.mark.parametrize("name", FOLDERS)
def test_results_of_other_classes_are_refused(
    name: ResultFormat, first: Sequence[str], second: Sequence[str], refused: Sequence[str], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    scores: dict[str, float] = {name: 0.0}
    if first:
        write_results(out, scores, detected(tmp_path, "ab"), first, None)
    before = contents(tmp_path)
    if name not in refused:
        require_result_classes(out, [name], second)
        write_results(out, scores, detected(tmp_path, "bc"), second, None)
        return
    place = "comp4_det_cat.txt: expected results" if name == "voc" else "data.yaml: expected the classes"
    for check in (
        lambda: require_result_classes(out, [name], second),
        lambda: write_results(out, scores, detected(tmp_path, "bc"), second, None),
    ):
        with pytest.raises(
            UserError, match=rf"{out / file_name(name)}/{place}.*another run.*; write to another folder"
        ):
            check()
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "found"), [("", r"\[\]"), ("names: 3", r"\[\]"), ("names: [dog, cat]", r'\["dog", "cat"\]')]
)
def test_a_data_file_of_somebody_else_with_other_classes_is_refused(text: str, found: str, tmp_path: Path) -> None:
    (tmp_path / "yolo").mkdir()
    (tmp_path / "yolo/data.yaml").write_text(text)
    with pytest.raises(UserError, match=rf'expected the classes \["cat", "dog"\], found {found} from another run'):
        require_result_classes(tmp_path, ["yolo"], ("cat", "dog"))
    (tmp_path / "yolo/data.yaml").write_text("names: [cat, dog]")
    require_result_classes(tmp_path, ["yolo"], ("cat", "dog"))


@pytest.mark.parametrize(
    ("first", "second", "line"),
    [
        ("", "", ""),
        ("", "ab", ""),
        ("ab", "ab", ""),
        ("ab", "abc", ""),
        ("ab", "bc", "kept 1 label file of photos that this run did not detect on, the first "),
        ("abc", "cd", "kept 2 label files of photos that this run did not detect on, the first "),
    ],
)
def test_labels_of_other_photos_are_kept_and_counted(first: str, second: str, line: str, tmp_path: Path) -> None:
    scores: dict[str, float] = dict.fromkeys((*FOLDERS, "json"), 0.0)
    write_results(tmp_path / "out", scores, detected(tmp_path, first), ("cat", "dog"), None)
    before = contents(tmp_path)
    predictions = detected(tmp_path, second, label=2)
    write_results(tmp_path / "out", scores, predictions, ("cat", "dog"), None)
    places = {"yolo": tmp_path / "out/yolo/a.txt", "yolo-labels": tmp_path / "out/yolo-labels/labels/a.txt"}
    expected = [f"{name}: {line}{place}" for name, place in places.items()] if line else []
    assert describe_earlier_results(tmp_path / "out", scores, predictions) == expected
    after = contents(tmp_path)
    for place in places.values() if line else ():
        assert after[str(place.relative_to(tmp_path))] == before[str(place.relative_to(tmp_path))]


def test_predict_refuses_other_classes_before_it_detects_and_says_what_it_keeps(
    tmp_path: Path, detect_command: Command
) -> None:
    for name in ("a", "b"):
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((48, 64, 3), 90, np.uint8))
    models = {name: tmp_path / f"model-{name}" for name in ("ab", "ba")}
    for name, folder in models.items():
        folder.mkdir()
        save_model(folder, [], tuple(name))
    flags = ("--format", "yolo-labels", "--out", tmp_path / "out")
    for photos, kept in (("ab", 0), ("ab", 0), ("b", 1)):
        paths = [tmp_path / f"{name}.png" for name in photos]
        status, out, err = detect_command("predict", models["ab"] / "tiny.pt", *paths, *flags)
        assert (status, err) == (0, "")
        assert out.count("yolo-labels: kept 1 label file of photos") == kept
    before = contents(tmp_path)
    status, out, err = detect_command("predict", models["ba"] / "tiny.pt", tmp_path / "b.png", *flags)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert 'yolo-labels/data.yaml: expected the classes ["b", "a"], found ["a", "b"] from another run' in err
    assert contents(tmp_path) == before
