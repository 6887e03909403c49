from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from detect.cli.main import main
from detect.errors import UserError
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.inference.result_writers import image_record
from detect.serve.limits import RequestError
from detect.serve.request_image import read_body
from tests.serve.conftest import CLASSES, LIMITS, Client


def form(content: bytes, part: bytes = b"") -> bytes:
    """Return a form with a file; part: the name of a part with a text before it."""
    note = b"--x\r\nContent-Disposition: form-data; " + part + b"\r\n\r\n0.9\r\n" if part else b""
    head = b'Content-Disposition: form-data; name="file"; filename="a.png"'
    return note + b"--x\r\n" + head + b"\r\nContent-Type: image/png\r\n\r\n" + content + b"\r\n--x--\r\n"


def expected(predictor: Predictor, photo: bytes, score: float) -> list[dict[str, Any]]:
    prediction = predictor.predict(photo, score=score).to_prediction()
    return list(image_record(prediction, predictor.classes)["detections"])


def assert_same(answer: Any, detections: list[dict[str, Any]]) -> None:
    assert [each["label"] for each in answer["detections"]] == [each["label"] for each in detections]
    for mine, other in zip(answer["detections"], detections, strict=True):
        assert [*mine["box"], mine["score"]] == pytest.approx([*other["box"], other["score"]], abs=1e-3)


@pytest.mark.parametrize("kind", ["body", "form", "json", "data URI"])
def test_predict_answers_what_predict_returns(kind: str, client: Client, predictor: Predictor, photo: bytes) -> None:
    text = base64.b64encode(photo).decode()
    bodies = {
        "body": (photo, "image/png"),
        "form": (form(photo), "multipart/form-data; boundary=x"),
        "json": (json.dumps({"image": text}).encode(), "application/json"),
        "data URI": (json.dumps({"image": f"data:image/png;base64,{text}"}).encode(), "application/json"),
    }
    answer = client.send("POST", "/predict?score=0", *bodies[kind])
    assert answer.status == 200
    assert (answer.content["width"], answer.content["height"]) == (120, 90)
    assert answer.content["file"] == ("a.png" if kind == "form" else "")
    assert len(answer.content["detections"]) > 0
    assert_same(answer.content, expected(predictor, photo, 0.0))


@pytest.mark.parametrize(
    ("path", "body", "content_type", "status", "words"),
    [
        ("/predict", b"", "", 400, "found nothing"),
        ("/predict", b"text", "image/png", 422, "expected an image, found something else"),
        ("/predict", b"{", "application/json", 400, "found damaged JSON"),
        ("/predict", b"[" * 100_000, "application/json", 400, "found damaged JSON"),
        ("/predict", b'{"image": 3}', "application/json", 400, 'found JSON without the text "image"'),
        ("/predict", b'{"image": "\xc3\xbc!"}', "application/json", 400, "found text that is no base64"),
        ("/predict", b"--x", "multipart/form-data", 400, "found a form without a boundary"),
        ("/predict", form(b"abc")[:-9], "multipart/form-data; boundary=x", 400, "found a form that is cut off"),
        ("/predict", form(b""), "multipart/form-data; boundary=x", 400, "found a form without a file"),
        (
            "/predict",
            form(b"abc").removesuffix(b"--x--\r\n") + form(b"abc"),
            "multipart/form-data; boundary=x",
            400,
            "found a form with 2 files: send each by itself",
        ),
        ("/predict", b"0" * (LIMITS.num_bytes + 1), "image/png", 413, "expected a request of at most 0.2 MB"),
        ("/predict?score=2", b"abc", "image/png", 400, "score: expected a number from 0 to 1, found 2"),
        ("/predict?score=nan", b"abc", "image/png", 400, "found nan"),
        ("/explain?rank=0", b"abc", "image/png", 400, "rank: expected a number from 1"),
        ("/explain?rank=1.5", b"abc", "image/png", 400, "rank: expected a whole number, found 1.5"),
        ("/nowhere", b"abc", "image/png", 404, "expected POST /predict"),
    ],
)
def test_errors_are_one_line_and_the_service_goes_on(
    path: str, body: bytes, content_type: str, status: int, words: str, client: Client, photo: bytes
) -> None:
    answer = client.send("POST", path, body, content_type)
    assert answer.status == status
    assert words in answer.content["error"]
    assert "\n" not in answer.content["error"]
    assert client.send("POST", "/predict", photo).status == 200


