"""Settings of older versions under their present names: old YAML files, ``--set`` and checkpoints are still read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

from detect.errors import UserError

RENAMED_KEYS = {  # old key -> new key, in the same section or in one below it
    "model.backbone.width": "model.backbone.neck_channels",
    "model.backbone.levels": "model.backbone.fpn_levels",
    "model.backbone.split": "model.backbone.split_last_stage",
    "model.backbone.neck_convolution": "model.backbone.neck_conv_type",
    "model.rpn.width": "model.rpn.channels",
    "model.rpn.convolutions": "model.rpn.num_convs",
    "model.rpn.convolution": "model.rpn.conv_type",
    "model.rpn.sides": "model.rpn.anchor_sizes",
    "model.rpn.ratios": "model.rpn.aspect_ratios",
    "model.rpn.offset": "model.rpn.anchor_offset",
    "model.rpn.rounded": "model.rpn.round_anchors",
    "model.rpn.spacing": "model.rpn.anchor_stride",
    "model.rpn.foreground": "model.rpn.positive_iou",
    "model.rpn.background": "model.rpn.negative_iou",
    "model.rpn.number": "model.rpn.batch_size_per_image",
    "model.rpn.share": "model.rpn.positive_fraction",
    "model.rpn.outside": "model.rpn.allowed_border",
    "model.rpn.beta": "model.rpn.smooth_l1_beta",
    "model.rpn.average": "model.rpn.loss_average",
    "model.rpn.growth": "model.rpn.max_scale_change",
    "model.rpn.nms": "model.rpn.nms_iou",
    "model.rpn.min_side": "model.rpn.min_size",
    "model.rpn.score": "model.rpn.score_threshold",
    "model.rpn.train_before": "model.rpn.pre_nms_top_n_train",
    "model.rpn.train_after": "model.rpn.post_nms_top_n_train",
    "model.rpn.test_before": "model.rpn.pre_nms_top_n_test",
    "model.rpn.test_after": "model.rpn.post_nms_top_n_test",
    "model.regions.samples": "model.regions.sampling_ratio",
    "model.head.tail": "model.head.type",
    "model.head.width": "model.head.fc_dim",
    "model.head.convolutions": "model.head.num_convs",
    "model.head.bins": "model.head.pool_size",
    "model.head.ranks": "model.head.svd_ranks",
    "model.head.number": "model.head.batch_size_per_image",
    "model.head.share": "model.head.positive_fraction",
    "model.head.foreground": "model.head.positive_iou",
    "model.head.background": "model.head.negative_iou",
    "model.head.add_targets": "model.head.add_gt_proposals",
    "model.head.beta": "model.head.smooth_l1_beta",
    "model.head.stds": "model.head.delta_stds",
    "model.crop.side": "model.crop.size",
    "model.crop.chunk": "model.crop.batch_size",
    "model.postprocess.score": "model.postprocess.score_threshold",
    "model.postprocess.nms": "model.postprocess.nms_iou",
    "model.postprocess.limit": "model.postprocess.max_detections",
    "model.postprocess.regress": "model.postprocess.box_regression",
    "model.postprocess.growth": "model.postprocess.max_scale_change",
    "model.postprocess.min_side": "model.postprocess.min_size",
    "model.search.min_side": "model.search.min_size",
    "model.search.resize_to": "model.search.resize_width",
    "model.search.train_number": "model.search.train_top_n",
    "model.search.test_number": "model.search.test_top_n",
    "data.augment.colour": "data.augment.color_jitter",
    "data.difficult": "data.train_on_difficult",
    "data.rare": "data.repeat_factor_threshold",
    "data.divisor": "data.size_divisor",
    "train.parts": "train.trainable",
    "train.backbone_lr": "train.lr_factors.backbone",
    "train.backbone_lr_factor": "train.lr_factors.backbone",
    "train.clip": "train.clip_grad_norm",
    "train.ema": "train.ema_decay",
    "train.cache_limit": "train.feature_cache_gb",
    "train.svm.cost": "train.svm.C",
    "train.svm.bias": "train.svm.intercept_scaling",
    "train.svm.overlap": "train.svm.negative_iou",
    "train.svm.retrain": "train.svm.retrain_every",
    "train.svm.hard": "train.svm.hard_margin",
    "train.svm.evict": "train.svm.easy_margin",
    "train.regressor.overlap": "train.regressor.min_iou",
    "train.regressor.penalty": "train.regressor.ridge_lambda",
}
RENAMED_VALUES = {  # present key -> old value -> new value
    "model.backbone.output": {"map": "c4", "dilated": "dc5", "pyramid": "fpn"},
    "model.head.type": {"network": "backbone", "linear": "fc", "convolved": "conv_fc"},
    "model.head.sampling": {"hierarchical": "per_image", "uniform": "global"},
    "model.test_time.merge": {"fusion": "wbf"},
    "train.recipe": {"classify": "pretrain"},
}
MAX_NOTES = 40  # renamed settings that a line names


def with_present_names(settings: dict[str, Any], source: str) -> tuple[dict[str, Any], list[str]]:
    """Return a copy of nested ``settings`` by present names, and one note for each setting that had an old one.

    The order of the keys stays, but for one that moves into a section that stands before it. Raises UserError, which
    starts with ``source``, where an old and its new key are both set.
    """
    notes: list[str] = []
    return _rename_section(settings, "", source, notes), notes


def rename_settings(settings: dict[str, Any], source: str) -> dict[str, Any]:
    """Return nested ``settings`` by present names; one line on stderr names the settings that had an old one.

    Of more than MAX_NOTES, as in a file that an older version wrote, it names the first three.
    """
    renamed, notes = with_present_names(settings, source)
    if len(notes) > MAX_NOTES:
        notes = [*notes[:3], f"and {len(notes) - 3} more settings with new names"]
    if notes:
        print_once(f"{source}: {'; '.join(notes)}")
    return renamed


@cache
def print_once(line: str) -> None:
    """Write the line to stderr, the first time only."""
    print(line, file=sys.stderr)


def _rename_section(section: dict[str, Any], prefix: str, source: str, notes: list[str]) -> dict[str, Any]:
    """Return the section whose keys begin with ``prefix`` by present names, and append to ``notes``."""
    renamed: dict[str, Any] = {}
    for name, setting in section.items():
        old_key = f"{prefix}{name}"
        key = RENAMED_KEYS.get(old_key, old_key)
        if isinstance(setting, dict):
            renamed[name] = renamed.get(name, {}) | _rename_section(setting, f"{key}.", source, notes)
            continue
        *inner_sections, new_name = key.removeprefix(prefix).split(".")
        if inner_sections and not isinstance(section.get(inner_sections[0], {}), dict):
            renamed[name] = setting  # the new section is not one: the old key is then reported as unknown
            continue
        if key != old_key and _has_key(section, (*inner_sections, new_name)):
            raise UserError(f"{source}: {old_key}: expected only {key}, its present name, found both")
        new_setting = RENAMED_VALUES.get(key, {}).get(setting, setting) if isinstance(setting, str) else setting
        if new_setting != setting:
            notes.append(f"{old_key} {setting}: now {key} {new_setting}")
        elif key != old_key:
            notes.append(f"{old_key}: now {key}")
        target = renamed
        for inner in inner_sections:
            target = target.setdefault(inner, {})
        target[new_name] = new_setting
    return renamed


def _has_key(section: Any, path: Sequence[str]) -> bool:
    """Return whether nested settings have the key at ``path``."""
    for name in path:
        if not isinstance(section, dict) or name not in section:
            return False
        section = section[name]
    return True
