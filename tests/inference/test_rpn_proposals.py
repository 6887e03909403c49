"""Tests the proposals of files and of RPNs together with the objects, and their reports."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from rich.console import Console

from detect.config import Config
from detect.config.builders.data import load_split
from detect.config.builders.detector import build_preprocess, build_uninitialized, with_tta
from detect.config.files import parse_config, with_overrides
from detect.data.annotations import Annotations
from detect.evaluation.proposal_recall import ProposalsAndObjects, best_ious, image_best_ious, scores_from_ious
from detect.evaluation.proposal_report import PROPOSAL_COUNTS, draw_recall, recall_table, write_recall
from detect.inference.predictor import Predictor
from detect.inference.rpn_proposals import RPNProposals, align_file_proposals, write_rpn_proposals
from detect.ops import boxes as box_ops
from detect.proposals.files import pack_proposals
from detect.proposals.lookups import load_proposal_lookup
from detect.system.device import select_device
from detect.types import Proposals
from tests.conftest import TINY
from tests.proposals.fake_search import RecordingProgress


@pytest.fixture
def config(shapes_root: Path) -> Config:
    return with_overrides(parse_config(TINY, "tiny"), [f"data.root={shapes_root}"])


def make_predictor(config: Config, classes: tuple[str, ...]) -> Predictor:
    torch.manual_seed(0)
    detector = build_uninitialized(config, classes)
    compute = select_device("cpu", "fp32")
    return Predictor(with_tta(config, detector), classes, build_preprocess(config), config, Path("m.pt"), compute)


def ground_truth_proposals(annotations: Annotations) -> list[tuple[str, int, Proposals]]:
    return [
        (Path(image.file).name, 0, Proposals(torch.from_numpy(image.boxes).float(), torch.ones(len(image.boxes))))
        for image in (annotations[index] for index in range(len(annotations)))
    ]


def test_ground_truth_as_proposals_has_full_recall_but_for_missing_images(config: Config) -> None:
    annotations = load_split(config, "val")
    made = ground_truth_proposals(annotations)
    whole = align_file_proposals(Path("p.npz"), pack_proposals(made), annotations)
    assert (whole.missing, len(whole)) == ([], 4)
    best = best_ious(whole)
    assert best.all_proposals.min() > 0.999
    assert len(best.all_proposals) == len(annotations.boxes)
    lacking = align_file_proposals(Path("p.npz"), pack_proposals(made[1:]), annotations)
    assert lacking.missing == [annotations.file(0)]
    score = scores_from_ious(best_ious(lacking), annotations.classes)
    assert (score.images, score.images_without_proposals) == (4, 1)
    share = len(annotations[0].boxes) / len(annotations.boxes)
    assert score.recall[0.95] == pytest.approx(1 - share)


def test_difficult_objects_and_crowds_are_not_counted(config: Config) -> None:
    annotations = load_split(config, "val")
    left = np.zeros(len(annotations.boxes), bool)
    left[0] = True
    for marked in (replace(annotations, difficult=left), replace(annotations, crowd=left)):
        best = best_ious(
            align_file_proposals(Path("p.npz"), pack_proposals(ground_truth_proposals(annotations)), marked)
        )
        assert best.labels.tolist() == annotations.labels[1:].tolist()


@pytest.mark.parametrize("looks", [[], ["model.test_time.flip=true"]])
def test_rpn_proposals_are_in_pixels_of_the_image(config: Config, looks: list[str]) -> None:
    annotations = load_split(config, "val")
    settings = with_overrides(config, ["train.batch_size=2", *looks])
    images = list(RPNProposals(make_predictor(settings, annotations.classes), annotations, settings))
    assert len(images) == 4
    assert sum(len(image.objects) for image in images) == len(annotations.boxes)
    for image in images:
        size = next(annotations.size(i) for i in range(4) if np.array_equal(annotations[i].boxes, image.objects))
        height, width = size
        assert len(image.proposals) > 30  # more than go on to the head when it detects
        assert (image.proposals >= 0).all()
        assert (image.proposals <= np.array([width, height] * 2) + 1e-3).all()
        assert image.proposals[:, 2].max() > 0.9 * width


def test_unreadable_image_counts_as_image_without_proposals(config: Config, tmp_path: Path) -> None:
    annotations = load_split(config, "val")
    names = [annotations.file(index) for index in range(4)]
    (tmp_path / "text.jpg").write_text("text", encoding="utf-8")
    names[2] = str(tmp_path / "text.jpg")
    files = [name.encode() for name in names]
    broken = replace(
        annotations,
        file_bytes=np.frombuffer(b"".join(files), np.uint8),
        file_offsets=np.cumsum([0, *map(len, files)]),
    )
    proposed = RPNProposals(make_predictor(config, annotations.classes), broken, config)
    score = scores_from_ious(best_ious(proposed), annotations.classes)
    assert (score.images, score.images_without_proposals, score.objects) == (4, 1, len(annotations.boxes))
    assert len(proposed.unreadable) == 1
    assert "text.jpg" in proposed.unreadable[0]


def test_written_rpn_proposals_are_read_back(config: Config, tmp_path: Path) -> None:
    splits = [load_split(config, name) for name in ("train", "val")]
    looking = make_predictor(config, splits[0].classes)
    out, shown = tmp_path / "rpn.npz", RecordingProgress()
    made = write_rpn_proposals([RPNProposals(looking, split, config) for split in splits], out, shown)
    images = [split.file(index) for split in splits for index in range(len(split))]
    assert (len(made), shown.num_done) == (len(images), len(images))
    found = load_proposal_lookup([out], images, 7)
    boxes, scores = found[images[-1]]
    expected = next(one for index, one in RPNProposals(looking, splits[1], config).iter_readable() if index == 3)
    assert np.allclose(boxes, expected.boxes[:7], atol=1e-3)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


@pytest.mark.parametrize("batch_size", [1, 3])
def test_random_anchors_as_proposals_do_not_depend_on_the_batch_size(
    batch_size: int, config: Config, tmp_path: Path
) -> None:
    """Faster R-CNN, table 2: no classification and no regression; the weights then change nothing."""
    random = with_overrides(config, ["model.rpn.rank=random", "model.rpn.box_regression=false", "data.min_size=80"])
    split = load_split(random, "val")
    made = []
    for name, size in (("a", 4), ("b", batch_size)):
        batched = with_overrides(random, [f"train.batch_size={size}"])
        proposed = RPNProposals(make_predictor(batched, split.classes), split, batched)
        made.append(write_rpn_proposals([proposed], tmp_path / f"{name}.npz", RecordingProgress()))
    assert np.array_equal(made[0].offsets, made[1].offsets)
    assert np.allclose(made[0].boxes, made[1].boxes, atol=1e-3)
    assert np.array_equal(made[0].scores, made[1].scores)
    assert len({tuple(row) for row in made[0].boxes.tolist()}) > 100
    boxes = made[0][0].boxes
    assert box_ops.iou(boxes, boxes).triu(1).max() > random.model.rpn.nms_iou  # no suppression without scores


def random_images(count: int) -> list[ProposalsAndObjects]:
    rng = np.random.default_rng(0)
    images = []
    for _ in range(count):
        boxes = np.concatenate([start := rng.uniform(0, 50, (43, 2)), start + rng.uniform(5, 50, (43, 2))], axis=1)
        images.append(ProposalsAndObjects(boxes[:40], boxes[40:], np.array([1, 1, 3])))
    return images


@pytest.mark.parametrize("count", [0, 3])
def test_table_json_and_plot_agree(count: int, tmp_path: Path) -> None:
    best = best_ious(random_images(count), PROPOSAL_COUNTS)
    score = scores_from_ious(best, ("cat", "dog", "cow"))
    write_recall(tmp_path / "r.json", score, 1.5)
    written = json.loads((tmp_path / "r.json").read_text(encoding="utf-8"))
    assert written["per_class"].keys() == {"cat", "dog", "cow"}
    assert written["per_class"]["dog"] is None
    assert (written["MABO"] is None) == (count == 0)
    assert list(written["recall"]) == [f"{0.5 + 0.05 * step:.2f}" for step in range(10)]
    assert [key for key in written if key.startswith("AR")] == ["AR100", "AR300", "AR1000", "AR2000"]
    assert (written["images"], written["seconds"], written["images_without_proposals"]) == (count, 1.5, 0)
    console = Console(width=80)
    with console.capture() as captured:
        console.print(recall_table(score))
    told = captured.get()
    for value in (written["MABO"], written["AR1000"], written["recall"]["0.75"], written["per_class"]["cat"]):
        assert (f"{100 * value:.1f}" if count else " - ") in told
    draw_recall(tmp_path / "r.png", best, "title")
    picture = cv2.imread(str(tmp_path / "r.png"))
    assert picture is not None
    coloured = (picture.max(axis=2).astype(int) - picture.min(axis=2) > 60).mean()
    assert (coloured > 0.001) == (count > 0)


def test_best_ious_at_several_limits_equal_those_at_one() -> None:
    images = random_images(3)
    best = best_ious(images, (0, 3, 40, 99))
    assert best.with_first(0).max() == 0
    assert np.array_equal(best.with_first(40), best.all_proposals)
    assert np.array_equal(best.with_first(99), best.all_proposals)
    alone = np.concatenate([image_best_ious(image.proposals[:3], image.objects, (3,))[0] for image in images])
    assert np.array_equal(best.with_first(3), alone)
