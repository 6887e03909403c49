"""Measures how many of the labels that ``detect data inspect --model`` ranks first are wrong, with planted errors.

A fraction of the objects of a VOC split are removed, moved, relabelled or doubled, in equal parts. A suspect is right
if it is about such an object; a missing one, if it overlaps a removed object by an IoU of 0.5 or more. The precision
among the first suspects stands beside that of the same suspects in random order.

    python tools/check_label_suspects.py RUN --root VOC2007 --seeds 3
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.formats.voc import read_voc
from detect.evaluation.analysis.label_suspects import LabelSuspect, rank_label_suspects
from detect.evaluation.overlap import iou
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.load import load
from detect.system.progress import show_progress

KINDS = ("removed", "moved", "relabelled", "doubled")
_MATCH_IOU = 0.5
_SHIFT = (0.3, 0.7)  # of a side: a moved box overlaps its object by an IoU of 0.1 to 0.55
_JITTER = 0.03  # of a side: the corners of a doubled box


@dataclass(frozen=True)
class PlantedImage:
    """An image with planted errors: changed: kinds by the index of the object; removed (R, 4): boxes without a label;
    moved_from: the true box of each moved object by its index."""

    annotation: ImageAnnotation
    changed: dict[int, str]
    removed: np.ndarray
    moved_from: dict[int, np.ndarray]


def plant_errors(image: ImageAnnotation, kinds: dict[int, str], num_classes: int, seed: int) -> PlantedImage:
    """Return the image with errors in the objects whose index ``kinds`` has."""
    random = np.random.default_rng([seed, image.image_id])
    boxes: list[np.ndarray] = []
    labels: list[int] = []
    changed: dict[int, str] = {}
    moved_from: dict[int, np.ndarray] = {}
    difficult, removed = [], []
    for g in range(len(image.boxes)):
        kind, box, label = kinds.get(g), image.boxes[g], int(image.labels[g])
        if kind == "removed":
            removed.append(box)
            continue
        if kind == "moved":
            moved_from[len(boxes)] = box
            box = _move(box, image.size, random)
        elif kind == "relabelled":
            label = (label - 1 + int(random.integers(1, num_classes))) % num_classes + 1
        if kind is not None and kind != "doubled":
            changed[len(boxes)] = kind
        boxes.append(box)
        labels.append(label)
        difficult.append(bool(image.difficult[g]))
        if kind == "doubled":
            changed |= {len(boxes) - 1: kind, len(boxes): kind}
            sides = np.tile(box[2:] - box[:2], 2)
            boxes.append(box + random.uniform(-_JITTER, _JITTER, 4) * sides)
            labels.append(label)
            difficult.append(bool(image.difficult[g]))
    array = np.asarray(boxes, np.float64).reshape(-1, 4)
    annotation = replace(
        image,
        boxes=array,
        labels=np.asarray(labels, np.int64),
        difficult=np.asarray(difficult, bool),
        crowd=np.zeros(len(labels), bool),
        areas=(array[:, 2] - array[:, 0]) * (array[:, 3] - array[:, 1]),
    )
    return PlantedImage(annotation, changed, np.asarray(removed, np.float64).reshape(-1, 4), moved_from)


def _move(box: np.ndarray, size: tuple[int, int], random: np.random.Generator) -> np.ndarray:
    """Return the box shifted along both axes by 0.3 to 0.7 of its sides, within the image where there is room."""
    sides = box[2:] - box[:2]
    limit = np.asarray([size[1], size[0]]) - sides
    shift = random.uniform(*_SHIFT, 2) * sides * random.choice([-1, 1], 2)
    inside = (box[:2] + shift >= 0) & (box[:2] + shift <= limit)
    start = box[:2] + np.where(inside, shift, -shift)
    return np.concatenate([start, start + sides])


def planted_kind(suspect: LabelSuspect, image: PlantedImage) -> str | None:
    """Return the kind of the planted error that a suspect is about, None if it is about none."""
    if suspect.object is not None:
        return image.changed.get(suspect.object)
    box = suspect.box.reshape(1, 4)
    if (iou(box, image.removed) >= _MATCH_IOU).any():
        return "removed"
    moved = np.asarray(list(image.moved_from.values()), np.float64).reshape(-1, 4)
    return "moved" if (iou(box, moved) >= _MATCH_IOU).any() else None


def _plant_in_all(
    annotations: Annotations, kinds_to_plant: Sequence[str], fraction: float, seed: int
) -> list[PlantedImage]:
    """Return all images, with errors of these kinds in turn in a fraction of the objects."""
    random = np.random.default_rng(seed)
    objects = [(i, g) for i in range(len(annotations)) for g in range(len(annotations[i].boxes))]
    chosen = random.permutation(len(objects))[: round(fraction * len(objects))]
    kinds: dict[int, dict[int, str]] = {}
    for rank, index in enumerate(chosen.tolist()):
        i, g = objects[index]
        kinds.setdefault(i, {})[g] = kinds_to_plant[rank % len(kinds_to_plant)]
    num_classes = len(annotations.classes)
    return [plant_errors(annotations[i], kinds.get(i, {}), num_classes, seed) for i in range(len(annotations))]


@click.command()
@click.argument("model", type=Path)
@click.option("--root", type=Path, required=True, help="Folder of VOC2007.")
@click.option("--split", default="val", show_default=True)
@click.option("--fraction", type=click.FloatRange(0, 1), default=0.05, show_default=True, help="Of the objects.")
@click.option("--top", type=click.IntRange(1), default=100, show_default=True)
@click.option("--seeds", type=click.IntRange(1), default=3, show_default=True)
@click.option("--kind", "kinds_to_plant", type=click.Choice(KINDS), multiple=True, help="[default: all four]")
def main(
    model: Path, root: Path, split: str, fraction: float, top: int, seeds: int, kinds_to_plant: tuple[str, ...]
) -> None:
    """Plant errors in a VOC split and print how many of the first suspects are about them."""
    predictor = load(model)
    annotations = read_voc(root, split, predictor.classes)
    with show_progress(Console(stderr=True), "detecting", len(annotations), "images") as progress:
        predictions = predict_dataset(predictor, annotations, predictor.config, progress).predictions
    print(f"| seed | planted | suspects | precision of the first {top} | of {top} in random order | by kind |")
    print("|---|---|---|---|---|---|")
    for seed in range(seeds):
        planted = _plant_in_all(annotations, kinds_to_plant or KINDS, fraction, seed)
        changed = Annotations.from_images([image.annotation for image in planted], annotations.classes)
        suspects = rank_label_suspects(changed, predictions)
        kinds = [planted_kind(suspect, planted[suspect.image]) for suspect in suspects]
        num_planted = round(fraction * len(annotations.boxes))
        first = [kind for kind in kinds[:top] if kind is not None]
        chance = f"{sum(kind is not None for kind in kinds) / len(kinds):.2f}" if kinds else "-"
        by_kind = ", ".join(f"{count} {kind}" for kind, count in Counter(first).most_common())
        precision = f"{len(first) / min(top, len(kinds)):.2f}" if kinds else "-"
        print(f"| {seed} | {num_planted} | {len(suspects)} | {precision} | {chance} | {by_kind} |")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
