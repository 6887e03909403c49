"""What a training sees, and in which order, does not depend on who reads it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from detect.config.builders.data import augment_rule, training_data
from detect.config.builders.detector import preprocess_rule
from detect.config.files import parse
from detect.data.loading.batch_sampler import BatchPlan, Dealt
from detect.data.loading.loader import training_loader
from tests.fault_injection.jobs import settings


def seen(root: Path, workers: int, rank: int = 0, size: int = 1) -> list[list[tuple[str, str]]]:
    """Of each batch the images, with a digest of the pixels and boxes that they are trained with."""
    config = parse(settings(root, data={"train_images": 6}), "tiny")
    images, _ = training_data(config)
    plan = Dealt(BatchPlan(images.sizes, 2, config.seed, config.data.min_sizes, 7), rank, size)
    batches = training_loader(images, preprocess_rule(config), augment_rule(config), plan, config.seed, workers)
    found = []
    for batch in batches:
        rows = zip(batch.files, batch.images.pixels, batch.images.sizes, batch.targets, strict=True)
        found.append([(file, _digest(pixels[:, :h, :w], own.boxes)) for file, pixels, (h, w), own in rows])
    return found


def _digest(*tensors: object) -> str:
    return hashlib.blake2b(b"".join(one.numpy().tobytes() for one in tensors)).hexdigest()  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more workers than cores
@pytest.mark.parametrize("workers", [1, 2, 3, 4])
def test_any_number_of_workers(workers: int, shapes_root: Path, record_property: Callable[[str, object], None]) -> None:
    whole = seen(shapes_root, 0)
    assert len(whole) == 7
    assert len({file for batch in whole for file, _ in batch}) == 6
    assert seen(shapes_root, workers) == whole
    record_property("batches", len(whole))


@pytest.mark.parametrize("size", [2, 3])
def test_any_number_of_processes(size: int, shapes_root: Path) -> None:
    whole = seen(shapes_root, 0)
    shares = [seen(shapes_root, 0, rank, size) for rank in range(size)]
    for rank, share in enumerate(shares):
        assert share == [batch[rank::size] for batch in whole]
