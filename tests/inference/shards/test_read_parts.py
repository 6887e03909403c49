from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from detect.data.masks import encode
from detect.errors import UserError
from detect.evaluation.predictions import Prediction, empty_prediction
from detect.inference.result_files import read_results
from detect.inference.result_writers import write_json
from detect.inference.shards.fetch import CUT_SHORT
from detect.inference.shards.job import Job
from detect.inference.shards.model import ReadError
from detect.inference.shards.part_checksum import PartChecksumError
from detect.inference.shards.parts import PartKey, decode_part, encode_part, part_name
from detect.inference.shards.read_parts import part_files, photo_names, read_parts
from tests.inference.shards.stub_model import FAST, LoadStub, run_stub, write_photos
from tests.tools.test_eval_tools import Call, call  # noqa: F401 - a fixture

parquet = pytest.importorskip("pyarrow.parquet", reason="the extra scale is not installed")

KEY = PartKey("0" * 16, ("cat", "dog"), "m")
BITMAP = np.arange(200).reshape(10, 20) % 7 == 0
DETECTED = Prediction(
    file="/x/a.jpg",
    width=20,
    height=10,
    boxes=np.array([[0.5, 1.0, 12.25, 9.0], [1.0, 1.0, 4.0, 5.0]]),
    scores=np.array([0.75, 0.5]),
    labels=np.array([2, 1]),
    masks=(encode(BITMAP), encode(~BITMAP)),
)
EMPTY = empty_prediction("/x/b.jpg", (10, 20))
FAILED = ReadError(2, "/x/c.jpg", "no such file", False)


def write_parts(folder: Path, *shards: Sequence[Prediction | ReadError], key: PartKey = KEY) -> Path:
    folder.mkdir(exist_ok=True)
    for number, rows in enumerate(shards):
        (folder / part_name(number, key.digest)).write_bytes(encode_part(number, rows, key))
    return folder


def test_parts_are_read_as_they_were_written(tmp_path: Path) -> None:
    assert part_files(tmp_path) == part_files(tmp_path / "a.json") == []
    assert read_parts(write_parts(tmp_path / "none", [])).predictions == []
    parts = read_parts(write_parts(tmp_path / "out", [DETECTED, FAILED], [EMPTY]))
    assert (parts.classes, parts.unreadable) == (("cat", "dog"), ("/x/c.jpg",))
    first, second = parts.predictions
    assert (first.file, first.width, first.height, first.masks) == ("/x/a.jpg", 20, 10, DETECTED.masks)
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(first, name), getattr(DETECTED, name))
    assert (second.file, len(second)) == ("/x/b.jpg", 0)


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        ([], []),
        (["/x/a.jpg", "s3://b/a.jpg"], ["/x/a.jpg", "s3://b/a.jpg"]),
        (["tar://a/1.jpg::/x/y.tar", "tar://b/2.jpg::/x/y.tar"], ["a/1.jpg", "b/2.jpg"]),
        (["tar://1.jpg::/x/y.tar", "tar://2.jpg::s3://b/y.tar"], ["1.jpg", "2.jpg"]),
        (["tar://1.jpg::/x/y.tar", "tar://1.jpg::/x/z.tar", "/1.jpg"], ["y.tar/1.jpg", "z.tar/1.jpg", "/1.jpg"]),
        (["tar://1.jpg::s3://b/x/y.tar", "tar://1.jpg::s3://b/z/y.tar"], ["x/y.tar/1.jpg", "z/y.tar/1.jpg"]),
        (["tar://1.jpg::/x/y.tar", "tar://1.jpg::/x/y.tar"], ["1.jpg", "1.jpg"]),  # twice in one file
        (["tar://1.jpg::s3://b/y.tar", "tar://1.jpg::s3://b//y.tar"], None),
        (["tar://1.jpg"], None),
    ],
)
def test_photos_of_tar_files_are_named_by_their_paths_in_them(addresses: list[str], names: list[str] | None) -> None:
    assert photo_names(addresses) == (addresses if names is None else names)


@pytest.mark.parametrize(
    ("removed", "gaps"),
    [
        ([], []),
        ([0, 2], ["{out}: 2 of 3 shards have no part; their photos are not in the results"]),
        (["_manifest"], ["{out}: it has no _manifest, so that shards without a part cannot be told"]),
    ],
)
def test_shards_without_a_part_are_told(tmp_path: Path, removed: list[int | str], gaps: list[str]) -> None:
    write_photos(tmp_path / "photos", 6)
    out = tmp_path / "out"
    run_stub(str(tmp_path / "photos"), Job(LoadStub(), str(out), FAST, 2), shard_size=2)
    files = part_files(out)
    for name in removed:
        (files[name] if isinstance(name, int) else out / name).unlink()
    assert read_results(out).gaps == tuple(gap.replace("{out}", str(out)) for gap in gaps)


def test_tar_files_that_are_cut_short_are_told(tmp_path: Path) -> None:
    row = ReadError(1, "/x/a.tar", f"{CUT_SHORT} 1 photos; the rest of the file is lost, number unknown", False)
    folder = write_parts(tmp_path / "out", [DETECTED, row])
    line = f"{folder}: 1 tar files are cut short; the rest of their photos is not in the results"
    assert line in read_results(folder).gaps


