"""Computes images of requests that arrive together in one batch.

While the model computes a batch, the images of other requests are decoded and wait. All that wait then are the next
batches, so that a lone request waits for nobody. Images of a batch have the same padded size, as in ``detect predict``:
no detection depends on the requests of others.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from detect.inference.image_detections import ImageDetections
from detect.inference.predictor import Predictor, PreparedImage
from detect.serve.metrics import Metrics

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Waiting:
    """An image that waits for the model, and the future that gets its detections."""

    image: PreparedImage
    future: asyncio.Future[ImageDetections]


class Batcher:
    """Runs the model in one thread, and decodes images in ``workers`` others: no more are in memory at a time.

    Use ``run`` as a task beside the requests; after its end nothing is computed any more.
    """

    def __init__(self, predictor: Predictor, batch_size: int, workers: int, metrics: Metrics) -> None:
        self.predictor = predictor
        self.batch_size = batch_size
        self.metrics = metrics
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue()
        self._model = ThreadPoolExecutor(1, "model")
        self._decoders = ThreadPoolExecutor(max(1, workers), "decoder")

    async def detect(self, decode: Callable[[], np.ndarray]) -> ImageDetections:
        """Return all detections of the image (H, W, 3) that ``decode`` returns, which is called in a thread.

        What ``decode`` raises is raised here.
        """
        loop = asyncio.get_running_loop()
        image = await loop.run_in_executor(self._decoders, lambda: self.predictor.prepare(decode()))
        future: asyncio.Future[ImageDetections] = loop.create_future()
        await self._queue.put(_Waiting(image, future))
        return await future

    async def call(self, compute: Callable[[], Answer]) -> Answer:
        """Return what a function returns that uses the model, in the thread of the model."""
        return await asyncio.get_running_loop().run_in_executor(self._model, compute)

    async def run(self) -> None:
        """Compute batches for ever, until the task is cancelled."""
        try:
            while True:
                waiting = [await self._queue.get()]
                while not self._queue.empty():
                    waiting.append(self._queue.get_nowait())
                for batch in self._batches(waiting):
                    await self._compute(batch)
        finally:
            self._model.shutdown(wait=False, cancel_futures=True)
            self._decoders.shutdown(wait=False, cancel_futures=True)

    def _batches(self, waiting: list[_Waiting]) -> list[list[_Waiting]]:
        """Return the images in batches of one padded size each."""
        by_canvas: dict[tuple[int, int], list[_Waiting]] = defaultdict(list)
        for entry in waiting:
            size = (int(entry.image.pixels.shape[1]), int(entry.image.pixels.shape[2]))
            by_canvas[self.predictor.preprocess.canvas([size])].append(entry)
        step = self.batch_size
        return [group[i : i + step] for group in by_canvas.values() for i in range(0, len(group), step)]

    async def _compute(self, batch: list[_Waiting]) -> None:
        """Compute a batch, and give each future its detections or the error; nothing for those that are given up."""
        active = [entry for entry in batch if not entry.future.done()]
        if not active:
            return
        try:
            images = [entry.image for entry in active]
            detections = await self.call(partial(self.predictor.detect_prepared, images))
        except Exception as error:  # the requests of this batch fail, and the service goes on
            for entry in active:
                if not entry.future.done():
                    entry.future.set_exception(error)
            return
        self.metrics.add_batch(len(active))
        for entry, image_detections in zip(active, detections, strict=True):
            if not entry.future.done():
                entry.future.set_result(image_detections)
