"""Names, tensors and settings on the way from torchvision and back. That boxes stay: tests/weights."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import re
import urllib.error
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
from detect.checkpoints.torchvision_configs import LAYOUTS, PUBLISHED, coco_classes, layout_config
from detect.checkpoints.torchvision_export import ARGUMENTS, export_torchvision
from detect.checkpoints.torchvision_import import converted, import_torchvision
from detect.checkpoints.torchvision_names import our_name, to_ours, to_theirs
from detect.config.builders.detector import empty_detector
from detect.config.files import changed
from detect.errors import UserError
from detect.ops.preprocess import Preprocess
from tests.checkpoints.pairs import pair, pictures, their_images
from tests.conftest import Command

R50, V2, MOBILE, MOBILE_320 = LAYOUTS


def on_meta(layout: str, classes: int = 90) -> dict[str, Tensor]:
    """A state dict without data: names and shapes."""
    with torch.device("meta"):
        state: dict[str, Tensor] = getattr(detection, layout)(
            weights=None, weights_backbone=None, num_classes=classes + 1
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
    ],
)
def test_names(theirs: str, ours: str) -> None:
    assert our_name(theirs) == ours


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_tensor_finds_its_place(layout: str) -> None:
    theirs = on_meta(layout)
    found = converted(theirs, layout, "test")
    with torch.device("meta"):
        own = empty_detector(found.config, found.classes).state_dict()
    assert {name: value.shape for name, value in found.weights.items()} == {n: v.shape for n, v in own.items()}
    assert len({our_name(name) for name in theirs}) == len(theirs)


@pytest.mark.parametrize("layout", [R50, MOBILE, MOBILE_320])
def test_files_written_before_0_13_are_read_alike(layout: str) -> None:
    theirs = on_meta(layout)
    old = {
        re.sub(r"(_blocks\.\d|rpn\.head\.conv)(\.0)+\.(weight|bias)$", r"\1.\3", name): value
        for name, value in theirs.items()
        if not name.endswith("num_batches_tracked")
    }
    assert {"rpn.head.conv.bias", "backbone.fpn.layer_blocks.1.weight"} <= old.keys() - theirs.keys()
    found, expected = converted(old, layout, "test").weights, converted(theirs, layout, "test").weights
    assert {name: value.shape for name, value in found.items()} == {
        name: value.shape for name, value in expected.items()
    }


@pytest.mark.parametrize("eps", [0.0, 1e-5, 0.5])
def test_a_fixed_norm_is_a_scale_and_a_shift(eps: float) -> None:
    conv = "backbone.body.layer1.0.conv1.weight"
    norm = {"weight": 3.0, "bias": 5.0, "running_mean": 7.0, "running_var": 2.0, "num_batches_tracked": 9.0}
    state = {conv: torch.ones(1, 1, 1, 1)}
    state |= {f"backbone.body.layer1.0.bn1.{name}": torch.tensor([value]) for name, value in norm.items()}
    place = "backbone.body.stages.1.0.conv1"
    found = to_ours(state, 1, eps)
    scale = 3 / math.sqrt(2 + eps)
    assert found.keys() == {f"{place}.conv.weight", f"{place}.scale", f"{place}.shift"}
    assert found[f"{place}.scale"].item() == pytest.approx(scale, rel=1e-15)
    assert found[f"{place}.shift"].item() == pytest.approx(5 - 7 * scale, rel=1e-15)
    assert to_ours(state, 1, None).keys() == {our_name(name) for name in state}


def test_anchors_are_turned_and_the_backgrounds_deltas_left_out() -> None:
    """Two sides and three ratios: theirs are a0 b0, a1 b1, a2 b2, ours a0 a1 a2, b0 b1 b2."""
    theirs = {
        "rpn.head.cls_logits.bias": torch.tensor([0.0, 10, 1, 11, 2, 12]),
        "rpn.head.bbox_pred.weight": torch.arange(24.0).view(24, 1, 1, 1),
        "roi_heads.box_predictor.bbox_pred.bias": torch.arange(12.0),
        "roi_heads.box_predictor.bbox_pred.weight": torch.arange(24.0).view(12, 2),
    }
    ours = to_ours(theirs, 2, None)
    assert ours["proposer.head.objectness.bias"].tolist() == [0, 1, 2, 10, 11, 12]
    assert ours["proposer.head.deltas.weight"].flatten()[4:8].tolist() == [8, 9, 10, 11]
    assert ours["head.deltas.bias"].tolist() == list(range(4, 12))
    back = to_theirs(ours, 2, theirs)
    for name, value in theirs.items():
        if "box_predictor" in name:
            value[:4] = 0
        assert torch.equal(back[name], value)


def test_cocos_labels_all_have_a_name() -> None:
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
    (on_meta(MOBILE), {}, f"a.pth: expected --layout {MOBILE} or {MOBILE_320}, .* found none"),
    (
        on_meta(R50),
        {"layout": V2},
        f"a.pth: expected the weights of torchvision's {V2}, found .*56 missing .*; 12 left over",
    ),
    (on_meta(R50, 3), {}, "--classes: expected the names of the 3 classes of .*a.pth, found none"),
    (on_meta(R50, 3), {"classes": ["a", "b"]}, "--classes: expected 3 different names for .*, found a, b"),
    (on_meta(R50, 3), {"classes": ["a", "b", "a"]}, "--classes: expected 3 different names for .*, found a, b, a"),
    (on_meta(R50), {"overrides": ["model.rpn.width=8"]}, "--set: expected a network that the weights of .*fit, found"),
    (on_meta(R50), {"overrides": ["model.rpn.wdth=8"]}, '--set: model.rpn.wdth: unknown key .*"width"'),
]


@pytest.mark.parametrize(("state", "options", "message"), BROKEN)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    (tmp_path / "a.pth").write_bytes(b"")
    monkeypatch.setattr(importing, "in_file", lambda _: state)
    with pytest.raises(UserError, match=message) as raised:
        import_torchvision(str(tmp_path / "a.pth"), **options)
    assert "\n" not in str(raised.value)


def test_a_published_file_is_known_by_its_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is called: then ResNet-50's normalisations add nothing to their variances."""
    file = tmp_path / "renamed.pth"
    file.write_bytes(b"as published")
    said: list[tuple[str, float]] = []

    def note(state: Any, layout: str, source: str, classes: Any, eps: float, overrides: Any) -> None:  # noqa: ARG001
        said.append((layout, eps))

    monkeypatch.setattr(importing, "converted", note)
    monkeypatch.setattr(importing, "in_file", lambda _: on_meta(R50))
    import_torchvision(str(file))
    monkeypatch.setattr(
        importing, "_hash", lambda url: hashlib.sha256(b"as published").hexdigest()[:8] * ("50_" in url)
    )
    import_torchvision(str(file))
    import_torchvision(str(file), eps=0.25)
    assert said == [(R50, 1e-5), (R50, 0.0), (R50, 0.25)]


