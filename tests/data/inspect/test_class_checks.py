from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from detect.data.formats.labeled_folder import LabeledFolder
from detect.data.formats.records import LabeledImage, LabeledObject, LabeledSet
from detect.data.inspect.class_checks import check_classes


def make_scan(counts: Mapping[str, int], classes: tuple[str, ...] | None = None) -> LabeledFolder:
    box = (1.0, 2.0, 30.0, 40.0)
    objects = tuple(
        LabeledObject(f"object {index}", name, box) for name, count in counts.items() for index in range(count)
    )
    image = LabeledImage(Path("a.jpg"), "a.jpg", Path("a.xml"), None, 1, objects)
    categories = None if classes is None else {name: index for index, name in enumerate(classes, start=1)}
    return LabeledFolder("voc", Path("set"), {"train": LabeledSet((image,), categories)}, (), ())


@pytest.mark.parametrize(
    ("counts", "kinds"),
    [
        ({}, []),
        ({"dog": 10, "cat": 10}, []),
        ({"dog": 9, "cat": 10}, ["rare-class"]),
        ({"dog": 50, "Dog": 50}, ["similar-names"]),
        ({"traffic light": 50, "traffic_light": 50}, ["similar-names"]),
        ({"dog": 50, "dog ": 1}, ["similar-names"]),
        ({"cat": 50, "car": 50}, []),
        ({"cat": 50, "car": 1}, ["rare-class"]),
        ({"person": 500, "persn": 3}, ["similar-names"]),
        ({"person": 500, "peerson": 3}, ["similar-names"]),
        ({"person": 500, "pesron": 3}, ["similar-names"]),
        ({"person": 500, "parson": 300}, []),
        ({"person": 500, "prison": 12}, []),
        ({"+": 20, "-": 20}, []),
    ],
)
def test_check_classes_reports_similar_and_rare_names(counts: dict[str, int], kinds: list[str]) -> None:
    assert [finding.kind for finding in check_classes(make_scan(counts))] == kinds


def test_listed_class_without_objects_is_rare() -> None:
    (finding,) = check_classes(make_scan({"dog": 20}, ("dog", "cat")))
    assert (finding.kind, finding.message) == ("rare-class", "cat: 0 objects")
