"""Inference, from images to detections: ours, its graphs, torchvision's, detectron2's, and the layers alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection import FasterRCNN

from detect.bench import detectron2_peer
from detect.bench.layers import LayersAlone
from detect.bench.model_files import PRECISIONS, ModelFile, files_of_runtimes
from detect.bench.processes import Detect, Start, process_table, start_model
from detect.bench.random_model import BenchModel, make_bench_model
from detect.bench.relative_time import point_estimate, relative_time
from detect.bench.result_tables import COMPARISON_COLUMNS, BenchmarkTable, comparison_rows, format_cell, raw_seconds
from detect.bench.stage_times import STAGES, time_stages
from detect.bench.timing import Timing, Variant, time_interleaved, timed, timed_on
from detect.bench.torchvision_peer import to_torchvision_images, torchvision_reference
from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Device, Precision
from detect.data.images import read_image
from detect.inference.optimize import optimize_detector
from detect.inference.predictor import Predictor
from detect.system.device import select_device
from detect.types import Detections

CLASSES = 90
TOLERANCE_PX = 0.05
MAX_OVERHEAD = 1.4  # maximum time of a detector, relative to its layers alone


def measure_inference(images: Sequence[Path], repeats: int, command: str) -> list[BenchmarkTable]:
    """Return the tables of Faster R-CNN R50-FPN with a shorter side of 800, one image at a time.

    It is compared with its graphs in other runtimes, with torchvision's and with detectron2's, each where it is
    installed, and with its layers alone. Further tables have our time by stage, and the start and the peak memory of
    a process that detects in three images.
    """
    rgb_images = [read_image(image) for image in images]
    bench_model = make_bench_model([], CLASSES, rgb_images)
    reference = torchvision_reference(bench_model).eval()
    with files_of_runtimes(bench_model.checkpoint(), images) as files:
        predictors = {file.name: file.load() for file in files}
        variants = {name: _ours(predictor, rgb_images) for name, predictor in predictors.items()}
        for precision in PRECISIONS:
            variants[f"layers alone, {precision}"] = _layers_alone(predictors[f"detect, {precision}"], rgb_images[0])
        variants["torchvision, fp32"] = timed_on(rgb_images, partial(torchvision_detections, reference))
        timings = time_interleaved(variants, repeats)
        starts: dict[str, Start] = {file.name: partial(start_model, file) for file in files}
        starts["torchvision, fp32"] = partial(start_torchvision, files[0].file)
        processes = process_table(starts, images[:3], command)
    comparison = BenchmarkTable(
        "Inference: Faster R-CNN R50-FPN, 800 pixels",
        command,
        COMPARISON_COLUMNS,
        comparison_rows(timings, "detect, fp32"),
        _notes(timings, predictors, reference, rgb_images),
        raw_seconds(timings),
    )
    detectron2_tables = [_compare_with_detectron2(images, repeats, command)] if detectron2_peer.installed() else []
    ours = {precision: predictors[f"detect, {precision}"] for precision in PRECISIONS}
    return [comparison, *detectron2_tables, _stages_table(ours, images, command), processes]


def measure_models(
    files: Sequence[ModelFile], images: Sequence[Path], repeats: int, command: str
) -> list[BenchmarkTable]:
    """Return the tables of MODELs of any kind on the same images: time, and the start and memory of a process.

    The detections of each are compared with those of the first.
    """
    rgb_images = [read_image(image) for image in images]
    predictors = {file.name: file.load() for file in files}
    variants = {name: _ours(predictor, rgb_images) for name, predictor in predictors.items()}
    timings = time_interleaved(variants, repeats)
    times = BenchmarkTable(
        "Inference, from images to detections",
        command,
        COMPARISON_COLUMNS,
        comparison_rows(timings, files[0].name),
        _agreement_notes(files[0].name, predictors, rgb_images),
        raw_seconds(timings),
    )
    return [times, process_table({file.name: partial(start_model, file) for file in files}, images[:3], command)]


def make_predictor(bench_model: BenchModel, precision: Precision, device: Device = "cpu") -> Predictor:
    """Return a predictor with the weights of a model, as ``detect.load`` returns one."""
    compute = select_device(device, precision)
    detector = bench_model.detector().eval()
    optimize_detector(detector, compute.dtype)
    return Predictor(detector, bench_model.classes, bench_model.preprocess, bench_model.config, Path(), compute)


def torchvision_detections(reference: FasterRCNN, image: np.ndarray) -> Detections:
    """Return torchvision's detections in an image (H, W, 3) uint8, in its pixels, on the CPU."""
    device = next(reference.parameters()).device
    with torch.inference_mode():
        (output,) = reference([pixels.to(device) for pixels in to_torchvision_images([image])])
    return Detections(*(output[name].cpu() for name in ("boxes", "scores", "labels")))


def agreement(theirs: Sequence[Detections], ours: Sequence[Detections]) -> float | None:
    """Return which fraction of their detections on all images is among ours; None where they have none.

    Those have the same label, and no edge differs by more than TOLERANCE_PX.
    """
    num_same = 0
    for expected, detected in zip(theirs, ours, strict=True):
        differences = (expected.boxes[:, None] - detected.boxes).abs().amax(2)
        differences[expected.labels[:, None] != detected.labels] = float("inf")
        num_same += int((differences <= TOLERANCE_PX).any(1).sum())
    total = sum(map(len, theirs))
    return num_same / total if total else None


