from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detect.evaluation.coco import METRIC_NAMES
from detect.evaluation.predictions import Prediction
from detect.inference.result_formats import write_format
from detect.inference.result_readers import read_json
from detect.inference.result_writers import write_comp4, write_json

ROOT = Path(__file__).resolve().parents[2]
CORNERS = "<xmin>11</xmin><ymin>21</ymin><xmax>60</xmax><ymax>80</ymax>"
OBJECT = f"<object><name>cat</name><difficult>0</difficult><bndbox>{CORNERS}</bndbox></object>"

Output = tuple[int, str, str]  # exit status, stdout, stderr
Call = Callable[..., Output]


def run(tool: str, *arguments: str | Path) -> Output:
    """Run a tool in another process; this takes seconds if the tool imports torch."""
    command = [sys.executable, ROOT / "tools" / tool, *arguments]
    process = subprocess.run(command, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)})
    return process.returncode, process.stdout, process.stderr


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs a tool in this process."""

    def call(tool: str, *arguments: str | Path) -> Output:
        monkeypatch.setattr(sys, "argv", [tool, *map(str, arguments)])
        status: Any = 0
        try:
            runpy.run_path(str(ROOT / "tools" / tool), run_name="__main__")
        except SystemExit as stop:
            status = stop.code
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def voc(tmp_path: Path) -> Path:
    """Two images with a cat in each, both in the list ``val``; detections in the first, one of an unknown class."""
    for folder in ("Annotations", "ImageSets/Main", "JPEGImages"):
        (tmp_path / "voc" / folder).mkdir(parents=True)
    (tmp_path / "voc/ImageSets/Main/val.txt").write_text("000001\n000002\n")
    for name in ("000001", "000002"):
        size = "<size><width>200</width><height>100</height></size>"
        xml = f"<annotation>{size}{OBJECT}</annotation>"
        (tmp_path / f"voc/Annotations/{name}.xml").write_text(xml)
        (tmp_path / f"voc/JPEGImages/{name}.jpg").touch()
    box = np.array([[10.0, 20.0, 60.0, 80.0], [0.0, 0.0, 5.0, 5.0]])
    predictions = [Prediction("elsewhere/000001.jpg", 200, 100, box, np.array([0.9, 0.8]), np.array([1, 2]))]
    write_json(tmp_path / "predictions.json", predictions, ["cat", "dgo"])
    write_comp4(tmp_path / "comp4", predictions, ["cat", "dgo"])
    return tmp_path


def test_eval_voc_scores_both_formats_equally(voc, call):
    scores = []
    for results in ("predictions.json", "comp4"):
        common = ("--root", voc / "voc", "--split", "val", "--results", voc / results)
        status, out, err = call("eval_voc.py", *common, "--metric", "voc12", "--json", voc / "out/score.json")
        assert (status, err) == (0, "eval_voc: no ground truth of dgo\n")
        assert "50.0" in out
        scores.append(json.loads((voc / "out/score.json").read_text()))
    assert 0 <= scores[0].pop("seconds") < 60
    assert scores[0] == {"metric": "voc12", "mAP": 0.5, "per_class": {"cat": 0.5, "dgo": None}, "images": 2}
    assert scores[1].items() >= scores[0].items()


def coco_files(folder: Path) -> dict[str, Path]:
    truth: dict[str, Any] = {
        "images": [{"id": 4, "file_name": "nowhere.jpg", "width": 200, "height": 100}, {"id": 5}],
        "categories": [{"id": 3, "name": "cat"}, {"id": 90, "name": "dog"}],
        "annotations": [{"id": 1, "image_id": 4, "category_id": 3, "bbox": [10, 20, 50, 60], "area": 900}],
    }
    contents = {
        "gt": truth,
        "dt": [{"image_id": 4, "category_id": 3, "bbox": [10, 20, 50, 60], "score": 0.9}],
        "empty": [],
        "part": {"images": []},
        "alien": [{"image_id": 6, "category_id": 3, "bbox": [10, 20, 50, 60], "score": 0.9}],
    }
    paths = {name: folder / f"{name}.json" for name in (*contents, "score", "missing")}
    for name, content in contents.items():
        paths[name].write_text(json.dumps(content))
    return paths


@pytest.mark.parametrize(("results", "ap"), [("empty", 0.0), ("dt", 1.0)])
def test_eval_coco_writes_the_score(results, ap, tmp_path, call):
    files = coco_files(tmp_path)
    common = ("--annotations", files["gt"], "--results", files[results], "--json", files["score"])
    status, out, err = call("eval_coco.py", *common)
    assert (status, err) == (0, "")
    assert "AR100" in out
    score = json.loads(files["score"].read_text())
    assert list(score) == ["metric", *METRIC_NAMES, "per_class", "images", "seconds"]
    assert [score[name] for name in ("AP", "APs", "APl")] == [pytest.approx(ap), pytest.approx(ap), None]
    assert score["per_class"] == {"cat": pytest.approx(ap), "dog": None}
    assert (score["metric"], score["images"]) == ("coco", 2)


def test_both_tools_score_predictions_and_coco_results_alike(voc, tmp_path, call):
    files = coco_files(tmp_path)
    truth = json.loads(files["gt"].read_text())
    truth["images"][1]["file_name"] = "other.jpg"
    files["gt"].write_text(json.dumps(truth))
    box, score, label = np.array([[10.0, 20, 60, 80]]), np.array([0.9]), np.array([1])
    predictions = [Prediction("x/nowhere.jpg", 200, 100, box, score, label)]
    write_json(tmp_path / "ours.json", predictions, ["cat"])
    common = ("--annotations", files["gt"], "--json", files["score"])
    assert call("eval_coco.py", "--results", tmp_path / "ours.json", *common)[0] == 0
    assert json.loads(files["score"].read_text())["AP"] == pytest.approx(1.0)
    names = ["cat", "dgo"]
    write_format(voc / "coco_results.json", "coco", read_json(voc / "predictions.json", names), names, None)
    for results in ("predictions.json", "coco_results.json"):
        options = ("--root", voc / "voc", "--split", "val", "--results", voc / results, "--json", files["score"])
        status, _, err = call("eval_voc.py", *options)
        assert (status, err) == (0, "eval_voc: no ground truth of dgo\n")
        assert json.loads(files["score"].read_text())["mAP"] == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("names", [[], ["nowhere.jpg"], ["other.jpg", "nowhere.jpg"]])
def test_eval_coco_finds_images_by_the_list_beside_the_results(names, tmp_path, call):
    files = coco_files(tmp_path)
    truth = json.loads(files["gt"].read_text())
    for image_id, image in enumerate(truth["images"], 1):
        image |= {"id": image_id, "file_name": ("nowhere.jpg", "other.jpg")[image_id - 1]}
    truth["annotations"][0]["image_id"] = 1
    files["gt"].write_text(json.dumps(truth))
    empty = Prediction("other.jpg", 200, 100, np.zeros((0, 4)), np.zeros(0), np.zeros(0, np.int64))
    box, score, label = np.array([[10.0, 20, 60, 80]]), np.array([0.9]), np.array([2])
    detected = replace(empty, file="nowhere.jpg", boxes=box, scores=score, labels=label)
    predictions = [detected if name == "nowhere.jpg" else empty for name in names]
    results = tmp_path / "coco_results.json"
    write_format(results, "coco", predictions, ["zebra", "cat"], None)
    status, _, err = call("eval_coco.py", "--results", results, "--annotations", files["gt"], "--json", files["score"])
    line = f"its ids are those of {tmp_path / 'coco_images.json'} beside it; if they are those of {files['gt']}"
    assert (status, err) == (0, f"eval_coco: {results}: {line}, remove that list\n")
    assert json.loads(files["score"].read_text())["AP"] == pytest.approx(1.0 if names else 0.0)


def test_eval_coco_says_once_that_pycocotools_never_finds_the_id_0(tmp_path, call):
    files = coco_files(tmp_path)
    truth = json.loads(files["gt"].read_text())
    truth["annotations"][0]["id"] = 0
    files["gt"].write_text(json.dumps(truth))
    common = ("--annotations", files["gt"], "--results", files["dt"], "--json", files["score"])
    status, _, err = call("eval_coco.py", *common)
    line = "annotation ids: pycocotools never counts the box with the id 0 as found; its metrics equal these with ids"
    assert (status, err) == (0, f"eval_coco: {line} from 1 on\n")
    assert json.loads(files["score"].read_text())["AP"] == pytest.approx(1.0)


def test_eval_coco_scores_two_categories_of_one_name(tmp_path, call):
    files = coco_files(tmp_path)
    truth = json.loads(files["gt"].read_text())
    truth["categories"][1]["name"] = "cat"
    files["gt"].write_text(json.dumps(truth))
    common = ("--annotations", files["gt"], "--results", files["dt"], "--json", files["score"])
    status, out, err = call("eval_coco.py", *common)
    assert (status, err) == (0, "")
    assert json.loads(files["score"].read_text())["per_class"] == {"cat (id 3)": pytest.approx(1), "cat (id 90)": None}
    assert "cat (id 3)" in out


@pytest.mark.parametrize(
    ("gt", "dt", "phrases"),
    [
        ("missing", "dt", ["missing.json", "expected a COCO annotation file", "found nothing"]),
        ("part", "dt", ["part.json", '"categories"', "found nothing"]),
        ("gt", "alien", ["alien.json", "result 1", "found 6"]),
    ],
)
def test_eval_coco_errors_are_one_line(gt, dt, phrases, tmp_path, call):
    files = coco_files(tmp_path)
    status, out, err = call("eval_coco.py", "--annotations", files[gt], "--results", files[dt])
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert all(phrase in err for phrase in phrases)


@pytest.mark.parametrize(
    ("split", "results", "phrases"),
    [
        ("vall", "comp4", ["vall", 'did you mean "val"']),
        ("val", "predictons.json", ['did you mean "predictions.json"']),
    ],
)
def test_eval_voc_errors_are_one_line(split, results, phrases, voc, call):
    status, out, err = call("eval_voc.py", "--root", voc / "voc", "--split", split, "--results", voc / results)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert all(phrase in err for phrase in phrases)


@pytest.mark.slow  # a process that imports torch
def test_eval_coco_usage_error_is_one_line():
    assert run("eval_coco.py") == (2, "", "eval_coco: Missing option '--annotations'.\n")
