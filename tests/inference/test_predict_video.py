"""``detect predict`` on videos: the detections of the frames as photos, in every format, resumed after a kill."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detect.cli.main import run
from detect.data.video import Frame, VideoFile
from detect.errors import UnreadableImage
from detect.evaluation.predictions import FrameTime, Prediction
from detect.inference import predict_video
from detect.inference.predict_video import annotated_names
from detect.inference.prediction_journal import BatchResult, PredictionJournal
from detect.inference.result_formats import ResultFormat, file_name, write_results
from detect.inference.result_readers import read_json
from detect.inference.result_writers import write_csv, write_json
from tests.conftest import Command
from tests.data.clips import of_two_rates, turned, write_clip
from tests.inference.test_slices import save_model

FORMATS = [part for name in ("json", "csv", "coco", "voc", "yolo", "images") for part in ("--format", name)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_model(tmp_path_factory.mktemp("model"), ["model.postprocess.max_detections=6"])


def make_clip(folder: Path, count: int = 7) -> Path:
    picture = cv2.resize(np.random.default_rng(0).integers(0, 256, (9, 12, 3), np.uint8), (128, 96))
    return write_clip(folder / "clip.mp4", [np.roll(picture, 5 * t, 1) for t in range(count)])


def read_records(folder: Path) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
    return records


def contents(folder: Path) -> dict[Path, bytes]:
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def same(path: Path) -> Path:
    return path


@pytest.mark.parametrize("change", [same, turned, lambda file: of_two_rates(file, 3)])
def test_a_video_has_the_detections_of_its_frames_as_photos(
    change: Callable[[Path], Path], model: Path, tmp_path: Path, detect_command: Command
) -> None:
    clip = change(make_clip(tmp_path))
    (tmp_path / "frames").mkdir()
    frames = list(VideoFile(clip).frames(every=2))
    for frame in frames:
        assert not isinstance(frame.image, UnreadableImage)
        cv2.imwrite(str(tmp_path / "frames" / f"{frame.index}.png"), frame.image[:, :, ::-1])
    flags = ["--score", 0, "--batch-size", 3, "--format", "json", "--out"]
    status, out, err = detect_command("predict", model, clip, "--every", 2, *flags, tmp_path / "video")
    assert (status, err) == (0, "")
    assert "in 4 frames of 1 video" in out
    assert detect_command("predict", model, tmp_path / "frames", *flags, tmp_path / "photos")[0] == 0
    video, photos = read_records(tmp_path / "video"), read_records(tmp_path / "photos")
    assert [record["detections"] for record in video] == [record["detections"] for record in photos]
    assert all(record["detections"] for record in video)
    assert [(record["frame"], record["time"]) for record in video] == [(frame.index, frame.time) for frame in frames]
    assert [record["file"] for record in video] == [f"{clip}#{index:06}" for index in (0, 2, 4, 6)]


@pytest.mark.parametrize("batches_done", [0, 1, 2])
@pytest.mark.parametrize("kind", ["video", "frames"])
def test_killed_and_resumed_gives_the_same_files(
    batches_done: int, kind: str, model: Path, tmp_path: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    source: list[object] = [make_clip(tmp_path)]
    if kind == "frames":
        (tmp_path / "frames").mkdir()
        for i in (1, 2, 9, 10, 11):
            cv2.imwrite(str(tmp_path / "frames" / f"{i}.png"), np.full((90, 120, 3), 20 * i, np.uint8))
        (tmp_path / "frames" / "3.png").write_text("text")
        source = [tmp_path / "frames", "--fps", 5]
    command = ["predict", model, *source, "--score", 0.3, "--batch-size", 2, "--track", *FORMATS, "--out"]
    status = detect_command(*command, tmp_path / "whole")[0]
    assert status == (1 if kind == "frames" else 0)
    add, added = PredictionJournal.add, list[BatchResult]()

    def add_or_die(self: PredictionJournal, result: BatchResult) -> None:
        if len(added) == batches_done:
            raise ZeroDivisionError
        added.append(result)
        add(self, result)

    with monkeypatch.context() as patched:
        patched.setattr(PredictionJournal, "add", add_or_die)
        patched.setattr(sys, "argv", ["detect", *map(str, [*command, tmp_path / "killed"])])
        with pytest.raises(ZeroDivisionError):
            run()
    assert (tmp_path / "killed" / ".finished-0.jsonl").exists()
    assert detect_command(*command, tmp_path / "killed")[0] == status
    whole, killed = (contents(tmp_path / name) for name in ("whole", "killed"))
    assert whole == killed
    assert any(path.suffix == ".mp4" for path in whole)
    if kind == "frames":
        records = read_records(tmp_path / "whole")
        assert [(Path(record["file"]).stem, record["frame"], record["time"]) for record in records] == [
            ("1", 0, 0.0),
            ("2", 1, 0.2),
            ("9", 3, 0.6),
            ("10", 4, 0.8),
            ("11", 5, 1.0),
        ]


def test_every_format_has_frame_time_and_track(model: Path, tmp_path: Path, detect_command: Command) -> None:
    out = tmp_path / "out"
    clip = make_clip(tmp_path)
    status, _, err = detect_command("predict", model, clip, "--score", 0.3, "--track", *FORMATS, "--out", out)
    assert (status, err) == (0, "")
    rows = [
        (record["frame"], record["time"], row["track"]) for record in read_records(out) for row in record["detections"]
    ]
    assert any(track is not None for _, _, track in rows)
    table = list(csv.DictReader((out / "predictions.csv").read_text().splitlines()))
    assert [
        (int(row["frame"]), float(row["time"]), int(row["track"]) if row["track"] else None) for row in table
    ] == rows
    coco = json.loads((out / "coco_results.json").read_text())
    assert [(row["frame"], row["time"], row["track"]) for row in coco] == rows
    images = json.loads((out / "coco_images.json").read_text())["images"]
    assert [(image["frame"], image["time"]) for image in images] == [(i, i / 10) for i in range(7)]
    texts = [(out / "yolo" / f"clip.mp4#{i:06}.txt").read_text().splitlines() for i in range(7)]
    assert [int(line.split()[6]) if len(line.split()) > 6 else None for text in texts for line in text] == [
        track for _, _, track in rows
    ]
    voc = [line.split() for file in (out / "voc").glob("tracks_*.txt") for line in file.read_text().splitlines()]
    assert sorted((name, int(track)) for name, track in voc) == sorted(
        (f"clip.mp4#{index:06}", track or 0) for index, _, track in rows
    )
    frames = list(csv.DictReader((out / "frames.csv").read_text().splitlines()))
    assert [(int(row["frame"]), float(row["time"]), row["width"]) for row in frames] == [
        (i, i / 10, "128") for i in range(7)
    ]
    assert sum(int(row["detections"]) for row in frames) == len(rows)
    annotated = VideoFile(out / "videos" / "clip.mp4")
    assert len(list(annotated.frames())) == 7


@pytest.mark.parametrize("others", [[], ["images"], ["coco"], ["voc", "json"]])
def test_tracks_and_rows_of_a_format_do_not_depend_on_the_others(
    others: list[str], model: Path, tmp_path: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An object that is still scores 0.2 in one frame, 0.09 in the next, too little for a track, then 0.9 again."""
    frame_scores = [[], [0.9, 0.06], [0.9], [0.2], [0.09], [0.9], [0.9]]

    def detect(_: object, source: VideoFile, frames: list[Frame]) -> list[Prediction]:
        scores = {frame.index: np.array(frame_scores[frame.index]) for frame in frames}
        boxes = np.array([[10.0, 10, 50, 50], [60, 60, 90, 90]])
        return [
            Prediction(
                source.file_of(frame.index),
                *(128, 96, boxes[: len(scores[frame.index])], scores[frame.index]),
                labels=np.ones(len(scores[frame.index]), np.int64),
                frame=FrameTime(frame.index, frame.time),
            )
            for frame in frames
        ]

    monkeypatch.setattr(predict_video, "_detect", detect)
    formats = [part for name in ("csv", *others) for part in ("--format", name)]
    arguments = ("--track", *formats, "--out", tmp_path / "out")
    status, out, err = detect_command("predict", model, make_clip(tmp_path), *arguments)
    assert (status, err) == (0, "")
    rows = list(csv.DictReader((tmp_path / "out/predictions.csv").read_text().splitlines()))
    expected = [(1, "0.9"), (2, "0.9"), (3, "0.2"), (5, "0.9"), (6, "0.9")]
    assert [(int(row["frame"]), row["score"]) for row in rows] == expected
    assert {row["track"] for row in rows} == {"1"}
    frames = list(csv.DictReader((tmp_path / "out/frames.csv").read_text().splitlines()))
    assert [int(row["detections"]) for row in frames] == [0, 1, 1, 1, 0, 1, 1]
    for_scoring = bool({"coco", "voc"} & set(others))
    assert f"4 detections that score 0.5 or more and {3 if for_scoring else 1} below in 7 frames" in out
    assert ("lowest score: 0.05 in " in out) is for_scoring


