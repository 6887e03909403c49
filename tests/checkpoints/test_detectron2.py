"""Names, tensors and settings on the way from detectron2. That boxes stay: tools/check_detectron2.py."""

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
from detect.checkpoints.detectron2_configs import layout_config, seen_layout
from detect.checkpoints.detectron2_import import coco80, converted
from detect.checkpoints.detectron2_names import our_name, to_ours
from detect.config.builders.detector import empty_detector
from detect.errors import UserError
from detect.ops.anchors import AnchorShapes
from tests.conftest import Command

NAMES = json.loads((Path(__file__).parent / "detectron2_names.json").read_text(encoding="utf-8"))
FPN, C4, DC5 = (f"faster_rcnn_R_50_{cut}" for cut in ("FPN", "C4", "DC5"))
STDS = [58.395, 57.12, 57.375]
NORM = ("weight", "bias", "running_mean", "running_var")
BODY = "backbone.stem.conv1"


def spelled_out(pattern: str, shape: list[int]) -> Iterator[tuple[str, list[int]]]:
    """res3.1-3.conv1+norm -> the weight and the four tensors of a normalisation of three convolutions."""
    layer, _, beside = pattern.partition("+")
    span = re.search(r"(\d+)-(\d+)", layer)
    numbers = range(int(span[1]), int(span[2]) + 1) if span else [None]
    for number in numbers:
        name = layer if span is None else f"{layer[: span.start()]}{number}{layer[span.end() :]}"
        yield f"{name}.weight", shape
        yield from ((f"{name}.{other}", shape[:1]) for other in (["bias"] if beside == "bias" else []))
        yield from ((f"{name}.norm.{other}", shape[:1]) for other in (NORM if beside == "norm" else []))


def table(layout: str) -> dict[str, list[int]]:
    """Every tensor of a layout and its shape."""
    return {
        prefix + name: shape
        for prefix, piece in NAMES["layouts"][layout]
        for pattern, first in NAMES["pieces"][piece].items()
        for name, shape in spelled_out(pattern, first)
    }


def on_meta(layout: str) -> dict[str, Tensor]:
    return {name: torch.empty(shape, device="meta") for name, shape in table(layout).items()}


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
    ],
)
def test_names(theirs: str, ours: str) -> None:
    assert our_name(theirs) == ours


@pytest.mark.parametrize("layout", NAMES["layouts"])
def test_every_tensor_finds_its_place(layout: str) -> None:
    theirs = on_meta(layout)
    assert len({our_name(name) for name in theirs}) == len(theirs)
    found = converted(theirs, "test")
    with torch.device("meta"):
        own = empty_detector(found.config, found.classes).state_dict()
    assert {name: value.shape for name, value in found.weights.items()} == {n: v.shape for n, v in own.items()}
    assert sum(value.numel() for value in theirs.values()) == sum(  # a scale and a shift are made of four
        value.numel() * (2 if name.endswith((".scale", ".shift")) else 1) for name, value in found.weights.items()
    )
    assert str(seen_layout(theirs)) == layout.split(" ")[0]
    assert (len(found.classes), found.classes[0]) == ((20, "aeroplane") if "VOC" in layout else (80, "person"))


def test_the_counts_are_those_of_detectron2() -> None:
    """As its own models had them when the table was made."""
    assert {name: len(table(name)) for name in NAMES["layouts"]} == {
        C4: 275,
        DC5: 279,
        FPN: 295,
        "faster_rcnn_R_101_C4": 530,
        "faster_rcnn_R_101_DC5": 534,
        "faster_rcnn_R_101_FPN": 550,
        "fast_rcnn_R_50_FPN": 289,
        f"{C4} of VOC": 275,
    }


def test_the_background_comes_first_and_a_head_without_classes_speaks_for_each() -> None:
    theirs = {
        "roi_heads.box_predictor.cls_score.bias": torch.tensor([1.0, 2, 0]),
        "roi_heads.box_predictor.cls_score.weight": torch.tensor([[1.0], [2], [0]]),
        "roi_heads.box_predictor.bbox_pred.bias": torch.arange(4.0),
        "roi_heads.box_predictor.bbox_pred.weight": torch.arange(4.0)[:, None],
    }
    ours = to_ours(theirs)
    assert ours["head.logits.bias"].tolist() == ours["head.logits.weight"].flatten().tolist() == [0, 1, 2]
    assert ours["head.deltas.bias"].tolist() == ours["head.deltas.weight"].flatten().tolist() == [0, 1, 2, 3] * 2
    theirs["roi_heads.box_predictor.bbox_pred.bias"] = torch.arange(8.0)
    assert to_ours(theirs)["head.deltas.bias"].tolist() == list(range(8))


def test_a_fixed_norm_is_a_scale_and_a_shift() -> None:
    torch.manual_seed(0)
    conv, norm = nn.Conv2d(2, 3, 1, bias=False).double(), nn.BatchNorm2d(3).double().eval()
    for tensor in norm.state_dict().values():
        if tensor.is_floating_point():
            nn.init.uniform_(tensor, 0.5, 2.0)
    state = {f"{BODY}.weight": conv.weight.detach()}
    state |= {f"{BODY}.norm.{name}": value for name, value in norm.state_dict().items()}
    ours = to_ours(state)
    place = "backbone.stages.0.0"
    assert ours.keys() == {f"{place}.conv.weight", f"{place}.scale", f"{place}.shift"}
    pixels = torch.randn(1, 2, 4, 4).double()
    weight = ours[f"{place}.conv.weight"] * ours[f"{place}.scale"][:, None, None, None]
    torch.testing.assert_close(functional.conv2d(pixels, weight, ours[f"{place}.shift"]), norm(conv(pixels)))


