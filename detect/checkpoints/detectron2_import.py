"""Import detectors of detectron2 as checkpoints, with their preprocessing, anchors, thresholds and limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from detect.checkpoints.checkpoint import Checkpoint
from detect.checkpoints.detectron2_configs import CLASS_BIASES, detect_layout, detectron2_config
from detect.checkpoints.detectron2_names import from_detectron2
from detect.checkpoints.torchvision_configs import coco_classes
from detect.checkpoints.validate import class_names, require_complete
from detect.config import Config
from detect.config.builders.detector import build_preprocess
from detect.config.files import with_overrides
from detect.errors import UserError
from detect.ops.anchors import AnchorGenerator
from detect.system.tensor_files import StateDict, load_tensors

PIXELS = ("pixel_mean", "pixel_std")
ANCHORS = "proposal_generator.anchor_generator."
VOC = (
    *("aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow"),
    *("diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor"),
)


def import_detectron2(file: Path, classes: Sequence[str] | None = None, overrides: Sequence[str] = ()) -> Checkpoint:
    """Return the checkpoint of a Faster, Fast, Cascade or Mask R-CNN on a ResNet of 50, 101 or 152 layers.

    It is a C4, DC5 or FPN; a cascade is an FPN, and C4 has no masks. Which of them it is, is read from the names of its
    tensors.

    file: one of the model zoo's pickles, or a .pth file that detectron2 has written. classes: names of its labels; None
    for COCO's 80 and VOC's 20. overrides: KEY=VALUE settings over the layout's.
    Raises UserError if the file is unreadable or contains something else.
    """
    return convert_detectron2_state(load_tensors(file), str(file), classes, overrides)


def convert_detectron2_state(
    state: StateDict, source: str, classes: Sequence[str] | None = None, overrides: Sequence[str] = ()
) -> Checkpoint:
    """Return the checkpoint of a state dict that is loaded already; source: its name in error messages.

    Older files contain the mean and deviation of the pixels, which are used, and the anchors, which are compared.
    """
    layout = detect_layout(state)
    outputs = next((state[name] for name in CLASS_BIASES.values() if name in state), None)
    if layout is None or outputs is None:
        raise UserError(
            f"{source}: expected a Faster, Fast or Mask R-CNN of detectron2's on a ResNet, C4, DC5 or FPN, or a "
            "Cascade R-CNN with an FPN, found other weights"
        )
    names = class_names(len(outputs) - 1, source, classes, (coco80(), VOC))
    weights_of_layers = {
        name: tensor for name, tensor in state.items() if name not in PIXELS and not name.startswith(ANCHORS)
    }
    expected = f"{source}: expected the weights of detectron2's {layout}"
    layout_settings = with_overrides(detectron2_config(layout), pixel_settings(state, layout.depth))
    weights = require_complete(from_detectron2(weights_of_layers), layout_settings, names, expected)
    config = with_overrides(layout_settings, overrides)
    if overrides:
        require_complete(weights, config, names, f"--set: expected a network that the weights of {layout} fit")
    _check_anchors(state, config, source)
    return Checkpoint(config, names, build_preprocess(config), weights, step=0, metrics={})


def coco80() -> tuple[str, ...]:
    """Return COCO's 80 class names in the order of their ids, as detectron2 numbers them."""
    return tuple(name for name in coco_classes("fasterrcnn_resnet50_fpn") if not name.startswith("N/A"))


def pixel_settings(state: StateDict, depth: int) -> list[str]:
    """Return overrides for the pixel mean and deviation of a file.

    The channels are BGR if the lower mean, that of blue (103.5), is first. A
    deviation other than 1 is that of torchvision's ImageNet weights, whose ResNets stride in their 3x3 convolutions.
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
    """Return the numbers without the digits that float32 has added."""
    return [round(x, 4) for x in values]


def _check_anchors(state: StateDict, config: Config, source: str) -> None:
    """Raise UserError if the file contains anchors that differ from those of the settings."""
    rpn = config.model.rpn
    for name, theirs in sorted(state.items()):
        if not name.startswith(f"{ANCHORS}cell_anchors."):
            continue
        level = int(name.rpartition(".")[2])
        sizes = rpn.anchor_sizes if config.model.backbone.output != "fpn" else (rpn.anchor_sizes[level],)
        numbers = tuple(size for size in sizes if isinstance(size, int | float))
        ours = AnchorGenerator((numbers,), rpn.aspect_ratios).grid_anchors(0, (1, 1), 0, torch.device("cpu"))
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs.float(), atol=0.01):
            their_sizes = [round(size) for size in (theirs[:, 2:] - theirs[:, :2]).prod(1).sqrt().tolist()]
            raise UserError(
                f"{source}: expected anchors of model.rpn.anchor_sizes {list(rpn.anchor_sizes)}, "
                f"found {their_sizes} in {name}"
            )