@pytest.mark.parametrize(
    ("names", "annotated"),
    [
        ([], []),
        (["a.avi"], ["a.avi.mp4"]),
        (["a.mp4", "b/a.mp4"], ["a.mp4", "b/a.mp4"]),
        (["a.avi", "a.avi.mp4"], ["a.avi.mp4", "a.avi.mp4.mp4"]),
        (["a.mp4.mp4", "a.mp4", "a", "b.mp4"], ["a.mp4.mp4.mp4", "a.mp4.mp4", "a.mp4", "b.mp4"]),
    ],
)
def test_annotated_videos_have_different_names(names: list[str], annotated: list[str]) -> None:
    assert annotated_names(names) == annotated


def test_a_video_beside_its_annotated_one_has_a_file_of_its_own(
    model: Path, tmp_path: Path, detect_command: Command
) -> None:
    frames = [np.full((48, 64, 3), 40 * t, np.uint8) for t in range(3)]
    videos = [write_clip(tmp_path / "clip.avi", frames), write_clip(tmp_path / "clip.avi.mp4", frames[:2])]
    assert detect_command("predict", model, *videos, "--out", tmp_path / "out")[0] == 0
    counts = {path.name: len(list(VideoFile(path).frames())) for path in (tmp_path / "out" / "videos").iterdir()}
    assert counts == {"clip.avi.mp4": 3, "clip.avi.mp4.mp4": 2}


