"""A detector in int8: what is refused, what is compared, and that it still detects."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from detect.data.images import image_size
from detect.errors import UserError
from detect.export import export_graph as exporting
from detect.export import quantize_model as quantizing
from detect.export.accuracy_change import accuracy_change
from detect.export.float_layers import similarity, weight_names
from detect.export.to_onnx import to_onnx
from detect.inference.load import load
from detect.inference.predictor import Predictor
from tests.conftest import Command
from tests.export.test_export_graph import CLASSES, PHOTOS, make_config, save_random_model

needs_runtimes = pytest.mark.skipif(
    any(find_spec(name) is None for name in ("onnxscript", "openvino", "nncf")),
    reason="the extra export is not installed",
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_model(make_config(), tmp_path_factory.mktemp("model") / "model.pt")


def write_labelled(root: Path, model: Path, classes: tuple[str, ...] = CLASSES) -> Path:
    """The photos as COCO data whose labels are what the model detects."""
    predictor, root = load(model, "cpu"), root / "labelled"
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    (root / "images").mkdir(parents=True)
    for i, photo in enumerate(PHOTOS):
        shutil.copy(photo, root / "images" / photo.name)
        detections = predictor.predict(photo, 0.6)
        for box, label in zip(detections.boxes.tolist(), detections.labels.tolist(), strict=True):
            x1, y1, x2, y2 = box
            box_and_area = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
            ids = {"id": len(annotations) + 1, "image_id": i + 1, "category_id": label, "iscrowd": 0}
            annotations.append({**ids, **box_and_area})
        height, width = image_size(photo)
        images.append({"id": i + 1, "file_name": photo.name, "height": height, "width": width})
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(classes)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    for split in ("train", "val"):
        (root / f"{split}.json").write_text(text, encoding="utf-8")
    return root


def coco(root: Path) -> list[str]:
    files = [f"data.{split}={root / split}.json" for split in ("train", "val")]
    return ["data.format=coco", f"data.images={root / 'images'}", "data.workers=0", *files]


def test_a_processor_that_is_slower_in_int8_needs_anyway(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detect_command: Command
) -> None:
    monkeypatch.setattr(quantizing, "has_int8_instructions", lambda: False)
    arguments = ("model", "quantize", model, tmp_path / "out.xml", "--data", PHOTOS[0].parent)
    status, _, err = detect_command(*arguments)
    assert (status, len(err.splitlines())) == (2, 1), err
    assert "--anyway: expected a processor with VNNI" in err
    assert not list(tmp_path.iterdir())


def test_mistakes_are_one_line(model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"expected a name that ends in .xml, found out.onnx"):
        quantizing.quantize_model(model, tmp_path / "out.onnx", PHOTOS[0].parent, 3, True)
    predictor = load(model, "cpu")
    config = quantizing.data_config(predictor.config, tmp_path, [])
    with pytest.raises(UserError, match="expected"):
        quantizing.read_calibration(predictor, config, tmp_path, 3)


@pytest.mark.parametrize("count", [1, 2, 9])
def test_photos_without_labels_calibrate_and_are_not_compared(count: int, model: Path) -> None:
    predictor, root = load(model, "cpu"), PHOTOS[0].parent
    config = quantizing.data_config(predictor.config, root, [])
    assert (config.data.min_size, config.data.size_divisor) == (112, 16)
    calibration = quantizing.read_calibration(predictor, config, root, count)
    assert len(set(calibration.photos)) == len(calibration.photos) == min(count, len(PHOTOS))
    assert calibration.labelled is None
    change, reason = accuracy_change(predictor, predictor, config)
    assert change is None
    assert "expected" in reason


def change_text(file: Path, change: Callable[[str], str]) -> None:
    file.write_text(change(file.read_text(encoding="utf-8")), encoding="utf-8")


@pytest.mark.parametrize(
    ("change", "overrides", "message"),
    [
        (lambda text: text, (), None),
        (lambda text: text.replace(f'"{CLASSES[0]}"', '"truck"'), (), "truck"),
        (lambda text: text[: len(text) // 2], (), r"train\.json"),
        (lambda text: text, ("data.train=trian",), "trian"),
        (lambda text: text, ("data.format=voc",), "data.format: expected coco"),
    ],
    ids=["whole", "a class that the model lacks", "cut off", "no such split", "another format"],
)
def test_labels_that_cannot_be_read_are_not_taken_for_none(
    change: Callable[[str], str], overrides: tuple[str, ...], message: str | None, model: Path, tmp_path: Path
) -> None:
    predictor, root = load(model, "cpu"), write_labelled(tmp_path, model)
    change_text(root / "train.json", change)
    config = quantizing.data_config(predictor.config, root, overrides)
    if message is None:
        assert quantizing.read_calibration(predictor, config, root, 9).labelled is not None
        return
    with pytest.raises(UserError, match=message):
        quantizing.read_calibration(predictor, config, root, 9)


def test_a_model_compared_with_itself_changes_nothing(model: Path, tmp_path: Path) -> None:
    predictor, root = load(model, "cpu"), write_labelled(tmp_path, model)
    config = quantizing.data_config(predictor.config, root, coco(root))
    calibration = quantizing.read_calibration(predictor, config, root, 2)
    assert calibration.labelled is not None
    assert [calibration.labelled.file(index) for index in range(2)] == list(map(str, calibration.photos))
    change, reason = accuracy_change(predictor, predictor, config)
    assert change is not None, reason
    assert change.num_images == len(PHOTOS)
    lines = [f"splits: {split} from {root / split}.json (3 images)" for split in ("train", "val")]
    assert [calibration.notes[0], change.notes[0]] == lines
    assert change.comparison.mAP is not None
    assert change.comparison.mAP.interval.value == 0
    (root / "images" / PHOTOS[1].name).write_bytes(b"damaged")
    change, reason = accuracy_change(predictor, predictor, config)
    assert change is not None, reason
    assert change.num_images == change.before.images == len(PHOTOS) - 1
    assert [PHOTOS[1].name in line for line in change.unreadable] == [True]
    others = write_labelled(tmp_path / "other", model, ("ship", "van", "hut"))
    config = quantizing.data_config(predictor.config, others, coco(others))
    change, reason = accuracy_change(predictor, predictor, config)
    assert change is None
    assert "ship" in reason or "van" in reason or "hut" in reason


@pytest.mark.parametrize(
    ("overrides", "of_model"),
    [
        ((), ()),
        (("data.workers=0", "train.batch_size=1", "data.format=coco", "data.train=a.json"), ()),
        (("data.min_size=64", "model.postprocess.score_threshold=0.3", "data.divisor=32"), (0, 1, 2)),
        (("data.max_size=200", "data.workers=0", "model={classifier: softmax}", "data={min_size: 64}"), (0, 2, 3)),
    ],
)
def test_settings_of_the_model_are_told_from_those_of_the_data(
    overrides: tuple[str, ...], of_model: tuple[int, ...]
) -> None:
    assert quantizing.overrides_of_model(overrides) == [overrides[index] for index in of_model]


def test_the_graph_has_the_settings_that_are_given(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Predictor] = []

    def stop(predictor: Predictor) -> None:
        made.append(predictor)
        raise UserError("enough seen")

    monkeypatch.setattr(quantizing, "make_graph", stop)
    settings = ("data.min_size=64", "model.postprocess.score_threshold=0.3", "data.workers=0")
    with pytest.raises(UserError, match="enough seen"):
        quantizing.quantize_model(model, tmp_path / "out.xml", PHOTOS[0].parent, 1, True, overrides=settings)
    (predictor,) = made
    assert predictor.preprocess.min_size == 64
    assert predictor.base_detector.postprocess.score_threshold == 0.3
    assert predictor.config.data.workers == load(model, "cpu").config.data.workers
    assert quantizing.data_config(predictor.config, PHOTOS[0].parent, settings).data.min_size == 64


@pytest.fixture(scope="module")
def onnx_model(model: Path) -> bytes:
    """The model as ONNX, exported once."""
    return to_onnx(*exporting.make_graph(load(model, "cpu")), "model")


@needs_runtimes
@pytest.mark.slow
def test_a_graph_in_int8_detects(
    model: Path, onnx_model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, detect_command: Command
) -> None:
    monkeypatch.setattr(quantizing, "to_onnx", lambda *_: onnx_model)
    root, out = write_labelled(tmp_path, model), tmp_path / "int8.xml"
    settings = [part for setting in coco(root) for part in ("--set", setting)]
    arguments = ("--data", root, "--photos", "3", "--anyway", "--max-drop", "1")
    status, text, err = detect_command("model", "quantize", model, out, *arguments, *settings)
    assert status == 0, err
    assert "calibrated on 3 photos" in text
    assert "on 3 images" in text
    assert "went back to float" not in text
    num_int8, num_layers = (int(word) for word in text.split("; ")[1].split(" layers")[0].split(" of "))
    assert num_int8 == num_layers - 1  # the first convolution stays
    expected = load(model, "cpu").predict(PHOTOS[0], 0.0)
    assert 0.3 < similarity(expected, load(out, "cpu").predict(PHOTOS[0], 0.0)) < 0.99


@needs_runtimes
@pytest.mark.slow
def test_layers_go_back_to_float_where_the_drop_is_not_met(
    model: Path, onnx_model: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def few_names(graph: Any) -> dict[str, list[str]]:
        return dict(list(weight_names(graph).items())[:4])

    monkeypatch.setattr(quantizing, "to_onnx", lambda *_: onnx_model)
    monkeypatch.setattr(quantizing, "weight_names", few_names)
    root, out = write_labelled(tmp_path, model), tmp_path / "int8.xml"
    written = quantizing.quantize_model(model, out, root, 3, True, -1.0, coco(root))  # a drop that is never met
    assert written.float_choice is not None
    assert written.float_choice.drop > -1.0
    costs = [layer.cost for layer in written.float_choice.layers]
    assert 1 <= len(costs) <= 3  # the first convolution is in float anyway, and gives nothing back
    assert costs == sorted(costs, reverse=True)
    assert written.num_int8 == written.num_layers - 1 - len(costs)
    assert len(load(out, "cpu").predict(PHOTOS[0], 0.0)) >= 50
