"""Import detectors of torchvision as checkpoints, with their preprocessing, anchors, thresholds and limits."""

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
    coco_classes,
    num_sizes_per_map,
    torchvision_config,
)
from detect.checkpoints.torchvision_names import from_torchvision, rename_old_keys
from detect.checkpoints.validate import class_names, require_complete
from detect.config.builders.detector import build_preprocess
from detect.config.files import with_overrides
from detect.errors import UserError, did_you_mean
from detect.system.tensor_files import StateDict, load_published, load_tensors

MOBILE = ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_mobilenet_v3_large_320_fpn")
SIGNATURE_KEYS = {  # a tensor that only one of them has, of those that are not above it
    "roi_heads.mask_head.0.1.weight": ("maskrcnn_resnet50_fpn_v2",),
    "roi_heads.mask_head.0.0.weight": ("maskrcnn_resnet50_fpn",),
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
    """Return the checkpoint of one of torchvision's Faster or Mask R-CNNs.

    source: a file with the state dict of one of LAYOUTS, or the name of one, whose published weights are downloaded.
    layout: that of the file, if it cannot be detected. classes: names of its labels; None for COCO's 90 (all of
    them, so that scores do not change). eps: of its frozen normalizations; None for torchvision's: 0 in its
    published ResNet-50s with FPN (version 1), else 1e-5. overrides: KEY=VALUE settings over the layout's.
    Raises UserError if the file is unreadable or contains something else.
    """
    if source in LAYOUTS:
        layout, state, is_published = source, load_published(PUBLISHED[source], source), True
    else:
        state = rename_old_keys(load_tensors(Path(source)))
        published_layout = _published_as(Path(source))
        layout = layout or published_layout or _detect_layout(state, source)
        is_published = published_layout is not None
    if layout not in LAYOUTS:
        raise UserError(
            f"--layout: expected one of {', '.join(LAYOUTS)}, found {layout}{did_you_mean(layout, LAYOUTS)}"
        )
    if eps is None:
        eps = PUBLISHED_EPS[layout] if is_published else DEFAULT_EPS
    return convert_torchvision_state(state, layout, source, classes, eps, overrides)


def convert_torchvision_state(
    state: StateDict,
    layout: str,
    source: str,
    classes: Sequence[str] | None = None,
    eps: float = DEFAULT_EPS,
    overrides: Sequence[str] = (),
) -> Checkpoint:
    """Return the checkpoint of a state dict that is loaded already; source: its name in error messages."""
    outputs = state.get("roi_heads.box_predictor.cls_score.bias")
    if outputs is None:
        raise UserError(f"{source}: expected the weights of torchvision's {layout}, found no box_predictor.cls_score")
    names = class_names(len(outputs) - 1, source, classes, (coco_classes(layout),))
    layout_settings = torchvision_config(layout)
    fold_eps = eps if layout_settings.model.backbone.norm == "frozen" else None
    weights = from_torchvision(state, num_sizes_per_map(layout_settings), fold_eps)
    weights = require_complete(
        weights, layout_settings, names, f"{source}: expected the weights of torchvision's {layout}"
    )
    config = with_overrides(layout_settings, overrides)
    if overrides:
        require_complete(weights, config, names, f"--set: expected a network that the weights of {layout} fit")
    return Checkpoint(config, names, build_preprocess(config), weights, step=0, metrics={})


def _published_as(file: Path) -> str | None:
    """Return the layout of a published file by its SHA-256, whose first digits are in the file names of torchvision."""
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    return next((name for name, entry in PUBLISHED.items() if digest.startswith(_hash_in_name(entry.url))), None)


def _hash_in_name(url: str) -> str:
    """Return the digits of the SHA-256 in the name of a published file."""
    return url.rsplit("-", 1)[-1].removesuffix(".pth")


def _detect_layout(state: StateDict, source: str) -> str:
    """Return the layout that has a tensor which no other one has. Raises UserError if there is none, or several."""
    layouts = next((layouts for key, layouts in SIGNATURE_KEYS.items() if key in state), ())
    if len(layouts) == 1:
        return layouts[0]
    if layouts:
        raise UserError(
            f"{source}: expected --layout {' or '.join(layouts)}, which have tensors of the same names, found none"
        )
    raise UserError(
        f"{source}: expected the weights of torchvision's {', '.join(LAYOUTS)}, found those of none of them"
    )
