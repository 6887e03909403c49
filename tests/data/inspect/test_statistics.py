from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.config import Config
from detect.config.files import with_overrides
from detect.data.annotations import Annotations
from detect.data.inspect.inspector import scan_folder
from detect.data.inspect.scan_records import FolderScan
from detect.data.inspect.statistics import AnchorConfig, DatasetStatistics, compute_statistics
from detect.data.inspect.statistics_tables import format_counts, statistics_tables
from detect.data.inspect.valid_annotations import valid_annotations
from detect.errors import RunError
from detect.ops.anchors import AnchorGenerator
from detect.ops.preprocess import Preprocess
from tests.data.inspect.example_datasets import CLASS_NAMES, WRITERS, write_voc
from tests.data.inspect.example_faults import FAULTS

ANCHORS = AnchorConfig(AnchorGenerator(((64.0, 128.0),), (0.5, 1.0)), (16,), None)


def statistics_of(annotations: Annotations, plan: AnchorConfig = ANCHORS) -> DatasetStatistics:
    return compute_statistics(annotations, Preprocess(min_size=320), [160], plan, 2)


def annotations_without_objects(root: Path) -> Annotations:
    survey = scan_folder(write_voc(root), None)
    bare = tuple(type(image)(image.file, image.label_file, image.declared_size, ()) for image in survey.images)
    return valid_annotations(FolderScan("voc", root, bare, None, ()))


def test_valid_annotations_without_images_raises(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="expected images, found none"):
        valid_annotations(FolderScan("voc", tmp_path, (), None, ()))


def test_statistics_without_objects_are_empty(tmp_path: Path) -> None:
    found = statistics_of(annotations_without_objects(tmp_path / "set"))
    assert (found.counts.images, found.counts.without_objects, found.counts.objects) == (12, 12, 0)
    assert found.suggested_settings == ""
    assert [table.row_count for table in statistics_tables(found)] == [3, 0]
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_counts_match_the_example_dataset(tmp_path: Path, writer) -> None:
    found = statistics_of(valid_annotations(scan_folder(writer(tmp_path / "set"), None)))
    assert format_counts(found.counts) == "12 images (0 without objects), 48 objects (0 difficult, 0 crowds)"
    assert {one.name: (one.objects, one.images) for one in found.counts.classes} == dict.fromkeys(CLASS_NAMES, (24, 12))
    assert found.counts.sizes == (((200, 160), 12),)
    assert found.counts.objects_per_image == (4.0,) * 7
    assert [one.min_size for one in found.anchor_recalls] == [160, 320]


def test_suggested_settings_are_valid_overrides(tmp_path: Path) -> None:
    found = statistics_of(valid_annotations(scan_folder(write_voc(tmp_path / "set"), None)))
    overrides = [word for word in found.suggested_settings.split() if word != "--set"]
    config = with_overrides(Config(), overrides)
    assert found.suggested is not None
    assert (config.model.rpn.anchor_sizes, config.model.rpn.aspect_ratios) == (
        found.suggested.sizes[0],
        found.suggested.aspect_ratios,
    )
    assert config.data.min_size == 320


def test_pyramid_gets_no_suggested_anchors(tmp_path: Path) -> None:
    plan = AnchorConfig(AnchorGenerator(((32.0,), (64.0,)), (1.0,)), (4, 8), None)
    found = statistics_of(valid_annotations(scan_folder(write_voc(tmp_path / "set"), None)), plan)
    assert (len(found.anchor_recalls), found.suggested, found.suggested_settings) == (2, None, "")
    assert [table.row_count for table in statistics_tables(found)][-1] == 2


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
    found = statistics_of(valid_annotations(scan_folder(root, None))).counts
    assert (found.images, found.objects, found.dropped) == counted
