"""Selective search over the images of a data set, several at a time, into one file."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from detect.data.image_names import relative_to_shared_folder
from detect.data.images import read_image
from detect.errors import UnreadableImage, UserError
from detect.proposals.files import content_hash
from detect.proposals.search_journal import ProposalJournal
from detect.proposals.selective_search import selective_search
from detect.proposals.selective_search.settings import SearchSettings
from detect.system.progress import ProgressDisplay
from detect.types import Proposals


@dataclass(frozen=True)
class SearchSummary:
    """The counts of one run of ``make_proposals``.

    num_boxes and num_images: in the file; num_reused: images of them that an earlier run had searched; unreadable: a
    line for each skipped image; seconds: the time of this run.
    """

    num_boxes: int
    num_images: int
    num_reused: int
    unreadable: tuple[str, ...]
    seconds: float


def make_proposals(
    images: Sequence[Path], out: Path, settings: SearchSettings, workers: int, progress: ProgressDisplay
) -> SearchSummary:
    """Search every image, ``workers`` of them at a time on a thread each, and write ``out``, an ``.npz``.

    Images whose bytes were searched before with the same settings, in ``out`` or by an interrupted run, are not
    searched again. The file is the same for any number of workers and interruptions. Raises UserError if ``out`` was
    made with other settings, or has images that are not among ``images`` and would be dropped.
    """
    start = time.perf_counter()
    names = relative_to_shared_folder([str(image) for image in images])
    with ProposalJournal(out, settings.to_dict()) as journal, ThreadPoolExecutor(workers) as pool:
        hashes_or_errors = list(pool.map(_hash_image, images))
        unreadable = [str(error) for error in hashes_or_errors if isinstance(error, UserError)]
        hashes = [image_hash if isinstance(image_hash, int) else None for image_hash in hashes_or_errors]
        _refuse_to_drop(journal, names, hashes)
        images_to_search = [
            image for image, image_hash in zip(images, hashes, strict=True) if image_hash and image_hash not in journal
        ]
        num_reused = len(images) - len(images_to_search) - len(unreadable)
        if num_reused:
            progress.start_at(num_reused)
        progress.advance(len(unreadable))
        hash_by_image = dict(zip(images, hashes, strict=True))
        with closing(_in_parallel(pool, workers, lambda image: _search(image, settings), images_to_search)) as searches:
            for image, outcome in searches:
                image_hash = hash_by_image[image]
                if isinstance(outcome, Proposals) and image_hash is not None:
                    journal.add(image_hash, outcome)
                else:
                    unreadable.append(str(outcome))
                progress.advance(1)
        entries = [
            (name, image_hash)
            for name, image_hash in zip(names, hashes, strict=True)
            if image_hash is not None and image_hash in journal
        ]
        written = journal.finish(entries)
    return SearchSummary(
        len(written.boxes), len(written), num_reused, tuple(sorted(unreadable)), time.perf_counter() - start
    )


def image_content_hash(image: Path) -> int:
    """Return ``content_hash`` of the image's bytes. Raises UnreadableImage."""
    try:
        return content_hash(image.read_bytes())
    except OSError as error:
        raise UnreadableImage(f"{image}: cannot be read: {error.strerror}") from error


def _hash_image(image: Path) -> int | UserError:
    try:
        return image_content_hash(image)
    except UnreadableImage as error:
        return error


def _search(image: Path, settings: SearchSettings) -> Proposals | UserError:
    """Return the boxes of an image, or the error if it cannot be decoded or is too large to be searched."""
    try:
        rgb = read_image(image)
    except UnreadableImage as error:
        return error
    try:
        return selective_search(rgb, threads=1, **asdict(settings))
    except UserError as error:
        return UserError(f"{image}: {error}")
    except Exception as error:
        error.add_note(f"while searching {image}")
        raise


def _in_parallel(
    pool: ThreadPoolExecutor,
    workers: int,
    search: Callable[[Path], Proposals | UserError],
    images: Sequence[Path],
) -> Generator[tuple[Path, Proposals | UserError]]:
    """Yield each image with its outcome as soon as it is done; few are in progress at a time, to bound the memory."""
    under_way: dict[Future[Proposals | UserError], Path] = {}
    remaining = iter(images)
    try:
        while True:
            for image in remaining:
                under_way[pool.submit(search, image)] = image
                if len(under_way) >= 2 * workers:
                    break
            if not under_way:
                return
            finished = wait(under_way, return_when=FIRST_COMPLETED).done
            for done in sorted(finished, key=lambda future: future.exception() is not None):  # successes first
                yield under_way.pop(done), done.result()
    finally:
        for waiting in under_way:
            waiting.cancel()


def _refuse_to_drop(journal: ProposalJournal, names: Sequence[str], hashes: Sequence[int | None]) -> None:
    """Raise UserError if the earlier file has images that match none of these by content or by name."""
    if journal.earlier is None:
        return
    requested_names, requested_hashes = set(names), set(hashes)
    lost = [
        name
        for name, image_hash in zip(journal.earlier.files, journal.earlier.content_hashes.tolist(), strict=True)
        if name not in requested_names and image_hash not in requested_hashes
    ]
    if lost:
        raise UserError(
            f"{journal.out}: expected only the {len(names)} requested images, found {len(lost)} more that would be "
            f"dropped, {lost[0]} first; give another --out, or remove this file"
        )
