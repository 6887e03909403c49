"""A detector of torchvision's as a checkpoint of ours, with its own preprocessing, anchors, thresholds and limits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.fold_norms import DEFAULT_EPS
from detect.checkpoints.torchvision_configs import (
    LAYOUTS,
    PUBLISHED,
    PUBLISHED_EPS,
    anchor_sides,
    coco_classes,
    layout_config,
)
from detect.checkpoints.torchvision_names import modern, to_ours
from detect.checkpoints.validate import checked, class_names
from detect.config.builders.detector import preprocess_rule
from detect.config.files import changed
from detect.errors import UserError, nearest
from detect.system.tensor_files import State, in_file, published

MOBILE = ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn")
MARKS = {  # a tensor that only one of them has
    "roi_heads.box_head.5.weight": ("fasterrcnn_resnet50_fpn_v2",),
    "backbone.body.16.0.weight": MOBILE,
    "roi_heads.box_head.fc6.weight": ("fasterrcnn_resnet50_fpn",),
}


def import_torchvision(
    source: str,
    layout: str | None = None,
    classes: Sequence[str] | None = None,
    eps: float | None = None,
    overrides: Sequence[str] = (),
) -> Checkpoint:
    """source: a file with the state dict of one of LAYOUTS, or the name of one, whose published weights are fetched.

    layout: which one a file holds, where that cannot be seen. classes: names of its labels; None for COCO's 90 (all of
    them, so that scores stay what they are). eps: of its fixed normalisations; None for torchvision's: 0 in its
    published ResNet-50 with a plain pyramid, else 1e-5. overrides: KEY=VALUE settings over the layout's.
    Raises UserError where the file is unreadable or holds something else.
    """
    if source in LAYOUTS:
        layout, state, known = source, published(PUBLISHED[source], source), True
    else:
        state = modern(in_file(Path(source)))
        recognised = _published_as(Path(source))
        layout, known = layout or recognised or _seen(state, source), recognised is not None
    if layout not in LAYOUTS:
        raise UserError(f"--layout: expected one of {', '.join(LAYOUTS)}, found {layout}{nearest(layout, LAYOUTS)}")
    if eps is None:
        eps = PUBLISHED_EPS[layout] if known else DEFAULT_EPS
    return converted(state, layout, source, classes, eps, overrides)


def converted(
    state: State,
    layout: str,
    source: str,
    classes: Sequence[str] | None = None,
    eps: float = DEFAULT_EPS,
    overrides: Sequence[str] = (),
) -> Checkpoint:
    """As ``import_torchvision``, for tensors that are here already; source: what an error calls them."""
    outputs = state.get("roi_heads.box_predictor.cls_score.bias")
    if outputs is None:
        raise UserError(f"{source}: expected the weights of torchvision's {layout}, found no box_predictor.cls_score")
    names = class_names(len(outputs) - 1, source, classes, (coco_classes(layout),))
    plain = layout_config(layout)
    weights = to_ours(state, anchor_sides(plain), eps if plain.model.backbone.norm == "frozen" else None)
    weights = checked(weights, plain, names, f"{source}: expected the weights of torchvision's {layout}")
    config = changed(plain, overrides)
    if overrides:
        checked(weights, config, names, f"--set: expected a network that the weights of {layout} fit")
    return Checkpoint(config, names, preprocess_rule(config), weights, step=0, metrics={})


def _published_as(file: Path) -> str | None:
    """Which published file this is, by the part of its checksum that torchvision puts into its name."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return next((name for name, entry in PUBLISHED.items() if digest.startswith(_hash(entry.url))), None)


def _hash(url: str) -> str:
    return url.rsplit("-", 1)[-1].removesuffix(".pth")


def _seen(state: State, source: str) -> str:
    """The layout by what only it has."""
    fitting = next((layouts for mark, layouts in MARKS.items() if mark in state), ())
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        raise UserError(f"{source}: expected --layout {' or '.join(fitting)}, whose weights look alike, found none")
    raise UserError(
        f"{source}: expected the weights of torchvision's {', '.join(LAYOUTS)}, found those of none of them"
    )
