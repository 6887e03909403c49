"""Files at any address that fsspec knows: a path of this machine, ``s3://``, ``gs://``, ``https://``, ``memory://``.

The functions of a store raise what its library raises; ``with_retries`` repeats what may succeed later.
"""

from __future__ import annotations

import os
import secrets
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import fsspec
from fsspec.implementations.local import LocalFileSystem

from detect.errors import RunError, UserError, first_line
from detect.system.files import sync, write_bytes

Result = TypeVar("Result")


@dataclass(frozen=True)
class Retries:
    """How often a failed request to a store is repeated.

    count: after the first attempt; wait: seconds before the first repetition, each further one waits twice as long, at
    most ``longest``.
    """

    count: int = 5
    wait: float = 0.5
    longest: float = 30.0

    def seconds(self, repetition: int, key: str) -> float:
        """Return the wait before a repetition, from 0: half of it to all of it, by ``key``, so that a thousand readers
        of a store that failed do not come back together.
        """
        full = min(self.longest, self.wait * 2.0**repetition)
        return full * (0.5 + zlib.crc32(f"{key} {repetition}".encode()) / 2**33)


class StoreError(Exception):
    """A store that did not answer as it should, after all repetitions; the message is one line."""


def is_answer(error: Exception) -> bool:
    """Return whether an error is the store's answer, the same when asked again: no such file, no permission."""
    status = getattr(error, "status", None)  # of aiohttp, for http and https
    refused = isinstance(status, int) and 400 <= status < 500 and status not in (408, 429)
    return refused or isinstance(error, FileNotFoundError | IsADirectoryError | NotADirectoryError | PermissionError)


def with_retries(request: Callable[[], Result], address: str, retries: Retries) -> Result:
    """Return what ``request`` returns.

    FileNotFoundError, and the UserError of an unknown store, are raised as they are; any other error as StoreError
    after all repetitions, or at once where the store refuses.
    """
    for repetition in range(retries.count + 1):
        try:
            return request()
        except (FileNotFoundError, UserError):
            raise
        except Exception as error:  # each store's library has errors of its own
            if repetition == retries.count or is_answer(error):
                raise StoreError(f"{type(error).__name__}: {first_line(error)}") from error
        time.sleep(retries.seconds(repetition, address))
    raise AssertionError("the last repetition returns or raises")


def store_of(address: str) -> tuple[Any, str]:
    """Return fsspec's file system of an address, and the path in it. Raises UserError for one that is not known."""
    if "://" not in address:
        return LocalFileSystem(), os.path.abspath(os.path.expanduser(address))  # noqa: PTH100, PTH111 - any text
    try:
        return fsspec.core.url_to_fs(address)  # type: ignore[no-any-return]
    except (ImportError, ValueError) as error:
        raise UserError(f"{address}: expected an address that fsspec reads, found: {first_line(error)}") from error


def store_name(address: str) -> str:
    """Return the scheme and the host or bucket of an address; of the file itself for ``tar://NAME::FILE``."""
    scheme, _, rest = address.rpartition("::")[2].rpartition("://")
    return f"{scheme}://{rest.partition('/')[0]}"


def full_address(address: str) -> str:
    """Return an address that means the same in any working folder."""
    store, path = store_of(address)
    return path if isinstance(store, LocalFileSystem) else address


class OutputFolder:
    """The folder, or the prefix of an object store, to which a run writes; every file appears in it whole.

    On this machine's disks a file is written under a temporary name, synced and renamed. In a store it is one upload,
    which stores show when it is complete.
    """

    def __init__(self, address: str, retries: Retries) -> None:
        self.address = address
        self.store, self.path = store_of(address)
        self.is_local = isinstance(self.store, LocalFileSystem)
        self.retries = retries

    def join(self, name: str) -> str:
        """Return the path of a file in the store."""
        return f"{self.path.rstrip('/')}/{name}"

    def names(self) -> list[str]:
        """Return the names of the files, [] where there is no such folder. Raises RunError if the store fails."""
        self.store.invalidate_cache()
        try:
            entries = self._ask(lambda: self.store.ls(self.path, detail=False), self.address)
        except FileNotFoundError:
            return []
        return sorted(entry.rstrip("/").rpartition("/")[2] for entry in entries)

    def open(self, name: str) -> IO[bytes]:
        """Open a file to read. Raises FileNotFoundError, or RunError if the store fails."""
        path = self.join(name)
        stream: IO[bytes] = self._ask(lambda: self.store.open(path, "rb"), path)
        return stream

    def read(self, name: str) -> bytes:
        """Return the content of a file. Raises FileNotFoundError, or RunError if the store fails."""
        path = self.join(name)
        content: bytes = self._ask(lambda: self.store.cat_file(path), path)
        return content

    def write(self, name: str, content: bytes) -> None:
        """Write a file, completely or not at all; one of this name is replaced. Raises RunError."""
        path = self.join(name)
        if self.is_local:
            write_bytes(Path(path), content)
        else:
            self._ask(lambda: self.store.pipe_file(path, content), path)

    def create(self, name: str, file: Path) -> None:
        """Move a file of this machine to the folder, unless one of this name is there, which then stays."""
        path = self.join(name)
        if self.is_local:
            sync(file)
            try:
                os.link(file, path)  # fails where another process was first, unlike a rename
            except FileExistsError:
                return
            sync(Path(path).parent)
        elif name not in self.names():
            self._ask(lambda: self.store.put_file(str(file), path), path)

    @contextmanager
    def temporary_file(self, name: str) -> Iterator[Path]:
        """Yield the path of a file for ``create``, on the same disk where the folder is on one; it is removed then."""
        folder = Path(self.path if self.is_local else tempfile.gettempdir())
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f".{name}.{secrets.token_hex(8)}.aside"
        try:
            yield file
        finally:
            file.unlink(missing_ok=True)

    def _ask(self, request: Callable[[], Result], path: str) -> Result:
        try:
            return with_retries(request, path, self.retries)
        except StoreError as error:
            raise RunError(f"{path}: expected a store that answers, found {error}") from error
