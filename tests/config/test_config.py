from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from detect.config import Config, to_dict
from detect.config.builders.detector import build_detector, build_preprocess, composition_note
from detect.config.files import builtin_folder, load_config, merge_overrides, parse_config, to_yaml, with_overrides
from detect.errors import UserError
from detect.ops.preprocess import IMAGENET_MEAN, IMAGENET_STD

# those of detect describe train are in test_describe
BUILTIN_FILES = sorted(file for file in builtin_folder().rglob("*.yaml") if not file.name.startswith("describe_"))


def load(folder: Path, text: str, *overrides: str) -> Config:
    """Return the settings of a file with this text and these overrides."""
    file = folder / "run.yaml"
    file.write_text(text)
    return load_config(file, overrides)


def test_load_config_of_an_empty_file_returns_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Config()
    assert Config().train.epochs == 1
    assert Config().model.head.delta_stds == (0.1, 0.1, 0.2, 0.2)


@pytest.mark.parametrize(
    ("text", "proposals", "pool", "batch_size", "negative_iou"),
    [
        ("", "rpn", "roi_align", 128, (0.0, 0.5)),
        ("model: {kind: faster_rcnn}", "rpn", "roi_align", 128, (0.0, 0.5)),
        ("model: {proposals: selective_search}", "selective_search", "roi_align", 128, (0.0, 0.5)),
        ("model: {kind: cascade_rcnn}", "rpn", "roi_align", 128, (0.0, 0.5)),
        ("model: {kind: cascade_rcnn, cascade: {ious: [0.6, 0.7]}}", "rpn", "roi_align", 128, (0.0, 0.6)),
        ("model: {kind: mask_rcnn}", "rpn", "roi_align", 128, (0.0, 0.5)),
        ("model: {kind: cascade_rcnn, proposals: a/b.npz}", "a/b.npz", "roi_align", 128, (0.0, 0.5)),
        ("model: {kind: fast_rcnn}", "selective_search", "roi_pool", 64, (0.1, 0.5)),
        ("model: {kind: fast_rcnn, proposals: a/b.npz}", "a/b.npz", "roi_pool", 64, (0.1, 0.5)),
        (
            "model: {kind: fast_rcnn, pool: roi_align, head: {batch_size_per_image: 9}}",
            "selective_search",
            "roi_align",
            9,
            (0.1, 0.5),
        ),
    ],
)
def test_model_kind_sets_the_defaults_of_the_slots(
    tmp_path: Path, text: str, proposals: str, pool: str, batch_size: int, negative_iou: tuple[float, float]
) -> None:
    model = load(tmp_path, text).model
    assert (model.proposals, model.pool) == (proposals, pool)
    assert (model.head.batch_size_per_image, model.head.negative_iou) == (batch_size, negative_iou)
    assert model.uses_precomputed_proposals == (proposals != "rpn")


THIRDS = (0.1 / 3, 0.1 / 3, 0.2 / 3, 0.2 / 3)
STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), THIRDS)
ROUNDED_STDS = ((0.1, 0.1, 0.2, 0.2), (0.05, 0.05, 0.1, 0.1), (0.033, 0.033, 0.067, 0.067))  # mmdetection's


@pytest.mark.parametrize(
    ("text", "ious", "positive_iou", "stds", "class_agnostic"),
    [
        ("kind: faster_rcnn", None, 0.5, STDS[:1], False),
        ("kind: cascade_rcnn", (0.5, 0.6, 0.7), 0.5, STDS, True),
        ("kind: cascade_rcnn, head: {class_agnostic: false}", (0.5, 0.6, 0.7), 0.5, STDS, False),
        ("kind: fast_rcnn, cascade: {ious: [0.6, 0.7]}", (0.6, 0.7), 0.6, STDS[:2], True),
        (
            f"kind: cascade_rcnn, cascade: {{delta_stds: {list(map(list, ROUNDED_STDS))}}}",
            (0.5, 0.6, 0.7),
            0.5,
            ROUNDED_STDS,
            True,
        ),
    ],
)
def test_stages_of_a_cascade(
    tmp_path: Path,
    text: str,
    ious: tuple[float, ...] | None,
    positive_iou: float,
    stds: tuple[tuple[float, ...], ...],
    class_agnostic: bool,
) -> None:
    model = load(tmp_path, f"model: {{{text}}}").model
    assert (model.cascade.ious, model.head.positive_iou, model.head.class_agnostic) == (
        ious,
        positive_iou,
        class_agnostic,
    )
    assert model.stage_delta_stds == stds
    assert load(tmp_path, to_yaml(parse_config({"model": model.model_dump(mode="json")}, "test"))).model == model


