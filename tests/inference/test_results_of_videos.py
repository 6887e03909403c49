"""Frames, times and tracks in files of results: read, converted, and left out where a format has no field for them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detect.evaluation.predictions import FrameTime, Prediction
from detect.inference.result_files import read_results
from detect.inference.result_formats import RESULT_FORMATS, write_format
from tests.conftest import Command
from tests.inference.test_result_files import CLASSES, predictions


def frames(tracked: bool) -> list[Prediction]:
    """Two frames of a video: the first has two detections, the lower one in a track, the second has none."""
    names = [Path(f"clip.mp4#{index:06}") for index in (0, 5)]
    first, second = (
        replace(prediction, frame=FrameTime(index, index / 10))
        for prediction, index in zip(predictions(names), (0, 5), strict=True)
    )
    return [replace(first, tracks=np.array([0, 7])) if tracked else first, second]


@pytest.mark.parametrize("tracked", [False, True])
def test_frames_and_tracks_go_from_json_to_coco_and_back(tracked, tmp_path, detect_command: Command):
    first, coco, second = (tmp_path / name for name in ("first.json", "dt.json", "second.json"))
    write_format(first, "json", frames(tracked), CLASSES, None)
    assert detect_command("results", "convert", first, coco, "--to", "coco")[0] == 0
    assert detect_command("results", "convert", coco, second, "--to", "json")[0] == 0
    records = [[{**image, "detections": []} for image in json.loads(file.read_text())] for file in (first, second)]
    assert records[0] == records[1]
    assert [(image["frame"], image["time"]) for image in records[1]] == [(0, 0.0), (5, 0.5)]
    tracks = [row.get("track", "no key") for row in json.loads(second.read_text())[0]["detections"]]
    assert tracks == ([None, 7] if tracked else ["no key"] * 2)


@pytest.mark.parametrize(
    ("keys", "frame"),
    [
        ({}, None),
        ({"frame": 3}, None),
        ({"frame": 3, "time": 0.25}, FrameTime(3, 0.25)),
        ({"frame": 0, "time": 0}, FrameTime(0, 0.0)),
        ({"frame": 3, "time": "12:00"}, None),
        ({"frame": 3, "time": None}, None),
        ({"frame": 3, "time": True}, None),
        ({"frame": "f3", "time": 0.25}, None),
        ({"frame": -1, "time": 0.25}, None),
    ],
)
def test_a_listed_image_is_a_frame_where_its_keys_are_numbers(keys, frame, tmp_path):
    write_format(tmp_path / "coco_results.json", "coco", predictions([Path("a.jpg")]), CLASSES, None)
    listing = json.loads((tmp_path / "coco_images.json").read_text())
    (tmp_path / "coco_images.json").unlink()
    listing["images"][0] |= keys
    (tmp_path / "gt.json").write_text(json.dumps(listing))
    (found,) = read_results(tmp_path / "coco_results.json", annotations=tmp_path / "gt.json").predictions
    assert (found.frame, len(found)) == (frame, 2)


@pytest.mark.parametrize(
    ("tracked", "scores", "counts"),
    [
        (False, [0.9], "1 detection (1 below 0.5 left out) in 2 images"),
        (True, [0.9, 0.1 + 0.2], "2 detections in 2 images"),
    ],
)
def test_convert_keeps_low_scores_that_continue_a_track(tracked, scores, counts, tmp_path, detect_command: Command):
    write_format(tmp_path / "p.json", "json", frames(tracked), CLASSES, None)
    target = tmp_path / "chosen.json"
    _, out, _ = detect_command("results", "convert", tmp_path / "p.json", target, "--to", "json", "--score", 0.5)
    assert [row["score"] for row in json.loads(target.read_text())[0]["detections"]] == scores
    assert out.startswith(f"{target}: {counts}")


@pytest.mark.parametrize("name", RESULT_FORMATS)
def test_convert_says_which_formats_lose_tracks(name, tmp_path, detect_command: Command):
    write_format(tmp_path / "p.json", "json", frames(tracked=True), CLASSES, None)
    status, out, _ = detect_command("results", "convert", tmp_path / "p.json", tmp_path / "out", "--to", name)
    line = f"{name} has no field for tracks: not written"
    assert (status, line in out.splitlines()) == (0, name in ("yolo-labels", "label-studio", "cvat"))
