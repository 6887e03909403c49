from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from detect.data.inspect.findings import FINDING_KINDS, DatasetFinding
from detect.data.inspect.image_scan import scan_images
from detect.data.inspect.inspector import inspect_dataset, scan_folder
from tests.data.inspect.drawn_set import WRITERS, write_csv
from tests.data.inspect.faults import FAULTS, Fault


def found_in(root: Path) -> list[DatasetFinding]:
    survey = scan_folder(root, None)
    return inspect_dataset(survey, dict(scan_images([image.file for image in survey.images], 1)))


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_a_clean_set_is_clean(tmp_path: Path, writer) -> None:
    assert found_in(writer(tmp_path / "set")) == []


def test_the_comparison_says_how_far_it_is(tmp_path: Path) -> None:
    survey = scan_folder(write_csv(tmp_path / "set"), None)
    compared: list[int] = []
    inspect_dataset(survey, dict(scan_images([image.file for image in survey.images], 1)), compared.append)
    assert sum(compared) == len(survey.images) == 12


def test_a_list_of_all_repeats_nothing(tmp_path: Path) -> None:
    root = write_csv(tmp_path / "set")
    rows = [line for split in ("train", "val") for line in (root / f"{split}.csv").read_text().splitlines()[1:]]
    (root / "trainval.csv").write_text("\n".join(rows) + "\n")
    (root / "images/p05.jpg").write_bytes(b"")
    survey = scan_folder(root, None)
    assert (len(survey.images), len(survey.distinct_images), survey.num_objects) == (24, 12, 48)
    assert [finding.kind for finding in found_in(root)] == ["unreadable-image"]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_a_planted_fault_is_found_and_nothing_else(tmp_path: Path, fault: Fault) -> None:
    root = WRITERS[fault.format](tmp_path / "set")
    fault.plant(root)
    findings = found_in(root)
    assert Counter(finding.kind for finding in findings) == {fault.kind: fault.count}
    assert all(str(root) in finding.file for finding in findings)


def test_every_kind_is_planted() -> None:
    assert {fault.kind for fault in FAULTS.values()} == set(FINDING_KINDS)
