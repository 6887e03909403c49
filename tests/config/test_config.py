from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from detect.config import Config, as_plain
from detect.config.builders.detector import build_detector, preprocess_rule
from detect.config.files import load_config, merge_overrides, parse, shipped_folder, to_yaml
from detect.errors import UserError
from detect.ops.preprocess import IMAGENET_MEAN, IMAGENET_STD

SHIPPED = sorted(shipped_folder().rglob("*.yaml"))


def load(folder: Path, text: str, *overrides: str) -> Config:
    file = folder / "run.yaml"
    file.write_text(text)
    return load_config(file, overrides)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == Config()
    assert Config().train.epochs == 1
    assert Config().model.head.stds == (0.1, 0.1, 0.2, 0.2)


@pytest.mark.parametrize(
    ("text", "proposals", "pool", "number", "background"),
    [
        ("", "rpn", "roi_align", 128, (0.0, 0.5)),
        ("model: {kind: faster_rcnn}", "rpn", "roi_align", 128, (0.0, 0.5)),
        ("model: {proposals: selective_search}", "selective_search", "roi_align", 128, (0.0, 0.5)),
        ("model: {kind: fast_rcnn}", "selective_search", "roi_pool", 64, (0.1, 0.5)),
        ("model: {kind: fast_rcnn, proposals: a/b.npz}", "a/b.npz", "roi_pool", 64, (0.1, 0.5)),
        (
            "model: {kind: fast_rcnn, pool: roi_align, head: {number: 9}}",
            "selective_search",
            "roi_align",
            9,
            (0.1, 0.5),
        ),
    ],
)
def test_a_kind_sets_the_defaults_of_the_slots(
    tmp_path: Path, text: str, proposals: str, pool: str, number: int, background: tuple[float, float]
) -> None:
    model = load(tmp_path, text).model
    assert (model.proposals, model.pool, model.head.number, model.head.background) == (
        proposals,
        pool,
        number,
        background,
    )
    assert model.given == (proposals != "rpn")


@pytest.mark.parametrize(
    ("model", "width", "sides", "tail"),
    [
        ("backbone: {output: map}", 128, (128, 256, 512), "network"),
        ("backbone: {output: dilated}", 128, (128, 256, 512), "linear"),
        ("backbone: {output: pyramid}", 256, (32, 64, 128, 256, 512), "linear"),
        ("backbone: {output: pyramid, width: 8}, head: {tail: convolved}, rpn: {sides: [1]}", 8, (1,), "convolved"),
        ("backbone: {output: pyramid}, rpn: {sides: [[1, 2], [3, 4]]}", 256, ((1, 2), (3, 4)), "linear"),
    ],
)
def test_an_output_sets_the_defaults_of_the_slots(
    tmp_path: Path, model: str, width: int, sides: tuple[object, ...], tail: str
) -> None:
    found = load(tmp_path, f"model: {{{model}}}").model
    assert (found.backbone.width, found.rpn.sides, found.head.tail) == (width, sides, tail)


def test_colours_are_set_in_the_units_of_images_and_kept_in_fractions() -> None:
    plain = preprocess_rule(Config())
    assert (plain.channels, plain.mean) == ("rgb", IMAGENET_MEAN)
    assert plain.std == pytest.approx(IMAGENET_STD, rel=1e-15)
    caffe = preprocess_rule(parse({"model": {"preprocess": {"channels": "bgr", "std": [1, 1, 1]}}}, "test"))
    assert (caffe.channels, caffe.mean, caffe.std) == ("bgr", IMAGENET_MEAN, (1 / 255,) * 3)


