"""Batches from photos, in this process or by workers, with equal results."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.batching import BatchPlan, Pick, by_canvas
from detect.data.images import UnreadableImage, read_image
from detect.data.transforms import Augment, Example, Given, Transform, clipped, resized
from detect.errors import UserError
from detect.preprocess import Preprocess
from detect.randomness import key
from detect.types import Images, Proposals, Size, Targets


class GivenLookup(Protocol):
    """Where given proposals come from; a dict will do. It travels to the workers, so it must be picklable."""

    def __getitem__(self, file: str, /) -> tuple[np.ndarray, np.ndarray]:
        """Boxes (P, 4) in pixels of the original photo and scores (P,), best first."""


@dataclass(frozen=True)
class Batch:
    """N photos on one canvas; those that could not be read are left out, so N may be 0.

    images: pixels float32, channels last; targets: N, in canvas pixels, or () where nothing is known; originals: N
    times (h, w) of the decoded photo; image_ids, files, indices (places in the annotations or the list of files): N
    each; unreadable: a line for each photo left out.
    """

    images: Images
    targets: tuple[Targets, ...]
    originals: tuple[Size, ...]
    image_ids: tuple[int, ...]
    files: tuple[str, ...]
    indices: tuple[int, ...]
    unreadable: tuple[str, ...]


@dataclass(frozen=True)
class _Photo:
    """One item before it is collated."""

    example: Example
    original: Size
    image_id: int
    file: str
    index: int
    key: int


def training_loader(
    annotations: Annotations,
    preprocess: Preprocess,
    augment: Augment,
    plan: BatchPlan,
    seed: int,
    workers: int,
    given: GivenLookup | None = None,
) -> DataLoader[Batch]:
    """The plan's batches, augmented; boxes are clipped to the picture. Keys are (seed, epoch, image id)."""
    photos = _TrainingPhotos(annotations, preprocess, augment, seed, given)
    return _loader(photos, plan, _Collate(preprocess, True, given is not None), workers)


def evaluation_loader(
    annotations: Annotations,
    preprocess: Preprocess,
    batch_size: int,
    workers: int,
    given: GivenLookup | None = None,
) -> DataLoader[Batch]:
    """Every image once, batches of one canvas each. Keys are ("evaluation", image id)."""
    sizes = [annotations.size(index) for index in range(len(annotations))]
    batches = by_canvas([preprocess.canvas([preprocess.resized(size)]) for size in sizes], batch_size)
    photos = _EvaluationPhotos(annotations, preprocess, given)
    return _loader(photos, batches, _Collate(preprocess, True, given is not None), workers)


def file_loader(
    files: Sequence[str | Path],
    preprocess: Preprocess,
    batches: Sequence[Sequence[int]],
    workers: int,
    given: GivenLookup | None = None,
) -> DataLoader[Batch]:
    """The files in batches of their places, without targets. Image ids are places from 1; keys ("evaluation", name)."""
    photos = _Files([str(file) for file in files], preprocess, given)
    return _loader(photos, batches, _Collate(preprocess, False, given is not None), workers)


def _loader(
    photos: Dataset[_Photo | str], batches: Iterable[Any], collate: Callable[..., Batch], workers: int
) -> DataLoader[Batch]:
    loader: DataLoader[Any] = DataLoader(
        photos,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_prepare_worker,
        generator=torch.Generator(),  # else each pass would draw a number from torch's global generator
    )
    return loader


