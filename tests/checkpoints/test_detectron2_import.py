"""Names, tensors and settings on the way from detectron2; tools/check_detectron2.py compares boxes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from detect.checkpoints.checkpoint import load_checkpoint
from detect.checkpoints.detectron2_configs import detect_layout, detectron2_config
from detect.checkpoints.detectron2_import import coco80, convert_detectron2_state
from detect.checkpoints.detectron2_names import convert_detectron2_key, from_detectron2
from detect.config.builders.detector import build_uninitialized
from detect.errors import UserError
from detect.ops.anchors import AnchorGenerator
from tests.conftest import Command

NAMES = json.loads((Path(__file__).parent / "detectron2_names.json").read_text(encoding="utf-8"))
FPN, C4, DC5 = (f"faster_rcnn_R_50_{cut}" for cut in ("FPN", "C4", "DC5"))
STDS = [58.395, 57.12, 57.375]
NORM = ("weight", "bias", "running_mean", "running_var")
BODY = "backbone.stem.conv1"


def expand_pattern(pattern: str, shape: list[int]) -> Iterator[tuple[str, list[int]]]:
    """Yield (name, shape) of the tensors of a pattern.

    res3.1-3.conv1+norm -> the weight, and the four tensors of the normalization, of three convolutions.
    """
    layer, _, beside = pattern.partition("+")
    span = re.search(r"(\d+)-(\d+)", layer)
    indices = range(int(span[1]), int(span[2]) + 1) if span else [None]
    for index in indices:
        name = layer if span is None else f"{layer[: span.start()]}{index}{layer[span.end() :]}"
        yield f"{name}.weight", shape
        yield from ((f"{name}.{other}", shape[:1]) for other in (["bias"] if beside == "bias" else []))
        yield from ((f"{name}.norm.{other}", shape[:1]) for other in (NORM if beside == "norm" else []))


def tensor_shapes(layout: str) -> dict[str, list[int]]:
    """Return the shape of each tensor of a layout."""
    return {
        prefix + name: shape
        for prefix, piece in NAMES["layouts"][layout]
        for pattern, first in NAMES["pieces"][piece].items()
        for name, shape in expand_pattern(pattern, first)
    }


def meta_state(layout: str) -> dict[str, Tensor]:
    """Return a state dict of a layout without data: names and shapes."""
    return {name: torch.empty(shape, device="meta") for name, shape in tensor_shapes(layout).items()}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("", ""),
        ("nothing.like.it", "nothing.like.it"),
        ("backbone.stem.conv1.weight", "backbone.stages.0.0.weight"),
        ("backbone.bottom_up.stem.conv1.norm.bias", "backbone.body.stages.0.1.bias"),
        ("backbone.res4.22.conv2.norm.running_var", "backbone.stages.3.22.bn2.running_var"),
        ("backbone.bottom_up.res2.0.shortcut.weight", "backbone.body.stages.1.0.downsample.0.weight"),
        ("roi_heads.res5.0.shortcut.norm.weight", "head.tail.0.0.downsample.1.weight"),
        ("backbone.fpn_output5.bias", "backbone.neck.smooth.3.0.bias"),
        ("roi_heads.box_head.fc2.weight", "head.tail.layers.3.weight"),
        ("roi_heads.box_head.2.fc2.weight", "head.2.tail.layers.3.weight"),
        ("roi_heads.box_predictor.0.bbox_pred.bias", "head.0.deltas.bias"),
        ("roi_heads.mask_head.mask_fcn4.bias", "mask_head.layers.3.0.bias"),
        ("roi_heads.mask_head.deconv.weight", "mask_head.upsample.weight"),
    ],
)
def test_convert_detectron2_key(theirs: str, ours: str) -> None:
    assert convert_detectron2_key(theirs) == ours


@pytest.mark.parametrize(
    "layout", [pytest.param(name, marks=pytest.mark.slow if "101" in name else []) for name in NAMES["layouts"]]
)
def test_convert_detectron2_state_converts_every_tensor(layout: str) -> None:
    theirs = meta_state(layout)
    assert len({convert_detectron2_key(name) for name in theirs}) == len(theirs)
    checkpoint = convert_detectron2_state(theirs, "test")
    with torch.device("meta"):
        expected = build_uninitialized(checkpoint.config, checkpoint.classes).state_dict()
    assert {name: tensor.shape for name, tensor in checkpoint.weights.items()} == {
        name: tensor.shape for name, tensor in expected.items()
    }
    assert sum(value.numel() for value in theirs.values()) == sum(  # a scale and a shift come from four tensors
        value.numel() * (2 if name.endswith((".scale", ".shift")) else 1) for name, value in checkpoint.weights.items()
    )
    assert str(detect_layout(theirs)) == layout.split(" ")[0]
    num_classes, first_class = (20, "aeroplane") if "VOC" in layout else (80, "person")
    assert (len(checkpoint.classes), checkpoint.classes[0]) == (num_classes, first_class)


def test_tensor_counts_are_those_of_detectron2() -> None:
    """The counts were taken from detectron2's own models; a mask head adds a weight and a bias for each of 6 layers."""
    assert {name: len(tensor_shapes(name)) for name in NAMES["layouts"]} == {
        C4: 275,
        DC5: 279,
        FPN: 295,
        "faster_rcnn_R_101_C4": 530,
        "faster_rcnn_R_101_DC5": 534,
        "faster_rcnn_R_101_FPN": 550,
        "fast_rcnn_R_50_FPN": 289,
        "cascade_rcnn_R_50_FPN": 311,
        f"{C4} of VOC": 275,
        "mask_rcnn_R_50_FPN": 307,
        "mask_rcnn_R_101_FPN": 562,
        "mask_rcnn_R_50_DC5": 291,
        "mask_rcnn_R_101_DC5": 546,
        "cascade_mask_rcnn_R_50_FPN": 323,
    }


