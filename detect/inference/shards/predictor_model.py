"""A trained detector as it runs on the photos of shards, with a key of all that its results depend on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from detect.config import Device, Precision
from detect.data.images import read_image_bytes
from detect.data.loading.collate import Batch
from detect.evaluation.predictions import Prediction
from detect.inference.dataset_pass import as_prediction
from detect.inference.detect_batches import ModelTimer, PredictOptions, detect_batches, select_detections
from detect.inference.load import load
from detect.inference.predictor import Predictor
from detect.inference.shards.fetch import photo_name
from detect.inference.shards.job import WorkerNumber
from detect.inference.shards.model import Photo
from detect.system import randomness
from detect.system.cpu import available_cores, tune_malloc
from detect.version import __version__

_KEY_BYTES = 8


class PredictorModel:
    """A trained detector as it runs on shards; each photo gets the detections of `detect predict MODEL PATH`."""

    def __init__(self, predictor: Predictor, options: PredictOptions, precision: Precision, batch_size: int) -> None:
        """precision: of the run; the predictor may be another one where only the key is of interest."""
        self.predictor = predictor
        self.options = options
        self.classes = predictor.classes
        self.key = model_key(predictor, options, precision)
        self.batch_size = batch_size if predictor.slicing is None else 1
        self._slices_at_once = batch_size

    def prepare(self, content: bytes, url: str, index: int) -> Photo:
        """Decode and resize a photo, and search its proposals for a detector that needs them."""
        rgb = read_image_bytes(content, url)
        size = (rgb.shape[0], rgb.shape[1])
        if self.predictor.slicing is not None:
            return Photo(index, url, size, size, rgb)
        preprocess = self.predictor.preprocess
        return Photo(index, url, size, preprocess.canvas([preprocess.target_size(size)]), self.predictor.prepare(rgb))

    def detect(self, photos: Sequence[Photo]) -> list[Prediction]:
        """Return the detections of each photo that the options ask for."""
        if self.predictor.slicing is not None:
            return [self._detect_slices(photo) for photo in photos]
        proposals = [photo.content.proposals for photo in photos if photo.content.proposals is not None]
        batch = Batch(
            images=self.predictor.preprocess.batch(
                [photo.content.pixels for photo in photos], [_seed(photo.url) for photo in photos], proposals or None
            ),
            targets=(),
            original_sizes=tuple(photo.size for photo in photos),
            image_ids=tuple(photo.index + 1 for photo in photos),
            files=tuple(photo.url for photo in photos),
            indices=tuple(photo.index for photo in photos),
            unreadable=(),
        )
        return list(next(detect_batches(self.predictor, [batch], self.options, ModelTimer())).predictions)

    def _detect_slices(self, photo: Photo) -> Prediction:
        slicing = self.predictor.slicing
        assert slicing is not None
        merged = self.predictor.detect_views(slicing, photo.content, _seed(photo.url), self._slices_at_once).merged
        return select_detections(as_prediction(merged, photo.size, photo.size, photo.url), self.options)


def _seed(url: str) -> int:
    """Return the root of the random draws of a photo: that of a file of this name in a folder."""
    return randomness.hash_key("evaluation", photo_name(url))


def model_key(predictor: Predictor, options: PredictOptions, precision: Precision) -> str:
    """Return a key of the bytes of the weights, the settings, the options, the precision and the version.

    The path of the weights and the device are no part of it, as they differ from machine to machine.
    """
    digest = hashlib.blake2b(digest_size=_KEY_BYTES)
    digest.update(_file_digest(predictor.file))
    parts = (predictor.config, predictor.preprocess, precision, predictor.classes, options, __version__)
    for part in parts:
        digest.update(f"{part!r}\x1f".encode())
    return digest.hexdigest()


def _file_digest(file: Path) -> bytes:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


@dataclass(frozen=True)
class LoadPredictor:
    """Loads a detector in a worker: the arguments of ``load``, the options of the run, and photos in a batch."""

    model: str
    device: Device
    precision: Precision
    overrides: tuple[str, ...]
    options: PredictOptions
    batch_size: int

    def __call__(self, worker: WorkerNumber) -> PredictorModel:
        """Load it on the GPU of this worker, or with its share of the cores."""
        tune_malloc()
        torch.set_num_threads(max(1, available_cores() // worker.on_this_machine))
        if torch.cuda.is_available() and self.device != "cpu":
            torch.cuda.set_device(worker.index % torch.cuda.device_count())
        predictor = load(self.model, self.device, self.precision, self.overrides)
        return PredictorModel(predictor, self.options, self.precision, self.batch_size)
