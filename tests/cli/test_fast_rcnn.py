from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from detect.checkpoints.checkpoint import load_checkpoint
from detect.config import Config
from detect.config.builders.data import read_image_files
from detect.config.files import load_config
from detect.data.images import image_size
from tests.conftest import TINY, Command


@pytest.fixture(scope="module")
def config_file(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "fast.yaml"
    settings: dict[str, Any] = copy.deepcopy(TINY)
    settings["model"]["kind"] = "fast_rcnn"
    settings["data"]["root"] = str(shapes_root)
    file.write_text(yaml.safe_dump(settings))
    return file


@pytest.fixture(scope="module")
def images(config_file: Path) -> list[Path]:
    config: Config = load_config(config_file)
    return read_image_files(config, ["train", "val"])[0]


@pytest.fixture(scope="module")
def proposals(images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a proposal file with random boxes of each image; the first image has none."""
    rng = np.random.default_rng(0)
    entries = []
    for index, image in enumerate(images):
        height, width = image_size(image)
        corners = np.sort(rng.uniform(0, 1, (20 if index else 0, 2, 2)), axis=1) * [width, height]
        entries.append({"file": str(image), "boxes": corners.reshape(-1, 4).tolist()})
    file = tmp_path_factory.mktemp("proposals") / "random.json"
    file.write_text(json.dumps(entries))
    return file


@pytest.fixture(scope="module")
def trained(config_file: Path, proposals: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import detect

    out = tmp_path_factory.mktemp("trained") / "run"
    detect.train(load_config(config_file, ["train.steps=2", f"model.proposals={proposals}"]), out)
    return out


def test_train_with_a_proposal_file(trained: Path) -> None:
    names = (trained / "metrics.csv").read_text().splitlines()[0].split(",")
    assert "region_class" in names
    assert not any(name.startswith("rpn") for name in names)
    assert not any(name.startswith("proposer") for name in load_checkpoint(trained / "last.pt").weights)
    assert not (trained / "proposals.npz").exists()


def test_predict_with_a_proposal_file(
    trained: Path, images: list[Path], proposals: Path, tmp_path: Path, detect_command: Command
) -> None:
    flags = ("--proposals", proposals, "--out", tmp_path, "--score", 0, "--format", "json")
    status, _, err = detect_command("predict", trained, *images[:3], *flags)
    assert (status, err) == (0, "")
    records = json.loads((tmp_path / "predictions.json").read_text())
    assert [bool(image["detections"]) for image in records] == [False, True, True]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "expected proposals of images such as"),
        ('[{"file": "elsewhere.jpg", "boxes": []}]', "expected proposals of images such as"),
        ("{one_image}", "found none for 15 of them"),
    ],
    ids=["empty", "of other images", "of one image only"],
)
def test_train_refuses_a_proposal_file_without_the_images(
    content: str, message: str, config_file: Path, images: list[Path], tmp_path: Path, detect_command: Command
) -> None:
    file = tmp_path / "few.json"
    file.write_text(content.replace("{one_image}", json.dumps([{"file": str(images[9]), "boxes": []}])))
    overrides = ("--set", f"model.proposals={file}", "--out", tmp_path / "run")
    status, _, err = detect_command("train", "--config", config_file, *overrides)
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1


def test_predict_refuses_a_proposal_file_for_an_rpn_detector(
    images: list[Path], proposals: Path, shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    file = tmp_path / "faster.yaml"
    file.write_text(yaml.safe_dump(TINY))
    data = ("--set", f"data.root={shapes_root}", "--set", "train.steps=1")
    assert detect_command("train", "--config", file, *data, "--out", tmp_path / "run")[0] == 0
    flags = ("--proposals", proposals, "--out", tmp_path / "out")
    status, _, err = detect_command("predict", tmp_path / "run", images[0], *flags)
    assert status == 2
    assert "expected a detector with precomputed proposals" in err


@pytest.mark.slow
def test_predict_searches_proposals_as_training_did(
    config_file: Path, images: list[Path], tmp_path: Path, detect_command: Command
) -> None:
    run = tmp_path / "run"
    status, out, err = detect_command("train", "--config", config_file, "--set", "train.steps=2", "--out", run)
    assert (status, err) == (0, "")
    assert "selective search:" in out
    assert (run / "proposals.npz").is_file()
    assert detect_command("eval", run, "--json", tmp_path / "score.json")[0] == 0
    out_searched, out_from_file = tmp_path / "searched", tmp_path / "read"
    flags = ("--score", 0, "--format", "json")
    assert detect_command("predict", run, *images[:2], *flags, "--out", out_searched)[0] == 0
    file = ("--proposals", run / "proposals.npz")
    assert detect_command("predict", run, *images[:2], *flags, *file, "--out", out_from_file)[0] == 0
    assert (out_searched / "predictions.json").read_bytes() == (out_from_file / "predictions.json").read_bytes()
