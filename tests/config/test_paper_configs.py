"""The configurations of configs/voc07: what their headers promise, and where they must be as the papers are."""

from __future__ import annotations

import re
from functools import cache, reduce
from itertools import pairwise, takewhile
from pathlib import Path

import pytest
import torch
from torch import nn

from detect.config import Config
from detect.config.builders.detector import preprocess_rule
from detect.config.files import load_config, shipped_folder
from detect.models.backbones import registry
from detect.training.setup import schedule_rule

FOLDER = shipped_folder() / "voc07"
FILES = sorted(FOLDER.glob("*.yaml"))
GENERATIONS = {
    "rcnn": ("rcnn_caffenet", "rcnn_vgg16"),
    "fast_rcnn": ("fast_rcnn_caffenet", "fast_rcnn_vgg_cnn_m_1024", "fast_rcnn_vgg16"),
    "faster_rcnn": ("faster_rcnn_zf", "faster_rcnn_vgg16"),
}
PAPERS = [name for names in GENERATIONS.values() for name in names]


@cache
def shipped(name: str) -> Config:
    return load_config(FOLDER / f"{name}.yaml")


def setting(config: Config, key: str) -> object:
    """The value of a key such as train.lr."""
    return reduce(getattr, key.split("."), config)


def header(file: Path) -> list[str]:
    """The comments that a file begins with; one that ends with a backslash goes on in the next."""
    comments = "".join(takewhile(lambda line: line.startswith("#"), file.read_text().splitlines(keepends=True)))
    return [line.removeprefix("#").strip() for line in re.sub(r"\\\n#", "", comments).splitlines()]


def overrides(line: str) -> list[tuple[str, ...]]:
    """The overrides of each alternative that a line of a header offers; semicolons stand between alternatives."""
    found = [re.findall(r"--set (?:'([^']*)'|(\S+))", part) for part in line.split(";")]
    return [tuple(quoted or plain for quoted, plain in part) for part in found if part]


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
def test_overrides_are_read_from_a_line(line: str, expected: list[tuple[str, ...]]) -> None:
    assert overrides(line) == expected


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_header_has_its_command_and_what_to_expect(file: Path) -> None:
    lines = header(file)
    command = "pretrain" if shipped(file.stem).train.recipe == "classify" else "train"
    assert any(f"detect {command} --config configs/voc07/{file.name} " in line for line in lines)
    assert any(re.match(r"Expected: \S", line) for line in lines)


@pytest.mark.parametrize("name", PAPERS)
def test_a_header_of_a_paper_has_its_number_and_ours(name: str) -> None:
    lines = header(FOLDER / f"{name}.yaml")
    assert any(re.match(r"Expected: \d\d\.\d \(paper, table \d", line) for line in lines)
    assert any(re.match(r"Measured: \S", line) for line in lines)


OFFERED = [(file, chosen) for file in FILES for line in header(file) for chosen in overrides(line)]


@pytest.mark.parametrize(("file", "chosen"), OFFERED, ids=[f"{file.stem} {' '.join(sets)}" for file, sets in OFFERED])
def test_what_a_header_offers_loads_and_changes_each_key_it_names(file: Path, chosen: tuple[str, ...]) -> None:
    config = load_config(file, chosen)
    keys = [override.partition("=")[0] for override in chosen]
    assert [key for key in keys if setting(config, key) == setting(shipped(file.stem), key)] == []


@pytest.mark.parametrize(("kind", "names"), GENERATIONS.items(), ids=GENERATIONS)
def test_every_paper_trains_on_trainval_for_test(kind: str, names: tuple[str, ...]) -> None:
    for name in names:
        config = shipped(name)
        assert config.model.kind == kind
        assert (config.data.format, config.data.train, config.data.val) == ("voc", "trainval", "test")
        assert config.data.difficult == (kind != "faster_rcnn")
        assert (config.train.recipe == "alternating") == (kind == "faster_rcnn")


@pytest.mark.parametrize("name", PAPERS)
def test_the_images_of_test_choose_no_weights(name: str) -> None:
    config = shipped(name)
    epochs = (config.train.steps or 0) * config.train.batch_size / 5011
    several_stages = config.train.recipe in ("rcnn", "alternating")  # validated once they are put together
    assert config.train.validate_every is not None
    assert several_stages or config.train.validate_every > epochs


@pytest.mark.parametrize(
    ("kind", "steps", "falls"),
    [("rcnn", 70000, [20000, 40000, 60000]), ("fast_rcnn", 40000, [30000]), ("faster_rcnn", 40000, [30000])],
)
def test_the_learning_rate_falls_where_the_paper_lets_it(kind: str, steps: int, falls: list[int]) -> None:
    for name in GENERATIONS[kind]:
        train, schedule = shipped(name).train, schedule_rule(shipped(name), steps)
        assert (train.steps, train.lr) == (steps, 1e-3)
        ends = [0, *falls, steps]
        for fallen, (first, end) in enumerate(pairwise(ends)):
            assert [schedule.factor(step) for step in (first, end - 1)] == pytest.approx([0.1**fallen] * 2)


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
def test_the_convolutions_that_rest_are_the_papers(name: str, channels: list[int]) -> None:
    settings = shipped(name).model.backbone
    with torch.device("meta"):
        network = registry.cut(settings.name, registry.whole_network(settings.name))
    resting = nn.Sequential(*network.stages[: settings.frozen_stages])
    assert [layer.out_channels for layer in resting.modules() if isinstance(layer, nn.Conv2d)] == channels


@pytest.mark.parametrize("name", PAPERS)
def test_deltas_are_decoded_without_a_limit(name: str) -> None:
    """As in the authors' code: exp of what the network says, then clipped to the picture."""
    model = shipped(name).model
    assert model.postprocess.growth is None
    assert model.given or model.rpn.growth is None


@pytest.mark.parametrize(
    ("name", "photo", "resized"),
    [
        ("rcnn_caffenet", (375, 500), (375, 500)),
        ("rcnn_vgg16", (500, 334), (500, 334)),
        ("rcnn_vgg16", (240, 320), (375, 500)),
        ("fast_rcnn_vgg16", (375, 500), (600, 800)),
        ("faster_rcnn_zf", (250, 500), (500, 1000)),
    ],
)
def test_images_get_the_papers_size(name: str, image: tuple[int, int], resized: tuple[int, int]) -> None:
    assert preprocess_rule(shipped(name)).resized(image) == resized


@pytest.mark.parametrize("name", ["fast_rcnn_caffenet", "fast_rcnn_vgg_cnn_m_1024"])
def test_the_five_scales_at_test_are_those_of_training(name: str) -> None:
    file = FOLDER / f"{name}.yaml"
    (chosen,) = [sets for line in header(file) for sets in overrides(line) if "data.max_size=2000" in sets]
    config = load_config(file, chosen)
    looks = [round(min(preprocess_rule(config).resized((375, 500))) * by) for by in config.model.test_time.scales]
    assert tuple(looks) == config.data.min_sizes == (480, 576, 688, 864, 1200)
