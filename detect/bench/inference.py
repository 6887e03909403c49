"""Inference, from images to detections: ours, torchvision's, detectron2's, and the layers alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torchvision.models.detection import FasterRCNN

from detect.bench import detectron2_peer
from detect.bench.layers import LayersAlone
from detect.bench.random_model import BenchModel, make_bench_model
from detect.bench.result_tables import COMPARISON_COLUMNS, BenchmarkTable, comparison_rows, format_ratio, raw_seconds
from detect.bench.stage_times import STAGES, time_stages
from detect.bench.timing import Timing, Variant, peak_memory, time_interleaved, timed, timed_on
from detect.bench.torchvision_peer import to_torchvision_images, torchvision_reference
from detect.config import Device, Precision
from detect.data.images import read_image
from detect.inference.predictor import Predictor
from detect.models.backbones.frozen_norm import optimize_for_inference
from detect.system.cpu import tune_malloc
from detect.system.device import select_device
from detect.types import Detections

CLASSES = 90
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
TOLERANCE_PX = 0.05
MAX_OVERHEAD = 1.4  # maximum time of a detector, relative to its layers alone


def measure_inference(images: Sequence[Path], repeats: int, command: str) -> list[BenchmarkTable]:
    """Return the tables of Faster R-CNN R50-FPN with a shorter side of 800, one image at a time.

    It is compared with torchvision's, with detectron2's where it is installed, and with its layers alone. Further
    tables have our time by stage, and the peak memory of a process that detects in three images.
    """
    rgb_images = [read_image(image) for image in images]
    bench_model = make_bench_model([], CLASSES, rgb_images)
    predictors = {precision: make_predictor(bench_model, precision) for precision in PRECISIONS}
    reference = torchvision_reference(bench_model).eval()
    variants: dict[str, Variant] = {}
    for precision, predictor in predictors.items():
        variants[f"detect, {precision}"] = _ours(predictor, rgb_images)
        variants[f"layers alone, {precision}"] = _layers_alone(predictor, rgb_images[0])
    variants["torchvision, fp32"] = timed_on(rgb_images, partial(torchvision_detections, reference))
    timings = time_interleaved(variants, repeats)
    comparison = BenchmarkTable(
        "Inference: Faster R-CNN R50-FPN, 800 pixels",
        command,
        COMPARISON_COLUMNS,
        comparison_rows(timings, "detect, fp32"),
        _notes(timings, predictors["fp32"], reference, rgb_images),
        raw_seconds(timings),
    )
    detectron2_tables = [_compare_with_detectron2(rgb_images, repeats, command)] if detectron2_peer.installed() else []
    ours_alone = [_stages_table(predictors, images, command), _memory_table(bench_model, images[:3], command)]
    return [comparison, *detectron2_tables, *ours_alone]


def make_predictor(bench_model: BenchModel, precision: Precision, device: Device = "cpu") -> Predictor:
    """Return a predictor with the weights of a model, as ``detect.load`` returns one."""
    compute = select_device(device, precision)
    detector = bench_model.detector().eval()
    optimize_for_inference(detector, compute.dtype)
    return Predictor(detector, bench_model.classes, bench_model.preprocess, bench_model.config, Path(), compute)


def torchvision_detections(reference: FasterRCNN, image: np.ndarray) -> Detections:
    """Return torchvision's detections in an image (H, W, 3) uint8, in its pixels, on the CPU."""
    device = next(reference.parameters()).device
    with torch.inference_mode():
        (output,) = reference([pixels.to(device) for pixels in to_torchvision_images([image])])
    return Detections(*(output[name].cpu() for name in ("boxes", "scores", "labels")))


