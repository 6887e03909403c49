"""The commands ``detect model export`` and ``detect model quantize``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click
from rich.console import Console
from rich.table import Table

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.errors import UserError
from detect.system.files import format_bytes, require_folder, require_writable_file
from detect.system.numbers import format_count
from detect.system.overwriting import require_other_files

if TYPE_CHECKING:
    from detect.export.export_graph import GraphTarget
    from detect.export.float_layers import LayerCost

ExportTarget = Literal["torchvision", "safetensors", "onnx", "openvino"]


@click.command(
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
    require_other_than_model(out, model, "OUT")
    from detect.checkpoints.torchvision_export import export_torchvision, save_state

    checkpoint, file = read_model(model)
    exported = export_torchvision(checkpoint, str(file))
    save_state(exported.state, out)
    print(f"{out}: {len(exported.state)} tensors for torchvision.models.detection.{exported.call}")


@click.command(
    "quantize",
    short_help="Quantize a detector to int8 for OpenVINO, for processors that have instructions for it.",
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
@click.option("--anyway", is_flag=True, help="Quantize also on a processor without instructions for int8.")
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
    ROOT: the change of mAP with its 95% interval. Without labels there is no comparison; labels of the training split
    that cannot be read, or are of a class that MODEL does not have, are an error.
    --set of model.* and of the input size changes MODEL first; other settings are those of the data in ROOT.

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
        f"calibrated on {format_count(written.num_photos, 'photo')}"
    )
    for note in written.notes:
        print(note)
    choice = written.float_choice
    if choice is not None and choice.layers:
        Console().print(_float_layers_table(choice.layers))
    if choice is not None and choice.drop > max_drop:
        print(
            f"--max-drop: expected a fall of the mAP of at most {max_drop:g} on the photos to calibrate with, found "
            f"{choice.drop:.3f}: no other layer gives back more in float"
        )
    if written.change is None:
        print(f"not compared with the model: {written.not_compared}")
    else:
        change = written.change
        print(f"the model (first) and its graph in int8 (second) on {change.num_images} images:")
        Console().print(difference_table(change.before, change.after, change.comparison))
        exit_if_unreadable(change.unreadable, change.num_images + len(change.unreadable))


def require_other_than_model(out: Path, model: Path, argument: str) -> None:
    """Raise UserError if ``out`` is the file of MODEL: a checkpoint, or that of a run folder which is read."""
    if model.exists():  # else it is a name
        from detect.checkpoints.checkpoint import find_checkpoint

        require_other_files([out], [find_checkpoint(model)], argument)


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