def test_float_resizing_is_saved_with_the_rule_and_has_no_colour_jitter() -> None:
    config = Config()
    settings = {"model": {"preprocess": {"resize": "float"}}}
    assert preprocess_rule(config).resizing == "cv2"
    assert preprocess_rule(parse(settings, "test")).resizing == "float"
    with pytest.raises(UserError, match=r"data.augment.colour: expected 0 .*, found 0.5"):
        preprocess_rule(parse(settings | {"data": {"augment": {"colour": 0.5}}}, "test"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: {kind: rcnn, backbone: {output: pyramid}}", r"model: backbone.output: .* for an rcnn, found pyramid"),
        ("modle: {}", r'run.yaml: modle: unknown key \(did you mean "model"\?\)'),
        ("zzz: 1", r"run.yaml: zzz: unknown key; known: seed, device, model, data, train"),
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
        ("train: {lr: 1}", r"train: expected either epochs or steps, found neither \(e.g. --set train.epochs=7\)"),
        ("train: {epochs: 1, steps: 2}", r"train: expected either epochs or steps, found both"),
        ("model: {kind: yolo}", r"model.kind: .*found 'yolo'"),
        ("model: {proposals: rnp}", r'model: proposals: expected rpn, .*found rnp \(did you mean "rpn"\?\)'),
        ("model: {kind: fast_rcnn, proposals: rpn}", r"model: fast_rcnn is given its proposals: .*found rpn"),
        ("model: 3", r"model: .*found 3"),
        ("model: {rpn: {sides: []}}", r"model.rpn.sides: .*at least 1"),
        ("model: {rpn: {background: [0.3, 0.1]}}", r"model.rpn.background: expected the lower bound first"),
        ("model: {head: {stds: [1, 1, 1]}}", r"model.head.stds"),
        ("data: {min_size: []}", r"data.min_size: .*found \[\]"),
        ("data: {classes: []}", r"data.classes: .*at least 1"),
        ("data: {difficult: perhaps}", r"data.difficult: .*found 'perhaps'"),
        ("- a\n- b", r"run.yaml: expected keys and values, found list"),
        ("a: [", r"run.yaml: expected YAML, found"),
        ("a: 2007-13-45", r"run.yaml: expected YAML, found"),
        ("base: nothing.yaml", r"nothing.yaml: expected the base, found nothing"),
    ],
)
def test_a_mistake_is_named_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        load(tmp_path, text)
    assert "\n" not in str(raised.value)


def test_a_base_is_inherited_section_by_section(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "root.yaml").write_text("seed: 3\ntrain: {epochs: 4, lr: 0.5}\nmodel: {backbone: {name: small}}\n")
    (tmp_path / "sub" / "middle.yaml").write_text("base: ../root.yaml\ntrain: {lr: 0.25, batch_size: 7}\n")
    config = load(tmp_path, "base: sub/middle.yaml\nmodel: {backbone: {width: 9}}\n")
    assert (config.seed, config.train.epochs, config.train.lr, config.train.batch_size) == (3, 4, 0.25, 7)
    assert (config.model.backbone.name, config.model.backbone.width) == ("small", 9)


@pytest.mark.parametrize("name", ["run.yaml", "other.yaml"])
def test_a_circle_of_bases_is_refused(tmp_path: Path, name: str) -> None:
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
def test_of_epochs_and_steps_the_upper_one_stands(
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
def test_values_are_yaml_and_1e3_is_a_number(override: str, expected: dict[str, Any]) -> None:
    assert merge_overrides({}, [override]) == expected


def test_overrides_go_over_the_file_in_order(tmp_path: Path) -> None:
    config = load(tmp_path, "data: {root: here}\nseed: 1", "data.val=0.2", "seed=2", "seed=3", "data.min_size=[2, 4]")
    assert (config.seed, config.data.root, config.data.val) == (3, "here", 0.2)
    assert config.data.min_sizes == (2, 4)
    assert preprocess_rule(config).min_size == 4


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
def test_a_wrong_override_is_named(tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(tmp_path, "", override)


def test_merging_leaves_its_input_alone() -> None:
    settings = {"train": {"epochs": 3}}
    assert merge_overrides(settings, ["train.steps=2"]) == {"train": {"steps": 2}}
    assert settings == {"train": {"epochs": 3}}


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["train.steps=3", "model.init=ümläut.pt", "data.classes=[cat, 'on', '1e3', '1']", "model.rpn.outside=null"],
        ["data.train=[{root: a, list: b}, {root: c, annotations: d}]", "data.val=0.25", "data.min_size=[1, 2]"],
        ["data.train='1e3'", "train.epochs=1", "train.lr=1e-20", "data.val='0.2'"],
    ],
)
def test_what_is_written_is_read_back_equal(tmp_path: Path, overrides: list[str]) -> None:
    config = load(tmp_path, "", *overrides)
    assert load(tmp_path, to_yaml(config)) == config
    assert parse(as_plain(config), "saved") == config


