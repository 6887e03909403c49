"""The bytes of the photos of a shard: files at their addresses, or the members of a tar file."""

from __future__ import annotations

import tarfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from detect.data.images import is_image
from detect.errors import RunError, UserError, first_line
from detect.inference.shards.sources import count_by_suffix
from detect.inference.shards.stores import Retries, StoreError, store_of, with_retries

CUT_SHORT = "cut short after"  # the first words of the error of a damaged tar file; ``--verify`` counts them


class UnreadableTar(Exception):  # noqa: N818 - the name states the problem
    """A tar file that is damaged, or that has no photo; the message is one line."""


@dataclass(frozen=True)
class TarMember:
    """A photo in a tar file, or what keeps the rest of the file from being read.

    url: ``tar://MEMBER::FILE``, which ``fsspec.open`` opens, or the address of the file for an error.
    """

    url: str
    content: bytes = b""
    error: Exception | None = None


def fetch(url: str, retries: Retries) -> bytes:
    """Return the bytes at an address. Raises FileNotFoundError, and StoreError after all repetitions."""

    def request() -> bytes:
        store, path = store_of(url)
        content: bytes = store.cat_file(path)
        return content

    return with_retries(request, url, retries)


def photo_name(url: str) -> str:
    """Return the file name of a photo: ``b.jpg`` of ``s3://bucket/a/b.jpg``, and of ``tar://a/b.jpg::s3://c.tar``."""
    return PurePosixPath(url.partition("::")[0]).name


class _CompleteTarInfo(tarfile.TarInfo):
    """Headers of a file that must end with a block of zeros: tarfile takes a damaged or a missing header for the end,
    and the photos behind it would be lost without a word.
    """

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> _CompleteTarInfo:
        """Return the next header. Raises ReadError where there is none and no end either."""
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset}") from error


class TarPhotos:
    """The photos of a tar file, by their suffixes, in order. passed_over: the other files in it, by suffix."""

    def __init__(self, address: str, retries: Retries) -> None:
        self.address = address
        self.passed_over: Counter[str] = Counter()
        self._retries = retries

    def __iter__(self) -> Iterator[TarMember]:
        """Yield the photos; the last one has an error where the file is missing, is damaged or has no photo.

        The file is read as a stream, once; where that fails it is opened again, and what was yielded is passed over.
        Raises RunError if it was the store that failed: a part would tell later runs that the rest is done.
        """
        num_done = num_failures = 0
        while True:
            try:
                for member in self._read(num_done):
                    yield member
                    num_done, num_failures = num_done + 1, 0
                break
            except (UserError, MemoryError):
                raise
            except FileNotFoundError as error:
                yield TarMember(self.address, error=error)
                return
            except Exception as error:  # tarfile has many for a damaged file
                if num_failures == self._retries.count:
                    if isinstance(error, StoreError):
                        raise RunError(f"{self.address}: the store failed after {num_done} photos: {error}") from error
                    lost = f"{CUT_SHORT} {num_done} photos; the rest of the file is lost, number unknown"
                    yield TarMember(self.address, error=UnreadableTar(f"{lost} ({first_line(error)})"))
                    return
            time.sleep(self._retries.seconds(num_failures, self.address))
            num_failures += 1
        if num_done == 0:
            others = count_by_suffix(self.passed_over) or "none"
            yield TarMember(self.address, error=UnreadableTar(f"expected photos, found {others}"))

    def _read(self, start: int) -> Iterator[TarMember]:
        """Yield the photos from the one with index ``start``. Raises StoreError, or what tarfile raises."""
        self.passed_over.clear()
        with (
            _open(self.address) as stream,
            tarfile.open(fileobj=stream, mode="r|*", tarinfo=_CompleteTarInfo) as archive,
        ):
            index = 0
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # tarfile keeps the header of every member
                if not (member.isfile() and is_image(Path(member.name))):
                    if not member.isdir():
                        self.passed_over[PurePosixPath(member.name).suffix.lower()] += 1
                    continue
                if index >= start:
                    reader = archive.extractfile(member)
                    assert reader is not None
                    content = reader.read()
                    if len(content) < member.size:
                        raise tarfile.ReadError(f"unexpected end of {member.name}")
                    yield TarMember(f"tar://{member.name}::{self.address}", content)
                index += 1


class _StoreStream:
    """The stream of a store. What it raises is a StoreError, so that any other error is one of the tar file."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        """Return the next bytes."""
        with _as_store_error():
            return self._stream.read(size)


@contextmanager
def _open(address: str) -> Iterator[Any]:
    store, path = store_of(address)
    with _as_store_error():
        stream = store.open(path, "rb")
    with stream:
        yield _StoreStream(stream)


@contextmanager
def _as_store_error() -> Iterator[None]:
    try:
        yield
    except (FileNotFoundError, MemoryError):
        raise
    except Exception as error:  # each store's library has errors of its own
        raise StoreError(f"{type(error).__name__}: {first_line(error)}") from error
