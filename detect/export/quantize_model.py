"""``detect model quantize``: from a model to a graph in int8, and what that changes of its mAP."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from detect.config import Config, DataConfig
from detect.config.builders.data import default_metric, read_split_for_model
from detect.config.files import with_overrides
from detect.data.annotations import Annotations
from detect.data.images import read_image
from detect.errors import UserError
from detect.evaluation.analysis.compare_runs import RunComparison, compare_runs
from detect.evaluation.analysis.matches import METRIC_RULES, match
from detect.evaluation.score import Score
from detect.evaluation.score import evaluate as score_predictions
from detect.export.export_graph import make_graph
from detect.export.quantize import quantize_graph
from detect.export.to_onnx import to_onnx
from detect.export.to_openvino import read_graph, serialize
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.find_images import find_images
from detect.inference.predictor import Predictor, load
from detect.inference.runtimes.graph_detector import graph_inputs
from detect.inference.runtimes.sealed_files import OPENVINO, write_sealed
from detect.system.cpu import has_int8_instructions
from detect.system.randomness import hash_key


@dataclass(frozen=True)
class AccuracyChange:
    """The scores of a model and of its graph in int8 on the same images, and their comparison."""

    num_images: int
    before: Score
    after: Score
    comparison: RunComparison


@dataclass(frozen=True)
class QuantizedModel:
    """What was written: the size in bytes, the layers and those in int8, and the number of photos to calibrate with.

    change: what it does to the mAP, or None with the reason in ``not_compared``.
    """

    size: int
    num_layers: int
    num_int8: int
    num_photos: int
    change: AccuracyChange | None
    not_compared: str = ""


def quantize_model(
    model: Path, out: Path, root: Path, num_photos: int, anyway: bool, overrides: Sequence[str] = ()
) -> QuantizedModel:
    """Write MODEL as a graph of OpenVINO in int8, calibrated on photos of the training split of ``root``.

    Where the validation split has labels of the model's classes, both detect in it and are scored. Raises UserError for
    a processor that is slower in int8, unless ``anyway``, for a name without .xml, and for a folder without images.
    """
    if out.suffix != OPENVINO:
        raise UserError(f"{out}: expected a name that ends in {OPENVINO}, found {out.name}")
    if not anyway and not has_int8_instructions():
        raise UserError(
            "--anyway: expected a processor with VNNI, AMX or dot products, found one without, on which int8 is slower "
            "than float: give --anyway to write the file for another machine"
        )
    predictor, label = load(model, "cpu"), str(model)
    config = data_config(predictor.config, root, overrides)
    graph, description = make_graph(predictor)
    photos = calibration_photos(predictor, config, root, num_photos)
    openvino_graph = read_graph(to_onnx(graph, description, label), label)
    to_inputs = partial(photo_inputs, predictor, graph.needs_proposals)
    quantized = quantize_graph(openvino_graph, photos, to_inputs, label)
    content = serialize(quantized.graph, replace(description, weights="int8"), label)
    with tempfile.TemporaryDirectory() as folder:
        unchecked = Path(folder) / out.name
        write_sealed(unchecked, *content)
        change, reason = accuracy_change(predictor, load(unchecked, "cpu"), config)
    size = write_sealed(out, *content)
    return QuantizedModel(size, quantized.num_layers, quantized.num_int8, len(photos), change, reason)


def data_config(config: Config, root: Path, overrides: Sequence[str]) -> Config:
    """Return the settings of a model with the data in ``root``, in the format that is detected, and its input size."""
    sizes = {key: getattr(config.data, key) for key in ("min_size", "max_size", "size_divisor", "workers")}
    data = DataConfig(format="auto", root=str(root), **sizes)
    return with_overrides(config.model_copy(update={"data": data}), overrides)


def calibration_photos(predictor: Predictor, config: Config, root: Path, count: int) -> list[Path]:
    """Return ``count`` photos of the training split, or of all in ``root`` where there are no labels, drawn by name."""
    try:
        annotations, _ = read_split_for_model(config, "train", predictor.classes)
        files = [Path(annotations.file(index)) for index in range(len(annotations))]
    except UserError:
        files = find_images([str(root)])
    return sorted(files, key=lambda file: hash_key("calibration", file.name))[:count]


def photo_inputs(predictor: Predictor, needs_proposals: bool, photo: Path) -> dict[str, np.ndarray]:
    """Return the inputs of a model's graph for a photo, by name."""
    return graph_inputs(predictor.preprocess_image(read_image(photo)), 0, needs_proposals)


def accuracy_change(before: Predictor, after: Predictor, config: Config) -> tuple[AccuracyChange | None, str]:
    """Return the change of the scores on the validation split; where there are none, None and the reason."""
    try:
        annotations, _ = read_split_for_model(config, "val", before.classes)
    except UserError as error:
        return None, str(error)
    if not len(annotations.boxes):
        return None, f"{config.data.root}: expected labelled objects to score, found none"
    return _compare(before, after, annotations, config), ""


def _compare(before: Predictor, after: Predictor, annotations: Annotations, config: Config) -> AccuracyChange:
    metric = default_metric(config)
    passes = [predict_dataset(predictor, annotations, config).predictions for predictor in (before, after)]
    scores = [score_predictions(annotations, predictions, metric) for predictions in passes]
    matches = [match(annotations, predictions, METRIC_RULES[metric]) for predictions in passes]
    files = [annotations.file(index) for index in range(len(annotations))]
    return AccuracyChange(len(annotations), scores[0], scores[1], compare_runs(matches[0], matches[1], files))
