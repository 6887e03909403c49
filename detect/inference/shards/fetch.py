"""The bytes of the photos of a shard: files at their addresses, or the members of a tar file."""

from __future__ import annotations

import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from detect.data.images import is_image
from detect.errors import first_line
from detect.inference.shards.stores import Retries, StoreError, store_of, with_retries


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
            raise tarfile.ReadError(f"damaged or cut short after {archive.offset} bytes: {error}") from error


def tar_members(address: str, retries: Retries) -> Iterator[TarMember]:
    """Yield the photos of a tar file, by their suffixes, in order; one with an error where the file cannot be read on.

    The file is read as a stream, once; where the store fails it is opened again, and what was yielded is passed over.
    """
    num_done = num_failures = 0
    while True:
        try:
            for member in _read_members(address, num_done):
                yield member
                num_done, num_failures = num_done + 1, 0
            return
        except Exception as error:  # each store's library has errors of its own
            if num_failures == retries.count or isinstance(error, FileNotFoundError):
                missing = isinstance(error, FileNotFoundError | tarfile.TarError)
                reason = error if missing else StoreError(f"{type(error).__name__}: {first_line(error)}")
                yield TarMember(address, error=reason)
                return
        time.sleep(retries.seconds(num_failures, address))
        num_failures += 1


def _read_members(address: str, start: int) -> Iterator[TarMember]:
    """Yield the photos of a tar file from the one with index ``start``. Raises what the store or tarfile raises."""
    store, path = store_of(address)
    with (
        store.open(path, "rb") as stream,
        tarfile.open(fileobj=stream, mode="r|*", tarinfo=_CompleteTarInfo) as archive,
    ):
        index = 0
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps the header of every member
            if not (member.isfile() and is_image(Path(member.name))):
                continue
            if index >= start:
                reader = archive.extractfile(member)
                assert reader is not None
                content = reader.read()
                if len(content) < member.size:
                    raise tarfile.ReadError(f"cut short in {member.name}")
                yield TarMember(f"tar://{member.name}::{address}", content)
            index += 1
