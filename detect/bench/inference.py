"""Images to detections: ours, torchvision's, detectron2's, and the layers alone."""

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
from detect.bench.result_tables import COMPARISON_COLUMNS, Table, comparison_rows, format_ratio, raw_seconds
from detect.bench.stage_times import STAGES, time_stages
from detect.bench.timing import Contender, Timing, timed, timed_on, peak_memory, time_interleaved
from detect.bench.torchvision_peer import to_torchvision_images, torchvision_reference
from detect.config import Precision
from detect.data.images import read_image
from detect.inference.predictor import Predictor
from detect.models.backbones.frozen_norm import optimize_for_inference
from detect.system.cpu import tune_malloc
from detect.system.device import select_device
from detect.types import Detections

CLASSES = 90
PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
TOLERANCE_PX = 0.05  # pixels
MAX_OVERHEAD = 1.4  # what the whole may take, in times of its layers


def measure_inference(images: Sequence[Path], turns: int, command: str) -> list[Table]:
    """Faster R-CNN R50-FPN, shorter side 800, one image at a time: compared with torchvision's, with detectron2's where
    it is installed, and with its layers alone; our time in parts; the peak memory of a process that looks at three
    images.
    """
    pictures = [read_image(image) for image in images]
    subject = make_bench_model([], CLASSES, pictures)
    predictors = {precision: make_predictor(subject, precision) for precision in PRECISIONS}
    twin = torchvision_reference(subject).eval()
    contenders: dict[str, Contender] = {}
    for precision, predictor in predictors.items():
        contenders[f"detect, {precision}"] = _ours(predictor, pictures)
        contenders[f"layers alone, {precision}"] = _layers_alone(predictor, pictures[0])
    contenders["torchvision, fp32"] = timed_on(pictures, partial(torchvision_detections, twin))
    timings = time_interleaved(contenders, turns)
    compared_all = Table(
        "Inference: Faster R-CNN R50-FPN, 800 pixels",
        command,
        COMPARISON_COLUMNS,
        comparison_rows(timings, "detect, fp32"),
        _remarks(timings, predictors["fp32"], twin, pictures),
        raw_seconds(timings),
    )
    beside = [_compare_with_detectron2(pictures, turns, command)] if detectron2_peer.installed() else []
    ours_alone = [_stages_table(predictors, images, command), _memory_table(subject, images[:3], command)]
    return [compared_all, *beside, *ours_alone]


def make_predictor(subject: BenchModel, precision: Precision) -> Predictor:
    """As ``detect.load`` gives one."""
    compute = select_device("cpu", precision)
    detector = subject.detector().eval()
    optimize_for_inference(detector, compute.dtype)
    return Predictor(detector, subject.classes, subject.preprocess, subject.config, Path(), compute)


def torchvision_detections(twin: FasterRCNN, image: np.ndarray) -> Detections:
    """torchvision's answer, in the image's pixels."""
    with torch.inference_mode():
        (found,) = twin(to_torchvision_images([image]))
    return Detections(found["boxes"], found["scores"], found["labels"])


def agreement(theirs: Detections, ours: Detections) -> float:
    """The share of their detections with one of ours of the same label whose sides are all within NEAR."""
    apart = (theirs.boxes[:, None] - ours.boxes).abs().amax(2)
    apart[theirs.labels[:, None] != ours.labels] = float("inf")
    return float((apart <= TOLERANCE_PX).any(1).float().mean())


def _ours(predictor: Predictor, pictures: Sequence[np.ndarray]) -> Contender:
    return timed_on(pictures, lambda picture: predictor.predict(picture, 0.0))


def _layers_alone(predictor: Predictor, picture: np.ndarray) -> Contender:
    layers = LayersAlone(predictor.base_detector)
    layers.record(lambda: predictor.predict(picture, 0.0))

    def run() -> None:
        with torch.inference_mode(), predictor.compute.autocast():
            layers.run()

    return timed(run)


