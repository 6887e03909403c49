"""Reads the photos of a shard in threads, ahead of the model, and puts photos of one padded size into batches."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from detect.errors import UnreadableImage
from detect.inference.read_ahead import compute_ahead
from detect.inference.shards.fetch import TarPhotos, UnreadableTar, fetch
from detect.inference.shards.model import Photo, ReadError, ShardModel
from detect.inference.shards.stores import Retries, StoreError

if TYPE_CHECKING:
    from detect.types import Size

Input = TypeVar("Input")
Output = TypeVar("Output")
_BATCHES_WAITING = 3  # photos that wait for others of their size: at most so many batches


def read_photos(
    model: ShardModel, addresses: Sequence[str], retries: Retries, num_threads: int
) -> Iterator[Photo | ReadError]:
    """Return the photos of a shard in order, or why one cannot be read; addresses: of its photos."""
    return _map_ahead(
        lambda pair: _fetch_and_prepare(model, pair[1], pair[0], retries), enumerate(addresses), num_threads
    )


def read_tar(model: ShardModel, tar: TarPhotos, num_threads: int) -> Iterator[Photo | ReadError]:
    """Return the photos of a tar file in order, or why one cannot be read. Raises RunError if the store fails."""
    return _map_ahead(
        lambda pair: _prepare(model, pair[1].url, pair[0], lambda: _content(pair[1].content, pair[1].error)),
        enumerate(compute_ahead(tar)),
        num_threads,
    )


def in_batches(photos: Iterable[Photo], batch_size: int) -> Iterator[list[Photo]]:
    """Yield the photos in batches of one group each, so that no result depends on the other photos of a batch.

    At most three batches of photos wait for others of their group; then the largest group goes as it is, of
    equal ones the oldest.
    """
    groups: dict[Size, list[Photo]] = {}
    for photo in photos:
        group = groups.setdefault(photo.group, [])
        group.append(photo)
        if len(group) == batch_size:
            yield groups.pop(photo.group)
        elif sum(map(len, groups.values())) >= _BATCHES_WAITING * batch_size:
            yield groups.pop(max(groups, key=lambda size: len(groups[size])))
    yield from groups.values()


def _content(content: bytes, error: Exception | None) -> bytes:
    if error is not None:
        raise error
    return content


def _fetch_and_prepare(model: ShardModel, url: str, index: int, retries: Retries) -> Photo | ReadError:
    """Fetch a photo; one that cannot be decoded is fetched again until two attempts give the same bytes.

    A store that closes a connection too early may leave a truncated photo, which looks like a damaged one.
    """
    previous = None
    for _ in range(retries.count + 1):
        content = b""

        def read() -> bytes:
            nonlocal content
            content = fetch(url, retries)
            return content

        photo = _prepare(model, url, index, read)
        is_damaged = isinstance(photo, ReadError) and not photo.is_of_store and content != b""
        if not is_damaged or content == previous:
            return photo
        previous = content
    return photo


def _prepare(model: ShardModel, url: str, index: int, read: Callable[[], bytes]) -> Photo | ReadError:
    try:
        return model.prepare(read(), url, index)
    except UnreadableImage as error:
        return ReadError(index, url, str(error).removeprefix(f"{url}: "), False)
    except FileNotFoundError:
        return ReadError(index, url, "no such file", False)
    except UnreadableTar as error:
        return ReadError(index, url, str(error), False)
    except StoreError as error:
        return ReadError(index, url, f"the store failed: {error}", True)


def _map_ahead(function: Callable[[Input], Output], inputs: Iterable[Input], num_threads: int) -> Iterator[Output]:
    """Yield ``function`` of each input, in order; threads compute those ahead, of which one a thread may wait."""
    waiting: deque[Future[Output]] = deque()
    with ThreadPoolExecutor(num_threads) as pool:
        for each in inputs:
            waiting.append(pool.submit(function, each))
            if len(waiting) > num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