def test_from_detectron2_puts_the_background_first_and_repeats_class_agnostic_deltas() -> None:
    theirs = {
        "roi_heads.box_predictor.cls_score.bias": torch.tensor([1.0, 2, 0]),
        "roi_heads.box_predictor.cls_score.weight": torch.tensor([[1.0], [2], [0]]),
        "roi_heads.box_predictor.bbox_pred.bias": torch.arange(4.0),
        "roi_heads.box_predictor.bbox_pred.weight": torch.arange(4.0)[:, None],
    }
    ours = from_detectron2(theirs)
    assert ours["head.logits.bias"].tolist() == ours["head.logits.weight"].flatten().tolist() == [0, 1, 2]
    assert ours["head.deltas.bias"].tolist() == ours["head.deltas.weight"].flatten().tolist() == [0, 1, 2, 3] * 2
    stage = {name.replace("predictor", "predictor.1"): tensor for name, tensor in theirs.items()}
    assert from_detectron2(stage)["head.1.logits.bias"].tolist() == [0, 1, 2]
    assert from_detectron2(stage)["head.1.deltas.bias"].tolist() == [0, 1, 2, 3]  # a cascade shares them
    theirs["roi_heads.box_predictor.bbox_pred.bias"] = torch.arange(8.0)
    assert from_detectron2(theirs)["head.deltas.bias"].tolist() == list(range(8))


def test_from_detectron2_folds_a_frozen_norm_into_scale_and_shift() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(2, 3, 1, bias=False).double(), nn.BatchNorm2d(3).double().eval()
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 2.0)
    state = {f"{BODY}.weight": conv.weight.detach()}
    state |= {f"{BODY}.norm.{name}": value for name, value in norm.state_dict().items()}
    ours = from_detectron2(state)
    prefix = "backbone.stages.0.0"
    assert ours.keys() == {f"{prefix}.conv.weight", f"{prefix}.scale", f"{prefix}.shift"}
    pixels = torch.randn(1, 2, 4, 4).double()
    weight = ours[f"{prefix}.conv.weight"] * ours[f"{prefix}.scale"][:, None, None, None]
    torch.testing.assert_close(functional.conv2d(pixels, weight, ours[f"{prefix}.shift"]), norm(conv(pixels)))


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        (None, None, ("bgr", (123.675, 116.28, 103.53), (1, 1, 1), "resnet50_original")),
        ([103.53, 116.28, 123.675], [1, 1, 1], ("bgr", (123.675, 116.28, 103.53), (1, 1, 1), "resnet50_original")),
        ([123.675, 116.28, 103.53], STDS, ("rgb", (123.675, 116.28, 103.53), tuple(STDS), "resnet50")),
        ([100, 110, 120], [1, 2, 3], ("bgr", (120, 110, 100), (3, 2, 1), "resnet50")),
    ],
)  # fmt: skip
def test_pixel_settings_are_those_of_the_file(
    mean: list[float] | None, std: list[float] | None, expected: tuple[Any, ...]
) -> None:
    state = meta_state(C4)
    if mean is not None and std is not None:
        state |= {"pixel_mean": torch.tensor(mean).view(3, 1, 1), "pixel_std": torch.tensor(std).view(3, 1, 1)}
    model = convert_detectron2_state(state, "test").config.model
    pixels = model.preprocess
    assert pixels.resize == "pil"
    assert (pixels.channels, pixels.mean, pixels.std, model.backbone.name) == expected


