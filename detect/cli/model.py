"""detect model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from detect.cli import options
from detect.cli.group import Group
from detect.errors import UserError
from detect.system.files import existing_file, place_for_file, write_text

if TYPE_CHECKING:
    from detect.config import Config

PIPED_WIDTH = 120  # columns: no line is folded, so that it can be searched
ZOO_WIDTH = 300


@click.group("model", cls=Group, epilog="Example: detect model summary --config faster_rcnn")
def command() -> None:
    """Look into models, make them smaller, take them from torchvision and give them to it."""


@command.command(
    "summary",
    short_help="Layers, their outputs, costs, and what a cell of each sees.",
    epilog="Example: detect model summary --config faster_rcnn --set model.backbone.name=resnet18",
)
@click.option(
    "--config", "config_file", type=Path, required=True, help="A configuration file, or the name of a shipped one."
)
@click.option("--json", "json_file", type=Path, metavar="FILE", help="Write the same, sizes and counts in full.")
@click.option("--draw", "image", type=Path, metavar="IMAGE", help="Draw what a cell of a layer sees on this image.")
@click.option("--layer", metavar="NAME", help="--draw: which layer [default: the last one before the regions].")
@click.option("--out", type=Path, metavar="FILE", help="--draw: the picture to write, .png or .jpg.")
@options.settings
def summary(
    config_file: Path,
    json_file: Path | None,
    image: Path | None,
    layer: str | None,
    out: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Layers, their outputs, parameters and multiply-adds for one image of 640 x 480, resized as the settings say; what
    a cell of a map sees of the picture, and how many pixels the next one is away.

    Needs no weights and no data.
    """
    if (image is None) != (out is None) or (layer is not None and image is None):
        raise UserError("--draw: expected --draw IMAGE --out FILE together, and --layer only beside them")
    from detect.config.files import load_config

    config = load_config(config_file, overrides)
    if json_file is not None:
        place_for_file(json_file)
    if image is not None and out is not None:
        _draw_field(config, image, layer, out)
        return
    from detect.cli.summary_table import summary_plain, summary_table
    from detect.explain.network.summary import summarise

    found = summarise(config)
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(summary_table(found))
    if json_file is not None:
        write_text(json_file, json.dumps(summary_plain(found), indent=1) + "\n")


@command.command(
    "compress",
    short_help="Make the head's fully connected layers thin: faster, nearly as good.",
    epilog="Example: detect model compress runs/fast_rcnn-1 --out thin.pt",
)
@click.argument("model", type=Path)
@click.option("--out", type=Path, required=True, metavar="CKPT", help="Where to write the smaller checkpoint.")
@click.option(
    "--ranks",
    metavar="A,B",
    help="Rank of each layer [default: a quarter of the first one's outputs, a sixteenth of the next one's].",
)
def compress(model: Path, out: Path, ranks: str | None) -> None:
    """Truncated SVD of the head's fully connected layers (Fast R-CNN, section 3.1). Nothing is trained anew."""
    place_for_file(out)
    wanted = None if ranks is None else _ranks(ranks)
    from detect.checkpoints.checkpoint import save_checkpoint
    from detect.checkpoints.compress import compress as compressed

    found = compressed(model, wanted)
    save_checkpoint(found.checkpoint, out)
    print(
        f"{out}: ranks {', '.join(map(str, found.ranks))}; these layers take {found.after:,} multiplications a region, "
        f"{found.after / found.before:.0%} of {found.before:,}"
    )


