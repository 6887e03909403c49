"""Names, tensors and settings on the way from mmdetection, whose ResNets have torchvision's names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor

from detect.checkpoints.checkpoint import load_checkpoint
from detect.checkpoints.mmdetection_import import (
    assumed_settings,
    classes_of_meta,
    convert_mmdetection_state,
    mmdetection_config,
    style_of_meta,
)
from detect.checkpoints.mmdetection_names import convert_mmdetection_key, from_mmdetection
from detect.checkpoints.mmdetection_settings import KEYS
from detect.errors import UserError
from tests.conftest import Command


def meta_state(
    stages: Sequence[str], depth: int = 50, classes: int = 80, mask_heads: Sequence[str] = ()
) -> dict[str, Tensor]:
    """Return a state dict without data, of a Faster R-CNN (stages: an empty name) or of a cascade: names and shapes.

    mask_heads: their stages; an empty name for that of a Mask R-CNN, those of the cascade for a Cascade Mask R-CNN.
    """
    with torch.device("meta"):
        resnet = getattr(torchvision.models, f"resnet{depth}")().state_dict()
    state = {f"backbone.{name}": tensor for name, tensor in resnet.items() if not name.startswith("fc.")}
    shapes: dict[str, Sequence[int]] = {}
    for i, channels in enumerate((256, 512, 1024, 2048)):
        shapes |= {f"neck.lateral_convs.{i}.conv": (256, channels, 1, 1), f"neck.fpn_convs.{i}.conv": (256, 256, 3, 3)}
    shapes |= {"rpn_head.rpn_conv": (256, 256, 3, 3), "rpn_head.rpn_cls": (3, 256, 1, 1)}
    shapes |= {"rpn_head.rpn_reg": (12, 256, 1, 1)}
    for stage in stages:
        head = f"roi_head.bbox_head.{stage}"
        shapes |= {f"{head}shared_fcs.0": (1024, 256 * 49), f"{head}shared_fcs.1": (1024, 1024)}
        shapes |= {f"{head}fc_cls": (classes + 1, 1024), f"{head}fc_reg": (4 if stage else 4 * classes, 1024)}
    for stage in mask_heads:
        head = f"roi_head.mask_head.{stage}"
        shapes |= {f"{head}convs.{i}.conv": (256, 256, 3, 3) for i in range(4)}
        shapes |= {f"{head}upsample": (256, 256, 2, 2), f"{head}conv_logits": (classes, 256, 1, 1)}
    for name, shape in shapes.items():
        state |= {
            f"{name}.weight": torch.empty(*shape, device="meta"),
            f"{name}.bias": torch.empty(shape[0], device="meta"),
        }
    return state


CASCADE = ("0.", "1.", "2.")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("", ""),
        ("roi_head.mask_head.convs.0.conv.weight", "mask_head.layers.0.0.weight"),
        ("roi_head.mask_head.2.convs.3.conv.weight", "mask_head.2.layers.3.0.weight"),
        ("roi_head.mask_head.1.conv_logits.bias", "mask_head.1.logits.bias"),
        ("roi_head.mask_iou_head.fc_mask_iou.bias", "roi_head.mask_iou_head.fc_mask_iou.bias"),
        ("backbone.layer2.0.downsample.1.running_var", "backbone.body.stages.2.0.downsample.1.running_var"),
        ("roi_head.bbox_head.shared_fcs.1.weight", "head.tail.layers.3.weight"),
        ("roi_head.bbox_head.2.fc_reg.bias", "head.2.deltas.bias"),
    ],
)
def test_convert_mmdetection_key(theirs: str, ours: str) -> None:
    assert convert_mmdetection_key(theirs) == ours


@pytest.mark.parametrize(
    ("stages", "depth", "classes", "mask_heads", "kind"),
    [
        (("",), 50, 80, (), "faster_rcnn"),
        (("",), 101, 20, (), "faster_rcnn"),
        (CASCADE, 50, 80, (), "cascade_rcnn"),
        (("",), 50, 80, ("",), "mask_rcnn"),
        (("",), 101, 20, ("",), "mask_rcnn"),
        (CASCADE, 50, 80, CASCADE, "cascade_rcnn"),
        (CASCADE, 101, 20, CASCADE, "cascade_rcnn"),
    ],
)
def test_every_tensor_is_converted(
    stages: tuple[str, ...], depth: int, classes: int, mask_heads: tuple[str, ...], kind: str
) -> None:
    theirs = meta_state(stages, depth, classes, mask_heads)
    checkpoint = convert_mmdetection_state(theirs, "test")
    assert (checkpoint.config.model.kind, checkpoint.config.model.backbone.name) == (kind, f"resnet{depth}")
    assert len(checkpoint.classes) == classes
    assert checkpoint.config.model.predicts_masks == bool(mask_heads)
    assert checkpoint.config.model.mask.per_stage == (len(mask_heads) > 1)
    counted = {name: tensor for name, tensor in theirs.items() if not name.endswith("num_batches_tracked")}
    assert sum(value.numel() for value in counted.values()) == sum(  # a scale and a shift come from four tensors
        value.numel() * (2 if name.endswith((".scale", ".shift")) else 1) for name, value in checkpoint.weights.items()
    )


def test_background_becomes_the_first_label_of_each_stage() -> None:
    theirs = {f"roi_head.bbox_head.{stage}fc_cls.bias": torch.tensor([1.0, 2, 0]) for stage in ("", *CASCADE)}
    ours = from_mmdetection(theirs)
    assert sorted(ours) == ["head.0.logits.bias", "head.1.logits.bias", "head.2.logits.bias", "head.logits.bias"]
    assert all(tensor.tolist() == [0, 1, 2] for tensor in ours.values())


def without(name: str) -> dict[str, Tensor]:
    state = meta_state(("",))
    del state[name]
    return state


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "test: expected a Faster, Cascade, Mask or Cascade Mask R-CNN of mmdetection's .* found other weights"),
        (without("roi_head.bbox_head.fc_cls.bias"), "found other weights"),
        (without("neck.fpn_convs.2.conv.bias"), r"mmdetection's faster_rcnn_r50_fpn, .* 1 missing \(backbone.neck"),
        (meta_state(("",)) | {"roi_head.mask_head.conv_logits.bias": torch.zeros(80)}, r"11 missing \(mask_head"),
        (meta_state(CASCADE, mask_heads=CASCADE[:2]), r"cascade_mask_rcnn_r50_fpn, .* 12 missing \(mask_head.2"),
        (meta_state(CASCADE[:2]), r"missing \(head.2"),
    ],
)
def test_other_weights_are_refused(state: dict[str, Tensor], message: str) -> None:
    with pytest.raises(UserError, match=message):
        convert_mmdetection_state(state, "test")


@pytest.mark.parametrize(
    ("meta", "classes", "style"),
    [
        ({}, None, "pytorch"),
        ({"CLASSES": ("cat",), "config": "model = dict(style='pytorch')"}, ("cat",), "pytorch"),
        ({"dataset_meta": {"classes": ["cat", "dog"]}, "cfg": 'backbone=dict(style="caffe")'}, ("cat", "dog"), "caffe"),
        ({"CLASSES": None, "config": {"style": "caffe"}, "dataset_meta": 3}, None, "pytorch"),
    ],
)
def test_meta_has_the_classes_and_the_style(meta: dict[str, Any], classes: tuple[str, ...] | None, style: str) -> None:
    assert (classes_of_meta(meta), style_of_meta(meta)) == (classes, style)


def test_caffes_resnet_reads_bgr_and_strides_in_its_first_convolution() -> None:
    model = mmdetection_config("faster_rcnn", 50, "caffe").model
    assert model.backbone.name == "resnet50_original"
    assert (model.preprocess.channels, model.preprocess.mean, model.preprocess.std) == (
        "bgr",
        (123.675, 116.28, 103.53),
        (1, 1, 1),
    )


def test_settings_of_a_cascade_are_mmdetections() -> None:
    model = mmdetection_config("cascade_rcnn", 50, "pytorch").model
    assert model.stage_delta_stds[2] == (0.033, 0.033, 0.067, 0.067)
    assert (model.cascade.ious, model.cascade.average, model.head.class_agnostic) == ((0.5, 0.6, 0.7), "logits", True)


@pytest.mark.parametrize(
    ("found", "overrides", "iou", "sizes"),
    [
        ({}, [], 0.5, (32, 64, 128, 256, 512)),
        ({"model.postprocess.nms_iou": 0.6}, [], 0.6, (32, 64, 128, 256, 512)),
        ({"model.postprocess.nms_iou": 0.6}, ["model.postprocess.nms_iou=0.7"], 0.7, (32, 64, 128, 256, 512)),
        ({"model.rpn.anchor_sizes": [16, 32, 64, 128, 256]}, [], 0.5, (16, 32, 64, 128, 256)),
    ],
)
def test_settings_of_the_file_replace_those_that_are_assumed(
    found: dict[str, Any], overrides: list[str], iou: float, sizes: tuple[float, ...]
) -> None:
    model = convert_mmdetection_state(meta_state(("",)), "test", None, overrides, file_settings=found).config.model
    assert (model.postprocess.nms_iou, model.rpn.anchor_sizes) == (iou, sizes)


def test_a_value_that_a_setting_cannot_have_is_refused() -> None:
    with pytest.raises(UserError, match=r"^test: its configuration: model.postprocess.nms_iou: .* found 7$"):
        convert_mmdetection_state(meta_state(("",)), "test", file_settings={"model.postprocess.nms_iou": 7})


@pytest.mark.parametrize(
    ("meta", "overrides", "assumed"),
    [
        (None, [], KEYS),
        ({"cfg": "no python ("}, [], KEYS),
        ({"config": "model = dict(test_cfg=dict(rcnn=dict(score_thr=0.3)))"}, ["data.min_size=9"], KEYS[:7] + KEYS[8:]),
    ],
)
def test_settings_that_the_file_does_not_have_are_named(
    meta: dict[str, Any] | None, overrides: list[str], assumed: Sequence[str], tmp_path: Path
) -> None:
    file = tmp_path / "a.pth"
    torch.save({"meta": meta, "state_dict": {}}, file)
    checkpoint = convert_mmdetection_state(meta_state(("",)), "test")
    line = assumed_settings(file, checkpoint, overrides)
    assert line is not None
    assert [key for key in KEYS if f" {key} " in line] == [key for key in assumed if f"{key}=9" not in overrides]
    assert "model.rpn.anchor_sizes [32.0, 64.0, 128.0, 256.0, 512.0]" in line
    assert assumed_settings(file, checkpoint, [f"{key}=1" for key in KEYS]) is None


@pytest.mark.slow
def test_command_imports_a_published_file(tmp_path: Path, detect_command: Command) -> None:
    generator = torch.Generator().manual_seed(0)
    state = {name: torch.rand(value.shape, generator=generator) for name, value in meta_state(("",), 50, 2).items()}
    file, out = tmp_path / "faster.pth", tmp_path / "ours.pt"
    torch.save({"meta": {"CLASSES": ("cat", "dog"), "epoch": 12}, "state_dict": state}, file)
    status, stdout, err = detect_command("model", "import", "--from", "mmdetection", file, "--out", out)
    assert (status, err) == (0, "")
    assert "2 classes" in stdout
    assert f"{file}: assumed, as the file does not say it (others: --set): model.rpn.anchor_sizes [32" in stdout
    checkpoint = load_checkpoint(out)
    assert checkpoint.classes == ("cat", "dog")
    assert torch.equal(checkpoint.weights["head.logits.bias"], state["roi_head.bbox_head.fc_cls.bias"].roll(1))