def _percent(share: float | None) -> str:
    return "none" if share is None else f"{share:.2%}"


def _ours(predictor: Predictor, rgb_images: Sequence[np.ndarray]) -> Variant:
    return timed_on(rgb_images, lambda rgb: predictor.predict(rgb, 0.0))


def _layers_alone(predictor: Predictor, rgb: np.ndarray) -> Variant:
    layers = LayersAlone(predictor.base_detector)
    layers.record(lambda: predictor.predict(rgb, 0.0))

    def run() -> None:
        with torch.inference_mode(), predictor.compute.autocast():
            layers.run()

    return timed(run)


def _notes(
    timings: dict[str, Timing],
    predictors: Mapping[str, Predictor],
    reference: FasterRCNN,
    rgb_images: Sequence[np.ndarray],
) -> tuple[str, ...]:
    ours = [predictors["detect, fp32"].predict(rgb, 0.0) for rgb in rgb_images]
    theirs = [torchvision_detections(reference, rgb) for rgb in rgb_images]
    lines = []
    for precision in PRECISIONS:
        ratio = relative_time(timings[f"detect, {precision}"], timings[f"layers alone, {precision}"])
        result = "target met" if point_estimate(ratio) <= MAX_OVERHEAD else "target missed"
        lines.append(
            f"{precision}: time relative to its convolutions and linear layers alone {format_cell(ratio)} "
            f"(at most {MAX_OVERHEAD}: {result})"
        )
    return (
        *lines,
        _speedups(timings, predictors, "torchvision, fp32"),
        f"the same weights and images: {sum(map(len, theirs))} detections of torchvision, {sum(map(len, ours))} of "
        f"detect in fp32; {_percent(agreement(theirs, ours))} of torchvision's are among them within {TOLERANCE_PX} "
        "pixels",
        *_agreement_notes("detect, fp32", predictors, rgb_images),
        *_missing_runtimes(predictors),
    )


def _speedups(timings: dict[str, Timing], names: Iterable[str], baseline: str) -> str:
    """Return the sentence on how many times as fast as ``baseline`` each variant is."""
    return f"speedup over {baseline}: " + "; ".join(
        f"{name} {format_cell(relative_time(timings[baseline], timings[name]))}" for name in names
    )


def _agreement_notes(
    first: str, predictors: Mapping[str, Predictor], rgb_images: Sequence[np.ndarray]
) -> tuple[str, ...]:
    """Return a sentence on the share of the first model's detections that each of the others has too."""
    expected = [predictors[first].predict(rgb, 0.0) for rgb in rgb_images]
    shares = {
        name: agreement(expected, [predictor.predict(rgb, 0.0) for rgb in rgb_images])
        for name, predictor in predictors.items()
        if name != first
    }
    if not shares:
        return ()
    listed = "; ".join(f"{name} {_percent(share)}" for name, share in shares.items())
    return (
        f"of the {sum(map(len, expected))} detections of {first} are the same within {TOLERANCE_PX} pixels: {listed}",
    )


def _missing_runtimes(predictors: Mapping[str, Predictor]) -> tuple[str, ...]:
    """Return a sentence where the graphs lack, none where they do not."""
    if any(name.startswith(("onnxruntime", "OpenVINO")) for name in predictors):
        return ()
    return ("onnxruntime and OpenVINO: expected the extra export, found none: pip install 'detect-rcnn[export]'",)


def _compare_with_detectron2(images: Sequence[Path], repeats: int, command: str) -> BenchmarkTable:
    """Return the table of detectron2's settings and weights, in its model, in ours and in our graphs."""
    rgb_images = [read_image(image) for image in images]
    reference = detectron2_peer.make_reference(rgb_images[0])
    with files_of_runtimes(reference.bench_model.checkpoint(), images) as files:
        predictors = {file.name: file.load() for file in files}
    variants = {name: _ours(predictor, rgb_images) for name, predictor in predictors.items()}
    variants["detectron2, fp32"] = timed_on(rgb_images, reference.detect)
    timings = time_interleaved(variants, repeats)
    ours = predictors["detect, fp32"]
    theirs = [reference.detect(rgb) for rgb in rgb_images]
    share = _percent(agreement(theirs, [ours.predict(rgb, 0.0) for rgb in rgb_images]))
    notes = (
        _speedups(timings, predictors, "detectron2, fp32"),
        f"the same weights and images: {share} of its detections are among ours in fp32 within {TOLERANCE_PX} pixels",
    )
    title = f"Inference compared with detectron2: its {detectron2_peer.NAME}, 800 pixels"
    return BenchmarkTable(
        title, command, COMPARISON_COLUMNS, comparison_rows(timings, "detect, fp32"), notes, raw_seconds(timings)
    )


def _stages_table(predictors: dict[Precision, Predictor], images: Sequence[Path], command: str) -> BenchmarkTable:
    rows = [(precision, *astuple(time_stages(predictor, images))) for precision, predictor in predictors.items()]
    return BenchmarkTable("Seconds per image by stage (medians)", command, ("precision", *STAGES), tuple(rows))


def start_torchvision(file: Path) -> Detect:
    """Load the weights of a checkpoint of ours into torchvision's model, and return the function that detects."""
    reference = torchvision_reference(BenchModel.from_checkpoint(load_checkpoint(file))).eval()
    return lambda image: torchvision_detections(reference, read_image(image))