def test_without_a_network_the_message_says_where_the_file_goes(
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
    """A checkpoint of a detector of a layout, without data, its settings changed afterwards."""
    plain = layout_config(layout)
    with torch.device("meta"):
        weights = empty_detector(plain, ("cat", "dog")).state_dict()
    return Checkpoint(changed(plain, overrides), ("cat", "dog"), Preprocess(), weights, 0, {})


@pytest.mark.parametrize(
    ("layout", "overrides", "expected"),
    [
        (R50, (), f"{R50}(weights=None, weights_backbone=None, num_classes=3)"),
        (V2, (), f"{V2}(weights=None, weights_backbone=None, num_classes=3)"),
        (MOBILE_320, (), f"{MOBILE_320}(weights=None, weights_backbone=None, num_classes=3)"),
        (MOBILE, ("data.min_size=[400,500]",), f"{MOBILE}(.*, num_classes=3, min_size=[400, 500])"),
        (R50, ("model.postprocess.nms=0.4",), f"{R50}(.*, num_classes=3, box_nms_thresh=0.4)"),
        (R50, ("model.head.background=[0,0.4]",), f"{R50}(.*, num_classes=3, box_bg_iou_thresh=0.4)"),
        (R50, ("model.head.stds=[1,1,0.5,0.5]",), f"{R50}(.*, bbox_reg_weights=(1.0, 1.0, 2.0, 2.0))"),
    ],
)
def test_a_detector_is_exported_as_the_layout_it_is(layout: str, overrides: tuple[str, ...], expected: str) -> None:
    found = export_torchvision(meta_checkpoint(layout, *overrides), "test")
    assert re.fullmatch(re.escape(expected).replace(r"\.\*", ".*"), found.call)
    wanted = on_meta(layout, 2)
    assert {name: value.shape for name, value in found.state.items()} == {n: v.shape for n, v in wanted.items()}
    with torch.device("meta"):
        getattr(detection, layout)(**found.arguments)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.regions.aligned=true"], "test: expected model.regions .*False.*, found .*True"),
        (["model.preprocess.resize=cv2"], "test: expected model.preprocess .*float.*, found .*cv2"),
        (
            ["model.rpn.rounded=false"],
            f"test: expected model.rpn.rounded True, as torchvision's {R50} has it, found False",
        ),
        (["model.head.background=[0.1,0.5]"], r"expected model.head.background \[0.0, 0.5\], .* found \[0.1, 0.5\]"),
        (["model.pool=roi_pool"], "expected model.pool roi_align, .* found roi_pool"),
    ],
)
def test_what_torchvision_cannot_do_is_not_exported(overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        export_torchvision(meta_checkpoint(R50, *overrides), "test")


def test_every_argument_is_one_of_torchvisions() -> None:
    known = [*inspect.signature(FasterRCNN).parameters, *inspect.signature(GeneralizedRCNNTransform).parameters]
    assert set(ARGUMENTS.values()) <= set(known)
    assert len(set(ARGUMENTS.values())) == len(ARGUMENTS)


def test_imported_predicted_and_exported_by_commands(tmp_path: Path, detect_command: Command) -> None:
    """The boxes of a lossless copy of an image are theirs, and what goes back is what came."""
    twins = pair(MOBILE_320)
    file, checkpoint, image, back = (tmp_path / name for name in ("theirs.pth", "ours.pt", "photo.png", "back.pth"))
    torch.save(twins.theirs.state_dict(), file)
    cv2.imwrite(str(image), pictures()[1][..., ::-1])
    settings = [part for key, value in twins_settings(twins.checkpoint).items() for part in ("--set", f"{key}={value}")]
    status, out, err = detect_command(
        "model", "import", "--from", "torchvision", file, "--layout", MOBILE_320, "--out", checkpoint, *settings
    )
    assert (status, err) == (0, "")
    assert "90 classes" in out
    status, _, err = detect_command(
        "predict", checkpoint, image, "--out", tmp_path / "found", "--format", "json", "--score", "0.05"
    )
    assert (status, err) == (0, "")
    found = json.loads((tmp_path / "found" / "predictions.json").read_text(encoding="utf-8"))[0]["detections"]
    with torch.no_grad():
        (wanted,) = twins.theirs.eval()(their_images(pictures()[1:2], torch.float32))
    assert len(found) == pytest.approx(len(wanted["boxes"]), rel=0.02)
    names = ("", *load_checkpoint(checkpoint).classes)
    boxes = torch.tensor([one["box"] for one in found])
    assert alike(wanted, {"boxes": boxes, "labels": torch.tensor([names.index(one["label"]) for one in found])}) >= 0.98

    status, out, err = detect_command("model", "export", "--to", "torchvision", checkpoint, back)
    assert (status, err) == (0, "")
    exported = export_torchvision(load_checkpoint(checkpoint), "test")
    assert out == f"{back}: {len(exported.state)} tensors for torchvision.models.detection.{exported.call}\n"
    again = getattr(detection, exported.layout)(**exported.arguments).eval()
    again.load_state_dict(torch.load(back, weights_only=True))
    with torch.no_grad():
        assert alike(wanted, again(their_images(pictures()[1:2], torch.float32))[0]) >= 0.98
    for name, value in converted(again.state_dict(), MOBILE_320, "test").weights.items():
        torch.testing.assert_close(value, twins.checkpoint.weights[name], rtol=1e-6, atol=1e-7)


def alike(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> float:
    """The share of ``wanted`` that has a box of its label in ``found`` within a twentieth of a pixel."""
    boxes, others = (torch.cat([each["boxes"], each["labels"][:, None] * 1e4], 1) for each in (wanted, found))
    return float(((boxes[:, None] - others).abs().amax(2).amin(1) <= 0.05).double().mean())


def twins_settings(checkpoint: Checkpoint) -> dict[str, Any]:
    """What was changed of a layout's settings, as --set takes it."""
    plain, own = (each.model_dump(mode="json") for each in (layout_config(MOBILE_320), checkpoint.config))
    return {
        f"{top}.{section}.{key}" if top == "model" else f"{top}.{section}": value
        for top in ("model", "data")
        for section, inner in own[top].items()
        for key, value in (inner.items() if isinstance(inner, dict) else ((None, inner),))
        if value != (plain[top][section][key] if key else plain[top][section])
    }
