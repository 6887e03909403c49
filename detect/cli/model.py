"""The command ``detect model``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import options
from detect.cli.group import Group
from detect.cli.model_export import export, quantize, require_other_than_model
from detect.errors import UserError
from detect.system.files import require_file, require_writable_file, write_text
from detect.system.overwriting import require_other_files

if TYPE_CHECKING:
    from detect.config import Config

PIPED_WIDTH = 120  # columns: no line is wrapped, so that it can be searched
ZOO_WIDTH = 300


@click.group("model", cls=Group, epilog="Example: detect model summary --config faster_rcnn")
def model_command() -> None:
    """Summarize and compress models; import from torchvision, detectron2 and mmdetection; export to pass them on."""


@model_command.command(
    "summary",
    short_help="Show layers, their outputs, costs and receptive fields.",
    epilog="Example: detect model summary --config faster_rcnn --set model.backbone.name=resnet18",
)
@click.option(
    "--config", "config_file", type=Path, required=True, help="A configuration file, or the name of a built-in one."
)
@click.option(
    "--json", "json_file", type=Path, metavar="FILE", help="Write the table to this file, with exact sizes and counts."
)
@click.option("--draw", "image", type=Path, metavar="IMAGE", help="Draw the receptive field of a layer on this image.")
@click.option("--layer", metavar="NAME", help="--draw: layer to draw [default: the last one before the regions].")
@click.option("--out", type=Path, metavar="FILE", help="--draw: figure to write, .png or .jpg.")
@options.settings
def summary(
    config_file: Path,
    json_file: Path | None,
    image: Path | None,
    layer: str | None,
    out: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Show layers, their outputs, parameters and multiply-adds for one image of 640 x 480, resized by the settings; the
    receptive field of a cell of each map, and its stride (jump) in pixels.

    Needs no weights and no data.
    """
    if (image is None) != (out is None) or (layer is not None and image is None):
        raise UserError("--draw: expected --draw IMAGE --out FILE together, and --layer only together with them")
    from detect.config.files import load_config

    config = load_config(config_file, overrides)
    if json_file is not None:
        require_writable_file(json_file)
    if image is not None and out is not None:
        _draw_receptive_field(config, image, layer, out)
        return
    from detect.cli.summary_table import summary_table, summary_to_dict
    from detect.explain.network.summary import summarize

    network_summary = summarize(config)
    console = Console()
    if not console.is_terminal:
        console.width = PIPED_WIDTH
    console.print(summary_table(network_summary))
    if json_file is not None:
        write_text(json_file, json.dumps(summary_to_dict(network_summary), indent=1) + "\n")


@model_command.command(
    "compress",
    short_help="Replace the head's fully connected layers by low-rank ones (truncated SVD).",
    epilog="Example: detect model compress runs/fast_rcnn-1 --out thin.pt",
)
@click.argument("model", type=Path)
@click.option("--out", type=Path, required=True, metavar="CKPT", help="Checkpoint to write.")
@click.option(
    "--ranks",
    metavar="A,B",
    help="Rank of each layer [default: a quarter of the first one's outputs, a sixteenth of the next one's].",
)
def compress(model: Path, out: Path, ranks: str | None) -> None:
    """Compress the head's fully connected layers by truncated SVD (Fast R-CNN, section 3.1), without retraining."""
    require_writable_file(out)
    require_other_than_model(out, model, "--out")
    rank_list = None if ranks is None else _ranks(ranks)
    from detect.checkpoints.checkpoint import save_checkpoint
    from detect.checkpoints.compress import compress as compress_checkpoint

    compressed = compress_checkpoint(model, rank_list)
    save_checkpoint(compressed.checkpoint, out)
    print(
        f"{out}: ranks {', '.join(map(str, compressed.ranks))}; these layers take "
        f"{compressed.cost_after:,} multiplications per region, "
        f"{compressed.cost_after / compressed.cost_before:.0%} of {compressed.cost_before:,}"
    )


