from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import detect
from detect.checkpoints.checkpoint import load_checkpoint, save_checkpoint
from tests.conftest import TINY, Command


@pytest.fixture(scope="module")
def runs(shapes_root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs of the same configuration, the second from another seed."""
    from detect.config.files import load_config

    folder = tmp_path_factory.mktemp("pair")
    (folder / "tiny.yaml").write_text(yaml.safe_dump(TINY), encoding="utf-8")
    for seed in (0, 1):
        overrides = [f"data.root={shapes_root}", "train.steps=2", f"seed={seed}"]
        detect.train(load_config(folder / "tiny.yaml", overrides), folder / f"run{seed}")
    return folder / "run0", folder / "run1"


def score_of(file: Path) -> dict[str, object]:
    score = json.loads(file.read_text(encoding="utf-8"))
    score.pop("seconds")
    return dict(score)


@pytest.mark.parametrize("metric", ["coco", "voc12"])
def test_eval_compares_two_models(
    metric: str, runs: tuple[Path, Path], tmp_path: Path, detect_command: Command
) -> None:
    for name, models in {"first": runs[:1], "second": runs[1:], "both": runs}.items():
        status, out, err = detect_command("eval", *models, "--metric", metric, "--json", tmp_path / f"{name}.json")
        assert (status, err) == (0, "")
        assert ("95% interval" in out) == ("Images that differ most" in out) == (name == "both")
    first, second, both = (score_of(tmp_path / f"{name}.json") for name in ("first", "second", "both"))
    difference, second_score = both.pop("difference"), both.pop("second")
    assert isinstance(difference, dict)
    assert isinstance(second_score, dict)
    second_score.pop("seconds")
    assert (both, second_score) == (first, second)
    primary = "AP" if metric == "coco" else "mAP"
    value = second[primary] - first[primary]  # type: ignore[operator]
    low, high = difference[primary]["interval"]
    assert difference[primary]["value"] == pytest.approx(value, abs=1e-12)
    assert low <= value <= high
    assert 0 <= difference[primary]["second_better"] <= 1
    assert list(difference["per_class"]) == list(first["per_class"])  # type: ignore[call-overload]
    assert {"found", "false", "missed"} == {key for image in difference["images"] for key in image["first"]}


@pytest.mark.parametrize(("first_id", "metric", "warns"), [(1, "coco", False), (0, "coco", True), (0, "voc12", False)])
def test_eval_says_which_annotation_ids_pycocotools_misreads(
    first_id: int,
    metric: str,
    warns: bool,
    runs: tuple[Path, Path],
    shapes_root: Path,
    tmp_path: Path,
    detect_command: Command,
) -> None:
    source = next(shapes_root.rglob("val.json"))
    document = json.loads(source.read_text(encoding="utf-8"))
    for index, annotation in enumerate(document["annotations"], start=first_id):
        annotation["id"] = index
    (tmp_path / "scored.json").write_text(json.dumps(document), encoding="utf-8")
    data = ["format=coco", f"root={tmp_path}", "val=scored", f"images={source.parent / 'val'}"]
    options = [part for setting in data for part in ("--set", f"data.{setting}")]
    status, out, err = detect_command("eval", runs[0], "--metric", metric, *options)
    assert (status, err) == (0, "")
    num_images = len(document["images"])
    assert out.splitlines()[0] == f"splits: val from scored ({num_images} images)"
    line = f"{tmp_path / 'scored.json'}: annotation ids: pycocotools never counts the box with the id 0 as found"
    assert (line in out) == warns


@pytest.mark.parametrize("num_broken", [0, 1, 2])
def test_eval_says_which_boxes_it_does_not_score(
    num_broken: int, runs: tuple[Path, Path], shapes_root: Path, tmp_path: Path, detect_command: Command
) -> None:
    source = next(shapes_root.rglob("val.json"))
    document = json.loads(source.read_text(encoding="utf-8"))
    first, num_boxes = document["annotations"][0], len(document["annotations"])
    for number in range(1, num_broken + 1):
        document["annotations"].append(first | {"id": num_boxes + number, "bbox": [700, 10, 40, 40]})
    (tmp_path / "val.json").write_text(json.dumps(document), encoding="utf-8")
    data = ["format=coco", f"root={tmp_path}", "val=val", f"images={source.parent / 'val'}"]
    options = [part for setting in data for part in ("--set", f"data.{setting}")]
    status, out, err = detect_command("eval", *runs, *options)
    assert (status, err) == (0, "")
    line = f"boxes: {num_boxes} kept + {num_broken} dropped + 0 clipped = {num_boxes + num_broken} found"
    dropped = f"dropped, and not used: {tmp_path / 'val.json'}: annotation {num_boxes + 1} of "
    assert out.splitlines()[0] == f"splits: val from val ({len(document['images'])} images)"
    assert [line in out, dropped in out] == [num_broken > 0] * 2


def test_eval_of_a_model_and_itself_finds_no_difference(
    runs: tuple[Path, Path], tmp_path: Path, detect_command: Command
) -> None:
    status, out, err = detect_command("eval", runs[0], runs[0], "--json", tmp_path / "score.json")
    assert (status, err) == (0, "")
    assert "+0.0 to +0.0" in out
    difference = json.loads((tmp_path / "score.json").read_text(encoding="utf-8"))["difference"]
    assert difference["AP"] == {"value": 0.0, "interval": [0.0, 0.0], "second_better": 0.5}
    assert difference["images"] == []


def test_eval_of_a_model_in_two_precisions_scores_each_in_its_own(
    runs: tuple[Path, Path], tmp_path: Path, detect_command: Command
) -> None:
    pairs = {"both": ("--precision", "bf16", "--precision-b", "fp32"), "second": ("--precision-b", "bf16")}
    for name, precisions in pairs.items():
        status, out, err = detect_command("eval", runs[0], runs[0], *precisions, "--json", tmp_path / f"{name}.json")
        assert (status, err) == (0, "")
        assert "precision: " in out
    both, second = (json.loads((tmp_path / f"{name}.json").read_text(encoding="utf-8")) for name in pairs)
    assert (both["precisions"], second["precisions"]) == (["bf16", "fp32"], ["fp32", "bf16"])
    assert both["AP"] == second["second"]["AP"]
    assert both["second"]["AP"] == second["AP"]
    assert both["difference"]["AP"]["value"] == -second["difference"]["AP"]["value"]


def test_eval_refuses_a_precision_of_no_second_model(runs: tuple[Path, Path], detect_command: Command) -> None:
    status, _, err = detect_command("eval", runs[0], "--precision-b", "bf16")
    assert (status, err) == (2, "detect: --precision-b: expected MODEL_B, whose precision it is, found MODEL alone\n")


def test_eval_refuses_a_second_model_with_other_classes(
    runs: tuple[Path, Path], tmp_path: Path, detect_command: Command
) -> None:
    checkpoint = load_checkpoint(runs[1] / "best.pt")
    renamed = ("x" + checkpoint.classes[0], *checkpoint.classes[1:])
    save_checkpoint(replace(checkpoint, classes=renamed), tmp_path / "other.pt")
    status, out, err = detect_command("eval", runs[0], tmp_path / "other.pt")
    assert (status, out) == (2, "")
    assert f'found "{checkpoint.classes[0]}" (did you mean "{renamed[0]}"?)' in err
    assert len(err.splitlines()) == 1


def test_eval_refuses_a_missing_second_model(runs: tuple[Path, Path], tmp_path: Path, detect_command: Command) -> None:
    status, _, err = detect_command("eval", runs[0], tmp_path)
    assert status == 2
    assert "expected a run folder with best.pt or last.pt, found neither" in err
