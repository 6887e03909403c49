"""detect bench."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.group import Group
from detect.cli.options import Device, Precision
from detect.errors import UserError, nearest
from detect.system.cpu import keep_freed_memory
from detect.system.files import place_for_file, write_text

if TYPE_CHECKING:
    from detect.inference.predictor import Predictor

BENCHMARKS = {
    "inference": "Faster R-CNN R50-FPN at 800 pixels: beside torchvision's, detectron2's, its layers alone.",
    "training": "Steps of R50-FPN and R18-FPN: beside torchvision's and detectron2's.",
    "loading": "The loader of configs/faster_rcnn.yaml: beside the training steps that it feeds.",
    "search": "Selective search in its three modes.",
    "evaluation": "COCO's twelve numbers: beside pycocotools.",
    "growth": "With the image's size, the proposals, the batch and the classes.",
}
WITHOUT_IMAGES = {"loading", "evaluation"}


@click.group("bench", cls=Group, epilog="Example: detect bench all photos/ --out BENCHMARKS.md")
def command() -> None:
    """How fast on this machine's processor: ours and others' in turns, same random weights, same images."""


def _add(name: str, names: tuple[str, ...], told: str) -> None:
    """A subcommand that runs the benchmarks ``names``."""
    parameters: list[click.Parameter] = [
        click.Option(["--turns"], type=click.IntRange(1), default=10, show_default=True, help="Of each contender."),
        click.Option(["--out"], type=click.Path(path_type=Path), metavar="FILE.md", help="Write the page."),
        click.Option(
            ["--json", "json_file"], type=click.Path(path_type=Path), metavar="FILE", help="Write every number."
        ),
    ]
    if not WITHOUT_IMAGES.issuperset(names):
        parameters[:0] = [
            click.Argument(["paths"], metavar="IMAGE...", nargs=-1),
            click.Option(
                ["--photos", "images"],
                type=click.IntRange(1),
                default=10,
                show_default=True,
                help="Look at so many, of the commonest size.",
            ),
        ]

    def callback(
        turns: int, out: Path | None, json_file: Path | None, paths: tuple[str, ...] = (), images: int = 0
    ) -> None:
        _run(names, paths, images, turns, out, json_file)

    example = f"Example: detect bench {name}{'' if WITHOUT_IMAGES.issuperset(names) else ' photos/'} --out {name}.md"
    made = click.Command(name, callback=callback, params=parameters, help=told, short_help=told, epilog=example)
    command.add_command(made)


def _run(
    names: tuple[str, ...],
    paths: tuple[str, ...],
    images: int,
    turns: int,
    out: Path | None,
    json_file: Path | None,
) -> None:
    keep_freed_memory()
    for file in (out, json_file):
        if file is not None:
            place_for_file(file)
    if not paths and not WITHOUT_IMAGES.issuperset(names):
        raise UserError("IMAGE: expected images, folders or globs, found none")
    from detect.bench import benchmark_page as page
    from detect.inference.find_images import find_images

    chosen, tables = page.images_of_one_size(find_images(paths), images), []
    console = Console()
    for name in names:
        shown = f"detect bench {name}" if name in WITHOUT_IMAGES else f"detect bench {name} IMAGE..."
        for table in page.MEASURES[name](chosen, turns, shown):
            tables.append(table)
            console.print(table.markdown(), markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        write_text(out, page.page(tables))
    if json_file is not None:
        page.write_json(tables, json_file)


for _name, _told in BENCHMARKS.items():
    _add(_name, (_name,), _told)
_add("all", tuple(BENCHMARKS), "All of these.")


@command.command(
    "explain",
    short_help="Whether explanations lie on objects with masks, and are true.",
    epilog="Example: detect bench explain runs/voc-1 VOCdevkit/VOC2007 --photos 20 --out EXPLAIN.md",
)
@click.argument("model", type=Path)
@click.argument("root", type=Path)
@click.option("--split", metavar="LIST", default="val", show_default=True, help="Images of this list.")
@click.option("--photos", "images", type=click.IntRange(1), default=20, show_default=True, help="Look at so many.")
@click.option("--methods", metavar="A,B", help="Only these methods of detect explain [default: all].")
@click.option("--layer", metavar="NAME", help="Maps of this layer, as `detect model summary` names it.")
@click.option("--masks", type=click.IntRange(2), default=500, show_default=True, help="drise: random masks.")
@click.option(
    "--score", type=click.FloatRange(0, 1), default=0.5, show_default=True, help="Detections that score so much."
)
@click.option("--out", type=Path, metavar="FILE.md", help="Write the table.")
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write every number.")
@options.device
@options.precision
def explain(
    model: Path,
    root: Path,
    split: str,
    images: int,
    methods: str | None,
    layer: str | None,
    masks: int,
    score: float,
    out: Path | None,
    json_file: Path | None,
    device: Device | None,
    precision: Precision | None,
) -> None:
    """Each method of `detect explain` with MODEL on the images of a VOC folder that have masks (SegmentationObject),
    beside two controls, and beside pytorch-grad-cam where it is installed: how much of a map lies on its object,
    whether hiding what it names lowers the score, how much lies on other objects of the class.
    """
    keep_freed_memory()
    for file in (out, json_file):
        if file is not None:
            place_for_file(file)
    from detect.bench.benchmark_page import page, write_json
    from detect.bench.explaining import explaining
    from detect.bench.explaining_cases import masked_images
    from detect.explain.attribution.methods import METHODS
    from detect.explain.attribution.options import Choice, unseen
    from detect.inference.predictor import load
    from detect.system.progress import display

    names = list(METHODS) if methods is None else [name.strip() for name in methods.split(",")]
    for name in names:
        if name not in METHODS:
            raise UserError(
                f"--methods: expected names among {', '.join(METHODS)}, found {name}{nearest(name, METHODS)}"
            )
    chosen = masked_images(root, split, images)
    again = f"detect bench explain {model} {root} --split {split} --photos {images} --masks {masks} --score {score:g}"
    predictor = load(model, device or "auto", precision or "fp32")
    console = Console()
    with display(console, "explaining", len(chosen), "images") as shown:
        table = explaining(predictor, chosen, names, Choice(unseen, layer, masks), score, shown, again)
    console.print(table.markdown(), markup=False, highlight=False, soft_wrap=True)
    if out is not None:
        write_text(out, page([table], "Explanations", _which(predictor)))
    if json_file is not None:
        write_json([table], json_file)


def _which(predictor: Predictor) -> tuple[str, ...]:
    model, data = predictor.config.model, predictor.config.data
    return (
        f"Of {predictor.file}: {model.kind} on {model.backbone.name}, trained on the list {data.train} of {data.root}.",
        "Each method of `detect explain` beside two controls that know nothing of the network.",
    )
