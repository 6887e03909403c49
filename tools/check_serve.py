#!/usr/bin/env python3
"""Check `detect serve`: many clients, broken requests among them, its memory, and its speed beside `detect predict`.

    tools/check_serve.py MODEL PHOTOS [--requests 200] [--clients 16]

The service runs in a process of its own on a free port. A quarter of the requests is malformed, huge, slow or cut off.
Right answers are those of the Python interface, and 422, 413 and 200 to a malformed, a huge and a slow request. The
time of the whole photos is that of the same photos in `detect predict`, in another process, without drawings: loading
the model is in neither.
"""

from __future__ import annotations

import http.client
import json
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import click

from detect.cli.exit_status import run_command
from detect.errors import RunError
from detect.inference.find_images import find_images
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.types import Detection

TOLERANCE = 0.05  # pixels: a batch of another size may round the last bits otherwise
SCORE_TOLERANCE = 0.001
SURE = 0.06  # detections are asked for from 0.05 on; rounding may move one over that edge
MIN_SPEED = 0.8  # of `detect predict`
MAX_GROWTH = 1.1  # of the memory, from after the first half of the requests to the end
BROKEN = ("malformed", "huge", "slow", "cut off")
Answer = tuple[int, dict[str, object]]  # status, and what the JSON says


@click.command(help=__doc__)
@click.argument("model")
@click.argument("photos", nargs=-1, required=True)
@click.option("--requests", "num_requests", type=click.IntRange(8), default=200, show_default=True)
@click.option("--clients", type=click.IntRange(1), default=16, show_default=True)
def main(model: str, photos: tuple[str, ...], num_requests: int, clients: int) -> None:
    """Run the check, print its figures, and exit with status 1 if a bar is missed."""
    files = find_images(photos)[:num_requests]
    predictor = load(model, device="cpu")
    with tempfile.TemporaryDirectory() as folder:
        seconds = _predict_seconds(model, files, Path(folder))
    command = [sys.executable, "-m", "detect", "serve", model, "--port", "0", "--timeout", "60", "--device", "cpu"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            match = re.search(r":(\d+)/", line)
            if match is None:
                raise RunError(f"detect serve: expected its address, found {line!r}")
            _check(int(match[1]), process.pid, predictor, files, num_requests, clients, seconds)
        finally:
            process.terminate()


def _check(
    port: int, pid: int, predictor: Predictor, files: list[Path], num_requests: int, clients: int, seconds: float
) -> None:
    contents = [file.read_bytes() for file in files]
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(lambda content: _post(port, content), contents[:clients]))  # warm up
        start = time.perf_counter()
        answers = list(pool.map(lambda content: _post(port, content), contents))
        served = time.perf_counter() - start
        expected = [list(predictor.predict(file, score=0.05)) for file in files]
        wrong = sum(not _is_right(answer, one) for answer, one in zip(answers, expected, strict=True))
        memory, wrong_mixed = [_memory(pid)], 0
        for half in range(2):
            indices = range(half * num_requests // 2, (half + 1) * num_requests // 2)
            answered = pool.map(lambda i: _mixed(port, contents[i % len(files)], i, expected[i % len(files)]), indices)
            wrong_mixed += sum(not is_right for is_right in answered)
            memory.append(_memory(pid))
    status, _ = _post(port, contents[0])
    speed, growth = seconds / served, memory[2] / memory[1]
    print(f"{len(files)} photos by {clients} clients: {served:.1f} s, detect predict {seconds:.1f} s: {speed:.2f}")
    print(f"{wrong} wrong answers; {wrong_mixed} to the mixed requests; afterwards status {status}")
    print(f"memory after the photos, half and all of {num_requests} mixed requests: {memory} MB, x {growth:.2f}")
    bars = {
        "right answers": wrong == wrong_mixed == 0 and status == 200,
        "speed": speed >= MIN_SPEED,
        "memory": growth <= MAX_GROWTH,
    }
    missed = [name for name, is_reached in bars.items() if not is_reached]
    if missed:
        raise RunError(f"check_serve: missed: {', '.join(missed)}")


def _post(port: int, content: bytes) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", "/predict?score=0.05", content, {"Content-Type": "image/jpeg"})
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def _mixed(port: int, content: bytes, index: int, expected: Sequence[Detection]) -> bool:
    """Send a request; every fourth is broken in one of four ways. Return whether its answer is the right one."""
    kind = BROKEN[index // 4 % 4] if index % 4 == 0 else "whole"
    if kind == "whole":
        return _is_right(_post(port, content), expected)
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=120) as connection:
        if kind == "malformed":
            connection.sendall(head % 4 + b"text")
            return _status(connection) == 422
        if kind == "huge":
            connection.sendall(head % 10**12)
            return _status(connection) == 413
        connection.sendall(head % len(content) + content[: len(content) // 2])
        if kind == "slow":
            time.sleep(1)
            connection.sendall(content[len(content) // 2 :])
            return _status(connection) == 200
        return True  # cut off: there is nobody to answer


def _status(connection: socket.socket) -> int:
    """Return the status of the answer that comes on a connection, 0 where none comes."""
    words = connection.recv(4096).split()
    return int(words[1]) if len(words) > 1 else 0


def _is_right(answer: Answer, expected: Sequence[Detection]) -> bool:
    """Return whether no detection is lost and none is invented; those near the lowest score may lack on one side."""
    status, content = answer
    rows = content.get("detections")
    if status != 200 or not isinstance(rows, list):
        return False
    found = all(any(_is_same(row, one) for row in rows) for one in expected if one.score > SURE)
    return found and all(any(_is_same(row, one) for one in expected) for row in rows if row["score"] > SURE)


def _is_same(row: dict[str, Any], detection: Detection) -> bool:
    sides = zip(row["box"], detection.box, strict=True)
    if row["label"] != detection.name or abs(row["score"] - detection.score) > SCORE_TOLERANCE:
        return False
    return all(abs(mine - other) < TOLERANCE for mine, other in sides)


def _predict_seconds(model: str, files: list[Path], folder: Path) -> float:
    """Return the seconds that `detect predict` states for these photos."""
    listed = folder / "photos"
    listed.mkdir()
    for index, file in enumerate(files):
        (listed / f"{index:05}{file.suffix}").symlink_to(file.resolve())
    command = [sys.executable, "-m", "detect", "predict", model, str(listed), "--out", str(folder / "out")]
    options = ["--format", "json", "--score", "0.05", "--device", "cpu"]
    printed = subprocess.run([*command, *options], check=True, capture_output=True, text=True).stdout
    match = re.search(r": ([0-9.]+) s, the model", printed)
    if match is None:
        raise RunError(f"detect predict: expected its time, found {printed!r}")
    return float(match[1])


def _memory(pid: int) -> int:
    """Return the memory of a process in megabytes (Linux)."""
    text = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(text.partition("VmRSS:")[2].split()[0]) // 1000


if __name__ == "__main__":
    run_command(main, "check_serve")
