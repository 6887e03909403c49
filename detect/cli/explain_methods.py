"""The methods of ``detect explain``, and the options and images that each of them takes."""

from __future__ import annotations

from pathlib import Path

import click

from detect.errors import UserError

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


def check_method_options(method: str) -> None:
    """Raise UserError for an option that this method does not take, and for --rank with --classes."""
    options = click.get_current_context().params
    if options["rank"] is not None and options["classes"] is not None:
        raise UserError("--rank and --classes: expected one of them, as a rank is among all detections, found both")
    for name, value in options.items():
        methods = METHODS_BY_OPTION.get(name)
        if methods is not None and value is not None and method not in methods:
            raise UserError(f"--{name}: expected --method {' or '.join(methods)} together with it, found {method}")


def check_images(images: tuple[str, ...], method: str, annotations: Path | None, split: str | None) -> None:
    """Raise UserError where the method needs images and has none, or has them without need; or for two annotations."""
    if bool(images) == (method == "filters"):
        expected = "none with --method filters" if images else "images, folders or globs"
        raise UserError(f"IMAGE: expected {expected}, found {images[0] if images else 'none'}")
    if annotations is not None and split is not None:
        raise UserError("--annotations and --split: expected one of them, found both")
