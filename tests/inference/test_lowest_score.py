from __future__ import annotations

from pathlib import Path

import pytest

from detect.inference.load import load
from detect.inference.lowest_score import describe_lowest_score
from detect.inference.predictor import Predictor
from detect.inference.runtimes.graph_detector import GraphDetector
from tests.export.test_export_graph import make_config, save_random_model

KEY = "model.postprocess.score_threshold"


@pytest.fixture(scope="module")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    file = save_random_model(make_config(), tmp_path_factory.mktemp("model") / "model.pt")
    return load(file, "cpu", overrides=[f"{KEY}=0.2"])


@pytest.mark.parametrize("score", [1.0, 0.5, 0.2])
def test_a_score_that_the_model_gives_needs_no_line(score: float, predictor: Predictor) -> None:
    assert describe_lowest_score(predictor, score) == []


@pytest.mark.parametrize("score", [0.0, 0.001, 0.19])
def test_a_lower_score_is_said_with_what_lowers_it(score: float, predictor: Predictor) -> None:
    dropped = f"score {score:g}: the model drops detections that score less than 0.2 ({KEY})"
    assert describe_lowest_score(predictor, score) == [f"{dropped}: --set {KEY}={score:g} keeps them"]


def test_the_threshold_of_a_graph_is_a_part_of_it(predictor: Predictor) -> None:
    graph = GraphDetector(lambda _: (), (), predictor.classes, False, Path("model.onnx"))
    of_graph = Predictor(
        graph, predictor.classes, predictor.preprocess, predictor.config, Path("model.onnx"), predictor.compute
    )
    assert describe_lowest_score(of_graph, 0.5) == []
    (line,) = describe_lowest_score(of_graph, 0.1)
    assert line.endswith("which is a part of its graph")
    assert "--set" not in line