@pytest.mark.parametrize(
    ("text", "neck_channels", "anchor_sizes", "head_type"),
    [
        ("backbone: {output: c4}", 128, (128, 256, 512), "backbone"),
        ("backbone: {output: dc5}", 128, (128, 256, 512), "fc"),
        ("backbone: {output: fpn}", 256, (32, 64, 128, 256, 512), "fc"),
        (
            "backbone: {output: fpn, neck_channels: 8}, head: {type: conv_fc}, rpn: {anchor_sizes: [1]}",
            8,
            (1,),
            "conv_fc",
        ),
        ("backbone: {output: fpn}, rpn: {anchor_sizes: [[1, 2], [3, 4]]}", 256, ((1, 2), (3, 4)), "fc"),
    ],
)
def test_backbone_output_sets_the_defaults_of_the_slots(
    tmp_path: Path, text: str, neck_channels: int, anchor_sizes: tuple[object, ...], head_type: str
) -> None:
    model = load(tmp_path, f"model: {{{text}}}").model
    assert model.backbone.neck_channels == neck_channels
    assert model.rpn.anchor_sizes == anchor_sizes
    assert model.head.type == head_type


def test_build_preprocess_scales_mean_and_std_to_fractions() -> None:
    default = build_preprocess(Config())
    assert (default.channels, default.mean) == ("rgb", IMAGENET_MEAN)
    assert default.std == pytest.approx(IMAGENET_STD, rel=1e-15)
    caffe = build_preprocess(parse_config({"model": {"preprocess": {"channels": "bgr", "std": [1, 1, 1]}}}, "test"))
    assert (caffe.channels, caffe.mean, caffe.std) == ("bgr", IMAGENET_MEAN, (1 / 255,) * 3)


