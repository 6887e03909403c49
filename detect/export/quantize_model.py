"""``detect model quantize``: from a model to a graph in int8, and what that changes of its mAP."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from detect.config import Config, DataConfig
from detect.config.builders.data import read_split_for_model
from detect.config.files import with_overrides
from detect.config.renamed import RENAMED_KEYS
from detect.data.annotations import Annotations
from detect.data.formats.detect_format import format_signs
from detect.data.images import read_image
from detect.data.sources import select
from detect.errors import UserError
from detect.export.accuracy_change import AccuracyChange, accuracy_change, mean_ap
from detect.export.export_graph import make_graph
from detect.export.float_layers import (
    FloatChoice,
    choose_float_layers,
    similarity,
    weight_names,
    with_float_layers,
)
from detect.export.quantize import count_layers, quantize_graph
from detect.export.to_onnx import to_onnx
from detect.export.to_openvino import read_graph, serialize
from detect.inference.find_images import find_images
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.inference.runtimes.graph_detector import graph_inputs
from detect.inference.runtimes.sealed_files import OPENVINO, write_sealed
from detect.system.cpu import has_int8_instructions
from detect.system.randomness import hash_key

MAX_DROP = 0.01  # of the mAP
INPUT_SIZE = ("min_size", "max_size", "size_divisor")  # settings of the data that a model takes with it
RANKING_PHOTOS = 20  # by which layers are ranked: each costs a load of the graph and a run of them


@dataclass(frozen=True)
class Calibration:
    """The photos that set the ranges of int8.

    labelled: the same photos with the objects of the model's classes, None where they have none; notes: lines on the
    split that they are of.
    """

    photos: tuple[Path, ...]
    labelled: Annotations | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuantizedModel:
    """What was written: the size in bytes, the layers and those in int8, and the number of photos to calibrate with.

    float_choice: the layers that went back to float, with what they cost, and the drop that remains on the photos to
    calibrate with, None where these have no labels; change: what int8 does to the mAP, or None with the reason in
    ``not_compared``; notes: lines on the splits that were read.
    """

    size: int
    num_layers: int
    num_int8: int
    num_photos: int
    float_choice: FloatChoice | None
    change: AccuracyChange | None
    not_compared: str = ""
    notes: tuple[str, ...] = ()


def quantize_model(
    model: Path,
    out: Path,
    root: Path,
    num_photos: int,
    anyway: bool,
    max_drop: float = MAX_DROP,
    overrides: Sequence[str] = (),
) -> QuantizedModel:
    """Write MODEL as a graph of OpenVINO in int8, calibrated on photos of the training split of ``root``.

    Where these have labels, layers go back to float until the mAP on them falls by at most
    ``max_drop``. Where the validation split has such labels, both detect in it and are scored. ``overrides`` are
    settings of the model, which the graph then has, and of the data. Raises UserError for a processor without
    instructions for int8, unless ``anyway``, for a name without .xml, for a folder without images, and for labels of
    the training split that cannot be read, or are of a class that the model does not have.
    """
    if out.suffix != OPENVINO:
        raise UserError(f"{out}: expected a name that ends in {OPENVINO}, found {out.name}")
    if not anyway and not has_int8_instructions():
        raise UserError(
            "--anyway: expected a processor with VNNI, AMX or dot products, for which int8 is meant, found one "
            "without: give --anyway to write the file for another machine"
        )
    predictor, label = load(model, "cpu", overrides=overrides_of_model(overrides)), str(model)
    config = data_config(predictor.config, root, overrides)
    graph, description = make_graph(predictor)
    calibration = read_calibration(predictor, config, root, num_photos)
    openvino_graph = read_graph(to_onnx(graph, description, label), label)
    to_inputs = partial(photo_inputs, predictor, graph.needs_proposals)
    quantized = quantize_graph(openvino_graph, calibration.photos, to_inputs, label)
    int8_description = replace(description, weights="int8")
    with tempfile.TemporaryDirectory() as folder:
        unchecked = Path(folder) / out.name

        def load_graph(int8_graph: Any) -> Predictor:
            write_sealed(unchecked, *serialize(int8_graph, int8_description, label))
            return load(unchecked, "cpu")

        search = FloatLayerSearch(predictor, config, calibration, openvino_graph, quantized, load_graph)
        choice = search.run(max_drop)
        mixed = search.with_float_layers([layer.name for layer in choice.layers] if choice is not None else ())
        change, reason = accuracy_change(predictor, load_graph(mixed), config)
    size = write_sealed(out, *serialize(mixed, int8_description, label))
    layers = count_layers(mixed)
    return QuantizedModel(
        size=size,
        num_layers=layers.total,
        num_int8=layers.int8,
        num_photos=len(calibration.photos),
        float_choice=choice,
        change=change,
        not_compared=reason,
        notes=tuple(dict.fromkeys([*calibration.notes, *(change.notes if change is not None else ())])),
    )


@dataclass(frozen=True)
class FloatLayerSearch:
    """The layers of a graph in int8 that are better in float, by the labels of the photos that it is calibrated with.

    predictor: the model; graph, quantized: OpenVINO's, in float and in int8; load_graph: opens one of them.
    """

    predictor: Predictor
    config: Config
    calibration: Calibration
    graph: Any
    quantized: Any
    load_graph: Callable[[Any], Predictor]

    def run(self, max_drop: float) -> FloatChoice | None:
        """Return the layers to leave in float, and the drop that remains; None without labels."""
        labelled = self.calibration.labelled
        if labelled is None:
            return None
        photos = [read_image(photo) for photo in self.calibration.photos[:RANKING_PHOTOS]]
        expected = [self.predictor.predict(photo, 0.0) for photo in photos]
        accuracy = mean_ap(self.predictor, labelled, self.config)

        def mean_similarity(names: Collection[str]) -> float:
            graph = self.load_graph(self.with_float_layers(names))
            pairs = zip(expected, photos, strict=True)
            return float(np.mean([similarity(detections, graph.predict(photo, 0.0)) for detections, photo in pairs]))

        def drop(names: Collection[str]) -> float:
            return accuracy - mean_ap(self.load_graph(self.with_float_layers(names)), labelled, self.config)

        return choose_float_layers(list(weight_names(self.graph)), mean_similarity, drop, max_drop)

    def with_float_layers(self, names: Collection[str]) -> Any:
        """Return the graph in int8 with some layers in float."""
        operations = weight_names(self.graph)
        return with_float_layers(
            self.quantized, self.graph, {operation for name in names for operation in operations[name]}
        )


def overrides_of_model(overrides: Sequence[str]) -> list[str]:
    """Return the overrides of the model and of the size of its input, which a graph holds; the others are of the data
    that it is calibrated on. ``data={...}`` may be of both.
    """
    of_both = {"model", "data", *(f"data.{name}" for name in INPUT_SIZE)}

    def is_of_model(key: str) -> bool:
        return key.startswith("model.") or RENAMED_KEYS.get(key, key) in of_both

    return [override for override in overrides if is_of_model(override.partition("=")[0])]


def data_config(config: Config, root: Path, overrides: Sequence[str]) -> Config:
    """Return the settings of a model with the data in ``root``, in the format that is detected, and its input size."""
    sizes = {key: getattr(config.data, key) for key in (*INPUT_SIZE, "workers")}
    data = DataConfig(format="auto", root=str(root), **sizes)
    return with_overrides(config.model_copy(update={"data": data}), overrides)


def read_calibration(predictor: Predictor, config: Config, root: Path, count: int) -> Calibration:
    """Return ``count`` photos of the training split, or of all in ``root`` where there are no labels, drawn by name.

    Raises UserError for labels that cannot be read, or of a class that the model does not have.
    """
    if config.data.format == "auto" and not format_signs(Path(config.data.root)):
        return Calibration(photos=tuple(sorted(find_images([str(root)]), key=_draw_key)[:count]), labelled=None)
    annotations, notes = read_split_for_model(config, "train", predictor.classes)
    files = [Path(annotations.file(index)) for index in range(len(annotations))]
    indices = sorted(range(len(files)), key=lambda index: _draw_key(files[index]))[:count]
    labelled = select(annotations, indices)
    return Calibration(
        photos=tuple(files[index] for index in indices),
        labelled=labelled if len(labelled.boxes) else None,
        notes=notes,
    )


def _draw_key(file: Path) -> int:
    return hash_key("calibration", file.name)


def photo_inputs(predictor: Predictor, needs_proposals: bool, photo: Path) -> dict[str, np.ndarray]:
    """Return the inputs of a model's graph for a photo, by name."""
    return graph_inputs(predictor.preprocess_image(read_image(photo)), 0, needs_proposals)
