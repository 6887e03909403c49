"""Images that cannot be read, or are of another size than labelled, in recipes of several stages."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from detect.config import Config
from detect.config.builders.data import training_data
from detect.config.builders.detector import build_detector
from detect.config.files import parse_config
from detect.data.annotations import Annotations
from detect.system.device import select_device
from detect.training.context import RunContext
from detect.training.recipes.finish import finish
from detect.training.run import train
from detect.training.run_folder import RunFolder
from tests.training.fixtures_training import QUIET, settings_of


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


@pytest.mark.parametrize(("num_other", "expected"), [(0, []), (1, ["1 image"]), (2, ["2 images"])])
def test_images_to_validate_of_another_size_are_counted_at_the_end(
    num_other: int, expected: list[str], shapes_root: Path, tmp_path: Path
) -> None:
    config = settings_of(shapes_root)
    splits = training_data(config)
    images = [splits[1][index] for index in range(len(splits[1]))]
    other = [replace(image, size=(image.size[0], image.size[1] + 8)) for image in images[:num_other]]
    val = Annotations.from_images([*other, *images[num_other:]], splits[1].classes)
    context = RunContext(
        config=config,
        folder=RunFolder.create(tmp_path / "run", config, []),
        train=splits[0],
        val=val,
        proposals=None,
        compute=select_device("cpu", "fp32"),
        console=QUIET,
    )
    detector, _ = build_detector(config, splits[0].classes)
    finish(context, detector.state_dict(), step=1, unreadable=())
    lines = context.folder.log_file.read_text().splitlines()
    counts = [line.partition(" to validate of another size than labelled, the first ") for line in lines]
    assert [count for count, found, _ in counts if found] == expected
