from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.config import Config
from detect.config.builders.detector import build_preprocess
from detect.config.files import with_overrides
from detect.errors import UserError
from detect.inference.runtimes.description import GraphDescription, parse_description

FILE = Path("graph.onnx")


def description() -> GraphDescription:
    config = with_overrides(Config(), ["train.epochs=1", "data.min_size=90", "data.root=somewhere/VOC2007"])
    return GraphDescription(config, ("cat", "big dog"), build_preprocess(config), ("boxes", "count"))


def test_a_description_is_read_as_it_was_written() -> None:
    written = description()
    read = parse_description(written.to_json(), FILE)
    assert (read.classes, read.preprocess, read.outputs, read.weights) == (
        written.classes,
        written.preprocess,
        written.outputs,
        "fp32",
    )
    assert read.config.model == written.config.model


def test_thresholds_are_told_and_no_path_is() -> None:
    content = json.loads(description().to_json())
    assert content["max_detections"] == description().config.model.postprocess.max_detections
    text = GraphDescription(
        with_overrides(Config(), ["train.epochs=1", "data.root=/home/me/VOC2007"]), (), description().preprocess, ()
    ).to_json()
    assert "/home/me" not in text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (None, "none"),
        ("", "none"),
        ("[]", "none"),
        ("{", "Expecting property name"),
        ("{}", "None"),
        ('{"format": "detect graph 9"}', "detect graph 9"),
        ('{"format": "detect graph 1"}', "'config'"),
    ],
)
def test_other_texts_are_one_line(text: str | None, found: str) -> None:
    with pytest.raises(UserError, match=r"graph.onnx: expected the description of a detect graph 1, found") as error:
        parse_description(text, FILE)
    assert found in str(error.value)
    assert "\n" not in str(error.value)
