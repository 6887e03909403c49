"""The settings in the configuration that a file of mmdetection has as text, by our keys.

Those that its tensors do not show: anchors, units of the deltas, preprocessing, thresholds, limits and size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detect.checkpoints.python_literals import assigned_literals
from detect.errors import UserError

Settings = dict[str, Any]

KEYS = (
    *("model.rpn.anchor_sizes", "model.rpn.aspect_ratios", "model.rpn.delta_stds", "model.head.delta_stds"),
    *("model.preprocess.channels", "model.preprocess.mean", "model.preprocess.std"),
    *("model.postprocess.score_threshold", "model.postprocess.nms_iou", "model.postprocess.max_detections"),
    *("data.min_size", "data.max_size"),
)
_ANCHORS = "model.rpn_head.anchor_generator"
_CODER = "bbox_coder"
_STRIDES = [4, 8, 16, 32, 64]  # of the maps of a pyramid on a ResNet
_PIPELINES = ("test_dataloader.dataset.pipeline", "data.test.pipeline", "test_pipeline")  # 3.x, 2.x, both


def settings_of_text(text: str, source: str) -> Settings:
    """Return those settings of KEYS, and cascade.delta_stds, that a configuration has; {} for a text that is none.

    The text is Python source, as mmdetection 2 and 3 write it, and is not run. source: its file, in messages. Raises
    UserError for a value that there is no setting for, as of anchors of several scales or soft NMS.
    """
    configuration = assigned_literals(text)
    steps = list(_pipeline_steps(configuration))
    settings = {
        **_anchors(configuration, source),
        **_delta_stds(configuration, source),
        **_preprocessing(configuration, steps),
        **_postprocessing(configuration, source),
        **_test_size(steps, source),
    }
    return {key: setting for key, setting in settings.items() if setting is not None}


def _at(settings: Any, path: str) -> Any:
    """Return the value at a path of keys such as model.rpn_head; None if there is none."""
    for key in path.split("."):
        settings = settings.get(key) if isinstance(settings, Mapping) else None
    return settings


def _require(source: str, key: str, value: Any, expected: Any) -> None:
    """Raise UserError for a value, if there is one, that no setting gives."""
    name = value.rpartition(".")[2] if isinstance(value, str) else value  # mmdet.AnchorGenerator
    if value is not None and name != expected:
        raise UserError(f"{source}: {key} in its configuration: expected {expected}, found {value}, not supported here")


def _anchors(configuration: Settings, source: str) -> Settings:
    generator = _at(configuration, _ANCHORS)
    _require(source, f"{_ANCHORS}.type", _at(generator, "type"), "AnchorGenerator")
    _require(source, f"{_ANCHORS}.strides", _at(generator, "strides"), _STRIDES)
    octave = _at(generator, "octave_base_scale")
    _require(source, f"{_ANCHORS}.scales_per_octave", _at(generator, "scales_per_octave"), 1)
    scales = [octave] if octave is not None else _numbers(_at(generator, "scales"))
    sides = _numbers(_at(generator, "base_sizes")) or _STRIDES
    if scales is not None and len(scales) != 1:
        raise UserError(f"{source}: {_ANCHORS}.scales in its configuration: expected one scale, found {scales}")
    return {
        "model.rpn.anchor_sizes": None if scales is None else [scales[0] * side for side in sides],
        "model.rpn.aspect_ratios": _numbers(_at(generator, "ratios")),
        "model.rpn.anchor_offset": _at(generator, "center_offset"),
    }


def _delta_stds(configuration: Settings, source: str) -> Settings:
    """Return the units of the deltas of the RPN, of the head, and of each stage of a cascade."""
    rpn, heads = _at(configuration, "model.rpn_head"), _at(configuration, "model.roi_head.bbox_head")
    stages = heads if isinstance(heads, list) else [heads]
    coders = [_at(part, _CODER) for part in (rpn, *stages)]
    for coder in coders:
        _require(source, f"{_CODER}.type", _at(coder, "type"), "DeltaXYWHBBoxCoder")
        _require(source, f"{_CODER}.target_means", _at(coder, "target_means"), [0, 0, 0, 0])
    of_rpn, *of_stages = (_numbers(_at(coder, "target_stds")) for coder in coders)
    is_cascade = len(of_stages) > 1 and None not in of_stages
    return {
        "model.rpn.delta_stds": of_rpn,
        "model.head.delta_stds": of_stages[0] if is_cascade or len(of_stages) == 1 else None,
        "model.cascade.delta_stds": of_stages if is_cascade else None,
    }


def _preprocessing(configuration: Settings, steps: Sequence[Settings]) -> Settings:
    """Return order, mean and deviation of the channels: of 3.x's data_preprocessor, or of 2.x's step Normalize."""
    normalize = next((step for step in steps if _type(step) == "Normalize"), configuration.get("img_norm_cfg"))
    preprocessor = _at(configuration, "model.data_preprocessor") or configuration.get("data_preprocessor")
    if _at(preprocessor, "mean") is not None:
        is_rgb = bool(_at(preprocessor, "bgr_to_rgb") or _at(preprocessor, "rgb_to_bgr"))  # either swaps: files are BGR
    else:
        preprocessor = normalize
        is_rgb = _at(normalize, "to_rgb") is not False
    mean, std = (_numbers(_at(preprocessor, key)) for key in ("mean", "std"))
    if mean is None or std is None:
        return {}
    if not is_rgb:  # theirs are in the order of the channels, ours are red first
        mean, std = mean[::-1], std[::-1]
    channels = "rgb" if is_rgb else "bgr"
    return {"model.preprocess.channels": channels, "model.preprocess.mean": mean, "model.preprocess.std": std}


def _postprocessing(configuration: Settings, source: str) -> Settings:
    test = _at(configuration, "model.test_cfg") or configuration.get("test_cfg")
    _require(source, "test_cfg.rcnn.nms.type", _at(test, "rcnn.nms.type"), "nms")
    nms_iou = _at(test, "rcnn.nms.iou_threshold")
    return {
        "model.rpn.pre_nms_top_n_test": _at(test, "rpn.nms_pre"),
        "model.rpn.post_nms_top_n_test": _at(test, "rpn.max_per_img"),
        "model.rpn.nms_iou": _at(test, "rpn.nms.iou_threshold"),
        "model.postprocess.score_threshold": _at(test, "rcnn.score_thr"),
        "model.postprocess.nms_iou": _at(test, "rcnn.nms.iou_thr") if nms_iou is None else nms_iou,
        "model.postprocess.max_detections": _at(test, "rcnn.max_per_img"),
    }


def _test_size(steps: Sequence[Settings], source: str) -> Settings:
    """Return the size of the resized image: of 3.x's step Resize, or of 2.x's MultiScaleFlipAug."""
    for step in steps:
        if _type(step) == "Resize":
            _require(source, "Resize.keep_ratio", step.get("keep_ratio", "scale" not in step), True)
    for step in steps:
        scale = _numbers(step.get("scale", step.get("img_scale")))
        if scale is not None and len(scale) == 2:
            return {"data.min_size": min(scale), "data.max_size": max(scale)}
    return {}


def _pipeline_steps(configuration: Settings) -> Iterator[Settings]:
    """Yield the steps of the pipeline that detects, those inside another one after it."""
    pipelines = [_at(configuration, path) for path in _PIPELINES]
    waiting = list(next((steps for steps in pipelines if isinstance(steps, list)), []))
    while waiting:
        step = waiting.pop(0)
        if isinstance(step, dict):
            yield step
            inner = step.get("transforms")
            waiting = [*inner, *waiting] if isinstance(inner, list) else waiting


def _type(step: Settings) -> str:
    return str(step.get("type")).rpartition(".")[2]


def _numbers(value: Any) -> list[Any] | None:
    """Return a list of numbers; None for anything else."""
    is_list = isinstance(value, list) and value and all(isinstance(each, int | float) for each in value)
    return list(value) if is_list else None