def test_any_bit_of_a_part_that_is_flipped_is_seen() -> None:
    content = encode_part(0, [DETECTED, FAILED, EMPTY], KEY)
    assert decode_part(content).num_rows == 3
    unseen = []
    for bit in range(8 * len(content)):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        with contextlib.suppress(PartChecksumError):
            unseen.append((bit, decode_part(bytes(damaged))))
    assert unseen == []


@pytest.mark.parametrize(
    "content", [b"", b"PAR1", b"detect.checksum", b"\x18\x0fdetect.checksum\x18\x20" + b"0" * 31 + b"\x00"]
)
def test_files_without_a_checksum(content: bytes) -> None:
    with pytest.raises(PartChecksumError, match=r"it has no detect.checksum in its metadata"):
        decode_part(content)


def test_classes_in_another_order_have_other_labels(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "out", [DETECTED, FAILED])
    results = read_results(folder, classes=["dog", "cat"])
    assert results.predictions[0].labels.tolist() == [1, 2]
    assert results.unreadable == ("/x/c.jpg",)
    with pytest.raises(UserError, match=r"expected classes among dog, bird, found cat"):
        read_results(folder, classes=["dog", "bird"])


def test_files_that_are_no_parts(tmp_path: Path) -> None:
    folder = write_parts(tmp_path / "out", [DETECTED])
    write_parts(folder, [], [EMPTY], key=PartKey("1" * 16, ("bird",), "m"))
    with pytest.raises(UserError, match=r"expected the classes of the other parts, found"):
        read_parts(folder)
    other = tmp_path / "other.parquet"
    parquet.write_table(parquet.read_table(part_files(folder)[0]).replace_schema_metadata({}), other)
    message = r"other.parquet: expected a part of `detect predict --from`, found: it has no detect.checksum"
    with pytest.raises(UserError, match=message):
        read_parts(other)
    other.write_bytes(b"")
    with pytest.raises(UserError, match=message):
        read_parts(other)


def test_parts_that_another_program_rewrote_are_refused(tmp_path: Path) -> None:
    (file,) = part_files(write_parts(tmp_path / "out", [DETECTED]))
    table = parquet.ParquetFile(file).read()
    parquet.write_table(table, file)  # its metadata have the old checksum
    with pytest.raises(UserError, match=r"do not match its checksum; it is damaged, or another program rewrote it"):
        read_parts(file)


@pytest.mark.parametrize(
    "text", ["\x18\x0fdetect.checksum\x18 " + "0" * 32 + "\x00", "detect.checksum\x18 " + "a" * 32]
)
def test_a_name_like_the_entry_of_the_checksum_stays(text: str, tmp_path: Path) -> None:
    row = replace(DETECTED, file=text)
    folder = write_parts(
        tmp_path / "out", [row, ReadError(1, text, text, False)], key=replace(KEY, classes=("a", text))
    )
    parts = read_parts(folder)
    assert (parts.classes, parts.predictions[0].file, parts.unreadable) == (("a", text), text, (text,))


def test_eval_coco_scores_parts_as_it_scores_json(tmp_path: Path, call: Call) -> None:  # noqa: F811
    folder = write_parts(tmp_path / "out", [DETECTED, FAILED], [EMPTY])
    write_json(tmp_path / "predictions.json", [DETECTED, EMPTY], KEY.classes)
    images = [
        {"id": index, "file_name": f"{name}.jpg", "width": 20, "height": 10} for index, name in enumerate("abc", 1)
    ]
    annotation = {"id": 1, "image_id": 1, "category_id": 9, "bbox": [1, 1, 11, 8], "area": 88, "iscrowd": 0}
    categories = [{"id": 9, "name": "dog"}, {"id": 4, "name": "cat"}]
    truth = {"images": images, "annotations": [annotation], "categories": categories}
    (tmp_path / "gt.json").write_text(json.dumps(truth))
    scores = []
    for results in (tmp_path / "predictions.json", folder):
        out = tmp_path / "scores.json"
        status, _, err = call(
            "eval_coco.py", "--annotations", tmp_path / "gt.json", "--results", results, "--json", out
        )
        assert status == 0
        scores.append({name: value for name, value in json.loads(out.read_text()).items() if name != "seconds"})
    assert scores[0] == scores[1]
    assert scores[0]["AP50"] > 0.99
    assert "1 photo could not be read: no detections" in err
    assert "it has no _manifest" in err


def test_eval_voc_counts_the_photos_of_a_part_that_could_not_be_read(tmp_path: Path, call: Call) -> None:  # noqa: F811
    folder = write_parts(tmp_path / "out", [DETECTED, FAILED, EMPTY])
    voc = tmp_path / "voc"
    for name in ("Annotations", "JPEGImages", "ImageSets/Main"):
        (voc / name).mkdir(parents=True)
    (voc / "ImageSets/Main/val.txt").write_text("a\nb\nc\n")
    box = "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>13</xmax><ymax>10</ymax></bndbox>"
    for name in "abc":
        objects = f"<object><name>dog</name>{box}</object>" if name == "a" else ""
        size = "<size><width>20</width><height>10</height><depth>3</depth></size>"
        (voc / f"Annotations/{name}.xml").write_text(
            f"<annotation><filename>{name}.jpg</filename>{size}{objects}</annotation>"
        )
        (voc / f"JPEGImages/{name}.jpg").write_bytes(b"")
    (part,) = part_files(folder)
    status, _, err = call("eval_voc.py", "--root", voc, "--split", "val", "--results", part)
    assert status == 0, err
    assert "eval_voc: 1 photo could not be read: no detections" in err
