"""Photos and parts in an object store: a local server that speaks S3."""

from __future__ import annotations

import io
import socket
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detect.inference.shards.job import Job
from detect.inference.shards.stores import OutputFolder, store_of
from detect.inference.shards.verify import verify_parts
from tests.inference.shards.stub_model import FAST, KEY, LoadStub, run_stub, write_photos

parquet = pytest.importorskip("pyarrow.parquet", reason="the extra scale is not installed")
pytest.importorskip("s3fs", reason="the extra scale is not installed")
pytest.importorskip("moto", reason="no moto[server], which answers as S3 does")
pytest.importorskip("flask", reason="no moto[server], which answers as S3 does")


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """fsspec's file system of a server with the bucket ``photos``."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        end = time.monotonic() + 120
        while time.monotonic() < end:
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
                break
            except OSError:
                time.sleep(0.1)
        store, _ = store_of("s3://photos")
        store.mkdir("photos")
        yield store
    finally:
        server.kill()
        server.wait()


def read_rows(out: str) -> list[dict[str, Any]]:
    folder = OutputFolder(out, FAST)
    return [
        row
        for name in folder.names()
        if name.startswith("part-")
        for row in parquet.read_table(io.BytesIO(folder.open(name).read())).to_pylist()
    ]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_object_store_gives_what_the_disk_gives(tmp_path: Path, s3: Any) -> None:
    names = [Path(file).name for file in write_photos(tmp_path / "photos", 25)]
    s3.put(f"{tmp_path}/photos/", "photos/photos/", recursive=True)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(tmp_path / "photos", "photos")
    s3.pipe_file("photos/s-0.tar", archive.getvalue())
    s3.pipe_file("photos/list.txt", "".join(f"photos/{name}\n" for name in [*names, "none.jpg"]).encode())
    assert run_stub(str(tmp_path / "photos"), Job(LoadStub(), str(tmp_path / "out"), FAST, 2)) == []
    expected = [row | {"url": Path(row["url"]).name} for row in read_rows(str(tmp_path / "out"))]
    sources = {"list.txt": 3, "photos/*.jpg": 3, "photos": 3, "s-0.tar": 1}
    for index, (source, num_shards) in enumerate(sources.items()):
        job = Job(LoadStub(), f"s3://photos/out{index}", FAST, 2)
        assert run_stub(f"s3://photos/{source}", job) == []
        verification = verify_parts(job.folder())
        assert (verification.num_shards, verification.missing, verification.faults) == (num_shards, (), ())
        rows = sorted(read_rows(job.out), key=lambda row: str(row["url"]))
        by_name = [row | {"url": Path(row["url"].partition("::")[0]).name} for row in rows]
        if source == "list.txt":
            assert by_name.pop() == expected[0] | dict.fromkeys(
                ("width", "height", "boxes", "scores", "labels", "masks")
            ) | {"url": "none.jpg", "status": "error", "error": "no such file", "model_key": KEY}
        assert by_name == expected
