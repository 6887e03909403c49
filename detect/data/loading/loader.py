"""Batches from images, in this process or by workers, with equal results."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.images import UnreadableImage, read_image
from detect.data.loading.batch_sampler import Pick, by_canvas
from detect.data.loading.collate import Batch, Collate, GivenLookup, LoadedImage
from detect.data.loading.region_sampler import RegionPick
from detect.data.loading.transforms import Augment, Example, Given, Transform, clipped, resized
from detect.data.loading.workers import Images, ReadByWorkers, prepare_worker
from detect.errors import UserError
from detect.ops.preprocess import Preprocess
from detect.system.randomness import key


def training_loader(
    annotations: Annotations,
    preprocess: Preprocess,
    augment: Augment,
    plan: Iterable[Sequence[Pick | RegionPick]],
    seed: int,
    workers: int,
    given: GivenLookup | None = None,
) -> DataLoader[Batch]:
    """The plan's batches, augmented; boxes are clipped to the picture. Keys are (seed, epoch, image id)."""
    images = _TrainingImages(annotations, preprocess, augment, seed, given)
    return _loader(images, plan, Collate(preprocess, True, given is not None), workers)


def evaluation_loader(
    annotations: Annotations,
    preprocess: Preprocess,
    batch_size: int,
    workers: int,
    given: GivenLookup | None = None,
    rank: int = 0,
    size: int = 1,
) -> DataLoader[Batch]:
    """Every image once, batches of one canvas each. Keys are ("evaluation", image id).

    Of ``size`` processes each gets every ``size``-th batch, from the ``rank``-th on.
    """
    sizes = [annotations.size(index) for index in range(len(annotations))]
    batches = by_canvas([preprocess.canvas([preprocess.resized(size)]) for size in sizes], batch_size)
    images = _EvaluationImages(annotations, preprocess, given)
    return _loader(images, batches[rank::size], Collate(preprocess, True, given is not None), workers)


def file_loader(
    files: Sequence[str | Path],
    preprocess: Preprocess,
    batches: Sequence[Sequence[int]],
    workers: int,
    given: GivenLookup | None = None,
) -> DataLoader[Batch]:
    """The files in batches of their places, without targets. Image ids are places from 1; keys ("evaluation", name)."""
    images = _Files([str(file) for file in files], preprocess, given)
    return _loader(images, batches, Collate(preprocess, False, given is not None), workers)


def _loader(images: Images, batches: Iterable[Any], collate: Callable[..., Batch], workers: int) -> DataLoader[Batch]:
    loader: DataLoader[Any] = DataLoader(
        ReadByWorkers(images, workers) if workers else images,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=prepare_worker,
        generator=torch.Generator(),  # else each pass would draw a number from torch's global generator
    )
    return loader


class _TrainingImages(Images):
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

    def __getitem__(self, pick: Pick | RegionPick) -> LoadedImage | str:
        epoch, index, min_size = pick[:3]
        rows = np.asarray(pick.rows) if isinstance(pick, RegionPick) else None
        annotation = self.annotations[index]
        root = key(self.seed, epoch, annotation.image_id)

        def move(example: Example) -> Example:
            return self.transform(example if rows is None else _only(example, rows), root, min_size)

        return _read(annotation, index, root, self.given, move)

    def file(self, pick: Pick | RegionPick) -> str:
        return self.annotations.file(pick[1])


class _EvaluationImages(Images):
    def __init__(self, annotations: Annotations, preprocess: Preprocess, given: GivenLookup | None) -> None:
        self.annotations = annotations
        self.preprocess = preprocess
        self.given = given

    def __getitem__(self, index: int) -> LoadedImage | str:
        annotation = self.annotations[index]
        root = key("evaluation", annotation.image_id)
        return _read(annotation, index, root, self.given, lambda example: resized(clipped(example), self.preprocess))

    def file(self, index: int) -> str:
        return self.annotations.file(index)


class _Files(Images):
    def __init__(self, files: Sequence[str], preprocess: Preprocess, given: GivenLookup | None) -> None:
        self.files = files
        self.preprocess = preprocess
        self.given = given

    def __getitem__(self, index: int) -> LoadedImage | str:
        unknown = _without_objects(self.files[index], index + 1)
        root = key("evaluation", Path(unknown.file).name)
        return _read(unknown, index, root, self.given, lambda example: resized(clipped(example), self.preprocess))

    def file(self, index: int) -> str:
        return self.files[index]


def _read(
    annotation: ImageAnnotation,
    index: int,
    root: int,
    given: GivenLookup | None,
    move: Callable[[Example], Example],
) -> LoadedImage | str:
    """The image as ``move`` makes it, or why it cannot be read.

    Any other error is raised with the file's name noted.
    """
    try:
        example = _example(annotation, given)
        return LoadedImage(move(example), example.size, annotation.image_id, annotation.file, index, root)
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


def _only(example: Example, rows: np.ndarray) -> Example:
    """The example with only some of its regions given; rows: places among its objects' boxes, then its proposals."""
    assert example.given is not None
    boxes, scores = example.boxes, np.ones(len(example.boxes), np.float32)
    regions = np.concatenate([boxes, example.given.boxes])
    return replace(example, given=Given(regions[rows], np.concatenate([scores, example.given.scores])[rows]))


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
