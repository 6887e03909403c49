"""The command ``detect model``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from rich.console import Console
from rich.table import Table

from detect.cli import options
from detect.cli.group import Group
from detect.errors import UserError
from detect.system.files import format_bytes, require_file, require_folder, require_writable_file, write_text

if TYPE_CHECKING:
    from detect.config import Config
    from detect.export.export_graph import GraphTarget
    from detect.export.float_layers import LayerCost

PIPED_WIDTH = 120  # columns: no line is wrapped, so that it can be searched
ZOO_WIDTH = 300
ExportTarget = Literal["torchvision", "safetensors", "onnx", "openvino"]


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
    short_help="Replace the head's fully connected layers by low-rank ones: faster, nearly as good.",
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
    """Import a Faster, Fast or Cascade R-CNN with its own preprocessing, anchors, thresholds and limits.

    FILE is a state dict written by torch.save, a pickle of detectron2's model zoo or a published file of mmdetection's
    (no code in it is run). NAME is a
    name of `detect model zoo`; its published weights are downloaded.
    """
    require_writable_file(out)
    for flag, value in (("--layout", layout), ("--eps", eps)):
        if library != "torchvision" and value is not None:
            raise UserError(f"{flag}: expected --from torchvision together with it, found --from {library}")
    from detect.checkpoints.checkpoint import save_checkpoint
    from detect.checkpoints.detectron2_import import import_detectron2
    from detect.checkpoints.mmdetection_import import import_mmdetection
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


@model_command.command(
    "export",
    short_help="Export a detector as one small file, as a graph of ONNX or OpenVINO, or as weights for torchvision.",
    epilog="Example: detect model export --to safetensors runs/mine mine.safetensors",
)
@click.argument("model", type=Path)
@click.argument("out", type=Path)
@click.option(
    "--to",
    "target",
    type=click.Choice(["torchvision", "safetensors", "onnx", "openvino"]),
    required=True,
    help="safetensors: one file with all that detection needs, to pass on. torchvision: weights for its builders. "
    "onnx, openvino: a graph that their runtimes run without this package.",
)
@click.option(
    "--check",
    "check_paths",
    multiple=True,
    metavar="PATH",
    help="onnx, openvino: photos, folders or globs in which the graph must detect what MODEL detects, or nothing is "
    "written [default: three photos that come with the package].",
)
@click.option(
    "--card",
    "card_file",
    type=Path,
    metavar="FILE.yaml",
    help="safetensors: license, data and measured figures to store in the file [default: those of MODEL, if it has "
    "them].",
)
def export(model: Path, out: Path, target: ExportTarget, check_paths: tuple[str, ...], card_file: Path | None) -> None:
    """Export MODEL (a run folder, a checkpoint, or a name of `detect model zoo`).

    safetensors: weights in half precision, settings, classes, license and data, with a checksum; such a file is a MODEL
    everywhere. torchvision: a state dict, and the call that builds its model. onnx, openvino: a graph, with settings,
    classes and preprocessing in its metadata; such a file is a MODEL of predict, eval and detect.load.
    """
    require_writable_file(out)
    if target == "onnx" or target == "openvino":
        if card_file is not None:
            raise UserError(f"--card: expected --to safetensors together with it, found --to {target}")
        _export_graph(model, out, target, check_paths)
        return
    if check_paths:
        raise UserError(f"--check: expected --to onnx or openvino together with it, found --to {target}")
    if card_file is not None and target != "safetensors":
        raise UserError(f"--card: expected --to safetensors together with it, found --to {target}")
    from detect.checkpoints.zoo import read_model

    if target == "safetensors":
        _export_safetensors(model, out, card_file)
        return
    from detect.checkpoints.torchvision_export import export_torchvision, save_state

    checkpoint, file = read_model(model)
    exported = export_torchvision(checkpoint, str(file))
    save_state(exported.state, out)
    print(f"{out}: {len(exported.state)} tensors for torchvision.models.detection.{exported.call}")


@model_command.command(
    "quantize",
    short_help="Quantize a detector to int8 for OpenVINO: up to four times as fast on processors that have VNNI.",
    epilog="Example: detect model quantize runs/mine mine_int8.xml --data photos/",
)
@click.argument("model", type=Path)
@click.argument("out", type=Path)
@click.option(
    "--data", "root", type=Path, required=True, metavar="ROOT", help="Folder of photos like those of the later use."
)
@click.option(
    "--photos",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Photos of the training split, or of ROOT without labels, by which the ranges of the numbers are set.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(0, 1),
    default=0.01,
    show_default=True,
    help="Largest fall of the mAP on these photos, where they have labels; until it is met, layers go back to float.",
)
@click.option("--anyway", is_flag=True, help="Quantize also on a processor that is slower in int8.")
@options.settings
def quantize(
    model: Path,
    out: Path,
    root: Path,
    photos: int,
    max_drop: float,
    anyway: bool,
    overrides: tuple[str, ...],
) -> None:
    """Quantize MODEL to int8, after training, as a graph of OpenVINO, and compare the two on the validation split of
    ROOT: the change of mAP with its 95% interval. Without labels of the model's classes there is no comparison.

    The first convolution, decoding, pooling, scores and suppression stay in float, and so do layers that cost more
    than --max-drop.
    """
    require_writable_file(out)
    require_folder(root, "a folder of photos")
    from detect.evaluation.score_tables import difference_table
    from detect.export.quantize_model import quantize_model

    written = quantize_model(model, out, root, photos, anyway, max_drop, overrides)
    print(
        f"{out}: {format_bytes(written.size)}; {written.num_int8} of {written.num_layers} layers in int8; "
        f"calibrated on {written.num_photos} {'photo' if written.num_photos == 1 else 'photos'}"
    )
    if written.float_layers:
        Console().print(_float_layers_table(written.float_layers))
    if written.change is None:
        print(f"not compared with the model: {written.not_compared}")
    else:
        change = written.change
        print(f"the model (first) and its graph in int8 (second) on {change.num_images} images:")
        Console().print(difference_table(change.before, change.after, change.comparison))


def _float_layers_table(layers: Sequence[LayerCost]) -> Table:
    """Return the table of the layers that int8 would have cost the most, which are in float."""
    table = Table(title="Layers that went back to float")
    table.add_column("layer")
    table.add_column("cost in int8, % of the detections", justify="right")
    for layer in layers:
        table.add_row(layer.name, f"{100 * layer.cost:.2f}")
    return table


def _export_graph(model: Path, out: Path, target: GraphTarget, check_paths: tuple[str, ...]) -> None:
    from detect.export.export_graph import export_graph, packaged_photos
    from detect.inference.find_images import find_images

    exported = export_graph(model, out, target, find_images(check_paths) if check_paths else packaged_photos())
    print(f"{out}: {format_bytes(exported.size)}, {exported.num_classes} classes; {exported.check}")


def _export_safetensors(model: Path, out: Path, card_file: Path | None) -> None:
    from detect.checkpoints.model_card import ModelCard, read_card_file
    from detect.checkpoints.packaged import SUFFIX, read_card, save_packaged
    from detect.checkpoints.zoo import read_model

    card = None if card_file is None else read_card_file(card_file)
    checkpoint, file = read_model(model)
    if card is None:
        card = read_card(file) if file.suffix == SUFFIX else ModelCard()
    written = save_packaged(checkpoint, card, out)
    print(
        f"{out}: {format_bytes(written.size)}, {len(checkpoint.classes)} classes; {written.num_half} tensors in half "
        f"precision, {written.num_full} as they were; license: {card.license}; SHA-256 {written.sha256}"
    )


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
