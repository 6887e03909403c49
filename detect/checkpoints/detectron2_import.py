"""A detector of detectron2's as a checkpoint of ours, with its own preprocessing, anchors, thresholds and limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.detectron2_configs import layout_config, seen_layout
from detect.checkpoints.detectron2_names import to_ours
from detect.checkpoints.torchvision_configs import coco_classes
from detect.checkpoints.validate import checked, class_names
from detect.config import Config
from detect.config.builders.detector import preprocess_rule
from detect.config.files import changed
from detect.errors import UserError
from detect.ops.anchors import AnchorShapes
from detect.system.tensor_files import State, in_file

PIXELS = ("pixel_mean", "pixel_std")
ANCHORS = "proposal_generator.anchor_generator."
VOC = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def import_detectron2(file: Path, classes: Sequence[str] | None = None, overrides: Sequence[str] = ()) -> Checkpoint:
    """A Faster or Fast R-CNN on a ResNet of 50, 101 or 152 layers, cut as C4, DC5 or FPN: which is read from its names.

    file: one of the model zoo's pickles, or a .pth that detectron2 has written. classes: names of its labels; None for
    COCO's 80 and VOC's 20. overrides: KEY=VALUE settings over the layout's.
    Raises UserError where the file is unreadable or holds something else.
    """
    return converted(in_file(file), str(file), classes, overrides)


def converted(
    state: State, source: str, classes: Sequence[str] | None = None, overrides: Sequence[str] = ()
) -> Checkpoint:
    """As ``import_detectron2``, for tensors that are here already; source: what an error calls them.

    Older files hold their pixels' mean and deviation, which are taken, and their anchors, which are compared.
    """
    layout = seen_layout(state)
    outputs = state.get("roi_heads.box_predictor.cls_score.bias")
    if layout is None or outputs is None:
        raise UserError(
            f"{source}: expected a Faster or Fast R-CNN of detectron2's on a ResNet, C4, DC5 or FPN, "
            "found the weights of something else"
        )
    names = class_names(len(outputs) - 1, source, classes, (coco80(), VOC))
    learned = {name: value for name, value in state.items() if name not in PIXELS and not name.startswith(ANCHORS)}
    expected = f"{source}: expected the weights of detectron2's {layout}"
    plain = changed(layout_config(layout), pixel_settings(state, layout.depth))
    weights = checked(to_ours(learned), plain, names, expected)
    config = changed(plain, overrides)
    if overrides:
        checked(weights, config, names, f"--set: expected a network that the weights of {layout} fit")
    _check_anchors(state, config, source)
    return Checkpoint(config, names, preprocess_rule(config), weights, step=0, metrics={})


def coco80() -> tuple[str, ...]:
    """COCO's 80 class names by their ids, as detectron2 numbers them."""
    return tuple(name for name in coco_classes("fasterrcnn_resnet50_fpn") if not name.startswith("N/A"))


def pixel_settings(state: State, depth: int) -> list[str]:
    """Overrides for pixels that the file describes: in its own order, blue first where the mean of blue is (103.5).

    A deviation other than 1 is that of torchvision's ImageNet weights, whose ResNets stride in their 3x3 convolutions.
    """
    if not state.keys() >= set(PIXELS):
        return []
    mean, std = (state[name].flatten().tolist() for name in PIXELS)
    bgr = mean[0] < mean[2]
    mean, std = (values[::-1] if bgr else values for values in (mean, std))
    name = f"resnet{depth}_original" if std == [1, 1, 1] else f"resnet{depth}"
    return [
        f"model.preprocess.channels={'bgr' if bgr else 'rgb'}",
        f"model.preprocess.mean={_rounded(mean)}",
        f"model.preprocess.std={_rounded(std)}",
        f"model.backbone.name={name}",
    ]


def _rounded(values: Sequence[float]) -> list[float]:
    """Without the digits that float32 has added."""
    return [round(value, 4) for value in values]


def _check_anchors(state: State, config: Config, source: str) -> None:
    """UserError where the file has anchors of its own, and others than the settings say."""
    rpn = config.model.rpn
    for name, theirs in sorted(state.items()):
        if not name.startswith(f"{ANCHORS}cell_anchors."):
            continue
        level = int(name.rpartition(".")[2])
        sides = rpn.sides if config.model.backbone.output != "pyramid" else (rpn.sides[level],)
        shapes = AnchorShapes((tuple(side for side in sides if isinstance(side, int | float)),), rpn.ratios)
        ours = shapes.on_map(0, (1, 1), 0, torch.device("cpu"))
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs.float(), atol=0.01):
            found = [round(side) for side in (theirs[:, 2:] - theirs[:, :2]).prod(1).sqrt().tolist()]
            raise UserError(f"{source}: expected anchors of model.rpn.sides {list(rpn.sides)}, found {found} in {name}")
