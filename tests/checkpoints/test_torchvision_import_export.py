"""Names, tensors and settings on the way from torchvision and back; test_torchvision_same_results compares boxes."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
import urllib.error
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from torch import Tensor
from torchvision.models import detection
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.transform import GeneralizedRCNNTransform

from detect.checkpoints import torchvision_import as importing
from detect.checkpoints.checkpoint import Checkpoint, load_checkpoint
from detect.checkpoints.torchvision_configs import LAYOUTS, PUBLISHED, coco_classes, torchvision_config
from detect.checkpoints.torchvision_export import ARGUMENTS, export_torchvision
from detect.checkpoints.torchvision_import import convert_torchvision_state, import_torchvision
from detect.checkpoints.torchvision_names import convert_key, from_torchvision, to_torchvision
from detect.config.builders.detector import build_uninitialized
from detect.config.files import with_overrides
from detect.errors import UserError
from detect.ops.preprocess import Preprocess
from tests.checkpoints.fixtures_torchvision import detector_pair, rgb_images, torchvision_images
from tests.conftest import Command

R50, V2, MOBILE, MOBILE_320, MASK_R50, MASK_V2 = LAYOUTS
SLOW = pytest.mark.slow


@cache
def meta_state(layout: str, num_classes: int = 90) -> dict[str, Tensor]:
    """Return a state dict of a layout without data: names and shapes."""
    with torch.device("meta"):
        state: dict[str, Tensor] = getattr(detection, layout)(
            weights=None, weights_backbone=None, num_classes=num_classes + 1
        ).state_dict()
    return state


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("", ""),
        ("nothing.like.it", "nothing.like.it"),
        ("backbone.body.bn1.bias", "backbone.body.stages.0.1.bias"),
        ("backbone.body.layer3.5.bn2.weight", "backbone.body.stages.3.5.bn2.weight"),
        ("backbone.body.1.block.0.0.weight", "backbone.body.stages.0.1.block.0.0.weight"),
        ("backbone.body.13.block.0.0.weight", "backbone.body.stages.4.13.block.0.0.weight"),
        ("backbone.body.16.0.weight", "backbone.body.stages.5.16.0.weight"),
        ("roi_heads.box_head.fc7.bias", "head.tail.layers.3.bias"),
        ("roi_heads.box_head.3.1.running_mean", "head.tail.layers.3.1.running_mean"),
        ("roi_heads.mask_head.3.0.bias", "mask_head.layers.3.0.bias"),
        ("roi_heads.mask_predictor.conv5_mask.weight", "mask_head.upsample.weight"),
        ("roi_heads.mask_predictor.mask_fcn_logits.bias", "mask_head.logits.bias"),
    ],
)
def test_convert_key(theirs: str, ours: str) -> None:
    assert convert_key(theirs) == ours


@pytest.mark.parametrize("layout", LAYOUTS)
def test_convert_torchvision_state_converts_every_tensor(layout: str) -> None:
    theirs = meta_state(layout)
    checkpoint = convert_torchvision_state(theirs, layout, "test")
    with torch.device("meta"):
        expected = build_uninitialized(checkpoint.config, checkpoint.classes).state_dict()
    assert shapes(checkpoint.weights) == shapes(expected)
    assert len({convert_key(name) for name in theirs}) == len(theirs)


@pytest.mark.slow
@pytest.mark.parametrize("layout", [R50, MOBILE, MOBILE_320, MASK_R50])
def test_files_of_torchvision_before_0_13_are_converted_alike(layout: str) -> None:
    theirs = meta_state(layout)
    fcn = re.compile(r"(roi_heads\.mask_head)\.(\d)\.0\.")
    old = {
        re.sub(
            r"(_blocks\.\d|rpn\.head\.conv)(\.0)+\.(weight|bias)$",
            r"\1.\3",
            fcn.sub(lambda match: f"{match[1]}.mask_fcn{int(match[2]) + 1}.", name),
        ): value
        for name, value in theirs.items()
        if not name.endswith("num_batches_tracked")
    }
    assert {"rpn.head.conv.bias", "backbone.fpn.layer_blocks.1.weight"} <= old.keys() - theirs.keys()
    found, expected = (
        convert_torchvision_state(old, layout, "test").weights,
        convert_torchvision_state(theirs, layout, "test").weights,
    )
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in expected.items()
    }


@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.5])
def test_from_torchvision_folds_a_frozen_norm_into_scale_and_shift(eps: float) -> None:
    conv = "backbone.body.layer1.0.conv1.weight"
    norm = {"weight": 3.0, "bias": 5.0, "running_mean": 7.0, "running_var": 2.0, "num_batches_tracked": 9.0}
    state = {conv: torch.ones(1, 1, 1, 1)}
    state |= {f"backbone.body.layer1.0.bn1.{name}": torch.tensor([value]) for name, value in norm.items()}
    prefix = "backbone.body.stages.1.0.conv1"
    folded = from_torchvision(state, 1, eps)
    scale = 3 / math.sqrt(2 + eps)
    assert folded.keys() == {f"{prefix}.conv.weight", f"{prefix}.scale", f"{prefix}.shift"}
    assert folded[f"{prefix}.scale"].item() == pytest.approx(scale, rel=1e-15)
    assert folded[f"{prefix}.shift"].item() == pytest.approx(5 - 7 * scale, rel=1e-15)
    assert from_torchvision(state, 1, None).keys() == {convert_key(name) for name in state}


def test_from_torchvision_reorders_anchors_and_drops_the_deltas_of_the_background() -> None:
    """Two sizes and three ratios: theirs are a0 b0, a1 b1, a2 b2, ours a0 a1 a2, b0 b1 b2."""
    theirs = {
        "rpn.head.cls_logits.bias": torch.tensor([0.0, 10, 1, 11, 2, 12]),
        "rpn.head.bbox_pred.weight": torch.arange(24.0).view(24, 1, 1, 1),
        "roi_heads.box_predictor.bbox_pred.bias": torch.arange(12.0),
        "roi_heads.box_predictor.bbox_pred.weight": torch.arange(24.0).view(12, 2),
        "roi_heads.mask_predictor.mask_fcn_logits.bias": torch.arange(3.0),
    }
    ours = from_torchvision(theirs, 2, None)
    assert ours["proposer.head.objectness.bias"].tolist() == [0, 1, 2, 10, 11, 12]
    assert ours["proposer.head.deltas.weight"].flatten()[4:8].tolist() == [8, 9, 10, 11]
    assert ours["head.deltas.bias"].tolist() == list(range(4, 12))
    assert ours["mask_head.logits.bias"].tolist() == [1, 2]
    back = to_torchvision(ours, 2, theirs)
    for name, value in theirs.items():
        if "_predictor" in name:
            value[: 4 if "box" in name else 1] = 0
        assert torch.equal(back[name], value)


def test_coco_classes_are_90_different_names() -> None:
    for layout in LAYOUTS:
        names = coco_classes(layout)
        assert len(names) == len(set(names)) == 90
        assert (names[0], names[11], names[12], names[89]) == ("person", "N/A 12", "stop sign", "toothbrush")
        assert sum(name.startswith("N/A") for name in names) == 10


BROKEN: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    (
        {},
        {"layout": "fasterrcnn_resnet50"},
        r'--layout: .*found fasterrcnn_resnet50 \(did you mean "fasterrcnn_resnet50_f',
    ),
    ({"nothing": 1}, {}, "a.pth: expected the weights of torchvision's .*, found those of none of them"),
    (meta_state(MOBILE), {}, f"a.pth: expected --layout {MOBILE} or {MOBILE_320}, .* found none"),
    (
        meta_state(R50),
        {"layout": V2},
        f"a.pth: expected the weights of torchvision's {V2}, found .*56 missing .*; 12 unexpected",
    ),
    (meta_state(R50, 3), {}, "--classes: expected the names of the 3 classes of .*a.pth, found none"),
    (meta_state(R50, 3), {"classes": ["a", "b"]}, "--classes: expected 3 different names for .*, found a, b"),
    (meta_state(R50, 3), {"classes": ["a", "b", "a"]}, "--classes: expected 3 different names for .*, found a, b, a"),
    (
        meta_state(R50),
        {"overrides": ["model.rpn.channels=8"]},
        "--set: expected a network that the weights of .*fit, found",
    ),
    (meta_state(R50), {"overrides": ["model.rpn.chanels=8"]}, '--set: model.rpn.chanels: unknown key .*"channels"'),
]


@pytest.mark.parametrize(("state", "options", "message"), BROKEN)
def test_import_torchvision_refuses_files_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    (tmp_path / "a.pth").write_bytes(b"")
    monkeypatch.setattr(importing, "load_tensors", lambda _: state)
    with pytest.raises(UserError, match=message) as raised:
        import_torchvision(str(tmp_path / "a.pth"), **options)
    assert "\n" not in str(raised.value)


def test_a_published_file_is_recognized_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file may have any name; the normalizations of the published ResNet-50 have an eps of 0."""
    file = tmp_path / "renamed.pth"
    file.write_bytes(b"as published")
    calls: list[tuple[str, float]] = []

    def record(state: Any, layout: str, source: str, classes: Any, eps: float, overrides: Any) -> None:  # noqa: ARG001
        calls.append((layout, eps))

    monkeypatch.setattr(importing, "convert_torchvision_state", record)
    monkeypatch.setattr(importing, "load_tensors", lambda _: meta_state(R50))
    import_torchvision(str(file))
    monkeypatch.setattr(
        importing, "_hash_in_name", lambda url: hashlib.sha256(b"as published").hexdigest()[:8] * ("50_" in url)
    )
    import_torchvision(str(file))
    import_torchvision(str(file), eps=0.25)
    assert calls == [(R50, 1e-5), (R50, 0.0), (R50, 0.25)]


