from __future__ import annotations

import pickle
import traceback
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detect.data.annotations import Annotations
from detect.data.images import read_image
from detect.data.loading.batch_sampler import BatchSampler
from detect.data.loading.collate import Batch
from detect.data.loading.loader import evaluation_loader, file_loader, training_loader
from detect.data.loading.transforms import Augment
from detect.data.sources import select
from detect.errors import UserError
from detect.ops.preprocess import Preprocess
from detect.system.randomness import hash_key

SMALL = Preprocess(min_size=32, max_size=64, divisor=16)
AUGMENT = Augment(flip=0.5, crop=0.5, color_jitter=0.3)


def training(images: Annotations, workers: int = 0, start: int = 0, precomputed: object = None) -> list[Batch]:
    sampler = BatchSampler(images.sizes, 3, 5, (24, 32), 8, start)
    return list(training_loader(images, SMALL, AUGMENT, sampler, 5, workers, precomputed))  # type: ignore[arg-type]


def proposals(images: Annotations) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    box = np.asarray([[0, 0, 20, 20], [10, 10, 30, 40], [500, 500, 600, 600]])
    return {images.file(i): (box + i, np.asarray([0.9, 0.8, 0.7])) for i in range(len(images))}


def tensors(batch: Batch) -> list[torch.Tensor]:
    values = [batch.images.pixels]
    for target in batch.targets:
        values += [target.boxes, target.labels, target.difficult, target.crowd]
    for proposal in batch.images.proposals or ():
        values += [proposal.boxes, proposal.scores]
    return values


def assert_equal(first: Sequence[Batch], second: Sequence[Batch]) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.images.sizes == b.images.sizes
        assert a.images.seeds == b.images.seeds
        assert (a.files, a.indices, a.image_ids, a.unreadable) == (b.files, b.indices, b.image_ids, b.unreadable)
        assert all(torch.equal(x, y) for x, y in zip(tensors(a), tensors(b), strict=True))


def test_file_loader_of_no_files_is_empty() -> None:
    assert list(file_loader([], SMALL, [], 0)) == []


def test_loaders_report_images_of_another_size_than_labelled(images: Annotations) -> None:
    file = Path(images.file(3))
    cv2.imwrite(str(file), np.zeros((20, 30, 3), np.uint8))
    (batch,) = evaluation_loader(select(images, [3]), SMALL, 4, 0)
    assert batch.other_sizes == (f"{file}: 30 x 20, and 60 x 40 in its labels",)
    assert batch.original_sizes == ((20, 30),)
    assert all((target.boxes[:, 2:] <= torch.tensor([64.0, 32.0])).all() for target in batch.targets)
    (same,) = evaluation_loader(select(images, [0]), SMALL, 4, 0)
    (unlabelled,) = file_loader([file], SMALL, [[0]], 0)
    assert same.other_sizes == unlabelled.other_sizes == ()


