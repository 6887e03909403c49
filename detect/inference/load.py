"""Loads trained detectors: run folders, checkpoints, packaged files, detectors of the zoo, graphs of other runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from detect.checkpoints.zoo import read_model
from detect.config import Config, Device, Precision
from detect.config.builders.detector import build_preprocess, build_uninitialized, with_tta
from detect.config.builders.proposals import on_the_fly_search
from detect.config.builders.slices import build_slicing
from detect.config.files import with_overrides
from detect.errors import UserError
from detect.inference.auto_precision import PrecisionChoice, choose_precision
from detect.inference.optimize import optimize_detector
from detect.inference.predictor import Predictor
from detect.inference.runtimes.graph_detector import open_graph
from detect.inference.runtimes.sealed_files import SUFFIXES as GRAPH_SUFFIXES
from detect.system.device import select_device

SLICE_OVERLAP = "model.test_time.slice.overlap"


def load(
    model: str | Path,
    device: Device = "auto",
    precision: Precision | Literal["auto"] = "fp32",
    overrides: Sequence[str] = (),
) -> Predictor:
    """Load a trained detector.

    precision: auto takes bf16 where the device has it natively and this model is quicker in it, else fp32.

    model: a run folder (its best weights), a checkpoint or packaged file, a graph of ONNX or OpenVINO that ``detect
    model export`` wrote, or a name of the zoo: a detector of this package needs no network, the file of another one is
    downloaded once; overrides: KEY=VALUE settings that replace the checkpoint's: thresholds, input size, test-time
    augmentation, data; of a graph only input size and data. Raises UserError with the file and the reason.
    """
    if Path(model).suffix in GRAPH_SUFFIXES:
        return _load_graph(Path(model), device, precision, overrides)
    saved, file = read_model(Path(model))
    config = with_overrides(saved.config, overrides)
    _require_slices(config, overrides)
    classifier = saved.config.model.classifier
    if config.model.classifier != classifier:
        raise UserError(f"model.classifier: expected {classifier}, which {file} holds, found {config.model.classifier}")
    features = saved.config.model.head.svm_features
    if config.model.head.svm_features != features:
        raise UserError(
            f"model.head.svm_features: expected {features or 'null'}, which the SVMs of {file} read, "
            f"found {config.model.head.svm_features or 'null'}"
        )
    detector = build_uninitialized(config, saved.classes)
    try:
        detector.load_state_dict(saved.weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        if overrides:
            raise UserError(f"--set: expected a network that the weights in {file} fit, found {reason}") from None
        raise UserError(f"{file}: expected the weights of the detector in its settings, found {reason}") from None
    has_new_preprocess = build_preprocess(config) != build_preprocess(saved.config)
    preprocess = build_preprocess(config) if has_new_preprocess else saved.preprocess
    choice = None
    if precision == "auto":
        choice = choose_precision(detector.eval(), select_device(device, "fp32").device)
        precision = choice.precision
    compute = select_device(device, precision)
    optimize_detector(detector.eval(), compute.dtype)
    search, slicing = on_the_fly_search(config.model), build_slicing(config.model)
    return Predictor(
        with_tta(config, detector), saved.classes, preprocess, config, file, compute, search, slicing, choice
    )


def _require_slices(config: Config, overrides: Sequence[str]) -> None:
    """Raise UserError for an overlap of slices where there are none."""
    if config.model.test_time.slice.size is None and any(SLICE_OVERLAP in override for override in overrides):
        raise UserError(f"{SLICE_OVERLAP} (--overlap): expected a size of slices with it (--slice), found none")


def _load_graph(
    file: Path, device: Device, precision: Precision | Literal["auto"], overrides: Sequence[str]
) -> Predictor:
    """Load a graph, which computes on the CPU with the settings of the model that are a part of it."""
    if device == "cuda":
        raise UserError(f"device: expected cpu for {file}, on which graphs run, found cuda")
    choice = None
    if precision == "auto":
        choice = PrecisionChoice("fp32", "auto: a graph computes in the numbers of its weights")
        precision = choice.precision
    detector, description = open_graph(file, precision)
    saved = description.config
    config = with_overrides(saved, overrides)
    sources = {"proposals": saved.model.proposals, "search": saved.model.search}  # which no graph depends on
    if config.model.model_copy(update=sources) != saved.model or config.data.size_divisor != saved.data.size_divisor:
        raise UserError(
            f"--set: expected model.* and data.size_divisor as {file} has them in its graph, found others: set them "
            "for the model, and export it again"
        )
    has_new_preprocess = build_preprocess(config) != build_preprocess(saved)
    preprocess = build_preprocess(config) if has_new_preprocess else description.preprocess
    compute = select_device("cpu", precision)
    search, slicing = on_the_fly_search(config.model), build_slicing(config.model)
    return Predictor(detector, description.classes, preprocess, config, file, compute, search, slicing, choice)