def test_predictions_of_frames_are_written_and_read_back(tmp_path: Path) -> None:
    boxes, scores, labels = np.array([[0.0, 0, 5, 5], [1, 1, 4, 4]]), np.array([0.5, 0.9]), np.array([1, 2])
    tracked = Prediction("a.mp4#000003", 9, 8, boxes, scores, labels, None, FrameTime(3, 0.1), np.array([0, 7]))
    none = Prediction("a.mp4#000004", 9, 8, boxes[:0], scores[:0], labels[:0], None, FrameTime(4, 0.2))
    write_json(tmp_path / "p.json", [tracked, none], ("a", "b"))
    first, second = read_json(tmp_path / "p.json", ("a", "b"))
    assert (first.frame, second.frame) == (FrameTime(3, 0.1), FrameTime(4, 0.2))
    assert first.tracks is not None
    assert (first.scores.tolist(), first.tracks.tolist()) == ([0.9, 0.5], [7, 0])
    assert tracked.select(np.array([False, True])).tracks == np.array([7])
    write_csv(tmp_path / "p.csv", [none], ("a", "b"))
    assert (tmp_path / "p.csv").read_text() == "file,label,score,x1,y1,x2,y2,frame,time\n"
    write_results(
        tmp_path / "photos", {"csv": 0.0}, [Prediction("a.jpg", 9, 8, boxes, scores, labels)], ("a", "b"), None
    )
    assert [file.name for file in (tmp_path / "photos").iterdir()] == ["predictions.csv"]
    assert (tmp_path / "photos" / "predictions.csv").read_text().startswith("file,label,score,x1,y1,x2,y2\n")


