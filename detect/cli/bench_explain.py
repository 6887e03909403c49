"""The command ``detect bench explain``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from detect.cli import bench_output, options
from detect.cli.options import Device, Precision
from detect.cli.repeat_command import portable_path, repeat_command
from detect.errors import UserError
from detect.system.cpu import tune_malloc

if TYPE_CHECKING:
    from detect.inference.predictor import Predictor

_NO_SETTINGS = ("records_file", "other_records", "out", "json_file")  # files that the results are in


@click.command(
    "explain",
    short_help="Measure whether explanations lie on the objects and are faithful.",
    epilog="Example: detect bench explain runs/voc-1 VOCdevkit/VOC2007 --detections 150 --records explain.jsonl",
)
@click.argument("model", type=Path)
@click.argument("root", type=Path)
@click.option(
    "--split",
    metavar="LIST",
    default="val",
    show_default=True,
    help="Use the images of this VOC list, or annotation file of COCO.",
)
@click.option(
    "--photos",
    "num_images",
    type=click.IntRange(1),
    help="Number of images to use [default: 20, with --detections all].",
)
@click.option(
    "--skip",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Number of images to leave out before the first.",
)
@click.option(
    "--detections", "min_detections", type=click.IntRange(1), help="Stop at the image that completes so many."
)
@click.option(
    "--records", "records_file", type=Path, metavar="FILE", help="Append each image's scores here, and go on from them."
)
@click.option(
    "--read-records",
    "other_records",
    type=Path,
    metavar="FILE",
    multiple=True,
    help="Read the scores of images that other processes have measured, with other lists of --split; repeatable.",
)
@click.option("--methods", metavar="A,B", help="Only these methods of `detect explain` [default: all].")
@click.option("--peers", metavar="A,B", help="Only these classes of pytorch-grad-cam, none for none [default: all].")
@click.option("--layer", metavar="NAME", help="Maps of this layer, as `detect model summary` names it.")
@click.option("--masks", type=click.IntRange(2), default=500, show_default=True, help="drise: number of random masks.")
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Minimum score of the detections to explain.",
)
@click.option(
    "--randomized",
    "num_randomized",
    type=click.IntRange(0),
    default=4,
    show_default=True,
    help="Number of images, the first with a detection, to compare with maps of random weights and of other seeds.",
)
@click.option("--similarity", is_flag=True, help="Add D-RISE's insertion and deletion: twice the time and more.")
@click.option("--out", type=Path, metavar="FILE.md", help="Write the tables to this file.")
@bench_output.json_file
@options.device
@options.precision
def bench_explain_command(
    model: Path,
    root: Path,
    split: str,
    num_images: int | None,
    skip: int,
    min_detections: int | None,
    records_file: Path | None,
    other_records: tuple[Path, ...],
    methods: str | None,
    peers: str | None,
    layer: str | None,
    masks: int,
    score: float,
    num_randomized: int,
    similarity: bool,
    out: Path | None,
    json_file: Path | None,
    device: Device | None,
    precision: Precision | None,
) -> None:
    """Measure each method of `detect explain` with MODEL on images of a VOC folder that have masks
    (SegmentationObject), or of a COCO data set, compared with two baselines, and with pytorch-grad-cam where it is
    installed: how much of a map lies on its object, whether hiding the pixels that it marks lowers the score, how much
    lies on other objects of the class; each mean with its interval. With --records a killed run goes on.
    """
    tune_malloc()
    bench_output.require_outputs(out, json_file, records_file)
    from detect.bench.explaining import measure_explanations
    from detect.bench.explaining_records import ExplanationRecords, ExplanationSettings, describe_settings
    from detect.bench.explaining_tables import explanation_tables
    from detect.bench.masked_images import masked_files
    from detect.explain.attribution.options import MethodOptions, no_progress
    from detect.inference.load import load
    from detect.system.progress import show_progress

    names, peer_names = _method_names(methods), _peer_names(peers)
    files = masked_files(root, split, 20 if num_images is None and min_detections is None else num_images, skip)
    predictor = load(model, device or "auto", precision or "fp32")
    for line in _describe_views(predictor):
        print(line, flush=True)
    settings = ExplanationSettings(
        names=names,
        options=MethodOptions(no_progress, layer, masks),
        score=score,
        peers=peer_names,
        min_detections=min_detections,
        num_randomized=num_randomized,
        similarity=similarity,
    )
    records = ExplanationRecords(
        records_file, describe_settings(predictor.file, root, precision or "fp32", settings), other_records
    )
    with show_progress(Console(), "explaining", len(files), "images") as progress:
        photos = measure_explanations(predictor, files, settings, records, progress)
    command_line = repeat_command("detect bench explain", _NO_SETTINGS)
    tables = explanation_tables(photos, names, score, min_detections, command_line)
    for table in tables:
        bench_output.print_table(table)
    bench_output.write_tables(tables, out, json_file, "Explanations", _describe_model(predictor))


def _method_names(methods: str | None) -> tuple[str, ...]:
    """Return the methods that ``--methods`` names, all without it; UserError for an unknown one."""
    from detect.explain.attribution.methods import METHODS

    return tuple(METHODS) if methods is None else options.require_names("--methods", methods, METHODS)


def _peer_names(peers: str | None) -> tuple[str, ...] | None:
    """Return the classes that ``--peers`` names, None without it for all; UserError for an unknown one."""
    if peers is None or peers == "none":
        return None if peers is None else ()
    from detect.bench.gradcam_peer import peer_classes

    known = peer_classes()
    if not known:
        raise UserError("--peers: expected the package pytorch-grad-cam, found none: pip install grad-cam")
    return options.require_names("--peers", peers, known)


def _describe_model(predictor: Predictor) -> tuple[str, ...]:
    """Return the sentences that say which model the table is of."""
    model, data = predictor.config.model, predictor.config.data
    return (
        f"Of {portable_path(predictor.file)}: {model.kind} on {model.backbone.name}, trained on the list "
        f"{data.train} of {portable_path(Path(data.root))}.",
        "Each method of `detect explain`, compared with two baselines that do not use the network.",
        *_describe_views(predictor),
    )


def _describe_views(predictor: Predictor) -> tuple[str, ...]:
    """Return the sentence on a model that merges several views of an image, of which one is explained here."""
    if not predictor.has_views:
        return ()
    return ("Its model.test_time is not used: the detections are those in one view of each whole image.",)
