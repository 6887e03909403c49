"""``detect explain --method ...`` of detections, as a user calls it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detect.cli.explain_methods import PIXELS_METHOD, WHY_PIXELS_METHOD
from detect.explain.attribution.explain_detections import DetectionQuery, select_detections, why_none
from detect.explain.attribution.target import TargetDetection
from tests.conftest import Command


@pytest.mark.parametrize(
    ("flags", "stem", "channels"),
    [
        (("saliency", "--reduce", "none"), "saliency", 3),
        (("gradcam", "--target", "y2", "--layer", "body.stages.1"), "gradcam-y2", 1),
        (("drise", "--masks", 4, "--seed", 2, "--classes", "dog,<b>cat</b>"), "drise", 1),
    ],
)
def test_explain_writes_a_figure_and_a_map_of_each_detection(
    flags: tuple[object, ...],
    stem: str,
    channels: int,
    model: Path,
    image: Path,
    tmp_path: Path,
    detect_command: Command,
) -> None:
    out = tmp_path / "out"
    status, stdout, err = detect_command(
        "explain", model, image, "--out", out, "--score", 0, "--max-detections", 2, "--method", *flags
    )
    assert (status, err) == (0, "")
    (folder,) = out.iterdir()
    names = sorted(file.name for file in folder.iterdir())
    assert names == sorted([f"{stem}.png", *(f"{stem}-00{n}.{kind}" for n in (1, 2) for kind in ("png", "npy"))])
    heat = np.load(folder / f"{stem}-001.npy")
    assert (heat.shape, heat.dtype) == ((90, 120, channels), np.float32)
    assert len(stdout.splitlines()) == 3
    figure = cv2.imread(str(folder / f"{stem}-001.png"))
    assert figure is not None
    assert figure.shape[0] > figure.shape[1] * 0.75  # lines of text below


def test_rank_selects_a_single_detection(model: Path, image: Path, tmp_path: Path, detect_command: Command) -> None:
    out = tmp_path / "out"
    common = ("explain", model, image, "--out", out, "--method", "hirescam", "--rank")
    assert detect_command(*common, 3)[0] == 0
    (folder,) = out.iterdir()
    assert {file.stem for file in folder.iterdir()} == {"hirescam", "hirescam-003"}
    assert "no detection to explain, --rank: expected 1 to " in detect_command(*common, 30000)[1]


def test_pixels_stands_for_a_method_and_says_for_which(
    model: Path, image: Path, tmp_path: Path, detect_command: Command
) -> None:
    out = tmp_path / "out"
    flags = ("--score", 0, "--max-detections", 1, "--out", out)
    status, stdout, err = detect_command("explain", model, image, "--method", "pixels", *flags)
    assert (status, err) == (0, "")
    assert stdout.splitlines()[0] == WHY_PIXELS_METHOD
    (folder,) = out.iterdir()
    assert {file.stem for file in folder.iterdir()} == {PIXELS_METHOD, f"{PIXELS_METHOD}-001"}


@pytest.mark.parametrize(("score", "counted"), [(1, "0 of 2 images explained in"), (0, "1 of 2 images explained in")])
def test_images_without_a_figure_are_not_counted(
    score: float, counted: str, model: Path, image: Path, tmp_path: Path, detect_command: Command
) -> None:
    """An unreadable image has none, nor has one without a detection that scores enough."""
    broken = tmp_path / "broken.png"
    broken.write_text("text")
    flags = ("--method", "saliency", "--max-detections", 1, "--score", score, "--out", tmp_path / "out")
    status, stdout, err = detect_command("explain", model, image, broken, *flags)
    assert status == 1
    assert stdout.splitlines()[-1].startswith(counted)
    assert "broken.png" in err
    assert len(list((tmp_path / "out").rglob("*.npy"))) == (score == 0)


def test_why_none_names_what_would_select_a_detection() -> None:
    box = torch.zeros(4)
    detections = [TargetDetection(1, 2, 0.8, box, box), TargetDetection(2, 1, 0.4, box, box)]
    dogs = DetectionQuery("saliency", "score", "max", 0.5, 20, frozenset([1]))
    table = [
        ([], dogs, "the model finds none"),
        (detections, replace(dogs, rank=3), "--rank: expected 1 to 2, found 3"),
        (detections, replace(dogs, labels=frozenset([3])), "the 2 detections are of other classes"),
        (detections, dogs, "the highest score is 0.40"),
        (detections, replace(dogs, score=0.3, max_detections=0), "--max-detections is 0"),
    ]
    for candidates, query, reason in table:
        assert select_detections(candidates, query) == []
        assert why_none(candidates, query) == reason


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("gradcamm",), '(did you mean "gradcam"?)'),
        (("gradcam", "--layer", "body.stages.7"), '(did you mean "body.stages'),
        (("gradcam", "--layer", "neck"), "expected a layer whose output is one set of maps, found tuple"),
        (("gradcam", "--reduce", "max"), "--reduce: expected --method saliency or smoothgrad or guided or integrated"),
        (("saliency", "--layer", "neck"), "--layer: expected --method gradcam"),
        (("saliency", "--classes", "dogg"), '(did you mean "dog"?)'),
        (("saliency", "--split", "val"), "--split: expected --method trace together with it, found saliency"),
        (("trace", "--target", "x1"), "--target: expected --method saliency"),
        (
            ("saliency", "--target", "x1", "--set", "model.postprocess.box_regression=false"),
            "expected boxes that are regressed",
        ),
    ],
)
def test_invalid_options_exit_with_one_line(
    flags: tuple[str, ...],
    message: str,
    model: Path,
    image: Path,
    tmp_path: Path,
    detect_command: Command,
) -> None:
    common = ("explain", model, image, "--out", tmp_path / "out", "--score", 0, "--method")
    status, _, err = detect_command(*common, *flags)
    assert (status, err.count("\n")) == (2, 1)
    assert message in err
    assert not list(tmp_path.glob("out/**/*.png"))
