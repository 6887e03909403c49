from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

import detect
from detect.evaluation.rules import PROFILES
from tests.conftest import TINY, Command


@pytest.fixture(scope="module")
def trained(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from detect.config.files import load_config

    folder = tmp_path_factory.mktemp("compare")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    overrides = [f"data.root={shapes_root}", "train.steps=2"]
    detect.train(load_config(folder / "tiny.yaml", overrides), folder / "run")
    return folder / "run"


@pytest.mark.parametrize("compare", [False, True])
def test_eval_prints_profiles_only_with_compare(
    compare: bool, trained: Path, tmp_path: Path, detect_command: Command
) -> None:
    flags = ["--compare"] if compare else []
    file = tmp_path / "score.json"
    status, out, err = detect_command("eval", trained, "--metric", "voc12", "--json", file, *flags)
    assert (status, err) == (0, "")
    assert ("voc07 -> coco-ap50" in out) == compare
    score = json.loads(file.read_text(encoding="utf-8"))
    assert list(score)[:5] == ["metric", "mAP", "per_class", "images", "seconds"]
    assert list(score.get("profiles", {})) == (list(PROFILES) if compare else [])
    if compare:
        assert score["profiles"]["voc12"]["per_class"] == score["per_class"]
