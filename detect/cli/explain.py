"""detect explain."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console

from detect.cli import options
from detect.cli.options import Device, Precision
from detect.errors import UserError
from detect.system.cpu import keep_freed_memory
from detect.system.files import place_for_folder

if TYPE_CHECKING:
    from detect.explain.attribution.heatmaps import Reduce
    from detect.explain.attribution.options import Progress
    from detect.explain.attribution.target import Of
    from detect.explain.trace.write_trace import Known
    from detect.inference.predictor import Predictor
    from detect.proposals.lookups import FromFile


GRADIENTS = ("saliency", "smoothgrad", "guided", "integrated")
CAMS = ("gradcam", "hirescam", "eigencam")
HIDING = ("occlusion", "drise")
DETECTIONS = (*GRADIENTS, *CAMS, *HIDING)
LAYERS = ("deconvnet", "features", "patches")
TAKERS = {  # of the options that not every method takes
    "annotations": ("trace",),
    "split": ("trace",),
    "number": DETECTIONS,
    "classes": DETECTIONS,
    "of": DETECTIONS,
    "reduce": GRADIENTS,
    "layer": (*CAMS, *LAYERS),
    "channel": LAYERS,
    "proposals": ("trace", *DETECTIONS),
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
    type=click.Choice(["trace", *DETECTIONS, *LAYERS, "filters"]),
    default="trace",
    show_default=True,
    help="What to tell.",
)
@click.option("--out", type=Path, required=True, metavar="DIR", help="Where to write: a folder for each image.")
@click.option(
    "--score",
    type=click.FloatRange(0, 1),
    metavar="0..1",
    default=0.5,
    show_default=True,
    help="Pictures of detections that score so much; trace.json holds all.",
)
@click.option(
    "--most", type=click.IntRange(0), metavar="N", default=20, show_default=True, help="Pictures of at most so many."
)
@click.option(
    "--number", type=click.IntRange(1), metavar="N", help="Only the detection of this rank, whatever it scores."
)
@click.option("--classes", metavar="A,B", help="Only detections of these classes.")
@click.option(
    "--of",
    type=click.Choice(["score", "x1", "y1", "x2", "y2"]),
    help="Its score or an edge of its box [default: score].",
)
@click.option(
    "--reduce",
    type=click.Choice(["max", "mean", "none"]),
    help="Gradients: the largest or mean of the colours, or each [default: max].",
)
@click.option("--layer", metavar="NAME", help="Maps of this layer, as `detect model summary` names it.")
@click.option("--channel", type=click.IntRange(0), metavar="N", help="Only this channel of the layer, from 0.")
@click.option("--masks", type=click.IntRange(2), metavar="N", help="drise: so many random masks [default: 1000].")
@click.option("--seed", type=int, metavar="N", help="smoothgrad, drise: of what is random [default: 0].")
@click.option("--proposals", type=Path, metavar="FILE", help="R-CNN, Fast R-CNN: boxes from this file, not searched.")
@click.option("--annotations", type=Path, metavar="GT.json", help="trace: COCO ground truth of the images.")
@click.option("--split", type=click.Choice(["train", "val"]), help="trace: ground truth of this split of the data.")
@options.settings
@options.device
@options.precision
def command(
    model: Path,
    images: tuple[str, ...],
    method: str,
    out: Path,
    score: float,
    most: int,
    number: int | None,
    classes: str | None,
    of: Of | None,
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
    """What made each detection of MODEL on images.

    trace: its exact story, from the anchor or the searched box to the last suppression; each image gets a folder with
    trace.json (every number, enough to compute the detections again), pictures, and index.html.

    saliency, smoothgrad, guided, integrated (gradients by the pixels); gradcam, hirescam, eigencam (maps of a layer);
    occlusion, drise (parts of the picture hidden): which pixels made its score, or an edge of its box. Each image gets
    a folder with a picture and the raw map (.npy, in the image's pixels) of each detection, and a contact sheet.

    filters, features, deconvnet, patches: what the network itself has learned: its first filters; the maps of a layer;
    activations led back to pixels, for networks whose layers stand in one line; the images that make a channel most
    active.
    """
    keep_freed_memory()
    _refuse_what_the_method_has_not(method)
    if bool(images) == (method == "filters"):
        wanted = "none with --method filters" if images else "images, folders or globs"
        raise UserError(f"IMAGE: expected {wanted}, found {images[0] if images else 'none'}")
    if annotations is not None and split is not None:
        raise UserError("--annotations and --split: expected one of them, found both")
    from detect.inference.find_images import find_images

    image_files = find_images(images)
    place_for_folder(out)
    from detect.explain.attribution.explain_detections import Question, explain_images
    from detect.explain.attribution.options import Choice
    from detect.inference.predict import given_from
    from detect.inference.predictor import load

    predictor = load(model, device or "auto", precision or "fp32", overrides)
    if method in (*LAYERS, "filters"):
        _end(image_files, _network(predictor, method, image_files, out, layer, channel), "pictured", out)
    given = given_from(predictor, image_files, proposals)
    if method == "trace":
        known = _known(predictor, image_files, annotations, split)
        unreadable = _trace(predictor, image_files, out, score, most, known, given)
    else:
        labels = frozenset(options.class_labels(classes, predictor.classes))
        question = Question(method, of or "score", reduce or "max", score, most, labels, number)
        choice = Choice(_progress(), layer, masks or 1000, seed or 0)
        unreadable = explain_images(predictor, image_files, out, question, choice, given, print)
    _end(image_files, unreadable, "traced" if method == "trace" else "explained", out)


def _end(images: list[Path], unreadable: tuple[str, ...], done: str, out: Path) -> NoReturn:
    print(f"{len(images) - len(unreadable)} images {done} in {out}" if images else f"{done} in {out}")
    for line in unreadable:
        print(f"detect: {line}", file=sys.stderr)
    sys.exit(1 if unreadable else 0)


def _refuse_what_the_method_has_not(method: str) -> None:
    """Raises UserError for an option that this method would not look at."""
    for name, value in click.get_current_context().params.items():
        takers = TAKERS.get(name)
        if takers is not None and value is not None and method not in takers:
            raise UserError(f"--{name}: expected --method {' or '.join(takers)} beside it, found {method}")


def _progress() -> Progress:
    from detect.system.progress import display

    console = Console()
    return lambda what, total: display(console, what, total, "pictures")


def _trace(
    predictor: Predictor, images: list[Path], out: Path, score: float, most: int, known: Known, given: FromFile | None
) -> tuple[str, ...]:
    from detect.explain.trace.write_trace import Wish, trace_images
    from detect.system.progress import display

    with display(Console(), "tracing", len(images), "images") as shown:
        return trace_images(predictor, images, out, Wish(score, most), known, given, shown)


def _network(
    predictor: Predictor, method: str, images: list[Path], out: Path, layer: str | None, channel: int | None
) -> tuple[str, ...]:
    from detect.explain.network.feature_images import Part, filters, picture_images
    from detect.explain.network.reader import Reader
    from detect.explain.network.top_patches import patches

    reader, part = Reader(predictor), Part(layer, channel)
    if method == "filters":
        filters(reader, out, print)
        return ()
    if method == "patches":
        with _progress()("looking", len(images)) as shown:
            return patches(reader, images, out, part, shown, print)
    return picture_images(reader, method, images, out, part, print)


def _known(predictor: Predictor, images: list[Path], annotations: Path | None, split: str | None) -> Known:
    """The ground truth asked for, of images by their path; of a COCO file by their name."""
    from detect.config.builders.data import default_metric, split_data
    from detect.data.formats.coco import read_coco
    from detect.explain.trace.write_trace import Known

    metric = default_metric(predictor.config)
    if split is not None:
        found = split_data(predictor.config, split, predictor.classes)
    elif annotations is not None:
        found = read_coco(annotations, sorted({image.absolute().parent for image in images}), predictor.classes)
    else:
        return Known({}, metric)
    return Known({Path(found.file(place)).resolve(): found[place] for place in range(len(found))}, metric)
