"""Every case gives the same, right boxes in inspect, stats, convert, train and eval, or the same line."""

from __future__ import annotations

from pathlib import Path

import pytest

from detect.config.builders.data import read_splits
from detect.config.builders.resolve import resolve
from detect.config.files import parse_config
from detect.data.convert.convertible_dataset import read_convertible_dataset
from detect.data.findings import FINDING_KINDS
from detect.data.formats.detect_format import detect_format
from detect.data.inspect.image_scan import scan_images
from detect.data.inspect.inspector import inspect_dataset, scan_folder
from detect.data.inspect.valid_annotations import unreadable_findings
from detect.errors import UserError
from tests.data.cases.case import Case
from tests.data.cases.coco_cases import COCO_CASES
from tests.data.cases.readers import READERS
from tests.data.cases.voc_cases import VOC_CASES
from tests.data.cases.write_cases import BOX, WRITABLE_SUFFIXES, voc, write_files, write_image, yolo
from tests.data.cases.yolo_csv_cases import YOLO_CSV_CASES

CASES = YOLO_CSV_CASES | VOC_CASES | COCO_CASES

LOOK_ALIKE = {"near-duplicate", "duplicate-image", "near-leak", "leak", "rare-class", "whole-image"}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_command_reads_the_same_boxes(tmp_path: Path, case: Case) -> None:
    case.write(tmp_path)
    for command, read in READERS.items():
        if case.boxes is not None:
            assert read(tmp_path) == case.boxes, command
        elif command not in ("inspect", "stats"):
            with pytest.raises(UserError, match=case.refused) as raised:
                read(tmp_path)
            assert "\n" not in str(raised.value)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_inspection_reports_what_the_readers_say(tmp_path: Path, case: Case) -> None:
    case.write(tmp_path)
    try:
        folder = scan_folder(tmp_path, None)
    except UserError as error:
        with pytest.raises(UserError, match=case.refused):
            raise error from None
        return
    findings = inspect_dataset(folder, dict(scan_images([image.file for image in folder.images], 1)))
    kinds = {finding.kind for finding in findings if finding.is_fault} - LOOK_ALIKE
    if case.boxes is not None:
        assert kinds == case.findings
    else:
        assert any(FINDING_KINDS[kind].severity == "error" for kind in kinds), "a refused folder has an error"


@pytest.mark.parametrize(
    ("name", "kind"), [("COCO: size before the EXIF rotation", "rotated"), ("VOC: size of another image", "wrong-size")]
)
def test_conversion_and_statistics_note_other_sizes_once(tmp_path: Path, name: str, kind: str) -> None:
    CASES[name].write(tmp_path)
    for findings in (
        read_convertible_dataset(tmp_path, detect_format(tmp_path), None).findings,
        scan_folder(tmp_path, None).findings,
    ):
        assert [finding.kind for finding in findings if finding.kind in ("rotated", "wrong-size")] == [kind]


@pytest.mark.parametrize(("text", "difficult"), [("", False), ("0", False), ("1", True), ("true", True), ("no", False)])
def test_voc_flags(tmp_path: Path, text: str, difficult: bool) -> None:
    flag = f"<difficult>{text}</difficult></object>"
    write_files(tmp_path, {"a.jpg": "image", "a.xml": voc().replace("</object>", flag)})
    ((instance,),) = (image.objects for image in scan_folder(tmp_path, None).images)
    assert instance.difficult is difficult


def test_training_says_that_all_objects_are_crowds(tmp_path: Path) -> None:
    CASES["COCO: crowds alone"].write(tmp_path)
    data = {"format": "auto", "root": str(tmp_path), "val": 0.0}
    config = resolve(parse_config({"data": data, "train": {"steps": 1, "validate_every": None}}, "test"))
    assert "splits: all 1 objects to train on are crowds, from which nothing is learnt" in read_splits(config).notes


@pytest.mark.parametrize("crowd", [0, 1])
def test_objects_to_ignore_are_counted_unless_they_are_crowds(tmp_path: Path, crowd: int) -> None:
    CASES["COCO: objects to ignore that are no crowds"].write(tmp_path)
    file = tmp_path / "all.json"
    file.write_text(file.read_text().replace('"iscrowd": 0', f'"iscrowd": {crowd}'))
    found = [finding.message for finding in scan_folder(tmp_path, None).findings]
    cure = 'set "iscrowd": 1 to ignore them'
    expected = f'1 objects have "ignore": 1, and are objects as any other, as for pycocotools: {cure}'
    assert found == [expected][crowd:]


def test_statistics_name_images_that_cannot_be_read(tmp_path: Path) -> None:
    write_files(tmp_path, {"a.jpg": "image", "b.jpg": "text", "classes.txt": "cat\n"})
    write_files(tmp_path, {f"{name}.txt": yolo() for name in "abc"})
    (tmp_path / "c.jpg").symlink_to("nothing")
    findings = unreadable_findings(scan_folder(tmp_path, None))
    assert [Path(finding.file).name for finding in findings] == ["b.jpg", "c.jpg"]
    assert [finding.kind for finding in findings] == ["unreadable-image", "missing-image"]


def test_voc_images_of_every_kind_are_read_in_any_case(tmp_path: Path) -> None:
    suffixes = sorted(WRITABLE_SUFFIXES - {".jpg"})
    names = [f"{i}{suffix.upper() if i % 2 else suffix.title()}" for i, suffix in enumerate(suffixes)]
    for name in names:
        write_image(tmp_path / "JPEGImages" / name)
        write_files(tmp_path, {f"Annotations/{Path(name).stem}.xml": voc(name)})
    expected = {f"JPEGImages/{name}": [("cat", *BOX)] for name in sorted(names)}
    for command, read in READERS.items():
        assert read(tmp_path) == dict(sorted(expected.items())), command