def test_build_preprocess_refuses_color_jitter_with_float_resizing() -> None:
    config = Config()
    settings = {"model": {"preprocess": {"resize": "float"}}}
    assert build_preprocess(config).resizing == "cv2"
    assert build_preprocess(parse_config(settings, "test")).resizing == "float"
    with pytest.raises(UserError, match=r"data.augment.color_jitter: expected 0 .*, found 0.5"):
        build_preprocess(parse_config(settings | {"data": {"augment": {"color_jitter": 0.5}}}, "test"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {kind: rcnn, backbone: {output: fpn}}", r"model: backbone.output: .* for an rcnn, found fpn"),
        ("modle: {}", r'run.yaml: modle: unknown key \(did you mean "model"\?\)'),
        ("zzz: 1", r"run.yaml: zzz: unknown key; known: seed, device, model, data, train"),
        ("nms_iou: 1", r"run.yaml: nms_iou: unknown key; known: seed, device, model, data, train"),
        ("postprocess: {nms: 0.5}", r'postprocess: unknown key \(did you mean "model.postprocess"\?\)'),
        ("batch_sise: 1", r'batch_sise: unknown key \(did you mean "train.batch_size"\?\)'),
        (
            "model: {max_detections: 1}",
            r'unknown key \(did you mean "model.postprocess.max_detections"\?\)',
        ),
        ("model: {nms_iou: 1}", r"model.nms_iou: unknown key; known: kind, "),
        ("model: {backbon: {}}", r'model.backbon: unknown key \(did you mean "backbone"\?\)'),
        ("model: {backbone: {nme: small}}", r'model.backbone.nme: unknown key \(did you mean "name"\?\)'),
        ("data: {augment: {flipp: 1}}", r'data.augment.flipp: unknown key \(did you mean "flip"\?\)'),
        ("data: {train: [{rot: x, list: y}]}", r'data.train.0.rot: unknown key \(did you mean "root"\?\)'),
        ("data: {train: [{root: x}]}", r"data.train.0: expected either list or annotations"),
        ("data: {train: [{root: x, list: y, annotations: z}]}", r"data.train.0: expected either list or annotations"),
        ("train: {epochs: 1, lr: fast}", r"train.lr: .*number.*, found 'fast'"),
        ("train: {epochs: 0}", r"train.epochs: expected greater than 0"),
        ("train: {epochs: 1.5}", r"train.epochs: .*integer.*, found 1.5"),
        ("train: {epochs: 1, optimizer: SGD}", r"train.optimizer: .*found 'SGD' \(did you mean \"sgd\"\?\)"),
        ("train: {epochs: 1, lr: .inf}", r"train.lr: .*found inf"),
        ("train: {epochs: 1, lr_factors: {clasifier: 2}}", r'train.lr_factors.clasifier: .*did you mean "classifier"'),
        ("train: {epochs: 1, lr_factors: {bias: 0}}", r"train.lr_factors.bias: expected greater than 0"),
        ("train: {epochs: 1, rpn_steps: 9}", r"train: rpn_steps: expected null with recipe joint .*, found 9"),
        (
            "{model: {kind: rcnn}, train: {epochs: 1, rpn_batch_size: 1}}",
            r"train: rpn_batch_size: expected null with recipe rcnn .*, found 1",
        ),
        ("train: {epochs: 1, rpn_milestones: [0.5]}", r"train: rpn_milestones: expected null with recipe joint"),
        ("model: {rpn: {delta_stds: [0, 1, 1, 1]}}", r"model.rpn.delta_stds.0: expected greater than 0"),
        ("model: {rpn: {rank: scores}}", r'model.rpn.rank: .*did you mean "score"'),
        ("model: {postprocess: {pre_nms_top_n_per_class: 0}}", r"pre_nms_top_n_per_class: expected greater than 0"),
        ("train: {lr: 1}", r"train: expected either epochs or steps, found neither \(e.g. --set train.epochs=7\)"),
        ("train: {epochs: 1, steps: 2}", r"train: expected either epochs or steps, found both"),
        ("model: {kind: yolo}", r"model.kind: .*found 'yolo'"),
        ("model: {proposals: rnp}", r'model: proposals: expected rpn, .*found rnp \(did you mean "rpn"\?\)'),
        (
            "model: {proposals: [a.npz, selective_search]}",
            r"model: proposals: expected .npz, .mat or .json files in a list, found selective_search$",
        ),
        ("model: {proposals: []}", r"model: proposals: expected rpn, .* file, found none"),
        ("model: {kind: fast_rcnn, proposals: rpn}", r"model: fast_rcnn uses precomputed proposals: .*found rpn"),
        ("model: 3", r"model: .*found 3"),
        ("model: {rpn: {anchor_sizes: []}}", r"model.rpn.anchor_sizes: .*at least 1"),
        ("model: {rpn: {negative_iou: [0.3, 0.1]}}", r"model.rpn.negative_iou: expected the lower bound first"),
        ("model: {head: {delta_stds: [1, 1, 1]}}", r"model.head.delta_stds"),
        ("model: {search: {colors: [I, HSW]}}", r"search.colors.1: expected 'HSV', .*'HSW' \(did you mean \"HSV\"\?\)"),
        ("model: {search: {colors: []}}", r"search.colors: .*at least 1"),
        ("model: {search: {similarities: [FS]}}", r"search.similarities.0: expected 'C', 'T', .*found 'FS'"),
        ("model: {search: {k: [50, 50]}}", r"search.k: expected each once, found \[50, 50\]"),
        ("model: {search: {k: [0]}}", r"search.k.0: expected greater than 0, found 0"),
        ("model: {search: {min_size_width: 0}}", r"search.min_size_width: expected greater than 0, found 0"),
        ("data: {min_size: []}", r"data.min_size: .*found \[\]"),
        ("data: {classes: []}", r"data.classes: .*at least 1"),
        ("data: {train_on_difficult: perhaps}", r"data.train_on_difficult: .*found 'perhaps'"),
        ("- a\n- b", r"run.yaml: expected keys and values, found list"),
        ("a: [", r"run.yaml: expected YAML, found"),
        ("a: 2007-13-45", r"run.yaml: expected YAML, found"),
        ("base: nothing.yaml", r"nothing.yaml: expected the base, found nothing"),
    ],
)
def test_load_config_names_a_mistake_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        load(tmp_path, text)
    assert "\n" not in str(raised.value)


