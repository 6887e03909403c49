"""Data loaders for training, evaluation and files. Worker processes give the same batches as the main process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from detect.data.annotations import Annotations, ImageAnnotation
from detect.data.images import read_image
from detect.data.loading.batch_sampler import SampleKey, group_by_size
from detect.data.loading.collate import Batch, Collate, LoadedImage, ProposalLookup
from detect.data.loading.region_sampler import RegionKey
from detect.data.loading.transforms import Augment, Example, ImageProposals, Transform, clip_boxes, resize_example
from detect.data.loading.workers import ImageDataset, TrackedDataset, worker_init_fn
from detect.errors import UnreadableImage, UserError
from detect.ops.preprocess import Preprocess
from detect.system.randomness import hash_key
from detect.types import Size

_UNKNOWN_SIZE: Size = (0, 0)  # of an image without labels


def training_loader(
    annotations: Annotations,
    preprocess: Preprocess,
    augment: Augment,
    batch_sampler: Iterable[Sequence[SampleKey | RegionKey]],
    seed: int,
    num_workers: int,
    proposals: ProposalLookup | None = None,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Return the batches of the sampler, augmented; boxes are clipped to the image.

    The random draws of an image depend on (seed, epoch, image id). pin_memory: whether the batches are in memory from
    which a GPU copies while the host goes on.
    """
    dataset = _TrainingDataset(annotations, preprocess, augment, seed, proposals)
    return _make_loader(
        dataset, batch_sampler, Collate(preprocess, True, proposals is not None), num_workers, pin_memory
    )


