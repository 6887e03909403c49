#!/usr/bin/env python3
"""Check detection and tracks in a video of moving shapes, whose true boxes are known.

    detect train --config configs/faster_rcnn.yaml --out runs/shapes
    python tools/check_video.py runs/shapes --out OUT [--frames 300] [--shapes 6]

The boxes of the video must be those of its frames as photos, the tracks must reach an IDF1 of 0.85, and a run that was
killed and resumed must leave the same files. The exit status is 1 if one of them misses.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np

from detect.cli.exit_status import run_command
from detect.data.shapes.background import draw_background, random_colors
from detect.data.shapes.sprite import CLASSES, Sprite, draw_sprite
from detect.data.video import VideoFile, VideoWriter
from detect.errors import RunError, UnreadableImage
from detect.system import randomness

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # for the reference of IDF1 among the tests

SIZE = (256, 320)  # (h, w) of the frames; the shapes are as large as in the built-in images of 128 x 128 pixels
SHAPES_SIZE = (128, 128)
SCALE = ["--set", "data.min_size=224", "--set", "data.max_size=336"]  # 112 for 128, as in their training
MAX_COVERED = 0.7  # of an object: more of it under others and it cannot be seen
MIN_IDF1 = 0.85
SPEED = 3.0  # pixels a frame, at most


@dataclass(frozen=True)
class TrueFrame:
    """A frame (h, w, 3) uint8 with the boxes (G, 4) and identities (G,), from 1, of the objects that can be seen."""

    rgb: np.ndarray
    boxes: np.ndarray
    ids: np.ndarray


def draw_frames(num_frames: int, num_shapes: int, seed: int) -> list[TrueFrame]:
    """Return frames of shapes that move straight on, cross, cover each other and bounce off the borders."""
    rng = randomness.numpy_generator("moving shapes", seed)
    background = draw_background(rng, SIZE).astype(np.float32)
    sprites = [draw_sprite(rng, i % len(CLASSES) + 1, SHAPES_SIZE) for i in range(num_shapes)]
    candidates = random_colors(rng, 10 * num_shapes)
    contrast = np.linalg.norm(candidates - background.mean((0, 1)), axis=1)
    colors = candidates[np.argsort(-contrast)[:num_shapes]]
    limits = np.array([[max(1, SIZE[1] - len(s.alpha)), max(1, SIZE[0] - len(s.alpha))] for s in sprites])
    corners = rng.uniform(0, 1, (num_shapes, 2)) * limits
    velocities = rng.uniform(-SPEED, SPEED, (num_shapes, 2))
    frames = []
    for _ in range(num_frames):
        corners = corners + velocities
        velocities = np.where((corners < 0) | (corners > limits), -velocities, velocities)
        corners = np.clip(corners, 0, limits)
        placed = [s.moved_to(round(x), round(y)) for s, (x, y) in zip(sprites, corners, strict=True)]
        noise = 3 * rng.standard_normal((*SIZE, 1))
        frames.append(_draw_frame(background + noise, placed, colors))
    return frames


def _draw_frame(background: np.ndarray, sprites: list[Sprite], colors: np.ndarray) -> TrueFrame:
    canvas = background.copy()
    for sprite, color in zip(sprites, colors, strict=True):
        pixels, part = canvas[sprite.image_slices()], sprite.sprite_slices(SIZE)
        pixels += sprite.alpha[part][..., None] * (color + 40 * sprite.shade[part][..., None] - pixels)
    masks = [sprite.mask(SIZE) for sprite in sprites]
    seen = [i for i, mask in enumerate(masks) if _covered_part(mask, masks[i + 1 :]) <= MAX_COVERED]
    boxes = [cv2.boundingRect(masks[i].astype(np.uint8)) for i in seen]
    return TrueFrame(
        rgb=np.clip(canvas, 0, 255).astype(np.uint8),
        boxes=np.array([[x, y, x + w, y + h] for x, y, w, h in boxes], np.float64).reshape(-1, 4),
        ids=np.array(seen, np.int64) + 1,
    )


def _covered_part(mask: np.ndarray, nearer: list[np.ndarray]) -> float:
    covered = np.logical_or.reduce([np.zeros_like(mask), *nearer])
    return float((mask & covered).sum() / max(1, mask.sum()))


@click.command(help=__doc__)
@click.argument("model", type=Path)
@click.option("--out", required=True, type=Path, help="New folder for the video and all results.")
@click.option("--frames", "num_frames", type=click.IntRange(2), default=300, show_default=True)
@click.option("--shapes", "num_shapes", type=click.IntRange(1), default=6, show_default=True)
@click.option("--seed", default=0, show_default=True, help="Of the shapes and their ways.")
def main(model: Path, out: Path, num_frames: int, num_shapes: int, seed: int) -> None:
    """Make the video, run the commands, print the figures, and exit with status 1 if one misses."""
    from tests.tracking.idf1 import idf1

    frames = draw_frames(num_frames, num_shapes, seed)
    photos = out / "frames"
    photos.mkdir(parents=True)
    clip = out / "shapes.mp4"
    writer = VideoWriter(clip, rate=25)
    for frame in frames:
        writer.write(frame.rgb)
    writer.close()
    for decoded in VideoFile(clip).frames():
        if isinstance(decoded.image, UnreadableImage):
            raise RunError(str(decoded.image))
        cv2.imwrite(str(photos / f"{decoded.index:06}.png"), decoded.image[:, :, ::-1])
    formats = ["--score", "0.5", "--format", "json", *SCALE]
    _predict([str(model), str(photos), *formats, "--out", str(out / "photos")])
    _predict([str(model), str(clip), *formats, "--out", str(out / "video")])
    tracking = [str(model), str(clip), "--track", *formats, "--format", "csv", "--format", "images", "--out"]
    _predict([*tracking, str(out / "tracks")])
    num_kills = _predict_with_kills([*tracking, str(out / "killed")], out / "killed")
    same_boxes = _detections(out / "video") == _detections(out / "photos")
    tracked = [_boxes_and_tracks(record) for record in _records(out / "tracks")]
    score = idf1([(frame.boxes, frame.ids) for frame in frames], tracked)
    same_files = _contents(out / "tracks") == _contents(out / "killed")
    num_true, num_detected = sum(len(frame.ids) for frame in frames), sum(len(ids) for _, ids in tracked)
    print(f"{num_frames} frames, {num_shapes} shapes, {num_true} true boxes, {num_detected} detections")
    print(f"boxes of the video and of its frames as photos: {'the same' if same_boxes else 'NOT the same'}")
    print(f"IDF1 of the tracks: {score:.3f} (expected {MIN_IDF1} or more)")
    print(f"files after {num_kills} kills: {'the same' if same_files else 'NOT the same'}")
    sys.exit(0 if same_boxes and same_files and num_kills and score >= MIN_IDF1 else 1)


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "detect", "predict", *arguments, "--device", "cpu"]


def _predict(arguments: list[str]) -> None:
    if subprocess.run(_command(arguments), stdout=subprocess.DEVNULL).returncode:
        raise RunError(f"detect predict {' '.join(arguments)}: expected status 0")


def _predict_with_kills(arguments: list[str], folder: Path) -> int:
    """Kill the command twice after it has written something more, then let it end; return the number of kills."""
    kills = 0
    for _ in range(2):
        before = _journal_size(folder)
        with subprocess.Popen(_command(arguments), stdout=subprocess.DEVNULL) as process:
            while process.poll() is None and _journal_size(folder) <= before:
                time.sleep(0.02)
            if process.poll() is None:
                process.kill()
                kills += 1
    _predict(arguments)
    return kills


def _journal_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob(".finished*"))


def _records(folder: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    return records


def _detections(folder: Path) -> list[Any]:
    return [record["detections"] for record in _records(folder)]


def _boxes_and_tracks(record: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the boxes (D, 4) of a frame and their tracks (D,), 0 for none."""
    boxes = np.array([found["box"] for found in record["detections"]], np.float64).reshape(-1, 4)
    return boxes, np.array([found.get("track") or 0 for found in record["detections"]], np.int64)


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


if __name__ == "__main__":
    run_command(main, "check_video")