def test_load_config_merges_a_base_section_by_section(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "root.yaml").write_text("seed: 3\ntrain: {epochs: 4, lr: 0.5}\nmodel: {backbone: {name: small}}\n")
    (tmp_path / "sub" / "middle.yaml").write_text("base: ../root.yaml\ntrain: {lr: 0.25, batch_size: 7}\n")
    config = load(tmp_path, "base: sub/middle.yaml\nmodel: {backbone: {neck_channels: 9}}\n")
    assert (config.seed, config.train.epochs, config.train.lr, config.train.batch_size) == (3, 4, 0.25, 7)
    assert (config.model.backbone.name, config.model.backbone.neck_channels) == ("small", 9)


@pytest.mark.parametrize("name", ["run.yaml", "other.yaml"])
def test_load_config_refuses_a_circle_of_bases(tmp_path: Path, name: str) -> None:
    (tmp_path / "other.yaml").write_text("base: run.yaml\n")
    with pytest.raises(UserError, match=r"base: expected no circle, found run.yaml -> .*run.yaml"):
        load(tmp_path, f"base: {name}\n")


@pytest.mark.parametrize(
    ("text", "overrides", "epochs", "steps"),
    [
        ("", [], 1, None),
        ("", ["train.steps=5"], None, 5),
        ("base: base.yaml", [], 4, None),
        ("base: base.yaml\ntrain: {steps: 9}", [], None, 9),
        ("base: base.yaml\ntrain: {steps: 9}", ["train.epochs=2"], 2, None),
        ("base: base.yaml", ["train.steps=6", "train.epochs=3"], 3, None),
        ("", ["train.lr=0.5"], 1, None),
        ("", ["train.lr=0.5", "train.steps=6"], None, 6),
    ],
)
def test_load_config_takes_the_last_set_of_epochs_and_steps(
    tmp_path: Path, text: str, overrides: list[str], epochs: int | None, steps: int | None
) -> None:
    (tmp_path / "base.yaml").write_text("train: {epochs: 4}\n")
    train = load(tmp_path, text, *overrides).train
    assert (train.epochs, train.steps) == (epochs, steps)


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("a=1", {"a": 1}),
        ("a=", {"a": None}),
        ("a=null", {"a": None}),
        ("a=1e-3", {"a": 0.001}),
        ("a=-2E5", {"a": -200000.0}),
        ("a=1.5e3", {"a": 1500.0}),
        ("a=1e", {"a": "1e"}),
        ("a=[1, 2]", {"a": [1, 2]}),
        ("a={x: 1}", {"a": {"x": 1}}),
        ("a=b=c", {"a": "b=c"}),
        ("a.b.c=x", {"a": {"b": {"c": "x"}}}),
    ],
)
def test_merge_overrides_reads_values_as_yaml_and_1e3_as_a_number(override: str, expected: dict[str, Any]) -> None:
    assert merge_overrides({}, [override]) == expected


def test_load_config_applies_overrides_in_order(tmp_path: Path) -> None:
    config = load(tmp_path, "data: {root: here}\nseed: 1", "data.val=0.2", "seed=2", "seed=3", "data.min_size=[2, 4]")
    assert (config.seed, config.data.root, config.data.val) == (3, "here", 0.2)
    assert config.data.min_sizes == (2, 4)
    assert build_preprocess(config).min_size == 4


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed", "--set seed: expected KEY=VALUE"),
        ("=3", "--set =3: expected KEY=VALUE"),
        ("seed=[1", "--set seed=.*expected a YAML value"),
        ("seed=2007-13-45", "--set seed=.*expected a YAML value"),
        ("train.lrr=3", r'train.lrr: unknown key \(did you mean "lr"\?\)'),
        ("train.lr.x=3", "train.lr: .*number"),
    ],
)
def test_load_config_names_a_wrong_override(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, "", override)


