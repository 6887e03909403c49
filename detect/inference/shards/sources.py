"""The photos that ``--from`` names, streamed: a list, a glob, a folder, or tar files, at any address of fsspec."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from pathlib import Path, PurePosixPath
from typing import IO, Any

from fsspec.utils import glob_translate

from detect.data.images import is_image
from detect.errors import RunError, UserError, did_you_mean
from detect.inference.shards.stores import Retries, StoreError, full_address, store_of, with_retries
from detect.system.packages import import_package

COLUMNS = ("url", "file", "path", "image")  # of a CSV file or a Parquet file: the first of these that it has
_MAGIC = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}")
_TAR = (".tar", ".tar.gz", ".tgz")
_LISTS = (".txt", ".lst", ".csv", ".parquet")
_LINK = "link"  # no suffix of a file, which begins with a dot
_ROWS_AT_ONCE = 10_000  # of a Parquet list


class PhotoSource:
    """The photos of a source, in shards.

    passed_over: files of a glob or folder that are no photos, by suffix, and links to folders, as ``link``.
    """

    def __init__(self, address: str, retries: Retries) -> None:
        self.address = full_address(address)
        self._retries = retries
        self.passed_over: Counter[str] = Counter()

    def shards(self, shard_size: int) -> Iterator[list[str]]:
        """Yield the addresses of the photos of each shard; of a source of tar files, each is the shard of its photos.

        Raises UserError for a source that is none of these, has no photo, or has a row without an address.
        """
        addresses = self._addresses()
        first = next(addresses, None)
        if first is None:
            others = count_by_suffix(self.passed_over) or "none"
            raise UserError(f"{self.address}: expected photos, found {others}")
        size = 1 if is_tar(first) else shard_size
        addresses = chain([first], addresses)
        while shard := list(islice(addresses, size)):
            yield shard

    def _addresses(self) -> Iterator[str]:
        """Yield the addresses of the photos, or of the tar files."""
        address = self.address
        numbered = _BRACES.search(address)
        if numbered is not None:
            start, end = numbered.groups()
            for number in range(int(start), int(end) + 1):
                yield f"{address[: numbered.start()]}{number:0{len(start)}d}{address[numbered.end() :]}"
        elif self._is_glob():
            yield from self._matches()
        elif is_tar(address):
            yield address
        elif _suffix(address) in _LISTS:
            yield from _listed(address)
        else:
            yield from self._below(address, None)

    def _is_glob(self) -> bool:
        """Return whether this is a glob: not a file that is there under this name, nor the ``?`` of an http address."""
        if self.address.startswith(("http://", "https://")):
            return "*" in self.address
        return _MAGIC.search(self.address) is not None and not Path(self.address).exists()

    def _matches(self) -> Iterator[str]:
        magic = _MAGIC.search(self.address)
        assert magic is not None
        yield from self._below(self.address[: magic.start()].rpartition("/")[0] or "/", self.address)

    def _below(self, folder: str, pattern: str | None) -> Iterator[str]:
        """Yield the photos below a folder, of those that match a glob; its tar files where the glob ends with .tar."""
        store, root = store_of(folder)
        expression = None if pattern is None else re.compile(glob_translate(store._strip_protocol(pattern)))
        takes_tar = pattern is not None and is_tar(pattern)
        try:
            if not store.isdir(root):
                raise UserError(
                    f"{self.address}: expected a list ({', '.join(_LISTS)}), a glob, a folder or .tar files, found none"
                )
            for path in self._walk(store, root):
                if expression is None or expression.match(path):
                    if is_tar(path) if takes_tar else is_image(Path(path)):
                        yield _unstripped(store, path)
                    else:
                        self.passed_over[PurePosixPath(path).suffix.lower()] += 1
        except FileNotFoundError as error:
            raise UserError(f"{self.address}: expected a folder, found nothing") from error
        except StoreError as error:
            raise RunError(f"{self.address}: expected a store that answers, found {error}") from error

    def _walk(self, store: Any, folder: str) -> Iterator[str]:
        """Yield the files below a folder, by name, folder by folder; a store's own walk has every listing in memory.

        Links to folders are not followed, as they may lead in a circle.
        """
        listed = with_retries(lambda: store.ls(folder, detail=True), folder, self._retries)
        entries = sorted(listed, key=lambda entry: str(entry["name"]))
        store.invalidate_cache(folder)
        for entry in entries:
            if entry.get("islink") and Path(entry["name"]).is_dir():
                self.passed_over[_LINK] += 1
            elif entry["type"] != "directory":
                yield entry["name"]
        for entry in entries:
            is_folder = entry["type"] == "directory" and not entry.get("islink")
            if is_folder and entry["name"].rstrip("/") != folder.rstrip("/"):
                yield from self._walk(store, entry["name"])


def count_by_suffix(counts: Mapping[str, int]) -> str:
    """Return ``2 .json, 1 without suffix`` for files that are passed over, and how many links are not followed."""
    texts = [f"{count} {suffix or 'without suffix'}" for suffix, count in counts.items() if suffix != _LINK]
    num_links = counts.get(_LINK, 0)
    if num_links:
        texts.append(
            f"{num_links} link{'s' * (num_links > 1)} to a folder {'are' if num_links > 1 else 'is'} not followed"
        )
    return ", ".join(texts)


def is_tar(address: str) -> bool:
    """Return whether an address is that of a tar file, by its name; not ``tar://MEMBER::FILE``, a photo in one."""
    return address.lower().endswith(_TAR) and not address.startswith("tar://")


