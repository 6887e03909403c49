"""Traces and explanations are computed on the emulated CUDA device."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from detect.config.builders.detector import build_preprocess
from detect.config.builders.proposals import on_the_fly_search
from detect.errors import UserError
from detect.explain.attribution.explain_detections import DetectionQuery, explain_images
from detect.explain.attribution.faithfulness import faithfulness
from detect.explain.attribution.methods import METHODS
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.attribution.target import Quantity, attribution_targets, target_detections
from detect.explain.trace.ground_truth import ImageGroundTruth
from detect.explain.trace.trace import trace
from detect.explain.trace.write_trace import TraceOptions, trace_images
from detect.inference.predictor import Predictor
from detect.proposals.lookups import ProposalsFromFiles, load_proposal_lookup
from detect.training.precision import compute_config
from tests.emulation.configurations import CLASSES, CONFIGURATIONS, PRECISIONS, configured, random_detector

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("gpu")]

SMALL = ["model.rpn.pre_nms_top_n_test=60", "model.rpn.post_nms_top_n_test=20", "data.min_size=64", "data.max_size=64"]
# (method, configuration, explained quantity, precision)
EXPLANATIONS: list[tuple[str, str, Quantity, str]] = [
    *((method, "merged", "score", precision) for method in METHODS for precision in PRECISIONS),
    *((method, "merged", "x1", "fp32") for method in METHODS),
    *((method, name, "score", "fp32") for method in METHODS for name in ("R18-FPN", "Fast R-CNN", "R-CNN")),
]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "a.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def make_predictor(name: str, precision: str, image: Path) -> tuple[Predictor, ProposalsFromFiles | None]:
    """Return a predictor of random weights, and proposals for the image where it proposes none."""
    config = configured(CONFIGURATIONS[name][0], [*CONFIGURATIONS[name][1], *SMALL], precision)
    search, preprocess = on_the_fly_search(config.model), build_preprocess(config)
    predictor = Predictor(random_detector(config), CLASSES, preprocess, config, image, compute_config(config), search)
    if not config.model.uses_precomputed_proposals:
        return predictor, None
    file = image.with_suffix(".json")
    file.write_text(json.dumps([{"file": image.name, "boxes": [[4, 6, 40, 50], [30, 10, 70, 44], [1, 1, 79, 59]]}]))
    return predictor, load_proposal_lookup([file], [str(image)], 10)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("name", ["merged", "R18-FPN", "Fast R-CNN", "R-CNN"])
def test_trace_is_written(name: str, precision: str, image: Path, tmp_path: Path) -> None:
    predictor, proposals = make_predictor(name, precision, image)
    options, truth = TraceOptions(score=0.0, max_detections=2), ImageGroundTruth(objects={}, metric="coco")
    with no_progress("", 1) as progress:
        assert not trace_images(predictor, [image], tmp_path / "out", options, truth, proposals, progress)
    written = json.loads(next((tmp_path / "out").rglob("trace.json")).read_text())
    assert written["detections"]


@pytest.mark.parametrize(("method", "name", "quantity", "precision"), EXPLANATIONS)
def test_detection_is_explained(
    method: str, name: str, quantity: Quantity, precision: str, image: Path, tmp_path: Path
) -> None:
    predictor, proposals = make_predictor(name, precision, image)
    query = DetectionQuery(
        method=method, quantity=quantity, reduce="max", score=0.0, max_detections=1, labels=frozenset({1, 2, 3}), rank=1
    )
    arguments = (predictor, [image], tmp_path / "out", query, MethodOptions(no_progress, masks=8), proposals, print)
    if METHODS[method].needs_gradients and precision == "fp16":
        with pytest.raises(UserError, match="found fp16"):
            explain_images(*arguments)
        return
    assert explain_images(*arguments).num_explained == 1
    (heat,) = [np.load(file) for file in (tmp_path / "out").rglob("*.npy")]
    assert np.isfinite(heat).all()


def test_faithfulness_of_a_map_on_the_device(image: Path) -> None:
    predictor, _ = make_predictor("merged", "fp32", image)
    images = predictor.preprocess_image(np.array(Image.open(image))).to(predictor.compute.device)
    (traced,) = trace(predictor.base_detector, images)
    (target,) = attribution_targets(predictor.base_detector, images, target_detections(traced)[:1], "score")
    heat: torch.Tensor = METHODS["gradcam"].explain(target, MethodOptions(no_progress))[0].mean(0)
    assert heat.is_cuda
    assert np.isfinite(faithfulness(target, 0, heat).deletion)
