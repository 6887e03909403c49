"""Settings of older versions: each old key and value is read as the present one, and named in one line on stderr."""

from __future__ import annotations

from functools import reduce
from pathlib import Path
from typing import Any

import pytest
import yaml

from detect.config import Config
from detect.config.files import builtin_folder, load_config, merge_overrides, parse_config
from detect.config.renamed import MAX_NOTES, RENAMED_KEYS, RENAMED_VALUES, print_once, with_present_names
from detect.errors import UserError

OTHER_NAME = {"standard": "grouped", "stride": "canvas", "image": "batch", "backbone": "fc"}
RCNN = {"model": {"kind": "rcnn", "classifier": "softmax"}, "train": {"epochs": 1}}
CONTEXT = {"model.head.sampling": RCNN, "train.recipe": RCNN}
# The quick configurations of version b845f7c, the last one with the old names.
OLD_FASTER_RCNN = """
model:
  kind: faster_rcnn
  backbone: {name: small, norm: batch, output: merged, width: 64}
  rpn: {width: 64, sides: [14, 21, 31, 46, 66], ratios: [1], foreground: 0.6, number: 64, outside: null,
    train_before: 200, train_after: 80, test_before: 200, test_after: 60}
  head: {tail: linear, width: 192, bins: 5, number: 40, share: 0.5}
  postprocess: {nms: 0.5}
data: {format: shapes, min_size: 112, max_size: 160, divisor: 16, workers: 0}
train: {epochs: 7, batch_size: 8, optimizer: adamw, lr: 2e-3, weight_decay: 0.02, schedule: cosine, warmup: 0.05,
  clip: 5, ema: 0.99, validate_every: 7, log_every: 100}
"""
OLD_FAST_RCNN = """
base: faster_rcnn.yaml
model:
  kind: fast_rcnn
  pool: roi_pool
  search: {train_number: 300, test_number: 300}
  head: {bins: 6, number: 64}
  postprocess: {nms: 0.3}
"""
OLD_RCNN = """
base: faster_rcnn.yaml
model:
  kind: rcnn
  search: {train_number: 300, test_number: 300}
  crop: {side: 32, context: 4}
  head: {sampling: hierarchical, number: 8, share: 0.5, bins: 4}
  postprocess: {nms: 0.3}
data:
  train_images: 1000
train:
  steps: 1500
  batch_size: 16
"""
OLD_FPN = """
model:
  backbone: {output: pyramid, levels: 3, width: 32}
  rpn: {sides: [32, 64, 128, 256], offset: 0, rounded: true, spacing: canvas, average: batch, min_side: 0.001}
  regions: {samples: 0}
  head: {tail: convolved, convolutions: 2, stds: [1, 1, 1, 1], add_targets: false}
  postprocess: {score: 0.1, limit: 50, regress: false, growth: null}
  test_time: {flip: true, merge: fusion}
data: {difficult: false, rare: 0.1, augment: {colour: 0.2}}
train: {epochs: 2, parts: [proposer, head], backbone_lr: 0.1, cache_limit: 5}
"""
NEW_FPN = """
model:
  backbone: {output: fpn, fpn_levels: 3, neck_channels: 32}
  rpn: {anchor_sizes: [32, 64, 128, 256], anchor_offset: 0, round_anchors: true, anchor_stride: canvas,
    loss_average: batch, min_size: 0.001}
  regions: {sampling_ratio: 0}
  head: {type: conv_fc, num_convs: 2, delta_stds: [1, 1, 1, 1], add_gt_proposals: false}
  postprocess: {score_threshold: 0.1, max_detections: 50, box_regression: false, max_scale_change: null}
  test_time: {flip: true, merge: wbf}
data: {train_on_difficult: false, repeat_factor_threshold: 0.1, augment: {color_jitter: 0.2}}
train: {epochs: 2, trainable: [proposer, head], lr_factors: {backbone: 0.1}, feature_cache_gb: 5}
"""


@pytest.fixture(autouse=True)
def _forget_printed_lines() -> None:
    print_once.cache_clear()


def nested(key: str, value: object) -> dict[str, Any]:
    """Return {"a": {"b": value}} for the key a.b."""
    section, _, rest = key.partition(".")
    return {section: nested(rest, value) if rest else value}


def setting(config: Config, key: str) -> object:
    """Return the value of a key such as train.lr."""
    return reduce(getattr, key.split("."), config)


def other_value(key: str, default: object) -> object:
    """Return an allowed value of the key that differs from its default."""
    if key == "train.trainable":
        return ["proposer", "head"]
    if isinstance(default, str):
        return OTHER_NAME[default]
    if isinstance(default, bool):
        return not default
    if default is None:
        return [1] if key == "model.head.svd_ranks" else 1
    if isinstance(default, tuple):
        return [number / 2 for number in default]
    assert isinstance(default, int | float)
    return default + 1 if isinstance(default, int) else default / 2 or 0.25


