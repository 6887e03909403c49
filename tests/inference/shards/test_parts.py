from __future__ import annotations

import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from detect.errors import RunError, UserError
from detect.inference.shards.job import Job, WorkerNumber, shards_of_job
from detect.inference.shards.manifest import Manifest
from detect.inference.shards.model import Photo
from detect.inference.shards.parts import parse_part_name, part_name
from detect.inference.shards.read_photos import in_batches
from detect.inference.shards.run_shard import finished_shards
from detect.inference.shards.stores import store_name
from detect.inference.shards.verify import verify_parts
from tests.inference.shards.stub_model import FAST, KEY, LoadStub, part_key, run_stub, write_photos

pyarrow = pytest.importorskip("pyarrow", reason="the extra scale is not installed")
parquet = pytest.importorskip("pyarrow.parquet")


def rows(out: Path) -> list[dict[str, Any]]:
    return [row for file in sorted(out.glob("part-*.parquet")) for row in parquet.read_table(file).to_pylist()]


def make_job(out: object) -> Job:
    return Job(LoadStub(), str(out), FAST, 2)


def write_tar(file: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(file, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def test_names_of_parts() -> None:
    assert parse_part_name(part_name(12, KEY)) == (12, KEY)
    assert part_name(12, KEY) == f"part-00000012-{KEY}.parquet"
    assert parse_part_name(part_name(123456789, KEY)) == (123456789, KEY)
    for name in ("_manifest", f".part-00000012-{KEY}.parquet.x.aside", f"part-12-{KEY}.parquet"):
        assert parse_part_name(name) is None


@pytest.mark.parametrize(
    ("share", "expected"), [(None, [0, 1, 2, 5]), ("0/1", [0, 1, 2, 5]), ("1/2", [1, 5]), ("3/4", [])]
)
def test_shares(share: str | None, expected: list[int]) -> None:
    assert shards_of_job([0, 1, 2, 5], share) == expected


@pytest.mark.parametrize("share", ["", "1", "2/2", "-1/2", "a/b", "1/0"])
def test_shares_that_are_none(share: str) -> None:
    with pytest.raises(UserError, match=r"--shard: expected I/N with I from 0 to N - 1"):
        shards_of_job([0], share)


@pytest.mark.parametrize(
    ("groups", "expected"),
    [("", []), ("a", ["a"]), ("aaa", ["aa", "a"]), ("abab", ["aa", "bb"]), ("abcdefg", [*"abcdefg"])],
)
def test_batches_have_one_group_and_few_photos_wait(groups: str, expected: list[str]) -> None:
    photos = [Photo(index, group, (1, 1), (ord(group), 0), None) for index, group in enumerate(groups)]
    assert ["".join(photo.url for photo in batch) for batch in in_batches(photos, 2)] == expected


def test_one_row_for_each_photo_in_the_order_of_the_list(tmp_path: Path) -> None:
    files = write_photos(tmp_path / "photos", 12)
    (tmp_path / "photos/bad.png").write_bytes(b"nothing")
    urls = [*files[:5], f"{tmp_path}/none.jpg", f"{tmp_path}/photos/bad.png", *files[5:]]
    (tmp_path / "list.txt").write_text("\n".join(urls), encoding="utf-8")
    job = make_job(tmp_path / "out")
    assert run_stub(str(tmp_path / "list.txt"), job, shard_size=5) == []
    written = rows(tmp_path / "out")
    assert [row["url"] for row in written] == urls
    failed = [row for row in written if row["status"] == "error"]
    assert [row["error"] for row in failed] == ["no such file", "cannot be decoded: b'nothing'"]
    assert {row["boxes"] is None and row["width"] is None for row in failed} == {True}
    assert all(len(row["boxes"]) == len(row["scores"]) == len(row["labels"]) for row in written if row not in failed)
    assert {row["model_key"] for row in written} == {KEY}
    verification = verify_parts(job.folder())
    assert (verification.num_shards, verification.missing, verification.faults) == (3, (), ())
    assert verification.statuses == {"ok": 12, "error": 2}
    assert finished_shards(job.folder(), part_key(Manifest(job.folder()))) == {0, 1, 2}


def test_tar_files_are_shards_and_their_photos_open_by_their_urls(tmp_path: Path) -> None:
    members = {f"a/{index}.jpg": b"photo %d" % index for index in range(30)}
    write_tar(tmp_path / "s-0.tar", members | {"a/0.cls": b"3", "a/x.json": b"{}"})
    write_tar(tmp_path / "s-1.tar", {})
    content = (tmp_path / "s-0.tar").read_bytes()
    (tmp_path / "s-2.tar").write_bytes(content[:5120])  # between two photos: tarfile alone takes it for the end
    (tmp_path / "s-3.tar").write_bytes(content[:5700])
    (tmp_path / "s-4.tar").write_bytes(content[:5120] + b"x" * 512 + content[5632:])
    job = make_job(tmp_path / "out")
    assert run_stub(f"{tmp_path}/s-{{0..5}}.tar", job) == []
    written = rows(tmp_path / "out")
    first = [row for row in written if "s-0.tar" in row["url"]]
    assert [row["url"] for row in first] == [f"tar://{name}::{tmp_path}/s-0.tar" for name in members]
    with fsspec.open(first[7]["url"], "rb") as stream:
        assert stream.read() == b"photo 7"
    failed = {row["url"]: row["error"] for row in written if row["status"] == "error"}
    assert list(failed) == [f"{tmp_path}/s-{index}.tar" for index in range(1, 6)]
    lost = "photos; the rest of the file is lost, number unknown"
    assert [error.split(" (")[0] for error in failed.values()] == [
        "expected photos, found none",
        f"cut short after 5 {lost}",
        f"cut short after 6 {lost}",
        f"cut short after 5 {lost}",
        "no such file",
    ]
    assert len(written) == 30 + 1 + 6 + 7 + 6 + 1
    verification = verify_parts(job.folder())
    assert (verification.faults, verification.num_cut_short) == ((), 3)
    summaries = [job.runner(WorkerNumber()).run(number) for number in (0, 2)]
    assert [summary.passed_over for summary in summaries] == [{".cls": 1, ".json": 1}, {}]
    assert summaries[0].cut_short is None
    assert str(summaries[1].cut_short).startswith(f"{tmp_path}/s-2.tar: cut short after 5 {lost}")


def test_a_tar_file_of_other_files_is_an_error(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"a.json": b"{}", "b.JSON": b"{}", "c": b""})
    job = make_job(tmp_path / "out")
    assert run_stub(f"{tmp_path}/a.tar", job) == []
    assert [row["error"] for row in rows(tmp_path / "out")] == ["expected photos, found 2 .json, 1 without suffix"]
    assert verify_parts(job.folder()).faults == ()


def test_two_rows_of_a_photo_in_a_tar_file_are_a_fault(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for content in (b"photo 1", b"photo 2"):
            member = tarfile.TarInfo("a.jpg")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    job = make_job(tmp_path / "out")
    assert run_stub(f"{tmp_path}/a.tar", job) == []
    (fault,) = verify_parts(job.folder()).faults
    assert fault.endswith(f": 2 rows of tar://a.jpg::{tmp_path}/a.tar, which the tar file may have as often")


def test_a_store_that_fails_in_a_tar_file_leaves_no_part(tmp_path: Path, faulty_store: FaultyStore) -> None:
    write_tar(tmp_path / "a.tar", {f"{index}.jpg": b"photo %d" % index for index in range(30)})
    faulty_store.pipe_file("/photos/broken-stream.tar", (tmp_path / "a.tar").read_bytes())
    job = make_job(tmp_path / "out")
    (failure,) = run_stub("faulty://photos/broken-stream.tar", job)
    assert "broken-stream.tar: the store failed after " in failure
    assert failure.endswith("TimeoutError: no more")
    assert verify_parts(job.folder()).missing == (0,)


def test_verification_names_what_is_wrong(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 9)
    job = make_job(tmp_path / "out")
    run_stub(str(tmp_path / "photos"), job, shard_size=2)
    parts = sorted((tmp_path / "out").glob("part-*"))
    parts[0].unlink()
    content = bytearray(parts[1].read_bytes())
    content[len(content) // 4] ^= 1
    parts[1].write_bytes(content)
    parts[2].write_bytes(parts[2].read_bytes()[:-20])
    parts[3].write_bytes(parts[4].read_bytes())
    verification = verify_parts(job.folder())
    assert verification.missing == (0,)
    assert [line.partition(": ")[0] for line in verification.faults] == [str(part) for part in parts[1:4]]
    assert [line.partition(": ")[2] for line in verification.faults] == [
        "damaged: its bytes do not match its checksum; it is damaged, or another program rewrote it",
        "damaged: its bytes do not match its checksum; it is damaged, or another program rewrote it",
        "of the shard 4",
    ]
    assert verification.statuses == {"ok": 1}
    for part in parts[1:4]:
        part.unlink()
    run_stub(str(tmp_path / "photos"), job, shard_size=2)
    assert verify_parts(job.folder()).statuses == {"ok": 9}


def test_a_manifest_with_other_addresses_is_damaged(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3)
    job = make_job(tmp_path / "out")
    run_stub(str(tmp_path / "photos"), job)
    file = tmp_path / "out/_manifest"
    metadata = parquet.ParquetFile(file).metadata.metadata
    urls = parquet.read_table(file).column("url").to_pylist()
    table = pyarrow.table({"url": [*urls[:2], urls[0]]}, schema=parquet.read_schema(file))
    with parquet.ParquetWriter(file, table.schema) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({b"detect.manifest": metadata[b"detect.manifest"]})
    with pytest.raises(RunError, match=r"_manifest: expected .*, found a damaged file: other addresses in shard 0"):
        verify_parts(job.folder())


def test_parts_of_another_model_are_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3)
    job = make_job(tmp_path / "out")
    run_stub(str(tmp_path / "photos"), job)
    with pytest.raises(RunError, match=r"expected parts of this model, these settings, this version and this list"):
        finished_shards(job.folder(), replace(part_key(Manifest(job.folder())), model="f" * 16))
    (tmp_path / "out/_manifest").unlink()  # with a new list, shard 0 would have other photos than its part
    write_photos(tmp_path / "photos", 4)
    with pytest.raises(RunError, match=r"this list"):
        run_stub(str(tmp_path / "photos"), job)


class FaultyStore(MemoryFileSystem):  # type: ignore[misc]
    """A store whose answers for some names fail; ``attempts`` counts the requests for each."""

    protocol = "faulty"
    cachable = False
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    attempts: ClassVar[dict[str, int]] = {}

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        stripped: str = super()._strip_protocol(path.replace("faulty://", "memory://"))
        return stripped

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        name = path.rpartition("/")[2]
        self.attempts[name] = count = self.attempts.get(name, 0) + 1
        content: bytes = super().cat_file(path, start, end)
        if "timeout" in name and (count < 3 or "always" in name):
            raise TimeoutError("no answer")
        if "error500" in name and (count < 2 or "always" in name):
            raise OSError("500 Internal Server Error")
        if "cut" in name and (count < 2 or "always" in name):
            return content[:3]
        return content

    def _open(self, path: str, *arguments: Any, **options: Any) -> Any:
        stream = super()._open(path, *arguments, **options)
        return BrokenStream(stream.getvalue()) if "broken-stream" in path else stream


class BrokenStream(io.BytesIO):
    """A stream that fails after its first 20 kB."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= 20_000:
            raise TimeoutError("no more")
        return super().read(size)


@pytest.fixture
def faulty_store() -> FaultyStore:
    fsspec.register_implementation("faulty", FaultyStore, clobber=True)
    FaultyStore.store, FaultyStore.attempts = {}, {}
    return FaultyStore()


def test_errors_of_the_store_are_retried_and_then_told(tmp_path: Path, faulty_store: FaultyStore) -> None:
    names = ["a.jpg", "timeout.jpg", "error500.jpg", "cut.jpg"]
    names += ["timeout-always.jpg", "error500-always.jpg", "cut-always.jpg"]
    for name in names:
        faulty_store.pipe_file(f"/photos/{name}", f"photo {name}".encode())
    job = make_job("faulty://out")
    (tmp_path / "list.txt").write_text("".join(f"faulty://photos/{name}\n" for name in names), encoding="utf-8")
    assert run_stub(str(tmp_path / "list.txt"), job) == []
    assert verify_parts(job.folder()).statuses == {"ok": 4, "error": 3}
    content = faulty_store.cat_file(f"/out/{part_name(0, part_key(Manifest(job.folder())).digest)}")
    errors = [row["error"] for row in parquet.read_table(io.BytesIO(content)).to_pylist()[4:]]
    assert errors == [
        "the store failed: TimeoutError: no answer",
        "the store failed: OSError: 500 Internal Server Error",
        "cannot be decoded: b'pho'",
    ]
    assert faulty_store.attempts["timeout.jpg"] == faulty_store.attempts["timeout-always.jpg"] == 3
    assert faulty_store.attempts["cut.jpg"] == 2


def test_a_store_that_is_gone_leaves_no_part(tmp_path: Path, faulty_store: FaultyStore) -> None:
    for index in range(4):
        faulty_store.pipe_file(f"/photos/timeout-always-{index}.jpg", b"photo")
    job = make_job(tmp_path / "out")
    failures = run_stub("faulty://photos/*.jpg", job, shard_size=2)
    assert [line.partition(": ")[0] for line in failures] == ["shard 0", "shard 1"]
    assert "the store gave none of 2 photos; the store failed: " in failures[0]
    assert verify_parts(job.folder()).missing == (0, 1)
    for index in range(4, 40):
        faulty_store.pipe_file(f"/photos/timeout-always-{index}.jpg", b"photo")
    with pytest.raises(RunError, match="10 shards failed one after the other"):
        run_stub("faulty://photos/*.jpg", make_job(tmp_path / "out2"), shard_size=2)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("/x/a.jpg", "://"),
        ("s3://b/a.jpg", "s3://b"),
        ("https://h:1/a", "https://h:1"),
        ("tar://a::s3://b/c", "s3://b"),
    ],
)
def test_stores_of_addresses(address: str, expected: str) -> None:
    assert store_name(address) == expected


def test_dead_hosts_are_rows_and_an_unknown_store_ends_the_run(tmp_path: Path, faulty_store: FaultyStore) -> None:
    names = [f"{host}/timeout-always.jpg" for host in ("a", "b")]
    for name in names:
        faulty_store.pipe_file(f"/{name}", b"photo")
    (tmp_path / "list.txt").write_text("".join(f"faulty://{name}\n" for name in names), encoding="utf-8")
    job = make_job(tmp_path / "out")
    assert run_stub(str(tmp_path / "list.txt"), job) == []
    assert verify_parts(job.folder()).statuses == {"error": 2}
    (tmp_path / "other.txt").write_text("nosuch://a.jpg\n", encoding="utf-8")
    for num_workers in (1, 2):
        with pytest.raises(UserError, match=r"nosuch://a.jpg: expected an address that fsspec reads"):
            run_stub(str(tmp_path / "other.txt"), make_job(tmp_path / "other"), num_workers)


@pytest.mark.slow
def test_a_run_with_one_process_equals_a_run_with_two(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 25)
    for out, num_workers in (("one", 1), ("two", 2)):
        assert run_stub(str(tmp_path / "photos"), make_job(tmp_path / out), num_workers) == []
    one, two = ({file.name: file.read_bytes() for file in (tmp_path / out).glob("part-*")} for out in ("one", "two"))
    assert one == two
    assert len(one) == 3


def test_runner_of_a_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="expected the results of --from, found no _manifest in it"):
        make_job(tmp_path).runner(WorkerNumber())