def test_training_loader_yields_complete_epochs(images: Annotations) -> None:
    batches = training(images)
    assert len(batches) == 8
    assert sorted(i for batch in batches[:4] for i in batch.indices) == list(range(10))
    for step, batch in enumerate(batches):
        assert batch.images.pixels.is_contiguous(memory_format=torch.channels_last)
        assert batch.images.proposals is None
        assert len(batch.targets) == len(batch.original_sizes) == len(batch.files) == len(batch.images)
        assert batch.images.seeds == tuple(hash_key(5, step // 4, image_id) for image_id in batch.image_ids)
        assert batch.original_sizes == tuple(images.size(i) for i in batch.indices)
        assert batch.files == tuple(images.file(i) for i in batch.indices)


def test_loaders_with_workers_give_the_same_batches(images: Annotations) -> None:
    cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (900, 900))  # starts OpenCV's threads, which a fork does not copy
    precomputed = proposals(images)
    alone, shared = training(images, 0, precomputed=precomputed), training(images, 2, precomputed=precomputed)
    assert_equal(alone, shared)
    assert all(batch.images.pixels.is_contiguous(memory_format=torch.channels_last) for batch in shared)
    assert_equal(list(evaluation_loader(images, SMALL, 4, 0)), list(evaluation_loader(images, SMALL, 4, 2)))


def test_training_loader_resumed_gives_the_same_batches(images: Annotations) -> None:
    assert_equal(training(images)[5:], training(images, start=5))


def test_training_loader_does_not_advance_the_global_generator(images: Annotations) -> None:
    before = torch.get_rng_state()
    training(images)
    assert torch.equal(before, torch.get_rng_state())


def test_evaluation_loader_yields_resized_images_and_boxes(images: Annotations) -> None:
    batches = list(evaluation_loader(images, SMALL, 3, 0))
    assert sorted(i for batch in batches for i in batch.indices) == list(range(10))
    for batch in batches:
        canvas = tuple(batch.images.pixels.shape[2:])
        for i, index in enumerate(batch.indices):
            assert canvas == SMALL.canvas([batch.images.sizes[i]])
            assert batch.images.seeds[i] == hash_key("evaluation", batch.image_ids[i])
            height, width = batch.images.sizes[i]
            expected = SMALL.normalize(SMALL.resize(read_image(images.file(index))))
            assert torch.equal(batch.images.pixels[i, :, :height, :width], expected)
            y, x = height / images.size(index)[0], width / images.size(index)[1]
            boxes = images[index].boxes * [x, y, x, y]
            assert np.allclose(batch.targets[i].boxes, boxes, atol=1e-3)
            assert batch.targets[i].labels.tolist() == images[index].labels.tolist()


@pytest.mark.parametrize("batch_size", [1, 4])
def test_evaluation_loader_is_independent_of_other_images(images: Annotations, batch_size: int) -> None:
    pixels_by_index = {
        index: pixels
        for batch in evaluation_loader(images, SMALL, batch_size, 0)
        for index, pixels in zip(batch.indices, batch.images.pixels, strict=True)
    }
    (alone,) = evaluation_loader(select(images, [7]), SMALL, batch_size, 0)
    assert torch.equal(pixels_by_index[7], alone.images.pixels[0])


def test_evaluation_loader_resizes_precomputed_proposals(images: Annotations) -> None:
    (batch,) = evaluation_loader(select(images, [0]), SMALL, 1, 0, proposals(images))
    assert batch.images.proposals is not None
    scale = 32 / 40
    boxes, scores = batch.images.proposals[0].boxes, batch.images.proposals[0].scores
    assert torch.allclose(boxes, torch.tensor([[0, 0, 20, 20], [10, 10, 30, 40.0]]) * scale)
    assert torch.allclose(scores, torch.tensor([0.9, 0.8]))


def test_file_loader_without_proposals_fails(images: Annotations) -> None:
    with pytest.raises(UserError, match=r"p0\.png: expected precomputed proposals, found none"):
        list(file_loader([images.file(0)], SMALL, [[0]], 0, {}))


def test_file_loader_yields_files_in_order(images: Annotations) -> None:
    files = [images.file(i) for i in (3, 0, 5)]
    batches = list(file_loader(files, SMALL, [[0, 1], [2]], 0))
    assert [batch.files for batch in batches] == [tuple(files[:2]), tuple(files[2:])]
    assert [batch.indices for batch in batches] == [(0, 1), (2,)]
    assert all(batch.targets == () for batch in batches)
    again = list(file_loader([Path(file) for file in reversed(files)], SMALL, [[0, 1, 2]], 0))
    assert again[0].images.seeds == tuple(reversed([k for batch in batches for k in batch.images.seeds]))


@pytest.mark.parametrize("workers", [0, 1])
def test_loaders_skip_and_report_unreadable_images(images: Annotations, workers: int) -> None:
    for index in (1, 3):
        Path(images.file(index)).write_bytes(b"no image")
    files = [images.file(i) for i in (1, 3, 4)]
    empty, last = file_loader(files, SMALL, [[0, 1], [2]], workers)
    assert empty.images.pixels.shape == (0, 3, 1, 1)
    assert (empty.files, empty.targets, empty.original_sizes) == ((), (), ())
    assert [line.split(": ")[0] for line in empty.unreadable] == files[:2]
    assert last.indices == (2,)
    batches = list(evaluation_loader(images, SMALL, 3, workers))
    assert sum(len(batch.images) for batch in batches) == 8
    assert sum(len(batch.unreadable) for batch in batches) == 2


@pytest.mark.parametrize("workers", [0, 1])
def test_file_loader_error_names_the_file(images: Annotations, workers: int) -> None:
    precomputed = {images.file(0): (np.zeros(5), np.zeros(1))}
    with pytest.raises(ValueError) as raised:
        list(file_loader([images.file(0)], SMALL, [[0]], workers, precomputed))
    traceback.clear_frames(raised.tb)  # torch's frames and the error refer to each other and would keep the worker
    message = str(raised.value) + "".join(getattr(raised.value, "__notes__", []))
    assert f"while loading {images.file(0)}" in message


def test_training_loader_is_picklable(images: Annotations) -> None:
    sampler = BatchSampler(images.sizes, 3, 5, (24,), 2)
    loader = training_loader(images, SMALL, AUGMENT, sampler, 5, 0, proposals(images))
    image = pickle.loads(pickle.dumps(loader.dataset))[(0, 2, 24)]
    batch = pickle.loads(pickle.dumps(loader.collate_fn))([image])
    assert batch.indices == (2,)
    assert batch.images.proposals is not None