def agreement(theirs: Detections, ours: Detections) -> float:
    """Return the fraction of their detections that are among ours: same label, all edges within TOLERANCE_PX."""
    differences = (theirs.boxes[:, None] - ours.boxes).abs().amax(2)
    differences[theirs.labels[:, None] != ours.labels] = float("inf")
    return float((differences <= TOLERANCE_PX).any(1).float().mean())


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
    timings: dict[str, Timing], predictor: Predictor, reference: FasterRCNN, rgb_images: Sequence[np.ndarray]
) -> tuple[str, ...]:
    torchvision_seconds = timings["torchvision, fp32"].median
    ours = [predictor.predict(rgb, 0.0) for rgb in rgb_images]
    theirs = [torchvision_detections(reference, rgb) for rgb in rgb_images]
    shares = [agreement(expected, detections) for expected, detections in zip(theirs, ours, strict=True)]
    lines = []
    for precision in PRECISIONS:
        total, layers = timings[f"detect, {precision}"].median, timings[f"layers alone, {precision}"].median
        result = "target met" if total <= MAX_OVERHEAD * layers else "target missed"
        lines.append(
            f"{precision}: time relative to its convolutions and linear layers alone {format_ratio(total / layers)} "
            f"(at most {MAX_OVERHEAD}: {result}); speedup over torchvision's model "
            f"{format_ratio(torchvision_seconds / total)}"
        )
    lines.append(
        f"the same weights and images: {sum(map(len, theirs))} detections of torchvision, {sum(map(len, ours))} of "
        f"detect in fp32; {np.mean(shares):.2%} of torchvision's are among them within {TOLERANCE_PX} pixels"
    )
    return tuple(lines)


def _compare_with_detectron2(rgb_images: Sequence[np.ndarray], repeats: int, command: str) -> BenchmarkTable:
    """Return the table of detectron2's settings and weights, in its model and in ours."""
    reference = detectron2_peer.make_reference(rgb_images[0])
    predictors = {precision: make_predictor(reference.bench_model, precision) for precision in PRECISIONS}
    variants = {f"detect, {precision}": _ours(predictor, rgb_images) for precision, predictor in predictors.items()}
    variants["detectron2, fp32"] = timed_on(rgb_images, reference.detect)
    timings = time_interleaved(variants, repeats)
    detectron2_seconds = timings["detectron2, fp32"].median
    shares = [agreement(reference.detect(rgb), predictors["fp32"].predict(rgb, 0.0)) for rgb in rgb_images]
    notes = (
        *(
            f"{precision}: speedup over detectron2 "
            f"{format_ratio(detectron2_seconds / timings[f'detect, {precision}'].median)}"
            for precision in PRECISIONS
        ),
        f"the same weights and images: {np.mean(shares):.2%} of its detections are among ours in fp32 within "
        f"{TOLERANCE_PX} pixels",
    )
    title = f"Inference compared with detectron2: its {detectron2_peer.NAME}, 800 pixels"
    return BenchmarkTable(
        title, command, COMPARISON_COLUMNS, comparison_rows(timings, "detect, fp32"), notes, raw_seconds(timings)
    )


def _stages_table(predictors: dict[Precision, Predictor], images: Sequence[Path], command: str) -> BenchmarkTable:
    rows = [(precision, *astuple(time_stages(predictor, images))) for precision, predictor in predictors.items()]
    return BenchmarkTable("Seconds per image by stage (medians)", command, ("precision", *STAGES), tuple(rows))


def _memory_table(bench_model: BenchModel, images: Sequence[Path], command: str) -> BenchmarkTable:
    ours = {precision: peak_memory(detect_with_ours, bench_model, images, precision) for precision in PRECISIONS}
    theirs = peak_memory(detect_with_torchvision, bench_model, images)
    rows = [(f"detect, {precision}", peak / 2**20, format_ratio(peak / theirs)) for precision, peak in ours.items()]
    return BenchmarkTable(
        "Peak memory of a process that detects in three images",
        command,
        ("variant", "MiB", "relative to torchvision"),
        (*rows, ("torchvision, fp32", theirs / 2**20, format_ratio(1.0))),
    )


def detect_with_ours(bench_model: BenchModel, images: Sequence[Path], precision: Precision) -> None:
    """Detect in images with our model, in a process whose memory is measured."""
    tune_malloc()
    predictor = make_predictor(bench_model, precision)
    for image in images:
        predictor.predict(image, 0.0)


def detect_with_torchvision(bench_model: BenchModel, images: Sequence[Path]) -> None:
    """Detect in images with torchvision's model, in a process whose memory is measured."""
    reference = torchvision_reference(bench_model).eval()
    for image in images:
        torchvision_detections(reference, read_image(image))
