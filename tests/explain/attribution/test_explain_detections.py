"""``detect explain --method ...`` of detections, as a user calls it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detect.explain.attribution.explain_detections import DetectionQuery, select_detections, why_none
from detect.explain.attribution.target import TargetDetection
from tests.conftest import Command


@pytest.mark.parametrize(
    ("flags", "stem", "colours"),
    [
        (("saliency", "--reduce", "none"), "saliency", 3),
        (("gradcam", "--of", "y2", "--layer", "body.stages.1"), "gradcam-y2", 1),
        (("drise", "--masks", 4, "--seed", 2, "--classes", "dog,<b>cat</b>"), "drise", 1),
    ],
)
def test_each_detection_gets_a_picture_and_its_map(
    flags: tuple[object, ...],
    stem: str,
    colours: int,
    model: Path,
    image: Path,
    tmp_path: Path,
    detect_command: Command,
) -> None:
    out = tmp_path / "out"
    status, said, err = detect_command(
        "explain", model, image, "--out", out, "--score", 0, "--most", 2, "--method", *flags
    )
    assert (status, err) == (0, "")
    (folder,) = out.iterdir()
    names = sorted(file.name for file in folder.iterdir())
    assert names == sorted([f"{stem}.png", *(f"{stem}-00{n}.{kind}" for n in (1, 2) for kind in ("png", "npy"))])
    heat = np.load(folder / f"{stem}-001.npy")
    assert (heat.shape, heat.dtype) == ((90, 120, colours), np.float32)
    assert len(said.splitlines()) == 3
    drawn = cv2.imread(str(folder / f"{stem}-001.png"))
    assert drawn is not None
    assert drawn.shape[0] > drawn.shape[1] * 0.75  # lines of text below


def test_one_detection_by_its_rank(model: Path, image: Path, tmp_path: Path, detect_command: Command) -> None:
    out = tmp_path / "out"
    common = ("explain", model, image, "--out", out, "--method", "hirescam", "--number")
    assert detect_command(*common, 3)[0] == 0
    (folder,) = out.iterdir()
    assert {file.stem for file in folder.iterdir()} == {"hirescam", "hirescam-003"}
    assert "no detection to explain, --number: expected 1 to " in detect_command(*common, 30000)[1]


def test_a_image_without_detections_says_why() -> None:
    box = torch.zeros(4)
    found = [TargetDetection(1, 2, 0.8, box, box), TargetDetection(2, 1, 0.4, box, box)]
    dogs = DetectionQuery("saliency", "score", "max", 0.5, 20, frozenset([1]))
    table = [
        ([], dogs, "the model finds none"),
        (found, replace(dogs, number=3), "--number: expected 1 to 2, found 3"),
        (found, replace(dogs, labels=frozenset([3])), "the 2 found are of other classes"),
        (found, dogs, "the best scores 0.40"),
        (found, replace(dogs, score=0.3, most=0), "--most is 0"),
    ]
    for pinned, question, why in table:
        assert select_detections(pinned, question) == []
        assert why_none(pinned, question) == why


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("gradcamm",), '(did you mean "gradcam"?)'),
        (("gradcam", "--layer", "body.stages.7"), '(did you mean "body.stages'),
        (("gradcam", "--layer", "neck"), "expected a layer whose output is one set of maps, found tuple"),
        (("gradcam", "--reduce", "max"), "--reduce: expected --method saliency or smoothgrad or guided or integrated"),
        (("saliency", "--layer", "neck"), "--layer: expected --method gradcam"),
        (("saliency", "--classes", "dogg"), '(did you mean "dog"?)'),
        (("saliency", "--split", "val"), "--split: expected --method trace beside it, found saliency"),
        (("trace", "--of", "x1"), "--of: expected --method saliency"),
        (("saliency", "--of", "x1", "--set", "model.postprocess.box_regression=false"), "expected boxes that are regressed"),
    ],
)
def test_mistakes(
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
