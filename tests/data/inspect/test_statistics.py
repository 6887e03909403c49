from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from detect.config import Config
from detect.config.files import with_overrides
from detect.data.annotations import Annotations
from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.records import LabeledSet
from detect.data.inspect.inspector import scan_folder
from detect.data.inspect.statistics import AnchorConfig, DatasetStatistics, compute_statistics
from detect.data.inspect.statistics_tables import format_counts, statistics_tables
from detect.data.inspect.valid_annotations import valid_annotations
from detect.errors import RunError
from detect.ops.anchors import AnchorGenerator
from detect.ops.preprocess import Preprocess
from tests.data.inspect.example_datasets import CLASS_NAMES, WRITERS, write_voc
from tests.data.inspect.example_faults import FAULTS

ANCHORS = AnchorConfig(AnchorGenerator(((64.0, 128.0),), (0.5, 1.0)), (16,), None)


def statistics_of(annotations: Annotations, anchors: AnchorConfig = ANCHORS) -> DatasetStatistics:
    return compute_statistics(annotations, Preprocess(min_size=320), [160], anchors, 2)


def annotations_without_objects(root: Path) -> Annotations:
    survey = scan_folder(write_voc(root), None)
    bare = tuple(replace(image, objects=()) for image in survey.images)
    return valid_annotations(LabeledFolder("voc", root, {"train": LabeledSet(bare)}, (), ()))


def test_valid_annotations_without_images_raises(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected images, found none"):
        valid_annotations(LabeledFolder("voc", tmp_path, {}, (), ()))


def test_statistics_without_objects_are_empty(tmp_path: Path) -> None:
    statistics = statistics_of(annotations_without_objects(tmp_path / "set"))
    assert (statistics.counts.images, statistics.counts.without_objects, statistics.counts.objects) == (12, 12, 0)
    assert statistics.suggested_settings == ""
    assert [table.row_count for table in statistics_tables(statistics)] == [3, 0]
    json.dumps(statistics.to_dict(), allow_nan=False)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_counts_match_the_example_dataset(tmp_path: Path, writer) -> None:
    statistics = statistics_of(valid_annotations(scan_folder(writer(tmp_path / "set"), None)))
    assert format_counts(statistics.counts) == "12 images (0 without objects), 48 objects (0 difficult, 0 crowds)"
    assert {
        class_counts.name: (class_counts.objects, class_counts.images) for class_counts in statistics.counts.classes
    } == dict.fromkeys(CLASS_NAMES, (24, 12))
    assert statistics.counts.sizes == (((200, 160), 12),)
    assert statistics.counts.objects_per_image == (4.0,) * 7
    assert [recall.min_size for recall in statistics.anchor_recalls] == [160, 320]


def test_suggested_settings_are_valid_overrides(tmp_path: Path) -> None:
    statistics = statistics_of(valid_annotations(scan_folder(write_voc(tmp_path / "set"), None)))
    overrides = [word for word in statistics.suggested_settings.split() if word != "--set"]
    config = with_overrides(Config(), overrides)
    assert statistics.suggested is not None
    assert (config.model.rpn.anchor_sizes, config.model.rpn.aspect_ratios) == (
        statistics.suggested.sizes[0],
        statistics.suggested.aspect_ratios,
    )
    assert config.data.min_size == 320


def test_pyramid_gets_no_suggested_anchors(tmp_path: Path) -> None:
    anchors = AnchorConfig(AnchorGenerator(((32.0,), (64.0,)), (1.0,)), (4, 8), None)
    statistics = statistics_of(valid_annotations(scan_folder(write_voc(tmp_path / "set"), None)), anchors)
    assert (len(statistics.anchor_recalls), statistics.suggested, statistics.suggested_settings) == (2, None, "")
    assert [table.row_count for table in statistics_tables(statistics)][-1] == 2


@pytest.mark.parametrize(
    ("fault", "counted"),
    [
        ("outside", (12, 47, 1)),
        ("number missing", (12, 47, 1)),
        ("annotation without image", (11, 44, 0)),
        ("cut XML", (12, 44, 0)),
        ("EXIF rotation", (12, 48, 0)),
    ],
)
def test_invalid_images_and_boxes_are_not_counted(tmp_path: Path, fault: str, counted: tuple[int, int, int]) -> None:
    root = write_voc(tmp_path / "set")
    FAULTS[fault].apply(root)
    statistics = statistics_of(valid_annotations(scan_folder(root, None))).counts
    assert (statistics.images, statistics.objects, statistics.dropped) == counted
