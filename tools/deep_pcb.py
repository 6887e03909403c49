"""Converts DeepPCB (Tang et al. 2019, github.com/tangsanli5201/DeepPCB) to COCO files, and compares slices on it.

    python tools/deep_pcb.py convert DeepPCB --out pcb            # train.json, val.json and pcb.yaml
    detect train --config pcb/pcb.yaml --out runs/pcb
    detect train --config pcb/pcb.yaml --out runs/pcb_slices --set data.slice.size=320
    python tools/deep_pcb.py compare runs/pcb runs/pcb_slices --slice 320

DeepPCB has 1,500 binary pictures of 640 x 640 pixels with 3 to 12 defects, of about 30 pixels, of six kinds.
``compare`` scores each run on whole pictures and in slices, and gives the difference with its 95% interval.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from detect.config.builders.data import load_split_for_model
from detect.config.files import load_config, to_yaml
from detect.data.images import image_size
from detect.evaluation.analysis.compare_runs import compare_runs
from detect.evaluation.analysis.matches import METRIC_RULES, match
from detect.evaluation.score import evaluate
from detect.evaluation.score_tables import difference_table, score_table
from detect.inference.evaluate_dataset import predict_dataset
from detect.inference.load import load
from detect.system.progress import show_progress

CLASSES = ("open", "short", "mousebite", "spur", "copper", "pin-hole")
LISTS = {"train": "trainval.txt", "val": "test.txt"}
SETTINGS = (  # of the built-in faster_rcnn, which trains from random weights in minutes
    "model.rpn.anchor_sizes=[8,12,18,27,40]",
    "model.rpn.aspect_ratios=[0.5,1,2]",
    "data.format=coco",
    "data.train=train.json",
    "data.val=val.json",
    "data.min_size=320",  # half the side of the pictures, as large photos are reduced
    "data.max_size=320",
    "train.epochs=12",
    "train.validate_every=12",
)


def read_pairs(root: Path, split: str) -> list[tuple[Path, Path]]:
    """Return the picture and the label file of each line of a list; the pictures with defects end in ``_test``."""
    lines = (root / LISTS[split]).read_text().splitlines()
    pairs = [(Path(picture), Path(labels)) for picture, labels in (line.split() for line in lines if line.strip())]
    return [(root / path.with_name(f"{path.stem}_test.jpg"), root / labels) for path, labels in pairs]


def to_coco(pairs: list[tuple[Path, Path]], root: Path) -> dict[str, Any]:
    """Return the COCO document of pictures with their labels, lines of ``x1 y1 x2 y2 class``."""
    ids = count(1)
    images, annotations = [], []
    for image_id, (picture, labels) in enumerate(pairs, start=1):
        height, width = image_size(picture)
        name = picture.relative_to(root).as_posix()
        images.append({"id": image_id, "file_name": name, "width": width, "height": height})
        for line in labels.read_text().splitlines():
            x1, y1, x2, y2, category = map(int, line.replace(",", " ").split())
            box = [x1, y1, x2 - x1, y2 - y1]
            annotations.append(
                {
                    "id": next(ids),
                    "image_id": image_id,
                    "category_id": category,
                    "bbox": box,
                    "area": box[2] * box[3],
                    "iscrowd": 0,
                }
            )
    categories = [{"id": category, "name": name} for category, name in enumerate(CLASSES, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


@click.group(help=__doc__)
def main() -> None:
    """Convert the data, or compare detectors on it."""


@main.command()
@click.argument("repository", type=Path)
@click.option("--out", type=Path, required=True, help="Folder for the two files and the settings.")
def convert(repository: Path, out: Path) -> None:
    """Write train.json, val.json and pcb.yaml for a checkout of the repository."""
    root = (repository / "PCBData").absolute()
    out.mkdir(parents=True, exist_ok=True)
    for split in LISTS:
        document = to_coco(read_pairs(root, split), root)
        (out / f"{split}.json").write_text(json.dumps(document))
        print(f"{split}: {len(document['images'])} pictures, {len(document['annotations'])} defects")
    folders = (f"data.root={out.absolute()}", f"data.images={root}")
    (out / "pcb.yaml").write_text(to_yaml(load_config(Path("faster_rcnn"), (*SETTINGS, *folders))))


@main.command()
@click.argument("runs", type=Path, nargs=-1, required=True)
@click.option("--slice", "side", type=int, default=320, show_default=True, help="Side of a slice in pixels.")
def compare(runs: tuple[Path, ...], side: int) -> None:
    """Score each run on whole pictures and in slices."""
    console = Console()
    for run in runs:
        console.print(f"{run}: whole pictures, then slices of {side}")
        scores, matches = [], []
        for overrides in ([], [f"model.test_time.slice.size={side}"]):
            predictor = load(run, overrides=overrides)
            truth = load_split_for_model(predictor.config, "val", predictor.classes)
            with show_progress(console, "detecting", len(truth), "images") as progress:
                predictions = predict_dataset(predictor, truth, predictor.config, progress).predictions
            scores.append(evaluate(truth, predictions, "coco"))
            matches.append(match(truth, predictions, METRIC_RULES["coco"]))
            console.print(score_table(scores[-1]))
        files = [truth.file(index) for index in range(len(truth))]
        console.print(difference_table(scores[0], scores[1], compare_runs(matches[0], matches[1], files)))


if __name__ == "__main__":
    main()