def dumped(**keys: object) -> bytes:
    return json.dumps(keys).encode()


FORM, JSON, BASE64 = "multipart/form-data; boundary=x", "application/json", "iVBORw0KGgo="


@pytest.mark.parametrize(
    ("path", "body", "content_type", "message"),
    [
        ("/predict?", b"", "image/png", None),
        ("/predict?=", b"", "image/png", 'query: expected no other keys than score, found ""'),
        ("/predict?scroe=0.9", b"", "image/png", 'keys than score, found "scroe" (did you mean "score"?)'),
        ("/predict?score=0.9&rank=1", b"", "image/png", 'query: expected no other keys than score, found "rank"'),
        ("/explain?rnak=2", b"", "image/png", 'keys than rank, found "rnak" (did you mean "rank"?)'),
        ("/predict?a%0Ab=2", b"", "image/png", 'keys than score, found "a\\nb"'),
        (
            "/predict",
            form(b"abc", b'name="score"'),
            FORM,
            'form: expected one part with a file name and no other, found "score"',
        ),
        ("/predict", form(b"abc", b"name=score"), FORM, 'found "score" (did you mean "?score="?)'),
        ("/predict", form(b"abc", b"x"), FORM, 'form: expected one part with a file name and no other, found ""'),
        ("/predict", form(b"abc", b'name="a"; filename=a.png'), FORM, None),
        ("/predict", dumped(image=BASE64, name="a.png"), JSON, None),
        (
            "/predict",
            json.dumps({"image": BASE64, "score": 1}).encode(),
            JSON,
            'found "score" (did you mean "?score="?)',
        ),
        (
            "/explain",
            json.dumps({"imgae": BASE64}).encode(),
            JSON,
            'image, name, found "imgae" (did you mean "image"?)',
        ),
        (
            "/predict",
            json.dumps({"\ud800" * 200: 1}).encode(),
            JSON,
            'no other keys than image, name, found "\\\\ud800',
        ),
    ],
)
def test_keys_that_the_service_does_not_know_are_refused(
    path: str, body: bytes, content_type: str, message: str | None, client: Client
) -> None:
    answer = client.send("POST", path, body or b"abc", content_type)
    assert answer.status == (422 if message is None else 400)
    assert (message or "expected an image, found") in answer.content["error"]
    assert len(answer.content["error"].splitlines()) == 1


@pytest.mark.parametrize("path", ["/predict?scroe=0.9", "/predict?score=7", "/explain?rank=1.5"])
def test_a_query_is_refused_after_a_large_image_was_sent(
    path: str, start_server: Callable[..., Any], photo: bytes
) -> None:
    with start_server(replace(LIMITS, num_bytes=10_000_000)) as client:
        answer = client.send("POST", path, photo + bytes(5_000_000))
    assert answer.status == 400
    assert answer.content["error"].startswith(("query: ", "score: ", "rank: "))


def test_an_image_of_too_many_pixels_is_refused_by_its_header(client: Client) -> None:
    content = cv2.imencode(".png", np.zeros((400, 300, 3), np.uint8))[1].tobytes()
    answer = client.send("POST", "/predict", content)
    assert answer.status == 422
    assert answer.content["error"] == "image: 300 x 400 is more than 100,000 pixels"


def test_health_metrics_and_openapi(client: Client, photo: bytes) -> None:
    health = client.send("GET", "/health").content
    assert (health["status"], health["classes"], health["device"]) == ("ok", list(CLASSES), "cpu")
    before = client.send("GET", "/metrics").content
    client.send("POST", "/predict", photo)
    after = client.send("GET", "/metrics").content
    line = 'detect_requests_total{path="/predict",status="200"} '
    counts = [int(text.partition(line)[2].partition("\n")[0] or 0) for text in (before, after)]
    assert counts[1] == counts[0] + 1
    assert "detect_requests_in_progress 0" in after
    assert (health["score"], health["score_threshold"]) == (0.5, 0.05)
    document = client.send("GET", "/openapi.json").content
    (score,) = document["paths"]["/predict"]["post"]["parameters"]
    assert score["description"] == "Lowest score; the model drops detections that score less than 0.05"
    accepted = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert (set(accepted["properties"]), accepted["required"]) == ({"image", "name"}, ["image"])
    assert set(document["paths"]) == {"/predict", "/explain", "/health", "/metrics"}
    assert client.send("GET", "/predict").status == 405


