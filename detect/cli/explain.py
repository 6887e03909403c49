"""The command ``detect explain``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console

from detect.cli import options
from detect.cli.exit_status import exit_if_unreadable
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.system.cpu import tune_malloc
from detect.system.files import require_writable_folder
from detect.system.numbers import format_count

if TYPE_CHECKING:
    from detect.explain.attribution.heatmaps import Reduce
    from detect.explain.attribution.options import ShowProgress
    from detect.explain.attribution.target import Quantity
    from detect.explain.trace.write_trace import ImageGroundTruth
    from detect.inference.predictor import Predictor
    from detect.models.adversaries.adversary import Adversary
    from detect.proposals.lookups import ProposalsFromFiles


GRADIENTS = ("saliency", "smoothgrad", "guided", "integrated")
CAMS = ("gradcam", "hirescam", "eigencam")
PERTURBATION = ("occlusion", "drise")
PIXELS = "pixels"  # stands for the method to begin with
PIXELS_METHOD = "combined"
DETECTIONS = (*GRADIENTS, *CAMS, *PERTURBATION, PIXELS_METHOD)
WHY_PIXELS_METHOD = (
    f"pixels: by {PIXELS_METHOD}, which of the methods compared had most on the object, and most effect on the score "
    "(docs/explain.md, section 7)"
)
ADVERSARY = "adversary"  # of detections too, but it needs more than a detector
LAYERS = ("deconvnet", "activations", "top-patches")
METHODS_BY_OPTION = {  # the methods that take an option, for each option that not every method takes
    "annotations": ("trace",),
    "split": ("trace",),
    "rank": (*DETECTIONS, ADVERSARY),
    "classes": (*DETECTIONS, ADVERSARY),
    "target": DETECTIONS,
    "reduce": GRADIENTS,
    "layer": (*CAMS, *LAYERS),
    "channel": LAYERS,
    "proposals": ("trace", *DETECTIONS, ADVERSARY),
    "masks": ("drise",),
    "seed": ("smoothgrad", "drise"),
}


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
    split: str | None,
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
    stands_for_another = method == PIXELS
    method = PIXELS_METHOD if stands_for_another else method
    _check_method_options(method)
    if bool(images) == (method == "filters"):
        expected = "none with --method filters" if images else "images, folders or globs"
        raise UserError(f"IMAGE: expected {expected}, found {images[0] if images else 'none'}")
    if annotations is not None and split is not None:
        raise UserError("--annotations and --split: expected one of them, found both")
    from detect.inference.find_images import ResultFolder, search_images

    search = search_images(images, [ResultFolder(out, Path.exists)])
    paths = list(search.images)
    require_writable_folder(out)
    from detect.explain.attribution.explain_detections import DetectionQuery, explain_images
    from detect.explain.attribution.options import MethodOptions
    from detect.inference.predict import proposals_from_file
    from detect.inference.predictor import load

    predictor = load(model, device or "auto", precision or "fp32", overrides)
    if stands_for_another:
        print(WHY_PIXELS_METHOD)
    adversary = _load_adversary(predictor) if method == ADVERSARY else None
    for note in search.notes():
        print(note)
    if method in (*LAYERS, "filters"):
        unreadable = _explain_network(predictor, method, paths, out, layer, channel)
        _finish(len(paths), len(paths) - len(unreadable), unreadable, f"drawn in {out}")
    file_proposals = proposals_from_file(predictor, paths, proposals)
    if method == "trace":
        ground_truth = _ground_truth(predictor, paths, annotations, split)
        unreadable = _trace_images(predictor, paths, out, score, max_detections, ground_truth, file_proposals)
        _finish(len(paths), len(paths) - len(unreadable), unreadable, f"traced in {out}")
    else:
        labels = frozenset(options.class_labels(classes, predictor.classes))
        query = DetectionQuery(method, target or "score", reduce or "max", score, max_detections, labels, rank)
        method_options = MethodOptions(_progress(), layer, masks or 1000, seed or 0, adversary)
        explained = explain_images(predictor, paths, out, query, method_options, file_proposals, print)
        _finish(len(paths), explained.num_explained, explained.unreadable, f"explained in {out}")


def _finish(num_images: int, num_written: int, unreadable: tuple[str, ...], written: str) -> NoReturn:
    """Print for how many of the images something was written, and what; report the unreadable ones, and exit."""
    images = format_count(num_images, "image")
    counted = images if num_written == num_images else f"{num_written} of {images}"
    print(f"{counted} {written}" if num_images else written)
    exit_if_unreadable(unreadable)
    sys.exit(0)


def _check_method_options(method: str) -> None:
    """Raise UserError for an option that this method does not take."""
    for name, value in click.get_current_context().params.items():
        methods = METHODS_BY_OPTION.get(name)
        if methods is not None and value is not None and method not in methods:
            raise UserError(f"--{name}: expected --method {' or '.join(methods)} together with it, found {method}")


def _progress() -> ShowProgress:
    from detect.system.progress import show_progress

    console = Console()
    return lambda label, total: show_progress(console, label, total, "images")


def _trace_images(
    predictor: Predictor,
    images: list[Path],
    out: Path,
    score: float,
    max_detections: int,
    ground_truth: ImageGroundTruth,
    file_proposals: ProposalsFromFiles | None,
) -> tuple[str, ...]:
    from detect.explain.trace.write_trace import TraceOptions, trace_images
    from detect.system.progress import show_progress

    with show_progress(Console(), "tracing", len(images), "images") as progress:
        return trace_images(
            predictor, images, out, TraceOptions(score, max_detections), ground_truth, file_proposals, progress
        )


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
) -> tuple[str, ...]:
    from detect.explain.network.feature_images import LayerSelection, filters, visualize_images
    from detect.explain.network.reader import NetworkReader
    from detect.explain.network.top_patches import top_patches

    reader, selection = NetworkReader(predictor), LayerSelection(layer, channel)
    if method == "filters":
        filters(reader, out, print)
        return ()
    if method == "top-patches":
        with _progress()("scanning images", len(images)) as progress:
            return top_patches(reader, images, out, selection, progress, print)
    return visualize_images(reader, method, images, out, selection, print)


def _ground_truth(
    predictor: Predictor, images: list[Path], annotations: Path | None, split: str | None
) -> ImageGroundTruth:
    """Return the ground truth of images by their path: of a split, or of a COCO file whose images match by name."""
    from detect.config.builders.data import default_metric, load_split_for_model
    from detect.data.formats.coco import read_coco
    from detect.explain.trace.write_trace import ImageGroundTruth

    metric = default_metric(predictor.config)
    if split is not None:
        annotations_of_images = load_split_for_model(predictor.config, split, predictor.classes)
    elif annotations is not None:
        annotations_of_images = read_coco(
            annotations, sorted({image.absolute().parent for image in images}), predictor.classes
        )
    else:
        return ImageGroundTruth({}, metric)
    return ImageGroundTruth(
        {
            Path(annotations_of_images.file(index)).resolve(): annotations_of_images[index]
            for index in range(len(annotations_of_images))
        },
        metric,
    )