def test_settings_cannot_be_changed_by_hand() -> None:
    with pytest.raises(ValueError, match=r"frozen"):
        Config().seed = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["faster_rcnn", "configs/faster_rcnn.yaml", "faster_rcnn.yaml"])
def test_a_shipped_configuration_is_found_from_anywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_config(Path(name)) == load_config(shipped_folder() / "faster_rcnn.yaml")


def test_a_file_that_is_nowhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere.yaml: expected a configuration file, found nothing"):
        load_config(tmp_path / "nowhere.yaml")


def test_a_name_near_a_shipped_one_and_a_file_beside_has_one_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "faster_rcn.yml").touch()
    with pytest.raises(UserError) as caught:
        load_config(Path("faster_rcnn.yml"))
    assert str(caught.value).count("did you mean") == 1
    (tmp_path / "mine.yaml").touch()
    with pytest.raises(UserError, match=r'did you mean "mine\.yaml"'):
        load_config(Path("mime.yaml"))


def test_configurations_are_shipped() -> None:
    assert {"faster_rcnn.yaml"} <= {file.name for file in SHIPPED}


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: str(file.relative_to(shipped_folder())))
def test_every_shipped_configuration_builds(file: Path) -> None:
    config = load_config(file, ["model.backbone.weights=null"])
    detector, report = build_detector(config, tuple(f"class{number}" for number in range(20)))
    assert report is None
    assert sum(parameter.numel() for parameter in detector.parameters() if parameter.requires_grad) > 100_000
    assert detector.postprocess.limit == config.model.postprocess.limit


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model.backbone.name=smal"], r'model.backbone.name: .*did you mean "small"'),
        (["model.backbone.output=merged"], "model.head.tail: expected linear"),
        (["model.backbone.output=dilated", "model.head.tail=network"], "expected linear .* dilated, found network"),
        (["model.backbone.output=dilated", "model.backbone.name=squeezenet1_1"], "dilated: expected a stage .*, sq"),
        (["model.backbone.output=pyramid", "model.backbone.levels=5"], "levels: expected at most 4 for small, found 5"),
        (["model.backbone.output=pyramid", "model.rpn.sides=[16,32]"], r"rpn.sides: .* each of 5 maps, .*\[\[16.0\], "),
        (["model.backbone.output=pyramid", "model.rpn.sides=[[1,2],[3],[4],[5],[6]]"], r"rpn.sides: .* each of 5 maps"),
        (["model.rpn.sides=[[16],[32]]"], r"rpn.sides: expected as many for each of 1 maps"),
        (
            ["model.backbone.output=pyramid", "model.backbone.split=1", "model.backbone.upsampling=transposed"],
            r"upsampling: expected nearest where .* \(small: 4, 8, 16, 16\), found transposed",
        ),
        (["model.backbone.split=2", "model.head.tail=linear"], "split: expected at most 1 .* of small, found 2"),
        (["model.backbone.frozen_stages=9"], "frozen_stages: expected at most 3 for small, found 9"),
        (
            ["model.backbone.name=vgg16", "model.head.bins=5"],
            "model.head.bins: expected 7 or null for .* vgg16, found 5",
        ),
        (["model.backbone.name=alexnet", "model.head.bins=7"], "model.head.bins: expected 6 or null for .*, found 7"),
        (["model.backbone.weights=/nowhere.pth"], "nowhere.pth: expected a weights file, found nothing"),
    ],
)
def test_parts_that_do_not_fit_are_refused(overrides: list[str], message: str) -> None:
    settings = merge_overrides({"model": {"backbone": {"name": "small"}}}, overrides)
    with pytest.raises(UserError, match=message):
        build_detector(parse(settings, "test"), ("cat",))