def evaluation_loader(
    annotations: Annotations,
    preprocess: Preprocess,
    batch_size: int,
    num_workers: int,
    proposals: ProposalLookup | None = None,
    rank: int = 0,
    world_size: int = 1,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Return every image once, in batches of one padded size each.

    The seed of an image is ("evaluation", image id). With ``world_size`` processes each gets every ``world_size``-th
    batch, starting with batch ``rank``. pin_memory: as for ``training_loader``.
    """
    sizes = [annotations.size(index) for index in range(len(annotations))]
    batches = group_by_size([preprocess.canvas([preprocess.target_size(size)]) for size in sizes], batch_size)
    dataset = _EvaluationDataset(annotations, preprocess, proposals)
    return _make_loader(
        dataset, batches[rank::world_size], Collate(preprocess, True, proposals is not None), num_workers, pin_memory
    )


def file_loader(
    files: Sequence[str | Path],
    preprocess: Preprocess,
    batches: Sequence[Sequence[int]],
    num_workers: int,
    proposals: ProposalLookup | None = None,
    pin_memory: bool = False,
) -> DataLoader[Batch]:
    """Return the files in the given batches of indices, without targets.

    Image ids are the indices plus 1; the seed of an image is ("evaluation", file name). pin_memory: as for
    ``training_loader``.
    """
    dataset = _FileDataset([str(file) for file in files], preprocess, proposals)
    return _make_loader(dataset, batches, Collate(preprocess, False, proposals is not None), num_workers, pin_memory)


def describe_other_size(annotation: ImageAnnotation, size: Size) -> str:
    """Return a line if an image of ``size`` (h, w) is not of the size in its annotation, else an empty text."""
    if annotation.size in (_UNKNOWN_SIZE, size):
        return ""
    (height, width), (labelled_height, labelled_width) = size, annotation.size
    return f"{annotation.file}: {width} x {height}, and {labelled_width} x {labelled_height} in its labels"


def _make_loader(
    dataset: ImageDataset, batches: Iterable[Any], collate: Callable[..., Batch], num_workers: int, pin_memory: bool
) -> DataLoader[Batch]:
    """Return a DataLoader of these batches, with worker processes that report which file they read."""
    loader: DataLoader[Any] = DataLoader(
        TrackedDataset(dataset, num_workers) if num_workers else dataset,
        batch_sampler=batches,
        num_workers=num_workers,
        collate_fn=collate,
        worker_init_fn=worker_init_fn,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # otherwise each pass would advance torch's global generator
    )
    return loader


class _TrainingDataset(ImageDataset):
    """The images of a data set as they are trained on: augmented and resized."""

    def __init__(
        self,
        annotations: Annotations,
        preprocess: Preprocess,
        augment: Augment,
        seed: int,
        proposals: ProposalLookup | None,
    ) -> None:
        self.annotations = annotations
        self.transform = Transform(preprocess, augment)
        self.seed = seed
        self.proposals = proposals

    def __getitem__(self, sample_key: SampleKey | RegionKey) -> LoadedImage | str:
        epoch, index, min_size = sample_key[:3]
        rows = np.asarray(sample_key.rows) if isinstance(sample_key, RegionKey) else None
        annotation = self.annotations[index]
        image_seed = hash_key(self.seed, epoch, annotation.image_id)

        def transform(example: Example) -> Example:
            return self.transform(example if rows is None else _keep_regions(example, rows), image_seed, min_size)

        return _load_image(annotation, index, image_seed, self.proposals, transform)

    def file(self, key: SampleKey | RegionKey) -> str:
        """Return the path of the image of this key."""
        return self.annotations.file(key[1])


class _EvaluationDataset(ImageDataset):
    """The images of a data set as they are evaluated: resized, with clipped boxes."""

    def __init__(self, annotations: Annotations, preprocess: Preprocess, proposals: ProposalLookup | None) -> None:
        self.annotations = annotations
        self.preprocess = preprocess
        self.proposals = proposals

    def __getitem__(self, index: int) -> LoadedImage | str:
        annotation = self.annotations[index]
        image_seed = hash_key("evaluation", annotation.image_id)
        return _load_image(
            annotation,
            index,
            image_seed,
            self.proposals,
            lambda example: resize_example(clip_boxes(example), self.preprocess),
        )

    def file(self, index: int) -> str:
        """Return the path of the image with this index."""
        return self.annotations.file(index)


class _FileDataset(ImageDataset):
    """Image files without labels."""

    def __init__(self, files: Sequence[str], preprocess: Preprocess, proposals: ProposalLookup | None) -> None:
        self.files = files
        self.preprocess = preprocess
        self.proposals = proposals

    def __getitem__(self, index: int) -> LoadedImage | str:
        annotation = _unlabeled(self.files[index], index + 1)
        image_seed = hash_key("evaluation", Path(annotation.file).name)
        return _load_image(
            annotation,
            index,
            image_seed,
            self.proposals,
            lambda example: resize_example(clip_boxes(example), self.preprocess),
        )

    def file(self, index: int) -> str:
        """Return the path with this index."""
        return self.files[index]


def _load_image(
    annotation: ImageAnnotation,
    index: int,
    seed: int,
    proposals: ProposalLookup | None,
    transform: Callable[[Example], Example],
) -> LoadedImage | str:
    """Return the transformed image, or the reason why it cannot be read.

    Any other error is raised again with a note that names the file.
    """
    try:
        example = _load_example(annotation, proposals)
        return LoadedImage(
            example=transform(example),
            original_size=example.size,
            image_id=annotation.image_id,
            file=annotation.file,
            index=index,
            seed=seed,
            other_size=describe_other_size(annotation, example.size),
        )
    except UnreadableImage as error:
        return str(error)
    except Exception as error:
        error.add_note(f"while loading {annotation.file}")
        raise


def _load_example(annotation: ImageAnnotation, proposals: ProposalLookup | None) -> Example:
    """Read an image with its objects and its proposals. Raises UserError if its proposals are missing."""
    rgb = read_image(annotation.file)
    masks = None if annotation.masks is None else annotation.masks.bitmaps((rgb.shape[0], rgb.shape[1]))
    if annotation.window is not None:
        x1, y1, x2, y2 = annotation.window
        if x2 > rgb.shape[1] or y2 > rgb.shape[0]:
            raise UnreadableImage(
                f"{annotation.file}: expected {x2} x {y2} pixels or more, as labelled, for a slice, found "
                f"{rgb.shape[1]} x {rgb.shape[0]}"
            )
        rgb, masks = rgb[y1:y2, x1:x2].copy(), None if masks is None else masks[:, y1:y2, x1:x2]
    image_proposals = None
    if proposals is not None:
        try:
            boxes, scores = proposals[annotation.file]
        except KeyError as error:
            raise UserError(f"{annotation.file}: expected precomputed proposals, found none") from error
        image_proposals = ImageProposals(np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(scores, np.float32))
    return Example(
        rgb=rgb,
        boxes=annotation.boxes.astype(np.float32),
        labels=annotation.labels,
        difficult=annotation.difficult,
        crowd=annotation.crowd,
        proposals=image_proposals,
        masks=masks,
    )


def _keep_regions(example: Example, rows: np.ndarray) -> Example:
    """Keep only some regions of an example as its proposals; rows: indices into its G boxes and P proposals, joined."""
    assert example.proposals is not None
    boxes, scores = example.boxes, np.ones(len(example.boxes), np.float32)
    regions = np.concatenate([boxes, example.proposals.boxes])
    return replace(
        example, proposals=ImageProposals(regions[rows], np.concatenate([scores, example.proposals.scores])[rows])
    )


def _unlabeled(file: str, image_id: int) -> ImageAnnotation:
    """Return an annotation without objects; its size is not known."""
    no_flags = np.zeros(0, bool)
    return ImageAnnotation(
        file=file,
        image_id=image_id,
        size=_UNKNOWN_SIZE,
        boxes=np.zeros((0, 4)),
        labels=np.zeros(0, np.int64),
        difficult=no_flags,
        crowd=no_flags,
        areas=np.zeros(0),
    )
