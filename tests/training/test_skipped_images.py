"""Images that cannot be read, where nothing would ask for them after the proposals."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from detect.config import Config
from detect.config.builders.data import training_data
from detect.config.files import parse_config
from detect.training.run import train
from tests.training.fixtures_training import QUIET


@pytest.mark.slow
@pytest.mark.parametrize("source", ["selective_search", "file"])
def test_image_without_proposals_is_logged_once(source: str, rcnn: Config, tmp_path: Path) -> None:
    """Of regions drawn over all images it has none, so that nothing would ever ask for it."""
    data = Path(training_data(rcnn)[0].file(0)).parents[1]
    shutil.copytree(data, tmp_path / "data")
    image = tmp_path / "data" / "train" / "00005.jpg"
    settings = rcnn.model_dump(mode="json")
    sources = {
        split: [{"root": str(tmp_path / "data"), "annotations": f"{split}.json", "images": split}]
        for split in ("train", "val")
    }
    settings["data"] |= {"format": "coco", **sources}
    settings["model"]["proposals"] = "selective_search"
    image.write_bytes(b"no picture")
    if source == "file":
        files = [path for path in sorted((tmp_path / "data").rglob("*.jpg")) if path != image]
        entries = [{"file": str(path), "boxes": [[2, 2, 40, 40], [10, 10, 70, 60]]} for path in files]
        (tmp_path / "p.json").write_text(json.dumps(entries))
        settings["model"]["proposals"] = str(tmp_path / "p.json")
    outcome = train(parse_config(settings, "test"), tmp_path / "run", QUIET)
    (line,) = outcome.unreadable
    assert "00005.jpg" in line
    assert (tmp_path / "run" / "log.txt").read_text().count(f"skipped image: {line}") == 1
