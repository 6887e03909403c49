"""Settings in the text of a configuration, in the layouts of mmdetection 2 and 3."""

from __future__ import annotations

from typing import Any

import pytest

from detect.checkpoints.mmdetection_settings import settings_of_text
from detect.errors import UserError

VERSION_2 = """
img_norm_cfg = dict(mean=[103.5, 116.3, 123.7], std=[1.0, 1.0, 1.0], to_rgb=False)
model = dict(
    type='FasterRCNN',
    rpn_head=dict(
        anchor_generator=dict(type='AnchorGenerator', scales=[8], ratios=[0.5, 1.0, 2.0], strides=[4, 8, 16, 32, 64]),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_means=[.0, .0, .0, .0], target_stds=[1.0, 1.0, 1.0, 1.0])),
    roi_head=dict(bbox_head=dict(bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]))),
    test_cfg=dict(
        rpn=dict(nms_pre=1000, max_per_img=500, nms=dict(type='nms', iou_threshold=0.8)),
        rcnn=dict(score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=100)))
data = dict(test=dict(pipeline=[
    dict(type='LoadImageFromFile'),
    dict(type='MultiScaleFlipAug', img_scale=(1333, 800), flip=False, transforms=[
        dict(type='Resize', keep_ratio=True), dict(type='Normalize', **img_norm_cfg)])]))
"""
VERSION_3 = """
model = dict(
    data_preprocessor=dict(mean=[0.0, 1.0, 2.0], std=[255.0, 255.0, 255.0], bgr_to_rgb=True),
    rpn_head=dict(anchor_generator=dict(type='mmdet.AnchorGenerator', scales=[4], ratios=[1.0])),
    roi_head=dict(bbox_head=[
        dict(bbox_coder=dict(target_stds=[0.1, 0.1, 0.2, 0.2])), dict(bbox_coder=dict(target_stds=[0.05] * 4)),
        dict(bbox_coder=dict(target_stds=[0.03, 0.03, 0.06, 0.06]))]),
    test_cfg=dict(rcnn=dict(score_thr=0.3, nms=dict(iou_threshold=0.6), max_per_img=300)))
test_pipeline = [dict(type='Resize', scale=(640, 480), keep_ratio=True)]
test_dataloader = dict(dataset=dict(pipeline=test_pipeline))
""".replace("[0.05] * 4", "[0.05, 0.05, 0.1, 0.1]")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {}),
        ("model = 3", {}),
        ("model = dict(rpn_head=dict(anchor_generator=dict(scales='small', ratios=[])))\ntest_pipeline = [3]", {}),
        (
            VERSION_2,
            {
                "model.rpn.anchor_sizes": [32, 64, 128, 256, 512],
                "model.rpn.aspect_ratios": [0.5, 1.0, 2.0],
                "model.rpn.delta_stds": [1.0, 1.0, 1.0, 1.0],
                "model.head.delta_stds": [0.1, 0.1, 0.2, 0.2],
                "model.preprocess.channels": "bgr",
                "model.preprocess.mean": [123.7, 116.3, 103.5],
                "model.preprocess.std": [1.0, 1.0, 1.0],
                "model.rpn.pre_nms_top_n_test": 1000,
                "model.rpn.post_nms_top_n_test": 500,
                "model.rpn.nms_iou": 0.8,
                "model.postprocess.score_threshold": 0.05,
                "model.postprocess.nms_iou": 0.5,
                "model.postprocess.max_detections": 100,
                "data.min_size": 800,
                "data.max_size": 1333,
            },
        ),
        (
            VERSION_3,
            {
                "model.rpn.anchor_sizes": [16, 32, 64, 128, 256],
                "model.rpn.aspect_ratios": [1.0],
                "model.head.delta_stds": [0.1, 0.1, 0.2, 0.2],
                "model.cascade.delta_stds": [[0.1, 0.1, 0.2, 0.2], [0.05, 0.05, 0.1, 0.1], [0.03, 0.03, 0.06, 0.06]],
                "model.preprocess.channels": "rgb",
                "model.preprocess.mean": [0.0, 1.0, 2.0],
                "model.preprocess.std": [255.0, 255.0, 255.0],
                "model.postprocess.score_threshold": 0.3,
                "model.postprocess.nms_iou": 0.6,
                "model.postprocess.max_detections": 300,
                "data.min_size": 480,
                "data.max_size": 640,
            },
        ),
    ],
)
def test_settings_of_a_configuration_have_our_keys(text: str, expected: dict[str, Any]) -> None:
    assert settings_of_text(text, "a.pth") == expected


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("scales=[8]", "scales=[4, 8]", "anchor_generator.scales in its configuration: expected one scale, found"),
        ("scales=[8]", "octave_base_scale=4, scales_per_octave=3", "scales_per_octave .* expected 1, found 3, not sup"),
        ("'AnchorGenerator'", "'LegacyAnchorGenerator'", "expected AnchorGenerator, found LegacyAnchorGenerator"),
        ("[4, 8, 16, 32, 64]", "[8, 16, 32, 64, 128]", r"strides .* expected \[4, 8, 16, 32, 64\], found \[8, 16"),
        ("[.0, .0, .0, .0]", "[.0, .0, .0, .1]", r"target_means .* found \[0.0, 0.0, 0.0, 0.1\]"),
        ("type='nms', iou_threshold=0.5", "type='soft_nms'", "test_cfg.rcnn.nms.type .* expected nms, found soft_nms"),
        ("keep_ratio=True", "keep_ratio=False", "Resize.keep_ratio .* expected True, found False"),
    ],
)
def test_values_without_a_setting_are_refused(before: str, after: str, message: str) -> None:
    assert before in VERSION_2
    with pytest.raises(UserError, match=rf"^a\.pth: .*{message}"):
        settings_of_text(VERSION_2.replace(before, after), "a.pth")