@command.command(
    "import",
    short_help="A detector of torchvision's or detectron2's as a checkpoint.",
    epilog="Example: detect model import --from detectron2 model_final_b275ba.pkl --out r50.pt",
)
@click.argument("source", metavar="FILE|NAME")
@click.option(
    "--from", "maker", type=click.Choice(["torchvision", "detectron2"]), required=True, help="Whose detector it is."
)
@click.option("--out", type=Path, required=True, metavar="CKPT", help="Where to write the checkpoint.")
@click.option(
    "--layout", metavar="NAME", help="Which of torchvision's builders made the file [default: seen by its tensors]."
)
@click.option("--classes", metavar="A,B,...", help="Names of its labels in order [default: COCO's, or VOC's 20].")
@click.option(
    "--eps",
    type=click.FloatRange(0),
    help="What torchvision's fixed normalisations add to a variance [default: 1e-5; 0 in the published "
    "fasterrcnn_resnet50_fpn, so say 0 for what was fine-tuned from it].",
)
@options.settings
def import_(
    source: str,
    maker: str,
    out: Path,
    layout: str | None,
    classes: str | None,
    eps: float | None,
    overrides: tuple[str, ...],
) -> None:
    """A Faster or Fast R-CNN with its own preprocessing, anchors, thresholds and limits: the same boxes.

    FILE is a state dict written by torch.save, or a pickle of detectron2's model zoo, of which nothing is run; NAME one
    of `detect model zoo`, whose published weights are fetched.
    """
    place_for_file(out)
    for flag, value in (("--layout", layout), ("--eps", eps)):
        if maker != "torchvision" and value is not None:
            raise UserError(f"{flag}: expected --from torchvision beside it, found --from {maker}")
    from detect.checkpoints.checkpoint import save_checkpoint
    from detect.checkpoints.detectron2_import import import_detectron2
    from detect.checkpoints.torchvision_import import import_torchvision
    from detect.checkpoints.zoo import ZOO, fetched

    names = None if classes is None else tuple(classes.split(","))
    if maker == "torchvision":
        checkpoint = import_torchvision(source.removeprefix("torchvision/"), layout, names, eps, overrides)
    else:
        name = f"detectron2/{source.removeprefix('detectron2/')}"
        checkpoint = import_detectron2(fetched(name) if name in ZOO else Path(source), names, overrides)
    save_checkpoint(checkpoint, out)
    print(f"{out}: {len(checkpoint.classes)} classes, {len(checkpoint.weights)} tensors, all of them from {source}")


@command.command("zoo", short_help="Published detectors that can be had by name.", epilog="Example: detect model zoo")
def zoo() -> None:
    """Names that stand for MODEL in `detect predict`, `detect eval` and `model.init`, what their makers measured, and
    where they come from.
    """
    from detect.checkpoints.zoo import ZOO

    console = Console()
    if not console.is_terminal:
        console.width = ZOO_WIDTH
    table = Table(box=SIMPLE_HEAD)
    for column in ("name", "measured on", "box AP", "licence", "source"):
        table.add_column(column, overflow="fold")
    for name, entry in ZOO.items():
        table.add_row(name, entry.data, f"{entry.ap:.1f}", entry.licence, entry.url)
    console.print(table)


@command.command(
    "export",
    short_help="A checkpoint as weights that torchvision loads.",
    epilog="Example: detect model export --to torchvision runs/coco-1 r50.pth",
)
@click.argument("model", type=Path)
@click.argument("out", type=Path)
@click.option("--to", type=click.Choice(["torchvision"]), required=True, expose_value=False, help="Who is to load it.")
def export(model: Path, out: Path) -> None:
    """The weights of a detector laid out as one of torchvision's, as a state dict, and the call that builds it."""
    place_for_file(out)
    from detect.checkpoints.checkpoint import find_checkpoint, load_checkpoint
    from detect.checkpoints.torchvision_export import export_torchvision, save_state

    file = find_checkpoint(model)
    found = export_torchvision(load_checkpoint(file), str(file))
    save_state(found.state, out)
    print(f"{out}: {len(found.state)} tensors for torchvision.models.detection.{found.call}")


def _draw_field(config: Config, image: Path, layer: str | None, out: Path) -> None:
    place_for_file(out)
    from detect.data.images import read_image
    from detect.draw import save_image
    from detect.explain.network.field_image import field_picture

    picture, text = field_picture(config, read_image(existing_file(image, "an image")), layer)
    save_image(out, picture)
    print(text)


def _ranks(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--ranks: expected whole numbers such as 1024,256, found {text}") from None
