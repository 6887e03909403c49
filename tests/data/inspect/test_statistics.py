from __future__ import annotations

import json
from pathlib import Path

import pytest

from detect.config import Config
from detect.config.files import changed
from detect.data.annotations import Annotations
from detect.data.inspect.inspector import read_survey
from detect.data.inspect.scan_records import Survey
from detect.data.inspect.statistics import AnchorPlan, Statistics, statistics
from detect.data.inspect.statistics_tables import headline, tables
from detect.data.inspect.valid_annotations import usable
from detect.errors import WorkError
from detect.ops.anchors import AnchorShapes
from detect.ops.preprocess import Preprocess
from tests.data.inspect.drawn_set import NAMES, WRITERS, write_voc
from tests.data.inspect.faults import FAULTS

PLAN = AnchorPlan(AnchorShapes(((64.0, 128.0),), (0.5, 1.0)), (16,), None)


def of(annotations: Annotations, plan: AnchorPlan = PLAN) -> Statistics:
    return statistics(annotations, Preprocess(min_size=320), [160], plan, 2)


def without_objects(root: Path) -> Annotations:
    survey = read_survey(write_voc(root), None)
    bare = tuple(type(image)(image.image, image.labels, image.told, ()) for image in survey.images)
    return usable(Survey("voc", root, bare, None, ()))


def test_no_images(tmp_path: Path) -> None:
    with pytest.raises(WorkError, match="expected images, found none"):
        usable(Survey("voc", tmp_path, (), None, ()))


def test_no_objects(tmp_path: Path) -> None:
    found = of(without_objects(tmp_path / "set"))
    assert (found.tally.images, found.tally.without_objects, found.tally.objects) == (12, 12, 0)
    assert found.settings == ""
    assert [table.row_count for table in tables(found)] == [3, 0]
    json.dumps(found.to_json(), allow_nan=False)


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_counts_are_those_of_the_drawn_set(tmp_path: Path, writer) -> None:
    found = of(usable(read_survey(writer(tmp_path / "set"), None)))
    assert headline(found.tally) == "12 images (0 without objects), 48 objects (0 difficult, 0 crowds)"
    assert {one.name: (one.objects, one.images) for one in found.tally.classes} == dict.fromkeys(NAMES, (24, 12))
    assert found.tally.sizes == (((200, 160), 12),)
    assert found.tally.objects_per_image == (4.0,) * 7
    assert [one.min_size for one in found.reached] == [160, 320]


def test_advised_anchors_are_settings_that_a_configuration_takes(tmp_path: Path) -> None:
    found = of(usable(read_survey(write_voc(tmp_path / "set"), None)))
    overrides = [word for word in found.settings.split() if word != "--set"]
    config = changed(Config(), overrides)
    assert found.advised is not None
    assert (config.model.rpn.sides, config.model.rpn.ratios) == (found.advised.sides[0], found.advised.ratios)
    assert config.data.min_size == 320


def test_a_pyramid_is_measured_without_advice(tmp_path: Path) -> None:
    plan = AnchorPlan(AnchorShapes(((32.0,), (64.0,)), (1.0,)), (4, 8), None)
    found = of(usable(read_survey(write_voc(tmp_path / "set"), None)), plan)
    assert (len(found.reached), found.advised, found.settings) == (2, None, "")
    assert [table.row_count for table in tables(found)][-1] == 2


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
def test_what_cannot_be_used_is_left_out(tmp_path: Path, fault: str, counted: tuple[int, int, int]) -> None:
    root = write_voc(tmp_path / "set")
    FAULTS[fault].plant(root)
    found = of(usable(read_survey(root, None))).tally
    assert (found.images, found.objects, found.dropped) == counted
