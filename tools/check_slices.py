"""Checks detection in slices: photos of one size, laid into a mosaic, are detected in slices of their size.

    python tools/check_slices.py MODEL --root VOC2007 --list heldout --count 256 --out build/slices

Prints how many of the detections that the photos alone give the mosaic has too, at their position, with slices and
without, and the peak memory of each run of ``detect predict``. The exit status is 1 if there are fewer than 0.95 of
them with slices, or more than 1.2 GB over the run on the photos.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import click
import cv2
import numpy as np

from detect.bench.timing import run_in_process
from detect.cli.main import run
from detect.data.images import image_size, read_image
from detect.evaluation.overlap import iou
from detect.evaluation.predictions import Prediction
from detect.inference.load import load
from detect.inference.result_readers import read_json

SIZE = (375, 500)  # (h, w) of the photos
MIN_IOU = 0.9  # of a detection and that of the photo alone
MIN_FRACTION, MAX_BYTES = 0.95, 1.2e9


@dataclass(frozen=True)
class Run:
    """The result of a run of ``detect predict``, and its peak memory in bytes."""

    predictions: list[Prediction]
    peak: int


def lay_out(photos: Sequence[np.ndarray]) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Return a mosaic of photos (h, w, 3) of one size, as nearly square in photos as it can be, and their corners."""
    columns = math.ceil(math.sqrt(len(photos)))
    height, width = photos[0].shape[:2]
    corners = [(i % columns * width, i // columns * height) for i in range(len(photos))]
    mosaic = np.zeros((-(-len(photos) // columns) * height, columns * width, 3), np.uint8)
    for photo, (x, y) in zip(photos, corners, strict=True):
        mosaic[y : y + height, x : x + width] = photo
    return mosaic, corners


def count_recovered(
    alone: Sequence[Prediction], corners: Sequence[tuple[int, int]], mosaic: Prediction
) -> tuple[int, int]:
    """Return how many detections of the photos the mosaic has at their position, each once, and how many there are."""
    recovered = total = 0
    is_free = np.ones(len(mosaic), bool)
    for prediction, (x, y) in zip(alone, corners, strict=True):
        overlaps = iou(prediction.boxes + np.array([x, y, x, y]), mosaic.boxes)
        for row, label in zip(overlaps, prediction.labels, strict=True):
            row = np.where(is_free & (mosaic.labels == label), row, 0.0)
            total += 1
            if len(row) and row.max() >= MIN_IOU:
                recovered += 1
                is_free[row.argmax()] = False
    return recovered, total


def predict(model: Path, images: Path, out: Path, classes: Sequence[str], score: float, flags: Sequence[str]) -> Run:
    """Run ``detect predict`` in a process of its own."""
    arguments = ["predict", str(model), str(images), "--out", str(out), "--format", "json", "--score", str(score)]
    process = run_in_process(run_detect, [*arguments, "--workers", "0", *flags])
    if process.output:
        raise SystemExit(process.output)
    return Run(read_json(out / "predictions.json", classes), process.peak_memory)


def run_detect(arguments: Sequence[str]) -> int:
    """Run the command ``detect`` in this process, and return its exit status."""
    with patch.object(sys, "argv", ["detect", *arguments]):
        try:
            run()
        except SystemExit as end:
            return int(end.code or 0)


@click.command(help=__doc__)
@click.argument("model", type=Path)
@click.option("--root", type=Path, required=True, help="Folder of a VOC data set.")
@click.option("--list", "split", default="heldout", show_default=True, help="List in ImageSets/Main.")
@click.option("--count", type=click.IntRange(1), default=256, show_default=True, help="Photos in the mosaic.")
@click.option("--score", type=float, default=0.5, show_default=True, help="Minimum score of the detections.")
@click.option("--out", type=Path, required=True, help="Folder for the photos, the mosaic and the detections.")
def main(model: Path, root: Path, split: str, count: int, score: float, out: Path) -> None:
    """Lay out the mosaic, detect on it in slices and without, and compare."""
    names = [line.split()[0] for line in (root / "ImageSets" / "Main" / f"{split}.txt").read_text().splitlines()]
    files = [root / "JPEGImages" / f"{name}.jpg" for name in names]
    files = [file for file in files if image_size(file) == SIZE][:count]
    if len(files) < count:
        raise click.ClickException(f"--count: expected at most {len(files)} photos of 500 x 375, found {count}")
    (out / "photos").mkdir(parents=True, exist_ok=True)
    photos = [read_image(file) for file in files]
    mosaic, corners = lay_out(photos)
    for file, photo in zip(files, photos, strict=True):
        cv2.imwrite(str(out / "photos" / f"{file.stem}.png"), photo[:, :, ::-1])
    cv2.imwrite(str(out / "mosaic.png"), mosaic[:, :, ::-1])
    classes = load(model, "cpu").classes
    alone = predict(model, out / "photos", out / "alone", classes, score, [])
    by_name = {Path(prediction.file).stem: prediction for prediction in alone.predictions}
    in_order = [by_name[file.stem] for file in files]
    print(f"{count} photos alone: {sum(map(len, in_order))} detections, peak {alone.peak / 1e9:.2f} GB")
    failed = False
    for title, flags in (("whole", []), ("slices", ["--slice", f"{SIZE[1]}x{SIZE[0]}", "--overlap", "0"])):
        sliced = predict(model, out / "mosaic.png", out / title, classes, score, flags)
        recovered, total = count_recovered(in_order, corners, sliced.predictions[0])
        extra = (sliced.peak - alone.peak) / 1e9
        print(
            f"mosaic of {mosaic.shape[1]} x {mosaic.shape[0]}, {title}: {recovered} of {total} detections at their "
            f"position ({recovered / max(1, total):.4f}), {len(sliced.predictions[0])} in all, peak "
            f"{sliced.peak / 1e9:.2f} GB, {extra:+.2f} GB over the photos alone"
        )
        failed |= title == "slices" and (total == 0 or recovered < MIN_FRACTION * total or extra * 1e9 > MAX_BYTES)
    sys.exit(failed)


if __name__ == "__main__":
    main()
