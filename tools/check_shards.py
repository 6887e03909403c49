#!/usr/bin/env python3
"""Measure `detect predict --from` on this machine and print the figures; run it where nothing else runs.

    python tools/check_shards.py rows PHOTOS [--photos 2000] [--runner ray]...
    python tools/check_shards.py throughput PHOTOS [--photos 200]
    python tools/check_shards.py memory [--photos 100000]
    python tools/check_shards.py list [--urls 1000000] PHOTOS

PHOTOS: a folder of photos; they are repeated under other names until there are enough. rows: the rows of a local list,
of a local server that speaks S3 (needs moto[server]), of two processes, of `--shard` and of Ray are the same, once
each; all with one thread a process, as the last bits of a convolution depend on the number of threads. throughput:
photos a second of `detect predict MODEL PATH`, of `--from` with one process and with two. memory: the slope over the
photos with a detector that costs nothing. list: seconds to the first photo, and memory, of a list of a million and of
ten.
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import numpy as np

from detect.cli.exit_status import run_command
from detect.data.images import is_image
from detect.errors import UserError
from detect.inference.shards.read_parts import read_parts

MODEL = "detect/voc_faster_rcnn"
ONE_THREAD = {"OMP_NUM_THREADS": "1"}


@click.group(help=__doc__)
def main() -> None:
    """Measure."""


@main.command("rows")
@click.argument("photos", type=click.Path(path_type=Path))
@click.option("--photos", "count", default=2000)
@click.option("--runner", "runners", multiple=True, type=click.Choice(["ray"]))
def rows(photos: Path, count: int, runners: tuple[str, ...]) -> None:
    """Compare the rows of all runners and sources."""
    with tempfile.TemporaryDirectory() as folder:
        files = _repeat(photos, Path(folder) / "photos", count)
        listed = Path(folder) / "list.txt"
        listed.write_text("".join(f"{file}\n" for file in files), encoding="utf-8")
        size = str(max(1, count // 10))
        runs: dict[str, list[tuple[str, ...]]] = {"local": [()], "two processes": [("--processes", "2")]}
        runs["--shard"] = [("--shard", "0/2"), ("--shard", "1/2")]
        if runners:
            runs["ray"] = [("--runner", "ray", "--processes", "2")]
        expected = None
        for name, commands in runs.items():
            out = str(Path(folder) / name.replace(" ", "-"))
            start = time.perf_counter()
            for options in commands:
                settings = ("--from", str(listed), "--out", out, "--shard-size", size, *options)
                _detect(*settings, environment=os.environ | ONE_THREAD)
            found = _read(Path(out))
            expected = found if expected is None else expected
            _print_rows(name, found, expected, time.perf_counter() - start)
        with _s3_server() as environment:
            names = [f"photos/{file.name}" for file in files]
            _upload(files, names, environment)
            out = "s3://photos/out"
            start = time.perf_counter()
            settings = ("--from", "s3://photos/list.txt", "--out", out, "--shard-size", size)
            _detect(*settings, environment=environment | ONE_THREAD)
            seconds = time.perf_counter() - start
            _download(out, Path(folder) / "s3", environment)
            _print_rows("s3", _read(Path(folder) / "s3"), expected or {}, seconds)


@main.command("throughput")
@click.argument("photos", type=click.Path(path_type=Path))
@click.option("--photos", "count", default=200)
def throughput(photos: Path, count: int) -> None:
    """Print the photos a second of `detect predict MODEL PATH`, of `--from` with one process and with two."""
    with tempfile.TemporaryDirectory() as folder:
        _repeat(photos, Path(folder) / "photos", count)
        source, size = str(Path(folder) / "photos"), str(max(1, count // 20))
        runs = {"plain": (source, "--format", "json"), "one process": ("--from", source, "--shard-size", size)}
        runs["two processes"] = (*runs["one process"], "--processes", "2")
        for turn in range(3):
            for name, options in runs.items():
                out = str(Path(folder) / f"{name}-{turn}")
                start = time.perf_counter()
                text = _detect(*options, "--out", out, "--precision", "fp32", "--score", "0.05")
                seconds = time.perf_counter() - start
                printed = re.search(r": ([\d.]+) s", text)
                work = float(printed[1]) if printed else seconds
                print(f"{name}: {count / work:.3f} photos a second without the start, {count / seconds:.3f} with it")


@main.command("memory")
@click.option("--photos", "count", default=100_000)
def memory(count: int) -> None:
    """Print the memory of one process after each tenth of the photos, of a stub model, and the slope."""
    from detect.inference.shards.job import Job, WorkerNumber
    from detect.inference.shards.manifest import ensure_manifest
    from tests.inference.shards.stub_model import FAST, LoadStub, write_photos

    with tempfile.TemporaryDirectory() as folder:
        files = write_photos(Path(folder) / "photos", 100)
        listed = Path(folder) / "list.txt"
        listed.write_text("".join(f"{files[index % 100]}\n" for index in range(count)), encoding="utf-8")
        job = Job(LoadStub(), str(Path(folder) / "out"), FAST, 4)
        size = max(1, count // 100)
        manifest = ensure_manifest(job.folder(), str(listed), size)
        runner = job.runner(WorkerNumber())
        points = []
        for number in range(manifest.num_shards):
            runner.run(number)
            points.append(((number + 1) * size, _resident_bytes()))
            if (number + 1) % max(1, manifest.num_shards // 10) == 0:
                print(f"{points[-1][0]} photos: {points[-1][1] / 2**20:.1f} MiB")
        photos, sizes = np.array(points[len(points) // 5 :], np.float64).T  # the first fifth fills caches
        slope = np.polyfit(photos, sizes, 1)[0]
        print(f"slope: {slope:.2f} bytes a photo, {slope * 1e8 / 2**30:.2f} GiB over 10^8")


@main.command("list")
@click.argument("photos", type=click.Path(path_type=Path))
@click.option("--urls", "count", default=1_000_000)
@click.option("--detected", default=100, help="Photos that are detected on; the others are of shards of other jobs.")
def long_list(photos: Path, count: int, detected: int) -> None:
    """Print seconds and memory of a list of ten and of a million, of which one shard is detected on."""
    with tempfile.TemporaryDirectory() as folder:
        files = _repeat(photos, Path(folder) / "photos", 10)
        for num_urls in (10, count):
            listed = Path(folder) / f"{num_urls}.txt"
            with listed.open("w", encoding="utf-8") as stream:
                stream.writelines(f"{files[index % 10]}\n" for index in range(num_urls))
            size = min(detected, num_urls)
            start = time.perf_counter()
            out = str(Path(folder) / f"out-{num_urls}")
            share = f"0/{-(-num_urls // size)}"
            _detect("--from", str(listed), "--out", out, "--shard-size", str(size), "--shard", share)
            seconds = time.perf_counter() - start
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**10
            print(f"{num_urls} URLs: {seconds:.1f} s for {size} photos, at most {peak:.0f} MiB so far")


def _repeat(photos: Path, folder: Path, count: int) -> list[Path]:
    """Return ``count`` files: links to the photos, in turn, under names of their own."""
    sources = [file for file in sorted(photos.rglob("*")) if is_image(file)]
    if not sources:
        raise UserError(f"{photos}: expected photos, found none")
    folder.mkdir()
    files = [folder / f"{index:06d}{sources[index % len(sources)].suffix}" for index in range(count)]
    for index, file in enumerate(files):
        file.symlink_to(sources[index % len(sources)].resolve())
    return files


def _detect(*options: str, environment: dict[str, str] | None = None) -> str:
    """Run ``detect predict`` with the detector that ships, and return what it prints."""
    command = [sys.executable, "-m", "detect", "predict", MODEL, *options]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if done.returncode != 0:
        raise UserError(f"{' '.join(command)}: expected status 0, found {done.returncode}: {done.stderr}")
    return done.stdout


def _read(out: Path) -> dict[str, bytes]:
    """Return the detections of each photo, as bytes, by its name. Raises UserError for two rows of one."""
    parts = read_parts(out)
    rows: dict[str, bytes] = {}
    for prediction in parts.predictions:
        name = prediction.file.rpartition("/")[2]
        if name in rows:
            raise UserError(f"{out}: expected one row for {name}, found two")
        rows[name] = prediction.boxes.tobytes() + prediction.scores.tobytes() + prediction.labels.tobytes()
    return rows


def _print_rows(name: str, rows: dict[str, bytes], expected: dict[str, bytes], seconds: float) -> None:
    differing = sum(rows.get(key) != content for key, content in expected.items())
    print(f"{name}: {len(rows)} rows, once each, {differing} differ from those of local; {seconds:.1f} s", flush=True)


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextmanager
def _s3_server() -> Iterator[dict[str, str]]:
    """Yield the environment in which ``s3://photos`` is a bucket of a server of this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    environment = os.environ | dict.fromkeys(names, "test") | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}
    environment["AWS_DEFAULT_REGION"] = "us-east-1"
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while server.poll() is None and time.monotonic() < end:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.2)
        yield environment
    finally:
        server.kill()
        server.wait()


def _upload(files: list[Path], names: list[str], environment: dict[str, str]) -> None:
    store = _store(environment)
    store.mkdir("photos")
    for file, name in zip(files, names, strict=True):
        store.pipe_file(f"photos/{name}", file.read_bytes())
    store.pipe_file("photos/list.txt", "".join(f"{name}\n" for name in names).encode())


def _download(address: str, folder: Path, environment: dict[str, str]) -> None:
    folder.mkdir()
    store = _store(environment)
    for path in store.ls(address.removeprefix("s3://"), detail=False):
        with (folder / path.rpartition("/")[2]).open("wb") as stream, store.open(path, "rb") as source:
            shutil.copyfileobj(source, stream)


def _store(environment: dict[str, str]) -> Any:
    os.environ.update(environment)
    from detect.inference.shards.stores import store_of

    return store_of("s3://photos")[0]


if __name__ == "__main__":
    run_command(main, "check_shards")
