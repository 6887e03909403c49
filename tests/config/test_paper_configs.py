"""The configurations of configs/voc07: their headers, and the settings in which they must agree with the papers."""

from __future__ import annotations

import re
from functools import cache, reduce
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
import torch
from torch import nn

from detect.config import Config
from detect.config.builders.detector import build_preprocess, build_uninitialized
from detect.config.files import builtin_folder, load_config
from detect.models.backbones import registry
from detect.training.setup import build_schedule
from tests.config.test_ablations import ROWS

FOLDER = builtin_folder() / "voc07"
FILES = sorted(FOLDER.glob("*.yaml"))
GENERATIONS = {
    "rcnn": ("rcnn_caffenet", "rcnn_vgg16"),
    "fast_rcnn": ("fast_rcnn_caffenet", "fast_rcnn_vgg_cnn_m_1024", "fast_rcnn_vgg16"),
    "faster_rcnn": ("faster_rcnn_zf", "faster_rcnn_vgg16"),
}
PAPERS = [name for names in GENERATIONS.values() for name in names]


@cache
def paper_config(name: str) -> Config:
    return load_config(FOLDER / f"{name}.yaml")


def setting(config: Config, key: str) -> object:
    """Return the value of a key such as train.lr."""
    return reduce(getattr, key.split("."), config)


def header(file: Path) -> list[str]:
    """Return the comment lines at the start of a file; a line that ends with a backslash is joined to the next."""
    comments = "".join(takewhile(lambda line: line.startswith("#"), file.read_text().splitlines(keepends=True)))
    return [line.removeprefix("#").strip() for line in re.sub(r"\\\n#", "", comments).splitlines()]


def overrides(line: str) -> list[tuple[str, ...]]:
    """Return the overrides of each alternative in a line of a header; semicolons separate alternatives."""
    matches = [re.findall(r"--set (?:'([^']*)'|(\S+))", part) for part in line.split(";")]
    return [tuple(quoted or plain for quoted, plain in part) for part in matches if part]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", []),
        ("Expected: 66.9 (paper; table 1)", []),
        ("62.6 --set a.b=0 --set c=[1,2]  (table 6)", [("a.b=0", "c=[1,2]")]),
        ("61.4 --set a=5; 67.2 --set a=1  (table 5)", [("a=5",), ("a=1",)]),
        ("--set 'a=[{x: 1, y: 2}]' --set b=1", [("a=[{x: 1, y: 2}]", "b=1")]),
    ],
)
def test_overrides_reads_the_alternatives_of_a_line(line: str, expected: list[tuple[str, ...]]) -> None:
    assert overrides(line) == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_header_has_the_command_and_the_expected_result(file: Path) -> None:
    lines = header(file)
    command = "pretrain" if paper_config(file.stem).train.recipe == "pretrain" else "train"
    assert any(f"detect {command} --config configs/voc07/{file.name} " in line for line in lines)
    assert any(re.match(r"Expected: \S", line) for line in lines)


@pytest.mark.parametrize("name", PAPERS)
def test_header_of_a_paper_has_its_number_and_ours(name: str) -> None:
    lines = header(FOLDER / f"{name}.yaml")
    assert any(re.match(r"Expected: \d\d\.\d \(paper, table \d", line) for line in lines)
    assert any(re.match(r"Measured: \S", line) for line in lines)


ABLATIONS = [(file, settings) for file in FILES for line in header(file) for settings in overrides(line)]


@pytest.mark.parametrize(
    ("file", "settings"), ABLATIONS, ids=[f"{file.stem} {' '.join(settings)}" for file, settings in ABLATIONS]
)
def test_overrides_of_a_header_load_and_change_each_key(file: Path, settings: tuple[str, ...]) -> None:
    config = load_config(file, settings)
    keys = [override.partition("=")[0] for override in settings]
    assert [key for key in keys if setting(config, key) == setting(paper_config(file.stem), key)] == []


@pytest.mark.parametrize(("kind", "names"), GENERATIONS.items(), ids=GENERATIONS)
def test_paper_configs_train_on_trainval_and_validate_on_test(kind: str, names: tuple[str, ...]) -> None:
    for name in names:
        config = paper_config(name)
        assert config.model.kind == kind
        assert (config.data.format, config.data.train, config.data.val) == ("voc", "trainval", "test")
        assert config.data.train_on_difficult == (kind != "faster_rcnn")
        assert (config.train.recipe == "alternating") == (kind == "faster_rcnn")


