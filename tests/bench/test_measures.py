"""Each benchmark runs once with small inputs, and its statements about equality are true."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import nn

from detect.bench import detectron2_peer, loading, scaling, training
from detect.bench.benchmark_page import images_of_one_size, markdown_page
from detect.bench.evaluation import DataSize, Metrics, largest_difference, measure_evaluation
from detect.bench.inference import agreement, make_predictor, torchvision_detections
from detect.bench.layers import LayersAlone
from detect.bench.operations import profile_table
from detect.bench.random_model import BenchModel, make_bench_model
from detect.bench.search import measure_search
from detect.bench.stage_times import time_stages
from detect.bench.torchvision_peer import torchvision_reference
from detect.bench.training import detect_step, loss_differences, random_targets, torchvision_step
from detect.cli.bench import bench_command
from detect.config import Precision
from detect.config.files import parse_config
from detect.data.shapes.dataset import draw_scene
from detect.errors import RunError
from detect.evaluation.analysis.bootstrap import Interval
from detect.types import Detections
from tests.conftest import TINY

IMAGES = [draw_scene(0, "val", index).rgb for index in range(2)]
SMALL = [
    "model.backbone.name=resnet18",
    "data.min_size=96",
    "data.max_size=128",
    "model.rpn.post_nms_top_n_test=200",
    "model.head.batch_size_per_image=32",
]
BF16 = pytest.mark.slow  # half a minute for a step on a CPU that lacks it


def test_loading_trains_on_what_the_loader_delivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "load_config", lambda _: parse_config(TINY, "test"))
    monkeypatch.setattr(loading, "NUM_BATCHES", 1)
    table = loading.measure_loading(1, "detect bench loading")
    assert [row[0] for row in table.rows] == ["training steps", "loader"]
    assert all(isinstance(cell, float) and cell > 0 for row in table.rows for cell in row[1:])


def test_scaling_has_a_row_for_each_value(monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"shorter side": 96, "proposals": 200, "batch size": 1, "classes": 2}
    monkeypatch.setattr(scaling, "BASE_SETTINGS", small)
    monkeypatch.setattr(scaling, "SWEEP", {"shorter side": (96, 128), "batch size": (1, 2)})
    table = scaling.measure_scaling(IMAGES, 1, "detect bench growth")
    assert [row[:2] for row in table.rows] == [
        ("shorter side", 96),
        ("shorter side", 128),
        ("batch size", 1),
        ("batch size", 2),
    ]
    assert [row[-1] == 1.0 for row in table.rows] == [True, False, True, False]
    assert set(table.seconds) == {"shorter side 96", "shorter side 128", "batch size 1", "batch size 2"}


@pytest.fixture(scope="module")
def bench_model() -> BenchModel:
    return make_bench_model(SMALL, 5, IMAGES, seed=1)


@pytest.mark.slow
def test_random_weights_give_many_detections_and_torchvision_the_same(bench_model: BenchModel) -> None:
    ours, theirs = make_predictor(bench_model, "fp32"), torchvision_reference(bench_model).eval()
    for image in IMAGES:
        detections, expected = ours.predict(image, 0.0), torchvision_detections(theirs, image)
        assert len(expected) >= 100
        assert (agreement([expected], [detections]) or 0) >= 0.98


def test_agreement_needs_the_label_and_every_edge() -> None:
    box = torch.tensor([[0.0, 0, 10, 10]])
    single = Detections(box, torch.ones(1), torch.ones(1, dtype=torch.int64))
    assert agreement([single], [single]) == 1.0
    assert agreement([single], [Detections(box + 0.1, single.scores, single.labels)]) == 0.0
    assert agreement([single], [Detections(box, single.scores, single.labels + 1)]) == 0.0


def test_make_bench_model_refuses_too_few_detections() -> None:
    with pytest.raises(RunError, match="expected at least 100 detections per image, found"):
        make_bench_model([*SMALL, "model.rpn.post_nms_top_n_test=1"], 5, IMAGES)


@pytest.mark.parametrize(
    "precision", [pytest.param("fp32", marks=pytest.mark.slow), pytest.param("bf16", marks=pytest.mark.long)]
)  # a minute
def test_training_steps_have_finite_losses_and_change_weights(bench_model: BenchModel, precision: Precision) -> None:
    targets = random_targets(IMAGES, 5)
    for step in (detect_step(bench_model, IMAGES, targets, precision), torchvision_step(bench_model, IMAGES, targets)):
        first, second = (sum(loss.item() for loss in step().values()) for _ in range(2))
        assert math.isfinite(first)
        assert first != second


@pytest.mark.parametrize(
    ("precision", "above", "below"), [("fp32", -1, 5e-3), pytest.param("bf16", 1e-3, 0.2, marks=BF16)]
)
def test_losses_on_the_same_samples_are_equal_to_torchvision(
    precision: Precision, above: float, below: float, bench_model: BenchModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tie of RPN scores may be broken another way than torchvision's: one background region is 1.7e-3 of the loss."""
    assert training.MIN_SPEEDUP.keys() == {"fp32", "bf16"}
    monkeypatch.setattr(training, "MIN_SPEEDUP", {precision: 1.0})
    differences = loss_differences(bench_model, IMAGES, random_targets(IMAGES, 5))
    assert above < differences[precision] < below