def _kind(address: str) -> str:
    return "tar file" if is_tar(address) else "photo"


def _suffix(address: str) -> str:
    return PurePosixPath(address.removesuffix(".gz")).suffix.lower()


def _unstripped(store: Any, path: str) -> str:
    """Return the address of a path in a store; of a file of this machine, the path."""
    return path if path.startswith("/") and "file" in store.protocol else str(store.unstrip_protocol(path))


def _listed(address: str) -> Iterator[str]:
    """Yield the photos of a list, each an address; one that is relative is taken from the folder of the list."""
    folder = address.rpartition("/")[0]
    readers = {".csv": _read_csv, ".parquet": _read_parquet}
    store, path = store_of(address)
    try:
        with store.open(path, "rb") as stream:
            rows = readers.get(_suffix(address), _read_lines)(address, stream)
            kind = None
            for row, text in rows:
                if not text:
                    raise UserError(f"{address}: {row}: expected the address of a photo, found none")
                kind = kind or _kind(text)
                if _kind(text) != kind:
                    raise UserError(f"{address}: {row}: expected a {kind}, as in the rows before, found {text}")
                yield text if "://" in text or text.startswith("/") else f"{folder}/{text}"
    except FileNotFoundError as error:
        raise UserError(f"{address}: expected a list of photos, found nothing") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{address}: expected text in UTF-8, found byte {error.object[error.start]:#x}") from None


def _open_text(address: str, stream: IO[bytes]) -> io.TextIOWrapper:
    content = gzip.GzipFile(fileobj=stream) if address.endswith(".gz") else stream
    return io.TextIOWrapper(content, encoding="utf-8-sig", newline="")


def _read_lines(address: str, stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    """Yield the lines, without empty ones."""
    with _open_text(address, stream) as lines:
        for number, line in enumerate(lines, 1):
            text = line.rstrip("\r\n")
            if text.strip():
                yield f"line {number}", text


def _read_csv(address: str, stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    with _open_text(address, stream) as lines:
        rows = csv.DictReader(lines)
        column = _column(address, list(rows.fieldnames or ()))
        for row in rows:
            yield f"line {rows.line_num}", row[column] or ""


def _read_parquet(address: str, stream: IO[bytes]) -> Iterator[tuple[str, str]]:
    parquet = import_package("pyarrow.parquet", "--from", "pyarrow")
    file = parquet.ParquetFile(stream)
    column = _column(address, file.schema_arrow.names)
    number = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[column]):
        for text in batch.column(0).to_pylist():
            number += 1
            yield f"row {number}", "" if text is None else str(text)


def _column(address: str, names: list[str]) -> str:
    """Return the name of the column with the addresses. Raises UserError if there is none."""
    column = next((name for name in COLUMNS if name in names), None)
    if column is None:
        hint = did_you_mean("url", names)
        raise UserError(f"{address}: expected a column {', '.join(COLUMNS)}, found {', '.join(names) or 'none'}{hint}")
    return column