@pytest.mark.parametrize("name", PAPERS)
def test_paper_configs_do_not_select_weights_on_the_test_images(name: str) -> None:
    config = paper_config(name)
    epochs = (config.train.steps or 0) * config.train.batch_size / 5011
    several_stages = config.train.recipe in ("rcnn", "alternating")  # validated once, after the last stage
    assert config.train.validate_every is not None
    assert several_stages or config.train.validate_every > epochs


@pytest.mark.parametrize(
    ("kind", "steps", "milestones"),
    [("rcnn", 70000, [20000, 40000, 60000]), ("fast_rcnn", 40000, [30000]), ("faster_rcnn", 40000, [30000])],
)
def test_learning_rate_falls_at_the_milestones_of_the_paper(kind: str, steps: int, milestones: list[int]) -> None:
    for name in GENERATIONS[kind]:
        train, schedule = paper_config(name).train, build_schedule(paper_config(name), steps)
        assert (train.steps, train.lr) == (steps, 1e-3)
        for num_drops, (start, end) in enumerate(pairwise([0, *milestones, steps])):
            assert [schedule.factor(step) for step in (start, end - 1)] == pytest.approx([0.1**num_drops] * 2)


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        ("rcnn_caffenet", []),
        ("rcnn_vgg16", []),
        ("fast_rcnn_caffenet", [96]),
        ("fast_rcnn_vgg_cnn_m_1024", [96]),
        ("fast_rcnn_vgg16", [64, 64, 128, 128]),
        ("faster_rcnn_zf", []),
        ("faster_rcnn_vgg16", [64, 64, 128, 128]),
    ],
)
def test_frozen_convolutions_are_those_of_the_paper(name: str, channels: list[int]) -> None:
    settings = paper_config(name).model.backbone
    with torch.device("meta"):
        network = registry.split_stages(settings.name, registry.build_network(settings.name))
    frozen = nn.Sequential(*network.stages[: settings.frozen_stages])
    assert [layer.out_channels for layer in frozen.modules() if isinstance(layer, nn.Conv2d)] == channels


@pytest.mark.parametrize("name", PAPERS)
def test_paper_configs_decode_deltas_without_a_limit(name: str) -> None:
    """In the authors' code a box is the exponential of the predicted delta, clipped to the image."""
    model = paper_config(name).model
    assert model.postprocess.max_scale_change is None
    assert model.uses_precomputed_proposals or model.rpn.max_scale_change is None


@pytest.mark.parametrize(
    ("name", "size", "resized"),
    [
        ("rcnn_caffenet", (375, 500), (375, 500)),
        ("rcnn_vgg16", (500, 334), (500, 334)),
        ("rcnn_vgg16", (240, 320), (375, 500)),
        ("fast_rcnn_vgg16", (375, 500), (600, 800)),
        ("faster_rcnn_zf", (250, 500), (500, 1000)),
    ],
)
def test_images_are_resized_as_in_the_paper(name: str, size: tuple[int, int], resized: tuple[int, int]) -> None:
    assert build_preprocess(paper_config(name)).target_size(size) == resized


@pytest.mark.parametrize("name", ["fast_rcnn_caffenet", "fast_rcnn_vgg_cnn_m_1024"])
def test_the_five_test_scales_are_those_of_training(name: str) -> None:
    (row,) = [row for row in ROWS if row.config == name and "data.max_size=2000" in row.overrides]
    config = load_config(FOLDER / f"{name}.yaml", row.overrides)
    sizes = [round(min(build_preprocess(config).target_size((375, 500))) * by) for by in config.model.test_time.scales]
    assert tuple(sizes) == config.data.min_sizes == (480, 576, 688, 864, 1200)


@pytest.mark.parametrize(
    ("name", "lengths"),
    [
        ("rcnn_caffenet", {"map": 256 * 6 * 6, "fc1": 4096, "fc2": 4096}),
        ("rcnn_vgg16", {"map": 512 * 7 * 7, "fc1": 4096, "fc2": 4096}),
        ("fast_rcnn_vgg_cnn_m_1024", {"map": 512 * 6 * 6, "fc1": 4096, "fc2": 1024}),
    ],
)
def test_svm_features_are_pool5_fc6_and_fc7(name: str, lengths: dict[str, int]) -> None:
    for features, length in lengths.items():
        settings = (f"model.head.svm_features={features}", "model.classifier=svm", "train.recipe=rcnn")
        config = load_config(FOLDER / f"{name}.yaml", settings)
        with torch.device("meta"):
            (head,) = build_uninitialized(config, ("cat",)).head.stages
        assert head.logits.in_features == length