def test_null_is_the_default_of_a_setting_that_has_no_null(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("data: {train: mine}\ntrain: {epochs: 3, validate_every: 2}\n", encoding="utf-8")
    nulls = ["data.train=null", "train.validate_every=null", "train.lr=null"]
    config = load_config(tmp_path / "a.yaml", nulls)
    assert (config.data.train, config.train.validate_every, config.train.lr) == ("train", None, 1e-3)
    assert with_overrides(config, ["data.train=b", "data.train=null"]).data.train == "train"
    with pytest.raises(UserError, match=r"train\.no_such: unknown key"):
        load_config(tmp_path / "a.yaml", ["train.no_such=null"])


def test_merge_overrides_does_not_change_its_argument() -> None:
    settings = {"train": {"epochs": 3}}
    assert merge_overrides(settings, ["train.steps=2"]) == {"train": {"steps": 2}}
    assert settings == {"train": {"epochs": 3}}


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        [
            "train.steps=3",
            "model.init=ümläut.pt",
            "data.classes=[cat, 'on', '1e3', '1']",
            "model.rpn.allowed_border=null",
        ],
        ["data.train=[{root: a, list: b}, {root: c, annotations: d}]", "data.val=0.25", "data.min_size=[1, 2]"],
        ["data.train='1e3'", "train.epochs=1", "train.lr=1e-20", "data.val='0.2'"],
    ],
)
def test_to_yaml_is_read_back_equal(tmp_path: Path, overrides: list[str]) -> None:
    config = load(tmp_path, "", *overrides)
    assert load(tmp_path, to_yaml(config)) == config
    assert parse_config(to_dict(config), "saved") == config


def test_config_is_frozen() -> None:
    with pytest.raises(ValueError, match=r"frozen"):
        Config().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["faster_rcnn", "configs/faster_rcnn.yaml", "faster_rcnn.yaml"])
def test_load_config_finds_a_builtin_configuration_from_any_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(Path(name)) == load_config(builtin_folder() / "faster_rcnn.yaml")


def test_load_config_names_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.yaml: expected a configuration file, found nothing"):
        load_config(tmp_path / "nowhere.yaml")


def test_load_config_gives_one_hint_for_a_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faster_rcn.yml").touch()
    with pytest.raises(UserError) as caught:
        load_config(Path("faster_rcnn.yml"))
    assert str(caught.value).count("did you mean") == 1
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(UserError, match=r'did you mean "mine\.yaml"'):
        load_config(Path("mime.yaml"))


def test_builtin_folder_has_configurations() -> None:
    assert {"faster_rcnn.yaml"} <= {file.name for file in BUILTIN_FILES}


@pytest.mark.parametrize("file", BUILTIN_FILES, ids=lambda file: str(file.relative_to(builtin_folder())))
def test_build_detector_builds_every_builtin_configuration(file: Path) -> None:
    config = load_config(file, ["model.backbone.weights=null"])
    with torch.device("meta"):  # without memory: random weights of VGG16 take seconds
        detector, report = build_detector(config, tuple(f"class{i}" for i in range(20)))
    assert report is None
    assert sum(parameter.numel() for parameter in detector.parameters() if parameter.requires_grad) > 100_000
    assert detector.postprocess.max_detections == config.model.postprocess.max_detections


