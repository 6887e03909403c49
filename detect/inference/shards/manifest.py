"""The manifest of a run: which photos are in which shard, written once, before the first photo is detected.

It is a Parquet file with a row group for each shard, so that it is written as the source is read, and a shard is read
alone. Each shard has a hash of its addresses. The name starts with ``_``, so that readers of a folder of Parquet files
pass over it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

from detect.errors import RunError, UserError, first_line
from detect.inference.shards.sources import PhotoSource
from detect.inference.shards.stores import OutputFolder, full_address
from detect.system.packages import import_package

NAME = "_manifest"
_KEY = b"detect.manifest"


@dataclass(frozen=True)
class ManifestFacts:
    """What a manifest says of itself.

    identity: a hash of the addresses and of their division into shards; shard_hashes: of the addresses of each shard;
    source: the address of ``--from``; shard_size: photos of a shard, where these are not tar files; num_addresses:
    photos, or tar files; passed_over: files of the source that are no photos.
    """

    identity: str
    shard_hashes: list[str]
    source: str
    shard_size: int
    num_addresses: int
    passed_over: dict[str, int]


def _shard_hash(addresses: list[str]) -> str:
    return hashlib.blake2b(json.dumps(addresses).encode(), digest_size=8).hexdigest()


def _encode_facts(facts: ManifestFacts) -> bytes:
    """Return a checksum and, after a space, the facts as JSON."""
    content = json.dumps(asdict(facts)).encode()
    return _checksum(content) + b" " + content


def _decode_facts(encoded: bytes) -> ManifestFacts:
    """Return the facts. Raises ValueError if they are not as they were written."""
    checksum, _, content = encoded.partition(b" ")
    if checksum != _checksum(content):
        raise ValueError("its facts do not match their checksum")
    return ManifestFacts(**json.loads(content))


def _checksum(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=16).hexdigest().encode()


class Manifest:
    """A manifest that is open; it may be read by one thread at a time."""

    def __init__(self, folder: OutputFolder) -> None:
        """Open it. Raises UserError where there is none, and RunError where it is damaged."""
        parquet = import_package("pyarrow.parquet", "--from", "pyarrow")
        self._arrow = import_package("pyarrow", "--from")
        self._path = folder.join(NAME)
        try:
            stream = folder.open(NAME)
        except FileNotFoundError:
            raise UserError(f"{folder.address}: expected the results of --from, found no {NAME} in it") from None
        try:
            self._file = parquet.ParquetFile(stream, page_checksum_verification=True, pre_buffer=False)
            self.facts = _decode_facts((self._file.metadata.metadata or {}).get(_KEY, b""))
        except (OSError, ValueError, self._arrow.ArrowException) as error:
            raise self._damaged(first_line(error)) from error
        if self._file.metadata.num_rows != self.facts.num_addresses:
            raise self._damaged(f"{self._file.metadata.num_rows} of {self.facts.num_addresses} photos")
        if len(self.facts.shard_hashes) != self.num_shards:
            raise self._damaged(f"{self.num_shards} of {len(self.facts.shard_hashes)} shards")

    @property
    def num_shards(self) -> int:
        """Return the number of shards; they are numbered from 0."""
        return int(self._file.metadata.num_row_groups)

    def addresses(self, number: int) -> list[str]:
        """Return the addresses of a shard: of its photos, or of its one tar file. Raises RunError if damaged."""
        try:
            addresses: list[str] = self._file.read_row_group(number).column(0).to_pylist()
        except (OSError, ValueError, self._arrow.ArrowException) as error:
            raise self._damaged(first_line(error)) from error
        if _shard_hash(addresses) != self.facts.shard_hashes[number]:
            raise self._damaged(f"other addresses in shard {number} than were written")
        return addresses

    def _damaged(self, reason: str) -> RunError:
        return RunError(
            f"{self._path}: expected the manifest of --from, found a damaged file: {reason}; fix: repeat the command, "
            "as a store may have failed; if this stays, delete the file first, and it is written anew"
        )


def ensure_manifest(folder: OutputFolder, source: str, shard_size: int) -> Manifest:
    """Return the manifest of a folder; where it has none, it is written from the source.

    Where several processes start together, the first that is ready writes it and all read that one. Raises UserError if
    the folder has the manifest of another source or size of shards.
    """
    if NAME not in folder.names():
        _write(folder, PhotoSource(source, folder.retries), shard_size)
    manifest = Manifest(folder)
    facts = manifest.facts
    for option, expected, given in (
        ("--from", facts.source, full_address(source)),
        ("--shard-size", facts.shard_size, shard_size),
    ):
        if expected != given:
            raise UserError(f"{option}: expected {expected}, of which {folder.address} has the manifest, found {given}")
    return manifest


def _write(folder: OutputFolder, source: PhotoSource, shard_size: int) -> None:
    arrow = import_package("pyarrow", "--from")
    parquet = import_package("pyarrow.parquet", "--from", "pyarrow")
    schema = arrow.schema([arrow.field("url", arrow.string(), nullable=False)])
    shards = source.shards(shard_size)
    first = next(shards)  # before the folder is made: a mistyped source leaves nothing
    shard_hashes, num_addresses = list[str](), 0
    with folder.temporary_file(NAME) as file:
        with parquet.ParquetWriter(
            file, schema, compression="zstd", use_dictionary=False, write_statistics=False, write_page_checksum=True
        ) as writer:
            for addresses in chain([first], shards):
                writer.write_table(_table(arrow, schema, addresses), row_group_size=len(addresses))
                shard_hashes.append(_shard_hash(addresses))
                num_addresses += len(addresses)
            facts = ManifestFacts(
                identity=hashlib.blake2b(" ".join(shard_hashes).encode(), digest_size=16).hexdigest(),
                shard_hashes=shard_hashes,
                source=source.address,
                shard_size=shard_size,
                num_addresses=num_addresses,
                passed_over=dict(source.passed_over),
            )
            writer.add_key_value_metadata({_KEY: _encode_facts(facts)})
        folder.create(NAME, file)


def _table(arrow: Any, schema: Any, addresses: list[str]) -> Any:
    try:
        return arrow.table({"url": addresses}, schema=schema)
    except UnicodeEncodeError as error:
        raise UserError(f"{error.object!r}: expected a name in UTF-8, found another") from None
