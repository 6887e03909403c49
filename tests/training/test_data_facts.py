from __future__ import annotations

import pytest

from detect.data.annotations import Annotations
from detect.data.sources import select
from detect.training.data_facts import data_facts, describe_change
from tests.data.test_sources import dataset

EMPTY = Annotations.from_images([], ["cat"])


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (dataset("a", 4, ["cat"]), None),
        (dataset("moved", 4, ["cat"]), None),
        (select(dataset("a", 4, ["cat"]), [0, 1, 2]), "train images 4, now 3"),
        (select(dataset("a", 4, ["cat"]), [0, 2]), "train images 4, now 2; train objects 3, now 2"),
        (select(dataset("a", 4, ["cat"]), [1, 0, 2, 3]), "as many images and objects, but other ones"),
        (EMPTY, "train images 4, now 0; train objects 3, now 0"),
    ],
    ids=["same", "moved", "an image less", "two images less", "another order", "none"],
)
def test_describe_change_names_what_is_other(now: Annotations, line: str | None) -> None:
    change = describe_change(data_facts(dataset("a", 4, ["cat"]), EMPTY), data_facts(now, EMPTY))
    assert change == (None if line is None else f"the data are others than when the run began: {line}")


def test_describe_change_of_a_run_without_facts_is_none() -> None:
    assert describe_change({}, data_facts(EMPTY, EMPTY)) is None
