from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from detect.checkpoints.checkpoint import save_checkpoint
from detect.checkpoints.zoo import read_model
from detect.config.describe_files import parse_describe_config
from detect.config.files import with_overrides
from detect.describe.captions import CaptionedImage, no_boxes
from detect.describe.formats.caption_files import CaptionFiles, to_sentence
from detect.describe.formats.shapes_captions import read_shapes_captions
from detect.describe.region_extractor import RegionExtractor, build_region_extractor
from detect.describe.region_features import extract_features, features_of
from detect.describe.region_vectors import hue_histogram
from detect.describe.regions import RegionFeatures
from detect.errors import UserError
from detect.models.backbones.registry import build_network

QUIET = Console(quiet=True)


def extractor_of(detector: Path, **features: object) -> RegionExtractor:
    settings = {"detector": str(detector), "device": "cpu", "features": {"score": 0.01, "regions": 5} | features}
    return build_region_extractor(parse_describe_config(settings, "test"))


@pytest.fixture
def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


def test_a_photo_without_detections_has_itself_as_its_only_region(tiny_detector: Path, photo: np.ndarray) -> None:
    regions = extractor_of(tiny_detector, score=1.0).extract(photo)
    assert regions.boxes.tolist() == [[0, 0, 120, 90]]
    assert regions.features.shape == (1, 16)
    assert regions.labels.tolist() == [0]
    assert regions.scores.tolist() == [0]


def test_regions_are_the_best_detections_and_then_the_photo(tiny_detector: Path, photo: np.ndarray) -> None:
    extractor = extractor_of(tiny_detector)
    regions = extractor.extract(photo)
    detections = extractor.predictor.predict(photo, score=0.01)
    assert len(detections) > 5
    np.testing.assert_allclose(regions.boxes[:5], detections.boxes[:5], atol=1e-3)
    assert regions.labels.tolist() == [*detections.labels[:5].tolist(), 0]
    assert regions.boxes[5].tolist() == [0, 0, 120, 90]
    assert regions.whole_photo.tolist() == regions.features[5].tolist()