def test_explain_says_why_a_box_is_there(client: Client, predictor: Predictor, photo: bytes) -> None:
    best = expected(predictor, photo, 0.0)[0]
    answer = client.send("POST", "/explain?rank=1", photo)
    assert answer.status == 200
    assert (answer.content["label"], answer.content["score"]) == (best["label"], pytest.approx(best["score"], abs=1e-4))
    assert answer.content["sentences"][0].startswith("It began as an anchor of ")
    assert answer.content["figure"].startswith("data:image/jpeg;base64,")
    assert len(answer.content["proposal"]) == len(answer.content["anchor"]) == 4
    answer = client.send("POST", "/explain?rank=9999", photo)
    assert (answer.status, "rank: expected 1 to" in answer.content["error"]) == (400, True)


@pytest.mark.parametrize("setting", ["flip=true", "scales=[1,0.5]"])
def test_explain_refuses_a_model_whose_boxes_are_merged_from_several_views(
    setting: str, start_server: Callable[..., Any], predictor: Predictor, photo: bytes
) -> None:
    merging = load(predictor.file, device="cpu", overrides=[f"model.test_time.{setting}"])
    with start_server(LIMITS, merging) as client:
        assert_same(client.send("POST", "/predict?score=0", photo).content, expected(merging, photo, 0.0))
        answer = client.send("POST", "/explain?rank=1", photo)
    assert answer.status == 400
    assert answer.content["error"].startswith("model.test_time: expected one view of each image")
    assert "\n" not in answer.content["error"]


class Addresses(HTMLParser):
    """Collects the addresses that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.addresses += [str(text) for name, text in attrs if name in ("src", "href")]


def test_the_page_loads_nothing_from_other_hosts(client: Client) -> None:
    page = client.send("GET", "/")
    addresses = Addresses()
    addresses.feed(page.content)
    assert sorted(addresses.addresses) == ["data:,", "page.css", "page.js"]
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for name in ("page.js", "page.css"):
        content = client.send("GET", f"/{name}")
        assert content.status == 200
        assert "//" not in content.content.replace("// ", "")


def test_the_page_shows_names_as_text_and_never_as_html(client: Client) -> None:
    script = client.send("GET", "/page.js").content
    ways = r"(inner|outer)HTML|insertAdjacentHTML|document\.write|DOMParser|createContextualFragment|srcdoc|\beval\b"
    assert re.findall(ways, script) == []
    assert script.count("textContent") > 3
    assert "script-src 'self';" in client.send("GET", "/").headers["content-security-policy"]


def test_requests_that_arrive_together_are_answered_alike(client: Client, predictor: Predictor) -> None:
    draw = np.random.default_rng(1)
    sizes = [(60, 80), (90, 120), (120, 60)] * 4
    photos = [cv2.imencode(".png", draw.integers(0, 256, (*size, 3), np.uint8))[1].tobytes() for size in sizes]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda photo: client.send("POST", "/predict?score=0", photo), photos))
    for photo, answer in zip(photos, answers, strict=True):
        assert answer.status == 200
        assert_same(answer.content, expected(predictor, photo, 0.0))


def raw(client: Client, content: bytes, wait: bool = True) -> bytes:
    """Send bytes and return the answer, or hang up at once."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(content)
        chunks = [connection.recv(65536)] if wait else []
        return b"".join(chunks)


