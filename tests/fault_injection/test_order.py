"""What a training sees, and in which order, does not depend on who reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.config.builders.data import build_augment, training_data
from detect.config.builders.detector import build_preprocess
from detect.config.files import parse_config
from detect.data.loading.batch_sampler import BatchSampler, DistributedBatchSampler
from detect.data.loading.loader import training_loader
from tests.fault_injection.fixtures_jobs import settings


def batch_digests(root: Path, workers: int, rank: int = 0, size: int = 1) -> list[list[tuple[str, str]]]:
    """Of each batch the images, with a digest of the pixels and boxes that they are trained with."""
    config = parse_config(settings(root, data={"train_images": 6}), "tiny")
    images, _ = training_data(config)
    plan = DistributedBatchSampler(BatchSampler(images.sizes, 2, config.seed, config.data.min_sizes, 7), rank, size)
    batches = training_loader(images, build_preprocess(config), build_augment(config), plan, config.seed, workers)
    digests = []
    for batch in batches:
        rows = zip(batch.files, batch.images.pixels, batch.images.sizes, batch.targets, strict=True)
        digests.append([(file, _digest(pixels[:, :h, :w], target.boxes)) for file, pixels, (h, w), target in rows])
    return digests


def _digest(*tensors: object) -> str:
    return hashlib.blake2b(b"".join(one.numpy().tobytes() for one in tensors)).hexdigest()  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_batches_are_equal_for_any_number_of_workers(
    workers: int, shapes_root: Path, record_property: Callable[[str, object], None]
) -> None:
    expected = batch_digests(shapes_root, 0)
    assert len(expected) == 7
    assert len({file for batch in expected for file, _ in batch}) == 6
    assert batch_digests(shapes_root, workers) == expected
    record_property("batches", len(expected))


@pytest.mark.parametrize("size", [2, 3])
def test_batches_are_shared_for_any_number_of_processes(size: int, shapes_root: Path) -> None:
    expected = batch_digests(shapes_root, 0)
    shares = [batch_digests(shapes_root, 0, rank, size) for rank in range(size)]
    for rank, share in enumerate(shares):
        assert share == [batch[rank::size] for batch in expected]