@pytest.mark.parametrize("setting", [None, "flip=true", "scales=[0.5]", "slice.size=64"])
def test_regions_of_a_detector_with_views_are_those_of_the_whole_photo(
    setting: str | None, tiny_detector: Path, photo: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved, detector = read_model(tiny_detector)[0], tmp_path / "changed.pt"
    overrides = [] if setting is None else [f"model.test_time.{setting}"]
    save_checkpoint(replace(saved, config=with_overrides(saved.config, overrides)), detector)
    regions, expected = extractor_of(detector).extract(photo), extractor_of(tiny_detector).extract(photo)
    np.testing.assert_array_equal(regions.boxes, expected.boxes)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == ([] if setting is None else ["its model.test_time is not used"])


def test_head_features_give_the_logits_of_the_detector(tiny_detector: Path, photo: np.ndarray) -> None:
    extractor = extractor_of(tiny_detector)
    detector = extractor.predictor.base_detector
    boxes = np.array([[10, 10, 60, 80], [30, 5, 110, 50]], np.float32)
    regions = extractor.extract(photo, boxes)
    images = extractor.predictor.preprocess_image(photo)
    scaled = torch.from_numpy(boxes) * (images.sizes[0][0] / 90)
    maps = detector.backbone(images.pixels)
    logits, _ = detector.head.stages[-1](detector.regions(images, maps, [scaled]))
    expected = detector.head.stages[-1].logits(torch.from_numpy(regions.features[:2]))
    torch.testing.assert_close(expected, logits, atol=2e-2, rtol=2e-2)  # features have 16 bits
    assert regions.scores.tolist() == [1, 1, 0]


def test_pixels_append_the_mean_colors_of_a_grid(tiny_detector: Path) -> None:
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[10:20, 20:40] = (255, 0, 51)
    boxes = np.array([[20, 10, 40, 30]], np.float32)
    plain = extractor_of(tiny_detector).extract(photo, boxes).features
    colors = extractor_of(tiny_detector, pixels=2).extract(photo, boxes).features
    np.testing.assert_array_equal(colors[:, : plain.shape[1]], plain)
    grid = colors[0, plain.shape[1] :].reshape(3, 2, 2)
    np.testing.assert_allclose(
        grid[:, 0], [[1.0, 1.0], [0.0, 0.0], [0.2, 0.2]], atol=0.06
    )  # half a pixel blends at the edge
    np.testing.assert_allclose(grid[:, 1], 0, atol=0.06)


@pytest.mark.parametrize(
    ("color", "expected"),
    [
        ((90, 100, 110), [0, 0, 0, 1]),  # gray: the channels differ by less than 40
        ((255, 0, 51), [1, 0, 0, 0]),
        ((0, 200, 20), [0, 1, 0, 0]),
        ((30, 0, 220), [0, 0, 1, 0]),
        ((255, 0, 130), [1, 0, 0, 0]),  # 329 degrees: nearer to red than to blue
    ],
)
def test_a_box_of_one_color_has_one_hue(color: tuple[int, int, int], expected: list[float]) -> None:
    photo = np.full((40, 60, 3), color, np.uint8)
    boxes = torch.tensor([[20.0, 10, 40, 30], [-5, -5, 70, 50], [59.5, 39.5, 60, 40]])
    assert hue_histogram(photo, boxes, 3).tolist() == [expected] * 3


def test_hues_are_those_of_the_middle_of_a_box() -> None:
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[:, 30:] = (255, 0, 0)
    photo[:, 50:] = (0, 255, 0)
    boxes = torch.tensor([[20.0, 0, 40, 40], [40, 0, 60, 40], [0, 0, 20, 40]])
    shares = hue_histogram(photo, boxes, 6)[:, [0, 2, 6]]
    torch.testing.assert_close(shares, torch.tensor([[0.5, 0, 0.5], [0.5, 0.5, 0], [0, 0, 1]]))
    assert hue_histogram(photo, boxes[:0], 6).shape == (0, 7)


def test_hues_follow_the_other_features(tiny_detector: Path, photo: np.ndarray) -> None:
    boxes = np.array([[30, 45, 90, 90]], np.float32)
    plain = extractor_of(tiny_detector, geometry=True).extract(photo, boxes).features
    hues = extractor_of(tiny_detector, geometry=True, hues=4).extract(photo, boxes).features
    assert hues.shape == (2, plain.shape[1] + 5)
    np.testing.assert_array_equal(hues[:, : plain.shape[1]], plain)
    np.testing.assert_allclose(hues[:, plain.shape[1] :].sum(1), 1, atol=1e-3)


def test_geometry_appends_fractions_of_the_photo(tiny_detector: Path, photo: np.ndarray) -> None:
    boxes = np.array([[30, 45, 90, 90]], np.float32)
    regions = extractor_of(tiny_detector, geometry=True).extract(photo, boxes)
    assert regions.features.shape == (2, 21)
    np.testing.assert_allclose(regions.features[0, 16:], [0.25, 0.5, 0.75, 1, 0.25], atol=1e-3)
    np.testing.assert_allclose(regions.features[1, 16:], [0, 0, 1, 1, 1])


def test_body_of_the_detector_and_of_a_network(tiny_detector: Path, photo: np.ndarray, tmp_path: Path) -> None:
    body = extractor_of(tiny_detector, source="body").extract(photo)
    assert body.features.shape == (6, 16)  # channels of the neck
    torch.manual_seed(0)
    torch.save(build_network("resnet18").state_dict(), tmp_path / "resnet18.pth")
    settings = {"name": "resnet18", "weights": str(tmp_path / "resnet18.pth")}
    network = extractor_of(tiny_detector, source="body", body=settings)
    regions = network.extract(photo)
    assert regions.features.shape == (6, 512)
    np.testing.assert_array_equal(regions.boxes, body.boxes)
    assert network.identity != extractor_of(tiny_detector, source="body").identity


@pytest.mark.parametrize(
    ("features", "message"),
    [
        ({"source": "body", "body": {"name": "resnet18"}}, "features.body: expected a name and weights"),
        ({"body": {"name": "resnet18", "weights": "DEFAULT"}}, "features.source: expected body"),
        ({"source": "body", "body": {"name": "resnet19", "weights": "DEFAULT"}}, r"features\.body\.name.*did you mean"),
    ],
)
def test_impossible_settings_are_refused(tiny_detector: Path, features: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        extractor_of(tiny_detector, **features)


def test_features_are_computed_once(tiny_detector: Path, shapes_root: Path, tmp_path: Path) -> None:
    dataset = read_shapes_captions(shapes_root, "val", seed=3, train=2, val=8)
    config = parse_describe_config({"detector": str(tiny_detector), "device": "cpu"}, "test")
    first = extract_features(config, dataset, tmp_path, QUIET)
    (file,) = tmp_path.iterdir()
    before = file.stat().st_mtime_ns
    second = extract_features(config, dataset, tmp_path, QUIET)
    assert file.stat().st_mtime_ns == before
    assert len(first) == len(second) == len(dataset.images)
    for one, other in zip(first, second, strict=True):
        for name in ("boxes", "features", "labels", "scores"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            assert getattr(one, name).dtype == getattr(other, name).dtype


def test_features_of_a_replaced_photo_are_others(tiny_detector: Path, tmp_path: Path, photo: np.ndarray) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(photo).save(file)
    image = CaptionedImage(
        name="a.png", sentences=(to_sentence("a dog"),), boxes=no_boxes(), labels=np.zeros(0, np.int64)
    )
    dataset = CaptionFiles(classes=(), images=(image,), files=(file,))
    extractor = extractor_of(tiny_detector)
    (before,) = features_of(extractor, dataset, tmp_path / "cache", QUIET)
    Image.fromarray(255 - photo).save(file)
    os.utime(file, ns=(1, 1))
    (after,) = features_of(extractor, dataset, tmp_path / "cache", QUIET)
    assert (before.whole_photo != after.whole_photo).any()


def test_a_damaged_file_of_features_is_refused(tiny_detector: Path, shapes_root: Path, tmp_path: Path) -> None:
    dataset = read_shapes_captions(shapes_root, "val", seed=3, train=2, val=8)
    config = parse_describe_config({"detector": str(tiny_detector), "device": "cpu"}, "test")
    extract_features(config, dataset, tmp_path, QUIET)
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="damaged"):
        extract_features(config, dataset, tmp_path, QUIET)


def test_a_file_of_features_without_its_checksum_is_refused(
    tiny_detector: Path, shapes_root: Path, tmp_path: Path
) -> None:
    dataset = read_shapes_captions(shapes_root, "val", seed=3, train=2, val=8)
    config = parse_describe_config({"detector": str(tiny_detector), "device": "cpu"}, "test")
    extract_features(config, dataset, tmp_path, QUIET)
    (file,) = tmp_path.iterdir()
    torch.save(torch.load(file), file)
    with pytest.raises(UserError, match="damaged: expected a checksum at its end, found none"):
        extract_features(config, dataset, tmp_path, QUIET)


def test_region_features_refuse_no_rows_and_columns_of_other_lengths() -> None:
    empty = np.zeros((0, 4), np.float32)
    with pytest.raises(ValueError, match="a row or more"):
        RegionFeatures(boxes=empty, features=empty, labels=np.zeros(0, np.int64), scores=np.zeros(0, np.float32))
    with pytest.raises(ValueError, match="labels"):
        RegionFeatures(
            boxes=np.zeros((2, 4), np.float32),
            features=np.zeros((2, 3), np.float32),
            labels=np.zeros(1, np.int64),
            scores=np.zeros(2, np.float32),
        )
