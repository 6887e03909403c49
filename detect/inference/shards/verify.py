"""Checks the parts of a run: that each shard has one, whole, with the rows of its photos and no others."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from detect.errors import first_line
from detect.inference.shards.fetch import CUT_SHORT
from detect.inference.shards.manifest import Manifest
from detect.inference.shards.parts import CLASSES, MANIFEST, SHARD, STATUSES, decode_part, parse_part_name, run_digest
from detect.inference.shards.sources import is_tar
from detect.inference.shards.stores import OutputFolder


@dataclass(frozen=True)
class Verification:
    """What a check of all parts found.

    num_shards: of the manifest; missing: shards without a part; faults: a line for each part that is not as it should
    be; statuses: the number of rows by status, of the others; num_detections: in these; num_cut_short: tar files of
    these that could not be read to their end, so that photos of theirs have no row.
    """

    num_shards: int
    missing: tuple[int, ...]
    faults: tuple[str, ...]
    statuses: Counter[str]
    num_detections: int
    num_cut_short: int


def verify_parts(folder: OutputFolder) -> Verification:
    """Read every part, with the checksum of its bytes, and compare its rows with the manifest.

    Raises RunError if the manifest is damaged, or if the store fails while a part is read.
    """
    manifest = Manifest(folder)
    parts = [(name, parsed) for name in folder.names() if (parsed := parse_part_name(name)) is not None]
    digests = Counter(digest for _, (_, digest) in parts)
    expected = digests.most_common(1)[0][0] if digests else ""
    faults: list[str] = []
    statuses: Counter[str] = Counter()
    num_detections = num_cut_short = 0
    for name, (number, digest) in parts:
        fault, table = _read(folder, name)
        if digest != expected:
            fault = f"of another model, settings, version or list: most parts have {expected} in their names"
        elif table is not None:
            fault = next(_faults(table, number, digest, manifest), None)
        if fault is not None:
            faults.append(f"{folder.join(name)}: {fault}")
            continue
        statuses.update(table.column("status").to_pylist())
        num_detections += sum(map(len, filter(None, table.column("scores").to_pylist())))
        num_cut_short += sum(error.startswith(CUT_SHORT) for error in table.column("error").to_pylist() if error)
    numbers = {number for _, (number, digest) in parts if digest == expected}
    missing = tuple(number for number in range(manifest.num_shards) if number not in numbers)
    return Verification(
        num_shards=manifest.num_shards,
        missing=missing,
        faults=tuple(faults),
        statuses=statuses,
        num_detections=num_detections,
        num_cut_short=num_cut_short,
    )


def _read(folder: OutputFolder, name: str) -> tuple[str | None, Any]:
    """Return what is wrong with a file, or its rows."""
    try:
        return None, decode_part(folder.read(name))
    except ValueError as error:
        return f"damaged: {first_line(error)}", None


def _faults(table: Any, number: int, digest: str, manifest: Manifest) -> Iterator[str]:
    metadata = table.schema.metadata or {}
    if metadata.get(MANIFEST, b"").decode() != manifest.facts.identity:
        yield "of another manifest"
        return
    if metadata.get(SHARD) != str(number).encode() or number >= manifest.num_shards:
        yield f"of the shard {metadata.get(SHARD, b'').decode()}"
        return
    if {run_digest(key, manifest.facts.identity) for key in table.column("model_key").to_pylist()} - {digest}:
        yield "rows of another model"
    yield from _row_faults(table.column("url").to_pylist(), manifest.addresses(number))
    yield from _detection_faults(table, len(json.loads(metadata[CLASSES])))


def _row_faults(urls: Sequence[str], addresses: Sequence[str]) -> Iterator[str]:
    """Yield how the photos of a part differ from those of its shard; those of a tar file are known to it alone."""
    if len(addresses) == 1 and is_tar(addresses[0]):
        others = [url for url in urls if url.partition("::")[2] != addresses[0] and url != addresses[0]]
        if others:
            yield f"expected the photos of {addresses[0]}, found {others[0]}"
        url, count = max(Counter(urls).items(), key=lambda pair: pair[1], default=("", 0))
        if count > 1:
            yield f"{count} rows of {url}, which the tar file may have as often"
    elif list(urls) != list(addresses):
        yield f"expected the {len(addresses)} photos of its shard, found {len(urls)} rows, of others or in disorder"


def _detection_faults(table: Any, num_classes: int) -> Iterator[str]:
    columns = [table.column(name).to_pylist() for name in ("status", "boxes", "scores", "labels")]
    for index, (status, boxes, scores, labels) in enumerate(zip(*columns, strict=True)):
        if status not in STATUSES or (status == "ok") != (scores is not None):
            yield f"row {index}: status {status}"
        elif scores is not None and not (len(boxes) == len(scores) == len(labels)):
            yield f"row {index}: {len(boxes)} boxes, {len(scores)} scores and {len(labels)} labels"
        elif labels and not 1 <= min(labels) <= max(labels) <= num_classes:
            yield f"row {index}: labels {min(labels)} to {max(labels)} of {num_classes} classes"
