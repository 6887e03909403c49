"""Selective search over many images, several at a time, into one file."""

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
    """What the boxes of an image depend on (see ``selective_search``)."""

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

    boxes and images: in the file; before: images of them that an earlier run had searched; unreadable: a line for each
    image left out; seconds: of this run.
    """

    boxes: int
    images: int
    before: int
    unreadable: tuple[str, ...]
    seconds: float


def make_proposals(images: Sequence[Path], out: Path, settings: SearchSettings, workers: int, display: Display) -> Made:
    """Search every image, ``workers`` of them at a time on a thread each, and write ``out``, an ``.npz``.

    Images whose bytes were searched before with the same settings are not searched again, whether in ``out`` or by a
    run that was cut off. The file is the same for any number of workers and of cuts. UserError where ``out`` was made
    with other settings, or has images that are not among ``images`` and would be lost.
    """
    start = time.perf_counter()
    names = below_shared_folder([str(image) for image in images])
    with SearchResults(out, settings.recorded()) as found, ThreadPoolExecutor(workers) as pool:
        looks = list(pool.map(_look, images))
        unreadable = [str(look) for look in looks if isinstance(look, UserError)]
        contents = [look if isinstance(look, int) else None for look in looks]
        _refuse_loss(found, names, contents)
        wanted = [image for image, content in zip(images, contents, strict=True) if content and content not in found]
        before = len(images) - len(wanted) - len(unreadable)
        if before:
            display.found_done(before)
        display.advance(len(unreadable))
        by_image = dict(zip(images, contents, strict=True))
        with closing(_in_parallel(pool, workers, lambda image: _search(image, settings), wanted)) as results:
            for image, result in results:
                content = by_image[image]
                if isinstance(result, Proposals) and content is not None:
                    found.add(content, result)
                else:
                    unreadable.append(str(result))
                display.advance(1)
        entries = [(name, key) for name, key in zip(names, contents, strict=True) if key is not None and key in found]
        made = found.finish(entries)
    return Made(len(made.boxes), len(made), before, tuple(sorted(unreadable)), time.perf_counter() - start)


def image_key(image: Path) -> int:
    """``content_key`` of the image's bytes. Raises UnreadableImage."""
    try:
        return content_key(image.read_bytes())
    except OSError as error:
        raise UnreadableImage(f"{image}: cannot be read: {error.strerror}") from error


def _look(image: Path) -> int | UserError:
    try:
        return image_key(image)
    except UnreadableImage as error:
        return error


def _search(image: Path, settings: SearchSettings) -> Proposals | UserError:
    """The boxes of one image, or why it has none: it cannot be decoded, or is too large to be searched as it is."""
    try:
        rgb = read_image(image)
    except UnreadableImage as error:
        return error
    try:
        return selective_search(
            rgb, settings.mode, settings.seed, threads=1, min_side=settings.min_side, resize_to=settings.resize_to
        )
    except UserError as error:
        return UserError(f"{image}: {error}")
    except Exception as error:
        error.add_note(f"while searching {image}")
        raise


def _in_parallel(
    pool: ThreadPoolExecutor,
    workers: int,
    work: Callable[[Path], Proposals | UserError],
    images: Sequence[Path],
) -> Generator[tuple[Path, Proposals | UserError]]:
    """Each image and its result, as they come; few are under way at a time, so that memory does not grow."""
    under_way: dict[Future[Proposals | UserError], Path] = {}
    left = iter(images)
    try:
        while True:
            for image in left:
                under_way[pool.submit(work, image)] = image
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
    """UserError where the earlier file has images that are asked for neither by content nor by name."""
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
            f"{found.out}: expected no images but the {len(names)} asked for, found {len(lost)} more that would be "
            f"lost, {lost[0]} first; give another --out, or remove this file"
        )
