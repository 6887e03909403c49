"""Explanations of a network in bf16 or fp16: the network alone computes in it, the map is summed in float32."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from detect.data.images import read_image
from detect.errors import UserError
from detect.explain.attribution import perturbation
from detect.explain.attribution.cams import _maps_and_gradients
from detect.explain.attribution.explain_detections import DetectionQuery, explain_images
from detect.explain.attribution.heatmaps import reduce_channels, to_image_pixels
from detect.explain.attribution.methods import METHODS
from detect.explain.attribution.options import MethodOptions, no_progress
from detect.explain.attribution.target import AttributionTarget, attribution_targets, target_detections
from detect.explain.trace.trace import trace
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.system.device import ComputeConfig

OPTIONS = MethodOptions(no_progress, masks=48)
DTYPES = (torch.bfloat16, torch.float16)
PRECISIONS = [
    pytest.param(name, dtype, id=f"{name}-{dtype}".replace("torch.", ""))
    for name, method in METHODS.items()
    for dtype in DTYPES
    if not (method.needs_gradients and dtype == torch.float16)
]


@pytest.fixture(autouse=True)
def few_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an occluding patch: a CPU computes slowly in a type that it lacks."""
    monkeypatch.setattr(perturbation, "MAX_POSITIONS", 16)


def make_query(name: str) -> DetectionQuery:
    return DetectionQuery(name, "score", "mean", score=0.0, max_detections=1, labels=frozenset({1, 2}))


def load_in(model: Path, dtype: torch.dtype) -> Predictor:
    """Return the predictor of a file that computes in ``dtype``: a CPU can, though the command refuses fp16 there."""
    predictor = load(model, "cpu", overrides=["data.min_size=48"])
    predictor.compute = ComputeConfig(torch.device("cpu"), dtype)
    return predictor


def target_of(predictor: Predictor, image: Path) -> tuple[AttributionTarget, tuple[int, int]]:
    """Return the first detection of an image as a target, and the size of the resized image."""
    images = predictor.preprocess_image(read_image(image))
    with torch.no_grad(), predictor.compute.autocast():
        (traced,) = trace(predictor.base_detector, images)
    autocast = predictor.compute.autocast
    first = target_detections(traced)[:1]
    (target,) = attribution_targets(predictor.base_detector, images, first, "score", autocast)
    return target, images.sizes[0]


@pytest.mark.parametrize(("name", "dtype"), PRECISIONS)
def test_explain_images_computes_maps_in_float32(
    name: str, dtype: torch.dtype, model: Path, image: Path, tmp_path: Path
) -> None:
    predictor = load_in(model, dtype)
    explain_images(predictor, [image], tmp_path / "out", make_query(name), OPTIONS, None, lambda _: None)
    heatmap = np.load(next((tmp_path / "out").rglob(f"{name}-001.npy")))
    target, canvas = target_of(predictor, image)
    heats = METHODS[name].explain(target, OPTIONS)  # without any autocast but the network's own
    assert heats.dtype == torch.float32
    expected = to_image_pixels(reduce_channels(heats[0], "mean"), target, canvas, (90, 120))
    assert np.abs(expected).max() > 0
    assert np.abs(heatmap - expected).max() <= 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", DTYPES)
def test_drise_is_its_formula_in_float64_on_the_outputs_of_the_network(
    dtype: torch.dtype, model: Path, image: Path
) -> None:
    target, _ = target_of(load_in(model, dtype), image)
    masks, scores = [], []

    def forward(pixels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        logits, deltas, boxes = target.forward(pixels)
        scores.append(target.postprocess.score_fn(logits[:, 0])[:, target.detections[0].label - 1].double())
        masks.append(pixels)
        return logits, deltas, boxes

    heat = METHODS["drise"].explain(replace(target, forward=forward), OPTIONS)[0, 0]
    whole = (target.pixels[0, 0].abs() > 0.1).double()  # where a mask can be read from the masked pixels
    visible = [
        (masked[:, 0].double() / target.pixels[0, 0].double()).where(whole > 0, torch.zeros(()))
        for masked in masks[1::2]
    ]
    drops = torch.cat([first - second for first, second in zip(scores[::2], scores[1::2], strict=True)])
    stacked = torch.cat(visible)
    expected = ((drops.mean() - drops)[:, None, None] * stacked).sum(0) / (OPTIONS.masks * 0.25)
    difference = ((heat.double() - expected) * whole).abs().max()
    assert float(difference) <= 1e-3 * float(expected.abs().max())


@pytest.mark.parametrize("name", ["gradcam", "hirescam"])
def test_cams_multiply_maps_and_gradients_in_float32(name: str, model: Path, image: Path) -> None:
    target, _ = target_of(load_in(model, torch.bfloat16), image)
    maps, gradients = (values.double() for values in _maps_and_gradients(target, OPTIONS))
    weights = gradients.mean((2, 3), keepdim=True) if name == "gradcam" else gradients
    expected = (weights * maps).sum(1, keepdim=True).clamp(min=0)
    heat = METHODS[name].explain(target, OPTIONS).double()
    assert float((heat - expected).abs().max()) <= 1e-3 * float(expected.abs().max())


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.needs_gradients])
def test_gradients_in_fp16_are_refused(name: str, model: Path, image: Path, tmp_path: Path) -> None:
    predictor = load_in(model, torch.float16)
    message = rf"^--precision: expected fp32 or bf16 with --method {name}, found fp16, in which small gradients"
    with pytest.raises(UserError, match=message):
        explain_images(predictor, [image], tmp_path / "out", make_query(name), OPTIONS, None, lambda _: None)
    assert not (tmp_path / "out").exists()