RCNN_RECIPE = ("train.recipe=rcnn", "train.epochs=1")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.backbone.name=smal"], r'model.backbone.name: .*did you mean "small"'),
        (["model.backbone.output=merged"], "model.head.type: expected fc"),
        (["model.backbone.output=dc5", "model.head.type=backbone"], "expected fc or conv_fc .* dc5, found backbone"),
        (["model.backbone.output=dc5", "model.backbone.name=squeezenet1_1"], "dc5: expected a stage .*, sq"),
        (["model.backbone.output=fpn", "model.backbone.fpn_levels=5"], "levels: expected at most 4 for small, found 5"),
        (
            ["model.backbone.output=fpn", "model.rpn.anchor_sizes=[16,32]"],
            r"each of 5 maps, .*\[\[16.0\], ",
        ),
        (
            ["model.backbone.output=fpn", "model.rpn.anchor_sizes=[[1,2],[3],[4],[5],[6]]"],
            r"anchor_sizes: .* each of 5 maps",
        ),
        (["model.rpn.anchor_sizes=[[16],[32]]"], r"rpn.anchor_sizes: expected as many for each of 1 maps"),
        (
            ["model.backbone.output=fpn", "model.backbone.split_last_stage=1", "model.backbone.upsampling=transposed"],
            r"upsampling: expected nearest where .* \(small: 4, 8, 16, 16\), found transposed",
        ),
        (
            ["model.backbone.split_last_stage=2", "model.head.type=fc"],
            "split_last_stage: expected at most 1 .* of small, found 2",
        ),
        (["model.backbone.frozen_stages=9"], "frozen_stages: expected at most 3 for small, found 9"),
        (
            ["model.backbone.name=vgg16", "model.head.pool_size=5"],
            "model.head.pool_size: expected 7 or null for .* vgg16, found 5",
        ),
        (
            ["model.backbone.name=alexnet", "model.head.pool_size=7"],
            "pool_size: expected 6 or null for .*, found 7",
        ),
        (
            ["model.classifier=svm", *RCNN_RECIPE, "model.head.svm_features=fc1"],
            "model.head.svm_features: expected null for a tail without fully connected layers, found fc1",
        ),
        (
            ["model.backbone.name=vgg16", "model.kind=rcnn", *RCNN_RECIPE, "model.head.svm_features=fc7"],
            "svm_features: expected one of map, fc1, fc2 for 2 .*, found fc7",
        ),
        (["model.cascade.ious=[0.5]"], "model.cascade.ious: .* at least 2 items"),
        (["model.kind=cascade_rcnn", "model.cascade.ious=null"], "cascade.ious: expected .* cascade_rcnn, found null"),
        (
            ["model.cascade.delta_stds=[[1,1,1,1],[1,1,1,1]]"],
            "cascade.ious: expected .* cascade.delta_stds, found null",
        ),
        (["model.cascade.average=logits"], "cascade.ious: expected .* cascade.average, found null"),
        (
            ["model.kind=rcnn", *RCNN_RECIPE, "model.cascade.ious=[0.5,0.6]"],
            r"cascade.ious: expected null with kind rcnn, found \[0.5, 0.6\]",
        ),
        (
            ["model.classifier=svm", *RCNN_RECIPE, "model.cascade.ious=[0.5,0.6]"],
            "cascade.ious: expected null with classifier svm",
        ),
        (
            ["model.kind=cascade_rcnn", "model.head.box_weight=0"],
            "cascade.ious: expected null with head.box_weight 0",
        ),
        (
            ["model.kind=cascade_rcnn", "model.head.positive_iou=0.55"],
            "cascade.ious: expected that of head.positive_iou first, 0.55, found 0.5",
        ),
        (
            ["model.kind=cascade_rcnn", "model.cascade.delta_stds=[[0.1,0.1,0.2,0.2],[1,1,1,1]]"],
            "cascade.delta_stds: expected 3 of them, first those of head.delta_stds",
        ),
        (
            ["model.kind=cascade_rcnn", "model.cascade.delta_stds=[[2,2,2,2],[1,1,1,1],[1,1,1,1]]"],
            "cascade.delta_stds: expected 3 of them, first those of head.delta_stds",
        ),
        (["model.kind=mask_rcnn", "model.mask.pool_size=null"], "mask.pool_size: expected .* mask_rcnn, found null"),
        (
            ["model.kind=mask_rcnn", "model.mask.per_stage=true"],
            "mask.per_stage: expected false without cascade.ious, found true",
        ),
        (["model.mask.channels=8"], "mask.pool_size: expected .* with mask.channels, found null"),
        (
            ["model.kind=rcnn", *RCNN_RECIPE, "model.mask.pool_size=14"],
            "mask.pool_size: expected null with kind rcnn, found 14",
        ),
        (
            ["model.classifier=svm", *RCNN_RECIPE, "model.mask.pool_size=14"],
            "mask.pool_size: expected null with classifier svm, found 14",
        ),
        (
            ["train.epochs=1", "train.trainable=[mask]"],
            "train.trainable: expected no mask, as model.mask.pool_size is null, found mask",
        ),
        (
            ["model.kind=rcnn", *RCNN_RECIPE, "model.head.class_agnostic=true"],
            "head.class_agnostic: expected false for an rcnn, found true",
        ),
        (["model.head.svm_features=map"], "head.svm_features: expected null with classifier softmax, found map"),
        (["model.backbone.weights=/nowhere.pth"], "nowhere.pth: expected a weights file, found nothing"),
    ],
)
def test_build_detector_refuses_settings_that_exclude_each_other(overrides: list[str], message: str) -> None:
    settings = merge_overrides({"model": {"backbone": {"name": "small"}}}, overrides)
    with pytest.raises(UserError, match=message):
        build_detector(parse_config(settings, "test"), ("cat",))


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ([], (1, None)),
        (["train.steps=2"], (None, 2)),
        (["train.steps=2", "train.epochs=null"], (None, 2)),
        (["train.epochs=null", "train.steps=2"], (None, 2)),
        (["train.steps=null", "train.epochs=3"], (3, None)),
        (["train.epochs=3", "train.steps=null"], (3, None)),
        (["train.steps=2", "train.epochs=3"], (3, None)),
        (["train.steps=2", "train.epochs=3", "train.steps=4"], (None, 4)),
    ],
)
def test_the_last_length_that_is_set_counts(
    overrides: list[str], expected: tuple[int | None, int | None], tmp_path: Path
) -> None:
    loaded = load(tmp_path, "", *overrides)
    assert (loaded.train.epochs, loaded.train.steps) == expected