def test_clients_that_hang_up_or_talk_nonsense_do_no_harm(client: Client, photo: bytes) -> None:
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(photo)
    raw(client, head + photo[:100], wait=False)
    raw(client, head + photo, wait=False)
    assert b" 400 " in raw(client, b"\x16\x03\x01 hello\r\n\r\n")
    assert b" 413 " in raw(client, b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n")
    end = time.monotonic() + 20
    while "detect_requests_in_progress 0" not in client.send("GET", "/metrics").content and time.monotonic() < end:
        time.sleep(0.05)
    assert "detect_requests_in_progress 0" in client.send("GET", "/metrics").content
    assert client.send("POST", "/predict", photo).status == 200


@pytest.mark.parametrize("num_chunks", [3, 20])
def test_a_body_of_unstated_length_that_is_too_long_gets_its_line(num_chunks: int, client: Client) -> None:
    """A connection that is closed while its client still sends loses the answer."""
    head = b"POST /predict HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    size = LIMITS.num_bytes // 3 + 1
    chunks = (b"%x\r\n%b\r\n" % (size, b"0" * size)) * num_chunks
    with socket.create_connection(("127.0.0.1", client.port), timeout=30) as connection:
        connection.sendall(head)
        for start in range(0, len(chunks), 50_000):
            connection.sendall(chunks[start : start + 50_000])
            time.sleep(0.01)
        connection.sendall(b"0\r\n\r\n")
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b'{"error":"expected a request of at most 0.2 MB, found more"}')


@pytest.mark.parametrize(
    ("num_chunks", "declared", "num_read"), [(0, None, 0), (4, None, 4), (9, None, 9), (99, None, 41), (9, 50, 0)]
)
def test_more_bytes_than_the_limit_are_read_but_not_without_end(
    num_chunks: int, declared: int | None, num_read: int
) -> None:
    chunks = iter([b"0" * 10] * num_chunks)

    async def send() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    text = None if declared is None else str(declared)
    if num_chunks * 10 <= 40:
        assert asyncio.run(read_body(send(), text, 40)) == b"0" * 10 * num_chunks
    else:
        with pytest.raises(RequestError, match="expected a request of at most"):
            asyncio.run(read_body(send(), text, 40))
    assert num_chunks - len(list(chunks)) == num_read


@pytest.mark.slow
def test_slow_requests_end_and_more_than_the_limit_are_refused(start_server: Callable[..., Any], photo: bytes) -> None:
    with start_server(replace(LIMITS, queued=1, seconds=3.0)) as client:
        head = b"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(photo)
        with socket.create_connection(("127.0.0.1", client.port), timeout=30) as slow:
            slow.sendall(head + photo[:10])
            time.sleep(0.3)
            refused = client.send("POST", "/predict", photo)
            assert (refused.status, refused.headers["retry-after"]) == (503, "1")
            assert refused.content["error"] == "expected at most 1 requests at a time, found more"
            assert b" 408 " in slow.recv(65536)
        end = time.monotonic() + 20
        while client.send("POST", "/predict", photo).status != 200 and time.monotonic() < end:
            time.sleep(0.05)
        assert time.monotonic() < end


def test_a_fault_of_the_model_fails_its_requests_alone(
    client: Client, predictor: Predictor, photo: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise RuntimeError("out of memory\nin a kernel")

    with monkeypatch.context() as patched:
        patched.setattr(predictor, "detect_prepared", fail)
        answer = client.send("POST", "/predict", photo)
    assert (answer.status, answer.content["error"]) == (500, "the model failed: out of memory")
    assert client.send("POST", "/predict", photo).status == 200


def test_a_model_with_slices_is_refused_before_it_serves(predictor: Predictor) -> None:
    pytest.importorskip("starlette", reason="starlette is optional (the extra serve), and not installed here")
    arguments = ["serve", str(predictor.file), "--port", "0", "--set", "model.test_time.slice.size=64"]
    outcome = CliRunner().invoke(main, arguments)
    assert isinstance(outcome.exception, UserError)
    assert str(outcome.exception).startswith("model.test_time.slice: expected null with detect serve")


@pytest.mark.parametrize(("score", "num_lines"), [(0.5, 2), (0.05, 2), (0.01, 3)])
def test_the_address_is_printed_when_connections_are_taken(
    score: float, num_lines: int, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = pytest.importorskip("detect.serve.run", reason="starlette is optional (the extra serve), and not installed")

    class Connecting:
        def run(self, sockets: list[socket.socket]) -> None:
            socket.create_connection(sockets[0].getsockname()).close()

    monkeypatch.setattr(run, "make_server", lambda _: Connecting())
    outcome = CliRunner().invoke(main, ["serve", str(predictor.file), "--port", "0", "--score", str(score)])
    assert outcome.exception is None, outcome.output
    first, *lines = outcome.output.splitlines()
    assert " at http://127.0.0.1:" in first
    assert len(lines) == num_lines - 1
    assert any(line.startswith("score 0.01: the model drops") for line in lines) is (score == 0.01)