@pytest.mark.parametrize(("old", "new"), RENAMED_KEYS.items(), ids=RENAMED_KEYS)
def test_parse_config_reads_an_old_key_and_names_the_new_one(
    old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    value = other_value(new, setting(Config(), new))
    expected = parse_config(merge_overrides({"train": {"epochs": 1}}, [f"{new}={value}"]), "new")
    assert expected != Config()
    assert capsys.readouterr().err == ""
    settings = nested(old, value)
    settings["train"] = {"epochs": 1} | settings.get("train", {})
    assert parse_config(settings, "a.yaml") == expected
    assert capsys.readouterr().err == f"a.yaml: {old}: now {new}\n"


@pytest.mark.parametrize(
    ("key", "old", "new"), [(key, old, new) for key, values in RENAMED_VALUES.items() for old, new in values.items()]
)
def test_parse_config_reads_an_old_value_and_names_the_new_one(
    key: str, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    context = CONTEXT.get(key, {"train": {"epochs": 1}})
    expected = parse_config(merge_overrides(context, [f"{key}={new}"]), "new")
    assert setting(expected, key) == new
    assert capsys.readouterr().err == ""
    assert parse_config(merge_overrides(context, [f"{key}={old}"]), "old") == expected
    assert capsys.readouterr().err == f"--set: {key} {old}: now {key} {new}\n"


def test_new_names_are_settings_and_old_names_are_not() -> None:
    for old, new in RENAMED_KEYS.items():
        assert new.startswith(old.rpartition(".")[0] + ".")
        setting(Config(), new)
        with pytest.raises(AttributeError):
            setting(Config(), old)


def test_an_old_key_with_an_old_value_has_one_note() -> None:
    settings, notes = with_present_names(nested("model.head.tail", "linear"), "test")
    assert settings == nested("model.head.type", "fc")
    assert notes == ["model.head.tail linear: now model.head.type fc"]


def test_an_old_key_beside_the_new_one_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("model: {rpn: {sides: [8], anchor_sizes: [16]}}")
    message = r"a.yaml: model.rpn.sides: expected only model.rpn.anchor_sizes, its present name, found both"
    with pytest.raises(UserError, match=message):
        load_config(file)


@pytest.mark.parametrize("old", ["backbone_lr", "backbone_lr_factor"])
@pytest.mark.parametrize("text", ["{{epochs: 1, {}: 0.5, {}}}", "{{epochs: 1, {1}, {0}: 0.5}}"])
def test_an_old_key_moves_into_the_section_of_the_new_one(old: str, text: str, tmp_path: Path) -> None:
    file = tmp_path / "a.yaml"
    file.write_text(f"train: {text.format(old, 'lr_factors: {head: 2}')}")
    factors = load_config(file).train.lr_factors
    assert (factors.backbone, factors.head, factors.bias) == (0.5, 2.0, 1.0)
    file.write_text(f"train: {text.format(old, 'lr_factors: {backbone: 2}')}")
    with pytest.raises(UserError, match=rf"train\.{old}: expected only train\.lr_factors\.backbone, .* found both"):
        load_config(file)


def test_an_old_key_overrides_the_new_one_of_a_base_and_the_reverse(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text("model: {rpn: {anchor_sizes: [8], ratios: [1]}}")
    file = tmp_path / "a.yaml"
    file.write_text("base: base.yaml\nmodel: {rpn: {sides: [16], aspect_ratios: [2]}}")
    rpn = load_config(file).model.rpn
    assert (rpn.anchor_sizes, rpn.aspect_ratios) == ((16.0,), (2.0,))
    assert load_config(file, ["model.rpn.sides=[32]"]).model.rpn.anchor_sizes == (32.0,)


def test_a_line_is_printed_once_for_each_source(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a.yaml"
    file.write_text("model: {rpn: {sides: [8], nms: 0.5}}")
    for _ in range(2):
        load_config(file, ["train.clip=5"])
    assert capsys.readouterr().err.splitlines() == [
        f"{file}: model.rpn.sides: now model.rpn.anchor_sizes; model.rpn.nms: now model.rpn.nms_iou",
        "--set: train.clip: now train.clip_grad_norm",
    ]


def test_many_old_keys_are_counted(capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = {}
    for old, new in RENAMED_KEYS.items():
        default = setting(Config(), new)
        section = reduce(lambda inner, name: inner.setdefault(name, {}), old.split(".")[:-1], settings)
        section[old.rpartition(".")[2]] = list(default) if isinstance(default, tuple) else default
    settings["train"]["epochs"] = 1
    assert parse_config(settings, "best.pt") == Config()
    err = capsys.readouterr().err
    assert len(RENAMED_KEYS) > MAX_NOTES
    assert err.startswith("best.pt: model.backbone.width: now model.backbone.neck_channels; ")
    assert err.endswith(f"; and {len(RENAMED_KEYS) - 3} more settings with new names\n")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "text"), [("faster_rcnn", OLD_FASTER_RCNN), ("fast_rcnn", OLD_FAST_RCNN), ("rcnn", OLD_RCNN)]
)
def test_an_old_file_has_the_settings_of_the_new_one(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "faster_rcnn.yaml").write_text(OLD_FASTER_RCNN)
    (tmp_path / f"{name}.yaml").write_text(text)
    assert load_config(tmp_path / f"{name}.yaml") == load_config(builtin_folder() / f"{name}.yaml")


def test_an_old_file_with_all_kinds_of_settings_is_read(tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text(OLD_FPN)
    (tmp_path / "new.yaml").write_text(NEW_FPN)
    assert load_config(tmp_path / "old.yaml") == load_config(tmp_path / "new.yaml")


@pytest.mark.parametrize("section", ["null", "3"])
def test_old_key_beside_a_new_section_that_is_none_is_unknown(section: str) -> None:
    settings = {"train": {"epochs": 1, "lr_factors": yaml.safe_load(section), "backbone_lr_factor": 0.1}}
    with pytest.raises(
        UserError, match=r"^old\.yaml: train\.(backbone_lr_factor: unknown key|lr_factors: expected keys)"
    ):
        parse_config(settings, "old.yaml")
