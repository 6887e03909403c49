"""Selective search over many photos, several at a time, into one file."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from detect.data.image_names import below_shared_folder
from detect.data.images import UnreadableImage, read_image
from detect.errors import UserError
from detect.proposals.files import Setting, content_key
from detect.proposals.search_journal import SearchResults
from detect.proposals.selective_search import selective_search
from detect.system.progress import Display
from detect.types import Proposals

SEARCH_VERSION = 1  # raise it when the same settings give other boxes: files made before are then refused


@dataclass(frozen=True)
class SearchSettings:
    """What the boxes of a photo depend on (see ``selective_search``)."""

    mode: str = "fast"
    seed: int = 0
    min_side: float = 20
    resize_to: int | None = None

    def recorded(self) -> dict[str, Setting]:
        """As the file of proposals keeps them."""
        return {
            "algorithm": "selective_search",
            "version": SEARCH_VERSION,
            "mode": self.mode,
            "seed": self.seed,
            "min_side": self.min_side,
            "resize_to": self.resize_to,
        }


@dataclass(frozen=True)
class Made:
    """What making a file came to.

    boxes and photos: in the file; before: photos of them that an earlier run had searched; unreadable: a line for each
    photo left out; seconds: of this run.
    """

    boxes: int
    photos: int
    before: int
    unreadable: tuple[str, ...]
    seconds: float


def make_proposals(photos: Sequence[Path], out: Path, settings: SearchSettings, workers: int, display: Display) -> Made:
    """Search every photo, ``workers`` of them at a time on a thread each, and write ``out``, an ``.npz``.

    Photos whose bytes were searched before with the same settings are not searched again, whether in ``out`` or by a
    run that was cut off. The file is the same for any number of workers and of cuts. UserError where ``out`` was made
    with other settings, or has photos that are not among ``photos`` and would be lost.
    """
    start = time.perf_counter()
    names = below_shared_folder([str(photo) for photo in photos])
    with SearchResults(out, settings.recorded()) as found, ThreadPoolExecutor(workers) as pool:
        looks = list(pool.map(_look, photos))
        unreadable = [str(look) for look in looks if isinstance(look, UserError)]
        contents = [look if isinstance(look, int) else None for look in looks]
        _refuse_loss(found, names, contents)
        wanted = [photo for photo, content in zip(photos, contents, strict=True) if content and content not in found]
        before = len(photos) - len(wanted) - len(unreadable)
        if before:
            display.found_done(before)
        display.advance(len(unreadable))
        by_photo = dict(zip(photos, contents, strict=True))
        with closing(_in_parallel(pool, workers, lambda photo: _search(photo, settings), wanted)) as results:
            for photo, result in results:
                content = by_photo[photo]
                if isinstance(result, Proposals) and content is not None:
                    found.add(content, result)
                else:
                    unreadable.append(str(result))
                display.advance(1)
        entries = [(name, key) for name, key in zip(names, contents, strict=True) if key is not None and key in found]
        made = found.finish(entries)
    return Made(len(made.boxes), len(made), before, tuple(sorted(unreadable)), time.perf_counter() - start)


def photo_key(photo: Path) -> int:
    """``content_key`` of the photo's bytes. Raises UnreadableImage."""
    try:
        return content_key(photo.read_bytes())
    except OSError as error:
        raise UnreadableImage(f"{photo}: cannot be read: {error.strerror}") from error


def _look(photo: Path) -> int | UserError:
    try:
        return photo_key(photo)
    except UnreadableImage as error:
        return error


def _search(photo: Path, settings: SearchSettings) -> Proposals | UserError:
    """The boxes of one photo, or why it has none: it cannot be decoded, or is too large to be searched as it is."""
    try:
        rgb = read_image(photo)
    except UnreadableImage as error:
        return error
    try:
        return selective_search(
            rgb, settings.mode, settings.seed, threads=1, min_side=settings.min_side, resize_to=settings.resize_to
        )
    except UserError as error:
        return UserError(f"{photo}: {error}")
    except Exception as error:
        error.add_note(f"while searching {photo}")
        raise


def _in_parallel(
    pool: ThreadPoolExecutor,
    workers: int,
    work: Callable[[Path], Proposals | UserError],
    photos: Sequence[Path],
) -> Generator[tuple[Path, Proposals | UserError]]:
    """Each photo and its result, as they come; few are under way at a time, so that memory does not grow."""
    under_way: dict[Future[Proposals | UserError], Path] = {}
    left = iter(photos)
    try:
        while True:
            for photo in left:
                under_way[pool.submit(work, photo)] = photo
                if len(under_way) >= 2 * workers:
                    break
            if not under_way:
                return
            finished = wait(under_way, return_when=FIRST_COMPLETED).done
            for done in sorted(finished, key=lambda one: one.exception() is not None):  # what is done is kept
                yield under_way.pop(done), done.result()
    finally:
        for waiting in under_way:
            waiting.cancel()


def _refuse_loss(found: SearchResults, names: Sequence[str], contents: Sequence[int | None]) -> None:
    """UserError where the earlier file has photos that are asked for neither by content nor by name."""
    if found.earlier is None:
        return
    asked_names, asked_contents = set(names), set(contents)
    lost = [
        name
        for name, content in zip(found.earlier.files, found.earlier.contents.tolist(), strict=True)
        if name not in asked_names and content not in asked_contents
    ]
    if lost:
        raise UserError(
            f"{found.out}: expected no photos but the {len(names)} asked for, found {len(lost)} more that would be "
            f"lost, {lost[0]} first; give another --out, or remove this file"
        )