@pytest.mark.skipif(not detectron2_peer.installed(), reason="detectron2 is not installed")
def test_detections_and_losses_are_equal_to_detectron2() -> None:
    reference = detectron2_peer.make_reference(IMAGES[0])
    expected = reference.detect(IMAGES[0])
    assert len(expected) >= 100
    ours = make_predictor(reference.bench_model, "fp32").predict(IMAGES[0], 0.0)
    assert (agreement([expected], [ours]) or 0) >= 0.98
    targets = random_targets(IMAGES[:1], 80)
    our_loss = sum(loss.item() for loss in detect_step(reference.bench_model, IMAGES[:1], targets, "fp32")().values())
    reference.model.train()
    theirs = sum(loss.item() for loss in reference.losses(IMAGES[:1], targets).values())
    assert our_loss == pytest.approx(theirs, rel=0.2)  # the draws differ


def test_layers_alone_records_the_layers_that_ran() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(8, 3))
    layers = LayersAlone(net)
    layers.record(lambda: net(torch.ones(1, 1, 2, 2)))
    assert [type(layer) for layer, _ in layers.recorded_calls] == [nn.Conv2d, nn.Linear]
    layers.run()
    assert len(layers.recorded_calls) == 2


def test_stages_add_up_to_the_total(bench_model: BenchModel, tmp_path: Path) -> None:
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    stages = time_stages(make_predictor(bench_model, "fp32"), [tmp_path / "a.png"])
    assert stages.search < 0.001 < stages.backbone < stages.total


@pytest.mark.slow
def test_stages_of_a_cascade_have_the_sums_of_regions_and_heads(tmp_path: Path) -> None:
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    cascade = make_bench_model([*SMALL, "model.cascade.ious=[0.5,0.6,0.7]"], 5, IMAGES, seed=1)
    predictor, calls = make_predictor(cascade, "fp32"), []
    hook = predictor.base_detector.get_submodule("regions").register_forward_hook(lambda *_: calls.append(1))
    stages = time_stages(predictor, [tmp_path / "a.png"])
    hook.remove()
    assert len(calls) == 2 * 3  # the first image runs twice
    assert min(stages.regions, stages.head) > 0.0
    assert stages.total < 60


def test_evaluation_is_equal_to_pycocotools() -> None:
    table = measure_evaluation(DataSize(6, 4, 12), 2, "command")
    assert [row[0] for row in table.rows] == ["ours", "ours, JSON", "pycocotools"]
    assert {len(seconds) for seconds in table.seconds.values()} == {2}


@pytest.mark.parametrize(("ours", "difference"), [(0.5, 0.0), (0.25, 0.25), (None, math.inf)])
def test_largest_difference_is_infinite_for_a_missing_metric(ours: float | None, difference: float) -> None:
    theirs: Metrics = {"AP": 0.5, "APs": None}
    assert largest_difference((theirs, {}), ({"AP": ours, "APs": None}, {})) == difference


def test_profile_table_adds_up() -> None:
    matrix = torch.randn(1000, 1000)
    table = profile_table("Profile", "command", {"a": lambda: matrix @ matrix, "b": lambda: matrix + matrix})
    assert table.columns == ("operation", "a, s", "b, s")
    assert table.rows[0][0] == "mm"
    for column in (1, 2):
        values = [float(cell or 0) for row in table.rows if not isinstance(cell := row[column], Interval)]
        assert sum(values[:-1]) == pytest.approx(values[-1])


def test_search_has_a_row_for_each_mode() -> None:
    assert [row[0] for row in measure_search(IMAGES, 1, "command").rows] == ["single", "fast", "quality"]


def test_images_of_one_size_takes_the_most_frequent_size(tmp_path: Path) -> None:
    sizes = [(8, 8), (9, 8), (9, 8), (9, 8)]
    files = [tmp_path / f"{index}.png" for index in range(len(sizes))]
    for file, size in zip(files, sizes, strict=True):
        Image.new("RGB", size).save(file)
    assert images_of_one_size([], 2) == []
    assert images_of_one_size(files, 2) == files[1:3]


@pytest.mark.parametrize(
    ("theirs", "ours", "share"),
    [([], [], None), ([0], [5], None), ([1, 100], [1, 0], 1 / 101), ([2, 2], [2, 1], 0.75)],
)
def test_agreement_is_a_share_of_all_detections_not_a_mean_over_photos(
    theirs: list[int], ours: list[int], share: float | None
) -> None:
    def detections(count: int) -> Detections:
        corners = 10.0 * torch.arange(count)[:, None]
        boxes = torch.cat([corners, corners, corners + 5, corners + 5], 1)
        return Detections(boxes, torch.ones(count), torch.ones(count, dtype=torch.int64))

    assert agreement(list(map(detections, theirs)), list(map(detections, ours))) == share


def test_page_describes_the_machine(tmp_path: Path) -> None:
    out, numbers = tmp_path / "b.md", tmp_path / "b.json"
    Image.fromarray(IMAGES[0]).save(tmp_path / "a.png")
    arguments = ["search", str(tmp_path / "a.png"), "--turns", "1", "--out", str(out), "--json", str(numbers)]
    result = CliRunner().invoke(bench_command, arguments)
    assert result.exit_code == 0
    assert "processor: " in out.read_text()
    assert "- images: 1 of " in out.read_text()
    assert "pixels: a.png" in out.read_text()
    assert "## Selective search\n\n    detect bench search IMAGE... --turns 1\n" in result.output
    assert [table["title"] for table in json.loads(numbers.read_text())["tables"]] == ["Selective search"]
    assert markdown_page([]).startswith("# Benchmarks")


@pytest.mark.parametrize("name", ["inference", "all"])
def test_missing_images_are_refused(name: str) -> None:
    result = CliRunner().invoke(bench_command, [name])
    assert "IMAGE: expected images, folders or globs, found none" in str(result.exception)