def test_import_torchvision_without_network_names_the_folder_for_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", fail)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    name = PUBLISHED[V2].url.rsplit("/", 1)[-1]
    with pytest.raises(UserError, match=rf"{V2}: could not fetch https://.*no route.*put {name} into {tmp_path}"):
        import_torchvision(V2)


def meta_checkpoint(layout: str, *overrides: str) -> Checkpoint:
    """Return a checkpoint of a layout without data, whose settings are changed afterwards."""
    config = torchvision_config(layout)
    with torch.device("meta"):
        weights = build_uninitialized(config, ("cat", "dog")).state_dict()
    return Checkpoint(with_overrides(config, overrides), ("cat", "dog"), Preprocess(), weights, 0, {})


@pytest.mark.parametrize(
    ("layout", "overrides", "expected"),
    [
        (R50, (), f"{R50}(weights=None, weights_backbone=None, num_classes=3)"),
        pytest.param(MASK_R50, (), f"{MASK_R50}(weights=None, weights_backbone=None, num_classes=3)", marks=SLOW),
        pytest.param(MASK_V2, (), f"{MASK_V2}(weights=None, weights_backbone=None, num_classes=3)", marks=SLOW),
        (V2, (), f"{V2}(weights=None, weights_backbone=None, num_classes=3)"),
        pytest.param(MOBILE_320, (), f"{MOBILE_320}(weights=None, weights_backbone=None, num_classes=3)", marks=SLOW),
        (MOBILE, ("data.min_size=[400,500]",), f"{MOBILE}(.*, num_classes=3, min_size=[400, 500])"),
        (R50, ("model.postprocess.nms_iou=0.4",), f"{R50}(.*, num_classes=3, box_nms_thresh=0.4)"),
        pytest.param(
            R50, ("model.head.negative_iou=[0,0.4]",), f"{R50}(.*, num_classes=3, box_bg_iou_thresh=0.4)", marks=SLOW
        ),
        (R50, ("model.head.delta_stds=[1,1,0.5,0.5]",), f"{R50}(.*, bbox_reg_weights=(1.0, 1.0, 2.0, 2.0))"),
        (
            R50,
            ("model.test_time.merge=nms", "model.test_time.slice.overlap=0.5"),  # of views that there are not
            f"{R50}(weights=None, weights_backbone=None, num_classes=3)",
        ),
    ],
)
def test_export_torchvision_returns_the_layout_of_the_detector(
    layout: str, overrides: tuple[str, ...], expected: str
) -> None:
    exported = export_torchvision(meta_checkpoint(layout, *overrides), "test")
    assert re.fullmatch(re.escape(expected).replace(r"\.\*", ".*"), exported.call)
    assert shapes(exported.state) == shapes(meta_state(layout, 2))
    with torch.device("meta"):
        getattr(detection, layout)(**exported.arguments)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.regions.aligned=true"], "test: expected model.regions .*False.*, found .*True"),
        (["model.preprocess.resize=cv2"], "test: expected model.preprocess .*float.*, found .*cv2"),
        (
            ["model.rpn.round_anchors=false"],
            f"test: expected model.rpn.round_anchors True, as torchvision's {R50} has it, found False",
        ),
        (
            ["model.head.negative_iou=[0.1,0.5]"],
            r"expected model.head.negative_iou \[0.0, 0.5\], .* found \[0.1, 0.5\]",
        ),
        (["model.pool=roi_pool"], "expected model.pool roi_align, .* found roi_pool"),
        (["model.head.class_agnostic=true"], "expected model.head.class_agnostic False, .* found True"),
        (["model.cascade.ious=[0.5,0.6]"], r"expected model.cascade .*None.*, found .*\[0.5, 0.6\]"),
        (
            ["model.test_time.flip=true"],
            f"test: expected model.test_time.flip False, as torchvision's {R50} has it, found True",
        ),
        (["model.test_time.scales=[1,1.5]"], r"expected model.test_time.scales \[1.0\], .* found \[1.0, 1.5\]"),
        (["model.test_time.slice.size=640"], "expected model.test_time.slice.size None, .* found 640"),
    ],
)
def test_export_torchvision_refuses_settings_without_an_argument(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        export_torchvision(meta_checkpoint(R50, *overrides), "test")


def test_arguments_are_those_of_torchvision() -> None:
    parameters = [*inspect.signature(FasterRCNN).parameters, *inspect.signature(GeneralizedRCNNTransform).parameters]
    assert set(ARGUMENTS.values()) <= set(parameters)
    assert len(set(ARGUMENTS.values())) == len(ARGUMENTS)


@pytest.mark.slow
def test_commands_import_predict_and_export(tmp_path: Path, detect_command: Command) -> None:
    """The boxes of a lossless image agree with torchvision's, and the exported weights are the imported ones."""
    pair = detector_pair(MOBILE_320)
    file, checkpoint, image, back = (tmp_path / name for name in ("theirs.pth", "ours.pt", "photo.png", "back.pth"))
    torch.save(pair.theirs.state_dict(), file)
    cv2.imwrite(str(image), rgb_images()[1][..., ::-1])
    settings = [
        part for key, value in changed_settings(pair.checkpoint).items() for part in ("--set", f"{key}={value}")
    ]
    status, out, err = detect_command(
        "model", "import", "--from", "torchvision", file, "--layout", MOBILE_320, "--out", checkpoint, *settings
    )
    assert (status, err) == (0, "")
    assert "90 classes" in out
    status, _, err = detect_command(
        "predict", checkpoint, image, "--out", tmp_path / "found", "--format", "json", "--score", "0.05"
    )
    assert (status, err) == (0, "")
    detections = json.loads((tmp_path / "found" / "predictions.json").read_text(encoding="utf-8"))[0]["detections"]
    with torch.no_grad():
        (expected,) = pair.theirs.eval()(torchvision_images(rgb_images()[1:2], torch.float32))
    assert len(detections) == pytest.approx(len(expected["boxes"]), rel=0.02)
    names = ("", *load_checkpoint(checkpoint).classes)
    boxes = torch.tensor([detection["box"] for detection in detections])
    labels = torch.tensor([names.index(detection["label"]) for detection in detections])
    assert fraction_matched(expected, {"boxes": boxes, "labels": labels}) >= 0.98

    before = {path: path.read_bytes() for path in (file, checkpoint)}
    for arguments, replaced in (
        (("import", "--from", "torchvision", file, "--layout", MOBILE_320, "--out", file), file),
        (("export", "--to", "torchvision", checkpoint, checkpoint), checkpoint),
    ):
        status, out, err = detect_command("model", *arguments)
        assert (status, out) == (2, "")
        assert err.startswith(f"detect: {replaced}: expected a file that this command does not read, found one of its ")
    assert {path: path.read_bytes() for path in before} == before

    status, out, err = detect_command("model", "export", "--to", "torchvision", checkpoint, back)
    assert (status, err) == (0, "")
    exported = export_torchvision(load_checkpoint(checkpoint), "test")
    assert out == f"{back}: {len(exported.state)} tensors for torchvision.models.detection.{exported.call}\n"
    again = getattr(detection, exported.layout)(**exported.arguments).eval()
    again.load_state_dict(torch.load(back, weights_only=True))
    with torch.no_grad():
        assert fraction_matched(expected, again(torchvision_images(rgb_images()[1:2], torch.float32))[0]) >= 0.98
    for name, value in convert_torchvision_state(again.state_dict(), MOBILE_320, "test").weights.items():
        torch.testing.assert_close(value, pair.checkpoint.weights[name], rtol=1e-6, atol=1e-7)


def shapes(state: dict[str, Tensor]) -> dict[str, torch.Size]:
    """Return the shape of each tensor of a state dict."""
    return {name: tensor.shape for name, tensor in state.items()}


def fraction_matched(expected: dict[str, Tensor], detections: dict[str, Tensor]) -> float:
    """Return the fraction of ``expected`` with a detection of the same label within a twentieth of a pixel."""
    boxes, others = (
        torch.cat([output["boxes"], output["labels"][:, None] * 1e4], 1) for output in (expected, detections)
    )
    return float(((boxes[:, None] - others).abs().amax(2).amin(1) <= 0.05).double().mean())


def changed_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """Return the settings that differ from the layout's, by the keys of --set."""
    reference, settings = (
        config.model_dump(mode="json") for config in (torchvision_config(MOBILE_320), checkpoint.config)
    )
    return {
        f"{top}.{section}.{key}" if top == "model" else f"{top}.{section}": value
        for top in ("model", "data")
        for section, inner in settings[top].items()
        for key, value in (inner.items() if isinstance(inner, dict) else ((None, inner),))
        if value != (reference[top][section][key] if key else reference[top][section])
    }