def _remarks(
    timings: dict[str, Timing], predictor: Predictor, twin: FasterRCNN, pictures: Sequence[np.ndarray]
) -> tuple[str, ...]:
    stock = timings["torchvision, fp32"].median
    ours = [predictor.predict(picture, 0.0) for picture in pictures]
    theirs = [torchvision_detections(twin, picture) for picture in pictures]
    shares = [agreement(wanted, found) for wanted, found in zip(theirs, ours, strict=True)]
    lines = []
    for precision in PRECISIONS:
        whole, layers = timings[f"detect, {precision}"].median, timings[f"layers alone, {precision}"].median
        verdict = "within" if whole <= MAX_OVERHEAD * layers else "OVER"
        lines.append(
            f"{precision}: the whole takes {format_ratio(whole / layers)} times its convolutions and linear layers alone "
            f"({verdict} the target of {MAX_OVERHEAD}); torchvision's stock model takes {format_ratio(stock / whole)} times as long"
        )
    lines.append(
        f"the same weights and images: {sum(map(len, theirs))} detections of theirs, {sum(map(len, ours))} of ours in "
        f"fp32; {np.mean(shares):.2%} of theirs are among ours within {TOLERANCE_PX} pixels"
    )
    return tuple(lines)


def _compare_with_detectron2(pictures: Sequence[np.ndarray], turns: int, command: str) -> Table:
    """Its own settings and weights, in its model and in ours."""
    rival = detectron2_peer.make_reference(pictures[0])
    predictors = {precision: make_predictor(rival.bench_model, precision) for precision in PRECISIONS}
    contenders = {f"detect, {precision}": _ours(predictor, pictures) for precision, predictor in predictors.items()}
    contenders["detectron2, fp32"] = timed_on(pictures, rival.detect)
    timings = time_interleaved(contenders, turns)
    stock = timings["detectron2, fp32"].median
    shares = [agreement(rival.detect(picture), predictors["fp32"].predict(picture, 0.0)) for picture in pictures]
    remarks = (
        *(
            f"{precision}: detectron2 takes {format_ratio(stock / timings[f'detect, {precision}'].median)} times as long"
            for precision in PRECISIONS
        ),
        f"the same weights and images: {np.mean(shares):.2%} of its detections are among ours in fp32 within {TOLERANCE_PX} "
        "pixels",
    )
    title = f"Inference beside detectron2: its {detectron2_peer.NAME}, 800 pixels"
    return Table(title, command, COMPARISON_COLUMNS, comparison_rows(timings, "detect, fp32"), remarks, raw_seconds(timings))


def _stages_table(predictors: dict[Precision, Predictor], images: Sequence[Path], command: str) -> Table:
    rows = [(precision, *astuple(time_stages(own, images))) for precision, own in predictors.items()]
    return Table("Where an image's time goes, seconds (medians)", command, ("precision", *STAGES), tuple(rows))


def _memory_table(subject: BenchModel, images: Sequence[Path], command: str) -> Table:
    ours = {precision: peak_memory(detect_with_ours, subject, images, precision) for precision in PRECISIONS}
    theirs = peak_memory(detect_with_torchvision, subject, images)
    rows = [(f"detect, {precision}", peak / 2**20, format_ratio(peak / theirs)) for precision, peak in ours.items()]
    return Table(
        "Peak memory of a process that looks at three images",
        command,
        ("contender", "MiB", "of torchvision's"),
        (*rows, ("torchvision, fp32", theirs / 2**20, format_ratio(1.0))),
    )


def detect_with_ours(subject: BenchModel, images: Sequence[Path], precision: Precision) -> None:
    """Detect on images, in a process whose memory is measured."""
    tune_malloc()
    predictor = make_predictor(subject, precision)
    for image in images:
        predictor.predict(image, 0.0)


def detect_with_torchvision(subject: BenchModel, images: Sequence[Path]) -> None:
    """The same by torchvision."""
    twin = torchvision_reference(subject).eval()
    for image in images:
        torchvision_detections(twin, read_image(image))
