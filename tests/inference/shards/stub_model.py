"""A detector without a network: what it detects follows from the bytes of a photo. None of this imports torch.

``python -m tests.inference.shards.stub_model SOURCE OUT WORKERS LOG [OPERATION KIND [LOG]]`` runs it over a source.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detect.errors import UnreadableImage
from detect.evaluation.predictions import Prediction
from detect.inference.shards.job import Job, WorkerNumber
from detect.inference.shards.local_workers import LocalWorkers
from detect.inference.shards.manifest import Manifest, ensure_manifest
from detect.inference.shards.model import Photo
from detect.inference.shards.parts import PartKey
from detect.inference.shards.run_shard import finished_shards
from detect.inference.shards.schedule import run_here, run_in_workers
from detect.inference.shards.stores import Retries
from tests.fault_injection.file_faults import Fault, inject

KEY = "0123456789abcdef"
FAST = Retries(count=2, wait=0.001)


@dataclass(frozen=True)
class StubModel:
    """Photos are the bytes ``photo ...``; log: a file that gets the name of each photo that is detected on."""

    log: str | None = None
    seconds: float = 0.0  # of the model, for each photo
    classes: tuple[str, ...] = ("cat", "dog")
    key: str = KEY
    batch_size: int = 4

    def prepare(self, content: bytes, url: str, index: int) -> Photo:
        if not content.startswith(b"photo"):
            raise UnreadableImage(f"{url}: cannot be decoded: {content[:9]!r}")
        digest = hashlib.sha256(content).digest()
        return Photo(index, url, (100 + digest[0], 100 + digest[1]), (digest[2] % 3, 0), digest)

    def detect(self, photos: Sequence[Photo]) -> list[Prediction]:
        assert len({photo.group for photo in photos}) == 1
        assert len(photos) <= self.batch_size
        time.sleep(self.seconds * len(photos))
        if self.log is not None:
            with open(self.log, "a") as stream:  # noqa: PTH123 - injected faults replace Path.open
                stream.writelines(f"{photo.url}\n" for photo in photos)
        return [_predict(photo) for photo in photos]


def _predict(photo: Photo) -> Prediction:
    count = photo.content[3] % 3
    numbers = np.frombuffer(photo.content[4:28], np.uint8).astype(np.float64).reshape(2, 12)[:count]
    return Prediction(
        file=photo.url,
        width=photo.size[1],
        height=photo.size[0],
        boxes=np.concatenate([numbers[:, :2] / 7, numbers[:, :2] / 7 + numbers[:, 2:4] + 1], 1),
        scores=numbers[:, 4] / 255,
        labels=(numbers[:, 5] % 2 + 1).astype(np.int64),
    )


@dataclass(frozen=True)
class LoadStub:
    log: str | None = None
    seconds: float = 0.0

    def __call__(self, _: WorkerNumber) -> StubModel:
        return StubModel(self.log, self.seconds)


def write_photos(folder: Path, count: int) -> list[str]:
    """Write photos of the stub, each with other bytes, and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{index:04d}.jpg" for index in range(count)]
    for file in files:
        file.write_bytes(f"photo {file.name}".encode())
    return [str(file) for file in files]


def part_key(manifest: Manifest) -> PartKey:
    return PartKey(KEY, StubModel.classes, manifest.facts.identity)


def run_stub(source: str, job: Job, num_workers: int = 1, shard_size: int = 10) -> list[str]:
    """Run all shards that have no part, and return a line for each that failed."""
    folder = job.folder()
    manifest = ensure_manifest(folder, source, shard_size)
    done = finished_shards(folder, part_key(manifest))
    numbers = [number for number in range(manifest.num_shards) if number not in done]
    if num_workers == 1:
        return run_here(job.runner(WorkerNumber()), numbers, print)
    return run_in_workers(LocalWorkers(job, num_workers), num_workers, numbers, print)


if __name__ == "__main__":
    source, out, num_workers, log, *fault = sys.argv[1:]
    if fault:
        operation, kind, *operations_log = fault
        inject(Fault(out, int(operation), kind, *operations_log))  # type: ignore[arg-type]
    assert "torch" not in sys.modules, "the tests start this often"
    sys.exit(len(run_stub(source, Job(LoadStub(log, 0.002), out, FAST, 2), int(num_workers))))
