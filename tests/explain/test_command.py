"""``detect explain`` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import merge_overrides, parse_config
from detect.explain.trace.record import recompute
from tests.conftest import TINY, Command
from tests.explain.conftest import CLASSES
from tests.models.test_detector import sharpen
from tests.report.example_pages import parse_page


def test_trace_writes_json_figures_and_a_page(
    model: Path, image: Path, tmp_path: Path, detect_command: Command
) -> None:
    truth = tmp_path / "truth.json"
    size = {"height": 90, "width": 120}
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 119, 89], "area": 119 * 89, "iscrowd": 0}
    categories = [{"id": category_id, "name": name} for category_id, name in enumerate(CLASSES, 1)]
    truth.write_text(
        json.dumps(
            {"images": [{"id": 1, "file_name": image.name, **size}], "annotations": [box], "categories": categories}
        )
    )
    out = tmp_path / "out"
    flags = ("--score", 0, "--max-detections", 2, "--annotations", truth, "--out", out)
    status, stdout, err = detect_command("explain", model, image, *flags)
    assert (status, err) == (0, "")
    assert "1 image traced" in stdout
    (folder,) = out.iterdir()
    assert sorted(file.name for file in folder.glob("*.jpg")) == ["detection-001.jpg", "detection-002.jpg"]
    written = json.loads((folder / "trace.json").read_text())
    recomputed = recompute(written)
    assert len(recomputed) == len(written["detections"]) > 2
    assert [record["box"] for record in written["detections"]] == recomputed.boxes.tolist()
    assert [record["score"] for record in written["detections"]] == recomputed.scores.tolist()
    scale = np.array([120 / written["size"][1], 90 / written["size"][0]] * 2)
    for record in written["detections"]:
        assert record["box_in_image"] == pytest.approx((np.array(record["box"]) * scale).tolist())
        assert record["truth"]["outcome"] in ("found", "found nothing")
    page = parse_page((folder / "index.html").read_text(encoding="utf-8"))
    assert page.text.count("ground truth") == 3
    assert "b" not in {tag for tag, _ in page.tags}  # a class name is text
    assert all(source.startswith("data:") for source in page.attributes("src", "href"))


@pytest.mark.slow
def test_trace_of_a_searched_proposal_lists_its_merges(image: Path, tmp_path: Path, detect_command: Command) -> None:
    overrides = ["data.classes=[a,b]", "model.kind=fast_rcnn", "model.proposals=selective_search"]
    config = parse_config(merge_overrides(TINY, overrides), "test")
    detector, _ = build_detector(config, ("a", "b"))
    model, out = tmp_path / "fast.pt", tmp_path / "out"
    save_checkpoint(
        Checkpoint(config, ("a", "b"), build_preprocess(config), sharpen(detector).state_dict(), 0, {}), model
    )
    status, _, err = detect_command("explain", model, image, "--score", 0, "--out", out)
    assert (status, err) == (0, "")
    (folder,) = out.iterdir()
    assert len(list(folder.glob("detection-*-search.jpg"))) > 0
    drawn = [record for record in json.loads((folder / "trace.json").read_text())["detections"] if "search" in record]
    merges = [merge for record in drawn for merge in record["search"]["joins"]]
    assert {key for merge in merges for key in merge} == {"made", "parts", "likeness", "box"}
    page = parse_page((folder / "index.html").read_text(encoding="utf-8"))
    assert page.text.count("initial segments,") == len(drawn)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("no-such.jpg",), "no-such.jpg: expected an image"),
        ((), "IMAGE: expected images"),
        (("IMAGE", "--method", "tracee"), '(did you mean "trace"?)'),
        (("IMAGE", "--proposals", "p.npz"), "found one with an RPN"),
        (("IMAGE", "--annotations", "a.json", "--split", "val"), "expected one of them"),
        (("IMAGE", "--set", "model.test_time.flip=true"), "model.test_time: expected one view"),
        (("IMAGE", "--set", "model.test_time.flip=true", "--method", "gradcam"), "model.test_time: expected one view"),
        (
            ("IMAGE", "--set", "model.test_time.slice.size=[64,48]", "--method", "eigencam"),
            "model.test_time.slice.size: expected null, so that each detection is one of the whole image, "
            "found (64, 48); --set model.test_time.slice.size=null, or --method trace, which knows slices",
        ),
    ],
)
def test_invalid_options_exit_with_one_line(
    flags: tuple[str, ...], message: str, model: Path, image: Path, tmp_path: Path, detect_command: Command
) -> None:
    arguments = [str(image) if flag == "IMAGE" else flag for flag in flags]
    status, _, err = detect_command("explain", model, *arguments, "--out", tmp_path / "out")
    assert status == 2
    assert message in err
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_unreadable_image_is_reported_and_others_are_traced(
    model: Path, image: Path, tmp_path: Path, detect_command: Command
) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    status, _, err = detect_command("explain", model, broken, image, "--out", tmp_path / "out")
    assert status == 1
    assert "broken.jpg" in err
    assert len(list((tmp_path / "out").rglob("trace.json"))) == 1
