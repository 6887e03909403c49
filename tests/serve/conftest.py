"""A tiny detector with random weights behind a real server on a free port of the loopback."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
import pytest

from detect.checkpoints.checkpoint import Checkpoint, save_checkpoint
from detect.config.builders.detector import build_detector, build_preprocess
from detect.config.files import parse_config
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.serve.limits import Limits
from tests.conftest import TINY
from tests.models.test_detector import sharpen

CLASSES = ("<b>cat</b>", "dog")
LIMITS = Limits(num_bytes=200_000, pixels=100_000, queued=16, seconds=20.0, batch_size=4)


@dataclass(frozen=True)
class Answer:
    status: int
    content: Any
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Client:
    """Sends requests over a connection of their own."""

    port: int

    def send(self, method: str, path: str, body: bytes = b"", content_type: str = "image/png") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, {"Content-Type": content_type} if body else {})
            response = connection.getresponse()
            content, headers = response.read(), dict(response.getheaders())
        finally:
            connection.close()
        is_json = headers.get("content-type", "").startswith("application/json")
        return Answer(response.status, json.loads(content) if is_json else content.decode(), headers)


@pytest.fixture(scope="session")
def predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    config = parse_config({**TINY, "data": {**TINY["data"], "classes": list(CLASSES)}}, "test")  # type: ignore[dict-item]
    detector, _ = build_detector(config, CLASSES)
    file = tmp_path_factory.mktemp("served") / "tiny.pt"
    checkpoint = Checkpoint(config, CLASSES, build_preprocess(config), sharpen(detector).state_dict(), 0, {})
    save_checkpoint(checkpoint, file)
    return load(file, device="cpu")


@pytest.fixture(scope="session")
def start_server(predictor: Predictor) -> Callable[..., Any]:
    """Return what starts a server with limits, of the tiny detector or another one."""
    pytest.importorskip("starlette", reason="starlette is optional (the extra serve), and not installed here")
    pytest.importorskip("uvicorn", reason="uvicorn is optional (the extra serve), and not installed here")
    from contextlib import contextmanager

    from detect.serve.app import Service
    from detect.serve.run import make_server, open_socket

    @contextmanager
    def start(limits: Limits, served: Predictor = predictor) -> Iterator[Client]:
        listener = open_socket("127.0.0.1", 0)
        server = make_server(Service(served, limits))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        end = time.monotonic() + 30
        while not server.started and time.monotonic() < end:
            time.sleep(0.01)
        try:
            yield Client(listener.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join(30)
            listener.close()

    return start


@pytest.fixture(scope="module")
def client(start_server: Callable[[Limits], Any]) -> Iterator[Client]:
    with start_server(LIMITS) as served:
        yield served


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A PNG of 120 x 90 pixels."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    return bytes(cv2.imencode(".png", pixels)[1].tobytes())
