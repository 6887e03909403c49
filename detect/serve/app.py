"""The service: its addresses, its limits and its errors. Every error is one line, ``{"error": ...}``."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from detect.data.images import read_image_bytes
from detect.errors import UnreadableImage, first_line
from detect.inference.predictor import Predictor
from detect.inference.result_writers import image_record
from detect.serve.batcher import Batcher
from detect.serve.explain_box import explain_box
from detect.serve.known_keys import require_known
from detect.serve.limits import Limits, RequestError
from detect.serve.metrics import Metrics
from detect.serve.openapi import openapi
from detect.serve.request_image import RequestImage, parse_image, read_body
from detect.version import __version__

_PAGE = Path(__file__).with_name("page")
_GIVEN_UP = 499  # nginx's status for a request whose client is gone
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src blob: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


class Service:
    """Answers requests with a detector. app: the ASGI application; score: the lowest score without ``?score=``."""

    def __init__(self, predictor: Predictor, limits: Limits, workers: int = 2, score: float = 0.5) -> None:
        self.predictor = predictor
        self.limits = limits
        self.score = score
        self.metrics = Metrics()
        self.batcher = Batcher(predictor, limits.batch_size, workers, self.metrics)
        page_files = {"/": "page.html", "/page.js": "page.js", "/page.css": "page.css"}
        self.app = Starlette(
            routes=[
                Route("/predict", self._counted(self._predict), methods=["POST"]),
                Route("/explain", self._counted(self._explain), methods=["POST"]),
                Route("/health", self._health),
                Route("/metrics", self._metrics),
                Route("/openapi.json", self._openapi),
                *(Route(path, partial(_page_file, name)) for path, name in page_files.items()),
            ],
            exception_handlers={404: _http_error, 405: _http_error},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(self.batcher.run())
        yield
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    def _counted(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Return an endpoint that limits and counts requests, and answers errors in one line."""

        async def endpoint(request: Request) -> Response:
            start = time.perf_counter()
            if self.metrics.in_progress >= self.limits.queued:
                response = _error(503, f"expected at most {self.limits.queued} requests at a time, found more", retry=1)
            else:
                self.metrics.in_progress += 1
                try:
                    response = await self._guarded(answer, request)
                finally:
                    self.metrics.in_progress -= 1
            self.metrics.add_request(request.url.path, response.status_code, time.perf_counter() - start)
            return response

        return endpoint

    async def _guarded(self, answer: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
        try:
            return await answer(request)
        except RequestError as error:
            return _error(error.status, str(error))
        except UnreadableImage as error:
            return _error(422, str(error))
        except ClientDisconnect:
            return Response(status_code=_GIVEN_UP)
        except Exception as error:  # a fault here ends this request, not the service
            return _error(500, f"the model failed: {first_line(error)}")

    async def _predict(self, request: Request) -> Response:
        image = await self._read_image(request, "score")
        score = _number(request, "score", self.score, 0, 1)
        detections = await self._in_time(self.batcher.detect(partial(self._decode, image)))
        record = image_record(detections.above(score).to_prediction(), self.predictor.classes)
        return JSONResponse(record | {"file": image.name})

    async def _explain(self, request: Request) -> Response:
        image = await self._read_image(request, "rank")
        rank = _number(request, "rank", 1.0, 1, 10_000)
        if not rank.is_integer():
            raise RequestError(400, f"rank: expected a whole number, found {rank:g}")

        def explain() -> dict[str, Any]:
            return explain_box(self.predictor, self._decode(image), int(rank))

        return JSONResponse(await self._in_time(self.batcher.call(explain)))

    def _decode(self, image: RequestImage) -> Any:
        return read_image_bytes(image.content, image.name or "image", self.limits.pixels)

    async def _read_image(self, request: Request, query_key: str) -> RequestImage:
        """Return the image of a request. Raises RequestError 408 for one that is sent too slowly, 413, 400.

        query_key: all that the query may have, which is named to those who send it with the image.
        """
        declared = request.headers.get("content-length")
        try:
            body = await asyncio.wait_for(
                read_body(request.stream(), declared, self.limits.num_bytes), self.limits.seconds
            )
        except TimeoutError:
            raise RequestError(408, f"expected the request within {self.limits.seconds:g} s, found a part") from None
        # Not before the body is read: the connection would be closed while the client still sends, and the answer lost.
        require_known("query", request.query_params, [query_key])
        return parse_image(body, request.headers.get("content-type", ""), query_key)

    async def _in_time(self, answer: Awaitable[Any]) -> Any:
        """Return an answer. Raises RequestError 504 where it takes longer than the limit."""
        try:
            return await asyncio.wait_for(answer, self.limits.seconds)
        except TimeoutError:
            raise RequestError(504, f"expected an answer within {self.limits.seconds:g} s, found none") from None

    async def _health(self, _: Request) -> Response:
        model, compute = self.predictor.config.model, self.predictor.compute
        return JSONResponse(
            {
                "status": "ok",
                "version": __version__,
                "model": f"{model.kind} on {model.backbone.name}",
                "file": self.predictor.file.name,
                "classes": list(self.predictor.classes),
                "masks": model.predicts_masks,
                "device": compute.device.type,
                "precision": str(compute.dtype).removeprefix("torch."),
                "score": self.score,
                "score_threshold": model.postprocess.score_threshold,
            }
        )

    async def _metrics(self, _: Request) -> Response:
        return PlainTextResponse(self.metrics.to_text(), media_type="text/plain; version=0.0.4")

    async def _openapi(self, _: Request) -> Response:
        return JSONResponse(openapi(self.limits, self.score, self.predictor.config.model.postprocess.score_threshold))


async def _page_file(name: str, _: Request) -> Response:
    return FileResponse(_PAGE / name, headers=_HEADERS)


async def _http_error(request: Request, error: Exception) -> Response:
    status = int(getattr(error, "status_code", 404))
    known = "POST /predict, POST /explain, GET /health, GET /metrics, GET /openapi.json, GET /"
    return _error(status, f"expected {known}, found {request.method} {request.url.path[:200]}")


def _error(status: int, message: str, retry: int | None = None) -> Response:
    """Return an error; retry: seconds after which to try again. The rest of the request is not read."""
    headers = {"Connection": "close"} | ({} if retry is None else {"Retry-After": str(retry)})
    return JSONResponse({"error": message}, status, headers)


def _number(request: Request, name: str, default: float, low: float, high: float) -> float:
    """Return a number of the query. Raises RequestError 400."""
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise RequestError(400, f"{name}: expected a number from {low} to {high}, found {text[:40]}")
    return number
