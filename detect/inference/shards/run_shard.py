"""The unit of work: one function turns a shard into one part."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from detect.errors import RunError
from detect.evaluation.predictions import Prediction
from detect.inference.shards.fetch import CUT_SHORT, TarPhotos
from detect.inference.shards.manifest import Manifest
from detect.inference.shards.model import Photo, ReadError, ShardModel
from detect.inference.shards.parts import PartKey, encode_part, parse_part_name, part_name
from detect.inference.shards.read_photos import in_batches, read_photos, read_tar
from detect.inference.shards.sources import is_tar
from detect.inference.shards.stores import OutputFolder, Retries, store_name


@dataclass(frozen=True)
class ShardSummary:
    """What became of a shard: the number of its photos, of those without detections, and of all detections.

    cut_short: a line for a tar file that could not be read to its end; its lost photos are in no number. passed_over:
    the files in a tar file that are no photos, by suffix.
    """

    number: int
    num_photos: int
    num_errors: int
    num_detections: int
    seconds: float
    cut_short: str | None = None
    passed_over: Mapping[str, int] = field(default_factory=dict)


class ShardRunner:
    """A model with its manifest and the folder of the parts; ``run`` makes one part."""

    def __init__(self, model: ShardModel, folder: OutputFolder, retries: Retries, num_threads: int) -> None:
        self.model = model
        self.folder = folder
        self.retries = retries
        self.num_threads = num_threads
        self.manifest = Manifest(folder)
        self.key = PartKey(model.key, model.classes, self.manifest.facts.identity)

    def run(self, number: int) -> ShardSummary:
        """Detect on the photos of a shard and write its part, whole or not at all.

        Raises RunError if the part cannot be written, and if the one store of all photos failed for each: that is the
        store's state and not the photos', and a part would tell later runs that this shard is done. So does a store
        that fails in a tar file.
        """
        start = time.perf_counter()
        addresses = self.manifest.addresses(number)
        tar = TarPhotos(addresses[0], self.retries) if len(addresses) == 1 and is_tar(addresses[0]) else None
        rows = self._rows(addresses, tar)
        failures = [row for row in rows if isinstance(row, ReadError)]
        stores = {store_name(address) for address in addresses}
        if 0 < len(rows) == sum(failure.is_of_store for failure in failures) and len(stores) == 1:
            raise RunError(f"the store gave none of {len(rows)} photos; {failures[0].reason}")
        self.folder.write(part_name(number, self.key.digest), encode_part(number, rows, self.key))
        num_detections = sum(len(row) for row in rows if isinstance(row, Prediction))
        lines = [f"{failure.url}: {failure.reason}" for failure in failures if failure.reason.startswith(CUT_SHORT)]
        return ShardSummary(
            number=number,
            num_photos=len(rows),
            num_errors=len(failures),
            num_detections=num_detections,
            seconds=time.perf_counter() - start,
            cut_short=lines[0] if lines else None,
            passed_over={} if tar is None else dict(tar.passed_over),
        )

    def _rows(self, addresses: Sequence[str], tar: TarPhotos | None) -> list[Prediction | ReadError]:
        """Return a row for each photo, in order."""
        if tar is None:
            photos = read_photos(self.model, addresses, self.retries, self.num_threads)
        else:
            photos = read_tar(self.model, tar, self.num_threads)
        by_index: dict[int, Prediction | ReadError] = {}

        def readable() -> Iterator[Photo]:
            for photo in photos:
                if isinstance(photo, ReadError):
                    by_index[photo.index] = photo
                else:
                    yield photo

        for batch in in_batches(readable(), self.model.batch_size):
            by_index |= zip((photo.index for photo in batch), self.model.detect(batch), strict=True)
        return [by_index[index] for index in range(len(by_index))]


def finished_shards(folder: OutputFolder, key: PartKey) -> set[int]:
    """Return the shards that have a part. Raises RunError for a part of another model, settings, version or manifest.

    Its rows would stand beside those of this run, twice for each photo.
    """
    numbers = set()
    for name in folder.names():
        parsed = parse_part_name(name)
        if parsed is None:
            continue
        number, digest = parsed
        if digest != key.digest:
            raise RunError(
                f"{folder.join(name)}: expected parts of this model, these settings, this version and this list, "
                f"{key.digest}, found another; take another --out"
            )
        numbers.add(number)
    return numbers