def test_no_length_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected either epochs or steps, found neither"):
        load(tmp_path, "", "train.epochs=null")


PATH_KEYS = (
    *("data.root", "data.images", "data.train", "data.val", "model.init", "model.proposals"),
    "model.backbone.weights",
)


@pytest.mark.parametrize("key", PATH_KEYS)
@pytest.mark.parametrize(
    ("text", "expected"), [("~/x.npz", "/home/me/x.npz"), ("a/~/x.npz", "a/~/x.npz"), ("~x.npz", "~x.npz")]
)
def test_home_is_expanded_in_every_path(
    key: str, text: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    setting: Any = load(tmp_path, "model: {kind: fast_rcnn}", f"{key}='{text}'")
    for name in key.split("."):
        setting = getattr(setting, name)
    assert setting == expected


def test_home_is_expanded_in_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    train = load(tmp_path, "data: {train: [{root: ~/a, annotations: ~/b.json, images: ~/c}]}").data.train
    assert isinstance(train, tuple)
    assert (train[0].root, train[0].annotations, train[0].images) == ("/home/me/a", "/home/me/b.json", "/home/me/c")


@pytest.mark.parametrize("key", ["seed", "data.seed", "train.steps", "data.min_size", "data.workers"])
@pytest.mark.parametrize("number", [10**20, -(10**20), 2**63])
def test_numbers_of_more_than_64_bits_are_refused(key: str, number: int, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{key}: ") as raised:
        load(tmp_path, "", f"{key}={number}")
    assert len(str(raised.value).splitlines()) == 1


@pytest.mark.parametrize(
    "override",
    [
        "data.augment.flip=true",
        "data.augment.crop=yes",
        "model.postprocess.nms_iou=no",
        "model.mask.pool_size=true",
        "train.patience=true",
        "train.epochs=yes",
        "train.warmup=true",
        "data.val=no",
        "data.min_size=[true, 96]",
        "model.test_time.slice.size=on",
    ],
)
def test_booleans_are_no_numbers(override: str) -> None:
    key = override.partition("=")[0]
    with pytest.raises(UserError, match=rf"{key}: .*expected no true or false"):
        with_overrides(Config(), [override])


def test_booleans_are_read_where_there_are_some() -> None:
    config = with_overrides(Config(), ["model.test_time.flip=true", "train.deterministic=yes"])
    assert config.model.test_time.flip is config.train.deterministic is True


@pytest.mark.parametrize(
    ("overrides", "note"),
    [
        ([], None),
        (["model.kind=cascade_rcnn"], None),
        (["model.kind=mask_rcnn", "model.cascade.ious=[0.5,0.6]"], None),
        (["model.proposals=selective_search"], "model.kind is faster_rcnn, but model.proposals makes this a fast_rcnn"),
        (
            ["model.mask.pool_size=14", "model.cascade.ious=[0.5,0.6]"],
            "model.kind is faster_rcnn, but model.mask.pool_size and model.cascade.ious make this a mask_rcnn",
        ),
    ],
)
def test_a_kind_that_other_settings_contradict_is_named(overrides: list[str], note: str | None) -> None:
    assert composition_note(parse_config(merge_overrides({"train": {"epochs": 1}}, overrides), "test").model) == note