def _prepare_worker(worker: int) -> None:  # noqa: ARG001 - DataLoader's signature
    """Workers are the parallelism; threads in each would only compete. Signals are the main process's business.

    0, not 1: both mean none, but at 1 OpenCV stops its pool, and a forked worker would wait for threads that only its
    parent has. A Ctrl-C reaches the workers too; were they to end by it, the step under way would fail instead of being
    finished and saved. They end when the main process tells them, or is gone.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


class _TrainingPhotos(Dataset[_Photo | str]):
    def __init__(
        self,
        annotations: Annotations,
        preprocess: Preprocess,
        augment: Augment,
        seed: int,
        given: GivenLookup | None,
    ) -> None:
        self.annotations = annotations
        self.transform = Transform(preprocess, augment)
        self.seed = seed
        self.given = given

    def __getitem__(self, pick: Pick) -> _Photo | str:
        epoch, index, min_size = pick
        annotation = self.annotations[index]
        root = key(self.seed, epoch, annotation.image_id)
        return _read(annotation, index, root, self.given, lambda example: self.transform(example, root, min_size))


class _EvaluationPhotos(Dataset[_Photo | str]):
    def __init__(self, annotations: Annotations, preprocess: Preprocess, given: GivenLookup | None) -> None:
        self.annotations = annotations
        self.preprocess = preprocess
        self.given = given

    def __getitem__(self, index: int) -> _Photo | str:
        annotation = self.annotations[index]
        root = key("evaluation", annotation.image_id)
        return _read(annotation, index, root, self.given, lambda example: resized(clipped(example), self.preprocess))


class _Files(Dataset[_Photo | str]):
    def __init__(self, files: Sequence[str], preprocess: Preprocess, given: GivenLookup | None) -> None:
        self.files = files
        self.preprocess = preprocess
        self.given = given

    def __getitem__(self, index: int) -> _Photo | str:
        unknown = _without_objects(self.files[index], index + 1)
        root = key("evaluation", Path(unknown.file).name)
        return _read(unknown, index, root, self.given, lambda example: resized(clipped(example), self.preprocess))


def _read(
    annotation: ImageAnnotation,
    index: int,
    root: int,
    given: GivenLookup | None,
    move: Callable[[Example], Example],
) -> _Photo | str:
    """The photo as ``move`` makes it, or why it cannot be read.

    Any other error is raised with the file's name noted.
    """
    try:
        example = _example(annotation, given)
        return _Photo(move(example), example.size, annotation.image_id, annotation.file, index, root)
    except UnreadableImage as error:
        return str(error)
    except Exception as error:
        error.add_note(f"while loading {annotation.file}")
        raise


def _example(annotation: ImageAnnotation, given: GivenLookup | None) -> Example:
    rgb = read_image(annotation.file)
    proposals = None
    if given is not None:
        try:
            boxes, scores = given[annotation.file]
        except KeyError as error:
            raise UserError(f"{annotation.file}: expected given proposals, found none") from error
        proposals = Given(np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32))
    return Example(
        rgb=rgb,
        boxes=annotation.boxes.astype(np.float32),
        labels=annotation.labels,
        difficult=annotation.difficult,
        crowd=annotation.crowd,
        given=proposals,
    )


def _without_objects(file: str, image_id: int) -> ImageAnnotation:
    nothing = np.zeros(0, bool)
    return ImageAnnotation(
        file=file,
        image_id=image_id,
        size=(0, 0),
        boxes=np.zeros((0, 4)),
        labels=np.zeros(0, np.int64),
        difficult=nothing,
        crowd=nothing,
        areas=np.zeros(0),
    )


@dataclass(frozen=True)
class _Collate:
    preprocess: Preprocess
    with_targets: bool
    with_given: bool

    def __call__(self, items: Sequence[_Photo | str]) -> Batch:
        photos = [item for item in items if isinstance(item, _Photo)]
        return Batch(
            images=self._images(photos),
            targets=tuple(_targets(photo.example) for photo in photos) if self.with_targets else (),
            originals=tuple(photo.original for photo in photos),
            image_ids=tuple(photo.image_id for photo in photos),
            files=tuple(photo.file for photo in photos),
            indices=tuple(photo.index for photo in photos),
            unreadable=tuple(item for item in items if isinstance(item, str)),
        )

    def _images(self, photos: Sequence[_Photo]) -> Images:
        given = [_proposals(photo.example.given) for photo in photos if photo.example.given is not None]
        kept_given = given if self.with_given else None
        if not photos:
            return Images(torch.zeros(0, 3, 1, 1), (), (), () if self.with_given else None)
        pictures = [self.preprocess.normalise(photo.example.rgb) for photo in photos]
        return self.preprocess.batch(pictures, [photo.key for photo in photos], kept_given)


def _targets(example: Example) -> Targets:
    return Targets(
        torch.from_numpy(example.boxes),
        torch.from_numpy(example.labels),
        torch.from_numpy(example.difficult),
        torch.from_numpy(example.crowd),
    )


def _proposals(given: Given) -> Proposals:
    return Proposals(torch.from_numpy(given.boxes), torch.from_numpy(given.scores))
