"""``detect predict --from`` and ``--verify``, with the detector that ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.cli import predict_shards
from detect.inference.shards.job import Job
from detect.inference.shards.read_parts import read_parts
from detect.inference.shards.run_shard import ShardSummary
from detect.inference.shards.schedule import TooManyFailures
from tests.conftest import Command
from tests.inference.shards.stub_model import FAST, LoadStub, run_stub

pytest.importorskip("pyarrow", reason="the extra scale is not installed")

PHOTOS = Path(__file__).resolve().parents[2] / "data/photos"
MODEL = "detect/voc_faster_rcnn"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for photo in PHOTOS.glob("*.jpg"):
        (folder / photo.name).write_bytes(photo.read_bytes())
    (folder / "bad.jpg").write_bytes(b"nothing")
    return folder


def test_shards_give_what_the_folder_form_gives(tmp_path: Path, photos: Path, detect_command: Command) -> None:
    common = (MODEL, "--precision", "fp32", "--score", "0.05", "--out")
    code, _, _ = detect_command("predict", *common, tmp_path / "plain", photos, "--format", "json", "--workers", "0")
    assert code == 1  # bad.jpg
    out = tmp_path / "parts"
    for share in ("0/2", "1/2"):
        code, text, err = detect_command("predict", *common, out, "--from", photos, "--shard-size", 2, "--shard", share)
        assert (code, err) == (0, "")
    assert "no shard is left" in text
    assert "the model drops" not in text
    parts = read_parts(out)
    by_file = {prediction.file: prediction for prediction in parts.predictions}
    records = json.loads((tmp_path / "plain/predictions.json").read_text())
    assert by_file.keys() == {record["file"] for record in records}
    assert parts.unreadable == (str(photos / "bad.jpg"),)
    for record in records:
        prediction, detections = by_file[record["file"]], record["detections"]
        assert (prediction.width, prediction.height) == (record["width"], record["height"])
        assert [parts.classes[label - 1] for label in prediction.labels] == [d["label"] for d in detections]
        np.testing.assert_array_equal(prediction.scores, [d["score"] for d in detections])
        np.testing.assert_array_equal(
            prediction.boxes, np.array([d["box"] for d in detections], np.float32).reshape(-1, 4)
        )
    code, text, err = detect_command("predict", "--verify", out)
    assert (code, err) == (0, "")
    assert f"{len(records)} photos with" in text
    assert "1 photo with an error" in text
    code, text, _ = detect_command("results", "convert", out, tmp_path / "a.json", "--to", "json", "--score", "0.05")
    assert code == 0
    assert "1 photos that could not be read are left out" in text
    converted = {record["file"]: record for record in json.loads((tmp_path / "a.json").read_text())}
    assert [d["score"] for r in records for d in converted[r["file"]]["detections"]] == [
        d["score"] for r in records for d in r["detections"]
    ]
    part = min(out.glob("part-*"))
    part.write_bytes(part.read_bytes()[:-9])
    code, _, err = detect_command("predict", "--verify", out)
    assert code == 1
    assert f"{part}: damaged" in err
    code, _, err = detect_command("predict", *common, out, "--from", photos, "--shard-size", 2, "--score", "0.1")
    assert code == 1
    assert "expected parts of this model, these settings, this version and this list" in err


def test_a_score_that_the_model_drops_is_said(tmp_path: Path, photos: Path, detect_command: Command) -> None:
    small = ("--set", "data.min_size=96", "--set", "data.max_size=128", "--precision", "fp32")
    arguments = ("predict", MODEL, "--out", tmp_path / "out", "--from", photos, "--score", 0.001, *small)
    code, text, err = detect_command(*arguments)
    assert (code, err) == (0, "")
    line = "score 0.001: the model drops detections that score less than 0.01 (model.postprocess.score_threshold)"
    assert f"\n{line}: --set model.postprocess.score_threshold=0.001 keeps them\n" in text


def test_ten_failures_in_a_row_are_told_after_the_totals(
    tmp_path: Path, photos: Path, detect_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [f"shard {number}: full disk" for number in range(10)]

    def run(*arguments: Any) -> list[str]:
        report = arguments[-1]
        report(ShardSummary(0, 3, 1, 2, 1.0, "a.tar: cut short after 2 photos", {".json": 4}))
        raise TooManyFailures(lines)

    monkeypatch.setattr(predict_shards, "_run", run)
    code, text, err = detect_command("predict", MODEL, "--from", photos, "--out", tmp_path / "out")
    assert code == 1
    assert "2 detections with a score of 0.05 or more in 3 photos of 1 shard" in text
    assert "1 tar files are cut short: the rest of their photos is lost, number unknown" in text
    assert "passed over in tar files: 4 .json" in text
    expected = [
        "a.tar: cut short after 2 photos",
        *lines,
        f"10 shards failed one after the other, the last was {lines[-1]}",
    ]
    positions = [err.index(line) for line in expected]
    assert positions == sorted(positions)


def test_verify_counts_tar_files_that_are_cut_short(tmp_path: Path, detect_command: Command) -> None:
    (tmp_path / "a.tar").write_bytes(b"x" * 512)
    assert run_stub(f"{tmp_path}/a.tar", Job(LoadStub(), str(tmp_path / "out"), FAST, 2)) == []
    code, text, _ = detect_command("predict", "--verify", tmp_path / "out")
    assert code == 0
    assert "1 shard: 0 without a part, 0 parts at fault" in text
    assert "1 tar files are cut short: the rest of their photos is lost, number unknown" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("{m}", "--from", "{p}"), "Missing option '--out'"),
        (("--from", "{p}", "--out", "{p}"), "Missing argument 'MODEL'"),
        (("{m}", "--out", "{p}"), "Missing argument 'PATH...'"),
        (("{m}", "{p}", "--out", "{p}", "--shard", "0/2"), "--shard: expected without PATH, found together with it"),
        (("{m}", "{p}", "--out", "{p}", "--from", "{p}"), "expected without --from, found together with it"),
        (("{m}", "--from", "{p}", "--out", "{p}", "--track"), "--track: expected without --from"),
        (("{m}", "--verify", "{p}"), "MODEL: expected without --verify"),
        (("--verify", "{p}"), "expected the results of --from, found no _manifest in it"),
        (("{m}", "--from", "{p}/x.txt", "--out", "{p}/out"), "x.txt: expected a list of photos, found nothing"),
        (("{m}", "--from", "{p}", "--out", "{p}/out", "--runner", "rays"), '(did you mean "ray"?)'),
    ],
)
def test_mistakes(photos: Path, detect_command: Command, arguments: tuple[str, ...], message: str) -> None:
    given = [argument.replace("{m}", MODEL).replace("{p}", str(photos)) for argument in arguments]
    code, _, err = detect_command("predict", *given)
    assert code == 2
    assert message in err
    assert not (photos / "out").exists()