def test_broken_videos_are_lines_and_the_others_are_done(model: Path, tmp_path: Path, detect_command: Command) -> None:
    (tmp_path / "empty.mp4").touch()
    cut = tmp_path / "cut.avi"
    write_clip(cut, [np.random.default_rng(i).integers(0, 255, (96, 128, 3), np.uint8) for i in range(6)])
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    flags = ["--format", "json", "--out", tmp_path / "out"]
    status, _, err = detect_command("predict", model, tmp_path / "empty.mp4", cut, make_clip(tmp_path, 2), *flags)
    assert status == 1
    first, second = err.splitlines()
    assert first == f"{tmp_path}/empty.mp4: expected a video, found a file that cannot be opened as one"
    assert second.startswith(f"{cut}: expected 6 frames, found ")
    names = [Path(record["file"]).name for record in read_records(tmp_path / "out")]
    assert names[-2:] == ["clip.mp4#000000", "clip.mp4#000001"]
    assert 1 < sum(name.startswith("cut.avi") for name in names) < 6


@pytest.mark.parametrize(
    ("others", "notes"), [([], []), (["a.txt", "b.txt", "clip.mp4"], ["passed over: 2 .txt, 1 .mp4 (a video"])]
)
def test_files_that_are_passed_over_among_frames_are_counted(
    others: list[str], notes: list[str], model: Path, tmp_path: Path, detect_command: Command
) -> None:
    (tmp_path / "frames").mkdir()
    cv2.imwrite(str(tmp_path / "frames/1.png"), np.full((40, 40, 3), 90, np.uint8))
    for name in others:
        (tmp_path / "frames" / name).touch()
    status, out, err = detect_command("predict", model, tmp_path / "frames", "--fps", 5, "--out", tmp_path / "out")
    assert (status, err) == (0, "")
    found = [line for line in out.splitlines() if line.startswith("passed over")]
    assert len(found) == len(notes)
    assert all(line.startswith(note) for line, note in zip(found, notes, strict=True))


@pytest.mark.parametrize("track", [[], ["--track"]])
@pytest.mark.parametrize("name", ["json", "yolo-labels", "label-studio", "cvat"])
def test_formats_without_a_field_for_tracks_are_written_and_said(
    name: ResultFormat, track: list[str], model: Path, tmp_path: Path, detect_command: Command
) -> None:
    cv2.imwrite(str(tmp_path / "1.png"), np.full((40, 40, 3), 90, np.uint8))
    arguments = ("--fps", 5, *track, "--format", "csv", "--format", name, "--out", tmp_path / "out")
    status, out, err = detect_command("predict", model, tmp_path / "1.png", *arguments)
    assert (status, err) == (0, "")
    lines = [f"{name} has no field for tracks: not written"] if track and name != "json" else []
    assert [line for line in out.splitlines() if "tracks:" in line] == lines
    assert (tmp_path / "out" / file_name(name)).exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["CLIP", "PHOTO"], "photo.png: expected videos or images, found this beside the video"),
        (["PHOTO", "--track"], "--track: expected a video together with it, or --fps"),
        (["PHOTO", "--every", "2"], "--every: expected a video together with it, or --fps"),
        (["CLIP", "--fps", "5"], "--fps: expected images together with it, found a video"),
        (["CLIP", "--annotations", "a.json"], "--annotations: expected images together with it, found a video"),
        (["CLIP", "--format", "cvat"], "--format cvat: expected one of json, csv, coco, voc, yolo, images for a video"),
        (
            ["CLIP", "--format", "yolo-labels"],
            "which refers to image files: save the frames in a folder, and name it with",
        ),
        (["EMPTY"], "empty.mp4: expected a video, found a file that cannot be opened as one"),
    ],
)
def test_wrong_arguments_are_one_line(
    arguments: list[str], message: str, model: Path, tmp_path: Path, detect_command: Command
) -> None:
    (tmp_path / "empty.mp4").touch()
    cv2.imwrite(str(tmp_path / "photo.png"), np.zeros((40, 40, 3), np.uint8))
    names = {"CLIP": str(make_clip(tmp_path, 1)), "PHOTO": f"{tmp_path}/photo.png", "EMPTY": f"{tmp_path}/empty.mp4"}
    status, out, err = detect_command("predict", model, *(names.get(a, a) for a in arguments), "--out", tmp_path / "o")
    assert (out, err.count("\n")) == ("", 1)
    assert message in err
    assert status == (1 if "EMPTY" in arguments else 2)
