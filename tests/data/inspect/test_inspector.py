from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from detect.data.findings import FINDING_KINDS, DatasetFinding
from detect.data.inspect.image_scan import scan_images
from detect.data.inspect.inspector import inspect_dataset, scan_folder
from tests.data.inspect.example_datasets import WRITERS, write_csv
from tests.data.inspect.example_faults import FAULTS, Fault


def inspect_folder(root: Path) -> list[DatasetFinding]:
    survey = scan_folder(root, None)
    return inspect_dataset(survey, dict(scan_images([image.file for image in survey.images], 1)))


@pytest.mark.parametrize("writer", WRITERS.values(), ids=WRITERS)
def test_clean_dataset_has_no_findings(tmp_path: Path, writer) -> None:
    assert inspect_folder(writer(tmp_path / "set")) == []


def test_comparison_reports_its_progress(tmp_path: Path) -> None:
    survey = scan_folder(write_csv(tmp_path / "set"), None)
    compared: list[int] = []
    inspect_dataset(survey, dict(scan_images([image.file for image in survey.images], 1)), compared.append)
    assert sum(compared) == len(survey.images) == 12


def test_trainval_split_does_not_repeat_findings(tmp_path: Path) -> None:
    root = write_csv(tmp_path / "set")
    rows = [line for split in ("train", "val") for line in (root / f"{split}.csv").read_text().splitlines()[1:]]
    (root / "trainval.csv").write_text("\n".join(rows) + "\n")
    (root / "images/p05.jpg").write_bytes(b"")
    survey = scan_folder(root, None)
    assert (len(survey.images), len(survey.distinct_images), survey.num_objects) == (24, 12, 48)
    assert [finding.kind for finding in inspect_folder(root)] == ["unreadable-image"]


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_each_fault_gives_its_finding_and_no_other(tmp_path: Path, fault: Fault) -> None:
    root = WRITERS[fault.format](tmp_path / "set")
    fault.apply(root)
    findings = inspect_folder(root)
    assert Counter(finding.kind for finding in findings) == {fault.kind: fault.count}
    assert all(str(root) in finding.file for finding in findings)


def test_every_finding_kind_has_an_example() -> None:
    assert {fault.kind for fault in FAULTS.values()} == set(FINDING_KINDS)