@pytest.mark.parametrize(
    ("mean", "std", "expected"),
    [
        (None, None, ("bgr", (123.675, 116.28, 103.53), (1, 1, 1), "resnet50_original")),
        ([103.53, 116.28, 123.675], [1, 1, 1], ("bgr", (123.675, 116.28, 103.53), (1, 1, 1), "resnet50_original")),
        ([123.675, 116.28, 103.53], STDS, ("rgb", (123.675, 116.28, 103.53), tuple(STDS), "resnet50")),
        ([100, 110, 120], [1, 2, 3], ("bgr", (120, 110, 100), (3, 2, 1), "resnet50")),
    ],
)  # fmt: skip
def test_pixels_are_as_the_file_says(
    mean: list[float] | None, std: list[float] | None, expected: tuple[Any, ...]
) -> None:
    state = on_meta(C4)
    if mean is not None and std is not None:
        state |= {"pixel_mean": torch.tensor(mean).view(3, 1, 1), "pixel_std": torch.tensor(std).view(3, 1, 1)}
    model = converted(state, "test").config.model
    pixels = model.preprocess
    assert pixels.resize == "pil"
    assert (pixels.channels, pixels.mean, pixels.std, model.backbone.name) == expected


def their_anchors(layout: str, scale: float) -> dict[str, Tensor]:
    """As older files hold them."""
    rpn = layout_config(seen_layout(on_meta(layout)) or pytest.fail(layout)).model.rpn
    sides = [side * scale for side in rpn.sides if isinstance(side, float)]
    by_map = [[side] for side in sides] if layout == FPN else [sides]
    return {
        f"proposal_generator.anchor_generator.cell_anchors.{level}": AnchorShapes((tuple(each),), rpn.ratios).on_map(
            0, (1, 1), 0, torch.device("cpu")
        )
        for level, each in enumerate(by_map)
    }


@pytest.mark.parametrize("layout", [FPN, C4])
def test_anchors_in_the_file_are_compared(layout: str) -> None:
    converted(on_meta(layout) | their_anchors(layout, 1.0), "test")
    other = on_meta(layout) | their_anchors(layout, 2.0)
    with pytest.raises(UserError, match=r"test: expected anchors of model.rpn.sides \[32.0, .*found \[64, "):
        converted(other, "test")
    converted(other, "test", overrides=["model.rpn.sides=[64,128,256,512,1024]"])


WIDER = on_meta(FPN) | {"backbone.bottom_up.res2.0.conv2.weight": torch.empty(64, 32, 3, 3, device="meta")}
BROKEN: list[tuple[dict[str, Tensor], dict[str, Any], str]] = [
    ({}, {}, "test: expected a Faster or Fast R-CNN of detectron2's .*, found the weights of something else"),
    ({"a": torch.ones(1)}, {}, "found the weights of something else"),
    (WIDER, {}, rf"test: expected the weights of detectron2's {FPN}, found .*1 of another shape \(backbone.body.st"),
    (on_meta(FPN) | {"roi_heads.mask_head.mask_fcn1.weight": torch.ones(1)}, {}, r"1 left over \(roi_heads.mask_head"),
    (on_meta(FPN), {"classes": ["a"]}, "--classes: expected 80 different names for test, found a"),
    (on_meta(FPN), {"overrides": ["model.rpn.width=8"]}, "--set: expected a network that the weights of faster_rcnn_R"),
]


@pytest.mark.parametrize(("state", "options", "message"), BROKEN)
def test_what_does_not_fit_is_refused(state: dict[str, Tensor], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        converted(state, "test", **options)
    assert "\n" not in str(raised.value)


def test_a_checkpoint_is_imported_by_command(tmp_path: Path, detect_command: Command) -> None:
    """Of tensors that repeat one number a file holds that one: 132 MB in 100 kB."""
    file, out = tmp_path / "model_final.pth", tmp_path / "ours.pt"
    repeated = {name: torch.zeros(1).expand(shape) for name, shape in table(C4).items()}
    torch.save({"model": repeated, "iteration": 89999, "optimizer": {"state": {}}}, file)
    status, told, err = detect_command("model", "import", "--from", "detectron2", file, "--out", out)
    assert (status, err) == (0, "")
    assert told == f"{out}: 80 classes, 169 tensors, all of them from {file}\n"
    found = load_checkpoint(out)
    assert found.classes == coco80()
    assert (found.preprocess.channels, found.preprocess.divisor, found.config.model.regions.samples) == ("bgr", 1, 0)


@pytest.mark.parametrize("flag", [("--layout", "fasterrcnn_resnet50_fpn"), ("--eps", "0")])
def test_torchvisions_flags_are_torchvisions(tmp_path: Path, detect_command: Command, flag: tuple[str, str]) -> None:
    status, _, err = detect_command("model", "import", "--from", "detectron2", "a.pkl", "--out", tmp_path / "a", *flag)
    assert (status, err) == (2, f"detect: {flag[0]}: expected --from torchvision beside it, found --from detectron2\n")
