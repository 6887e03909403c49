from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from rich.console import Console

from detect.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from detect.config.describe import DescribeConfig
from detect.config.describe_files import parse_describe_config
from detect.describe import region_features
from detect.describe.describer import load_describer
from detect.describe.model import load_describe_model
from detect.describe.recipe import resume_describe, train_describe
from detect.describe.region_extractor import RegionExtractor
from detect.errors import UserError
from detect.training.loop import Interrupted
from tests.conftest import Command
from tests.describe.synthetic import SETTINGS

QUIET = Console(quiet=True)


@pytest.fixture
def config(tiny_detector: Path, shapes_root: Path) -> DescribeConfig:
    """Short settings on twelve shapes, of which about eight have sentences."""
    data = {"root": str(shapes_root), "seed": 3, "train_images": 12, "val_images": 4}
    alignment = SETTINGS["alignment"] | {"batch_size": 3}  # type: ignore[operator]
    settings = SETTINGS | {"detector": str(tiny_detector), "data": data, "alignment": alignment}
    return parse_describe_config(settings | {"features": {"score": 0.01, "regions": 3, "geometry": True}}, "test")


@pytest.mark.slow
def test_a_run_killed_among_the_features_resumes_to_the_same_bits(
    config: DescribeConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detect_command: Command
) -> None:
    monkeypatch.setattr(region_features, "PHOTOS_PER_FILE", 2)
    whole = train_describe(config, tmp_path / "whole", QUIET)
    extract, count = RegionExtractor.extract, 0

    def extract_or_die(self: RegionExtractor, *arguments: object) -> object:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return extract(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patched:
        patched.setattr(RegionExtractor, "extract", extract_or_die)
        with pytest.raises(
            Interrupted, match=rf"interrupted; resume with: detect describe train --resume {tmp_path}/run"
        ):
            train_describe(config, tmp_path / "run", QUIET)
    assert len(list((tmp_path / "run" / "features").iterdir())) == 1
    assert detect_command("describe", "train", "--resume", tmp_path / "run")[0] == 0
    resumed = load_describe_model(tmp_path / "run")
    assert (resumed.config, resumed.vocabulary, resumed.length) == (config, whole.vocabulary, 16 + 5)
    for name, network in resumed.networks.items():
        expected = whole.networks[name].state_dict()
        assert all(torch.equal(weight, expected[key]) for key, weight in network.state_dict().items())
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    assert re.search(r"12 of 12 photos with sentences, \d+ regions with the whole photos, 26 words", log)


def test_a_run_resumes_on_its_own_data_alone(config: DescribeConfig, tmp_path: Path) -> None:
    train_describe(config, tmp_path / "run", QUIET)
    text = (tmp_path / "run" / "config.yaml").read_text(encoding="utf-8")
    (tmp_path / "run" / "config.yaml").write_text(text.replace("  seed: 3\n", "  seed: 4\n"), encoding="utf-8")
    with pytest.raises(UserError, match=r"run: expected the \d+ photos of data.train that the run began with, found"):
        resume_describe(tmp_path / "run", QUIET)


def change_weights(detector: Path) -> None:
    checkpoint = load_checkpoint(detector)
    weights = {name: weight + 1 if "bias" in name else weight for name, weight in checkpoint.weights.items()}
    save_checkpoint(replace(checkpoint, weights=weights), detector)


@pytest.mark.slow
def test_a_run_resumes_with_its_own_detector_and_vectors_alone(
    config: DescribeConfig, tmp_path: Path, detect_command: Command
) -> None:
    detector, vectors, run = tmp_path / "tiny.pt", tmp_path / "vectors.txt", tmp_path / "run"
    shutil.copy(config.detector, detector)
    vectors.write_text("disc 0 1\na 0 1\n", encoding="utf-8")
    words = config.words.model_copy(update={"vectors": str(vectors)})
    train_describe(config.model_copy(update={"detector": str(detector), "words": words}), run, QUIET)
    resume_describe(run, QUIET)
    assert load_describer(run).notes == ()

    vectors.write_text("disc 1 0\na 0 1\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"run began with, found another words\.vectors {vectors}; restore it, or "):
        resume_describe(run, QUIET)
    assert load_describer(run).notes == ()
    change_weights(detector)
    with pytest.raises(UserError, match=rf"found another detector {detector}, another words\.vectors {vectors}; "):
        resume_describe(run, QUIET)
    (note,) = load_describer(run).notes
    assert re.match(rf"{run}: trained with another detector {detector} than this one", note)
    assert note in detect_command("describe", "eval", run, "--no-text")[1].splitlines()

    facts = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    del facts["data"]["files"]  # as a version wrote it that did not record them
    (run / "environment.json").write_text(json.dumps(facts), encoding="utf-8")
    assert resume_describe(run, QUIET).files == {}
    assert load_describer(run).notes == ()


def test_a_folder_with_files_is_never_trained_into(config: DescribeConfig, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").touch()
    with pytest.raises(UserError, match="expected a new or empty folder for --out, found files"):
        train_describe(config, tmp_path, QUIET)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected one of --config FILE and --resume RUN_DIR, found none"),
        (("--config", "describe_shapes", "--resume", "x"), "found both"),
        (("--resume", "x", "--set", "seed=1"), "--resume: expected no other option together with it"),
        (("--resume", "{tmp}"), "expected a run folder with config.yaml, found none"),
        (("--config", "describe_shape"), '(did you mean "describe_shapes"?)'),
        (("--config", "faster_rcnn"), "expected settings of detect describe train, found those of a detector"),
        (("--config", "describe_shapes", "--set", "data.root={tmp}", "--set", "detector=nowhere"), "nowhere: expected"),
    ],
)
def test_wrong_usage_is_one_line_and_exits_with_2(
    arguments: tuple[str, ...], message: str, tmp_path: Path, detect_command: Command
) -> None:
    words = [argument.format(tmp=tmp_path) for argument in arguments]
    out = () if "--resume" in words else ("--out", tmp_path / "out")
    status, _, err = detect_command("describe", "train", *words, *out)
    assert status == 2
    assert message in err
    assert len(err.splitlines()) == 1
    assert not (tmp_path / "out").exists()
