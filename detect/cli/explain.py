"""The command ``detect explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.explain_methods import (
    ADVERSARY,
    DETECTIONS,
    LAYERS,
    PIXELS,
    PIXELS_METHOD,
    WHY_PIXELS_METHOD,
    check_images,
    check_method_options,
)
from detect.cli.options import Device, Precision, Split
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_folder
from detect.system.numbers import format_count

if TYPE_CHECKING:
    from detect.explain.attribution.explain_detections import ExplainedImages
    from detect.explain.attribution.heatmaps import Reduce
    from detect.explain.attribution.options import ShowProgress
    from detect.explain.attribution.target import Quantity
    from detect.explain.trace.ground_truth import ImageGroundTruth
    from detect.explain.trace.write_trace import TraceOptions
    from detect.inference.predictor import Predictor
    from detect.models.adversaries.adversary import Adversary
    from detect.proposals.lookups import ProposalsFromFiles


@click.command(
    "explain", epilog="Example: detect explain runs/faster_rcnn-1 photo.jpg --method gradcam --out explained"
)
@click.argument("model", type=Path)
@click.argument("images", metavar="[IMAGE]...", nargs=-1)
@click.option(
    "--method",
    type=click.Choice(["trace", PIXELS, *DETECTIONS, ADVERSARY, *LAYERS, "filters"]),
    default="trace",
    show_default=True,
    help="Explanation method.",
)
@click.option(
    "--out", type=Path, required=True, metavar="DIR", help="Folder to write; it gets a folder for each image."
)
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    default=0.5,
    show_default=True,
    help="Minimum score of the detections that get a figure; trace.json holds all.",
)
@click.option(
    "--max-detections",
    type=click.IntRange(0),
    metavar="N",
    default=20,
    show_default=True,
    help="Maximum number of detections of an image that get a figure.",
)
@click.option("--rank", type=click.IntRange(1), metavar="N", help="Only the detection of this rank, at any score.")
@click.option("--classes", metavar="A,B", help="Only detections of these classes.")
@click.option(
    "--target",
    type=click.Choice(["score", "x1", "y1", "x2", "y2"]),
    help="Explain the score of the detection, or an edge of its box [default: score].",
)
@click.option(
    "--reduce",
    type=click.Choice(["max", "mean", "none"]),
    help="Gradients: maximum or mean over the color channels, or each channel [default: max].",
)
@click.option("--layer", metavar="NAME", help="Maps of this layer, as `detect model summary` names it.")
@click.option("--channel", type=click.IntRange(0), metavar="N", help="Only this channel of the layer, from 0.")
@click.option("--masks", type=click.IntRange(2), metavar="N", help="drise: number of random masks [default: 1000].")
@click.option("--seed", type=int, metavar="N", help="smoothgrad, drise: seed of the random draws [default: 0].")
@click.option("--proposals", type=Path, metavar="FILE", help="R-CNN, Fast R-CNN: read the proposals from this file.")
@click.option("--annotations", type=Path, metavar="GT.json", help="trace: COCO annotations of the images.")
@click.option("--split", type=click.Choice(["train", "val"]), help="trace: annotations of this split of the data set.")
@options.settings
@options.device
@options.precision
def explain_command(
    model: Path,
    images: tuple[str, ...],
    method: str,
    out: Path,
    score: float,
    max_detections: int,
    rank: int | None,
    classes: str | None,
    target: Quantity | None,
    reduce: Reduce | None,
    layer: str | None,
    channel: int | None,
    masks: int | None,
    seed: int | None,
    proposals: Path | None,
    annotations: Path | None,
    split: Split | None,
    overrides: tuple[str, ...],
    device: Device | None,
    precision: Precision | None,
) -> None:
    """Explain each detection of MODEL on images.

    trace: how each detection came about, exactly, from the anchor or the searched box to the last suppression. Each
    image gets a folder with trace.json (every number, enough to compute the detections again), figures, and index.html.

    pixels: which pixels made the score of a detection, or an edge of its box, by the method to begin with: combined.
    The others are saliency, smoothgrad, guided, integrated (gradients with respect to the pixels); gradcam, hirescam,
    eigencam (maps of a layer); occlusion, drise (parts of the image hidden). combined multiplies hirescam of several
    layers, its first principal component, and the cost of hiding parts of the proposal. Each image gets a folder with a
    figure and the raw map (.npy, in the image's pixels) of each detection, and an image grid.

    adversary: which part of each detection's region the adversary hides that MODEL was trained against; the same files.

    filters, activations, deconvnet, top-patches: the network itself: the filters of its first layer;
    the maps of a layer; activations projected back to pixels, for networks whose layers form one sequence; the image
    patches that make a channel most active.
    """
    tune_malloc()
    is_pixels = method == PIXELS
    method = PIXELS_METHOD if is_pixels else method
    check_method_options(method)
    check_images(images, method, annotations, split)
    from detect.inference.find_images import ResultFolder, search_images

    search = search_images(images, [ResultFolder(out, Path.exists)])
    paths = list(search.images)
    require_writable_folder(out)
    from detect.explain.attribution.explain_detections import DetectionQuery, explain_images
    from detect.explain.attribution.options import MethodOptions
    from detect.explain.trace.ground_truth import read_ground_truth
    from detect.explain.trace.write_trace import TraceOptions
    from detect.inference.load import load
    from detect.inference.predict import proposals_from_file

    predictor = load(model, device or "auto", precision or "fp32", overrides)
    if is_pixels:
        print(WHY_PIXELS_METHOD)
    adversary = _load_adversary(predictor) if method == ADVERSARY else None
    for note in search.notes():
        print(note)
    file_proposals = proposals_from_file(predictor, paths, proposals)
    if method in (*LAYERS, "filters"):
        verb = "drawn"
        explained = _explain_network(predictor, method, paths, out, layer, channel)
    elif method == "trace":
        ground_truth = read_ground_truth(predictor, paths, annotations, split)
        for note in ground_truth.notes:
            print(note)
        trace_options = TraceOptions(score=score, max_detections=max_detections)
        verb = "traced"
        explained = _trace_images(predictor, paths, out, trace_options, ground_truth, file_proposals)
    else:
        verb = "explained"
        query = DetectionQuery(
            method=method,
            quantity=target or "score",
            reduce=reduce or "max",
            score=score,
            max_detections=max_detections,
            labels=frozenset(options.class_labels(classes, predictor.classes)),
            rank=rank,
        )
        method_options = MethodOptions(_progress(), layer, masks or 1000, seed or 0, adversary)
        explained = explain_images(predictor, paths, out, query, method_options, file_proposals, print)
    _finish(len(paths), explained, f"{verb} in {out}")


def _finish(num_images: int, explained: ExplainedImages, written: str) -> NoReturn:
    """Print for how many of the images something was written, and what; report the unreadable ones, and exit."""
    images = format_count(num_images, "image")
    counted = images if explained.num_explained == num_images else f"{explained.num_explained} of {images}"
    print(f"{counted} {written}" if num_images else written)
    exit_if_unreadable(explained.unreadable)
    sys.exit(0)


def _progress() -> ShowProgress:
    from detect.system.progress import show_progress

    console = Console()
    return lambda label, total: show_progress(console, label, total, "images")


def _trace_images(
    predictor: Predictor,
    images: list[Path],
    out: Path,
    trace_options: TraceOptions,
    ground_truth: ImageGroundTruth,
    file_proposals: ProposalsFromFiles | None,
) -> ExplainedImages:
    from detect.explain.attribution.explain_detections import ExplainedImages
    from detect.explain.trace.write_trace import trace_images
    from detect.system.progress import show_progress

    with show_progress(Console(), "tracing", len(images), "images") as progress:
        unreadable = trace_images(predictor, images, out, trace_options, ground_truth, file_proposals, progress)
    return ExplainedImages(num_explained=len(images) - len(unreadable), unreadable=unreadable)


def _load_adversary(predictor: Predictor) -> Adversary:
    """Return the adversary that the model was trained against. Raises UserError if none that hides cells was."""
    from detect.checkpoints.adversary import load_adversary

    adversary = load_adversary(predictor.file).to(predictor.compute.device)
    adversary_type = predictor.config.model.adversary.type
    if adversary_type == "astn":
        raise UserError(f"{predictor.file}: expected model.adversary.type asdn or both, which hide cells, found astn")
    return adversary


def _explain_network(
    predictor: Predictor, method: str, images: list[Path], out: Path, layer: str | None, channel: int | None
) -> ExplainedImages:
    from detect.explain.attribution.explain_detections import ExplainedImages
    from detect.explain.network.feature_images import LayerSelection, filters, visualize_images
    from detect.explain.network.reader import NetworkReader
    from detect.explain.network.top_patches import top_patches

    reader, selection = NetworkReader(predictor), LayerSelection(layer, channel)
    if method == "filters":
        filters(reader, out, print)
        return ExplainedImages(num_explained=0, unreadable=())
    if method == "top-patches":
        with _progress()("scanning images", len(images)) as progress:
            unreadable = top_patches(reader, images, out, selection, progress, print)
    else:
        unreadable = visualize_images(reader, method, images, out, selection, print)
    return ExplainedImages(num_explained=len(images) - len(unreadable), unreadable=unreadable)