@model_command.command(
    "import",
    short_help="Import a detector of torchvision, detectron2 or mmdetection as a checkpoint.",
    epilog="Example: detect model import --from detectron2 model_final_b275ba.pkl --out r50.pt",
)
@click.argument("source", metavar="FILE|NAME")
@click.option(
    "--from",
    "library",
    type=click.Choice(["torchvision", "detectron2", "mmdetection"]),
    required=True,
    help="Library of the detector.",
)
@click.option("--out", type=Path, required=True, metavar="CKPT", help="Checkpoint to write.")
@click.option(
    "--layout", metavar="NAME", help="torchvision's builder that made the file [default: detected from its tensors]."
)
@click.option(
    "--classes", metavar="A,B,...", help="Class names in the order of the labels [default: COCO's, or VOC's 20]."
)
@click.option(
    "--eps",
    type=click.FloatRange(0),
    help="Epsilon of torchvision's frozen batch norms [default: 1e-5; 0 in the published fasterrcnn_resnet50_fpn, "
    "so give 0 for a model fine-tuned from it].",
)
@options.settings
def import_(
    source: str,
    library: str,
    out: Path,
    layout: str | None,
    classes: str | None,
    eps: float | None,
    overrides: tuple[str, ...],
) -> None:
    """Import a Faster, Fast, Cascade or Mask R-CNN with the preprocessing, anchors, thresholds and limits that it has.

    A file of mmdetection's has them in its configuration; what it does not have is printed. Files of torchvision and
    present ones of detectron2 do not have them: they are assumed to be those of the library's own configuration, and
    `--set` gives others (`model.rpn.anchor_sizes`, `model.preprocess.mean`, `data.min_size`).

    FILE is a state dict written by torch.save, a pickle of detectron2's model zoo or a published file of mmdetection's
    (no code in it is run). NAME is a
    name of `detect model zoo`; its published weights are downloaded.
    """
    require_writable_file(out)
    if Path(source).exists():  # else it is a name
        require_other_files([out], [Path(source)])
    for flag, value in (("--layout", layout), ("--eps", eps)):
        if library != "torchvision" and value is not None:
            raise UserError(f"{flag}: expected --from torchvision together with it, found --from {library}")
    from detect.checkpoints.checkpoint import save_checkpoint
    from detect.checkpoints.detectron2_import import import_detectron2
    from detect.checkpoints.mmdetection_import import assumed_settings, import_mmdetection
    from detect.checkpoints.torchvision_import import import_torchvision
    from detect.checkpoints.zoo import ZOO, download_verified

    names = None if classes is None else tuple(classes.split(","))
    if library == "torchvision":
        checkpoint = import_torchvision(source.removeprefix("torchvision/"), layout, names, eps, overrides)
    elif library == "mmdetection":
        checkpoint = import_mmdetection(Path(source), names, overrides)
    else:
        name = f"detectron2/{source.removeprefix('detectron2/')}"
        checkpoint = import_detectron2(download_verified(name) if name in ZOO else Path(source), names, overrides)
    save_checkpoint(checkpoint, out)
    if library == "mmdetection" and (assumed := assumed_settings(Path(source), checkpoint, overrides)):
        print(assumed)
    print(f"{out}: {len(checkpoint.classes)} classes, {len(checkpoint.weights)} tensors, all of them from {source}")


@model_command.command(
    "zoo", short_help="List the detectors that can be used by name.", epilog="Example: detect model zoo"
)
def zoo() -> None:
    """List names that can be used as MODEL and as `model.init`: first the detectors that come with this package and
    need no network, with what was measured with them; then published ones, with the published AP, the license and the
    source, from which they are downloaded once.
    """
    from detect.cli.zoo_tables import published_table, shipped_table

    console = Console()
    if not console.is_terminal:
        console.width = ZOO_WIDTH
    console.print(shipped_table())
    console.print(published_table())


model_command.add_command(export)
model_command.add_command(quantize)


def _draw_receptive_field(config: Config, image: Path, layer: str | None, out: Path) -> None:
    require_writable_file(out)
    from detect.data.images import read_image
    from detect.draw import save_image
    from detect.explain.network.field_image import field_figure

    drawing, text = field_figure(config, read_image(require_file(image, "an image")), layer)
    save_image(out, drawing)
    print(text)


def _ranks(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UserError(f"--ranks: expected whole numbers such as 1024,256, found {text}") from None
