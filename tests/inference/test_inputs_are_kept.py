"""Photos and videos keep their bytes, whatever their paths are and wherever the results go."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from detect.errors import UserError
from detect.evaluation.predictions import empty_prediction
from detect.inference.yolo_results import write_yolo_labels
from tests.conftest import Command
from tests.data.clips import write_clip
from tests.inference.test_slices import save_model

FORMATS = [part for name in ("json", "yolo", "yolo-labels", "images") for part in ("--format", name)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), ["model.postprocess.max_detections=6"])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with photos in it and beside it, each with a label file as YOLO has them."""
    work = tmp_path / "work"
    for index, name in enumerate(("work/new/1.png", "work/new/2.png", "set/1.png", "set/3.png")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / name), np.random.default_rng(index).integers(0, 256, (48, 64, 3), np.uint8))
        (tmp_path / name).with_suffix(".txt").write_text("0 0.5 0.5 0.1 0.1\n")
    monkeypatch.chdir(work)
    return work


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder by their paths; links are their own content."""
    return {
        str(path.relative_to(folder)): str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


@pytest.mark.parametrize(
    ("paths", "out", "drawings"),
    [
        (["new"], "found", ["1.png.jpg", "2.png.jpg"]),
        (["new/1.png", "SET/1.png"], "found", ["set/1.png.jpg", "work/new/1.png.jpg"]),
        (["new", "../set"], "found", ["set/1.png.jpg", "set/3.png.jpg", "work/new/1.png.jpg", "work/new/2.png.jpg"]),
        (["../set/3.png"], ".", ["3.png.jpg"]),
        (["."], "new/found", ["1.png.jpg", "2.png.jpg"]),
        (["new"], "new", ["1.png.jpg", "2.png.jpg"]),
        (["."], "new", ["1.png.jpg", "2.png.jpg"]),
        (["new"], "..", ["1.png.jpg", "2.png.jpg"]),
    ],
)
def test_results_lie_below_their_folder(
    paths: list[str], out: str, drawings: list[str], folder: Path, model: Path, detect_command: Command
) -> None:
    before = contents(folder.parent)
    arguments = [path.replace("SET", str(folder.parent / "set")) for path in paths]
    for _ in range(2):  # the second run finds the results of the first one
        status, _, err = detect_command("predict", model, *arguments, "--out", out, *FORMATS)
        assert (status, err) == (0, "")
        after = contents(folder.parent)
        assert {path: after[path] for path in before} == before
        new = {os.path.relpath(folder.parent / path, folder / out) for path in after.keys() - before.keys()}
        assert not [path for path in new if path.startswith("..")]
        assert sorted(path.removeprefix("images/") for path in new if path.startswith("images/")) == drawings
        assert len([path for path in new if path.startswith("yolo/") and path.endswith(".txt")]) == len(drawings)
        assert len([path for path in new if path.startswith("yolo-labels/images/")]) == len(drawings)


def test_a_drawing_does_not_replace_a_photo(folder: Path, model: Path, detect_command: Command) -> None:
    (folder / "images").mkdir()
    for name in ("a.png", "a.png.jpg"):
        (folder / "images" / name).write_bytes((folder / "new/1.png").read_bytes())
    before = contents(folder)
    status, out, err = detect_command("predict", model, "images", "--out", ".")
    assert (status, out) == (2, "")
    assert err == (
        "detect: images/a.png.jpg: expected a file that this command does not read, found one of its inputs, "
        "which would be replaced; give another --out\n"
    )
    assert contents(folder) == before


def test_labelling_a_data_set_again_keeps_its_photos(folder: Path, model: Path, detect_command: Command) -> None:
    flags = ("--format", "yolo-labels", "--out", "set")
    assert detect_command("predict", model, "new", *flags)[0] == 0
    before = contents(folder)
    assert detect_command("predict", model, "set/yolo-labels/images", *flags)[0] == 0
    assert contents(folder) == before
    assert all(path.exists() for path in folder.rglob("*.png"))


@pytest.mark.parametrize(
    ("place", "image", "expected"),
    [
        ("nothing", "photo.jpg", "a link"),
        ("the photo", "images/photo.jpg", "the photo"),
        ("the photo", "link.jpg", "the photo"),
        ("a link", "images/photo.jpg", "a link"),
        ("a link to another", "photo.jpg", "a link"),
        ("a broken link", "photo.jpg", "a link"),
        ("a copy", "photo.jpg", "a copy"),
        ("another photo", "photo.jpg", "refused"),
    ],
)
def test_yolo_labels_keep_what_lies_at_the_place_of_a_link(
    place: str, image: str, expected: str, tmp_path: Path
) -> None:
    photo, other, target = tmp_path / "photo.jpg", tmp_path / "other.jpg", tmp_path / "images/photo.jpg"
    photo.write_bytes(b"photo")
    other.write_bytes(b"other")
    target.parent.mkdir()
    if place in ("the photo", "a copy", "another photo"):
        target.write_bytes(b"other" if place == "another photo" else b"photo")
    elif place != "nothing":
        target.symlink_to({"a link": photo, "a link to another": other}.get(place, tmp_path / "none.jpg"))
    (tmp_path / "link.jpg").symlink_to(target)
    before = contents(tmp_path)
    prediction = empty_prediction(str(tmp_path / image), (9, 8))
    if expected == "refused":
        with pytest.raises(UserError, match=r"images/photo\.jpg: expected a link to .*, found another file"):
            write_yolo_labels(tmp_path, [prediction], ("a",))
    else:
        write_yolo_labels(tmp_path, [prediction], ("a",))
    if expected == "a link":
        assert target.readlink() == photo
        assert target.read_bytes() == b"photo"
        before.pop("images/photo.jpg", None)
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before


@pytest.mark.parametrize(
    ("paths", "out", "drawings"),
    [
        (["a/clip.mp4", "CLIPS/b/clip.mp4"], "found", ["a/clip.mp4", "b/clip.mp4"]),
        (["../clips/a/clip.mp4"], "found", ["clip.mp4"]),
        (["videos/clip.mp4"], ".", None),
    ],
)
def test_an_annotated_video_does_not_replace_the_video(
    paths: list[str],
    out: str,
    drawings: list[str] | None,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    detect_command: Command,
) -> None:
    folder = tmp_path / "clips"
    for name in ("a", "b", "videos"):
        (folder / name).mkdir(parents=True)
        write_clip(folder / name / "clip.mp4", [np.full((48, 64, 3), 40 * t, np.uint8) for t in range(3)])
    monkeypatch.chdir(folder)
    before = contents(folder)
    arguments = [path.replace("CLIPS", str(folder)) for path in paths]
    status, _, err = detect_command("predict", model, *arguments, "--every", 2, "--out", out, "--format", "images")
    after = contents(folder)
    assert {path: after[path] for path in before} == before
    if drawings is None:
        assert (status, err.count("\n"), after) == (2, 1, before)
    else:
        assert (status, err) == (0, "")
        new = sorted(path.removeprefix("found/") for path in after.keys() - before.keys())
        assert new == ["frames.csv", *(f"videos/{name}" for name in drawings)]