def their_anchors(layout: str, scale: float) -> dict[str, Tensor]:
    """Return the anchors of a layout as older files contain them; scale: factor on their sizes."""
    rpn = detectron2_config(detect_layout(meta_state(layout)) or pytest.fail(layout)).model.rpn
    sizes = [size * scale for size in rpn.anchor_sizes if isinstance(size, float)]
    per_map = [[size] for size in sizes] if layout == FPN else [sizes]
    generators = [AnchorGenerator((tuple(map_sizes),), rpn.aspect_ratios) for map_sizes in per_map]
    return {
        f"proposal_generator.anchor_generator.cell_anchors.{level}": generator.grid_anchors(
            0, (1, 1), 0, torch.device("cpu")
        )
        for level, generator in enumerate(generators)
    }


@pytest.mark.slow
@pytest.mark.parametrize("layout", [FPN, C4])
def test_anchors_in_the_file_are_compared_with_the_settings(layout: str) -> None:
    convert_detectron2_state(meta_state(layout) | their_anchors(layout, 1.0), "test")
    other = meta_state(layout) | their_anchors(layout, 2.0)
    with pytest.raises(UserError, match=r"test: expected anchors of model.rpn.anchor_sizes \[32.0, .*found \[64, "):
        convert_detectron2_state(other, "test")
    convert_detectron2_state(other, "test", overrides=["model.rpn.anchor_sizes=[64,128,256,512,1024]"])


WIDER = meta_state(FPN) | {"backbone.bottom_up.res2.0.conv2.weight": torch.empty(64, 32, 3, 3, device="meta")}
BROKEN: list[tuple[dict[str, Tensor], dict[str, Any], str]] = [
    ({}, {}, "test: expected a Faster, Fast or Mask R-CNN of detectron2's .*, found other weights"),
    ({"a": torch.ones(1)}, {}, "found other weights"),
    (WIDER, {}, rf"test: expected the weights of detectron2's {FPN}, found .*1 of another shape \(backbone.body.st"),
    (meta_state(FPN) | {"roi_heads.mask_head.a.weight": torch.ones(1)}, {}, r"1 unexpected \(roi_heads.mask_head"),
    (
        meta_state(FPN) | {"proposal_generator.rpn_head.objectness_logits.bias": torch.tensor([0.0, torch.nan, 1.0])},
        {},
        r"1 with NaN or infinity \(proposer.head.objectness.bias\)",
    ),
    (meta_state(C4) | {"roi_heads.mask_head.predictor.bias": torch.ones(80)}, {}, r"1 unexpected \(mask_head.logits.b"),
    (meta_state(FPN), {"classes": ["a"]}, "--classes: expected 80 different names for test, found a"),
    (
        meta_state(FPN),
        {"overrides": ["model.rpn.channels=8"]},
        "--set: expected a network that the weights of faster_rcnn_R",
    ),
]


@pytest.mark.parametrize(("state", "options", "message"), BROKEN)
def test_convert_detectron2_state_refuses_weights_that_do_not_fit(
    state: dict[str, Tensor], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message) as raised:
        convert_detectron2_state(state, "test", **options)
    assert "\n" not in str(raised.value)


def test_command_imports_a_checkpoint(tmp_path: Path, detect_command: Command) -> None:
    """The file stores a tensor of equal numbers as one number: 132 MB in 100 kB."""
    file, out = tmp_path / "model_final.pth", tmp_path / "ours.pt"
    repeated = {name: torch.zeros(1).expand(shape) for name, shape in tensor_shapes(C4).items()}
    torch.save({"model": repeated, "iteration": 89999, "optimizer": {"state": {}}}, file)
    status, stdout, err = detect_command("model", "import", "--from", "detectron2", file, "--out", out)
    assert (status, err) == (0, "")
    assert stdout == f"{out}: 80 classes, 169 tensors, all of them from {file}\n"
    checkpoint = load_checkpoint(out)
    assert checkpoint.classes == coco80()
    assert (checkpoint.preprocess.channels, checkpoint.preprocess.divisor) == ("bgr", 1)
    assert checkpoint.config.model.regions.sampling_ratio == 0


@pytest.mark.parametrize("flag", [("--layout", "fasterrcnn_resnet50_fpn"), ("--eps", "0")])
def test_command_refuses_flags_of_torchvision_with_detectron2(
    tmp_path: Path, detect_command: Command, flag: tuple[str, str]
) -> None:
    status, _, err = detect_command("model", "import", "--from", "detectron2", "a.pkl", "--out", tmp_path / "a", *flag)
    assert (status, err) == (
        2,
        f"detect: {flag[0]}: expected --from torchvision together with it, found --from detectron2\n",
    )
